from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import (
    FILES,
    LINUX,
    PIPELINE,
    PUBLISHER,
    WINDOWS,
    cell,
    complete,
    crash,
    report,
)
from verification.models.cause import Severity
from verification.models.pipeline import LivePublisherCheck
from verification.models.report import (
    Claim,
    OutOfScope,
    PipelinePart,
    PublisherScope,
    Report,
)
from verification.models.report_template import ItemTemplate, ReportTemplate
from verification.models.results import Coverage, PlatformResult
from verification.models.verdict import Outcome, Verdict
from verification.report import cell_summary, signs, stand_in_limits, verification_md

QUIVERDB = sample_run.TEMPLATE


def _render(run: Report) -> str:
    return verification_md.render(run)


def _front(text: str) -> dict[str, str]:
    front = text.split("---\n")[1]
    return dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


def _gaps(text: str) -> list[str]:
    part = text.partition("### Gaps Summary")[2].partition("---")[0]
    return [line for line in part.splitlines() if line.startswith("- ")]


def _with(run: Report, **changes: object) -> Report:
    return run.model_copy(update=changes)


def _pipeline(**changes: object) -> PipelinePart:
    return PIPELINE.model_copy(update=changes)


def _confirmed() -> Report:
    """Return a complete run whose publisher agrees with the live index."""
    live = LivePublisherCheck(
        verdict=Verdict.VERIFIED, version="0.4.0", publishers={"a.whl": "kind=GitHub"}
    )
    publisher = PUBLISHER.model_copy(update={"scope": PublisherScope.LIVE_INDEX, "live": live})
    return _with(complete(), publisher=publisher)


@pytest.mark.parametrize(
    ("run", "status"), [(_confirmed(), "verified"), (complete(), "human_needed")]
)
def test_a_verified_run_has_full_scores_and_no_gaps(run: Report, status: str) -> None:
    text = _render(run)
    front = _front(text)
    assert front["status"] == status
    assert front["score"].startswith("6/6 ")
    assert front["human_score"].startswith("4/4 ")
    assert "NOT VERIFIED" not in text
    assert _gaps(text) == []


def _human_entries(text: str) -> list[str]:
    front = text.split("---\n")[1]
    entries = re.search(r"^human_verification:((?:\n  .*)*)", front, re.MULTILINE)
    assert entries
    return re.findall(r"^  - test: (.+)$", entries[1], re.MULTILINE)


def test_registration_that_nobody_compared_with_the_index_is_the_only_human_entry() -> None:
    text = _render(complete())
    assert len(_human_entries(text)) == 1
    assert PublisherScope.REGISTRATION_FILE in _front(text)["human_score"]
    section = text.partition("### Human Verification")[2].partition("\n###")[0]
    for name, value in PUBLISHER.fields.items():
        assert f"| {name} | {value} |" in section


def test_verdict_on_the_publisher_has_its_scope_wherever_it_is_stated() -> None:
    text = _render(complete())
    (requirement,) = [row for row in _rows(text) if row.startswith("| CI-04 |")]
    (verdict,) = re.findall(r"#### 4\..*?\*\*Verdict:\*\* ([^\n]*)", text, re.DOTALL)
    assert PublisherScope.REGISTRATION_FILE in requirement
    assert verdict == f"VERIFIED {PublisherScope.REGISTRATION_FILE}"


def test_agreeing_live_index_leaves_nothing_to_a_person() -> None:
    text = _render(_confirmed())
    assert _human_entries(text) == []
    assert "### Human Verification" not in text
    assert _front(text)["human_score"].endswith("verified")


def test_failed_publisher_is_no_human_entry() -> None:
    items = tuple(i for i in complete().items if i.id != "publisher")
    failed = sample_run.item("publisher", verdict=Verdict.UNVERIFIED, reason="no exchange")
    text = _render(_with(complete(), items=(*items, failed)))
    assert _human_entries(text) == []
    assert _front(text)["status"] == "unverified"


@pytest.mark.parametrize("run", [complete(), _confirmed()])
def test_the_head_has_the_basis_and_what_was_read_of_the_live_index(run: Report) -> None:
    head = _render(run).partition("## Goal Achievement")[0]
    assert f"**Based on:** {signs.basis_line(run)}" in head
    assert signs.live_index_sentence(run) in head


def test_each_file_of_the_release_is_a_row() -> None:
    section = _render(report()).partition("### Files of the Release")[2].partition("\n###")[0]
    rows = [line for line in section.splitlines() if line.startswith("| quiverdb-")]
    assert len(rows) == len(FILES)
    for row, file in zip(rows, FILES, strict=True):
        assert row == f"| {file.name} | {signs.file_sentence(file)} |"


def test_the_front_matter_has_the_result_of_the_previous_report() -> None:
    front = _front(_render(complete()))
    assert QUIVERDB
    assert QUIVERDB.previous
    assert front["re_verification"] == "true"
    assert front["previous_status"] == QUIVERDB.previous.status
    assert front["previous_score"] == QUIVERDB.previous.score


def test_without_a_pipeline_the_truths_are_not_verified() -> None:
    text = _render(report())
    front = _front(text)
    assert front["status"] == "unverified"
    assert front["score"].startswith("0/6 ")
    assert front["human_score"].startswith("2/4 ")
    truths = [row for row in _rows(text) if re.match(r"\| [1-6] \|", row)]
    assert len(truths) == 6
    for row in truths:
        status, reason = row.split("|")[-3:-1]
        assert status.strip() == "NOT VERIFIED"
        assert "`pipeline`" in reason


def _without(truths: Mapping[str, Claim], number: str) -> dict[str, Claim]:
    return {key: claim for key, claim in truths.items() if key != number}


@pytest.mark.parametrize(
    ("run", "status", "line"),
    [
        (
            _with(complete(), pipeline=_pipeline(truths=_without(PIPELINE.truths, "4"))),
            "unverified",
            "truth 4",
        ),
        (_with(complete(), interrupted=True), "unverified", ""),
        (_with(complete(), verdict=Verdict.FAILED), "failed", "failed"),
        (complete(cell(LINUX, crash()), cell(WINDOWS)), "failed", "item 3: FAILED"),
        (complete(cell(LINUX), cell(WINDOWS, reason="no image")), "unverified", "no image"),
    ],
)
def test_each_unverified_row_prevents_the_status_verified(
    run: Report, status: str, line: str
) -> None:
    text = _render(run)
    assert _front(text)["status"] == status
    assert line in _gaps(text)[0]


def test_the_part_about_the_publisher_is_not_required() -> None:
    text = _render(_with(complete(), publisher=None))
    assert _front(text)["status"] == "verified"
    assert _gaps(text) == []


@pytest.mark.parametrize("part", ["truths", "artifacts", "links"])
def test_a_failed_row_fails_the_report_and_is_shown_with_its_evidence(part: str) -> None:
    failed = {"verdict": Verdict.FAILED, "evidence": "the file differs"}
    if part == "truths":
        claim = PIPELINE.truths["2"].model_copy(update=failed)
        pipeline = _pipeline(truths={**PIPELINE.truths, "2": claim})
    elif part == "artifacts":
        first, *others = PIPELINE.artifacts
        pipeline = _pipeline(artifacts=(first.model_copy(update=failed), *others))
    else:
        link, *links = PIPELINE.links
        pipeline = _pipeline(links=(link.model_copy(update=failed), *links))
    text = _render(_with(complete(), pipeline=pipeline))
    assert _front(text)["status"] == "failed"
    assert any("| FAILED | the file differs |" in row for row in _rows(text))


def test_a_narrowed_run_is_not_verified() -> None:
    run = complete()
    selection = run.selection.model_copy(update={"narrowed": ("--machine debian-13",)})
    text = _render(_with(run, selection=selection))
    assert _front(text)["status"] == "unverified"
    assert "--machine debian-13" in _gaps(text)[0]


def test_an_artifact_without_a_claim_is_not_verified() -> None:
    run = _with(complete(), pipeline=_pipeline(artifacts=PIPELINE.artifacts[:1]))
    (row,) = [row for row in _rows(_render(run)) if "[tool.cibuildwheel]" in row]
    assert "NOT VERIFIED" in row


def test_claims_that_the_template_does_not_name_are_shown() -> None:
    artifact = PIPELINE.artifacts[0].model_copy(update={"artifact": "setup.cfg"})
    link = PIPELINE.links[0].model_copy(update={"source": "a", "target": "b"})
    run = _with(complete(), pipeline=_pipeline(artifacts=(artifact,), links=(link,)))
    rows = _rows(_render(run))
    assert any(row.startswith("| `setup.cfg` |") for row in rows)
    assert any(row.startswith("| a | b |") for row in rows)


def test_an_item_out_of_scope_is_shown_with_its_reason() -> None:
    out = (OutOfScope(id="pipeline", reason="--wheels has no source"),)
    lines = _gaps(_render(_with(report(), out_of_scope=out)))
    assert len([line for line in lines if "--wheels has no source" in line]) > 6


def test_own_tests_that_did_not_run_are_a_limit_of_each_install() -> None:
    text = _render(_with(complete(), own_tests_not_run="not named"))
    limits = [part.partition("####")[0] for part in text.split("**Limits:**")[1:]]
    assert sum("not named" in part for part in limits) == 2


def test_each_item_has_verdict_evidence_and_limits() -> None:
    text = _render(complete())
    for number in range(1, 5):
        part = text.partition(f"#### {number}. ")[2].partition("####")[0]
        assert "**Verdict:** VERIFIED" in part
        assert part.partition("**Evidence:**")[2].strip().startswith("- ")
        assert part.partition("**Limits:**")[2].strip().startswith("- ")
    for line in (*PIPELINE.proved, *PIPELINE.not_provable):
        assert line in text
    assert "0.5.0 (bundled)" in text
    debian = stand_in_limits.limits_of("debian-13", complete().stand_ins)
    assert debian
    assert debian.real in text


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.WORKS, "✔ WORKS"),
        (Outcome.WORKS_FLAWED, "▲ WORKS, FLAWED"),
        (Outcome.REFUSED, "⊘ REFUSED"),
        (Outcome.FALLS_BACK, "↓ FALLS BACK"),
        (Outcome.FAILS, "✘ FAILS"),
        (Outcome.UNVERIFIED, "? NOT VERIFIED"),
        (Outcome.TESTBED, "⚠ TESTBED FAILURE"),
    ],
)
def test_each_outcome_has_its_sign_and_words(outcome: Outcome, status: str) -> None:
    text = _render(complete(cell(LINUX, outcome=outcome), cell(WINDOWS)))
    part = text.partition("#### 3. ")[2].partition("####")[0]
    assert f"`{LINUX}`: {status}" in part


def test_an_item_has_the_number_of_machines_for_each_outcome() -> None:
    refused = cell("debian-12-pip-venv", outcome=Outcome.REFUSED)
    text = _render(complete(cell(LINUX), refused, cell(WINDOWS)))
    part = text.partition("#### 3. ")[2].partition("####")[0]
    assert f"**Machines:** {signs.machine_sentence([cell(LINUX), refused])}" in part


def test_a_following_cause_is_not_a_gap() -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    text = _render(complete(cell(LINUX, crash(), follows), cell(WINDOWS)))
    assert "leftovers" not in text.partition("### Gaps Summary")[2]
    (line,) = [line for line in text.splitlines() if "leftovers" in line]
    assert "crash" in line.partition("leftovers")[0]


def test_own_tests_that_did_not_count_are_a_limit() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"tests": sample_run.own_tests()})
    result = cell(WINDOWS).model_copy(update={"summary": cell_summary.summarize(evidence)})
    text = _render(complete(cell(LINUX), result))
    limits = text.partition("#### 2. ")[2].partition("**Limits:**")[2].partition("####")[0]
    (line,) = [line for line in limits.splitlines() if "2 skipped: Windows does not fork" in line]
    assert f"`{WINDOWS}`" in line
    assert "2 skipped" not in text.partition("#### 3. ")[2].partition("**Limits:**")[2]


def test_the_text_depends_only_on_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    first = _render(complete())
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert _render(complete()) == first
    assert "2026-03-01T10:00:00Z" in first
    assert _render(_with(complete(), started="2027-01-01T00:00:00Z")) != first


def test_evidence_contains_no_html_and_stays_in_its_table_cell() -> None:
    claim = Claim(verdict=Verdict.VERIFIED, evidence="a | b\n<script>alert(1)</script>")
    text = _render(_with(complete(), pipeline=_pipeline(truths={"1": claim})))
    assert "<script>" not in text
    assert "a \\| b &lt;script>" in text


def test_a_run_that_ended_during_its_set_up_has_a_report() -> None:
    run = Report(
        verdict=Verdict.UNVERIFIED,
        items=(),
        cells=(),
        started=sample_run.STARTED,
        seconds=1.0,
        selection=sample_run.SELECTION,
        interrupted=True,
    )
    assert _front(_render(run))["status"] == "unverified"


# ---- another package ----


def test_the_report_of_another_package_has_no_text_of_quiverdb() -> None:
    run = report()
    selection = run.selection.model_copy(update={"subject": "xxhash"})
    text = _render(_with(run, selection=selection, wheels={}, template=None))
    front = _front(text)
    assert front["status"] == "verified"
    assert front["items_score"].startswith("2/2 ")
    assert not {"phase", "previous_status", "human_score"} & front.keys()
    for word in ("2026-02-25", "CI-04", "human", "Observable Truths", "publish.yml"):
        assert word not in text
    assert "xxhash" in text


def test_package_without_windows_wheels_has_no_item_for_windows() -> None:
    linux = cell(LINUX)
    run = report(linux, items=(sample_run.install_item("linux", linux),))
    platform = PlatformResult(tag="manylinux_2_28_x86_64", coverage=Coverage.MACHINES)
    undeclared = PlatformResult(tag="win_amd64", coverage=Coverage.UNDECLARED)
    text = _render(_with(run, template=None, platforms=(platform, undeclared)))
    assert _front(text)["status"] == "verified"
    assert "windows-install" not in text


def test_package_with_its_own_texts_has_them_and_no_earlier_report() -> None:
    item = ItemTemplate(item="linux-install", title="On Linux", test="T", expected="E")
    own = ReportTemplate(title="Our title", goal="Our goal", items=(item,))
    text = _render(_with(report(), template=own))
    assert "# Our title" in text
    assert "#### 1. On Linux" in text
    front = _front(text)
    assert not {"previous_status", "re_verification", "human_score", "phase"} & front.keys()


def test_cause_that_follows_from_another_is_no_flaw_of_its_own() -> None:
    follows = crash().model_copy(
        update={"name": "leftovers", "severity": Severity.FLAWED, "follows": "crash"}
    )
    text = _render(report(cell(LINUX, crash(), follows), cell(WINDOWS)))
    flaws = text.partition("### Flaws and Notes")[2].partition("###")[0]
    assert "leftovers" not in flaws
    assert "follows from crash: leftovers" in text
