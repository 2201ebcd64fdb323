from __future__ import annotations

import pydantic
import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, item
from verification.models.results import CellResult, ItemResult, TestsSummary
from verification.models.verdict import Outcome

TESTS = TestsSummary(
    counts={"passed": 3}, failures=(), left_out=("skipped: no fork (2)",), sha256="c" * 64
)


def with_tests(result: CellResult) -> CellResult:
    assert result.summary is not None
    summary = result.summary.model_copy(update={"tests": TESTS})
    return result.model_copy(update={"summary": summary})


@pytest.mark.parametrize(
    "result",
    [
        cell(LINUX),
        with_tests(cell(LINUX)),
        cell(WINDOWS, crash(WINDOWS)),
        cell(LINUX, reason="no Docker"),
        cell(LINUX, outcome=Outcome.FALLS_BACK),
    ],
)
def test_a_result_is_unchanged_by_json(result: CellResult) -> None:
    assert CellResult.model_validate_json(result.model_dump_json()) == result


def test_an_item_is_unchanged_by_json() -> None:
    result = item("linux-install", crash(), reason="none")
    assert ItemResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other": 1}, ("other",)),
        ({"seconds": -0.1}, ("seconds",)),
        ({"outcome": "passed"}, ("outcome",)),
        ({"verdict": "works"}, ("verdict",)),
        ({"summary": {"commands": (), "steps": {}, "other": 1}}, ("summary", "other")),
    ],
)
def test_an_invalid_result_is_refused(values: dict[str, object], field: tuple[str, ...]) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        CellResult.model_validate({**dict(cell(LINUX)), **values})
    assert [fault["loc"] for fault in error.value.errors()] == [field]


def test_a_command_has_the_name_of_a_step() -> None:
    summary = cell(LINUX).summary
    assert summary is not None
    names = [command.name for command in summary.commands]
    assert names == ["install", "import", "exercise", "uninstall"]
    with pytest.raises(pydantic.ValidationError, match="name"):
        type(summary.commands[0]).model_validate({**dict(summary.commands[0]), "name": "other"})
