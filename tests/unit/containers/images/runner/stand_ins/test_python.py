from __future__ import annotations

import importlib

import pytest
from packaging.version import Version

python = importlib.import_module("stand_ins.python")


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("3", True),
        ("3.13", True),
        ("3.13.x", True),
        ("3.13-dev", True),
        ("3.13.5", True),
        ("3.12", False),
        ("3.13.4", False),
        (">=3.11 <3.14", True),
        ("<3.13", False),
    ],
)
def test_a_version_is_a_prefix_or_a_range(asked: str, fits: bool) -> None:
    assert python._fits(asked, Version("3.13.5")) is fits


def test_what_is_no_version_fails() -> None:
    with pytest.raises(Exception, match="Version new is none"):
        python._fits("new", Version("3.13.5"))
