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


@pytest.mark.parametrize(
    ("item", "ids"),
    [
        ("linux-install", [LINUX, OTHER]),
        ("windows-install", [WINDOWS]),
        ("linux", [LINUX, OTHER]),
        ("source-build", []),
    ],
)
def test_an_item_has_the_cells_of_its_system(item: str, ids: list[str]) -> None:
    run = report(cell(LINUX), cell(WINDOWS), cell(OTHER))
    assert [result.id for result in run.cells_of(item)] == ids


def test_a_cell_of_an_unknown_machine_belongs_to_no_item() -> None:
    run = report(cell(LINUX)).model_copy(update={"machines": {}})
    assert run.cells_of("linux-install") == ()


@pytest.mark.parametrize("run", [report(), complete(), report(cell(LINUX, crash()))])
def test_a_report_is_unchanged_by_writing_and_reading(tmp_path: Path, run: Report) -> None:
    results_json.write(tmp_path / results_json.NAME, run)
    assert results_json.read(tmp_path / results_json.NAME) == run


def test_the_schema_version_has_the_key_schema() -> None:
    fields = json.loads(report().model_dump_json())
    assert fields["schema"] == RESULTS_SCHEMA
    assert "schema_version" not in fields


@pytest.mark.parametrize("version", [1, RESULTS_SCHEMA + 1, "2", None])
def test_another_schema_version_is_refused(tmp_path: Path, version: int | str | None) -> None:
    fields = json.loads(report().model_dump_json()) | {"schema": version}
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
def test_an_invalid_report_is_refused(
    values: dict[str, object], field: tuple[str | int, ...]
) -> None:
    fields = json.loads(report().model_dump_json())
    with pytest.raises(pydantic.ValidationError) as error:
        Report.model_validate(fields | values)
    assert [fault["loc"] for fault in error.value.errors()] == [field]


def test_an_entry_out_of_scope_has_a_reason() -> None:
    assert OutOfScope(id="a", reason="no such machine").reason
    with pytest.raises(pydantic.ValidationError):
        OutOfScope(id="a", reason="")


def test_the_size_of_a_file_is_not_negative() -> None:
    assert FileRecord(name="a", sha256="0" * 64, size=0).size == 0
    with pytest.raises(pydantic.ValidationError):
        FileRecord(name="a", sha256="0" * 64, size=-1)


def test_a_kept_machine_ends_at_a_time_in_utc() -> None:
    fields = {"cell": LINUX, "container": "c1", "enter": "x", "installed_again": False}
    until = "2026-03-02T10:00:00Z"
    assert KeptMachine.model_validate({**fields, "until": until}).until == until
    with pytest.raises(pydantic.ValidationError, match="until"):
        KeptMachine.model_validate({**fields, "until": "tomorrow"})
