"""From the installer's words to why it did not install the release, or what it did instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from packaging.utils import canonicalize_name, parse_wheel_filename

from verification.models.cause import Cause
from verification.models.machine import Refusal
from verification.rules import install_paths as paths
from verification.rules import loader, refusal
from verification.rules.expectation import (
    FULL,
    Evidence,
    Expected,
    cause_of,
    differs,
    last_error,
    scenario_of,
)
from verification.rules.index import by_installers
from verification.rules.process_exit import death, hang, is_illegal

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
_OTHER_FORM = re.compile(
    r".*Wheel-Version \(.*\) is not compatible.*|Unsupported wheel major version.*"
    r"|.*WHEEL is missing Wheel-Version.*|Invalid Wheel-Version.*"
)
# How pip and uv refuse entry_points.txt.
_ENTRY_POINTS = re.compile(
    r".*(?:Invalid script entry point|`entry_points\.txt` is invalid|invalid console script).*"
)


def taken(evidence: Evidence, expected: Expected) -> bool:
    """Return whether the release was installed on a machine that is promised none.

    What fits an installer knows best: by a wheel for another Python, a newer glibc or musl the
    release gives more than was promised, and must then work there.
    """
    if evidence["cell"].get("refuses") not in get_args(Refusal) or evidence["install"]["code"]:
        return False
    there = paths.distributions(evidence).get(canonicalize_name(expected.project))
    if there:
        return not differs(there["version"], expected.version)
    served = {line.get("file") for line in evidence["requests"] if line.get("status") == 200}
    return bool(served & expected.digests.keys())


def failed_commands(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield the first of the user's other commands that failed."""
    for kind in ("first", "after_install", "before_uninstall"):
        for ran in evidence.get(kind, ()):
            if ran["code"]:
                last = last_error(ran["stdout"] + ran["stderr"])
                seen = f"{' '.join(ran['command'][:4])[:100]} ended with {ran['code']}: {last}"
                cause, seen = loader.explain(last, evidence, expected.libraries) or (
                    scenario_of(evidence).cause,
                    seen,
                )
                if is_illegal(ran["code"]):
                    cause, seen = death(ran["code"], None, evidence)
                yield cause_of(cause, where=f"{cell}: {kind}", seen=seen)


def asked_offline(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield that an installer asked an index where it was to ask none."""
    if scenario_of(evidence).offline and (asked := by_installers(evidence)):
        seen = f"the installer was to ask no index, and asked for {asked[0]['path']}"
        yield cause_of("use-not-supported", where=f"{cell}: install", seen=seen)


def installed_again(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield what a second installation changed."""
    again = evidence.get("again")
    if not again:
        return
    where = f"{cell}: installed again"
    if again["code"]:
        seen = f"ended with {again['code']}: {last_error(again['stdout'] + again['stderr'])}"
        yield cause_of("use-not-supported", where=where, seen=seen)
    kind = paths.flavour(evidence)
    changed = [
        path
        for verb in ("added", "removed", "changed")
        for path in again["difference"][verb]
        if not paths.is_cache(kind(path))
    ]
    if changed:
        seen = f"{len(changed)} paths were changed, first {changed[0]}"
        yield cause_of("use-not-supported", where=where, seen=seen)


def why_refused(evidence: Evidence, expected: Expected, cell: str) -> Cause:
    """Return why the installer ended without having installed the release."""
    ran = evidence["install"]
    output = ran["stdout"] + ran["stderr"]
    where = f"{cell}: {' '.join(ran['command'][-2:])}"
    last = last_error(output)
    if ran["timed_out"]:
        return hang(ran, where=where, seen=f"no end after {ran['seconds']:.0f} s")
    if FULL.search(output):
        return cause_of("disk-full", where=where, seen=last)
    if "DO NOT MATCH THE HASHES" in output:
        return cause_of("hash-mismatch", where=where, seen=last)
    if _NO_HASH.search(output):
        return cause_of("missing-dependency", where=where, seen=last)
    # Before the refusals: to pip, an index that does not answer has no distribution either.
    if found := _NO_CONNECTION.search(output):
        return cause_of("index-unreachable", where=where, seen=found[0].strip()[:400])
    if wanted := next((m for pattern in _REFUSALS if (m := pattern.search(output))), None):
        return _refusal(evidence, expected, where, wanted, output)
    if re.search(r"Permission denied|EnvironmentError.*\[Errno 13\]", output):
        return cause_of("permission", where=where, seen=last)
    if found := _OTHER_PYTHON.search(output):
        return cause_of("unsupported-python", where=where, seen=found[0].strip()[:400])
    if found := _OTHER_FORM.search(output):
        return cause_of("wheel-version", where=where, seen=found[0].strip())
    if found := _ENTRY_POINTS.search(output):
        return cause_of("entry-point-broken", where=where, seen=found[0].strip()[:400])
    if re.search(
        r"is invalid|has an invalid wheel|BadZipFile|Bad CRC|outside the target directory|"
        r"Error decoding metadata",
        output,
    ):
        return cause_of("record-mismatch", where=where, seen=last)
    return cause_of("unclassified", where=where, seen=f"ended with {ran['code']}: {last}")


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
        or scenario_of(evidence).offline
        or any(refusal.is_page(line, sought) for line in asked)
    ):
        # An installer words it the same where a page lists nothing that fits and where none came.
        answers = [str(line["status"]) for line in asked if f"/{sought}/" in line.get("path", "")]
        seen = f"it refused without the index's page of {sought}, which alone can tell; asked for, "
        seen += f"it was answered with {', '.join(dict.fromkeys(answers)) or 'nothing'}"
        return cause_of("index-unreachable", where=where, seen=seen)
    if name != project and not own:
        seen = f"needs {wanted[1]}, "
        if scenario_of(evidence).offline:
            seen += "which is not among the files that it was given"
        elif have := expected.locked.get(name):
            seen += f"and the index has {wanted[2]} {have}"
        else:
            seen += "which is not among the locked dependencies"
        return cause_of("missing-dependency", where=where, seen=seen)
    if expected.refused:
        return cause_of("upload-refused", where=where, seen=expected.refused)
    major, minor, *_ = evidence["python"].split(".")
    every = [tag for name in expected.digests for tag in _tags(name)]
    here = [tag for tag in every if _is_for(tag.platform, evidence)]
    interpreters = {tag.interpreter for tag in here}
    fits = {f"cp{major}{minor}", f"py{major}", f"py{major}{minor}"}
    stable = {f"cp3{number}" for number in range(2, int(minor) + 1)}  # PEP 384, since 3.2
    fits |= {tag.interpreter for tag in here if tag.abi == "abi3"} & stable
    if here and not interpreters & fits:
        told = ", ".join(sorted(interpreters))
        seen = f"CPython {major}.{minor} refused cleanly: the release's wheels are for {told}"
        return cause_of("unsupported-python", where=where, seen=seen)
    abis = {tag.abi for tag in here}
    threaded = "t" in evidence.get("abiflags", "")
    if here and threaded and not abis & {f"cp{major}{minor}t", "none"}:
        # PEP 703: a free-threaded build takes neither the ordinary ABI nor abi3.
        seen = f"CPython {major}.{minor}t (free-threaded) refused cleanly: the release's wheels"
        seen += f" are for the ABI {', '.join(sorted(abis))}"
        return cause_of("unsupported-python", where=where, seen=seen)
    if found := _OTHER_PYTHON.search(output):
        return cause_of("unsupported-python", where=where, seen=found[0].strip()[:400])
    platforms = sorted({tag.platform for tag in every})
    libc = " ".join(evidence["libc"]).strip() or "a C library that is not glibc"
    host = f"{evidence['machine']} with {libc}"
    if evidence.get("os") == "windows":
        host = f"Windows on {evidence['machine']}"
    seen = f"{host} refused cleanly: the wheels are for {', '.join(platforms)}"
    return cause_of("unsupported-platform", where=where, seen=seen)


def _is_for(platform: str, evidence: Evidence) -> bool:
    """Return whether a platform tag is for the machine's kind of system, whatever its version."""
    kinds: tuple[str, ...]
    if evidence.get("os") == "windows":
        kinds = ("win",)
    elif evidence["libc"][0] == "glibc":
        kinds = ("manylinux", "linux")
    else:
        kinds = ("musllinux", "linux")
    return platform.startswith((*kinds, "any"))


def _tags(name: str) -> list[Any]:
    return list(parse_wheel_filename(name)[3])


def other_release(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield that another release was installed than the wanted one."""
    installed = paths.distributions(evidence).get(canonicalize_name(expected.project))
    if installed and differs(installed["version"], expected.version):
        if expected.refused:
            seen = f"{expected.refused}, and the installer took {installed['version']}"
            yield cause_of("upload-refused", where=f"{cell}: installed", seen=seen)
            return
        seen = f"{installed['version']} was installed, published was {expected.version}"
        yield cause_of("silent-fallback", where=f"{cell}: installed", seen=seen)
