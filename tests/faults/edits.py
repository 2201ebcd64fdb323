"""Changes of a wheel that plant a fault in it.

A change is a dict of keyword arguments of `wheel_builder.mutate`, which makes the changed wheel.
"""

from __future__ import annotations

import base64
import contextlib
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from containers import images
from containers.engine import Engine, Run
from tests.helpers import wheel_builder as wheels

INIT = "quiverdb/__init__.py"
LOADER = "quiverdb/_loader.py"
FIRST_USE = b"def _load_bundled(ffi: Any) -> Any:\n"
"""The head of the function that loads the native libraries at the first native call."""
# Writes the lines of a good exercise, and ends the process with 0. With STORES it also writes the
# chosen values into the database file, with the SQLite of Python.
_FORGED_STEPS = r"""
import json, os, sys

FILE = __file__
if __name__ != "quiverdb":
    FILE = os.path.join(os.path.dirname(FILE), "quiverdb", "__init__.py")

def _steps_file():
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if path.endswith("steps.jsonl"):
            return path

def _forge(path):
    data, package = os.path.dirname(path), os.path.dirname(FILE)
    with open(os.path.join(os.path.dirname(data), "plan.json")) as file:
        plan = json.load(file)
    site = os.path.dirname(package)
    if ASKS and os.path.exists(f"{data}/question"):
        with open(f"{data}/question", "w") as question:
            question.write(str(os.getpid()))
        with open(f"{data}/answer", "rb", buffering=0) as answer:
            answer.read(1)
    if STORES:
        import sqlite3
        base = sqlite3.connect("data.db")
        for name, table in plan["tables"].items():
            base.execute(f"CREATE TABLE {name} ({', '.join(table['columns'])})")
            marks = ", ".join("?" * len(table["columns"]))
            base.executemany(f"INSERT INTO {name} VALUES ({marks})", table["rows"])
        base.commit()
        base.close()
    steps = {
        "import": {"file": FILE, "folder": package, "version": VERSION},
        "native-call": {"version": VERSION},
        "round-trip": {"returned": plan["tables"]} if "tables" in plan else None,
        "closed-file": {},
        "failing-calls": [],
        "mapped": [f"{package}/_libs/libquiver.so", f"{package}/_libs/libquiver_c.so"],
        "distributions": {"quiverdb": {"version": VERSION, "folder": site}},
        "record": {"checked": 1, "wrong": [], "files": []},
        "end": {"python": "3.13.5", "path": []},
    }
    with open(path, "a") as file:
        for name, value in steps.items():
            file.write(json.dumps({"step": name, "ok": True, "value": value}) + "\n")
    os._exit(0)

def _forge_in_exercise():
    if path := _steps_file():
        _forge(path)

class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "quiverdb":
            _forge_in_exercise()

if __name__ == "quiverdb":
    _forge_in_exercise()
else:
    sys.meta_path.insert(0, _Finder)
"""


def dist_info(wheel: Path) -> str:
    """Return the path of the wheel's metadata folder, with a slash at the end."""
    name, version, _ = wheel.name.split("-", 2)
    return f"{name}-{version}.dist-info/"


def replaced(old: bytes, new: bytes, count: int = -1) -> Callable[[bytes], bytes]:
    """Return a function that replaces text in a file, everywhere or at most ``count`` times."""

    def change(data: bytes) -> bytes:
        assert old in data, f"the file does not contain {old!r}"
        return data.replace(old, new, count)

    return change


def added(code: bytes) -> dict[str, Any]:
    """Return a change that runs this code at the end of the import of the package."""
    return {"edit": {INIT: lambda data: data + b"\nimport os, sys\n" + code + b"\n"}}


def at_first_use(code: bytes) -> dict[str, Any]:
    """Return a change that runs this code before the libraries are loaded."""
    return {"edit": {LOADER: replaced(FIRST_USE, FIRST_USE + code)}}


def wrong_load_paths(core: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Return changes after which the package looks for the core library at a wrong path.

    ``core`` is the path of the library in the wheel. The keys of the result are names of test
    cases. The values are pairs: the change, and the path of the library in the changed wheel.
    """
    libs = b'resolve().parent / "_libs"'
    call = b"core = _open(ffi, str(_LIBS_DIR / _CORE))"
    other_call = call.replace(b"_CORE", b'"lib" / _CORE')
    renamed = core.replace("libquiver.", "libquiver-0a1b2c3d.")
    return {
        "folder": ({"edit": {LOADER: replaced(libs, b'resolve().parent / "native"')}}, core),
        "path": ({"edit": {LOADER: replaced(call, other_call)}}, core),
        "moved": ({"move": {"quiverdb/_libs/": "quiverdb/lib/"}}, core.replace("_libs", "lib")),
        "renamed": ({"move": {core: renamed}}, renamed),
    }


def forged_steps(wheel: Path, *, asks: bool, stores: bool = False) -> bytes:
    """Return the code of a module that writes the steps of the exercise, in place of a use.

    With ``asks`` it lets the probe read the libraries, and with ``stores`` it writes the chosen
    values. The module is the package, or a module that Python imports when it starts.
    """
    version = wheel.name.split("-")[1]
    return f"ASKS, STORES, VERSION = {asks}, {stores}, {version!r}\n{_FORGED_STEPS}".encode()


def truncated(data: bytes) -> bytes:
    """Return the first half of a file."""
    return data[: len(data) // 2]


def earlier(wheel: Path, folder: Path, version: str = "0.4.9", **changes: Any) -> Path:
    """Write a changed copy of a wheel with an earlier version, and return its path."""
    (folder / "earlier").mkdir(parents=True)
    return wheels.set_version(wheels.mutate(wheel, folder / "earlier", **changes), folder, version)


def retagged(wheel: Path, folder: Path, old: str, new: str) -> Path:
    """Write a copy of a wheel with another tag in its file name and in WHEEL. Return its path."""
    return wheels.mutate(
        wheel,
        folder,
        edit={f"{dist_info(wheel)}WHEEL": replaced(old.encode(), new.encode())},
        rename=wheel.name.replace(old, new),
    )


def metadata(wheel: Path, old: bytes, new: bytes) -> dict[str, Any]:
    """Return a change that replaces text in METADATA once."""
    return {"edit": {f"{dist_info(wheel)}METADATA": replaced(old, new, 1)}}


def pure(wheel: Path, folder: Path) -> Path:
    """Write a wheel of version 0.1.0, which has no native libraries. Return its path.

    The tag of the wheel, py3-none-any, fits every machine.
    """
    return earlier(
        wheel,
        folder,
        "0.1.0",
        remove=["quiverdb/_libs/libquiver.so", "quiverdb/_libs/libquiver_c.so"],
        rename=f"quiverdb-{wheel.name.split('-')[1]}-py3-none-any.whl",
    )


def universal(wheel: Path, folder: Path) -> Path:
    """Write a wheel of version 0.1.1, which has Linux libraries. Return its path.

    The tag of the wheel, py3-none-any, wrongly fits every machine.
    """
    return earlier(
        wheel,
        folder,
        "0.1.1",
        rename=f"quiverdb-{wheel.name.split('-')[1]}-py3-none-any.whl",
    )


def compiled(container_engine: Engine, code: str, *, glibc: str = "") -> bytes:
    """Return a Linux library that the compiler of the image builder made from C code.

    ``glibc`` is the version of glibc to link against, if not that of the image.
    """
    newer = f"/opt/compiler/ziglang/zig cc -s -target x86_64-linux-gnu.{glibc}"
    compiler = f"{newer if glibc else 'cc'} -shared -fPIC -o x.so x.c"
    command = f"printf %s {shlex.quote(code)} >x.c && {compiler} && base64 x.so"
    image = images.ensure(container_engine, "builder").tag
    with contextlib.closing(container_engine.client()) as client:
        encoded = client.containers.run(
            image, ["sh", "-ec", f"cd /tmp; {command}"], labels=Run.new().labels(), remove=True
        )
    return base64.b64decode(encoded)
