"""From the steps of the exercise to what failed when the package was imported and used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from packaging.utils import canonicalize_name

from verification.models.cause import Cause
from verification.models.scenario import Scenario
from verification.rules import install_paths as paths
from verification.rules import loader, own_tests
from verification.rules.catalogue import catalogue
from verification.rules.expectation import (
    FULL,
    Evidence,
    Expected,
    cause_of,
    differs,
    last_error,
    scenario_of,
)
from verification.rules.index import network_used
from verification.rules.process_exit import (
    ALARM,
    bad_ends,
    death,
    frame,
    has_died,
    older_runtimes,
    or_wines_gap,
)
from verification.rules.uninstall import registry_changes
from verification.wheel import stdlib

_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
# Causes that say no more than that something failed.
_VAGUE = ("unclassified", "round-trip-failed")
_LOST = ("missing-bundled-library", "missing-runtime-library")
# What the interpreter prints of an exception that nobody handles (traceback.print_exc).
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\r?\n(.*)", re.MULTILINE | re.DOTALL)
_ROOM = 50_000_000
"""Free bytes with which no step of the exercise can fill a disk."""
_INTERPOSED = "Interposed"
"""What uses.py raises where another's code answers."""


def faults_in_use(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield what went wrong when the package was imported and used."""
    steps = evidence["exercise"]["steps"]
    if unresolved := list(_unresolved(evidence, expected, cell)):
        yield from unresolved  # a crash is what follows
        return
    if ended := list(bad_ends(evidence, cell)):
        yield from older_runtimes(evidence, cell) or or_wines_gap(evidence, ended, cell)
        return
    if shadow := list(_shadow(steps, evidence, expected, cell)):
        yield from shadow  # whatever else was seen is the other package's
        return
    scenario = scenario_of(evidence)
    names = ("import", "native-call", "round-trip", "mapped", "distributions", "record")
    if (told := steps.get("prelude")) and not told["ok"]:
        yield cause_of("testbed-defect", where=f"{cell}: prelude", seen=told["error"]["message"])
        return
    failed = False
    for name in (*names, *scenario.actions):
        told = steps.get(name)
        if told is not None and told["ok"]:
            continue
        error = told["error"] if told else {"type": "", "message": "it was never reached"}
        # What fails later only follows, but for what was found in another's code.
        if not failed or error["type"] == _INTERPOSED:
            found = _failed_step(name, error, evidence, expected, f"{cell}: {name}")
            # What was loaded before is there, whatever the loader says of this way to it.
            lost = name in scenario.actions and found.name in _LOST
            vague = found.name in _VAGUE or (lost and steps["native-call"]["ok"])
            yield _named_by(scenario, found) if vague else found
        failed = True
    if not failed:
        yield from _plain_import(evidence, expected, cell)
    yield from _versions(evidence, expected, cell)
    yield from _lacking(steps, expected, cell)
    yield from _values(steps, evidence, cell)
    yield from _left_running(evidence, cell)
    yield from _process_state(steps, cell)
    yield from _printed(evidence, cell)
    yield from network_used(evidence, cell)
    yield from _unknown(evidence, expected, cell)
    yield from _mapped(steps, evidence, expected, cell)
    if not scenario.keeps_dependencies:
        yield from _dependencies(evidence, expected, cell)
    yield from _record(steps, cell)
    yield from registry_changes(evidence, cell)


def _named_by(scenario: Scenario, found: Cause) -> Cause:
    """Return what failed, and has no more exact name, by the scenario's name for it.

    A name that weighs less stands for what was proven to be no more than that.
    """
    if scenario.name in ("venv", "system"):
        return found
    entry = catalogue()[scenario.cause]
    if entry.severity != found.severity:
        entry = catalogue()["use-not-supported"]
    seen = found.message.rpartition("; expected ")[0]
    return cause_of(entry.name, where=found.where, seen=f"{scenario.title}: {seen}")


def _plain_import(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield how the import alone failed, where the same import was well in the exercise."""
    plain = evidence["import"]
    if plain["code"]:
        kind, _, message = last_error(plain["stdout"] + plain["stderr"]).partition(": ")
        error = {"type": kind, "message": message or f"it ended with {plain['code']}"}
        yield _failed_step("import", error, evidence, expected, f"{cell}: import")


def _unresolved(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield the symbols that one library of the package takes from another that has them not."""
    own = {path.name.lower() for path in paths.installed(evidence)}
    for stub in loader.stubs(evidence.get("loader", ())):
        if stub.library.lower() in own and paths.within(stub.needed_by, expected.module):
            seen = f"{stub.needed_by.name} imports {stub.symbol} of {stub.library}, which does not "
            seen += "export it; Windows refuses to load such a library, Wine does not"
            yield cause_of("symbol-not-found", where=f"{cell}: {stub.needed_by.name}", seen=seen)


def _printed(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield what a user sees on the terminal though nothing failed."""
    plain, ran = evidence["import"], evidence["exercise"]
    if plain["code"] == 0 and (said := plain["stdout"].strip()):
        seen = f"`{plain['command'][-1]}` prints {said.splitlines()[0][:200]!r}"
        yield cause_of("output-at-import", where=f"{cell}: import", seen=seen)
    if made := plain.get("made"):
        seen = f"`{plain['command'][-1]}` makes {', '.join(made[:3])} in the current folder"
        yield cause_of("files-at-import", where=f"{cell}: import", seen=seen)
    failed = [step for step in ran["steps"].values() if not step.get("ok")]
    for where, one in (("import", plain), ("exercise", ran)):
        # What a step raised is told by that step.
        found = _TRACEBACK.search(one["stderr"])
        if found and one["code"] == 0 and not failed:
            last = next((line for line in found[1].splitlines() if line[:1].strip()), "")
            seen = f"it ends well, and a traceback is printed: {last[:200]}"
            yield cause_of("unhandled-exception", where=f"{cell}: {where}", seen=seen)
            return


def _process_state(steps: Evidence, cell: str) -> Iterator[Cause]:
    told = steps.get("process-state", {})
    changed = told.get("value") or {}
    seen = "; ".join(f"{name}: {old} became {new}" for name, (old, new) in changed.items())
    if told.get("error"):  # such as a current folder that is gone
        seen = f"it cannot be looked at any more: {told['error']['message']}"
    if seen:
        yield cause_of("process-changed", where=f"{cell}: exercise", seen=seen[:400])


def _unknown(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield, as a note, what a library of the package takes from Windows that Wine has not."""
    own = {path.name.lower() for path in paths.installed(evidence)}
    for stub in loader.stubs(evidence.get("loader", ())):
        if stub.library.lower() not in own and paths.within(stub.needed_by, expected.module):
            seen = f"{stub.needed_by.name} imports {stub.symbol} of {stub.library}, which Wine has "
            seen += "not; whether every Windows has it was not verified"
            yield cause_of("unknown-to-wine", where=f"{cell}: {stub.needed_by.name}", seen=seen)


def _shadow(steps: Evidence, evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    told = steps.get("import", {}).get("value") or {}
    file = told.get("file") or f"{told.get('folder')} (a folder without code)"
    kind = paths.flavour(evidence)
    ending = (expected.module, "__init__.py")
    homes = [p for p in evidence["installed"]["added"] if kind(p).parts[-2:] == ending]
    if told and kind(file) not in map(kind, homes):
        seen = f"`import {expected.module}` took {file}, installed is {', '.join(homes) or 'none'}"
        yield cause_of("shadowed-import", where=f"{cell}: import", seen=seen)


def _failed_step(
    name: str, error: Evidence, evidence: Evidence, expected: Expected, where: str
) -> Cause:
    message = f"{error['type']}: {error['message']}"
    if FULL.search(message) and evidence.get("free_bytes", 0) < _ROOM:
        return cause_of("disk-full", where=where, seen=message[:300])
    if error["type"] == "SyntaxError":
        return cause_of("syntax-error", where=where, seen=message[:300])
    if explained := loader.explain(message, evidence, expected.libraries):
        cause, seen = explained
        return cause_of(cause, where=where, seen=seen)
    # A message of the package's own may well speak of a module.
    importing = error["type"] == "ImportError" or "ModuleNotFoundError" in message
    if importing and (found := _NO_MODULE.search(message)):
        own = found[1].startswith(f"{expected.module}.")
        lost = f"/{found[1].replace('.', '/')}.py"
        were = (path.as_posix() for path in paths.installed(evidence))
        if found[1] == expected.module or (own and any(path.endswith(lost) for path in were)):
            seen = "the installed files are gone or no package: nothing of it can be imported"
            return cause_of("record-mismatch", where=where, seen=seen)
        if found[1].split(".")[0] in stdlib.NAMES:
            seen = f"needs the module {found[1]}, which this Python's standard library has not"
            return cause_of("standard-library-mismatch", where=where, seen=seen)
        module = found[1] if own else found[1].split(".")[0]
        seen = f"needs the module {module}, which was not installed with it"
        return cause_of("missing-dependency", where=where, seen=seen)
    if (found := _NO_NAME.search(message)) and found[2].split(".")[0] != expected.module:
        if found[2].split(".")[0] in stdlib.NAMES:
            seen = f"needs {found[1]} of {found[2]}, which this Python's standard library has not"
            return cause_of("standard-library-mismatch", where=where, seen=seen)
        seen = f"needs {found[1]} of {found[2]}, and the version that was installed has none"
        return cause_of("missing-dependency", where=where, seen=seen)
    if error["type"] == _INTERPOSED:
        return cause_of("symbol-interposition", where=where, seen=error["message"][:400])
    if error["type"] == "SystemExit":
        seen = f"the package ended the interpreter ({message})"
        return cause_of("crash", where=where, seen=seen)
    if "PermissionError" in message:
        return cause_of("permission", where=where, seen=message[:300])
    if name == "round-trip":
        return cause_of("round-trip-failed", where=where, seen=message[:300])
    return cause_of("unclassified", where=where, seen=message[:300])


def _versions(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    steps = evidence["exercise"]["steps"]
    native = (steps.get("native-call", {}).get("value") or {}).get("version")
    installed = paths.distributions(evidence).get(canonicalize_name(expected.project))
    if installed and steps.get("native-call", {}).get("ok") and native != expected.version:
        seen = f"the native library says {native}, the release is {expected.version}"
        yield cause_of("version-mismatch", where=f"{cell}: version()", seen=seen)
    told = (steps.get("import", {}).get("value") or {}).get("version")
    if installed and told and differs(told, expected.version):
        seen = f"{expected.module}.__version__ is {told}, the release is {expected.version}"
        yield catalogue().cause(
            "version-mismatch", where=f"{cell}: __version__", seen=seen, risk=True
        )


def _lacking(steps: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield the functions that the package declares and its libraries do not have."""
    if lacking := (steps.get("native-call", {}).get("value") or {}).get("lacking"):
        seen = f"{len(lacking)} functions that the package declares are in no library of it, first "
        seen += ", ".join(sorted(lacking)[:3])
        where = (
            f"{cell}: {expected.libraries[-1]}" if expected.libraries else f"{cell}: native-call"
        )
        yield cause_of("symbol-not-found", where=where, seen=seen)


_WRITTEN = {
    "labels": ["Itaipú", "empty"],
    "units": [20, None],
    "capacity": [14000.5, None],
    "notes": [None, None],
}


def _left_running(evidence: Evidence, cell: str) -> Iterator[Cause]:
    if left := evidence["processes"]:
        seen = f"{len(left)} processes still run after the interpreter ended: {left[0][:100]}"
        yield cause_of("process-left", where=f"{cell}: at exit", seen=seen)


def _values(steps: Evidence, evidence: Evidence, cell: str) -> Iterator[Cause]:
    read = steps.get("round-trip", {}).get("value")
    if not read:
        return
    if read["id"] != 1:
        seen = f"the first element's id is {read['id']!r}, expected was 1"
        yield cause_of("round-trip-failed", where=f"{cell}: round-trip", seen=seen)
    kept = evidence["on_disk"]
    rows = [[1, "Itaipú", 20, 14000.5, None], [2, "empty", None, None, None]]
    if not _same(kept.get("rows"), rows):
        seen = f"the file holds {kept.get('rows', kept.get('error'))!r}, written was {rows!r}"
        yield cause_of("round-trip-failed", where=f"{cell}: database file", seen=seen)
    for key, written in _WRITTEN.items():
        if not _same(read[key], written):
            seen = f"{key} came back as {read[key]!r}, written was {written!r}"
            yield cause_of("round-trip-failed", where=f"{cell}: round-trip", seen=seen)


def _same(one: object, other: object) -> bool:
    """Return whether two values are equal and of the same types, 20 and 20.0 being none."""
    return json.dumps(one) == json.dumps(other)


def _mapped(steps: Evidence, evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    mapped = steps.get("mapped", {}).get("value")
    if mapped is None:
        return
    loaded = bool(steps.get("native-call", {}).get("ok"))
    where = f"{cell}: mapped libraries"
    kind, installed = paths.flavour(evidence), paths.installed(evidence)
    for library in expected.libraries:
        copies = [path for path in mapped if paths.is_bundled(kind(path).name, (library,))]
        if strange := [path for path in copies if kind(path) not in installed]:
            seen = f"{library} was loaded from {', '.join(strange)}, outside the package"
            yield cause_of("wrong-library-loaded", where=where, seen=seen)
        elif not loaded:
            continue
        elif len(copies) > 1:
            seen = f"{library} is mapped {len(copies)} times: {', '.join(copies)}"
            yield cause_of("duplicate-library", where=where, seen=seen)
        elif not copies:
            seen = f"{library} is not in the process after native calls; mapped are {mapped}"
            yield cause_of("wrong-library-loaded", where=where, seen=seen[:400])


def _dependencies(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    every = paths.distributions(evidence)
    project = canonicalize_name(expected.project)
    home = every.get(project, {}).get("folder")
    for name, told in every.items():
        if told["folder"] != home:
            continue  # the system's own, seen through
        locked = expected.locked.get(name)
        # pip came with the machine, whatever newer one the index has.
        if name in (project, "pip") or locked == told["version"]:
            continue
        seen = f"{told['name']} {told['version']} is installed, locked is {locked or 'none'}"
        yield cause_of("version-mismatch", where=f"{cell}: dependencies", seen=seen)


def _record(steps: Evidence, cell: str) -> Iterator[Cause]:
    told = steps.get("record", {}).get("value")
    if told is None:
        return
    for wrong in told["wrong"]:
        seen = f"the installed file has {wrong['seen']} than RECORD tells"
        yield cause_of("record-mismatch", where=f"{cell}: {wrong['file']}", seen=seen)
    if not told["checked"]:
        yield cause_of("record-mismatch", where=f"{cell}: RECORD", seen="it lists no hash at all")
    for module in told.get("unreadable", ()):
        yield cause_of("syntax-error", where=f"{cell}: {module['file']}", seen=module["seen"])
    for entry in steps.get("entry-points", {}).get("value") or ():
        seen = f"{entry['name']} = {entry['value']}: {entry['seen']}"
        where = f"{cell}: entry points"
        # It is installed and the package works: the lesser severity.
        yield catalogue().cause("entry-point-broken", where=where, seen=seen[:400], risk=True)


def failed_own_tests(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield what the package's own tests showed."""
    if not scenario_of(evidence).runs_tests:
        return
    if (told := evidence.get("tests")) is None:
        seen = "the exercise did not end well, and the tests were not begun"
        yield cause_of("own-tests-not-run", where=f"{cell}: own tests", seen=seen)
        return
    file = (told["end"] or {}).get("file")
    taken = {"import": {"value": {"file": file}}}
    if file and (shadow := list(_shadow(taken, evidence, expected, cell))):
        yield from (cause.model_copy(update={"where": f"{cell}: own tests"}) for cause in shadow)
        return
    code, trace = told.get("code", 0), told.get("trace", "")
    died = has_died(code, trace)
    found = list(
        own_tests.judge(
            told,
            cell,
            expected.module,
            died=death(code, trace, evidence) if died else None,
            hung=told.get("timed_out", False) or "Timeout (" in trace or code == ALARM,
            frame=frame(trace),
        )
    )
    yield from or_wines_gap(evidence, found, cell) if died else found
