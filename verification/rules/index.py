"""What the index was asked, and what it answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from verification.models.cause import Cause
from verification.rules.expectation import Evidence, Expected, cause_of, scenario_of


def index_faults(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield what the index itself did wrong, as far as installers noticed."""
    for line in by_installers(evidence):
        where = f"{cell}: index"
        if refused := line.get("tls_refused"):
            seen = f"the installer does not trust the run's own authority ({refused})"
            yield cause_of("index-unreachable", where=where, seen=seen)
            return  # it tries again and again
        if line.get("open"):
            seen = f"{line['path']} was asked for, and had no answer to its end"
            yield cause_of("index-unreachable", where=where, seen=seen)
        elif line["status"] is None:
            yield cause_of(
                "index-unreachable", where=where, seen=f"{line['path']} was not answered"
            )
        elif line["status"] >= 500:
            yield cause_of(
                "index-unreachable", where=where, seen=f"{line['path']} answered {line['status']}"
            )
        elif line["status"] >= 400 and line["path"].startswith("/packages/"):
            seen = f"{line['path']} is on its page, and was answered with {line['status']}"
            yield cause_of("index-unreachable", where=where, seen=seen)
        elif not line["complete"]:
            seen = f"{line['path']} broke off after {line['bytes']} bytes (truncated download)"
            yield cause_of("index-unreachable", where=where, seen=seen)


def by_installers(evidence: Evidence) -> list[Evidence]:
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


def network_used(evidence: Evidence, cell: str) -> Iterator[Cause]:
    """Yield that the package asked the network for something by itself."""
    for line in (line for line in evidence["requests"] if _in_use(line, evidence)):
        what = f"{line['path']} of {line['host']} was asked for" if "path" in line else ""
        what = what or f"a connection was begun and given up ({line.get('tls_refused')})"
        yield cause_of("network-used", where=f"{cell}: import and use", seen=what)
        return  # it tries again and again


def other_content(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield the wheels that came out of the index otherwise than they went in."""
    for line in evidence["requests"]:
        name = line.get("file", "")
        if name in expected.digests and line.get("status") == 200 and "sha256" in line:
            served, built = line["sha256"], expected.digests[name]
            if served != built:
                seen = f"the index served sha256 {served[:16]}..., built was {built[:16]}..."
                yield cause_of("hash-mismatch", where=f"{cell}: {name}", seen=seen)


def not_served(evidence: Evidence, expected: Expected, cell: str) -> Iterator[Cause]:
    """Yield that the index never gave what is installed: then nobody knows whose it is."""
    served = {line.get("file") for line in evidence["requests"] if line.get("status") == 200}
    if not scenario_of(evidence).offline and not served & set(expected.digests):
        seen = "it was installed, and the index gave none of the release's wheels to this machine"
        yield cause_of("index-unreachable", where=f"{cell}: index", seen=seen)
