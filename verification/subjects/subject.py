"""Read the description of a subject from subject.toml."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from verification.models.base import DataError, load_toml, validate
from verification.models.subject import Subject

(DEFAULT_SUBJECT,) = Path(__file__).parent.glob("*/subject.toml")
"""The description of the default subject: the only one beside this module."""
_FILES = (
    "exercise",
    "values",
    "actions",
    "dependencies",
    "older_dependencies",
    "publishers",
    "pipeline",
)


def load(path: Path = DEFAULT_SUBJECT) -> Subject:
    """Read the description of a subject.

    The files that it names are relative to it. A description without ``dependencies`` has those of
    the default subject: the index serves the installers from there.

    Raises:
        DataError: the description does not fit the model, or a file cannot be read.
    """
    data = load_toml(path)
    if "dependencies" not in data and path != DEFAULT_SUBJECT:
        default = load()
        data["dependencies"] = str(default.dependencies)
        data["older_dependencies"] = [str(lock) for lock in default.older_dependencies]
    for key in _FILES:
        if key in data:
            data[key] = _resolve(path, key, data[key])
    return validate(Subject, data, path.name)


def older_dependency(subject: Subject) -> str:
    """Return the first requirement of the subject's locks of older dependencies; empty if none."""
    words = (lock.read_text("utf-8").split() for lock in subject.older_dependencies)
    return next((one[0] for one in words if one), "")


def _resolve(path: Path, key: str, value: JsonValue) -> JsonValue:
    """Return the file or files that a key names, as absolute paths."""
    if isinstance(value, list):
        return [_resolve(path, key, one) for one in value]
    if not isinstance(value, str):
        return value  # the model refuses it
    file = (path.parent / value).resolve()
    if not file.is_file():
        raise DataError(f"{path.name}: {key} names {value}, and there is no such file beside it")
    return str(file)
