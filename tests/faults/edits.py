"""What is changed in a good wheel, to plant a fault in it."""

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
"""The head of the function that loads the native libraries, when they are first asked for."""


def dist_info(wheel: Path) -> str:
    """Return the wheel's folder of metadata."""
    name, version, _ = wheel.name.split("-", 2)
    return f"{name}-{version}.dist-info/"


def replaced(old: bytes, new: bytes, count: int = -1) -> Callable[[bytes], bytes]:
    """Return the change of a file from one text to another, everywhere or at the first places."""

    def change(data: bytes) -> bytes:
        assert old in data, f"the wheel has no {old!r} to change"
        return data.replace(old, new, count)

    return change


def added(code: bytes) -> dict[str, Any]:
    """Return the change by which the import of the package ends with this code."""
    return {"edit": {INIT: lambda data: data + b"\nimport os, sys\n" + code + b"\n"}}


def at_first_use(code: bytes) -> dict[str, Any]:
    """Return the change by which this code runs before the libraries are loaded."""
    return {"edit": {LOADER: replaced(FIRST_USE, FIRST_USE + code)}}


def wrong_load_paths(core: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Return changes after which the core library is not where the package looks for it.

    ``core`` is its path in the wheel. Each change has the path in the wheel where it then is.
    """
    libs = b'resolve().parent / "_libs"'
    opened = b"core = _open(ffi, str(_LIBS_DIR / _CORE))"
    other_path = opened.replace(b"_CORE", b'"lib" / _CORE')
    renamed = core.replace("libquiver.", "libquiver-0a1b2c3d.")
    return {
        "folder": ({"edit": {LOADER: replaced(libs, b'resolve().parent / "native"')}}, core),
        "path": ({"edit": {LOADER: replaced(opened, other_path)}}, core),
        "moved": ({"move": {"quiverdb/_libs/": "quiverdb/lib/"}}, core.replace("_libs", "lib")),
        "renamed": ({"move": {core: renamed}}, renamed),
    }


def cut_off(data: bytes) -> bytes:
    """Return the first half of a file."""
    return data[: len(data) // 2]


def earlier(wheel: Path, folder: Path, version: str = "0.4.9", **changes: Any) -> Path:
    """Return the wheel with these changes as one of an earlier release."""
    (folder / "earlier").mkdir(parents=True)
    return wheels.set_version(wheels.mutate(wheel, folder / "earlier", **changes), folder, version)


def retagged(wheel: Path, folder: Path, old: str, new: str) -> Path:
    """Return the wheel with another platform in its name and in WHEEL."""
    return wheels.mutate(
        wheel,
        folder,
        edit={f"{dist_info(wheel)}WHEEL": replaced(old.encode(), new.encode())},
        rename=wheel.name.replace(old, new),
    )


def metadata(wheel: Path, old: bytes, new: bytes) -> dict[str, Any]:
    """Return the change of METADATA from one text to another."""
    return {"edit": {f"{dist_info(wheel)}METADATA": replaced(old, new, 1)}}


def pure(wheel: Path, folder: Path) -> Path:
    """Return an earlier release as the real 0.1.0: for every machine, without native libraries."""
    return earlier(
        wheel,
        folder,
        "0.1.0",
        remove=["quiverdb/_libs/libquiver.so", "quiverdb/_libs/libquiver_c.so"],
        rename=f"quiverdb-{wheel.name.split('-')[1]}-py3-none-any.whl",
    )


def universal(wheel: Path, folder: Path) -> Path:
    """Return an earlier release that says it is for every machine, with its native libraries."""
    return earlier(
        wheel,
        folder,
        "0.1.1",
        rename=f"quiverdb-{wheel.name.split('-')[1]}-py3-none-any.whl",
    )


def compiled(found: Engine, code: str) -> bytes:
    """Return a library for Linux, as the builder's compiler makes it."""
    command = f"printf %s {shlex.quote(code)} >x.c && cc -shared -fPIC -o x.so x.c && base64 x.so"
    image = images.ensure(found, "builder").tag
    with contextlib.closing(found.client()) as client:
        printed = client.containers.run(
            image, ["sh", "-ec", f"cd /tmp; {command}"], labels=Run.new().labels(), remove=True
        )
    return base64.b64decode(printed)
