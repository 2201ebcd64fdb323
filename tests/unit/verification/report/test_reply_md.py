from __future__ import annotations

import pytest

from tests.helpers.sample_run import LINUX, cell, crash, report
from verification.models.report import (
    AnswerKind,
    Conclusion,
    Report,
    ReportedFact,
    Reproduction,
    ReproductionMachine,
)
from verification.models.verdict import Outcome
from verification.report import reply_md


def _report(conclusion: Conclusion | None, error: str = "Segmentation fault") -> Report:
    used = ReproductionMachine(
        machine="debian-13", title="Debian 13", image="x", python="3.13.5", libc="glibc 2.41",
        installer="pip", scenario="venv", version="0.5.0",
    )  # fmt: skip
    reproduction = Reproduction(
        asked={"os": "Debian 13.1", "release": "0.5.0"},
        used=used,
        differs=("Debian 13 instead of Debian 13.1",),
        kind=AnswerKind.EXECUTED,
        answer="the release fails on debian-13 (crash)",
        reported=(ReportedFact(name="error", value=error, line=3, text=error),),
        conclusion=conclusion,
        workarounds=("Use a newer processor.",),
    )
    cells = (cell(LINUX, crash(), outcome=Outcome.FAILS),)
    return report().model_copy(update={"reproduction": reproduction, "cells": cells})


def test_reply_has_the_result_its_basis_the_differences_the_cause_and_a_workaround() -> None:
    text = reply_md.text(_report(Conclusion.REPRODUCED))
    parts = (
        "Debian 13, Python 3.13.5, pip", "Debian 13 instead of Debian 13.1", "`crash`",
        crash().message, crash().remedy, "- Use a newer processor.", "os Debian 13.1",
        "Segmentation fault", "| result | fails (crash) |",
    )  # fmt: skip
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize("conclusion", list(Conclusion))
def test_reply_begins_with_the_conclusion(conclusion: Conclusion) -> None:
    first = reply_md.text(_report(conclusion)).splitlines()[0]
    others = [title for key, title in reply_md._TITLES.items() if key is not conclusion]
    assert first.startswith(f"**{reply_md._TITLES[conclusion]}:**")
    assert not any(title in first for title in others)


def test_reply_has_no_secret_and_no_foreign_markup() -> None:
    error = "Error: a | b <img src=x> https://user:hunter2pass@packages.example/simple"
    text = reply_md.text(_report(Conclusion.REPRODUCED, error))
    assert "hunter2pass" not in text
    assert "<img" not in text
    assert "a \\| b" in text


def test_a_report_of_another_command_has_no_reply() -> None:
    assert reply_md.text(report()) == ""
