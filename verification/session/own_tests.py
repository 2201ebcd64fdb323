"""The package's own tests: their files, and the results that the plugin recorded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, NamedTuple

import pydantic

from verification import suite
from verification.models.base import DataError, Model, error_line
from verification.models.errors import WrongUse
from verification.models.evidence import (
    OwnTestFailure,
    OwnTestLeftOut,
    OwnTestsEnd,
    OwnTestsRecord,
    TestOutcome,
)
from verification.scenarios.instructions import OwnTestsLocation
from verification.wheel import private_files

MAX_BYTES = 64 * 2**20
"""The largest size of the tests and the files around them, in bytes."""
_CACHE_FOLDERS = ("__pycache__", ".pytest_cache")
_BUILD_FOLDERS = ("build", "dist", "node_modules")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
_MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
_KEY_BYTES = 2**14
"""How many bytes of a file are searched for a private key."""
_MAX_LINES = 15
"""The number of lines of a failure that the evidence contains."""
_FAILED = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.UNCOLLECTED)
_LEFT_OUT = (TestOutcome.SKIPPED, TestOutcome.XFAILED, TestOutcome.DESELECTED)


class OwnTestFiles(NamedTuple):
    """The package's own tests and the files around them."""

    contents: dict[str, bytes]
    """The content of each file by its path below the root."""
    location: OwnTestsLocation


def folder_fault(folder: Path) -> str:
    """Return why a folder of tests cannot be used and what to do, or an empty string."""
    fix = "name the folder with the package's own tests"
    if not folder.is_dir():
        return f"this folder does not exist; {fix}"
    if not any(folder.rglob("test_*.py")):
        return f"this folder has no test_*.py; {fix}"
    folder = folder.resolve()
    root, around = _files_around(folder)
    return _too_large(root) if _paths(folder, root, around) is None else ""


def collect(folder: Path, modules: Collection[str]) -> OwnTestFiles:
    """Return the tests in a folder and the files around them.

    ``modules`` are the top-level modules that the release installs. Python files and extension
    modules with these names outside the folder are left out, so that the tests import the installed
    package. Files with passwords or keys are left out if git does not track them.

    Raises:
        WrongUse: the files exceed `MAX_BYTES`, or one of them cannot be read.
    """
    folder = folder.resolve()
    root, around = _files_around(folder)
    default = folder if folder == root else folder.parent
    project = _nearest(folder, _PROJECT_FILES, root) or default
    paths = _paths(folder, root, around)
    if paths is None:
        raise WrongUse(f"--tests {folder}: {_too_large(root)}")
    try:
        contents = {
            name: path.read_bytes()
            for name, path in sorted(paths.items())
            if path.is_relative_to(folder) or not _can_replace_module(PurePosixPath(name), modules)
        }
    except OSError as error:
        line = (
            f"--tests {error.filename}: cannot be read ({error.strerror}); change its permissions"
        )
        raise WrongUse(line) from None
    location = OwnTestsLocation(
        PurePosixPath(project.relative_to(root)), PurePosixPath(folder.relative_to(project))
    )
    return OwnTestFiles(contents, location)


def _files_around(folder: Path) -> tuple[Path, Iterable[Path]]:
    """Return the root of the checkout or project of the tests, and the files around the tests.

    If git tracks the tests, these are all files that git tracks in the checkout. Otherwise they are
    the files of the project without hidden and generated folders. Outside a project there are none.
    """
    checkout = _nearest(folder, (".git",))
    if checkout:
        output = suite.git(checkout, "ls-files", "-z", "--recurse-submodules") or ""
        tracked = [file for name in output.split("\0") for file in _expand(checkout / name)]
        if any(file.is_relative_to(folder) for file in tracked):
            return checkout, tracked
    if root := _nearest(folder, _PROJECT_FILES, checkout):
        return root, _walk(root, _is_hidden_or_generated)
    return folder.parent, ()


def _too_large(root: Path) -> str:
    return (
        f"the tests and the files around them in {root} exceed {MAX_BYTES >> 20} MiB; copy the "
        "tests and the files that they read to a folder without version control, and name it"
    )


def _nearest(folder: Path, names: Iterable[str], root: Path | None = None) -> Path | None:
    """Return the nearest folder from ``folder`` up to ``root`` with one of these names."""
    for candidate in (folder, *folder.parents):
        if any((candidate / name).exists() for name in names):
            return candidate
        if candidate == root:
            break
    return None


def _can_replace_module(name: PurePosixPath, modules: Collection[str]) -> bool:
    """Return True if Python could import a file instead of an installed module."""
    names = (*name.parts[:-1], name.name.partition(".")[0])
    return name.suffix in _MODULE_SUFFIXES and any(part in modules for part in names)


def _paths(folder: Path, root: Path, around: Iterable[Path]) -> dict[str, Path] | None:
    """Return the tests and the files around them, by their names below ``root``.

    Return None if they exceed `MAX_BYTES`.
    """
    paths: dict[str, Path] = {}
    size = 0
    for path in (*_walk(folder, _is_cache), *around):
        name = path.relative_to(root).as_posix()
        size += 0 if name in paths else path.stat().st_size
        paths[name] = path
        if size > MAX_BYTES:
            return None
    return paths


def _expand(path: Path) -> Iterator[Path]:
    """Yield a file, or the files below a link to a folder; nothing if the file is missing."""
    if path.is_file():
        yield path
    elif path.is_symlink() and path.is_dir():
        yield from _walk(path, _is_cache)


def _walk(folder: Path, is_left_out: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the files below a folder, without secrets and without links to a folder above them."""
    for path, folders, names in os.walk(folder, followlinks=True):
        parent = Path(path)
        folders[:] = sorted(
            name
            for name in folders
            if not is_left_out(parent / name) and not _is_loop(parent / name)
        )
        files = (parent / name for name in sorted(names))
        yield from (file for file in files if file.is_file() and not _is_secret(file, folder))


def _is_loop(folder: Path) -> bool:
    """Return whether a folder is a link to a folder that contains it."""
    return folder.is_symlink() and folder.resolve() in map(Path.resolve, folder.parents)


def _is_secret(path: Path, folder: Path) -> bool:
    """Return True for a file with passwords, or with a private key that is not for tests.

    The name of ``folder`` and the path in it decide whether a key is for tests.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_KEY_BYTES)
    except OSError:
        return False  # `collect` reports it
    return (
        private_files.secret_fault(PurePosixPath(path.relative_to(folder.parent)), data) is not None
    )


def _is_cache(folder: Path) -> bool:
    return folder.name in _CACHE_FOLDERS


def _is_hidden_or_generated(folder: Path) -> bool:
    """Return True for hidden folders, caches, results of builds and virtual environments."""
    is_hidden = folder.name.startswith(".")
    is_generated = folder.name in (*_CACHE_FOLDERS, *_BUILD_FOLDERS)
    return is_hidden or is_generated or (folder / "pyvenv.cfg").exists()


def digest(contents: Mapping[str, bytes]) -> str:
    """Return one sha256 of the names and contents of files."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


# ---- the lines that verification/probe/own_tests_plugin.py writes ----


class _Start(Model):
    kind: Literal["start"]
    pytest: str
    folder: str


class _Collected(Model):
    kind: Literal["collected"]
    number: int


class _Internal(Model):
    kind: Literal["internal"]
    text: str


class _Deselected(Model):
    kind: Literal["deselected"]
    nodes: tuple[str, ...]


class _Begun(Model):
    kind: Literal["begun"]
    node: str


class _Ended(Model):
    kind: Literal["ended"]
    node: str


class _Report(Model):
    kind: Literal["report"]
    node: str
    outcome: TestOutcome
    text: str


class _End(OwnTestsEnd):
    kind: Literal["end"]


_Line = Annotated[
    _Start | _Collected | _Internal | _Deselected | _Begun | _Ended | _Report | _End,
    pydantic.Field(discriminator="kind"),
]


class _TestEvents(Model):
    lines: tuple[_Line, ...]


def read_test_events(text: str) -> OwnTestsRecord:
    """Return the record of the events that the plugin wrote. An incomplete line is ignored.

    Raises:
        DataError: a line has a form that the plugin does not write.
    """
    outcomes: dict[str, TestOutcome] = {}
    texts: dict[str, str] = {}
    is_running: dict[str, bool] = {}
    version, internal = "", ""
    collected: int | None = None
    end: OwnTestsEnd | None = None
    for line in _lines(text):
        match line:
            case _Start():
                version = line.pytest
            case _Collected():
                collected = line.number
            case _Internal():
                internal = line.text
            case _Deselected():
                outcomes |= dict.fromkeys(line.nodes, TestOutcome.DESELECTED)
            case _Begun():
                is_running[line.node] = True
            case _Ended():
                is_running[line.node] = False
            case _Report():
                if _weight(line.outcome) <= _weight(outcomes.get(line.node)):
                    outcomes[line.node], texts[line.node] = line.outcome, line.text
            case _End():
                end = OwnTestsEnd(code=line.code, file=line.file, imported=line.imported)
    counts = Counter(outcomes.values())
    return OwnTestsRecord(
        pytest=version,
        collected=collected,
        internal=internal,
        end=end,
        counts={outcome: counts[outcome] for outcome in TestOutcome},
        begun=len(is_running),
        within=next((node for node, running in is_running.items() if running), ""),
        failures=tuple(
            OwnTestFailure(node=node, outcome=outcome, text=_last_lines(texts[node]))
            for node, outcome in outcomes.items()
            if outcome in _FAILED
        ),
        left_out=tuple(
            OwnTestLeftOut(node=node, outcome=outcome, reason=texts.get(node, ""))
            for node, outcome in outcomes.items()
            if outcome in _LEFT_OUT
        ),
    )


def _lines(events: str) -> tuple[_Line, ...]:
    lines = []
    for text in events.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            lines.append(json.loads(text))
    try:
        return _TestEvents.model_validate({"lines": lines}).lines
    except pydantic.ValidationError as error:
        message = error_line(error, _TestEvents)
        raise DataError(f"the events of the package's own tests: {message}") from None


def _weight(outcome: TestOutcome | None) -> int:
    """Return the rank of an outcome. The outcome with the lowest rank counts for a test."""
    return list(TestOutcome).index(outcome or TestOutcome.DESELECTED)


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_MAX_LINES:])
