from __future__ import annotations

import pytest

from verification.wheel import windows_facts
from verification.wheel.windows_facts import functions_of, has_library, is_known_in_any


@pytest.mark.parametrize(
    ("name", "tag", "expected"),
    [
        ("KERNEL32.dll", "win_amd64", True),
        ("D3DCOMPILER_47.dll", "win_amd64", True),
        ("winspool.drv", "win_amd64", True),
        ("ext-ms-win-gdi-path-l1-1-0.dll", "win_amd64", True),
        ("MSVCP140.dll", "win_amd64", False),
        ("vcruntime140.dll", "win_amd64", False),  # CPython brings it
        ("msvcrt40.dll", "win_amd64", False),
        ("msvcrt40.dll", "win32", True),
        ("kernel32", "win_amd64", False),
        ("win32", "win32", False),
    ],
)
def test_library_is_in_the_list_of_its_platform(name: str, tag: str, expected: bool) -> None:
    assert has_library(name, tag) is expected


def test_list_is_sorted_and_has_no_comment_as_a_name() -> None:
    lines = windows_facts.LIBRARIES.read_text("utf-8").splitlines()
    names = [line for line in lines if not line.startswith("#")]
    assert names == sorted(set(names))
    assert len(names) > 2000


def test_functions_are_those_of_the_library() -> None:
    kernel32 = functions_of("KERNEL32.dll")
    assert kernel32 is not None
    assert "CreateFileW" in kernel32.listed
    assert "CreateDirectory2W" in kernel32.others
    assert not kernel32.listed & kernel32.others
    assert functions_of("MSVCP140.dll") is None
    assert is_known_in_any("CreateFileW")
    assert not is_known_in_any("NoWindowsHasThisFunction")


def test_table_of_functions_is_small_and_only_for_listed_libraries() -> None:
    assert windows_facts.FUNCTIONS.stat().st_size < 500_000
    libraries = windows_facts._functions()
    assert [name for name in libraries if not has_library(name, "win_amd64")] == []
