from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from verification.models.cause import Cause, Severity
from verification.report import results
from verification.verdict import CellResult, Item, Verdict

CAUSE = Cause(
    name="crash",
    severity=Severity.BROKEN,
    where="debian-pip-venv: import",
    message="killed; expected none",
    remedy="Mend it.",
)
CELL = CellResult(
    "debian-pip-venv", "debian", "pip", "venv", Verdict.FAILED, (CAUSE,), 1.25, "a reason"
)
ITEM = Item("linux-install", "it installs", Verdict.FAILED, (CAUSE,))


def _written(folder: Path, **details: Any) -> dict[str, Any]:
    path = folder / "report" / "results.json"
    results.write(path, verdict=Verdict.FAILED, items=[ITEM], cells=[CELL], details=details)
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return told


def test_the_file_has_the_promised_keys_and_the_details(tmp_path: Path) -> None:
    told = _written(tmp_path, version="1.0")
    assert list(told) == ["schema", "verdict", "items", "cells", "version"]
    assert (told["schema"], told["verdict"], told["version"]) == (1, "failed", "1.0")


def test_an_item_has_the_promised_keys(tmp_path: Path) -> None:
    (item,) = _written(tmp_path)["items"]
    assert list(item) == ["id", "title", "verdict", "causes", "reason"]
    assert (item["id"], item["title"], item["verdict"]) == (
        "linux-install", "it installs", "failed",
    )  # fmt: skip


def test_a_cell_has_the_promised_keys(tmp_path: Path) -> None:
    (cell,) = _written(tmp_path)["cells"]
    assert cell == {
        "id": "debian-pip-venv",
        "machine": "debian",
        "installer": "pip",
        "scenario": "venv",
        "verdict": "failed",
        "causes": [CAUSE.model_dump(mode="json", exclude={"facts", "follows"})],
        "seconds": 1.25,
        "reason": "a reason",
        "wheel": "",
    }


def test_a_cause_has_the_promised_keys_and_no_other(tmp_path: Path) -> None:
    told = _written(tmp_path)
    for cause in (*told["items"][0]["causes"], *told["cells"][0]["causes"]):
        assert cause == {
            "name": "crash",
            "severity": "broken",
            "where": "debian-pip-venv: import",
            "message": "killed; expected none",
            "remedy": "Mend it.",
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
def test_verdicts_are_told_by_these_words(tmp_path: Path, verdict: Verdict, word: str) -> None:
    path = tmp_path / "results.json"
    results.write(path, verdict=verdict, items=[], cells=[], details={})
    assert json.loads(path.read_text("utf-8")) == {
        "schema": 1, "verdict": word, "items": [], "cells": [],
    }  # fmt: skip


def test_a_cell_comes_back_as_it_was_told() -> None:
    told = json.loads(json.dumps(results.cell_to_dict(CELL)))
    assert results.cell_from_dict(told) == CELL


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    results.write_json(path, {"label": "Itaipú"})
    assert path.read_text("utf-8") == '{\n  "label": "Itaipú"\n}\n'


def test_a_file_name_that_is_no_utf8_is_kept(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    path = tmp_path / "a.json"
    results.write_json(path, [name, "Itaipú"])
    assert json.loads(path.read_text("utf-8")) == [name, "Itaipú"]


def test_what_cannot_be_written_leaves_the_older_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.write_json(path, {"verdict": "verified"})
    with pytest.raises(TypeError):
        results.write_json(path, {"verdict": object()})
    assert json.loads(path.read_text("utf-8")) == {"verdict": "verified"}


def test_a_disk_that_fills_up_leaves_the_older_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    results.write_json(path, {"verdict": "verified"})

    def half(target: Path, text: str, *_: object) -> int:
        target.write_bytes(text[:5].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", half)
        with pytest.raises(OSError, match="No space left"):
            results.write_json(path, {"verdict": "failed"})
        with pytest.raises(OSError, match="No space left"):
            results.write_json(tmp_path / "new.json", {"verdict": "failed"})
    assert json.loads(path.read_text("utf-8")) == {"verdict": "verified"}
    assert not (tmp_path / "new.json").exists()


def test_nothing_else_is_left_beside_the_file(tmp_path: Path) -> None:
    results.write_json(tmp_path / "deep" / "results.json", {})
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["results.json"]
