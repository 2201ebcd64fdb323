from __future__ import annotations

import sys

import pytest

from verification.wheel.stdlib import NAMES, REMOVED

REMOVED_IN_3_12 = {"asynchat", "asyncore", "distutils", "imp", "smtpd"}
"""What's New in Python 3.12, "Removed"."""


@pytest.mark.parametrize(
    "name", ["os", "sqlite3", "_ctypes", "tomllib", "annotationlib", "compression", "profiling"]
)
def test_a_module_of_any_python_is_of_the_standard_library(name: str) -> None:
    assert name in NAMES


@pytest.mark.parametrize("name", ["cffi", "numpy", "quiverdb", "pip", "setuptools", "os.path", ""])
def test_any_other_name_is_not(name: str) -> None:
    assert name not in NAMES


def test_no_module_of_this_python_is_left_out() -> None:
    assert sys.stdlib_module_names <= NAMES


@pytest.mark.parametrize("name", [*sorted(REMOVED_IN_3_12), "cgi", "lib2to3", "telnetlib", "uu"])
def test_a_removed_module_is_known_on_every_python(name: str) -> None:
    assert name in REMOVED
    assert name in NAMES


@pytest.mark.parametrize("name", ["os", "profile", "optparse", "compression"])
def test_a_module_that_stays_is_not_removed(name: str) -> None:
    assert name not in REMOVED
