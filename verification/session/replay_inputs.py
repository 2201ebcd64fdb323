"""Store the files that a run uses by their hash, and restore them for a replay."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.utils import parse_wheel_filename

from containers import cache, file_store, upstream_releases, wheelhouse
from containers.state import state_folder
from containers.upstream_releases import UpstreamUnavailable
from verification.models.base import DataError
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release, ReleaseFile, file_sha256
from verification.models.report import FileRecord, ReplayInputs, Report
from verification.models.subject import Subject
from verification.scenarios import machines
from verification.session import dependencies

InputKind = Literal["wheels", "dependencies", "earlier", "tools"]
KINDS: tuple[InputKind, ...] = ("wheels", "dependencies", "earlier", "tools")
_ROOT = Path(__file__).parents[2]


def keep(release: Release, subject: Subject, seed: int) -> ReplayInputs:
    """Store the files of a release, and return the record of everything that the cells used.

    Raises:
        OSError: the files cannot be stored.
    """
    digests = file_store.store(path for kind in KINDS for path in _paths(release, kind))

    def records(kind: InputKind) -> tuple[FileRecord, ...]:
        return tuple(
            FileRecord(name=path.name, sha256=digests[path], size=path.stat().st_size)
            for path in _paths(release, kind)
        )

    return ReplayInputs(
        subject=subject.name,
        origin=release.origin,
        wheels=records("wheels"),
        dependencies=records("dependencies"),
        earlier=records("earlier"),
        tools=records("tools"),
        yanked=release.yanked,
        unpublished=release.unpublished,
        suite=suite_hash(),
        description=description_hash(subject),
        seed=seed,
    )


def _paths(release: Release, kind: InputKind) -> tuple[Path, ...]:
    match kind:
        case "wheels":
            return release.wheel_paths
        case "dependencies":
            return release.dependencies
        case "earlier":
            return release.earlier
        case "tools":
            return release.tools


@functools.cache
def suite_hash() -> str:
    """Return the first 16 digits of the hash of the code that runs and judges cells."""
    total = hashlib.sha256()
    for folder in ("containers", "verification"):
        for path in sorted(path for path in (_ROOT / folder).rglob("*") if path.is_file()):
            if "__pycache__" not in path.parts:
                total.update(f"{path.relative_to(_ROOT)}\0{file_sha256(path)}\n".encode())
    return total.hexdigest()[:16]


def description_hash(subject: Subject) -> str:
    """Return the first 16 digits of the hash of the subject's files that the cells depend on."""
    total = hashlib.sha256()
    values = (subject.values,) if subject.values else ()
    for path in (subject.file, *subject.machine_files.values(), *values, *subject.locks):
        digest = file_sha256(path) if path.is_file() else ""
        total.update(f"{path.name}\0{digest}\n".encode())
    return total.hexdigest()[:16]


class RestoredInputs(NamedTuple):
    """The restored files of a run, and what is missing or different."""

    release: Release
    missing: tuple[str, ...]
    """The missing files that a replay needs, with the reason."""
    differences: tuple[str, ...]
    """The differences from the run that do not prevent a replay."""


class _RecordedRun(NamedTuple):
    """A run whose files are restored."""

    report: Report
    inputs: ReplayInputs
    subject: Subject


def restore(report: Report, subject: Subject) -> RestoredInputs:
    """Return the files that a run used, from the store, or from elsewhere with the recorded hash.

    Raises:
        WrongUse: the report does not record the inputs of the run.
        TestbedFailure: ``cache-damaged``: a stored file is damaged, and there is no other copy.
    """
    if report.inputs is None:
        raise WrongUse(
            "results.json has no `inputs`, because the run ended before its wheels were ready; "
            "run ./e2e gate again"
        )
    recorded = _RecordedRun(report, report.inputs, subject)
    files: dict[InputKind, list[Path]] = {}
    missing: list[str] = []
    differences: list[str] = []
    for kind in KINDS:
        files[kind], lines = _find(kind, recorded)
        (differences if kind == "earlier" else missing).extend(lines)
    if report.inputs.suite != suite_hash():
        differences.append(
            f"the suite changed: its hash was {report.inputs.suite}, now {suite_hash()}"
        )
    if report.inputs.description not in ("", description_hash(subject)):
        differences.append(f"{subject.file} or a file that it names changed since the run")
    release = Release(
        origin=report.inputs.origin,
        location="the recorded files",
        version=report.version,
        wheels=tuple(map(ReleaseFile.read, files["wheels"])),
        dependencies=tuple(files["dependencies"]),
        earlier=tuple(files["earlier"]),
        tools=tuple(files["tools"]),
        yanked=report.inputs.yanked,
        unpublished=report.inputs.unpublished,
    )
    return RestoredInputs(release, tuple(missing), tuple(differences))


def _find(kind: InputKind, recorded: _RecordedRun) -> tuple[list[Path], list[str]]:
    """Return the recorded files of one kind, and a line for each file that is missing."""
    files: list[Path] = []
    missing: list[str] = []
    fetched: list[Path] | None = None
    reason = ""
    for record in _records(kind, recorded.inputs):
        path, is_damaged = None, False
        try:
            path = file_store.find(record.sha256, record.name)
        except file_store.DamagedCopy:
            is_damaged = True
        if path is None:
            if fetched is None:
                fetched, reason = _fetch_again(kind, recorded)
            path = next(
                (p for p in fetched if p.name == record.name and file_sha256(p) == record.sha256),
                None,
            )
        if path is not None:
            files.append(path)
            continue
        if is_damaged:
            raise cache.damaged_file(record.name, reason or "no source has this file any more")
        line = f"{record.name} (sha256 {record.sha256[:16]}...) is no longer available"
        missing.append(line + (f": {reason}" if reason else ""))
    return files, missing


def _records(kind: InputKind, inputs: ReplayInputs) -> tuple[FileRecord, ...]:
    match kind:
        case "wheels":
            return inputs.wheels
        case "dependencies":
            return inputs.dependencies
        case "earlier":
            return inputs.earlier
        case "tools":
            return inputs.tools


def _fetch_again(kind: InputKind, recorded: _RecordedRun) -> tuple[list[Path], str]:
    """Return files that may be the recorded ones, and why some cannot be fetched, or empty."""
    files: list[Path] = []
    reasons = []
    for source in _SOURCES[kind]:
        try:
            files += source(recorded)
        except (TestbedFailure, UpstreamUnavailable, WrongUse, DataError, OSError) as error:
            reasons.append(" ".join(str(error).split())[:200])
    return files, "; ".join(reasons)


def _release(recorded: _RecordedRun) -> Iterable[Path]:
    if recorded.inputs.origin != "release":
        return ()
    subject = recorded.subject
    return upstream_releases.release(
        recorded.report.version, subject.name, subject.platforms, python=subject.python
    ).wheel_paths


def _built(_recorded: _RecordedRun) -> Iterable[Path]:
    return (state_folder() / "wheels").glob("*/*.whl")


def _folder(recorded: _RecordedRun) -> Iterable[Path]:
    folder = recorded.report.selection.wheels
    return sorted(Path(folder).glob("*.whl")) if folder else ()


def _locked(recorded: _RecordedRun) -> Iterable[Path]:
    specs = machines.load()
    selected = [specs[name] for name in recorded.report.selection.machines if name in specs]
    return dependencies.files(recorded.subject, selected)


def _sources(recorded: _RecordedRun) -> Iterable[Path]:
    if all(file.name.endswith(".whl") for file in recorded.inputs.dependencies):
        return ()
    return upstream_releases.sources(dependencies.locked_versions(recorded.subject))


def _installers(recorded: _RecordedRun) -> Iterable[Path]:
    for file in recorded.inputs.dependencies:
        program = file.name.partition("-")[0]
        if program in ("pip", "uv"):
            version = str(parse_wheel_filename(file.name)[1])
            yield from wheelhouse.installer_wheels(program, version)


def _earlier(recorded: _RecordedRun) -> Iterable[Path]:
    return upstream_releases.earlier_releases(recorded.subject.name, recorded.report.version).files


def _tools(_recorded: _RecordedRun) -> Iterable[Path]:
    return wheelhouse.tools()


_SOURCES: dict[InputKind, tuple[Callable[[_RecordedRun], Iterable[Path]], ...]] = {
    "wheels": (_release, _folder, _built),
    "dependencies": (_locked, _sources, _installers),
    "earlier": (_earlier,),
    "tools": (_tools,),
}
