"""From the evidence of a cell to its causes: what broke, by name, and nothing that only follows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from typing import Any

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from containers.machine import REFUSALS
from tests.support import loader, own_tests, paths, refusal, stdlib
from tests.support.causes import Cause, catalogue, in_order
from tests.support.installers import INSTALLERS
from tests.support.scenarios import SCENARIOS, VENV, Scenario

Evidence = Mapping[str, Any]

# What Windows keeps of each user's own accord, as soon as a program asks for certificates.
_SYSTEMS_KEYS = re.compile(
    r"HK(?:CU|LM)\\Software\\(?:Microsoft\\SystemCertificates\b"
    r"|Policies(?:\\Microsoft(?:\\SystemCertificates\b.*)?)?$)",
    re.IGNORECASE,
)
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_NO_CONNECTION = re.compile(
    r".*(?:Temporary failure in name resolution|SSLError|Connection (?:refused|reset|timed out)"
    r"|[Rr]ead timed out|incomplete-download|operation timed out).*"
)
_NO_WHEEL = re.compile(
    r"ecause (([\w.-]+?)(?:[=<>!~]=?\S+)?) (?:was not found|has no wheels|has no source)"
)
# How pip and uv refuse; the groups are what they wanted and the project's name in it.
_REFUSALS = (
    re.compile(r"No matching distribution found for (([\w.-]+)[^\s;]*)"),
    _NO_WHEEL,
    # uv writes a requirement's marker in braces.
    re.compile(r"depends? on ((?!Python\b)([\w.-]+?)(?:\{[^}]*\})?(?:[=<>!~]\S*)?)(?: and|,|\s)"),
)
# How pip and uv refuse what is not among the hashes.
_NO_HASH = re.compile(r"In --require-hashes mode|no trusted hash was provided")
_OTHER_PYTHON = re.compile(
    r".*(?:require a different python version|Requires-Python|does not satisfy Python).*"
)
_ALARM = -14  # ended by SIGALRM, as ledger.py has it when the time is over
_ILLEGAL = (-4, 132, 0xC000001D)
"""Ended by SIGILL, as Python and a shell have it, and by Windows' STATUS_ILLEGAL_INSTRUCTION."""
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
# Causes that say no more than that something failed.
_VAGUE = ("unclassified", "round-trip-failed")
_LOST = ("missing-bundled-library", "missing-runtime-library")
_OTHER_FORM = re.compile(
    r".*Wheel-Version \(.*\) is not compatible.*|Unsupported wheel major version.*"
    r"|.*WHEEL is missing Wheel-Version.*|Invalid Wheel-Version.*"
)
# How pip and uv refuse entry_points.txt.
_ENTRY_POINTS = re.compile(
    r".*(?:Invalid script entry point|`entry_points\.txt` is invalid|invalid console script).*"
)
_FULL = re.compile(r"No space left on device|database or disk is full")
# What the interpreter prints of an exception that nobody handles (traceback.print_exc).
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\r?\n(.*)", re.MULTILINE | re.DOTALL)
_ROOM = 50_000_000
"""Free bytes with which no step of the exercise can fill a disk."""
# Where an ordinary user of Windows has no right to write; what is temporary, anybody may.
_ADMINISTRATORS = re.compile(r"C:\\(?:Windows\\(?!Temp\b)|Program Files)", re.IGNORECASE)
# How QEMU says that it failed itself; the "uncaught target signal" is the program's own.
_QEMU_FAILED = re.compile(
    r"^(?:qemu(?:-x86_64)?: (?!uncaught target signal).+"
    r"|(?:Bail out! )?ERROR:\S*/(?:accel|tcg|linux-user|target/i386)/.+"
    r"|\S+/tcg/\S+ tcg fatal error)",
    re.MULTILINE,
)
_NO_SYSTEM_CALL = "Function not implemented"  # strerror(3) of ENOSYS
_INTERPOSED = "Interposed"
"""What uses.py raises where another's code answers."""


@dataclass(frozen=True)
class Expected:
    """What a cell must show: the release that was published, and what is published beside it."""

    project: str
    version: str
    digests: Mapping[str, str]
    """sha256 by file name."""
    locked: Mapping[str, str]
    """Version by normalised project name."""
    libraries: tuple[str, ...]
    """The native libraries of the machine's platform, in loading order."""
    refused: str = ""
    """Who refused the upload and why; empty if the index took every file."""
    package: str = ""
    """The name that is imported, where it is not the project's."""

    @property
    def module(self) -> str:
        """The name that is imported."""
        return self.package or self.project


def diagnose(evidence: Evidence, expected: Expected) -> tuple[Cause, ...]:
    """Return the causes that the evidence shows, the most pressing first; none if all is well."""
    causes = _causes(evidence, expected)
    if evidence["cell"].get("processor"):
        causes = (_unless_emulated(cause, evidence) for cause in causes)
    return in_order(causes)


def _unless_emulated(cause: Cause, evidence: Evidence) -> Cause:
    """Return the cause, or the testbed's failure where an emulated processor explains it."""
    ran = [evidence.get(name, {}) for name in ("install", "import", "exercise", "tests")]
    failed = (_QEMU_FAILED.search(one.get("stderr", "")) for one in ran)
    if cause.name == "hang":
        why = "its processor is emulated, which takes some ten times as long"
    elif _NO_SYSTEM_CALL in cause.message:
        why = "QEMU lacks a system call"
    elif cause.severity == "broken" and (said := next(filter(None, failed), None)):
        why = said[0].strip()[:200]
    else:
        return cause
    return _cause("emulator-gap", where=cause.where, seen=f"{why}: {cause.message}"[:600])


def _causes(evidence: Evidence, expected: Expected) -> Iterator[Cause]:
    cell = evidence["cell"]["id"]
    if failure := evidence.get("testbed"):
        yield _cause(failure["cause"], where=f"{cell}: {failure['where']}", seen=failure["seen"])
        return
    if faults := list(_index_faults(evidence, cell)):
        yield from faults
        return
    if failed := next((ran for ran in evidence.get("setup", ()) if ran["code"]), None):
        seen = f"{' '.join(failed['command'])} ended with {failed['code']}: "
        seen += _last_error(failed["stdout"] + failed["stderr"])
        yield _cause("machine-lost", where=f"{cell}: set-up", seen=seen)
        return
    refused = evidence["install"]["code"] != 0
    if (wanted := evidence["cell"].get("refuses")) and not taken(evidence, expected):
        found = _install(evidence, expected, cell) if refused else None
        yield from refusal.judge(evidence, wanted, found, expected.project, expected.version)
        yield from _registry(evidence, cell)
        return
    yield from _digests(evidence, expected, cell)
    if typed := list(_typed(evidence, expected, cell)):
        yield from typed
        return
    if refused:
        yield _install(evidence, expected, cell)
        return
    yield from _offline(evidence, cell)
    yield from _again(evidence, cell)
    if fallback := list(_fallback(evidence, expected, cell)):
        yield from fallback  # whatever else was seen is the other release's
        return
    yield from _unserved(evidence, expected, cell)
    used = list(_use(evidence, expected, cell))
    yield from used
    if not any(cause.severity in ("broken", "testbed") for cause in used):
        yield from _own_tests(evidence, expected, cell)  # else they only follow
    yield from _uninstall(evidence, expected, cell)


def taken(evidence: Evidence, expected: Expected) -> bool:
    """Return whether the release was installed on a machine that is promised none.

    What fits an installer knows best: by a wheel for another Python, a newer glibc or musl the
    release gives more than was promised, and must then work there.
    """
    if evidence["cell"].get("refuses") not in REFUSALS or evidence["install"]["code"]:
        return False
    if told := refusal.installed(evidence, expected.project):
        return told == f"{expected.project} {expected.version}"
    served = {line.get("file") for line in evidence["requests"] if line.get("status") == 200}
    return bool(served & expected.digests.keys())


def _scenario(evidence: Evidence) -> Scenario:
    found = SCENARIOS.get(evidence["cell"].get("scenario", ""), VENV)
    return found.on(evidence.get("os", ""))


def _typed(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield the first of the user's other commands that failed."""
    for kind in ("first", "after_install", "before_uninstall"):
        for ran in evidence.get(kind, ()):
            if ran["code"]:
                last = _last_error(ran["stdout"] + ran["stderr"])
                seen = f"{' '.join(ran['command'][:4])[:100]} ended with {ran['code']}: {last}"
                cause, seen = loader.explain(last, evidence, expected.libraries) or (
                    _scenario(evidence).cause,
                    seen,
                )
                if _is_illegal(ran["code"]):
                    cause, seen = _death(ran["code"], None, evidence)
                yield _cause(cause, where=f"{cell}: {kind}", seen=seen)


def _offline(evidence: Evidence, cell: str) -> Iterator[Cause]:
    if _scenario(evidence).offline and (asked := _by_installers(evidence)):
        seen = f"the installer was to ask no index, and asked for {asked[0]['path']}"
        yield _cause("use-not-supported", where=f"{cell}: install", seen=seen)


def _again(evidence: Evidence, cell: str) -> Iterator[Cause]:
    again = evidence.get("again")
    if not again:
        return
    where = f"{cell}: installed again"
    if again["code"]:
        seen = f"ended with {again['code']}: {_last_error(again['stdout'] + again['stderr'])}"
        yield _cause("use-not-supported", where=where, seen=seen)
    kind = paths.flavour(evidence)
    changed = [
        path
        for verb in ("added", "removed", "changed")
        for path in again["difference"][verb]
        if not paths.is_cache(kind(path))
    ]
    if changed:
        seen = f"{len(changed)} paths were changed, first {changed[0]}"
        yield _cause("use-not-supported", where=where, seen=seen)


def _cause(name: str, *, where: str, seen: str) -> Cause:
    return catalogue().cause(name, where=where, seen=seen)


def _index_faults(evidence: Evidence, cell: str) -> Iterator[Cause]:
    for line in _by_installers(evidence):
        where = f"{cell}: index"
        if refused := line.get("tls_refused"):
            seen = f"the installer does not trust the run's own authority ({refused})"
            yield _cause("index-unreachable", where=where, seen=seen)
            return  # it tries again and again
        if line.get("open"):
            seen = f"{line['path']} was asked for, and had no answer to its end"
            yield _cause("index-unreachable", where=where, seen=seen)
        elif line["status"] is None:
            yield _cause("index-unreachable", where=where, seen=f"{line['path']} was not answered")
        elif line["status"] >= 500:
            yield _cause(
                "index-unreachable", where=where, seen=f"{line['path']} answered {line['status']}"
            )
        elif line["status"] >= 400 and line["path"].startswith("/packages/"):
            seen = f"{line['path']} is on its page, and was answered with {line['status']}"
            yield _cause("index-unreachable", where=where, seen=seen)
        elif not line["complete"]:
            seen = f"{line['path']} broke off after {line['bytes']} bytes (truncated download)"
            yield _cause("index-unreachable", where=where, seen=seen)


def _by_installers(evidence: Evidence) -> list[Evidence]:
    """Return what was asked for by others than the package itself."""
    return [line for line in evidence["requests"] if not _in_use(line, evidence)]


def _in_use(line: Evidence, evidence: Evidence) -> bool:
    """Return whether the package asked, imported or in use, after all installing."""
    first, last = evidence.get("import", {}), evidence.get("exercise", {})
    if "began" not in first or "began" not in last or "time" not in line:
        return False
    # `uv run` is asked for Python, and looks after the environment itself.
    if line.get("user_agent", "").startswith(("uv/", "pip/")):
        return False
    at = datetime.fromisoformat(line["time"]).timestamp()
    return bool(first["began"] <= at <= last["began"] + last["seconds"])


def _network_used(evidence: Evidence, cell: str) -> Iterator[Cause]:
    for line in (line for line in evidence["requests"] if _in_use(line, evidence)):
        what = f"{line['path']} of {line['host']} was asked for" if "path" in line else ""
        what = what or f"a connection was begun and given up ({line.get('tls_refused')})"
        yield _cause("network-used", where=f"{cell}: import and use", seen=what)
        return  # it tries again and again


def _digests(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    for line in evidence["requests"]:
        name = line.get("file", "")
        if name in expected.digests and line.get("status") == 200 and "sha256" in line:
            served, built = line["sha256"], expected.digests[name]
            if served != built:
                seen = f"the index served sha256 {served[:16]}..., built was {built[:16]}..."
                yield _cause("hash-mismatch", where=f"{cell}: {name}", seen=seen)


def _unserved(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield that the index never gave what is installed: then nobody knows whose it is."""
    served = {line.get("file") for line in evidence["requests"] if line.get("status") == 200}
    if not _scenario(evidence).offline and not served & set(expected.digests):
        seen = "it was installed, and the index gave none of the release's wheels to this machine"
        yield _cause("index-unreachable", where=f"{cell}: index", seen=seen)


# ---- install ----


def _install(evidence: Evidence, expected: Expected, cell: str) -> Cause:
    ran = evidence["install"]
    output = ran["stdout"] + ran["stderr"]
    where = f"{cell}: {' '.join(ran['command'][-2:])}"
    last = _last_error(output)
    if ran["timed_out"]:
        return _hang(ran, where=where, seen=f"no end after {ran['seconds']:.0f} s")
    if _FULL.search(output):
        return _cause("disk-full", where=where, seen=last)
    if "DO NOT MATCH THE HASHES" in output:
        return _cause("hash-mismatch", where=where, seen=last)
    if _NO_HASH.search(output):
        return _cause("missing-dependency", where=where, seen=last)
    # Before the refusals: to pip, an index that does not answer has no distribution either.
    if found := _NO_CONNECTION.search(output):
        return _cause("index-unreachable", where=where, seen=found[0].strip()[:400])
    if wanted := next((m for pattern in _REFUSALS if (m := pattern.search(output))), None):
        return _refusal(evidence, expected, where, wanted, output)
    if re.search(r"Permission denied|EnvironmentError.*\[Errno 13\]", output):
        return _cause("permission", where=where, seen=last)
    if found := _OTHER_FORM.search(output):
        return _cause("wheel-version", where=where, seen=found[0].strip())
    if found := _ENTRY_POINTS.search(output):
        return _cause("entry-point-broken", where=where, seen=found[0].strip()[:400])
    if re.search(
        r"is invalid|has an invalid wheel|BadZipFile|Bad CRC|outside the target directory|"
        r"Error decoding metadata",
        output,
    ):
        return _cause("record-mismatch", where=where, seen=last)
    return _cause("unclassified", where=where, seen=f"ended with {ran['code']}: {last}")


def _refusal(
    evidence: Evidence, expected: Expected, where: str, wanted: re.Match[str], output: str
) -> Cause:
    project = canonicalize_name(expected.project)
    own = any(canonicalize_name(found[2]) == project for found in _NO_WHEEL.finditer(output))
    name = canonicalize_name(wanted[2])
    sought = name if name in expected.locked and not own else project
    asked = evidence["requests"]
    if not (
        expected.refused
        or _scenario(evidence).offline
        or any(refusal.is_page(line, sought) for line in asked)
    ):
        # An installer words it the same where a page lists nothing that fits and where none came.
        answers = [str(line["status"]) for line in asked if f"/{sought}/" in line.get("path", "")]
        seen = f"it refused without the index's page of {sought}, which alone can tell; asked for, "
        seen += f"it was answered with {', '.join(dict.fromkeys(answers)) or 'nothing'}"
        return _cause("index-unreachable", where=where, seen=seen)
    if name != project and not own:
        seen = f"needs {wanted[1]}, "
        if _scenario(evidence).offline:
            seen += "which is not among the files that it was given"
        elif have := expected.locked.get(name):
            seen += f"and the index has {wanted[2]} {have}"
        else:
            seen += "which is not among the locked dependencies"
        return _cause("missing-dependency", where=where, seen=seen)
    if expected.refused:
        return _cause("upload-refused", where=where, seen=expected.refused)
    major, minor, *_ = evidence["python"].split(".")
    interpreters = {tag.interpreter for name in expected.digests for tag in _tags(name)}
    fits = {f"cp{major}{minor}", f"py{major}", f"py{major}{minor}"}
    told = ", ".join(sorted(interpreters))
    if not interpreters & fits:
        seen = f"CPython {major}.{minor} refused cleanly: the release's wheels are for {told}"
        return _cause("unsupported-python", where=where, seen=seen)
    abis = {tag.abi for name in expected.digests for tag in _tags(name)}
    if "t" in evidence.get("abiflags", "") and not abis & {f"cp{major}{minor}t", "none"}:
        # PEP 703: a free-threaded build takes neither the ordinary ABI nor abi3.
        seen = f"CPython {major}.{minor}t (free-threaded) refused cleanly: the release's wheels"
        seen += f" are for the ABI {', '.join(sorted(abis))}"
        return _cause("unsupported-python", where=where, seen=seen)
    if found := _OTHER_PYTHON.search(output):
        return _cause("unsupported-python", where=where, seen=found[0].strip()[:400])
    platforms = sorted({tag.platform for name in expected.digests for tag in _tags(name)})
    libc = " ".join(evidence["libc"]).strip() or "a C library that is not glibc"
    host = f"{evidence['machine']} with {libc}"
    if evidence.get("os") == "windows":
        host = f"Windows on {evidence['machine']}"
    seen = f"{host} refused cleanly: the wheels are for {', '.join(platforms)}"
    return _cause("unsupported-platform", where=where, seen=seen)


def _tags(name: str) -> list[Any]:
    return list(parse_wheel_filename(name)[3])


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    # uv's reasons follow, the innermost last.
    reason = "".join(f" ({line})" for line in lines if errors and line.startswith("cause: "))
    return ((errors or lines or ["no output"])[-1] + reason)[:400]


# ---- import, first native call, round trip ----


def _use(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    steps = evidence["exercise"]["steps"]
    if unresolved := list(_unresolved(evidence, expected, cell)):
        yield from unresolved  # a crash is what follows
        return
    if ended := list(_ends(evidence, cell)):
        yield from _old_runtime(evidence, cell) or _emulator(evidence, ended, cell)
        return
    if shadow := list(_shadow(steps, evidence, expected, cell)):
        yield from shadow  # whatever else was seen is the other package's
        return
    scenario = _scenario(evidence)
    names = ("import", "native-call", "round-trip", "mapped", "distributions", "record")
    if (told := steps.get("prelude")) and not told["ok"]:
        yield _cause("testbed-defect", where=f"{cell}: prelude", seen=told["error"]["message"])
        return
    failed = False
    for name in (*names, *scenario.uses):
        told = steps.get(name)
        if told is not None and told["ok"]:
            continue
        error = told["error"] if told else {"type": "", "message": "it was never reached"}
        # What fails later only follows, but for what was found in another's code.
        if not failed or error["type"] == _INTERPOSED:
            found = _failed_step(name, error, evidence, expected, f"{cell}: {name}")
            # What was loaded before is there, whatever the loader says of this way to it.
            lost = name in scenario.uses and found.name in _LOST
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
    yield from _network_used(evidence, cell)
    yield from _unknown(evidence, expected, cell)
    yield from _mapped(steps, evidence, expected, cell)
    if not scenario.keeps_dependencies:
        yield from _dependencies(evidence, expected, cell)
    yield from _record(steps, cell)
    yield from _registry(evidence, cell)


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
    return _cause(entry.name, where=found.where, seen=f"{scenario.title}: {seen}")


def _plain_import(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield how the import alone failed, where the same import was well in the exercise."""
    plain = evidence["import"]
    if plain["code"]:
        kind, _, message = _last_error(plain["stdout"] + plain["stderr"]).partition(": ")
        error = {"type": kind, "message": message or f"it ended with {plain['code']}"}
        yield _failed_step("import", error, evidence, expected, f"{cell}: import")


def _unresolved(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield the symbols that one library of the package takes from another that has them not."""
    own = {path.name.lower() for path in paths.installed(evidence)}
    for stub in loader.stubs(evidence.get("loader", ())):
        if stub.library.lower() in own and paths.within(stub.needed_by, expected.module):
            seen = f"{stub.needed_by.name} imports {stub.symbol} of {stub.library}, which does not "
            seen += "export it; Windows refuses to load such a library, Wine does not"
            yield _cause("symbol-not-found", where=f"{cell}: {stub.needed_by.name}", seen=seen)


def _printed(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield what a user sees on the terminal though nothing failed."""
    plain, ran = evidence["import"], evidence["exercise"]
    if plain["code"] == 0 and (said := plain["stdout"].strip()):
        seen = f"`{plain['command'][-1]}` prints {said.splitlines()[0][:200]!r}"
        yield _cause("output-at-import", where=f"{cell}: import", seen=seen)
    failed = [step for step in ran["steps"].values() if not step.get("ok")]
    for where, one in (("import", plain), ("exercise", ran)):
        # What a step raised is told by that step.
        found = _TRACEBACK.search(one["stderr"])
        if found and one["code"] == 0 and not failed:
            last = next((line for line in found[1].splitlines() if line[:1].strip()), "")
            seen = f"it ends well, and a traceback is printed: {last[:200]}"
            yield _cause("unhandled-exception", where=f"{cell}: {where}", seen=seen)
            return


def _process_state(steps: Evidence, cell: str) -> Iterator[Cause]:
    told = steps.get("process-state", {})
    changed = told.get("value") or {}
    seen = "; ".join(f"{name}: {old} became {new}" for name, (old, new) in changed.items())
    if told.get("error"):  # such as a current folder that is gone
        seen = f"it cannot be looked at any more: {told['error']['message']}"
    if seen:
        yield _cause("process-changed", where=f"{cell}: exercise", seen=seen[:400])


def _unknown(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield, as a note, what a library of the package takes from Windows that Wine has not."""
    own = {path.name.lower() for path in paths.installed(evidence)}
    for stub in loader.stubs(evidence.get("loader", ())):
        if stub.library.lower() not in own and paths.within(stub.needed_by, expected.module):
            seen = f"{stub.needed_by.name} imports {stub.symbol} of {stub.library}, which Wine has "
            seen += "not; whether every Windows has it was not verified"
            yield _cause("unknown-to-wine", where=f"{cell}: {stub.needed_by.name}", seen=seen)


def _old_runtime(evidence: Evidence, cell: str) -> list[Cause]:
    """Return the run-time libraries of the machine that are older than what the package needs.

    Code of Microsoft's compiler 14.x asks for a run-time library of 14.x or later (Microsoft, C++
    binary compatibility between Visual Studio versions).
    """
    told = evidence["exercise"]["steps"].get("run-times", {}).get("value") or {}
    found = []
    linked = [(tuple(by), name) for name, by in told.get("linked_by", {}).items() if by[0] == 14]
    if not linked:
        return []
    newest, library = max(linked)
    for name, run_time in told.get("loaded", {}).items():
        version = tuple(run_time["version"])
        if version and version[:2] < newest:
            have, need = (".".join(map(str, numbers)) for numbers in (version, newest))
            seen = f"{library} was linked by Microsoft's {need} and uses {name} {have} from "
            seen += f"{run_time['path']}; then the process died"
            found.append(_cause("runtime-too-old", where=f"{cell}: {name}", seen=seen))
    return found


def _emulator(evidence: Evidence, ended: list[Cause], cell: str) -> list[Cause]:
    """Return ``ended``, or the testbed's failure where Wine lacks what a library asked Windows for.

    A crash where a library imports a symbol that Wine's Windows has not proves nothing; nor does
    one in a function that Wine knows by name only.
    """
    told = evidence.get("loader", ())
    if called := loader.called(told):
        library, name = called[0]
        seen = f"{name} of {library} was called, which Wine knows by name only; then: "
        return [_cause("emulator-gap", where=f"{cell}: {library}", seen=seen + ended[0].message)]
    stubs = loader.stubs(told)
    own = paths.installed(evidence)
    if stubs and (lacking := [stub for stub in stubs if stub.needed_by in own]):
        first = lacking[0]
        seen = f"{first.needed_by.name} imports {first.symbol} of {first.library}, which Wine has "
        seen += f"not; then: {ended[0].message}"
        return [_cause("emulator-gap", where=f"{cell}: {first.needed_by.name}", seen=seen)]
    return ended


def _ends(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield how a process ended that ought to have ended by itself."""
    plain, ran = evidence["import"], evidence["exercise"]
    if plain["timed_out"]:
        seen = f"no end after {plain['seconds']:.0f} s"
        yield _hang(plain, where=f"{cell}: import", seen=seen)
        return
    if _has_died(plain["code"], ""):
        name, seen = _death(plain["code"], None, evidence)
        yield _cause(name, where=f"{cell}: import", seen=seen)
        return
    finished = "end" in ran["steps"]
    if finished and ran["code"] == 0 and not ran["timed_out"]:
        return
    begun = [name for name, told in ran["steps"].items() if told.get("begun")]
    where = f"{cell}: {'at exit' if finished else begun[-1] if begun else 'start'}"
    if ran["timed_out"] or "Timeout (" in ran["trace"]:
        seen = f"no end after {ran['seconds']:.0f} s; the stack's innermost frame: "
        yield _hang(ran, where=where, seen=seen + _frame(ran["trace"]))
    elif _has_died(ran["code"], ran["trace"]):
        name, seen = _death(ran["code"], ran["trace"], evidence)
        yield _cause(name, where=where, seen=seen)
    else:
        seen = f"the interpreter ended with {ran['code']}: {_last_error(ran['stderr'])}"
        known = begun or finished
        yield _cause("crash" if known else "unclassified", where=where, seen=seen)


def _hang(ran: Evidence, *, where: str, seen: str) -> Cause:
    """Return the hang of a process, or the testbed's failure where the machine stood still."""
    if stalled := ran.get("stalled"):
        seen += f"; but the machine itself stood still for {stalled:.0f} s of it"
        return _cause("machine-lost", where=where, seen=seen)
    return _cause("hang", where=where, seen=seen)


def _has_died(code: int, trace: str) -> bool:
    return code < 0 or _is_access_violation(code) or _is_illegal(code) or "Fatal Python" in trace


def _death(code: int, trace: str | None, evidence: Evidence) -> tuple[str, str]:
    """Return by what cause a process died, and what was seen of it."""
    seen = _signal(code)
    if trace is not None:
        seen += f"; the last frame: {_frame(trace)}"
    if not _is_illegal(code) and "Fatal Python error: Illegal instruction" not in (trace or ""):
        return "crash", seen
    emulated = evidence["cell"].get("processor")
    processor = emulated or evidence.get("processor") or evidence["machine"]
    return "illegal-instruction", f"{seen}; the processor is {processor}"


def _is_access_violation(code: int) -> bool:
    return code & 0xFFFFFFFF >= 0xC0000000  # an NTSTATUS of severity error ([MS-ERREF] 2.3)


def _is_illegal(code: int) -> bool:
    return code in _ILLEGAL or code & 0xFFFFFFFF in _ILLEGAL


def _signal(code: int) -> str:
    if code == 132:
        code = -4
    if -65 < code < 0:  # anything less is an NTSTATUS, read as a signed number
        return f"killed by {_SIGNALS.get(-code, f'signal {-code}')}"
    return f"ended with 0x{code & 0xFFFFFFFF:08x}"


def _frame(trace: str) -> str:
    """Return the innermost frame of faulthandler's text, which tells the most recent call first."""
    frames = re.findall(r'File "([^"]+)", line (\d+) in (\S+)', trace)
    return f"{frames[0][0]}:{frames[0][1]} in {frames[0][2]}" if frames else "unknown"


def _shadow(steps: Evidence, evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    told = steps.get("import", {}).get("value") or {}
    file = told.get("file") or f"{told.get('folder')} (a folder without code)"
    kind = paths.flavour(evidence)
    ending = (expected.module, "__init__.py")
    homes = [p for p in evidence["installed"]["added"] if kind(p).parts[-2:] == ending]
    if told and kind(file) not in map(kind, homes):
        seen = f"`import {expected.module}` took {file}, installed is {', '.join(homes) or 'none'}"
        yield _cause("shadowed-import", where=f"{cell}: import", seen=seen)


def _failed_step(
    name: str, error: Evidence, evidence: Evidence, expected: Expected, where: str
) -> Cause:
    message = f"{error['type']}: {error['message']}"
    if _FULL.search(message) and evidence.get("free_bytes", 0) < _ROOM:
        return _cause("disk-full", where=where, seen=message[:300])
    if error["type"] == "SyntaxError":
        return _cause("syntax-error", where=where, seen=message[:300])
    if explained := loader.explain(message, evidence, expected.libraries):
        cause, seen = explained
        return _cause(cause, where=where, seen=seen)
    # A message of the package's own may well speak of a module.
    importing = error["type"] == "ImportError" or "ModuleNotFoundError" in message
    if importing and (found := _NO_MODULE.search(message)):
        own = found[1].startswith(f"{expected.module}.")
        lost = f"/{found[1].replace('.', '/')}.py"
        were = (path.as_posix() for path in paths.installed(evidence))
        if found[1] == expected.module or (own and any(path.endswith(lost) for path in were)):
            seen = "the installed files are gone or no package: nothing of it can be imported"
            return _cause("record-mismatch", where=where, seen=seen)
        if found[1].split(".")[0] in stdlib.NAMES:
            seen = f"needs the module {found[1]}, which this Python's standard library has not"
            return _cause("standard-library-mismatch", where=where, seen=seen)
        module = found[1] if own else found[1].split(".")[0]
        seen = f"needs the module {module}, which was not installed with it"
        return _cause("missing-dependency", where=where, seen=seen)
    if (found := _NO_NAME.search(message)) and found[2].split(".")[0] != expected.module:
        if found[2].split(".")[0] in stdlib.NAMES:
            seen = f"needs {found[1]} of {found[2]}, which this Python's standard library has not"
            return _cause("standard-library-mismatch", where=where, seen=seen)
        seen = f"needs {found[1]} of {found[2]}, and the version that was installed has none"
        return _cause("missing-dependency", where=where, seen=seen)
    if error["type"] == _INTERPOSED:
        return _cause("symbol-interposition", where=where, seen=error["message"][:400])
    if error["type"] == "SystemExit":
        seen = f"the package ended the interpreter ({message})"
        return _cause("crash", where=where, seen=seen)
    if "PermissionError" in message:
        return _cause("permission", where=where, seen=message[:300])
    if name == "round-trip":
        return _cause("round-trip-failed", where=where, seen=message[:300])
    return _cause("unclassified", where=where, seen=message[:300])


def _fallback(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    installed = paths.distributions(evidence).get(canonicalize_name(expected.project))
    if installed and _differs(installed["version"], expected.version):
        if expected.refused:
            seen = f"{expected.refused}, and the installer took {installed['version']}"
            yield _cause("upload-refused", where=f"{cell}: installed", seen=seen)
            return
        seen = f"{installed['version']} was installed, published was {expected.version}"
        yield _cause("silent-fallback", where=f"{cell}: installed", seen=seen)


def _versions(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    steps = evidence["exercise"]["steps"]
    native = (steps.get("native-call", {}).get("value") or {}).get("version")
    installed = paths.distributions(evidence).get(canonicalize_name(expected.project))
    if installed and steps.get("native-call", {}).get("ok") and native != expected.version:
        seen = f"the native library says {native}, the release is {expected.version}"
        yield _cause("version-mismatch", where=f"{cell}: version()", seen=seen)
    told = (steps.get("import", {}).get("value") or {}).get("version")
    if installed and told and _differs(told, expected.version):
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
        yield _cause("symbol-not-found", where=where, seen=seen)


def _differs(one: str, other: str) -> bool:
    try:
        return Version(one) != Version(other)
    except ValueError:
        return one != other


_WRITTEN = {
    "labels": ["Itaipú", "empty"],
    "units": [20, None],
    "capacity": [14000.5, None],
    "notes": [None, None],
}


def _left_running(evidence: Evidence, cell: str) -> Iterator[Cause]:
    if left := evidence["processes"]:
        seen = f"{len(left)} processes still run after the interpreter ended: {left[0][:100]}"
        yield _cause("process-left", where=f"{cell}: at exit", seen=seen)


def _values(steps: Evidence, evidence: Evidence, cell: str) -> Iterator[Cause]:
    read = steps.get("round-trip", {}).get("value")
    if not read:
        return
    if read["id"] != 1:
        seen = f"the first element's id is {read['id']!r}, expected was 1"
        yield _cause("round-trip-failed", where=f"{cell}: round-trip", seen=seen)
    kept = evidence["on_disk"]
    rows = [[1, "Itaipú", 20, 14000.5, None], [2, "empty", None, None, None]]
    if not _same(kept.get("rows"), rows):
        seen = f"the file holds {kept.get('rows', kept.get('error'))!r}, written was {rows!r}"
        yield _cause("round-trip-failed", where=f"{cell}: database file", seen=seen)
    for key, written in _WRITTEN.items():
        if not _same(read[key], written):
            seen = f"{key} came back as {read[key]!r}, written was {written!r}"
            yield _cause("round-trip-failed", where=f"{cell}: round-trip", seen=seen)


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
            yield _cause("wrong-library-loaded", where=where, seen=seen)
        elif not loaded:
            continue
        elif len(copies) > 1:
            seen = f"{library} is mapped {len(copies)} times: {', '.join(copies)}"
            yield _cause("duplicate-library", where=where, seen=seen)
        elif not copies:
            seen = f"{library} is not in the process after native calls; mapped are {mapped}"
            yield _cause("wrong-library-loaded", where=where, seen=seen[:400])


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
        yield _cause("version-mismatch", where=f"{cell}: dependencies", seen=seen)


def _record(steps: Evidence, cell: str) -> Iterator[Cause]:
    told = steps.get("record", {}).get("value")
    if told is None:
        return
    for wrong in told["wrong"]:
        seen = f"the installed file has {wrong['seen']} than RECORD tells"
        yield _cause("record-mismatch", where=f"{cell}: {wrong['file']}", seen=seen)
    if not told["checked"]:
        yield _cause("record-mismatch", where=f"{cell}: RECORD", seen="it lists no hash at all")
    for module in told.get("unreadable", ()):
        yield _cause("syntax-error", where=f"{cell}: {module['file']}", seen=module["seen"])
    for entry in steps.get("entry-points", {}).get("value") or ():
        seen = f"{entry['name']} = {entry['value']}: {entry['seen']}"
        where = f"{cell}: entry points"
        # It is installed and the package works: the lesser severity.
        yield catalogue().cause("entry-point-broken", where=where, seen=seen[:400], risk=True)


# ---- the package's own tests ----


def _own_tests(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    if not _scenario(evidence).tests:
        return
    if (told := evidence.get("tests")) is None:
        seen = "the exercise did not end well, and the tests were not begun"
        yield _cause("own-tests-not-run", where=f"{cell}: own tests", seen=seen)
        return
    file = (told["end"] or {}).get("file")
    taken = {"import": {"value": {"file": file}}}
    if file and (shadow := list(_shadow(taken, evidence, expected, cell))):
        yield from (replace(cause, where=f"{cell}: own tests") for cause in shadow)
        return
    code, trace = told.get("code", 0), told.get("trace", "")
    died = _has_died(code, trace)
    found = list(
        own_tests.judge(
            told,
            cell,
            expected.module,
            died=_death(code, trace, evidence) if died else None,
            hung=told.get("timed_out", False) or "Timeout (" in trace or code == _ALARM,
            frame=_frame(trace),
        )
    )
    yield from _emulator(evidence, found, cell) if died else found


# ---- uninstall ----


def _uninstall(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    ran = evidence["uninstall"]
    where = f"{cell}: uninstall"
    if ran["timed_out"]:
        yield _hang(ran, where=where, seen=f"no end after {ran['seconds']:.0f} s")
        return
    if ran["code"] != 0:
        seen = f"{' '.join(ran['command'][-3:])} ended with {ran['code']}"
        yield _cause("uninstall-failed", where=where, seen=f"{seen}: {_last_error(ran['stderr'])}")
        return
    if left := leftovers(evidence, expected.module):
        seen = f"{len(left)} paths are left, first {', '.join(left[:3])}"
        yield _cause("uninstall-leftover", where=where, seen=seen)
    if changed := [*evidence["left"]["changed"], *evidence["left"]["removed"]]:
        seen = f"{len(changed)} files of the machine were changed or removed, first {changed[0]}"
        yield _cause("machine-changed", where=where, seen=seen)
    if damaged := damaged_others(evidence):
        seen = f"{len(damaged)} files of other distributions were changed or removed, first "
        yield _cause("dependency-damaged", where=where, seen=seen + damaged[0])
    if evidence.get("os") == "windows":
        for told in evidence["left"]["added"]:
            if _ADMINISTRATORS.match(told):
                seen = f"it wrote {told}, which an ordinary user of Windows may not do"
                yield _cause("permission", where=where, seen=seen)
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
    installer = INSTALLERS.get(evidence["cell"].get("installer", ""))
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


def _registry(evidence: Evidence, cell: str) -> Iterator[Cause]:
    for verb, names in evidence.get("registry", {}).items():
        own = [name for name in names if not _SYSTEMS_KEYS.match(name)]
        if of_all := [name for name in own if name.startswith("HKLM")]:
            seen = f"{of_all[0]} was {verb}, which an ordinary user of Windows may not do"
            yield _cause("permission", where=f"{cell}: registry", seen=seen)
        if mine := [name for name in own if not name.startswith("HKLM")]:
            seen = f"{len(mine)} keys or values were {verb} and stay so, first {mine[0]}"
            yield _cause("registry-changed", where=f"{cell}: registry", seen=seen)
