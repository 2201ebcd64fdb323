"""``VERIFICATION.md``: the verdict as a verification report, row by row.

The text depends only on the report. Equal data gives equal text. A row without an item in the run
is *not verified*, with the reason.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from verification import suite
from verification.models.cause import Cause, Severity
from verification.models.machine import OperatingSystem
from verification.models.report import (
    ArtifactClaim,
    Claim,
    LinkClaim,
    PublisherPart,
    PublisherScope,
    Report,
)
from verification.models.report_template import (
    ItemTemplate,
    LinkTemplate,
    ReportTemplate,
    RequirementTemplate,
)
from verification.models.results import CellResult, Coverage, ItemResult
from verification.models.subject import PlatformTarget
from verification.models.verdict import Verdict
from verification.report import cause_groups, cell_summary, markdown, signs
from verification.report.stand_in_limits import limits_of
from verification.subjects import report_template
from verification.verdict import combined_verdict

_COMPARE = "Compare these fields with the page of the project's publishers on the index"
_NO_LIVE_INDEX = "the run did not read the live index"
_STATUS = {
    Verdict.VERIFIED: "VERIFIED",
    Verdict.FAILED: "FAILED",
    Verdict.UNVERIFIED: "NOT VERIFIED",
    Verdict.TESTBED: "NOT VERIFIED (testbed failure)",
}


def write(path: Path, report: Report) -> None:
    """Write the file."""
    path.write_text(render(report), "utf-8", "backslashreplace")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the report, with its verdict."""

    name: str
    """The name in the section "Gaps Summary"."""
    verdict: Verdict
    evidence: str
    cells: tuple[str, ...] = ()
    """The columns before the status, for a row of a table."""
    scope: str = ""
    """What the verdict compares; empty if it needs no such word."""

    @property
    def status(self) -> str:
        """The status, with the scope of a verified row."""
        scope = f" {self.scope}" if self.scope and self.verdict is Verdict.VERIFIED else ""
        return f"{_STATUS[self.verdict]}{scope}"


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of VERIFICATION.md: those of the package's `ReportTemplate`, and all other items."""

    report: Report
    template: ReportTemplate
    truths: tuple[Row, ...]
    artifacts: tuple[Row, ...]
    links: tuple[Row, ...]
    requirements: tuple[Row, ...]
    items: tuple[Row, ...]
    others: tuple[Row, ...]

    @property
    def all(self) -> tuple[Row, ...]:
        """All rows. Each must be verified for the status *verified*."""
        claims = (*self.truths, *self.artifacts, *self.links, *self.requirements)
        return (*claims, *self.items, *self.others)

    @property
    def status(self) -> Verdict:
        """Verified only if all rows are verified, in a finished run of a whole profile."""
        verdicts = [self.report.verdict, *(row.verdict for row in self.all)]
        partial = self.report.interrupted or not self.report.finished
        if partial or self.report.selection.narrowed:
            verdicts.append(Verdict.UNVERIFIED)
        return combined_verdict(verdicts)

    @property
    def status_word(self) -> str:
        """The status, or `human_needed` if only a person can verify what remains."""
        is_human = self.status is Verdict.VERIFIED and _registration_to_confirm(self.report)
        return "human_needed" if is_human else str(self.status)


def render(report: Report) -> str:
    """Return the Markdown text of VERIFICATION.md."""
    rows = _rows(report, report.template or _generic_template(report))
    parts = [_front(rows), *_head(rows), *_tables(rows), *_items(rows), *_human(report)]
    parts += [*_files(report), *_findings(report), *_gaps(rows)]
    wheels = ", ".join(f"{name} (sha256 {sha[:16]})" for name, sha in sorted(report.wheels.items()))
    parts += ["---", f"_Verified: {report.started}_"]
    verifier = suite.title(report.suite_version, report.suite_commit)
    parts += [
        f"_Wheels: {markdown.line(wheels or 'none')}_",
        f"_Verifier: {markdown.line(verifier)}_",
    ]
    return "\n\n".join(parts) + "\n"


def _generic_template(report: Report) -> ReportTemplate:
    """Return the texts for a package without its own, with the systems that its wheels are for."""
    declared = {
        PlatformTarget.of(platform.tag).machine_system
        for platform in report.platforms
        if platform.coverage is not Coverage.UNDECLARED
    }
    items = {item.id for item in report.items}
    systems: tuple[OperatingSystem, ...] = get_args(OperatingSystem)
    present = [name for name in systems if name in declared or f"{name}-install" in items]
    return report_template.generic(report.selection.subject, present)


def _registration_to_confirm(report: Report) -> PublisherPart | None:
    """Return the publisher's part if a person must compare its registration with the index.

    The run then verified only that the workflow fits the registration file.
    """
    item, publisher = _find(report, "publisher"), report.publisher
    if not (item and publisher and item.verdict is Verdict.VERIFIED):
        return None
    return publisher if publisher.scope == PublisherScope.REGISTRATION_FILE else None


# ---- rows ----


def _rows(report: Report, template: ReportTemplate) -> _Rows:
    truths = tuple(_truth(report, *truth) for truth in template.truths.items())
    former = "former human item" if template.previous else "item"
    items = tuple(
        _item(report, f"{former} {number}", item) for number, item in enumerate(template.items, 1)
    )
    template_items = {item.item for item in template.items}
    return _Rows(
        report=report,
        template=template,
        truths=truths,
        artifacts=tuple(_artifacts(report, template)),
        links=tuple(_links(report, template)),
        requirements=tuple(
            _requirement(requirement, template, truths, items)
            for requirement in template.requirements
        ),
        items=items,
        others=tuple(
            Row(f"{item.id} ({item.title})", item.verdict, _reason(item) or "verified")
            for item in report.items
            if item.id not in template_items
        ),
    )


def _truth(report: Report, number: str, text: str) -> Row:
    claim = report.pipeline.truths.get(number) if report.pipeline else None
    return _claim(report, f"truth {number}", claim, (number, text))


def _artifacts(report: Report, template: ReportTemplate) -> Iterator[Row]:
    artifacts = report.pipeline.artifacts if report.pipeline else ()
    claims = {claim.artifact: claim for claim in artifacts}
    for path, expected in template.artifacts.items():
        yield _claim(report, path, claims.pop(path, None), (f"`{path}`", expected))
    for path, claim in claims.items():
        yield _claim(report, path, claim, (f"`{path}`", claim.expected))


def _links(report: Report, template: ReportTemplate) -> Iterator[Row]:
    links = report.pipeline.links if report.pipeline else ()
    claims = {(claim.source, claim.target): claim for claim in links}
    for link in template.links:
        yield _link(report, link, claims.pop((link.source, link.target), None))
    for claim in claims.values():
        yield _link(report, claim, claim)


def _link(report: Report, link: LinkTemplate | LinkClaim, claim: LinkClaim | None) -> Row:
    via = (claim and claim.via) or link.via
    cells = (link.source, link.target, via)
    return _claim(report, f"{link.source} -> {link.target}", claim, cells)


def _claim(
    report: Report,
    name: str,
    claim: Claim | ArtifactClaim | LinkClaim | None,
    cells: tuple[str, ...],
) -> Row:
    if claim is None:
        return Row(name, Verdict.UNVERIFIED, _why_missing(report, "pipeline"), cells)
    return Row(name, claim.verdict, claim.evidence, cells)


def _item(report: Report, name: str, template: ItemTemplate) -> Row:
    item = _find(report, template.item)
    if item is None:
        return Row(name, Verdict.UNVERIFIED, _why_missing(report, template.item))
    machines = signs.machine_sentence(report.cells_of(item.id))
    if item.verdict is Verdict.VERIFIED:
        evidence = machines or "see the evidence of the item"
        return Row(name, item.verdict, evidence, scope=signs.scope(report, item.id))
    return Row(name, item.verdict, _reason(item) or machines or "no reason is recorded")


def _requirement(
    requirement: RequirementTemplate,
    template: ReportTemplate,
    truths: Sequence[Row],
    items: Sequence[Row],
) -> Row:
    numbers, item_ids = list(template.truths), [item.item for item in template.items]
    needed = [truths[numbers.index(number)] for number in requirement.truths]
    needed += [items[item_ids.index(item_id)] for item_id in requirement.items]
    evidence = " and ".join(f"{row.name} {row.scope}".strip() for row in needed)
    evidence += "".join(
        f"; {row.name}: {row.evidence}" for row in needed if row.verdict is not Verdict.VERIFIED
    )
    verdict = combined_verdict(row.verdict for row in needed)
    cells = (requirement.id, requirement.plan, requirement.description)
    return Row(requirement.id, verdict, evidence, cells)


def _find(report: Report, item_id: str) -> ItemResult | None:
    return next((item for item in report.items if item.id == item_id), None)


def _why_missing(report: Report, item_id: str) -> str:
    """Return why the report has no data about an item, or about a claim that the item covers."""
    for out in report.out_of_scope:
        if out.id == item_id:
            return f"out of scope of this run: {out.reason}"
    item = _find(report, item_id)
    if item is None:
        return f"this run has no item `{item_id}`"
    return _reason(item) or f"the item `{item_id}` of this run does not report it"


def _reason(item: ItemResult) -> str:
    counted = [occurrence.cause for occurrence in cause_groups.occurrences(item.causes)]
    lines = [f"{cause.name}: {cause.where}: {cause.message}" for cause in counted]
    return "; ".join([*lines, *([item.reason] if item.reason else [])])


# ---- parts of the text ----


def _front(rows: _Rows) -> str:
    template = rows.template
    lines = ["---", *([f"phase: {template.phase}"] if template.phase else [])]
    lines += [f"verified: {rows.report.started}", f"status: {rows.status_word}"]
    if rows.truths:
        lines.append(f"score: {_score(rows.truths)} must-haves verified")
    if previous := template.previous:
        score = f"{_score(rows.items)} former human items verified"
        lines.append(f"human_score: {score}{_scopes(rows)}")
        lines += ["re_verification: true", f"previous_verified: {previous.verified}"]
        lines += [f"previous_status: {previous.status}", f"previous_score: {previous.score}"]
    else:
        lines.append(f"items_score: {_score(rows.items)} items verified{_scopes(rows)}")
    lines += _front_human(rows)
    lines.append("former_human_items:" if template.previous else "items:")
    for item, row in zip(template.items, rows.items, strict=True):
        lines += [
            # A JSON string is also a YAML string.
            f"  - test: {_quoted(item.test)}",
            f"    item: {item.item}",
            f"    verdict: {row.verdict}",
        ]
        if row.scope:
            lines.append(f"    scope: {_quoted(row.scope)}")
        if row.verdict is not Verdict.VERIFIED:
            lines.append(f"    reason: {_quoted(row.evidence)}")
    return "\n".join([*lines, "---"])


def _scopes(rows: _Rows) -> str:
    """Return what the score of the items does not include; empty if it includes everything."""
    items = {item.item for item in rows.template.items}
    if "publisher" in items and _registration_to_confirm(rows.report):
        return f", 1 of them only {PublisherScope.REGISTRATION_FILE}"
    return ""


def _front_human(rows: _Rows) -> Iterator[str]:
    """Yield the entry that only a person can verify. After an earlier report, none is an answer."""
    report = rows.report
    publisher = _registration_to_confirm(report)
    if publisher is None:
        yield from ["human_verification: []"] if rows.template.previous else []
        return
    fields = ", ".join(f"{name} {value or 'any'}" for name, value in publisher.fields.items())
    yield "human_verification:"
    yield f"  - test: {_quoted(_COMPARE)}"
    yield "    item: publisher"
    yield f"    expected: {_quoted(fields)}"
    yield f"    why_human: {_quoted(signs.live_index_sentence(report) or _NO_LIVE_INDEX)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _score(rows: Sequence[Row]) -> str:
    return f"{sum(row.verdict is Verdict.VERIFIED for row in rows)}/{len(rows)}"


def _head(rows: _Rows) -> Iterator[str]:
    report, template = rows.report, rows.template
    human = _registration_to_confirm(report)
    yield f"# {template.title}"
    lines = [
        f"**{'Phase Goal' if template.phase else 'Goal'}:** {template.goal}",
        f"**Verified:** {report.started}",
        f"**Status:** {rows.status_word}{signs.network_limit(report)}",
    ]
    if basis := signs.basis_line(report):
        lines.append(f"**Based on:** {markdown.line(basis)}")
    if live := signs.live_index_sentence(report):
        lines.append(f"**Publisher:** {signs.scope(report, 'publisher')}; {markdown.line(live)}")
    if previous := template.previous:
        lines.append(
            f"**Re-verification:** Yes — the report of {previous.verified[:10]} was "
            f"{previous.status} ({previous.score}); "
            + ("one item is left to a person" if human else "this report needed no person")
        )
    if report.version:
        lines.append(
            f"**Release:** {markdown.line(f'{report.selection.subject} {report.version}')}"
        )
    if not report.finished:
        lines.append(f"**Not finished:** {signs.UNFINISHED}")
    if report.interrupted:
        lines.append("**Interrupted:** Yes — what the run did not reach is not verified")
    if narrowed := report.selection.narrowed:
        lines.append(
            f"**Narrowed:** Yes — to {markdown.line(', '.join(narrowed))}; the rest of the "
            "profile is not verified"
        )
    yield "  \n".join(lines)


def _tables(rows: _Rows) -> Iterator[str]:
    yield "## Goal Achievement"
    if rows.truths:
        yield "### Observable Truths"
        yield _table(("#", "Truth", "Status", "Evidence"), rows.truths)
        yield f"**Score:** {_score(rows.truths)} truths verified"
    if rows.artifacts:
        yield "### Required Artifacts"
        yield _table(("Artifact", "Expected", "Status", "Details"), rows.artifacts)
    if rows.links:
        yield "### Key Link Verification"
        yield _table(("From", "To", "Via", "Status", "Details"), rows.links)
    if rows.requirements:
        yield "### Requirements Coverage"
        headings = ("Requirement", "Source Plan", "Description", "Status", "Evidence")
        yield _table(headings, rows.requirements)
    if rows.others:
        yield "### Other Items of the Run"
        others = [dataclasses.replace(row, cells=(row.name,)) for row in rows.others]
        yield _table(("Item", "Status", "Evidence"), others)


def _items(rows: _Rows) -> Iterator[str]:
    if rows.items:
        yield "### Former Human Verification" if rows.template.previous else "### Items"
    for number, (item, row) in enumerate(zip(rows.template.items, rows.items, strict=True), 1):
        yield f"#### {number}. {item.title}"
        lines = [f"**Test:** {item.test}", f"**Expected:** {item.expected}"]
        lines.append(f"**Verdict:** {row.status}")
        if machines := signs.machine_sentence(rows.report.cells_of(item.item)):
            lines.append(f"**Machines:** {machines}")
        yield "  \n".join(lines)
        evidence = list(_evidence(rows.report, item)) or [row.evidence]
        yield "**Evidence:**\n\n" + _bullets(evidence)
        limits = list(dict.fromkeys(_limits(rows.report, item))) or ["none recorded by the run"]
        yield "**Limits:**\n\n" + _bullets(limits)


def _evidence(report: Report, template: ItemTemplate) -> Iterator[str]:
    """Yield the evidence for an item: what the run proved, its cells and its causes."""
    proved = {
        "pipeline": report.pipeline.proved if report.pipeline else (),
        "publisher": report.publisher.proved if report.publisher else (),
    }
    yield from proved.get(template.item, ())
    if template.item == "publisher" and (live := signs.live_index_sentence(report)):
        yield live
    yield from (_cell(cell) for cell in report.cells_of(template.item))
    item = _find(report, template.item)
    for occurrence in cause_groups.occurrences(item.causes) if item else ():
        root = occurrence.cause
        yield f"{_cause(root)}. Remedy: {root.remedy}"
        for cause in occurrence.following:
            yield f"follows from {root.name}: {_cause(cause)}"


def _cell(cell: CellResult) -> str:
    outcome_sign = signs.OUTCOMES[cell.outcome]
    summary = (cell_summary.sentence(cell.summary) if cell.summary else "") or cell.reason
    return f"`{cell.id}`: {outcome_sign.sign} {outcome_sign.title.upper()}" + (
        f": {summary}" if summary else ""
    )


def _cause(cause: Cause) -> str:
    return f"{cause.name} ({cause.severity}): {cause.where}: {cause.message}"


def _limits(report: Report, template: ItemTemplate) -> Iterator[str]:
    """Yield what a verdict on an item does not show."""
    not_provable = {
        "pipeline": report.pipeline.not_provable if report.pipeline else (),
        "publisher": report.publisher.not_provable if report.publisher else (),
    }
    yield from not_provable.get(template.item, ())
    cells = report.cells_of(template.item)
    for cell in cells:
        if row := limits_of(cell.machine, report.stand_ins):
            yield f"stand-in {row.stand_in} for {row.real}; differences: {row.differs}"
    for cell in cells:
        if cell.summary and cell.summary.tests and (left_out := cell.summary.tests.left_out):
            yield f"`{cell.id}`: own tests that do not count: {'; '.join(left_out)}"
    if cells and (own_tests := signs.own_tests_sentence(report)):
        yield own_tests
    if report.selection.narrowed and _find(report, template.item):
        yield f"the run was narrowed to {', '.join(report.selection.narrowed)}"


def _human(report: Report) -> Iterator[str]:
    """Yield the section with the entry for a person: the registration on the live index."""
    publisher = _registration_to_confirm(report)
    if publisher is None:
        return
    yield "### Human Verification"
    file = publisher.registered
    scope = PublisherScope.REGISTRATION_FILE
    yield f"{_COMPARE}. The run verified the publisher {scope}, `{file}`."
    lines = ["| Field | Registered value |", "| --- | --- |"]
    lines += [
        f"| {name} | {markdown.line(value or 'any')} |" for name, value in publisher.fields.items()
    ]
    yield "\n".join(lines)


def _files(report: Report) -> Iterator[str]:
    """Yield the section with each file of the release."""
    if not report.files:
        return
    yield "### Files of the Release"
    lines = ["| File | Coverage |", "| --- | --- |"]
    lines += [
        f"| {markdown.line(f.name)} | {markdown.line(signs.file_sentence(f))} |"
        for f in report.files
    ]
    yield "\n".join(lines)


def _findings(report: Report) -> Iterator[str]:
    yield "### Flaws and Notes"
    causes = [
        *(o.cause for item in report.items for o in cause_groups.occurrences(item.causes)),
        *report.notes,
    ]
    rows = {
        (cause.where, cause.name, str(cause.severity), cause.message)
        for cause in causes
        if cause.severity in (Severity.FLAWED, Severity.NOTE)
    }
    if not rows:
        yield "None."
        return
    lines = ["| Where | Cause | Severity | Message |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(map(markdown.line, row)) + " |" for row in sorted(rows)]
    yield "\n".join(lines)


def _gaps(rows: _Rows) -> Iterator[str]:
    yield "### Gaps Summary"
    report = rows.report
    unverified = [row for row in rows.all if row.verdict is not Verdict.VERIFIED]
    lines = [f"{row.name}: {_STATUS[row.verdict]}: {row.evidence}" for row in unverified]
    lines += signs.platform_sentences(report.platforms)
    if not lines and report.verdict is not Verdict.VERIFIED:
        lines.append(f"the verdict of the run is {report.verdict}")
    if not report.finished:
        lines.insert(0, signs.UNFINISHED)
    if report.interrupted:
        lines.insert(0, "the run was interrupted")
    if narrowed := report.selection.narrowed:
        lines.insert(0, f"the run was narrowed to {', '.join(narrowed)}")
    if lines:
        yield _bullets(lines)
    elif _registration_to_confirm(report):
        yield "No gaps except the entry under Human Verification."
    else:
        yield "No gaps. The run verified all rows without a person."


def _table(headings: Sequence[str], rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    for row in rows:
        cells = (*row.cells, _STATUS[row.verdict], row.evidence)
        lines.append("| " + " | ".join(markdown.line(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {markdown.line(line)}" for line in lines)
