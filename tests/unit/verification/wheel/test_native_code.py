from __future__ import annotations

import pytest

from verification.models.inspection import Library, LibraryFormat
from verification.models.subject import Target
from verification.wheel.native_code import NativeCode, fold_case


def library(path: str, form: LibraryFormat = "elf", machine: str = "x86_64") -> Library:
    return Library(format=form, machine=machine, paths=(path,), sha256="", size=1)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("manylinux_2_28_x86_64", ["a"]),
        ("musllinux_1_2_aarch64", ["b"]),
        ("win_amd64", ["c"]),
        ("macosx_11_0_arm64", ["d"]),
        ("any", []),
        ("nothing", []),
    ],
)
def test_libraries_of_the_systems_format_and_processor_match(tag: str, expected: list[str]) -> None:
    libraries = (
        library("a"),
        library("b", machine="aarch64"),
        library("c", "pe"),
        library("d", "mach-o", "aarch64"),
    )
    found = NativeCode(libraries, tag, ()).matching
    assert [one.path for one in found] == expected


@pytest.mark.parametrize(
    ("tag", "absent"), [("win_amd64", {"B.dll"}), ("manylinux_2_28_x86_64", {"A.dll", "B.dll"})]
)
def test_declared_libraries_that_are_not_there_are_absent(tag: str, absent: set[str]) -> None:
    code = NativeCode((library("p/x"), library("p/a.dll")), tag, ("p/A.dll", "p/B.dll", "p/x"))
    assert code.absent == absent


def test_only_windows_ignores_the_case() -> None:
    assert fold_case("A/b", Target.of("win_amd64")) == "a/b"
    assert fold_case("A/b", Target.of("macosx_11_0_arm64")) == "A/b"
