from __future__ import annotations

import pydantic
import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, item, planned
from verification.models.run import (
    FailedTest,
    PipelineSummary,
    RunResult,
    RunVerdict,
    SystemSummary,
    WheelSummary,
)
from verification.models.verdict import Verdict

RUN = RunResult(
    subject="quiverdb",
    strict=True,
    setup_failure=crash(),
    systems=(
        SystemSummary(system="linux", wheels=(WheelSummary(file="a.whl", causes=(crash(),)),)),
        SystemSummary(system="windows", not_fetched=("b.whl: 404",)),
    ),
    planned=(planned(LINUX), planned(WINDOWS)),
    cells=(cell(LINUX), cell(WINDOWS, crash(WINDOWS))),
    pipeline=PipelineSummary(identity_exchanged=True),
    failed_tests=(FailedTest(node="a::b", item="linux-install", error=True),),
)


def test_a_run_is_unchanged_by_json() -> None:
    assert RunResult.model_validate_json(RUN.model_dump_json()) == RUN


def test_a_verdict_is_unchanged_by_json() -> None:
    verdict = RunVerdict(
        verdict=Verdict.FAILED,
        items=(item("linux-install", crash()),),
        cells=(cell(LINUX, crash()),),
        not_selected=("windows-install",),
    )
    assert RunVerdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_run_is_empty_by_default() -> None:
    run = RunResult(subject="quiverdb")
    assert (run.strict, run.interrupted, run.from_source) == (False, False, False)
    assert run.prepared
    assert (run.systems, run.planned, run.cells, run.pipeline) == ((), (), (), None)


def test_a_planned_cell_is_comparable_by_default() -> None:
    assert planned(LINUX).comparable


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other": 1}, ("other",)),
        ({"systems": ({"system": "macos"},)}, ("systems", 0, "system")),
        ({"systems": ({"system": "linux", "other": 1},)}, ("systems", 0, "other")),
        ({"pipeline": {"other": 1}}, ("pipeline", "other")),
        ({"failed_tests": ({"item": "x"},)}, ("failed_tests", 0, "node")),
    ],
)
def test_an_invalid_run_is_refused(values: dict[str, object], field: tuple[str | int, ...]) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        RunResult.model_validate({**dict(RUN), **values})
    assert [fault["loc"] for fault in error.value.errors()] == [field]
