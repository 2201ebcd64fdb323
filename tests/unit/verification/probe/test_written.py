"""The record of the files that the smoke test writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_exercise import FILES, exercise, install, value

VERSION = "__version__ = '1.2'\ndef save(path): open(path, 'w').close()\n"


def written(folder: Path, smoke: str = "", uses: str = "", package: str = "") -> tuple[str, ...]:
    """Return the recorded paths, relative to the folder.

    `smoke` is the body of the native call, `uses` that of an action, and `package` code of the
    package.
    """
    site = install(folder / "site", FILES | {"sample/__init__.py": VERSION + package})
    start = f"import os, pathlib, sample, shutil, sqlite3, tempfile\nbase = {str(folder)!r} + '/'\n"
    result = exercise(
        folder,
        site,
        f"{start}def native_call():\n    {smoke or 'pass'}\n    return {{'version': '1.2'}}\n",
        f"{start}def act():\n    {uses or 'pass'}\n",
        plan={"uses": ["act"]},
        PYTHONDONTWRITEBYTECODE="",
        PYTHONPYCACHEPREFIX="",
    )
    assert result.steps.native_call
    assert result.steps.native_call.ok
    return tuple(path.removeprefix(f"{folder}/") for path in value(result.steps.written_files))


@pytest.mark.parametrize(
    ("code", "paths"),
    [
        ("open(base + 'x', 'w').close()", ("x",)),
        ("open('x', 'ab').close()", ("x",)),
        ("os.close(os.open(base + 'x', os.O_WRONLY | os.O_CREAT))", ("x",)),
        ("os.makedirs(base + 'a/b')", ("a", "a/b")),
        ("pathlib.Path(base, 'x').write_text('')", ("x",)),
        ("shutil.copyfile(__import__('sample').__file__, base + 'x')", ("x",)),
        ("open('x', 'w').close(); os.replace('x', 'y')", ("x", "y")),
        ("sqlite3.connect(base + 'x').close()", ("x",)),
        ("open(sample.__file__).close()", ()),
    ],
)
def test_files_and_folders_of_the_smoke_test_are_recorded(
    tmp_path: Path, code: str, paths: tuple[str, ...]
) -> None:
    assert written(tmp_path, code) == paths


def test_files_of_an_action_and_of_its_processes_are_recorded(tmp_path: Path) -> None:
    body = "os.close(os.open(base + 'x', os.O_WRONLY | os.O_CREAT)); pid = os.fork()"
    body += "\n    if not pid: open(base + 'y', 'w').close(); os._exit(0)\n    os.waitpid(pid, 0)"
    assert written(tmp_path, uses=body) == ("x", "y")


@pytest.mark.parametrize(
    ("smoke", "package"),
    [
        ("sample.save(base + 'x')", ""),
        ("", "import os, pathlib\npathlib.Path(__file__).with_name('x').write_text('')\n"),
        ("import sample.core", ""),  # bytecode
    ],
    ids=["function", "import", "bytecode"],
)
def test_files_of_the_package_are_not_recorded(tmp_path: Path, smoke: str, package: str) -> None:
    assert written(tmp_path, smoke, package=package) == ()


def test_a_failing_write_raises_its_own_exception(tmp_path: Path) -> None:
    code = "\n    try: open(base + 'absent/x', 'w')\n    except FileNotFoundError: pass"
    assert written(tmp_path, code) == ("absent/x",)
