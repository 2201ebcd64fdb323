"""The script that makes Python report glibc 2.17."""

from __future__ import annotations

import os
import platform

import pytest

from tests.helpers.image_scripts import load_script


@pytest.fixture
def real_path(monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Load the script, which replaces `os.confstr`. Return the value of CS_PATH before that."""
    value = os.confstr("CS_PATH")
    monkeypatch.setattr(os, "confstr", os.confstr)  # restores it after the test
    load_script("debian-13-glibc-2.17", "old_glibc")
    return value


@pytest.mark.usefixtures("real_path")
def test_python_reports_glibc_2_17() -> None:
    assert os.confstr("CS_GNU_LIBC_VERSION") == "glibc 2.17"
    assert platform.libc_ver() == ("glibc", "2.17")


def test_other_names_of_confstr_are_unchanged(real_path: str | None) -> None:
    assert real_path
    assert os.confstr("CS_PATH") == real_path
    with pytest.raises(ValueError, match="unrecognized"):
        os.confstr("CS_UNKNOWN")
