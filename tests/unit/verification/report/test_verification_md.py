from __future__ import annotations

import re
from typing import Any

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash, told
from verification.report import limits as trust
from verification.report import verification_md as verification
from verification.report import writer as forms


def _front(text: str) -> dict[str, str]:
    front = text.split("---\n")[1]
    return dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_a_run_in_which_everything_is_verified_says_so() -> None:
    text = verification.render(complete())
    front = _front(text)
    assert front["status"] == "verified"
    assert front["score"] == "6/6 must-haves verified"
    assert front["human_score"] == "4/4 former human items verified"
    assert "NOT VERIFIED" not in text
    assert "No gaps" in text


def test_it_tells_what_the_report_before_it_said() -> None:
    front = _front(verification.render(complete()))
    assert front["re_verification"] == "true"
    assert front["previous_status"] == "human_needed"
    assert front["previous_score"] == "6/6 must-haves verified"


def test_a_run_without_a_pipeline_verifies_none_of_its_truths_and_says_why() -> None:
    text = verification.render(told())
    front = _front(text)
    assert (front["status"], front["score"]) == ("unverified", "0/6 must-haves verified")
    assert front["human_score"] == "2/4 former human items verified"
    truths = [row for row in _rows(text) if re.match(r"\| [1-6] \|", row)]
    assert len(truths) == 6
    assert all("NOT VERIFIED | this run has no item `pipeline` |" in row for row in truths)


def _without(run: dict[str, Any], *path: str) -> dict[str, Any]:
    at: Any = run
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return run


_FAILED = {"verdict": "failed", "evidence": "it is not so"}


@pytest.mark.parametrize(
    ("run", "status", "gap"),
    [
        (_without(complete(), "pipeline", "truths", "4"), "unverified", "truth 4"),
        (complete(interrupted=True), "unverified", "interrupted"),
        (complete(verdict="failed"), "failed", "the run's own verdict is failed"),
        (complete(cell(LINUX, crash()), cell(WINDOWS)), "failed", "former human item 3: FAILED"),
        (complete(cell(LINUX), cell(WINDOWS, reason="no image")), "unverified", "no image"),
        (_without(complete(), "publisher"), "verified", "No gaps"),
    ],
)
def test_one_thing_that_is_not_verified_keeps_the_whole_from_it(
    run: dict[str, Any], status: str, gap: str
) -> None:
    text = verification.render(run)
    assert _front(text)["status"] == status
    assert gap in text.partition("### Gaps Summary")[2]


@pytest.mark.parametrize("part", ["truths", "artifacts", "links"])
def test_a_failed_row_fails_the_whole_and_is_told_with_its_evidence(part: str) -> None:
    run = complete()
    rows = run["pipeline"][part]
    (rows["2"] if part == "truths" else rows[0]).update(_FAILED)
    text = verification.render(run)
    assert _front(text)["status"] == "failed"
    assert any("| FAILED | it is not so |" in row for row in _rows(text))


def test_a_narrowed_run_is_never_the_whole() -> None:
    run = complete()
    run["selection"]["narrowed"] = ["--machine debian-13"]
    text = verification.render(run)
    assert _front(text)["status"] == "unverified"
    assert "narrowed to --machine debian-13" in text


def test_an_artifact_that_the_run_does_not_tell_of_is_not_verified() -> None:
    run = complete()
    del run["pipeline"]["artifacts"][1]
    (row,) = [row for row in _rows(verification.render(run)) if "[tool.cibuildwheel]" in row]
    assert "NOT VERIFIED" in row


def test_an_item_that_is_out_of_scope_gives_that_reason() -> None:
    out = [{"id": "pipeline", "reason": "the source was not given"}]
    text = verification.render(told(out_of_scope=out))
    assert "out of scope of this run: the source was not given" in text


def test_each_former_human_item_has_verdict_evidence_and_limits() -> None:
    text = verification.render(complete())
    for number in range(1, 5):
        part = text.partition(f"#### {number}. ")[2].partition("####")[0]
        assert "**Verdict:** VERIFIED" in part
        assert part.partition("**Evidence:**")[2].strip().startswith("- ")
        assert part.partition("**Limits:**")[2].strip().startswith("- ")
    assert "five jobs ran in their order" in text
    assert "that GitHub's own runners have free minutes" in text
    assert "native version 0.5.0 (bundled)" in text
    assert "debian-13 stands in for a user's Debian 13" in text


def test_the_same_data_gives_the_same_bytes_whatever_the_clock_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = verification.render(complete())
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert verification.render(complete()) == first
    assert "2026-03-01T10:00:00Z" in first
    assert verification.render(complete(started="2027-01-01T00:00:00Z")) != first


def test_evidence_makes_no_html_and_does_not_leave_its_cell() -> None:
    run = complete()
    run["pipeline"]["truths"]["1"]["evidence"] = "a | b\n<script>alert(1)</script>"
    text = verification.render(run)
    assert "<script>" not in text
    assert "a \\| b &lt;script>" in text


def test_a_run_that_ended_before_anything_was_set_up_has_a_report() -> None:
    run = told(interrupted=True, verdict="unverified")
    for key in ("version", "wheels", "locked", "static", "images", "notes"):
        del run[key]
    assert _front(verification.render(run | {"items": [], "cells": []}))["status"] == "unverified"


# ---- how far to trust ----


def test_each_machine_of_the_gate_has_a_row_of_trust() -> None:
    rows = trust.stand_ins()
    used = [name for name, spec in forms.machines().items() if "gate" in spec["profiles"]]
    assert used
    assert [name for name in used if trust.row_of(name, rows) is None] == []


def test_one_row_may_tell_of_several_machines() -> None:
    rows = [{"stand_in": "a-1, -x, -y", "real": "", "same": "", "differs": ""}]
    assert trust.row_of("a-1-y", rows) == rows[0]
    assert trust.row_of("a-1-z", rows) is None


def test_a_page_without_the_table_is_refused(tmp_path: Any) -> None:
    page = tmp_path / "trust.md"
    page.write_text("# Trust\n", "utf-8")
    with pytest.raises(ValueError, match="no table"):
        trust.stand_ins(page)
    page.write_text("| a | b |\n", "utf-8")
    with pytest.raises(ValueError, match="2 cells"):
        trust.stand_ins(page)
