from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, PIPELINE, WINDOWS, cell, complete, crash, report
from verification.models.report import Claim, OutOfScope, PipelinePart, Report
from verification.models.verdict import Outcome, Verdict
from verification.report import cell_summary, verification_md
from verification.subjects import report_template

QUIVERDB = report_template.load("quiverdb")


def _render(run: Report) -> str:
    return verification_md.render(run, QUIVERDB)


def _front(text: str) -> dict[str, str]:
    front = text.split("---\n")[1]
    return dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


def _with(run: Report, **changes: object) -> Report:
    return run.model_copy(update=changes)


def _pipeline(**changes: object) -> PipelinePart:
    return PIPELINE.model_copy(update=changes)


def test_a_run_in_which_everything_is_verified_says_so() -> None:
    text = _render(complete())
    front = _front(text)
    assert front["status"] == "verified"
    assert front["score"] == "6/6 must-haves verified"
    assert front["human_score"] == "4/4 former human items verified"
    assert "NOT VERIFIED" not in text
    assert "No gaps" in text


def test_it_has_the_result_of_the_report_before_it() -> None:
    front = _front(_render(complete()))
    assert front["re_verification"] == "true"
    assert front["previous_status"] == "human_needed"
    assert front["previous_score"] == "6/6 must-haves verified"


def test_a_run_without_a_pipeline_verifies_none_of_its_truths_and_says_why() -> None:
    text = _render(report())
    front = _front(text)
    assert (front["status"], front["score"]) == ("unverified", "0/6 must-haves verified")
    assert front["human_score"] == "2/4 former human items verified"
    truths = [row for row in _rows(text) if re.match(r"\| [1-6] \|", row)]
    assert len(truths) == 6
    assert all("NOT VERIFIED | this run has no item `pipeline` |" in row for row in truths)


def _without(truths: Mapping[str, Claim], number: str) -> dict[str, Claim]:
    return {key: claim for key, claim in truths.items() if key != number}


@pytest.mark.parametrize(
    ("run", "status", "gap"),
    [
        (
            _with(complete(), pipeline=_pipeline(truths=_without(PIPELINE.truths, "4"))),
            "unverified",
            "truth 4",
        ),
        (_with(complete(), interrupted=True), "unverified", "interrupted"),
        (
            _with(complete(), verdict=Verdict.FAILED),
            "failed",
            "the run's own verdict is failed",
        ),
        (complete(cell(LINUX, crash()), cell(WINDOWS)), "failed", "former human item 3: FAILED"),
        (complete(cell(LINUX), cell(WINDOWS, reason="no image")), "unverified", "no image"),
        (_with(complete(), publisher=None), "verified", "No gaps"),
    ],
)
def test_one_thing_that_is_not_verified_keeps_the_whole_from_it(
    run: Report, status: str, gap: str
) -> None:
    text = _render(run)
    assert _front(text)["status"] == status
    assert gap in text.partition("### Gaps Summary")[2]


@pytest.mark.parametrize("part", ["truths", "artifacts", "links"])
def test_a_failed_row_fails_the_whole_and_is_shown_with_its_evidence(part: str) -> None:
    failed = {"verdict": Verdict.FAILED, "evidence": "it is not so"}
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
    assert any("| FAILED | it is not so |" in row for row in _rows(text))


def test_a_narrowed_run_is_never_the_whole() -> None:
    run = complete()
    selection = run.selection.model_copy(update={"narrowed": ("--machine debian-13",)})
    text = _render(_with(run, selection=selection))
    assert _front(text)["status"] == "unverified"
    assert "narrowed to --machine debian-13" in text


def test_an_artifact_that_the_run_does_not_report_is_not_verified() -> None:
    run = _with(complete(), pipeline=_pipeline(artifacts=PIPELINE.artifacts[:1]))
    (row,) = [row for row in _rows(_render(run)) if "[tool.cibuildwheel]" in row]
    assert "NOT VERIFIED" in row


def test_rows_that_the_template_does_not_name_are_shown_as_well() -> None:
    artifact = PIPELINE.artifacts[0].model_copy(update={"artifact": "setup.cfg"})
    link = PIPELINE.links[0].model_copy(update={"source": "a", "target": "b"})
    run = _with(complete(), pipeline=_pipeline(artifacts=(artifact,), links=(link,)))
    rows = _rows(_render(run))
    assert any(row.startswith("| `setup.cfg` |") for row in rows)
    assert any(row.startswith("| a | b |") for row in rows)


def test_an_item_that_is_out_of_scope_gives_that_reason() -> None:
    out = (OutOfScope(id="pipeline", reason="the source was not given"),)
    text = _render(_with(report(), out_of_scope=out))
    assert "out of scope of this run: the source was not given" in text


def test_own_tests_that_did_not_run_are_a_limit_of_each_install() -> None:
    assert "own tests ran" not in _render(complete())
    text = _render(_with(complete(), own_tests_not_run="not named"))
    limits = [part.partition("####")[0] for part in text.split("**Limits:**")[1:]]
    assert sum("not named" in part for part in limits) == 2


def test_each_former_human_item_has_verdict_evidence_and_limits() -> None:
    text = _render(complete())
    for number in range(1, 5):
        part = text.partition(f"#### {number}. ")[2].partition("####")[0]
        assert "**Verdict:** VERIFIED" in part
        assert part.partition("**Evidence:**")[2].strip().startswith("- ")
        assert part.partition("**Limits:**")[2].strip().startswith("- ")
    assert "five jobs ran in their order" in text
    assert "that GitHub's own runners have free minutes" in text
    assert "native version 0.5.0 (bundled)" in text
    assert "debian-13 stands in for a user's Debian 13" in text


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
    assert "**Machines:** works on 1 machine, is refused on 1 machine" in part


def test_a_cause_that_follows_is_no_gap() -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    text = _render(complete(cell(LINUX, crash(), follows), cell(WINDOWS)))
    assert "leftovers" not in text.partition("### Gaps Summary")[2]
    assert "follows from crash: leftovers" in text


def test_own_tests_that_did_not_count_are_a_limit() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"tests": sample_run.own_tests()})
    ran = cell(WINDOWS).model_copy(update={"summary": cell_summary.summarize(evidence)})
    text = _render(complete(cell(LINUX), ran))
    limits = text.partition("#### 2. ")[2].partition("**Limits:**")[2].partition("####")[0]
    assert f"`{WINDOWS}`: of the package's own tests did not count: 2 skipped: Windows" in limits
    assert "did not count" not in text.partition("#### 3. ")[2]


def test_the_same_data_gives_the_same_bytes_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = _render(complete())
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert _render(complete()) == first
    assert "2026-03-01T10:00:00Z" in first
    assert _render(_with(complete(), started="2027-01-01T00:00:00Z")) != first


def test_evidence_makes_no_html_and_does_not_leave_its_cell() -> None:
    claim = Claim(verdict=Verdict.VERIFIED, evidence="a | b\n<script>alert(1)</script>")
    text = _render(_with(complete(), pipeline=_pipeline(truths={"1": claim})))
    assert "<script>" not in text
    assert "a \\| b &lt;script>" in text


def test_a_run_that_ended_before_anything_was_set_up_has_a_report() -> None:
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


def test_another_package_has_nothing_of_quiverdbs() -> None:
    run = report()
    selection = run.selection.model_copy(update={"subject": "xxhash"})
    text = verification_md.render(
        _with(run, selection=selection, wheels={}), report_template.load("xxhash")
    )
    front = _front(text)
    assert front["status"] == "verified"
    assert front["items_score"] == "2/2 items verified"
    assert not {"phase", "previous_status", "human_score"} & front.keys()
    for word in ("2026-02-25", "CI-04", "human", "Observable Truths", "publish.yml"):
        assert word not in text
    assert "xxhash" in text
