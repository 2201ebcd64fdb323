"""Rank the machines by their distance from the machine of a bug report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from verification.models.base import Model
from verification.models.errors import WrongUse
from verification.models.evidence import CellEvidence
from verification.models.machine import MachineSpec
from verification.reproduction import substitutes, system_names
from verification.reproduction.substitutes import Substitute
from verification.reproduction.system_names import (
    PROCESSORS,
    Difference,
    NamedSystem,
    System,
    systems,
)
from verification.suggestions import unknown

_PROCESSOR = "x86_64"
"""The processor of all machines of machines.toml."""
# The weights of differences. One that is more important for a wheel has a larger weight.
_SIMULATED, _LIBRARY, _GLIBC, _FAMILY, _SYSTEM, _SCENARIO = 20, 15, 3, 2, 1, 1
_ANY_LINUX = "linux"
"""The system of a bug report that names Linux and no distribution."""
_VERSION = re.compile(r"\d+\.\d+")
_PYTHON_VERSION = re.compile(r"(\d+)\.(\d+)((?:\.\d+)?(?:(?:a|b|rc)\d+)?)(t?)")


class BugReport(Model):
    """The machine of a bug report. A value that the bug report does not name is empty or None."""

    python: str = ""
    named_system: NamedSystem | None = None
    processor: str = ""
    """The processor as in platform tags, such as x86_64."""
    glibc: str = ""
    installer: str = ""
    scenario: str = ""
    substitutes: tuple[Substitute, ...] = ()
    """The installers and user environments that a machine can only replace."""

    @property
    def system(self) -> System | None:
        """The system of systems.toml that is the nearest to the named one."""
        return self.named_system.system if self.named_system else None

    @property
    def can_run(self) -> bool:
        """True if a machine can run instead of the one of the bug report."""
        return all(substitute.runs for substitute in self.substitutes)

    @property
    def workarounds(self) -> tuple[str, ...]:
        """The templates of what the user can do about the differences."""
        return tuple(item.workaround for item in self.substitutes if item.workaround)

    @property
    def os(self) -> str:
        """The operating system; Linux if the bug report names none."""
        return self.system.os if self.system else "linux"

    @property
    def libc(self) -> str:
        """The C library that the bug report names, else that of its system."""
        return self.glibc or (self.system.glibc if self.system else "")

    @property
    def has_unknown_libc(self) -> bool:
        """True if its system is a Linux whose C library changes."""
        names_linux = self.system is not None and self.system.name != _ANY_LINUX
        return names_linux and self.os == "linux" and not self.libc

    @property
    def python_version(self) -> tuple[int, int] | None:
        """The major and minor version of its Python; None if the bug report does not name them."""
        return minor_version(self.python)

    @property
    def full_python(self) -> str:
        """The version of Python in the bug report, such as 3.13.2; empty without a third number."""
        match = _PYTHON_VERSION.fullmatch(self.python)
        return self.python.removesuffix("t") if match and match[3] else ""

    @property
    def free_threaded(self) -> bool:
        """True if its Python is free-threaded."""
        return self.python.endswith("t")

    @property
    def title(self) -> str:
        """A short description of the machine."""
        system = self.named_system.title if self.named_system else ""
        libc = f"glibc {self.glibc}" if self.glibc else ""
        python = f"Python {self.python}" if self.python else ""
        return ", ".join(filter(None, (system, libc, self.processor, python))) or "any machine"


class RankedMachine(NamedTuple):
    """A machine, and its differences from the machine of the bug report."""

    spec: MachineSpec
    differences: tuple[Difference, ...]

    @property
    def distance(self) -> int:
        """The sum of the weights of its differences."""
        return sum(difference.weight for difference in self.differences)

    def __str__(self) -> str:
        weighted = [item for item in self.differences if item.weight]
        weights = "; ".join(f"{item.text} ({item.weight})" for item in weighted)
        return f"{self.spec.name}: {self.distance}{f' = {weights}' if weights else ''}"


def bug_report(
    *,
    python: str = "",
    os: str = "",
    arch: str = "",
    glibc: str = "",
    installer: str = "",
    scenario: str = "",
) -> BugReport:
    """Check the values of a bug report and return them as a model.

    Raises:
        WrongUse: the system or the processor is unknown, a version is not valid, or a version of
            glibc is given for a system without glibc.
    """
    named = _system_named(os) if os else None
    replaced = {name: item for name in (installer, scenario) if (item := substitutes.named(name))}
    for item in replaced.values():
        named = named or (system_names.named_system(item.os) if item.os else None)
        if named and item.os not in ("", named.system.os):
            raise WrongUse(f"--os {os}: {item.title} exists only on {item.os}")
    python = python or (named.python if named else "")
    _check_values(python, arch, glibc, named)
    if scenario in replaced:
        installer = installer or replaced[scenario].installer
    if installer in replaced:
        installer = replaced[installer].installer
    return BugReport(
        python=python,
        named_system=named,
        processor=PROCESSORS[arch.lower()] if arch else named.processor if named else "",
        glibc=glibc,
        installer=installer,
        scenario="" if scenario in replaced else scenario,
        substitutes=tuple(replaced.values()),
    )


def _check_values(python: str, arch: str, glibc: str, named: NamedSystem | None) -> None:
    if arch and arch.lower() not in PROCESSORS:
        raise WrongUse(f"--arch {unknown('processor', arch, PROCESSORS)}")
    if python and not _PYTHON_VERSION.fullmatch(python):
        raise WrongUse(f"--python {python}: not a version; write one such as 3.13 or 3.13.2")
    if glibc and not _VERSION.fullmatch(glibc):
        raise WrongUse(f"--glibc {glibc}: not a version; write one such as 2.31")
    if glibc and named and (named.system.os != "linux" or named.system.glibc == "musl"):
        raise WrongUse(f"--glibc {glibc}: {named.title} does not use glibc; remove this option")


def _system_named(text: str) -> NamedSystem:
    if named := system_names.named_system(text):
        return named
    line = unknown("system", text, system_names.names(), system_names.titles())
    raise WrongUse(f"--os {line}")


def system_of(spec: MachineSpec, known: Mapping[str, System] | None = None) -> System | None:
    """Return the system with the longest name that the machine's name starts with; None if none."""
    matching = [
        system for system in (known or systems()).values() if spec.name.startswith(system.name)
    ]
    return max(matching, key=lambda system: len(system.name), default=None)


def ranked_machines(
    bug_report: BugReport, machines: Mapping[str, MachineSpec]
) -> list[RankedMachine]:
    """Return the machines with the Python of the bug report, the nearest first.

    The minor version of Python decides which wheel fits, so machines with another one are left out.
    A bug report without a Python matches every machine.
    """
    known = systems()
    ranking = [
        RankedMachine(spec, tuple(_differences(spec, bug_report, known)))
        for spec in machines.values()
        if _is_candidate(spec, bug_report) and _has_python(spec, bug_report)
    ]
    return sorted(ranking, key=lambda machine: machine.distance)  # stable: keeps the file's order


def _is_candidate(spec: MachineSpec, bug_report: BugReport) -> bool:
    """Return True if the machine can replace that of the bug report; its Python does not count."""
    program = bug_report.installer.partition("-")[0]
    return (
        bug_report.can_run
        and spec.os == bug_report.os
        and bug_report.processor in ("", _PROCESSOR)
        and spec.runs_on != "windows"
        and bool(spec.musl) == (bug_report.libc == "musl")
        and (not program or program in {name.partition("-")[0] for name in spec.installers})
    )


def can_be_built(bug_report: BugReport) -> bool:
    """Return True if a build on this host makes a wheel for the system and processor."""
    return bug_report.os in ("linux", "windows") and bug_report.processor in ("", _PROCESSOR)


def _has_python(spec: MachineSpec, bug_report: BugReport) -> bool:
    if bug_report.python_version is None:
        return True
    required = (bug_report.python_version, bug_report.free_threaded)
    return (spec.python_version, spec.free_threaded) == required


def _differences(
    spec: MachineSpec, bug_report: BugReport, known: Mapping[str, System]
) -> Iterator[Difference]:
    if spec.glibc and bug_report.libc not in ("", "musl", spec.glibc):
        distance = spec.libc_version[1] - _minor(bug_report.libc)
        newer = ", a newer version that can hide a failure" if distance > 0 else ""
        text = f"glibc {spec.glibc} instead of {bug_report.libc}{newer}"
        yield Difference(text, _GLIBC * abs(distance), decisive=True)
    if bug_report.has_unknown_libc and bug_report.named_system:
        text = f"the version of glibc on {bug_report.named_system.title} is not known"
        yield Difference(text, _GLIBC, decisive=True)
    yield from _system_differences(spec, bug_report, system_of(spec, known))
    yield from bug_report.named_system.differences if bug_report.named_system else ()
    if spec.runs_on == "wine":
        yield Difference("Wine instead of Windows (limits: docs/explanation/stand-ins.md)")
    for library in spec.additional_software:
        yield Difference(
            f"the machine has {library}, a clean machine does not", _LIBRARY, decisive=True
        )
    for library in spec.missing_software:
        yield Difference(f"the machine has no {library}", _LIBRARY, decisive=True)
    for substitute in bug_report.substitutes:
        yield Difference(substitute.difference, decisive=substitute.decisive)
    if bug_report.scenario and bug_report.scenario not in spec.scenarios:
        text = f"machines.toml does not list the scenario {bug_report.scenario} for {spec.name}"
        yield Difference(text, _SCENARIO)


def _system_differences(
    spec: MachineSpec, bug_report: BugReport, system: System | None
) -> Iterator[Difference]:
    if system and system.family == "simulated":
        yield Difference(f"the machine is simulated: {spec.title}", _SIMULATED, decisive=True)
    if not bug_report.named_system or not bug_report.system or bug_report.system.name == _ANY_LINUX:
        return
    title = bug_report.named_system.title
    if system and system.name == bug_report.system.name:
        # A point release, or a system with the same libraries.
        if title != system.title and not bug_report.named_system.differences:
            yield Difference(f"{system.title} instead of {title}")
        return
    # On Linux the C library decides what loads. Versions of Windows differ in their libraries.
    decisive = spec.os != "linux"
    if system is None:
        yield Difference(f"{spec.title} instead of {title}", _SYSTEM, decisive)
    else:
        weight = _SYSTEM if system.family == bug_report.system.family else _FAMILY
        yield Difference(f"{system.title} instead of {title}", weight, decisive)


def observed_differences(
    bug_report: BugReport, spec: MachineSpec, evidence: CellEvidence
) -> list[Difference]:
    """Return the differences that are known only after the machine ran."""
    differences = []
    if bug_report.python and evidence.python:
        observed = f"{evidence.python}{evidence.abiflags}"
        same = minor_version(observed) == bug_report.python_version
        same = same and (evidence.abiflags == "t") == bug_report.free_threaded
        if not same or bug_report.full_python not in ("", evidence.python):
            text = f"Python {observed} instead of {bug_report.python}"
            differences.append(Difference(text, decisive=not same))
    libc, version = evidence.libc
    if libc == "glibc" and version != spec.glibc and bug_report.libc not in ("", version):
        text = f"glibc {version} instead of {bug_report.libc}"
        differences.append(Difference(text, decisive=True))
    processor = PROCESSORS.get(evidence.machine.lower(), evidence.machine)
    if bug_report.processor and processor and processor != bug_report.processor:
        text = f"the processor {processor} instead of {bug_report.processor}"
        differences.append(Difference(text, decisive=True))
    if evidence.deviation:
        text = f"the command differs from the literal one: {evidence.deviation}"
        differences.append(Difference(text))
    return differences


def minor_version(python: str) -> tuple[int, int] | None:
    """Return the major and minor version of a version of Python; None if it has none."""
    match = re.match(r"(\d+)\.(\d+)", python)
    return (int(match[1]), int(match[2])) if match else None


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
