from __future__ import annotations

import json
from pathlib import Path

import pydantic
import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash, report
from verification.models.base import DataError
from verification.models.report import RESULTS_SCHEMA, FileRecord, KeptMachine, OutOfScope, Report
from verification.report import results_json

OTHER = "debian-12-uv-venv"


def test_the_cell_of_an_id_is_returned_and_an_unknown_one_is_none() -> None:
    run = report(cell(LINUX), cell(WINDOWS, crash(WINDOWS)))
    assert run.cell(WINDOWS) == run.cells[1]
    assert run.cell(OTHER) is None


@pytest.mark.parametrize(
    ("item", "ids"),
    [
        ("linux-install", [LINUX, OTHER]),
        ("windows-install", [WINDOWS]),
        ("linux", [LINUX, OTHER]),
        ("source-build", []),
    ],
)
def test_an_item_is_judged_by_the_cells_of_its_system(item: str, ids: list[str]) -> None:
    run = report(cell(LINUX), cell(WINDOWS), cell(OTHER))
    assert [one.id for one in run.cells_of(item)] == ids


def test_a_cell_of_a_machine_that_the_report_does_not_describe_belongs_to_no_item() -> None:
    run = report(cell(LINUX)).model_copy(update={"machines": {}})
    assert run.cells_of("linux-install") == ()


@pytest.mark.parametrize("run", [report(), complete(), report(cell(LINUX, crash()))])
def test_a_report_is_read_as_it_was_written(tmp_path: Path, run: Report) -> None:
    results_json.write(tmp_path / results_json.NAME, run)
    assert results_json.read(tmp_path / results_json.NAME) == run


def test_the_number_of_the_form_is_under_the_key_schema() -> None:
    fields = json.loads(report().model_dump_json())
    assert fields["schema"] == RESULTS_SCHEMA
    assert "form" not in fields


@pytest.mark.parametrize("form", [1, RESULTS_SCHEMA + 1, "2", None])
def test_a_report_of_another_form_is_refused(tmp_path: Path, form: int | str | None) -> None:
    fields = json.loads(report().model_dump_json()) | {"schema": form}
    path = tmp_path / results_json.NAME
    path.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(DataError, match=r"^results\.json: schema: "):
        results_json.read(path)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other": 1}, ("other",)),
        ({"started": "2026-03-01 10:00:00"}, ("started",)),
        ({"started": "2026-03-01T10:00:00+00:00"}, ("started",)),
        ({"seconds": -1}, ("seconds",)),
        ({"wheels": {"a.whl": "A" * 64}}, ("wheels", "a.whl")),
        ({"wheels": {"a.whl": "a" * 63}}, ("wheels", "a.whl")),
        ({"out_of_scope": [{"id": "a", "reason": ""}]}, ("out_of_scope", 0, "reason")),
        ({"engine": {"version": "1", "os": "linux", "other": 1}}, ("engine", "other")),
    ],
)
def test_a_report_that_does_not_fit_is_refused(
    values: dict[str, object], field: tuple[str | int, ...]
) -> None:
    fields = json.loads(report().model_dump_json())
    with pytest.raises(pydantic.ValidationError) as refused:
        Report.model_validate(fields | values)
    assert [error["loc"] for error in refused.value.errors()] == [field]


def test_what_is_out_of_scope_has_a_reason() -> None:
    assert OutOfScope(id="a", reason="no such machine").reason
    with pytest.raises(pydantic.ValidationError):
        OutOfScope(id="a", reason="")


@pytest.mark.parametrize("size", [0, 1])
def test_a_file_has_a_size(size: int) -> None:
    assert FileRecord(name="a", sha256="0" * 64, size=size).size == size
    with pytest.raises(pydantic.ValidationError):
        FileRecord(name="a", sha256="0" * 64, size=-1)


def test_a_kept_machine_ends_at_a_moment_in_utc() -> None:
    fields = {"cell": LINUX, "container": "c1", "enter": "x", "installed_again": False}
    until = "2026-03-02T10:00:00Z"
    assert KeptMachine.model_validate({**fields, "until": until}).until == until
    with pytest.raises(pydantic.ValidationError, match="until"):
        KeptMachine.model_validate({**fields, "until": "tomorrow"})
