from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash, item, report
from verification.models.base import DataError
from verification.models.report import RESULTS_SCHEMA, Report
from verification.models.verdict import Outcome, Verdict
from verification.report import results_json

CELL_KEYS = {
    "id", "machine", "installer", "scenario", "expectation", "outcome", "verdict", "causes",
    "seconds", "reason", "wheel", "mapped", "evidence", "summary", "engine",
    "engine_retries",
}  # fmt: skip


def _written(folder: Path, run: Report) -> dict[str, object]:
    path = folder / "report" / results_json.NAME
    results_json.write(path, run)
    values: dict[str, object] = json.loads(path.read_text("utf-8"))
    return values


def test_the_file_has_the_documented_keys(tmp_path: Path) -> None:
    written = _written(tmp_path, report(cell(LINUX, crash()), cell(WINDOWS)))

    assert list(written)[:4] == ["schema", "verdict", "items", "cells"]
    assert (written["schema"], written["verdict"], written["version"]) == (
        RESULTS_SCHEMA,
        "failed",
        "0.5.0",
    )


def test_an_item_has_the_documented_keys(tmp_path: Path) -> None:
    run = report(items=(item("linux-install", crash(), title="Title"),))

    (written,) = json.loads(json.dumps(_written(tmp_path, run)["items"]))
    assert list(written) == ["id", "title", "verdict", "causes", "reason"]
    assert (written["id"], written["title"], written["verdict"]) == (
        "linux-install", "Title", "failed",
    )  # fmt: skip


def test_a_cell_has_the_documented_keys(tmp_path: Path) -> None:
    run = report(cell(LINUX, crash(), seconds=1.25))

    (written,) = json.loads(json.dumps(_written(tmp_path, run)["cells"]))
    assert written.keys() == CELL_KEYS
    del written["summary"]
    assert written == {
        "id": LINUX,
        "machine": "debian-13",
        "installer": "pip",
        "scenario": "venv",
        "expectation": "works",
        "outcome": "fails",
        "verdict": "failed",
        "causes": [crash().model_dump(mode="json")],
        "seconds": 1.25,
        "reason": "",
        "wheel": "",
        "mapped": [],
        "evidence": "",
        "engine": "",
        "engine_retries": 0,
    }


def test_a_cause_has_exactly_the_documented_keys(tmp_path: Path) -> None:
    run = report(cell(LINUX, crash().model_copy(update={"facts": {"signal": 11, "at": ("a",)}})))

    written = json.loads(json.dumps(_written(tmp_path, run)))
    causes = [cause for cell in written["cells"] for cause in cell["causes"]]
    assert causes == [cause for item in written["items"] for cause in item["causes"]]
    (cause,) = causes
    assert (cause.pop("message"), cause.pop("remedy")) == (crash().message, crash().remedy)
    assert cause == {
        "name": "crash",
        "severity": "broken",
        "where": f"{LINUX}: import",
        "facts": {"signal": 11, "at": ["a"]},
        "follows": "",
    }


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict.VERIFIED, "verified"),
        (Verdict.FAILED, "failed"),
        (Verdict.UNVERIFIED, "unverified"),
        (Verdict.TESTBED, "testbed-failure"),
    ],
)
def test_the_words_of_verdicts_do_not_change(tmp_path: Path, verdict: Verdict, word: str) -> None:
    assert _written(tmp_path, report(items=(item("x", verdict=verdict),)))["verdict"] == word


def test_the_words_of_outcomes_do_not_change(tmp_path: Path) -> None:
    run = report(*(cell(f"m{n}-pip-venv", outcome=outcome) for n, outcome in enumerate(Outcome)))

    written = json.loads(json.dumps(_written(tmp_path, run)))
    assert [cell["outcome"] for cell in written["cells"]] == [
        "works", "works-flawed", "refused", "falls-back", "fails", "unverified", "testbed-failure",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "run",
    [
        report(),
        complete(),
        report(cell(LINUX, crash()), cell(WINDOWS, reason="no image")),
        complete().model_copy(update={"interrupted": True}),
    ],
)
def test_a_report_is_unchanged_by_writing_and_reading(tmp_path: Path, run: Report) -> None:
    results_json.write(tmp_path / results_json.NAME, run)

    assert results_json.read(tmp_path / results_json.NAME) == run


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 1),
        ("verdict", "passed"),
        ("cells.0.verdict", "passed"),
        ("cells.0.outcome", "verified"),
        ("cells.0.installer", ["x"]),
        ("cells.0.causes", "zz"),
        ("cells.0.unknown", 1),
        ("started", "yesterday"),
        ("version", 3),
        ("selection", None),
        ("wheels", {"a.whl": "short"}),
        ("pipeline.truths.7", "text"),
        ("seconds", -1),
    ],
)
def test_an_invalid_value_gives_one_line_that_names_the_field(
    tmp_path: Path, field: str, value: object
) -> None:
    values = complete().model_dump(mode="json", by_alias=True)
    *path, last = field.split(".")
    parent: Any = values
    for key in path:
        parent = parent[int(key)] if isinstance(parent, list) else parent[key]
    parent[last] = value
    (tmp_path / results_json.NAME).write_text(json.dumps(values), "utf-8")

    with pytest.raises(DataError) as error:
        results_json.read(tmp_path / results_json.NAME)
    assert str(error.value).startswith(f"results.json: {field}")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["verdict", "items", "cells", "started", "seconds", "selection"])
def test_a_report_without_a_required_key_is_refused(tmp_path: Path, key: str) -> None:
    values = report().model_dump(mode="json", by_alias=True)
    del values[key]
    (tmp_path / results_json.NAME).write_text(json.dumps(values), "utf-8")

    with pytest.raises(DataError, match=rf"^results\.json: {key}: "):
        results_json.read(tmp_path / results_json.NAME)


def test_text_is_written_without_escapes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    results_json.write_json(path, {"label": "Itaipú"})
    assert path.read_text("utf-8") == '{\n  "label": "Itaipú"\n}\n'


def test_a_file_name_that_is_not_utf8_is_unchanged(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    run = report(cell(LINUX, crash().model_copy(update={"where": name})))
    path = tmp_path / results_json.NAME
    results_json.write(path, run)

    assert results_json.read(path) == run
    assert ascii(results_json.read(path).cells[0].causes[0].where) == ascii(name)


def test_a_value_that_is_not_json_leaves_the_older_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results_json.write_json(path, {"verdict": "verified"})
    with pytest.raises(TypeError):
        results_json.write_json(path, {"verdict": {1, 2}})  # type: ignore[dict-item]
    assert json.loads(path.read_text("utf-8")) == {"verdict": "verified"}


def test_a_full_disk_leaves_the_older_file_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    results_json.write_json(path, {"verdict": "verified"})

    def encode_half(_: object, value: object) -> Iterator[str]:
        yield "{"
        raise OSError(28, f"No space left on device for {value}")

    with monkeypatch.context() as patched:
        patched.setattr(json.JSONEncoder, "iterencode", encode_half)
        with pytest.raises(OSError, match="No space left"):
            results_json.write_json(path, {"verdict": "failed"})
        with pytest.raises(OSError, match="No space left"):
            results_json.write_json(tmp_path / "new.json", {"verdict": "failed"})
    assert json.loads(path.read_text("utf-8")) == {"verdict": "verified"}
    assert not (tmp_path / "new.json").exists()


def test_a_written_file_has_no_partial_file_next_to_it(tmp_path: Path) -> None:
    results_json.write_json(tmp_path / "deep" / "results.json", {})
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["results.json"]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_cells_are_written_as_the_model_has_them(tmp_path: Path, number: int) -> None:
    run = report(*(cell(f"debian-13-pip-s{index}", crash()) for index in range(number)))
    path = tmp_path / results_json.NAME
    results_json.write(path, run)
    expected = json.dumps(run.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False)
    assert path.read_text("utf-8") == f"{expected}\n"
    assert results_json.read(path) == run
