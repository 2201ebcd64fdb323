"""Find what remains on a machine after the uninstallation, and what else changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules.finding import finding
from verification.rules.process_exit import hang, last_error

# What Windows keeps of each user's own accord, as soon as a program asks for certificates.
_SYSTEM_KEYS = re.compile(
    r"HK(?:CU|LM)\\Software\\(?:Microsoft\\SystemCertificates\b"
    r"|Policies(?:\\Microsoft(?:\\SystemCertificates\b.*)?)?$)",
    re.IGNORECASE,
)
# Where an ordinary user of Windows has no right to write; what is temporary, anybody may.
_ADMINISTRATORS = re.compile(r"C:\\(?:Windows\\(?!Temp\b)|Program Files)", re.IGNORECASE)


def removal_faults(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun
) -> Iterator[Cause]:
    """Yield what went wrong when the package was removed, and what remains."""
    if run.timed_out:
        yield hang(run).at(evidence, "uninstall")
        return
    if run.code != 0:
        observed = f"{' '.join(run.command[-3:])} ended with {run.code}: {last_error(run.stderr)}"
        yield finding("uninstall-failed", observed, code=run.code).at(evidence, "uninstall")
        return
    if left := leftovers(evidence, expectation):
        observed = f"{len(left)} paths are left, first {', '.join(left[:3])}"
        facts = finding("uninstall-leftover", observed, count=len(left), paths=tuple(left[:3]))
        yield facts.at(evidence, "uninstall")
    if changed := [*evidence.left.changed, *evidence.left.removed]:
        observed = (
            f"{len(changed)} files of the machine were changed or removed, first {changed[0]}"
        )
        facts = finding("machine-changed", observed, count=len(changed), path=changed[0])
        yield facts.at(evidence, "uninstall")
    if damaged := damaged_others(evidence):
        observed = f"{len(damaged)} files of other distributions were changed or removed, first "
        observed += damaged[0]
        facts = finding("dependency-damaged", observed, count=len(damaged), path=damaged[0])
        yield facts.at(evidence, "uninstall")
    yield from _forbidden_paths(evidence)


def _forbidden_paths(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the first new path where an ordinary user of Windows may not write."""
    if evidence.os != "windows":
        return
    for path in filter(_ADMINISTRATORS.match, evidence.left.added):
        observed = f"it wrote {path}, which an ordinary user of Windows may not do"
        yield finding("permission", observed, path=path).at(evidence, "uninstall")
        return


def _own_paths(evidence: CellEvidence) -> frozenset[PurePath]:
    """Return the package's own files by its RECORD, and the folders that they are in."""
    step = evidence.steps.record
    files = step.value.files if step and step.value else ()
    own = frozenset(map(paths.path_type(evidence), files))
    return own | {parent for path in own for parent in path.parents}


def damaged_others(evidence: CellEvidence) -> list[str]:
    """Return the files of other distributions that are not as they were installed.

    If other distributions were removed as a whole, their environment was removed.
    """
    kind = paths.path_type(evidence)
    own, installed = _own_paths(evidence), paths.added_paths(evidence)
    removed = evidence.since_installed.removed
    if any(path.suffix == ".dist-info" and path not in own for path in map(kind, removed)):
        removed = ()
    return [
        name
        for name in (*evidence.since_installed.changed, *removed)
        if (path := kind(name)) in installed and path not in own
        if "__pycache__" not in path.parts and not paths.is_cache(path)
    ]


def leftovers(evidence: CellEvidence, expectation: Expectation) -> list[str]:
    """Return the paths that the package left behind: its own, and those that appeared in use.

    Its dependencies stay with their bytecode; so do the installers' own caches, and the folders
    that hold any of this. Where an installer keeps the package in its cache, that counts.
    """
    kind = paths.path_type(evidence)
    own, installed = _own_paths(evidence), paths.added_paths(evidence)
    left: list[str] = []
    kept: list[str] = []
    for name in evidence.left.added:
        path = kind(name)
        if paths.is_cache(path) and not expectation.conditions.keeps_in_cache:
            continue
        is_new = path not in installed and "__pycache__" not in path.parts
        is_own = path in installed and path in own
        is_left = paths.is_within(path, expectation.module) or is_new or is_own
        (left if is_left else kept).append(name)
    used = {parent for name in kept for parent in kind(name).parents}
    return [name for name in left if kind(name) not in used]


def registry_changes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield what stays changed in the registry of Windows."""
    for verb, names in evidence.registry.by_kind().items():
        changed = [name for name in names if not _SYSTEM_KEYS.match(name)]
        if of_machine := [name for name in changed if name.startswith("HKLM")]:
            observed = f"{of_machine[0]} was {verb}, which an ordinary user of Windows may not do"
            yield finding("permission", observed, key=of_machine[0]).at(evidence, "registry")
        if of_user := [name for name in changed if not name.startswith("HKLM")]:
            observed = f"{len(of_user)} keys or values were {verb} and stay so, first {of_user[0]}"
            facts = finding("registry-changed", observed, count=len(of_user), key=of_user[0])
            yield facts.at(evidence, "registry")
