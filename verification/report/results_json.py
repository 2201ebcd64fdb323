"""``results.json``: the report for other programs (schema: docs/reference/results.schema.json)."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue

from verification.models.base import Model, read_json
from verification.models.report import Report
from verification.models.results import CellResult

NAME = "results.json"


class _CellList(list[JsonValue]):
    """The cells of a report as data, each made when it is written, because all need much memory."""

    def __init__(self, cells: Sequence[CellResult]) -> None:
        super().__init__([None] if cells else [])  # the encoder asks if the list is empty
        self._cells = cells

    def __iter__(self) -> Iterator[JsonValue]:
        for cell in self._cells:
            yield cell.model_dump(mode="json", by_alias=True)


def write(path: Path, report: Report) -> None:
    """Write the report, completely or not at all."""
    data = report.model_copy(update={"cells": ()}).model_dump(mode="json", by_alias=True)
    write_json(path, {**data, "cells": _CellList(report.cells)})


def read(path: Path) -> Report:
    """Return the report in a file.

    Raises:
        DataError: the file cannot be read, or is not a report with this schema version.
    """
    return read_json(Report, path)


def write_model(path: Path, model: Model) -> None:
    """Write ``model`` as JSON, completely or not at all."""
    write_json(path, model.model_dump(mode="json", by_alias=True))


def write_json(path: Path, value: JsonValue) -> None:
    """Write ``value`` as JSON, completely or not at all."""
    # File names of a machine can contain bytes that are not UTF-8. backslashreplace writes them as
    # valid escapes of JSON.
    parts = json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value)
    _write(
        path, (part.encode("utf-8", "backslashreplace") for part in itertools.chain(parts, ["\n"]))
    )


def write_by_content(folder: Path, text: str) -> str:
    """Write a JSON text to ``folder/SHA256.json`` and return the sha256."""
    content = text.encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(content).hexdigest()
    _write(folder / f"{digest}.json", [content])
    return digest


def _write(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.writelines(parts)
    partial.replace(path)
