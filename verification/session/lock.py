"""Resolve the dependencies of a release with uv, for the Python and platform of each machine.

uv resolves once for each machine, because neither a marker nor its universal resolution knows
which wheels fit a machine (decision 0024).
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from containers import upstream_releases
from containers.progress import step
from containers.state import state_folder
from containers.upstream_releases import UpstreamUnavailable
from verification.models import lock_file
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.lock_file import LockedRelease
from verification.models.machine import MachineSpec
from verification.models.release import Release, allows_python
from verification.models.subject import Subject
from verification.scenarios.expectation import supported_tags
from verification.session import dependencies
from verification.subjects import subject as subjects
from verification.wheel.dependencies import requirements

_GLIBC = (17, 28, *range(31, 41))
"""The minor versions of glibc for which uv has a platform (`uv pip compile --help`)."""
_NO_SOLUTION = "No solution found"
_System = tuple[str, str]
"""The values of ``sys_platform`` and ``python_version`` on a machine."""


class Pin(NamedTuple):
    """A version of a dependency."""

    name: str
    version: str


class Resolution(NamedTuple):
    """The versions of the dependencies for all machines."""

    releases: tuple[LockedRelease, ...]
    machines: tuple[str, ...]
    """The machines with a solution."""
    refusals: Mapping[str, tuple[str, ...]]
    """The machines without a solution, by uv's explanation in one line."""


class _NoSolution(Exception):
    """The requirements have no solution for a machine. The message is one line."""


def resolve(release: Release, subject: Subject) -> Resolution:
    """Return the newest versions of the dependencies that each machine can install as wheels.

    A machine that no wheel of the release fits may get an earlier release. It therefore gets the
    dependencies of all wheels.

    Raises:
        WrongUse: a file is not a wheel, or the requirements have no solution for any machine.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    project = canonicalize_name(subject.name)
    groups: dict[object, list[MachineSpec]] = defaultdict(list)
    for spec in dependencies.machines_of(subject):
        groups[dependencies.target(spec)].append(spec)
    solutions: dict[str, Sequence[Pin]] = {}
    refusals: dict[str, list[str]] = defaultdict(list)
    with step("lock: resolving the dependencies"), tempfile.TemporaryDirectory() as folder:
        resolver = _Resolver(Path(folder))
        for first, *others in groups.values():
            declared = _requirements(release, subject, first)
            names = [spec.name for spec in (first, *others)]
            try:
                pins = resolver.pins(declared, first)
            except _NoSolution as reason:
                refusals[str(reason)] += names
                continue
            solutions |= dict.fromkeys(names, tuple(pin for pin in pins if pin.name != project))
    if not solutions:
        line, names = next(iter(refusals.items()))
        raise WrongUse(f"{subject.name} {release.version}: no dependencies for {names[0]}: {line}")
    systems = {spec.name: _system(spec) for specs in groups.values() for spec in specs}
    return Resolution(
        tuple(_releases(solutions, systems, resolver.wheels)),
        tuple(solutions),
        {line: tuple(names) for line, names in refusals.items()},
    )


def write(path: Path, resolution: Resolution, subject: Subject, version: str) -> None:
    """Write a lock file in one operation.

    Raises:
        WrongUse: the file cannot be written.
    """
    comment = f"The dependencies of {subject.name} {version}. ./e2e lock makes this file."
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(lock_file.format_text(resolution.releases, comment), "utf-8")
        partial.replace(path)
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror}") from None


def write_next_to(description: Path, release: Release) -> Resolution:
    """Write the lock of a release next to a description, and add its name to the description.

    A release without dependencies gets no lock.

    Raises:
        WrongUse: the dependencies have no solution for any machine, or a file cannot be written.
        TestbedFailure: ``index-unreachable``: the upstream index does not answer.
    """
    subject = subjects.load(description)
    resolution = resolve(release, subject)
    if resolution.releases:
        path, _ = subjects.lock_path(description)
        write(path, resolution, subject, release.version)
        text = description.read_text("utf-8")
        line = f'dependencies = "{path.name}"\n'
        named = text.replace("\n[[platforms]]", f"{line}\n[[platforms]]", 1)
        description.write_text(named, "utf-8")
    return resolution


def _requirements(release: Release, subject: Subject, machine: MachineSpec) -> list[str]:
    """Return what the wheels of a release require on a machine, without extras."""
    tags = supported_tags(machine)
    fitting = [p for p in release.wheel_paths if parse_wheel_filename(p.name)[3] & tags]
    lines = set()
    for path in fitting or release.wheel_paths:
        required = dependencies.metadata(path)
        if not required:
            raise WrongUse(f"{path}: this file is not a complete wheel; give a complete .whl file")
        texts = required.get("requires_dist", ())
        for requirement in requirements(texts, dependencies.environment(machine)):
            if not requirement.url and canonicalize_name(requirement.name) != canonicalize_name(
                subject.name
            ):
                requirement.marker = None
                lines.add(str(requirement))
    return sorted(lines)


# ---- the resolver ----


class _Resolver:
    """Resolves for one machine after the other, and collects the wheels of each version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels: dict[Pin, dict[str, str]] = defaultdict(dict)
        """The sha256 of each wheel of a version, by file name."""
        self._listed: set[tuple[Pin, str]] = set()
        self._requires_python: dict[str, Mapping[str, str]] = {}

    def pins(self, declared: Sequence[str], machine: MachineSpec) -> list[Pin]:
        """Return the versions of the dependencies for a machine.

        uv knows neither free-threaded Pythons nor the newest glibc, and ignores upper bounds in
        Requires-Python. A version whose wheels do not fit the machine is therefore excluded, and uv
        resolves again.

        Raises:
            _NoSolution: the requirements have no solution.
            TestbedFailure: the upstream index does not answer.
        """
        tags = supported_tags(machine)
        excluded: list[str] = []
        pins: list[Pin] = []
        while declared:
            options = ("--only-binary=:all:", f"--python-platform={_platform(machine)}")
            pins = list(_packages(self._compile(declared, excluded, machine, *options)))
            self._list_wheels(pins, machine)
            unfit = [
                pin
                for pin in pins
                if not any(
                    parse_wheel_filename(file)[3] & tags
                    and allows_python(self._pythons(pin.name).get(file, ""), machine.python_minor)
                    for file in self.wheels[pin]
                )
            ]
            if not unfit:
                break
            excluded += [f"{name}!={version}" for name, version in unfit]
        return pins

    def _list_wheels(self, pins: Sequence[Pin], machine: MachineSpec) -> None:
        """Add all wheels of these versions for the Python of a machine, on all platforms."""
        unlisted = {(pin, machine.python) for pin in pins} - self._listed
        if not unlisted:
            return
        exact = [f"{pin.name}=={pin.version}" for pin, _ in unlisted]
        listed = self._compile(sorted(exact), (), machine, "--no-deps", "--universal")
        for pin, wheels in _packages(listed).items():
            self.wheels[pin] |= wheels
        self._listed |= unlisted

    def _pythons(self, project: str) -> Mapping[str, str]:
        """Return the Requires-Python of each file of a project."""
        if project not in self._requires_python:
            self._requires_python[project] = dict(_requires_python(project))
        return self._requires_python[project]

    def _compile(
        self,
        declared: Sequence[str],
        excluded: Sequence[str],
        machine: MachineSpec,
        *options: str,
    ) -> str:
        """Return the pylock.toml of `uv pip compile` for the Python of a machine.

        Raises:
            _NoSolution: the requirements have no solution.
            TestbedFailure: the upstream index does not answer, or uv failed.
        """
        (self.folder / "requirements.in").write_text("\n".join(declared), "utf-8")
        (self.folder / "excluded.txt").write_text("\n".join(excluded), "utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "requirements.in", "--quiet"]
        command += ["--constraint=excluded.txt", "--format=pylock.toml", "--no-header", *options]
        command += ["--no-config", "--no-python-downloads", f"--python={sys.executable}"]
        command += [f"--python-version={machine.python_minor}", *_index_options()]
        result = subprocess.run(
            [*command, f"--cache-dir={state_folder() / 'uv'}"],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise _failure(result.stderr)
        return result.stdout


def _requires_python(project: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the Requires-Python of each file of a project.

    Raises:
        TestbedFailure: the upstream index does not answer.
    """
    if folders := _folders():
        for path in (path for folder in folders for path in Path(folder).glob("*.whl")):
            if parse_wheel_filename(path.name)[0] == project:
                yield path.name, dependencies.metadata(path).get("requires_python", "")
        return
    try:
        files = upstream_releases.listing(project)
    except UpstreamUnavailable as reason:
        raise TestbedFailure("index-unreachable", "upstream index", str(reason)) from None
    yield from ((file.name, file.requires_python) for file in files)


def _packages(pylock: str) -> dict[Pin, dict[str, str]]:
    """Return the sha256 of the wheels of each version in a pylock.toml, by file name (PEP 751)."""
    return {
        Pin(package["name"], package["version"]): {
            _file_name(wheel): wheel["hashes"]["sha256"] for wheel in package.get("wheels", ())
        }
        for package in tomllib.loads(pylock).get("packages", ())
    }


def _file_name(wheel: Mapping[str, str]) -> str:
    location = wheel.get("name") or wheel.get("path") or unquote(urlsplit(wheel["url"]).path)
    return location.rpartition("/")[2]


def _failure(errors: str) -> _NoSolution | TestbedFailure:
    """Return the failure that uv reports, in one line."""
    lines = [line.strip() for line in errors.splitlines() if "warning:" not in line]
    text = " ".join(itertools.takewhile(bool, lines))
    for word in ("error: ", "cause: ", f"{_NO_SOLUTION} when resolving dependencies"):
        text = text.replace(word, "")
    reason = textwrap.shorten(text, 300, placeholder=" ...")
    if _NO_SOLUTION in errors:
        return _NoSolution(reason)
    return TestbedFailure("index-unreachable", "upstream index", f"uv: {reason}")


def _platform(machine: MachineSpec) -> str:
    """Return uv's name of the platform of a machine. An unknown glibc is the next older one."""
    if machine.os == "windows":
        return "x86_64-pc-windows-msvc"
    if machine.musl:
        return "x86_64-unknown-linux-musl"
    _, minor = machine.libc_version
    return f"x86_64-manylinux_2_{max(known for known in _GLIBC if known <= max(minor, 17))}"


def _index_options() -> list[str]:
    """Return the options that make uv use the index of pip on this host, or pip's local folders.

    Additional indexes of this host are left out, because users do not have them.
    """
    if folders := _folders():
        return ["--no-index", *(f"--find-links={folder}" for folder in folders)]
    return [f"--default-index={upstream_releases.index_url()}"]


def _folders() -> list[str]:
    """Return the folders that pip is set to use instead of an index."""
    has_no_index = upstream_releases.pip_setting("no-index").lower() in ("1", "true", "yes", "on")
    return upstream_releases.pip_setting("find-links").split() if has_no_index else []


def _environment() -> dict[str, str]:
    """Return the environment of uv: this one, with the CA certificates of pip."""
    certificates = upstream_releases.pip_setting("cert")
    return {**({"SSL_CERT_FILE": certificates} if certificates else {}), **os.environ}


# ---- the entries ----


def _system(machine: MachineSpec) -> _System:
    variables = dependencies.environment(machine)
    return variables["sys_platform"], variables["python_version"]


def _releases(
    solutions: Mapping[str, Sequence[Pin]],
    systems: Mapping[str, _System],
    wheels: Mapping[Pin, Mapping[str, str]],
) -> Iterator[LockedRelease]:
    """Yield an entry for each version, by name and version, with the marker of its machines."""
    users: dict[Pin, set[_System]] = defaultdict(set)
    for machine, pins in solutions.items():
        for pin in pins:
            users[pin].add(systems[machine])
    every = set(systems.values())
    for pin in sorted(users, key=lambda pin: (pin.name, Version(pin.version))):
        marker = _marker(users[pin], every)
        hashes = tuple(sorted({*wheels[pin].values()}))
        yield LockedRelease(name=pin.name, version=pin.version, marker=marker, hashes=hashes)


def _marker(selected: Set[_System], every: Set[_System]) -> str:
    """Return the marker that is true on the selected systems and false on the others."""
    parts = {}
    for platform in sorted({platform for platform, _ in every}):
        pythons = _pythons(platform, selected)
        if pythons:
            parts[platform] = _python_marker(pythons, _pythons(platform, every))
    if len(parts) == len({platform for platform, _ in every}) and len({*parts.values()}) == 1:
        return next(iter(parts.values()))
    return " or ".join(
        " and ".join(filter(None, (f"sys_platform == '{platform}'", part)))
        for platform, part in parts.items()
    )


def _pythons(platform: str, systems: Iterable[_System]) -> list[str]:
    """Return the versions of Python on a platform, oldest first."""
    return sorted({python for name, python in systems if name == platform}, key=Version)


def _python_marker(selected: Sequence[str], every: Sequence[str]) -> str:
    """Return the marker of some versions of Python; empty for all. Both are sorted."""
    if len(selected) == 1 < len(every):
        return f"python_version == '{selected[0]}'"
    first, last = every.index(selected[0]), every.index(selected[-1])
    if list(every[first : last + 1]) != list(selected):
        return "(" + " or ".join(f"python_version == '{python}'" for python in selected) + ")"
    lower = f"python_version >= '{selected[0]}'" if first else ""
    upper = f"python_version <= '{selected[-1]}'" if last < len(every) - 1 else ""
    return " and ".join(filter(None, (lower, upper)))
