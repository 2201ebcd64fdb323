"""Find the machine that is most similar to the machine of a bug report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from verification.models.base import Model, read_tables
from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec

PATH = Path(__file__).with_name("systems.toml")
# What decides most about a wheel weighs most: the Python that it fits, then the C library.
_PYTHON, _SIMULATED, _ADDED, _GLIBC, _FAMILY, _SYSTEM, _SCENARIO = 100, 20, 15, 3, 2, 1, 1
_VERSION = re.compile(r"\d+\.\d+")
_PYTHON_VERSION = re.compile(r"(\d+)\.(\d+)((?:\.\d+)?(?:(?:a|b|rc)\d+)?)(t?)")


class System(Model):
    """One system of systems.toml."""

    name: str
    title: str
    os: Literal["linux", "windows", "macos"]
    family: str
    glibc: str
    """The C library of Linux: the version of glibc, or ``musl``; empty elsewhere."""
    aliases: tuple[str, ...]


class BugReport(Model):
    """What a bug report says about its machine; empty or None is what it does not say."""

    python: str = ""
    system: System | None = None
    glibc: str = ""
    installer: str = ""
    scenario: str = ""

    @property
    def os(self) -> str:
        """The operating system; Linux if the report names none."""
        return self.system.os if self.system else "linux"

    @property
    def libc(self) -> str:
        """The C library that the report names, or that its system has."""
        return self.glibc or (self.system.glibc if self.system else "")


class RankedMachine(NamedTuple):
    """A machine, and how it differs from the one that was asked for: each line with its weight."""

    spec: MachineSpec
    differences: tuple[tuple[str, int], ...]

    @property
    def distance(self) -> int:
        """The sum of the weights."""
        return sum(weight for _, weight in self.differences)

    def __str__(self) -> str:
        lines = "; ".join(f"{line} ({weight})" for line, weight in self.differences if weight)
        return f"{self.spec.name}: {self.distance}{f' = {lines}' if lines else ''}"


def systems(path: Path = PATH) -> Mapping[str, System]:
    """Return the systems by name.

    Raises:
        DataError: the file cannot be read, or a system does not fit the model.
    """
    return read_tables(System, path)


def bug_report(
    *, python: str = "", os: str = "", glibc: str = "", installer: str = "", scenario: str = ""
) -> BugReport:
    """Return what a bug report says, checked.

    Raises:
        WrongUse: an unknown system, or a version that is none.
    """
    system = _system_named(os) if os else None
    if python and not _PYTHON_VERSION.fullmatch(python):
        raise WrongUse(f"--python {python}: not a version; write one such as 3.13 or 3.13.2")
    if glibc and not _VERSION.fullmatch(glibc):
        raise WrongUse(f"--glibc {glibc}: not a version; write one such as 2.31")
    if glibc and system and system.os != "linux":
        raise WrongUse(f"--glibc {glibc}: {system.title} has none; leave it out")
    return BugReport(
        python=python, system=system, glibc=glibc, installer=installer, scenario=scenario
    )


def _system_named(words: str) -> System:
    name = re.sub(r"[\s_:]+", "-", words.strip().lower())
    known = {alias: one for one in systems().values() for alias in (one.name, *one.aliases)}
    if name not in known:
        raise WrongUse(f"--os {words}: unknown; there are: {', '.join(sorted(known))}")
    return known[name]


def system_of(spec: MachineSpec, known: Mapping[str, System] | None = None) -> System | None:
    """Return the system of a machine: the longest name that its own begins with."""
    systems_of_name = [
        one for one in (known or systems()).values() if spec.name.startswith(one.name)
    ]
    return max(systems_of_name, key=lambda one: len(one.name), default=None)


def ranked_machines(report: BugReport, machines: Mapping[str, MachineSpec]) -> list[RankedMachine]:
    """Return the machines that are similar to the one asked for, the most similar first.

    Raises:
        WrongUse: there is none, or none with a similar Python.
    """
    known = systems()
    for_system = report.system.title if report.system else ""
    candidates = [spec for spec in machines.values() if _is_candidate(spec, report)]
    if not candidates:
        installer = f" with {report.installer}" if report.installer else ""
        raise WrongUse(
            f"there is no machine for {for_system or 'such a machine'}{installer}, and none that "
            f"comes near it; there are: {', '.join(machines)}"
        )
    similar = [
        spec for spec in candidates if not report.python or _is_similar(report.python, spec.python)
    ]
    if not similar:
        versions = ", ".join(sorted({spec.python for spec in candidates}))
        what = f" for {for_system}" if for_system else ""
        raise WrongUse(
            f"--python {report.python}: no machine{what} comes near it; there are: {versions}"
        )
    ranking = [RankedMachine(spec, tuple(_differences(spec, report, known))) for spec in similar]
    return sorted(ranking, key=lambda one: one.distance)  # stable: the first of machines.toml wins


def _is_candidate(spec: MachineSpec, report: BugReport) -> bool:
    """Return True if the machine can stand in for the one asked for, whatever its Python."""
    kind = report.installer.partition("-")[0]
    return (
        spec.os == report.os
        and spec.runs_on != "windows"
        and bool(spec.musl) == (report.libc == "musl")
        and (not kind or kind in {name.partition("-")[0] for name in spec.installers})
    )


def _differences(
    spec: MachineSpec, report: BugReport, known: Mapping[str, System]
) -> Iterator[tuple[str, int]]:
    if report.python and (distance := _python_distance(report.python, spec.python)):
        yield f"Python {spec.python} for {report.python}", _PYTHON * distance
    if spec.glibc and report.libc not in ("", "musl", spec.glibc):
        distance = spec.libc_version[1] - _minor(report.libc)
        newer = " (newer: what needs it works here and not there)" if distance > 0 else ""
        yield f"glibc {spec.glibc} for {report.libc}{newer}", _GLIBC * abs(distance)
    yield from _system_differences(spec, report, system_of(spec, known))
    if spec.runs_on == "wine":
        yield "Wine stands in for Windows (docs/trust.md says what that is worth)", 0
    yield from ((f"it has {thing}", _ADDED) for thing in spec.has)
    if report.scenario and report.scenario not in spec.scenarios:
        yield f"machines.toml does not judge it in {report.scenario}", _SCENARIO


def _system_differences(
    spec: MachineSpec, report: BugReport, system: System | None
) -> Iterator[tuple[str, int]]:
    if system and system.family == "simulated":
        yield f"it is simulated: {spec.title}", _SIMULATED
    if not report.system:
        return
    if system is None:
        yield f"{spec.title}, for {report.system.title}", _SYSTEM
    elif system.name != report.system.name:
        weight = _SYSTEM if system.family == report.system.family else _FAMILY
        yield f"{system.title} for {report.system.title}", weight


def _is_similar(asked_for: str, python: str) -> bool:
    """Return True if two Pythons are at most one minor version apart."""
    first, second = minor_version(asked_for), minor_version(python)
    if not first or not second:
        return False
    return first[0] == second[0] and abs(first[1] - second[1]) <= 1


def minor_version(python: str) -> tuple[int, int] | None:
    """Return a Python's major and minor version; None if it begins with none."""
    match = re.match(r"(\d+)\.(\d+)", python)
    return (int(match[1]), int(match[2])) if match else None


def _python_distance(asked_for: str, python: str) -> int:
    first, second = _PYTHON_VERSION.fullmatch(asked_for), _PYTHON_VERSION.fullmatch(python)
    if not first or not second:
        return 1
    minors = abs(int(first[2]) - int(second[2])) + 10 * abs(int(first[1]) - int(second[1]))
    return minors + (first[4] != second[4])


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
