from __future__ import annotations

import sys

from verification.wheel.stdlib import NAMES, REMOVED

REMOVED_IN_3_12 = {"asynchat", "asyncore", "distutils", "imp", "smtpd"}
"""The modules that Python 3.12 removed, from its page "What's New"."""


def test_names_contain_the_modules_of_all_pythons() -> None:
    newer = {"annotationlib", "compression", "profiling"}
    assert {"os", "sqlite3", "_ctypes", "tomllib", *newer} <= NAMES
    assert sys.stdlib_module_names <= NAMES


def test_names_do_not_contain_other_modules() -> None:
    assert not {"cffi", "numpy", "quiverdb", "pip", "setuptools", "os.path", ""} & NAMES


def test_removed_modules_are_known_on_every_python() -> None:
    assert REMOVED_IN_3_12 | {"cgi", "lib2to3", "telnetlib", "uu"} <= REMOVED.keys() <= NAMES


def test_current_modules_are_not_removed() -> None:
    assert not {"os", "profile", "optparse", "compression"} & REMOVED.keys()
