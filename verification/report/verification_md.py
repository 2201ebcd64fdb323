"""``VERIFICATION.md``: the verdict in the form of the verification report that asked for a person.

The text is made from ``results.json`` alone and is the same for the same data. What the run has no
item for is *not verified*, with the reason.

A run's ``pipeline`` and ``publisher`` details may hold, each::

    truths        {"1": {"verdict", "evidence"}, ...}
    artifacts     [{"artifact", "verdict", "evidence"}, ...]; optionally "expected"
    links         [{"from", "to", "via", "verdict", "evidence"}, ...]
    proved        [what was shown, ...]
    not_provable  [what no run of this suite can show, ...]
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from verification.report import summary as seen
from verification.report.limits import row_of
from verification.report.results import project
from verification.verdict import Verdict, worst

PREVIOUS = {
    "previous_verified": "2026-02-25T22:00:00Z",
    "previous_status": "human_needed",
    "previous_score": "6/6 must-haves verified",
}
TRUTHS = {
    "1": "Pushing a v*.*.* tag triggers the publish workflow",
    "2": "Workflow builds fresh wheels via cibuildwheel for Windows and Linux",
    "3": "Tag version validated against pyproject.toml version before publish",
    "4": "Exactly 2 wheels validated before publish",
    "5": "GitHub Release auto-created with notes and wheel attachments",
    "6": "Wheels published to PyPI via OIDC trusted publishing (no API tokens)",
}
ARTIFACTS = {
    ".github/workflows/publish.yml": (
        "Tag-triggered publish pipeline: build, merge, validate, release, publish"
    ),
    "bindings/python/pyproject.toml": "[tool.cibuildwheel] configuration reused by publish.yml",
}
LINKS = {
    ("publish.yml validate job", "bindings/python/pyproject.toml"): "tomllib version extraction",
    ("publish.yml publish job", "PyPI"): "OIDC trusted publishing",
    ("publish.yml release job", "GitHub Releases"): "softprops/action-gh-release",
}
REQUIREMENT = (
    "CI-04",
    "04-01-PLAN",
    "PyPI trusted publisher (OIDC) publishes wheels on tagged release",
)


@dataclasses.dataclass(frozen=True)
class Human:
    """What a person had to look at, and the item of a run that now does."""

    title: str
    test: str
    expected: str
    item: str


HUMAN = (
    Human(
        "End-to-end pipeline",
        "Push a v*.*.* tag and observe CI",
        "publish.yml triggers, builds 2 wheels, validates tag against pyproject.toml, creates a "
        "GitHub Release with the wheels attached, and publishes to PyPI",
        "pipeline",
    ),
    Human(
        "Clean Windows install",
        "pip install quiverdb on a clean Windows machine",
        "The package installs without errors and `import quiverdb` works without any system-level "
        "DLL setup",
        "windows-install",
    ),
    Human(
        "Clean Linux install",
        "pip install quiverdb on a clean Linux machine",
        "The manylinux wheel installs and `import quiverdb` works without any system-level setup",
        "linux-install",
    ),
    Human(
        "Trusted publisher registration",
        "Confirm that the pending trusted publisher is registered",
        "A pending publisher for project quiverdb, with the owner, the repository, the workflow "
        "publish.yml and the environment pypi",
        "publisher",
    ),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing with its verdict; ``what`` names it among the gaps."""

    what: str
    verdict: Verdict
    evidence: str
    cells: tuple[str, ...] = ()
    """What a table's row says of it before its status."""


class _Run:
    """The data of one run, with the judgement on each row."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.told = told
        self.items = {item["id"]: item for item in told["items"]}
        self.truths = [
            self._row("pipeline", f"truth {number}", (number, text), self._truth(number))
            for number, text in TRUTHS.items()
        ]
        self.artifacts = [
            self._row("pipeline", path, (f"`{path}`", expected), told_of)
            for path, expected, told_of in self._artifacts()
        ]
        self.links = [
            self._row("pipeline", f"{start} -> {end}", (start, end, via), told_of)
            for start, end, via, told_of in self._links()
        ]
        self.human = [self._human(number, human) for number, human in enumerate(HUMAN, 1)]
        needed = (self.truths[5], self.human[3])
        evidence = "truth 6 and former human item 4" + "".join(
            f"; {row.what}: {row.evidence}" for row in needed if row.verdict is not Verdict.VERIFIED
        )
        self.requirement = Row(
            REQUIREMENT[0], worst(row.verdict for row in needed), evidence, REQUIREMENT
        )
        used = {human.item for human in HUMAN}
        self.others = [
            Row(
                f"{item['id']} ({item['title']})",
                Verdict(item["verdict"]),
                self._why(item) or "verified",
            )
            for item in told["items"]
            if item["id"] not in used
        ]

    @property
    def rows(self) -> list[Row]:
        """Everything that must be verified for the whole to be."""
        return [
            *self.truths,
            *self.artifacts,
            *self.links,
            self.requirement,
            *self.human,
            *self.others,
        ]

    @property
    def status(self) -> Verdict:
        """Verified only if every row is, in a run that was neither cut short nor narrowed."""
        whole = [Verdict(self.told["verdict"]), *(row.verdict for row in self.rows)]
        if self.told.get("interrupted") or self.narrowed:
            whole.append(Verdict.UNVERIFIED)
        return worst(whole)

    @property
    def narrowed(self) -> list[str]:
        """The options that narrowed the run."""
        return list(self.told.get("selection", {}).get("narrowed", ()))

    def _part(self, item: str, name: str) -> Any:
        found = self.told.get(item)
        return found.get(name) if isinstance(found, dict) else None

    def _truth(self, number: str) -> Mapping[str, Any] | None:
        found = self._part("pipeline", "truths")
        return found.get(number) if isinstance(found, dict) else None

    def _artifacts(self) -> Iterator[tuple[str, str, Mapping[str, Any] | None]]:
        told = {one["artifact"]: one for one in self._part("pipeline", "artifacts") or ()}
        for path, expected in ARTIFACTS.items():
            yield path, expected, told.pop(path, None)
        for path, one in told.items():
            yield path, one.get("expected", ""), one

    def _links(self) -> Iterator[tuple[str, str, str, Mapping[str, Any] | None]]:
        told = {(one["from"], one["to"]): one for one in self._part("pipeline", "links") or ()}
        for (start, end), via in LINKS.items():
            one = told.pop((start, end), None)
            yield start, end, (one or {}).get("via", via), one
        for (start, end), one in told.items():
            yield start, end, one.get("via", ""), one

    def _row(
        self, item: str, what: str, cells: tuple[str, ...], told: Mapping[str, Any] | None
    ) -> Row:
        if told is None:
            return Row(what, Verdict.UNVERIFIED, self._absent(item), cells)
        return Row(what, Verdict(told["verdict"]), str(told.get("evidence", "")), cells)

    def _absent(self, item: str) -> str:
        for out in self.told.get("out_of_scope", ()):
            if out["id"] == item:
                return f"out of scope of this run: {out['reason']}"
        if item not in self.items:
            return f"this run has no item `{item}`"
        return self._why(self.items[item]) or f"the run's item `{item}` does not tell of it"

    def _why(self, item: Mapping[str, Any]) -> str:
        causes = [f"{c['name']}: {c['where']}: {c['message']}" for c in item["causes"]]
        return "; ".join([*causes, *([item["reason"]] if item["reason"] else [])])

    def _human(self, number: int, human: Human) -> Row:
        item = self.items.get(human.item)
        what = f"former human item {number}"
        if item is None:
            return Row(what, Verdict.UNVERIFIED, self._absent(human.item))
        verdict = Verdict(item["verdict"])
        told = "" if verdict is Verdict.VERIFIED else self._why(item)
        return Row(what, verdict, told or "see its evidence")

    def evidence(self, human: Human) -> Iterator[str]:
        """Yield what was seen for a former human item."""
        for line in self._part(human.item, "proved") or ():
            yield str(line)
        for cell in self._cells(human):
            shown = seen.sentence(self.told.get("seen", {}).get(cell["id"], {}))
            yield f"`{cell['id']}`: {_STATUS[Verdict(cell['verdict'])]}" + (
                f": {shown or cell['reason']}" if shown or cell["reason"] else ""
            )
        for cause in self.items.get(human.item, {}).get("causes", ()):
            yield (
                f"{cause['name']} ({cause['severity']}): {cause['where']}: {cause['message']}. "
                f"Remedy: {cause['remedy']}"
            )

    def limits(self, human: Human) -> Iterator[str]:
        """Yield what a verdict on a former human item does not show."""
        for line in self._part(human.item, "not_provable") or ():
            yield str(line)
        rows = self.told.get("stand_ins", ())
        told: dict[str, None] = {}
        for cell in self._cells(human):
            if row := row_of(cell["machine"], rows):
                told[f"{row['stand_in']} stands in for {row['real']}; not so: {row['differs']}"] = (
                    None
                )
        yield from told
        for cell in self._cells(human):
            tests = self.told.get("seen", {}).get(cell["id"], {}).get("tests", {})
            if left := tests.get("left_out"):
                yield f"`{cell['id']}`: of the package's own tests did not count: {'; '.join(left)}"
        if self.narrowed and human.item in self.items:
            yield f"The run was narrowed to {', '.join(self.narrowed)}"

    def _cells(self, human: Human) -> list[Mapping[str, Any]]:
        system = human.item.removesuffix("-install")
        machines = self.told.get("machines", {})
        return [
            cell
            for cell in self.told["cells"]
            if machines.get(cell["machine"], {}).get("os") == system
        ]


_STATUS = {
    Verdict.VERIFIED: "VERIFIED",
    Verdict.FAILED: "FAILED",
    Verdict.UNVERIFIED: "NOT VERIFIED",
    Verdict.TESTBED: "NOT VERIFIED (testbed failure)",
}


def render(told: Mapping[str, Any]) -> str:
    """Return the report on the run that ``results.json`` tells of."""
    run = _Run(told)
    parts = [_front(run), *_head(run), *_tables(run), *_humans(run), *_findings(run), *_gaps(run)]
    wheels = ", ".join(f"{name} (sha256 {sha[:16]})" for name, sha in _wheels(told))
    parts += ["---", f"_Verified: {told.get('started', 'unknown')}_"]
    parts += [f"_Wheels: {_plain(wheels or 'none')}_", "_Verifier: quiverdb-e2e_"]
    return "\n\n".join(parts) + "\n"


def _wheels(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted(told.get("wheels", {}).items())


def _score(rows: Iterable[Row]) -> str:
    rows = list(rows)
    return f"{sum(row.verdict is Verdict.VERIFIED for row in rows)}/{len(rows)}"


def _front(run: _Run) -> str:
    lines = ["---", "phase: 04-pypi-publishing", f"verified: {run.told.get('started', 'unknown')}"]
    lines += [f"status: {run.status}", f"score: {_score(run.truths)} must-haves verified"]
    lines += [f"human_score: {_score(run.human)} former human items verified"]
    lines += ["re_verification: true"]
    lines += [f"{key}: {value}" for key, value in PREVIOUS.items()]
    lines += ["human_verification:"]
    for human, row in zip(HUMAN, run.human, strict=True):
        lines += [
            # JSON's strings are YAML's as well.
            f"  - test: {_quoted(human.test)}",
            f"    item: {human.item}",
            f"    verdict: {row.verdict}",
        ]
        if row.verdict is not Verdict.VERIFIED:
            lines.append(f"    reason: {_quoted(row.evidence)}")
    return "\n".join([*lines, "---"])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _head(run: _Run) -> Iterator[str]:
    yield "# Phase 04: PyPI Publishing Verification Report"
    lines = [
        "**Phase Goal:** Tagged releases automatically publish tested wheels to PyPI with no "
        "manual intervention",
        f"**Verified:** {run.told.get('started', 'unknown')}",
        f"**Status:** {run.status}",
        f"**Re-verification:** Yes — the report of 2026-02-25 was {PREVIOUS['previous_status']} "
        f"({PREVIOUS['previous_score']}); no person looked at anything for this one",
    ]
    if run.told.get("version"):
        told = f"{project(run.told)} {run.told['version']}"
        lines.append(f"**Release:** {_plain(told)}")
    if run.told.get("interrupted"):
        lines.append("**Interrupted:** Yes — what it did not come to is not verified")
    if run.narrowed:
        lines.append(f"**Narrowed:** {_plain(', '.join(run.narrowed))}; so it is not the whole")
    yield "  \n".join(lines)


def _tables(run: _Run) -> Iterator[str]:
    yield "## Goal Achievement"
    yield "### Observable Truths"
    yield _table(("#", "Truth", "Status", "Evidence"), run.truths)
    yield f"**Score:** {_score(run.truths)} truths verified"
    yield "### Required Artifacts"
    yield _table(("Artifact", "Expected", "Status", "Details"), run.artifacts)
    yield "### Key Link Verification"
    yield _table(("From", "To", "Via", "Status", "Details"), run.links)
    yield "### Requirements Coverage"
    headings = ("Requirement", "Source Plan", "Description", "Status", "Evidence")
    yield _table(headings, [run.requirement])
    if run.others:
        yield "### Other Items of the Run"
        others = [dataclasses.replace(row, cells=(row.what,)) for row in run.others]
        yield _table(("Item", "Status", "Evidence"), others)


def _humans(run: _Run) -> Iterator[str]:
    yield "### Former Human Verification"
    for number, (human, row) in enumerate(zip(HUMAN, run.human, strict=True), 1):
        yield f"#### {number}. {human.title}"
        lines = [f"**Test:** {human.test}", f"**Expected:** {human.expected}"]
        yield "  \n".join([*lines, f"**Verdict:** {_STATUS[row.verdict]}"])
        shown = list(run.evidence(human)) or [row.evidence]
        yield "**Evidence:**\n\n" + _bullets(shown)
        yield "**Limits:**\n\n" + _bullets(list(run.limits(human)) or ["none told by the run"])


def _findings(run: _Run) -> Iterator[str]:
    yield "### Findings That Fail Nothing"
    causes = [
        *(cause for item in run.told["items"] for cause in item["causes"]),
        *run.told.get("notes", ()),
    ]
    mild = {
        (c["where"], c["name"], c["severity"], c["message"])
        for c in causes
        if c["severity"] in ("flawed", "note")
    }
    if not mild:
        yield "None."
        return
    lines = ["| Where | Finding | Severity | Seen |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in sorted(mild)]
    yield "\n".join(lines)


def _gaps(run: _Run) -> Iterator[str]:
    yield "### Gaps Summary"
    missing = [row for row in run.rows if row.verdict is not Verdict.VERIFIED]
    told = [f"{row.what}: {_STATUS[row.verdict]}: {row.evidence}" for row in missing]
    if not told and run.told["verdict"] != Verdict.VERIFIED:
        told.append(f"the run's own verdict is {run.told['verdict']}")
    if run.told.get("interrupted"):
        told.insert(0, "the run was interrupted")
    if run.narrowed:
        told.insert(0, f"the run was narrowed to {', '.join(run.narrowed)}")
    yield _bullets(told) if told else "No gaps: every row above is verified, and by no person."


def _table(headings: tuple[str, ...], rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    for row in rows:
        cells = (*row.cells, _STATUS[row.verdict], row.evidence)
        lines.append("| " + " | ".join(_plain(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _plain(text: str) -> str:
    """Return evidence as Markdown that stays in its cell and makes no HTML."""
    line = " ".join(text.split())
    return line.replace("\\", "\\\\").replace("<", "&lt;").replace("|", "\\|")
