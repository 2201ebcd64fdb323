"""What stays on a machine after the package was removed, and what else was touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from verification.models.cause import Cause
from verification.rules import install_paths as paths
from verification.rules.expectation import Evidence, Expected, cause_of, last_error
from verification.rules.process_exit import hang
from verification.scenarios import installers

# What Windows keeps of each user's own accord, as soon as a program asks for certificates.
_SYSTEMS_KEYS = re.compile(
    r"HK(?:CU|LM)\\Software\\(?:Microsoft\\SystemCertificates\b"
    r"|Policies(?:\\Microsoft(?:\\SystemCertificates\b.*)?)?$)",
    re.IGNORECASE,
)
# Where an ordinary user of Windows has no right to write; what is temporary, anybody may.
_ADMINISTRATORS = re.compile(r"C:\\(?:Windows\\(?!Temp\b)|Program Files)", re.IGNORECASE)


def faults_at_removal(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield what went wrong when the package was removed, and what stayed."""
    ran = evidence["uninstall"]
    where = f"{cell}: uninstall"
    if ran["timed_out"]:
        yield hang(ran, where=where, seen=f"no end after {ran['seconds']:.0f} s")
        return
    if ran["code"] != 0:
        seen = f"{' '.join(ran['command'][-3:])} ended with {ran['code']}"
        yield cause_of("uninstall-failed", where=where, seen=f"{seen}: {last_error(ran['stderr'])}")
        return
    if left := leftovers(evidence, expected.module):
        seen = f"{len(left)} paths are left, first {', '.join(left[:3])}"
        yield cause_of("uninstall-leftover", where=where, seen=seen)
    if changed := [*evidence["left"]["changed"], *evidence["left"]["removed"]]:
        seen = f"{len(changed)} files of the machine were changed or removed, first {changed[0]}"
        yield cause_of("machine-changed", where=where, seen=seen)
    if damaged := damaged_others(evidence):
        seen = f"{len(damaged)} files of other distributions were changed or removed, first "
        yield cause_of("dependency-damaged", where=where, seen=seen + damaged[0])
    if evidence.get("os") == "windows":
        for told in evidence["left"]["added"]:
            if _ADMINISTRATORS.match(told):
                seen = f"it wrote {told}, which an ordinary user of Windows may not do"
                yield cause_of("permission", where=where, seen=seen)
                return


def _own_paths(evidence: Evidence) -> set[PurePath]:
    """Return the package's own files by its RECORD, and the folders that they are in."""
    kind = paths.flavour(evidence)
    record = evidence["exercise"]["steps"].get("record", {}).get("value") or {}
    own = {kind(path) for path in record.get("files", ())}
    return own | {parent for path in own for parent in path.parents}


def damaged_others(evidence: Evidence) -> list[str]:
    """Return what was installed with the package, is not its own, and is not as it was installed.

    Where other distributions were removed as a whole, their environment was.
    """
    kind = paths.flavour(evidence)
    own, installed = _own_paths(evidence), paths.installed(evidence)
    since = evidence.get("since_installed", {})
    removed = since.get("removed", ())
    if any(kind(told).suffix == ".dist-info" for told in removed if kind(told) not in own):
        removed = ()
    return [
        told
        for told in (*since.get("changed", ()), *removed)
        if (path := kind(told)) in installed and path not in own
        if "__pycache__" not in path.parts and not paths.is_cache(path)
    ]


def leftovers(evidence: Evidence, package: str) -> list[str]:
    """Return the paths that the package left behind: its own, and those that appeared in use.

    Its dependencies stay, with their bytecode, as installers mean it; so do their own caches, and
    the folders that hold them. Where an installer keeps the package in its cache, that counts.
    """
    kind = paths.flavour(evidence)
    own, installed = _own_paths(evidence), paths.installed(evidence)
    installer = installers.load().get(evidence["cell"].get("installer", ""))
    in_cache = installer is not None and installer.keeps_in_cache
    left: list[str] = []
    kept: list[str] = []
    for told in evidence["left"]["added"]:
        path = kind(told)
        if paths.is_cache(path) and not in_cache:
            continue
        new = path not in installed and "__pycache__" not in path.parts
        mine = paths.within(path, package) or new or (path in installed and path in own)
        (left if mine else kept).append(told)
    used = {parent for told in kept for parent in kind(told).parents}
    return [told for told in left if kind(told) not in used]


def registry_changes(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield what stays changed in the registry of Windows."""
    for verb, names in evidence.get("registry", {}).items():
        own = [name for name in names if not _SYSTEMS_KEYS.match(name)]
        if of_all := [name for name in own if name.startswith("HKLM")]:
            seen = f"{of_all[0]} was {verb}, which an ordinary user of Windows may not do"
            yield cause_of("permission", where=f"{cell}: registry", seen=seen)
        if mine := [name for name in own if not name.startswith("HKLM")]:
            seen = f"{len(mine)} keys or values were {verb} and stay so, first {mine[0]}"
            yield cause_of("registry-changed", where=f"{cell}: registry", seen=seen)
