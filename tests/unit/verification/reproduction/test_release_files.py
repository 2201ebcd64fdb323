from __future__ import annotations

import pytest

from verification.reproduction.release_files import IndexedFile, ReleaseFiles, files_answer
from verification.reproduction.similar_machine import bug_report

LINUX = "cp313-cp313-manylinux_2_28_x86_64"
TAGS = (
    LINUX,
    "cp313-cp313-win_amd64",
    "cp313-cp313-manylinux_2_28_aarch64",
    "cp313-cp313-macosx_13_0_arm64",
)


def _file(tags: str, version: str = "2.0", requires_python: str = ">=3.13") -> IndexedFile:
    name = f"quiverdb-{version}-{tags}.whl" if tags else f"quiverdb-{version}.tar.gz"
    return IndexedFile(name=name, version=version, requires_python=requires_python)


def _release(*files: IndexedFile, earlier: tuple[IndexedFile, ...] = ()) -> ReleaseFiles:
    files = files or tuple(map(_file, TAGS))
    return ReleaseFiles(project="quiverdb", version="2.0", files=files, earlier=earlier)


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"python": "3.13", "os": "ubuntu-24.04"}, True),
        ({"python": "3.12", "os": "ubuntu-24.04"}, False),
        ({"python": "3.14", "os": "ubuntu-24.04"}, False),
        ({"python": "3.13t", "os": "ubuntu-24.04"}, False),
        ({"python": "3.13", "os": "centos-7"}, False),
        ({"python": "3.13", "glibc": "2.27"}, False),
        ({"python": "3.13", "glibc": "2.28"}, True),
        ({"python": "3.13"}, True),
        ({"python": "3.13", "os": "alpine"}, False),
        ({"python": "3.13", "os": "windows-11"}, True),
        ({"python": "3.13", "os": "windows-11", "arch": "arm64"}, False),
        ({"python": "3.13", "os": "windows-11", "arch": "x86"}, False),
        ({"python": "3.13", "arch": "aarch64"}, True),
        ({"python": "3.13", "arch": "i686"}, False),
        ({"python": "3.13", "os": "macos"}, True),
        ({"python": "3.13", "os": "macos", "arch": "arm64"}, True),
        ({"python": "3.13", "os": "macos", "arch": "x86_64"}, False),
        ({"os": "macos", "arch": "arm64"}, True),
        ({"os": "alpine"}, False),
    ],
)
def test_the_release_does_not_work_if_no_wheel_fits(options: dict[str, str], fits: bool) -> None:
    assert files_answer(bug_report(**options), _release()).works is (None if fits else False)


@pytest.mark.parametrize(
    ("python", "requires_python", "fits"),
    [
        ("3.13", ">=3.13.4", True),  # a patch release of 3.13 is allowed
        ("3.13.2", ">=3.13.4", False),
        ("3.13.5", ">=3.13.4", True),
        ("3.13", "<3.13", False),
        ("3.13", "", True),
    ],
)
def test_requires_python_is_compared_with_the_python_of_the_report(
    python: str, requires_python: str, fits: bool
) -> None:
    release = _release(_file("py3-none-any", requires_python=requires_python))
    result = files_answer(bug_report(python=python), release)
    assert result.works is (None if fits else False)


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"os": "macOS 12"}, False),
        ({"os": "macOS 13.5", "arch": "arm64"}, True),
        ({"os": "macOS-14.5-arm64-arm-64bit"}, True),
        ({"os": "Mac OS X 10.15"}, False),
        ({"os": "FreeBSD 14"}, False),
        ({"os": "Termux"}, False),
        ({"os": "Pyodide"}, False),
        ({"os": "Raspberry Pi OS"}, True),
        ({"os": "Raspberry Pi OS 32-bit"}, False),
        ({"os": "windows", "arch": "armv7l"}, False),
        ({"os": "python:3.12-slim", "python": ""}, False),
        ({"os": "python:3.13-alpine", "python": ""}, False),
    ],
)
def test_the_version_of_a_system_decides_which_wheel_fits(
    options: dict[str, str], fits: bool
) -> None:
    report = bug_report(**{"python": "3.13", **options})
    assert files_answer(report, _release()).works is (None if fits else False)


def test_a_wheel_for_a_system_without_a_machine_fits() -> None:
    release = _release(_file("cp313-cp313-android_21_arm64_v8a"))
    assert files_answer(bug_report(os="Termux", python="3.13"), release).works is None
    assert files_answer(bug_report(os="FreeBSD", python="3.13"), release).works is False


@pytest.mark.parametrize(
    ("options", "files", "earlier", "cause"),
    [
        ({"python": "3.12"}, (_file(LINUX),), (), "unsupported-python"),
        ({"python": "3.14"}, (_file(LINUX),), (), "unsupported-python"),
        ({"python": "3.13", "os": "alpine"}, (_file(LINUX),), (), "unsupported-platform"),
        ({"python": "3.14", "os": "macos"}, (_file(LINUX),), (), "unsupported-platform"),
        (
            {"python": "3.14"},
            (_file(LINUX, requires_python=""),),
            (_file("py3-none-any", "0.1", ""),),
            "silent-fallback",
        ),
        ({"python": "3.13", "os": "alpine"}, (_file(LINUX), _file("")), (), "sdist-fallback"),
        ({"python": "3.13"}, (_file(LINUX),), (), ""),
    ],
)
def test_the_answer_has_the_name_of_its_cause(
    options: dict[str, str],
    files: tuple[IndexedFile, ...],
    earlier: tuple[IndexedFile, ...],
    cause: str,
) -> None:
    assert files_answer(bug_report(**options), _release(*files, earlier=earlier)).cause == cause


def test_a_pure_or_abi3_wheel_fits_other_pythons() -> None:
    for tags in ("py3-none-any", "cp312-abi3-manylinux_2_28_x86_64"):
        release = _release(_file(tags, requires_python=""))
        assert files_answer(bug_report(python="3.14"), release).works is None


def test_a_source_distribution_leaves_the_answer_open_unless_it_excludes_the_python() -> None:
    assert files_answer(bug_report(python="3.14"), _release(_file(LINUX), _file(""))).works is None
    assert files_answer(bug_report(python="3.12"), _release(_file(""))).works is False


def test_an_incomplete_list_of_files_leaves_the_answer_open() -> None:
    release = _release(_file(LINUX)).model_copy(update={"unknown": "the index does not answer"})
    result = files_answer(bug_report(os="macos"), release)
    assert result.works is None
    assert "the index does not answer" in result.text


def test_the_earlier_release_that_an_installer_chooses_is_named() -> None:
    earlier = (
        _file("py3-none-any", "0.9", ""),
        _file("py3-none-any", "0.10", ""),
        _file("py3-none-any", "1.0", "<3.12"),
        _file(LINUX, "1.5", ""),
    )
    result = files_answer(bug_report(python="3.12"), _release(earlier=earlier))
    assert result.works is False
    assert "quiverdb 0.10" in result.text
    assert "0.9" not in result.text
    assert "0.10" not in files_answer(bug_report(python="3.12"), _release()).text
