"""Wheels for platforms without a machine are inspected and judged by their files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.commands import gate, read_report
from tests.helpers.binaries import elf
from tests.helpers.wheel_builder import mutate
from verification.models.errors import ExitCode
from verification.models.report import Report
from verification.models.results import Coverage
from verification.subjects import subject as subjects

pytestmark = pytest.mark.long
ARM = "manylinux_2_28_aarch64"
LIBRARIES = ("libquiver.so", "libquiver_c.so")


def _arm_wheel(wheel: Path, folder: Path, machine: str) -> Path:
    """Write a copy of a Linux wheel with a tag for AArch64, and return its path.

    ``machine`` is the processor of the libraries in the copy.
    """
    name = wheel.name.replace("manylinux_2_28_x86_64", ARM)
    libraries = {
        f"quiverdb/_libs/{library}": elf(machine=machine, soname=library, needed=["libc.so.6"])
        for library in LIBRARIES
    }
    tag_file = f"{wheel.name.rsplit('-', 3)[0]}.dist-info/WHEEL"
    return mutate(
        wheel,
        folder,
        rename=name,
        edit={
            **{path: _content(data) for path, data in libraries.items()},
            tag_file: lambda data: data.replace(b"manylinux_2_28_x86_64", ARM.encode()),
        },
    )


def _content(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def _description(folder: Path, platforms: str) -> Path:
    """Write a subject.toml for quiverdb with these platforms, and return its path."""
    default = subjects.DEFAULT_SUBJECT
    text, _, _ = default.read_text("utf-8").partition("[[platforms]]")
    for file in default.parent.iterdir():
        if file.is_file() and file.name != default.name:
            shutil.copy(file, folder)
    path = folder / "subject.toml"
    path.write_text(f"{text}\n{platforms}", "utf-8")
    return path


def _platform(tag: str, *libraries: str, execute: bool = True) -> str:
    names = ", ".join(f'"{name}"' for name in libraries)
    return (
        f'[[platforms]]\ntag = "{tag}"\nlibraries = [{names}]\nexecute = {str(execute).lower()}\n'
    )


LINUX = _platform("manylinux_2_28_x86_64", *LIBRARIES)


def _causes(report: Report) -> dict[str, set[str]]:
    return {item.id: {cause.name for cause in item.causes} for item in report.items}


def _coverage(report: Report) -> dict[str, Coverage]:
    return {platform.tag: platform.coverage for platform in report.platforms}


@pytest.mark.parametrize(
    ("machine", "code"),
    [("armv7l", ExitCode.PACKAGE_FAILED), ("aarch64", ExitCode.VERIFIED)],
)
def test_wheel_with_code_for_another_processor_fails_without_a_machine(
    tmp_path: Path, good_wheel: Path, machine: str, code: ExitCode
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    shutil.copy(good_wheel, wheels)
    _arm_wheel(good_wheel, wheels, machine)
    finished = gate(
        tmp_path / "report", f"--wheels={wheels}", "--machine=debian-13", "-kuv-venv or platforms"
    )
    report = read_report(tmp_path / "report")

    assert finished.code == code, finished.output
    assert _coverage(report)[ARM] is Coverage.INSPECTED_ONLY
    causes = _causes(report).get(f"wheel-{ARM}")
    assert causes == ({"wrong-architecture"} if code else None)


@pytest.mark.parametrize(
    ("with_wheel", "execute", "code", "causes"),
    [
        (True, True, ExitCode.UNVERIFIED, set()),
        (True, False, ExitCode.VERIFIED, None),
        (False, False, ExitCode.PACKAGE_FAILED, {"incomplete-release"}),
    ],
)
def test_verdict_of_a_platform_without_a_machine(
    tmp_path: Path,
    good_wheel: Path,
    *,
    with_wheel: bool,
    execute: bool,
    code: ExitCode,
    causes: set[str] | None,
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    shutil.copy(good_wheel, wheels)
    if with_wheel:
        _arm_wheel(good_wheel, wheels, "aarch64")
    subject = _description(tmp_path, LINUX + _platform(ARM, *LIBRARIES, execute=execute))
    finished = gate(
        tmp_path / "report", f"--wheels={wheels}", f"--subject={subject}", "--profile=quick"
    )
    report = read_report(tmp_path / "report")

    assert finished.code == code, finished.output
    assert _causes(report).get(f"wheel-{ARM}") == causes


def test_subject_for_one_system_runs_only_on_machines_of_that_system(
    tmp_path: Path, good_wheel: Path
) -> None:
    subject = _description(tmp_path, LINUX)
    finished = gate(
        tmp_path / "report",
        f"--wheels={good_wheel.parent}",
        f"--subject={subject}",
        "--profile=quick",
    )
    report = read_report(tmp_path / "report")

    assert finished.code == ExitCode.VERIFIED, finished.output
    assert {cell.machine for cell in report.cells} == {"debian-13"}
    assert "windows-wine" in {entry.id for entry in report.out_of_scope}


def test_platform_that_is_not_selected_is_inspected_and_does_not_count(tmp_path: Path) -> None:
    finished = gate(tmp_path / "report", "--release=0.13.5", "--machine=debian-13", "-kuv-venv")
    report = read_report(tmp_path / "report")

    assert finished.code == ExitCode.VERIFIED, finished.output
    assert {wheel.file for wheel in report.static.wheels} == set(report.wheels)
    (windows,) = [p for p in report.platforms if p.tag == "win_amd64"]
    assert windows.coverage is Coverage.NOT_SELECTED
    assert "missing-runtime-library" in {cause.name for cause in windows.causes}
    assert "missing-runtime-library" in finished.output
