"""What a run used, as results.json tells of it, and how it is had again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from containers import file_store as files
from containers import releases, wheelhouse
from containers.images import Unavailable
from containers.state import state_dir
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release, ReleaseFile, sha256
from verification.scenarios import machines
from verification.subjects.subject import load as load_subject

KINDS = ("wheels", "dependencies", "earlier", "tools")
_ROOT = Path(__file__).parents[2]


def keep(release: Release, subject: str) -> dict[str, Any]:
    """Keep the files of ``release``; return the record of them that results.json has as ``inputs``.

    Raises:
        OSError: they cannot be kept.
    """
    paths = {
        "wheels": release.wheel_paths,
        "dependencies": release.dependencies,
        "earlier": release.earlier,
        "tools": release.tools,
    }
    digests = files.keep(path for kind in paths.values() for path in kind)
    told: dict[str, Any] = {
        kind: [
            {"name": path.name, "sha256": digests[path], "size": path.stat().st_size}
            for path in paths[kind]
        ]
        for kind in KINDS
    }
    return told | {
        "subject": subject,
        "origin": release.origin,
        "yanked": dict(release.yanked),
        "suite": suite(),
    }


@functools.cache
def suite() -> str:
    """Return the hash of the code that runs and judges cells, in short."""
    total = hashlib.sha256()
    tops = [_ROOT / "containers", _ROOT / "tests" / "support"]
    for path in sorted(path for top in tops for path in top.rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            total.update(f"{path.relative_to(_ROOT)}\0{sha256(path)}\n".encode())
    return total.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Regained:
    """What could be had again of what a run used."""

    release: Release
    gone: tuple[str, ...]
    """What the run needs and is not there any more, with the reason; it cannot be run again."""
    differs: tuple[str, ...]
    """What is otherwise than it was, and lets a cell run nevertheless."""


def regain(results: Mapping[str, Any]) -> Regained:
    """Return the files that a run used: those kept, or such as have the recorded digest.

    Raises:
        WrongUse: the results do not tell what the run used.
    """
    told = results.get("inputs")
    if not told:
        raise WrongUse(
            "results.json does not tell what the run used (`inputs`): it ended before it had any, "
            "or an older version wrote it; run ./e2e gate again"
        )
    found: dict[str, list[Path]] = {}
    gone: list[str] = []
    differs: list[str] = []
    for kind in KINDS:
        found[kind] = []
        again: list[Path] | None = None
        why = ""
        for file in told[kind]:
            name, digest = file["name"], file["sha256"]
            path = files.find(digest, name)
            if path is None:
                if again is None:
                    again, why = _again(kind, results)
                path = next((p for p in again if p.name == name and sha256(p) == digest), None)
            if path is not None:
                found[kind].append(path)
                continue
            line = f"{name} (sha256 {digest[:16]}...) is no longer kept and cannot be had again"
            line += f": {why}" if why else ""
            (differs if kind == "earlier" else gone).append(line)
    yanked = {name: told["yanked"][name] for name in told["yanked"]}
    if told["suite"] != suite():
        differs.append(f"the suite's own code is {suite()}, and was {told['suite']}")
    release = Release(
        origin=told["origin"],
        location="the recorded files",
        version=results["version"],
        wheels=tuple(map(ReleaseFile.read, found["wheels"])),
        dependencies=tuple(found["dependencies"]),
        earlier=tuple(found["earlier"]),
        tools=tuple(found["tools"]),
        yanked=yanked,
    )
    return Regained(release, tuple(gone), tuple(differs))


def _again(kind: str, results: Mapping[str, Any]) -> tuple[list[Path], str]:
    """Return files that may be those recorded, and why others could not be had."""
    found: list[Path] = []
    reasons = []
    for source in _SOURCES[kind]:
        try:
            found += source(results)
        except (TestbedFailure, Unavailable, WrongUse, OSError) as error:
            reasons.append(" ".join(str(error).split())[:200])
    return found, "; ".join(reasons)


def _release(results: Mapping[str, Any]) -> Iterable[Path]:
    if results["inputs"]["origin"] != "release":
        return ()
    return releases.release(
        results["version"], results["inputs"]["subject"], load_subject().locks
    ).wheel_paths


def _built(_results: Mapping[str, Any]) -> Iterable[Path]:
    return (state_dir() / "wheels").glob("*/*.whl")


def _folder(results: Mapping[str, Any]) -> Iterable[Path]:
    named = results["selection"].get("wheels")
    return sorted(Path(named).glob("*.whl")) if named else ()


def _locked(results: Mapping[str, Any]) -> Iterable[Path]:
    found = list(wheelhouse.dependencies(load_subject().locks))
    known = machines.load()
    chosen = [known[name] for name in results["selection"]["machines"] if name in known]
    for python in sorted({spec.python for spec in chosen if spec.os == "linux"} - {"3.13"}):
        found += wheelhouse.dependencies_for(load_subject().dependencies, python)
    return found


def _sources(results: Mapping[str, Any]) -> Iterable[Path]:
    names = {file["name"] for file in results["inputs"]["dependencies"]}
    if all(name.endswith(".whl") for name in names):
        return ()
    return releases.sources(wheelhouse.needed(load_subject().dependencies))


def _pip(results: Mapping[str, Any]) -> Iterable[Path]:
    identities = [
        parse_wheel_filename(file["name"])[:2]
        for file in results["inputs"]["dependencies"]
        if file["name"].startswith("pip-")
    ]
    return [wheelhouse.pip(str(version)) for _, version in identities]


def _earlier(results: Mapping[str, Any]) -> Iterable[Path]:
    return releases.earlier(results["inputs"]["subject"], results["version"]).files


def _tools(_results: Mapping[str, Any]) -> Iterable[Path]:
    return wheelhouse.tools()


_SOURCES: dict[str, tuple[Callable[[Mapping[str, Any]], Iterable[Path]], ...]] = {
    "wheels": (_release, _folder, _built),
    "dependencies": (_locked, _sources, _pip),
    "earlier": (_earlier,),
    "tools": (_tools,),
}
