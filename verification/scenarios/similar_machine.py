"""Which machine comes nearest to the one that a bug report tells of."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from verification.models.errors import WrongUse
from verification.models.machine import MachineSpec

_FILE = Path(__file__).with_name("systems.toml")
# What decides most about a wheel weighs most: the Python that it fits, then the C library.
_PYTHON, _SIMULATED, _ADDED, _GLIBC, _FAMILY, _SYSTEM, _SCENARIO = 100, 20, 15, 3, 2, 1, 1
_VERSION = re.compile(r"\d+\.\d+")
_PYTHON_VERSION = re.compile(r"(\d+)\.(\d+)((?:\.\d+)?(?:(?:a|b|rc)\d+)?)(t?)")


@dataclasses.dataclass(frozen=True)
class System:
    """One system of systems.toml."""

    name: str
    title: str
    os: str
    family: str
    glibc: str
    aliases: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a bug report tells of its machine; None or empty is what it does not tell."""

    python: str = ""
    system: System | None = None
    glibc: str = ""
    installer: str = ""
    scenario: str = ""

    @property
    def os(self) -> str:
        """The operating system; Linux, where the report tells none."""
        return self.system.os if self.system else "linux"

    @property
    def libc(self) -> str:
        """The C library that the report names, or that its system has."""
        return self.glibc or (self.system.glibc if self.system else "")


@dataclasses.dataclass(frozen=True)
class Near:
    """A machine, and in what it is another one than was asked for: each with its weight."""

    spec: MachineSpec
    differences: tuple[tuple[str, int], ...]

    @property
    def distance(self) -> int:
        """The sum of the weights."""
        return sum(weight for _, weight in self.differences)

    def __str__(self) -> str:
        told = "; ".join(f"{line} ({weight})" for line, weight in self.differences if weight)
        return f"{self.spec.name}: {self.distance}{f' = {told}' if told else ''}"


def systems(path: Path = _FILE) -> dict[str, System]:
    """Read the systems, by name."""
    tables = tomllib.loads(path.read_text("utf-8"))
    return {
        name: System(name, **{**table, "aliases": tuple(table["aliases"])})
        for name, table in tables.items()
    }


def asked(
    *, python: str = "", os: str = "", glibc: str = "", installer: str = "", scenario: str = ""
) -> Asked:
    """Return what was asked for, checked.

    Raises:
        WrongUse: an unknown system, or a version that is none.
    """
    system = None
    if os:
        known = systems()
        word = re.sub(r"[\s_:]+", "-", os.strip().lower())
        named = {alias: one for one in known.values() for alias in (one.name, *one.aliases)}
        system = named.get(word)
        if system is None:
            raise WrongUse(f"--os {os}: unknown; there are: {', '.join(sorted(named))}")
    if python and not _PYTHON_VERSION.fullmatch(python):
        raise WrongUse(f"--python {python}: not a version; write one such as 3.13 or 3.13.2")
    if glibc and not _VERSION.fullmatch(glibc):
        raise WrongUse(f"--glibc {glibc}: not a version; write one such as 2.31")
    if glibc and system and system.os != "linux":
        raise WrongUse(f"--glibc {glibc}: {system.title} has none; leave it out")
    return Asked(python, system, glibc, installer, scenario)


def system_of(spec: MachineSpec, known: Mapping[str, System] | None = None) -> System | None:
    """Return the system of a machine: the longest name that its own begins with."""
    fitting = [one for one in (known or systems()).values() if spec.name.startswith(one.name)]
    return max(fitting, key=lambda one: len(one.name), default=None)


def ranked(wanted: Asked, machines: Mapping[str, MachineSpec]) -> list[Near]:
    """Return the machines that could stand in for the one asked for, the nearest first.

    Raises:
        WrongUse: there is none, or none whose Python comes near the one asked for.
    """
    known = systems()
    fitting = [
        spec
        for spec in machines.values()
        if spec.os == wanted.os and spec.runs_on != "windows" and _has(spec, wanted.installer)
    ]
    if wanted.libc == "musl":
        fitting = [
            spec for spec in fitting if (own := system_of(spec, known)) and own.glibc == "musl"
        ]
    else:
        fitting = [
            spec
            for spec in fitting
            if not ((own := system_of(spec, known)) and own.glibc == "musl")
        ]
    if not fitting:
        what = wanted.system.title if wanted.system else "such a machine"
        installer = f" with {wanted.installer}" if wanted.installer else ""
        raise WrongUse(
            f"there is no machine for {what}{installer}, and none that comes near it; "
            f"there are: {', '.join(machines)}"
        )
    if wanted.python:
        near = [spec for spec in fitting if _comes_near(wanted.python, spec.python)]
        if not near:
            pythons = {spec.python for spec in fitting}
            told = ", ".join(sorted(pythons))
            what = f" for {wanted.system.title}" if wanted.system else ""
            raise WrongUse(
                f"--python {wanted.python}: no machine{what} comes near it; there are: {told}"
            )
        fitting = near
    found = [Near(spec, tuple(_differences(spec, wanted, known))) for spec in fitting]
    return sorted(found, key=lambda near: near.distance)  # stable: the first of machines.toml wins


def _has(spec: MachineSpec, installer: str) -> bool:
    kind = installer.partition("-")[0]
    return not kind or kind in {name.partition("-")[0] for name in spec.installers}


def _differences(
    spec: MachineSpec, wanted: Asked, known: Mapping[str, System]
) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    own = system_of(spec, known)
    if wanted.python and (distance := _python_distance(wanted.python, spec.python)):
        found.append((f"Python {spec.python} for {wanted.python}", _PYTHON * distance))
    libc = own.glibc if own else ""
    if libc and wanted.libc not in ("", "musl") and libc != wanted.libc:
        apart = abs(_minor(libc) - _minor(wanted.libc))
        newer = _minor(libc) > _minor(wanted.libc)
        told = " (newer: what needs it works here and not there)" if newer else ""
        found.append((f"glibc {libc} for {wanted.libc}{told}", _GLIBC * apart))
    if own and own.family == "simulated":
        found.append((f"it is simulated: {spec.title}", _SIMULATED))
    if wanted.system and own and own.name != wanted.system.name:
        alike = own.family == wanted.system.family
        line = f"{own.title} for {wanted.system.title}"
        found.append((line, _SYSTEM if alike else _FAMILY))
    elif wanted.system and own is None:
        found.append((f"{spec.title}, for {wanted.system.title}", _SYSTEM))
    if spec.runs_on == "wine":
        found.append(("Wine stands in for Windows (docs/trust.md says what that is worth)", 0))
    found += [(f"it has {thing}", _ADDED) for thing in spec.has]
    if wanted.scenario and wanted.scenario not in spec.scenarios:
        found.append((f"machines.toml does not judge it in {wanted.scenario}", _SCENARIO))
    return found


def _comes_near(asked_for: str, has: str) -> bool:
    """Return whether two Pythons are at most one minor version apart."""
    wanted, there = minor_version(asked_for), minor_version(has)
    if not wanted or not there:
        return False
    return wanted[0] == there[0] and abs(wanted[1] - there[1]) <= 1


def minor_version(python: str) -> tuple[int, int] | None:
    """Return a Python's major and minor version; None if it begins with none."""
    found = re.match(r"(\d+)\.(\d+)", python)
    return (int(found[1]), int(found[2])) if found else None


def _python_distance(asked_for: str, has: str) -> int:
    wanted, there = _PYTHON_VERSION.fullmatch(asked_for), _PYTHON_VERSION.fullmatch(has)
    if not wanted or not there:
        return 1
    minors = abs(int(wanted[2]) - int(there[2])) + 10 * abs(int(wanted[1]) - int(there[1]))
    return minors + (wanted[4] != there[4])


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
