"""Read the description of a subject from subject.toml."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from pydantic import JsonValue

from verification.models.base import DataError, load_toml, validate
from verification.models.subject import Subject

(DEFAULT_SUBJECT,) = Path(__file__).parent.glob("*/subject.toml")
"""The description of the default subject: the only one in a folder next to this module."""
_FILES = (
    "exercise",
    "values",
    "actions",
    "dependencies",
    "older_dependencies",
    "publishers",
    "pipeline",
    "verification",
)
_EXERCISE = {"native_call", "round_trip"}
"""The functions that every smoke test has."""
_VERIFICATION = "verification.toml"
_GENERAL_ACTIONS = Path(__file__).parents[1] / "probe" / "uses.py"


def load(path: Path = DEFAULT_SUBJECT, *, locked: bool = True) -> Subject:
    """Read the description of a subject.

    The paths in it are relative to its folder. If it has no ``verification``, a file
    ``verification.toml`` next to it is used. ``locked=False`` omits the lock of its dependencies,
    whose file may not exist yet.

    Raises:
        DataError: the description does not fit the model, or a file cannot be read.
    """
    data = load_toml(path)
    if not locked:
        data.pop("dependencies", None)
    if "verification" not in data and path.with_name(_VERIFICATION).is_file():
        data["verification"] = _VERIFICATION
    for key in _FILES:
        if key in data:
            data[key] = _resolve(path, key, data[key])
    if "file" in data:
        raise DataError(f"{path.name}: remove the key file")
    subject = validate(Subject, {**data, "file": str(path)}, path.name, supplied="file")
    if missing := sorted(_EXERCISE - _top_level_names(subject.exercise)):
        raise DataError(f"{subject.exercise}: the function {missing[0]} is missing; define it")
    return subject


def lock_path(path: Path) -> tuple[Path, bool]:
    """Return the file for the lock of the dependencies, and if the description names it.

    Raises:
        DataError: the description cannot be read.
    """
    name = load_toml(path).get("dependencies")
    return path.parent / (name if isinstance(name, str) else "dependencies.txt"), name is not None


def older_dependency(subject: Subject) -> str:
    """Return the first requirement in the locks of older dependencies; empty if there is none."""
    words = (lock.read_text("utf-8").split() for lock in subject.older_dependencies)
    return next((requirement for requirement, *_ in filter(None, words)), "")


def offered_actions(subject: Subject) -> frozenset[str]:
    """Return the names of the scenario actions of every package and of the subject."""
    own = _functions(subject.actions) if subject.actions else frozenset()
    return _functions(_GENERAL_ACTIONS) | own


@functools.cache
def _functions(path: Path) -> frozenset[str]:
    """Return the names of the public functions of a file.

    Raises:
        DataError: it is no Python code.
    """
    names = (node.name for node in _statements(path) if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in names if not name.startswith("_"))


def _top_level_names(path: Path) -> set[str]:
    """Return the names that a file defines, assigns or imports; all of `_EXERCISE` for ``*``.

    Raises:
        DataError: it is no Python code.
    """
    names = set[str]()
    for node in _statements(path):
        match node:
            case ast.FunctionDef():
                names.add(node.name)
            case ast.Assign():
                names.update(target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.Import() | ast.ImportFrom():
                names.update(alias.asname or alias.name for alias in node.names)
    return names | _EXERCISE if "*" in names else names


def _statements(path: Path) -> list[ast.stmt]:
    try:
        return ast.parse(path.read_bytes()).body
    except SyntaxError as error:
        raise DataError(f"{path}: line {error.lineno}: {error.msg}; correct the file") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read: {reason}; correct the file") from None


def _resolve(path: Path, key: str, value: JsonValue) -> JsonValue:
    """Return the absolute path or paths of the files that a key names."""
    if isinstance(value, list):
        return [_resolve(path, key, item) for item in value]
    if not isinstance(value, str):
        return value  # the model reports the wrong type
    try:
        file = (path.parent / value).resolve()
        is_file = file.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: {key}: {error}; correct the path") from None
    if not is_file:
        fix = "make it with ./e2e lock" if key == "dependencies" else "correct the path"
        raise DataError(f"{path.name}: {key}: {file} does not exist; {fix}")
    return str(file)
