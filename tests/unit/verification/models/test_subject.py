from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from verification.models.subject import Platform, PlatformTarget, Subject
from verification.subjects.subject import load

LINUX = Platform(tag="manylinux_2_28_x86_64", libraries=("libpkg.so",))
WINDOWS = Platform(tag="win_amd64", libraries=("pkg.dll",))


def subject(**values: object) -> Subject:
    fields = {
        "name": "pkg",
        "import_package": "pkg",
        "libs_dir": "_libs",
        "python": "cp313",
        "platforms": (LINUX, WINDOWS),
        "exercise": Path("smoke.py"),
        "dependencies": Path("lock.txt"),
    }
    return Subject.model_validate(fields | values)


@pytest.mark.parametrize(
    ("tag", "target"),
    [
        ("any", PlatformTarget(system="any", machine="any")),
        ("win_amd64", PlatformTarget(system="windows", machine="x86_64")),
        ("win32", PlatformTarget(system="windows", machine="i686")),
        ("win_arm64", PlatformTarget(system="windows", machine="aarch64")),
        ("manylinux_2_28_x86_64", PlatformTarget(system="linux", machine="x86_64", libc=(2, 28))),
        ("manylinux2014_aarch64", PlatformTarget(system="linux", machine="aarch64", libc=(2, 17))),
        ("manylinux2010_x86_64", PlatformTarget(system="linux", machine="x86_64", libc=(2, 12))),
        ("manylinux1_i686", PlatformTarget(system="linux", machine="i686", libc=(2, 5))),
        ("musllinux_1_2_x86_64", PlatformTarget(system="musl", machine="x86_64", libc=(1, 2))),
        ("macosx_11_0_arm64", PlatformTarget(system="macos", machine="aarch64")),
        ("macosx_10_13_x86_64", PlatformTarget(system="macos", machine="x86_64")),
        ("linux_x86_64", PlatformTarget(system="unknown", machine="linux_x86_64")),
        ("manylinux_2_x86_64", PlatformTarget(system="unknown", machine="manylinux_2_x86_64")),
    ],
)
def test_a_platform_tag_has_a_system_a_processor_and_a_c_library(
    tag: str, target: PlatformTarget
) -> None:
    assert PlatformTarget.of(tag) == target


@pytest.mark.parametrize(
    ("platform", "tag", "fits"),
    [
        (LINUX, "manylinux_2_28_x86_64", True),
        (LINUX, "manylinux2014_x86_64", True),
        (LINUX, "manylinux_2_39_x86_64", True),
        (LINUX, "manylinux_2_28_aarch64", False),
        (LINUX, "musllinux_1_2_x86_64", False),
        (LINUX, "win_amd64", False),
        (LINUX, "any", False),
        (WINDOWS, "win_amd64", True),
        (WINDOWS, "win32", False),
    ],
)
def test_a_wheel_fits_a_platform_of_its_system_and_processor(
    platform: Platform, tag: str, fits: bool
) -> None:
    assert platform.fits(tag) is fits


@pytest.mark.parametrize("tag", ["any", "linux_x86_64", "", "manylinux"])
def test_the_tag_of_a_platform_is_for_native_code(tag: str) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        Platform(tag=tag, libraries=())
    assert [fault["loc"] for fault in error.value.errors()] == [("tag",)]


def test_a_platform_is_required_and_executed_by_default() -> None:
    assert (LINUX.required, LINUX.execute) == (True, True)
    assert LINUX.target == PlatformTarget.of("manylinux_2_28_x86_64")


def test_a_wheel_for_an_older_glibc_belongs_to_the_same_platform() -> None:
    platform = load().platform_for("manylinux2014_x86_64")
    assert platform
    assert platform.tag == "manylinux_2_28_x86_64"


@pytest.mark.parametrize("tag", ["musllinux_1_2_x86_64", "manylinux_2_28_s390x", "win32", "any"])
def test_a_wheel_for_an_undeclared_platform_belongs_to_none(tag: str) -> None:
    assert load().platform_for(tag) is None


@pytest.mark.parametrize(
    ("python", "version"), [("cp313", (3, 13)), ("cp39", (3, 9)), ("cp3100", (3, 100))]
)
def test_the_python_version_is_read_from_the_interpreter_tag(
    python: str, version: tuple[int, int]
) -> None:
    assert subject(python=python).python_version == version


def test_the_lock_file_of_the_dependencies_comes_last() -> None:
    older = (Path("old.txt"), Path("older.txt"))
    assert subject(older_dependencies=older).locks == (*older, Path("lock.txt"))
    assert subject().locks == (Path("lock.txt"),)
    assert subject(dependencies=None).locks == ()


def test_a_machine_needs_the_smoke_test_and_the_actions_if_there_are_any() -> None:
    assert subject().machine_files == {"calls.py": Path("smoke.py")}
    assert subject(actions=Path("mine.py")).machine_files == {
        "calls.py": Path("smoke.py"),
        "own_actions.py": Path("mine.py"),
    }


@pytest.mark.parametrize(("libs_dir", "path"), [("_libs", "pkg/_libs"), ("", "pkg")])
def test_the_libraries_are_in_the_package(libs_dir: str, path: str) -> None:
    assert subject(libs_dir=libs_dir).libs_path == path


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"python": "py3"}, "python"),
        ({"python": "cp27"}, "python"),
        ({"python": "cp313t"}, "python"),
        ({"platforms": ()}, "platforms"),
        ({"other": 1}, "other"),
        ({"platforms": (WINDOWS, {**LINUX.model_dump(), "other": 1})}, "platforms.1.other"),
    ],
)
def test_an_invalid_subject_is_refused(values: dict[str, object], field: str) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        subject(**values)
    assert [".".join(map(str, fault["loc"])) for fault in error.value.errors()] == [field]


def test_the_subject_is_unchanged_by_json() -> None:
    assert Subject.model_validate_json(load().model_dump_json()) == load()
