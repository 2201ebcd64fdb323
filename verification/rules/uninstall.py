"""Find what remains on a machine after the uninstallation, and what else changed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules.finding import finding
from verification.rules.process_exit import hang, last_error

# The keys that Windows adds as soon as a program uses certificates.
_SYSTEM_KEYS = re.compile(
    r"HK(?:CU|LM)\\Software\\(?:Microsoft\\SystemCertificates\b"
    r"|Policies(?:\\Microsoft(?:\\SystemCertificates\b.*)?)?$)",
    re.IGNORECASE,
)
# The folders in which an ordinary user of Windows cannot write, except for temporary files.
_ADMINISTRATORS = re.compile(r"C:\\(?:Windows\\(?!Temp\b)|Program Files)", re.IGNORECASE)


def removal_causes(
    evidence: CellEvidence, expectation: Expectation, run: CommandRun
) -> Iterator[Cause]:
    """Yield the causes of the removal, and what remains after it."""
    overwritten = list(overwritten_files(evidence))
    yield from overwritten
    follows = overwritten[0].name if overwritten else ""
    if run.timed_out:
        yield hang(run).at(evidence, "uninstall")
        return
    if run.code != 0:
        command, error = " ".join(run.command[-3:]), last_error(run.stderr)
        fault = finding("uninstall-failed", "ended", command=command, code=run.code, error=error)
        cause = fault.at(evidence, "uninstall")
        yield cause.model_copy(update={"follows": follows})
        return
    if remaining := leftovers(evidence, expectation):
        facts: dict[str, FactValue] = {"count": len(remaining), "paths": tuple(remaining[:3])}
        yield finding("uninstall-leftover", "paths", **facts).at(evidence, "uninstall")
    if changed := [*evidence.left.changed, *evidence.left.removed]:
        fault = finding("machine-changed", "files", count=len(changed), path=changed[0])
        is_overwritten = paths.overwritten_files(evidence).keys() >= {
            paths.path_type(evidence)(path) for path in changed
        }
        cause = fault.at(evidence, "uninstall")
        yield cause.model_copy(update={"follows": follows if is_overwritten else ""})
    if damaged := damaged_files(evidence):
        fault = finding("dependency-damaged", "files", count=len(damaged), path=damaged[0])
        yield fault.at(evidence, "uninstall")
    yield from _forbidden_paths(evidence)


def overwritten_files(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for each distribution or command that the installation overwrote."""
    owners: dict[str, list[str]] = defaultdict(list)
    for path, owner in paths.overwritten_files(evidence).items():
        owners[owner].append(str(path))
    for owner, files in owners.items():
        facts: dict[str, FactValue] = {"count": len(files), "path": files[0]}
        fault = finding("dependency-overwritten", "installed", distribution=owner, **facts)
        yield fault.at(evidence, "install")


def _forbidden_paths(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a cause for the first new path where an ordinary user of Windows cannot write."""
    if evidence.os != "windows":
        return
    for path in filter(_ADMINISTRATORS.match, evidence.left.added):
        yield finding("permission", "written", path=path).at(evidence, "uninstall")
        return


def _package_paths(evidence: CellEvidence) -> frozenset[PurePath]:
    """Return the files of the package by its RECORD, and their folders."""
    step = evidence.steps.record
    names = step.value.files if step and step.value else ()
    files = frozenset(map(paths.path_type(evidence), names))
    return files | {parent for path in files for parent in path.parents}


def damaged_files(evidence: CellEvidence) -> list[str]:
    """Return the files of other distributions that changed after the installation.

    If other distributions were removed completely, the installer removed their environment.
    """
    kind = paths.path_type(evidence)
    package, installed = _package_paths(evidence), paths.added_paths(evidence)
    removed = evidence.since_installed.removed
    if any(path.suffix == ".dist-info" and path not in package for path in map(kind, removed)):
        removed = ()
    return [
        name
        for name in (*evidence.since_installed.changed, *removed)
        if (path := kind(name)) in installed and path not in package
        if "__pycache__" not in path.parts and not paths.is_cache(path) and not paths.is_lock(path)
    ]


def leftovers(evidence: CellEvidence, expectation: Expectation) -> list[str]:
    """Return the leftovers: files of the package, and files that appeared in use.

    Dependencies with their bytecode, the caches of installers, what the smoke test itself wrote,
    and the folders of these files are no leftovers. Empty folders that the installation made are
    none either: pip leaves them. A cache is a leftover if the installer keeps the package in it.
    """
    kind = paths.path_type(evidence)
    package, installed = _package_paths(evidence), paths.added_paths(evidence)
    written = frozenset(map(kind, evidence.written_files))
    leftover: list[str] = []
    ignored: list[str] = []
    for name in evidence.left.added:
        path = kind(name)
        if paths.is_cache(path) and not expectation.conditions.keeps_in_cache:
            continue
        is_new = path not in installed and "__pycache__" not in path.parts
        is_package_file = path in installed and path in package
        is_in_package = _is_in_package(path, package, expectation.module)
        is_leftover = is_in_package or is_new or is_package_file
        (leftover if is_leftover and path not in written else ignored).append(name)
    used_folders = _folders(map(kind, ignored))
    candidates = frozenset(map(kind, leftover)) - used_folders
    remaining = _without_empty_folders(candidates, _folders(installed))
    return [name for name in leftover if kind(name) in remaining]


def _is_in_package(path: PurePath, package: frozenset[PurePath], module: str) -> bool:
    """Return whether a path is in the folder of the import package, by RECORD or by its place."""
    if not package:
        return paths.top_level_name(path) == module
    for folder in (path, *path.parents):
        if folder.name != module or folder not in package:
            continue
        if folder / "__init__.py" in package or path == folder:
            return True
        # In a namespace package, other distributions have folders of their own (PEP 420).
        return folder / path.relative_to(folder).parts[0] in package
    return False


def _without_empty_folders(
    leftover: frozenset[PurePath], installed_folders: frozenset[PurePath]
) -> frozenset[PurePath]:
    """Return the leftovers without the folders of the installation that have no other leftover.

    `__pycache__` counts as such a folder: Python makes it.
    """
    files = frozenset(
        path for path in leftover if path not in installed_folders and path.name != "__pycache__"
    )
    return files | (leftover & _folders(files))


def _folders(files: Iterable[PurePath]) -> frozenset[PurePath]:
    """Return all folders above these files."""
    return frozenset(parent for path in files for parent in path.parents)


def registry_changes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield causes for the changes of the Windows registry that remain."""
    for change, names in evidence.registry.by_kind().items():
        keys = [name for name in names if not _SYSTEM_KEYS.match(name)]
        if of_machine := [name for name in keys if name.startswith("HKLM")]:
            fault = finding("permission", "registry", change=change, key=of_machine[0])
            yield fault.at(evidence, "registry")
        if of_user := [name for name in keys if not name.startswith("HKLM")]:
            facts: dict[str, FactValue] = {"count": len(of_user), "key": of_user[0]}
            fault = finding("registry-changed", "keys", change=change, **facts)
            yield fault.at(evidence, "registry")
