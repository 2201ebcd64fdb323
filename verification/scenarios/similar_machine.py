"""Find the machine that is most similar to the machine of a bug report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from verification.models.base import Model, read_tables
from verification.models.errors import WrongUse
from verification.models.evidence import CellEvidence
from verification.models.machine import MachineSpec

PATH = Path(__file__).with_name("systems.toml")
_PROCESSOR = "x86_64"
"""The processor of every machine of machines.toml."""
# A difference that matters more to a wheel has a larger weight.
_SIMULATED, _ADDED, _GLIBC, _FAMILY, _SYSTEM, _SCENARIO = 20, 15, 3, 2, 1, 1
_PROCESSORS = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "i686": "i686",
    "x86": "i686",
}
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
    processor: str = ""
    """x86_64, aarch64 or i686."""
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

    @property
    def python_version(self) -> tuple[int, int] | None:
        """The minor version of its Python; None if the report does not say one."""
        return minor_version(self.python)

    @property
    def full_python(self) -> str:
        """The full version of its Python, such as 3.13.2; empty if the report does not say it."""
        match = _PYTHON_VERSION.fullmatch(self.python)
        return self.python.removesuffix("t") if match and match[3] else ""

    @property
    def free_threaded(self) -> bool:
        """True if its Python is free-threaded."""
        return self.python.endswith("t")

    @property
    def title(self) -> str:
        """A short description of the machine, from the report."""
        system = self.system.title if self.system else ""
        libc = f"glibc {self.glibc}" if self.glibc else ""
        python = f"Python {self.python}" if self.python else ""
        return ", ".join(filter(None, (system, libc, self.processor, python))) or "any machine"


class Difference(NamedTuple):
    """How a machine differs from the one that was asked for."""

    text: str
    weight: int = 0
    decides: bool = False
    """True if the release may work on one of the two and not on the other."""


class RankedMachine(NamedTuple):
    """A machine, and how it differs from the one that was asked for."""

    spec: MachineSpec
    differences: tuple[Difference, ...]

    @property
    def distance(self) -> int:
        """The sum of the weights."""
        return sum(difference.weight for difference in self.differences)

    def __str__(self) -> str:
        weighted = [item for item in self.differences if item.weight]
        weights = "; ".join(f"{item.text} ({item.weight})" for item in weighted)
        return f"{self.spec.name}: {self.distance}{f' = {weights}' if weights else ''}"


def systems(path: Path = PATH) -> Mapping[str, System]:
    """Return the systems by name.

    Raises:
        DataError: the file cannot be read, or a system does not fit the model.
    """
    return read_tables(System, path)


def bug_report(
    *,
    python: str = "",
    os: str = "",
    arch: str = "",
    glibc: str = "",
    installer: str = "",
    scenario: str = "",
) -> BugReport:
    """Return what a bug report says, checked.

    Raises:
        WrongUse: a system or processor is unknown, or a version is not valid.
    """
    system = _system_named(os) if os else None
    if arch and arch.lower() not in _PROCESSORS:
        raise WrongUse(f"--arch {arch}: unknown; there are: {', '.join(_PROCESSORS)}")
    if python and not _PYTHON_VERSION.fullmatch(python):
        raise WrongUse(f"--python {python}: not a version; write one such as 3.13 or 3.13.2")
    if glibc and not _VERSION.fullmatch(glibc):
        raise WrongUse(f"--glibc {glibc}: not a version; write one such as 2.31")
    if glibc and system and (system.os != "linux" or system.glibc == "musl"):
        raise WrongUse(f"--glibc {glibc}: {system.title} has none; leave it out")
    return BugReport(
        python=python,
        system=system,
        processor=_PROCESSORS.get(arch.lower(), ""),
        glibc=glibc,
        installer=installer,
        scenario=scenario,
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
    """Return the machines with the Python that was asked for, the most similar first.

    Machines with another minor version of Python are left out, because it decides which wheel fits.
    A report that names no Python matches every machine.
    """
    known = systems()
    ranking = [
        RankedMachine(spec, tuple(_differences(spec, report, known)))
        for spec in machines.values()
        if _is_candidate(spec, report) and _has_python(spec, report)
    ]
    return sorted(ranking, key=lambda one: one.distance)  # stable: the first of machines.toml wins


def _is_candidate(spec: MachineSpec, report: BugReport) -> bool:
    """Return True if the machine can stand in for the one asked for, whatever its Python."""
    kind = report.installer.partition("-")[0]
    return (
        spec.os == report.os
        and report.processor in ("", _PROCESSOR)
        and spec.runs_on != "windows"
        and bool(spec.musl) == (report.libc == "musl")
        and (not kind or kind in {name.partition("-")[0] for name in spec.installers})
    )


def is_built_here(report: BugReport) -> bool:
    """Return True if a build of the source makes a wheel for the system and processor."""
    return report.os != "macos" and report.processor in ("", _PROCESSOR)


def _has_python(spec: MachineSpec, report: BugReport) -> bool:
    if report.python_version is None:
        return True
    asked = (report.python_version, report.free_threaded)
    return (spec.python_version, spec.free_threaded) == asked


def _differences(
    spec: MachineSpec, report: BugReport, known: Mapping[str, System]
) -> Iterator[Difference]:
    if spec.glibc and report.libc not in ("", "musl", spec.glibc):
        distance = spec.libc_version[1] - _minor(report.libc)
        newer = " (newer: what needs it works here and not there)" if distance > 0 else ""
        text = f"glibc {spec.glibc} for {report.libc}{newer}"
        yield Difference(text, _GLIBC * abs(distance), decides=True)
    yield from _system_differences(spec, report, system_of(spec, known))
    if spec.runs_on == "wine":
        yield Difference("Wine stands in for Windows (docs/explanation/stand-ins.md states the limits)")
    yield from (Difference(f"it has {library}", _ADDED, decides=True) for library in spec.has)
    for library in spec.lacks:
        yield Difference(f"it has no {library}", _ADDED, decides=True)
    if report.scenario and report.scenario not in spec.scenarios:
        yield Difference(f"machines.toml does not judge it in {report.scenario}", _SCENARIO)


def _system_differences(
    spec: MachineSpec, report: BugReport, system: System | None
) -> Iterator[Difference]:
    if system and system.family == "simulated":
        yield Difference(f"it is simulated: {spec.title}", _SIMULATED, decides=True)
    if not report.system or (system and system.name == report.system.name):
        return
    # On Linux the C library decides what loads. Each version of Windows has other libraries.
    decides = spec.os != "linux"
    if system is None:
        yield Difference(f"{spec.title}, for {report.system.title}", _SYSTEM, decides)
    else:
        weight = _SYSTEM if system.family == report.system.family else _FAMILY
        yield Difference(f"{system.title} for {report.system.title}", weight, decides)


def observed_differences(
    report: BugReport, spec: MachineSpec, evidence: CellEvidence
) -> list[Difference]:
    """Return the differences that show only when the machine runs."""
    differences = []
    if report.python and evidence.python:
        observed = f"{evidence.python}{evidence.abiflags}"
        same = minor_version(observed) == report.python_version
        same = same and (evidence.abiflags == "t") == report.free_threaded
        if not same or report.full_python not in ("", evidence.python):
            text = f"Python {observed} for {report.python}"
            differences.append(Difference(text, decides=not same))
    libc, version = evidence.libc
    if libc == "glibc" and version != spec.glibc and report.libc not in ("", version):
        differences.append(Difference(f"glibc {version} for {report.libc}", decides=True))
    processor = _PROCESSORS.get(evidence.machine.lower(), evidence.machine)
    if report.processor and processor and processor != report.processor:
        differences.append(Difference(f"{processor} for {report.processor}", decides=True))
    if evidence.deviation:
        differences.append(Difference(f"the command is not the literal one: {evidence.deviation}"))
    return differences


def minor_version(python: str) -> tuple[int, int] | None:
    """Return a Python's major and minor version; None if it begins with none."""
    match = re.match(r"(\d+)\.(\d+)", python)
    return (int(match[1]), int(match[2])) if match else None


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
