"""``results.json``: the whole verdict for other programs, version 1 of its form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from verification.models.cause import Cause
from verification.verdict import CellResult, Item, Verdict

SCHEMA = 1
FORM = Path(__file__).parents[2] / "docs" / "results.schema.json"


def cell_to_dict(cell: CellResult) -> dict[str, Any]:
    """Return one cell as it stands in ``results.json``."""
    return {
        "id": cell.id,
        "machine": cell.machine,
        "installer": cell.installer,
        "scenario": cell.scenario,
        "verdict": str(cell.verdict),
        "causes": [
            cause.model_dump(mode="json", exclude={"facts", "follows"}) for cause in cell.causes
        ],
        "seconds": cell.seconds,
        "reason": cell.reason,
        "wheel": cell.wheel,
    }


def cell_from_dict(told: dict[str, Any]) -> CellResult:
    """Return the cell that ``cell_to_dict`` told of."""
    return CellResult(
        **told
        | {
            "verdict": Verdict(told["verdict"]),
            "causes": tuple(Cause(**cause) for cause in told["causes"]),
        }
    )


def item_to_dict(item: Item) -> dict[str, Any]:
    """Return one item as it stands in ``results.json``."""
    return {
        "id": item.id,
        "title": item.title,
        "verdict": str(item.verdict),
        "causes": [
            cause.model_dump(mode="json", exclude={"facts", "follows"}) for cause in item.causes
        ],
        "reason": item.reason,
    }


def write(
    path: Path,
    *,
    verdict: Verdict,
    items: Iterable[Item],
    cells: Iterable[CellResult],
    details: dict[str, Any],
) -> dict[str, Any]:
    """Write ``results.json`` and return what it tells; ``details`` are further top-level keys.

    docs/results.schema.json is its form.
    """
    told = {
        "schema": SCHEMA,
        "verdict": str(verdict),
        "items": [item_to_dict(item) for item in items],
        "cells": [cell_to_dict(cell) for cell in cells],
    }
    told |= details
    write_json(path, told)
    return told


def project(told: Mapping[str, Any]) -> str:
    """Return the name of the package that a run verified."""
    return str(told.get("selection", {}).get("subject") or "quiverdb")


def misform(told: object) -> str:
    """Return in one line what has not the published form; empty if nothing is wrong.

    Keys that are not known may be a later suite's, and one that the top lacks an earlier one's.
    """
    import jsonschema  # for what strangers give: no run waits for it

    validator = jsonschema.Draft202012Validator(json.loads(FORM.read_text("utf-8")))
    for error in validator.iter_errors(told):
        lacks = error.validator == "required" and not error.absolute_path
        if not lacks and error.validator != "additionalProperties":
            where = ".".join(str(part) for part in error.absolute_path)
            return f"{where or 'the whole'}: {' '.join(error.message.split())[:200]}"
    return ""


def required(report: Path) -> set[str]:
    """Return the cells that the processes of a run were asked for; none before they know."""
    found: set[str] = set()
    for path in (report / "required").glob("*.json"):
        found |= set(json.loads(path.read_text("utf-8")))
    return found


def write_json(path: Path, told: object) -> None:
    """Write ``told`` as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    # A file name on a machine need not be UTF-8; backslashreplace writes JSON's own escapes.
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    partial.write_text(text, "utf-8", "backslashreplace")
    partial.replace(path)
