"""``results.json``: the report for other programs (schema: docs/reference/results.schema.json)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import JsonValue

from verification.models.base import Model, read_json
from verification.models.report import Report

NAME = "results.json"


def write(path: Path, report: Report) -> None:
    """Write the report."""
    write_model(path, report)


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
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    _write(path, text.encode("utf-8", "backslashreplace"))


def write_by_content(folder: Path, text: str) -> str:
    """Write a JSON text to ``folder/SHA256.json`` and return the sha256."""
    content = text.encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(content).hexdigest()
    _write(folder / f"{digest}.json", content)
    return digest


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
