"""What a user does first with the package, told step by step.

It runs inside the interpreter under test, from ``python -c``, so that the current folder is first
on the import path as it is for a user. Standard library only. Each step is one line of JSON in the
file named by E2E_STEPS, written as soon as the step ended: a crash or a hang loses none before it.
"""

from __future__ import annotations

import faulthandler
import functools
import hashlib
import json
import os
import sys
import time
import traceback
from typing import Any, Callable

# Bound before the package can put something else in their place.
_dumps = json.dumps
_STEPS = open(os.environ["E2E_STEPS"], "a", encoding="utf-8")  # noqa: SIM115  (open to the end)
_TRACE = open(os.environ["E2E_TRACE"], "w", encoding="utf-8")  # noqa: SIM115

_SCHEMA = """
CREATE TABLE Configuration (
    id INTEGER PRIMARY KEY,
    label TEXT UNIQUE NOT NULL
) STRICT;
CREATE TABLE Plant (
    id INTEGER PRIMARY KEY,
    label TEXT UNIQUE NOT NULL,
    units INTEGER,
    capacity REAL,
    note TEXT
) STRICT;
"""


def step(name: str, action: Callable[[], Any]) -> bool:
    """Run ``action`` and write down its value or its error; return whether it succeeded."""
    _STEPS.write(_dumps({"step": name, "begun": True}) + "\n")
    _STEPS.flush()
    began = time.perf_counter()
    line: dict[str, Any] = {"step": name, "ok": True, "value": None, "error": None}
    try:
        line["value"] = action()
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is evidence)
        line["ok"] = False
        line["error"] = {
            "type": type(error).__name__,
            "message": str(error),
            "number": getattr(error, "winerror", None) or getattr(error, "errno", None),
            "trace": traceback.format_exc()[-4000:],
        }
    line["seconds"] = round(time.perf_counter() - began, 4)
    _STEPS.write(_dumps(line) + "\n")
    _STEPS.flush()
    return bool(line["ok"])


_HERE = os.path.dirname(step.__code__.co_filename)  # what is run by -c has no __file__


def import_package() -> dict[str, Any]:
    """Import the package and say where it came from; nothing native loads by this alone."""
    import importlib

    package = importlib.import_module(os.environ["E2E_PACKAGE"])
    file = package.__file__  # None for a folder without code
    version = getattr(package, "__version__", None)
    return {
        "file": file,
        "folder": os.path.dirname(file) if file else next(iter(package.__path__)),
        "version": version if isinstance(version, str) else None,
    }


def native_version() -> dict[str, Any]:
    """Make the first native call; tell which functions the package declares and nothing exports."""
    import quiverdb
    from quiverdb import _c_api, _loader

    told = {"version": quiverdb.version(), "source": getattr(_loader, "_load_source", None)}
    library: Any = None
    if hasattr(_c_api, "api"):
        _, library = _c_api.api()
    elif hasattr(_c_api, "get_lib"):  # released packages
        library = _c_api.get_lib()
    # cffi looks for a function when it is first asked for (its documentation, "ABI, in-line").
    lacking = [name for name in dir(library) if not hasattr(library, name)] if library else []
    return {**told, "lacking": lacking}


def round_trip() -> dict[str, Any]:
    """Create, write, close, open again, read; return what was read and what is not offered."""
    import quiverdb

    missing: list[str] = []
    with open("schema.sql", "w", encoding="utf-8") as file:
        file.write(_SCHEMA)
    database = quiverdb.Database.from_schema("data.db", "schema.sql")
    row = {"label": "Itaipú", "units": 20, "capacity": 14000.5}

    def create(collection: str, values: dict[str, Any]) -> int:
        try:
            return int(database.create_element(collection, **values))
        except TypeError:  # releases before 0.6.0 take an Element
            missing.append("create_element(**attributes)")
            element = quiverdb.Element()
            for key, value in values.items():
                element.set(key, value)
            return int(database.create_element(collection, element))

    create("Configuration", {"label": "main"})
    made = create("Plant", row)
    create("Plant", {"label": "empty"})
    database.close()
    if hasattr(quiverdb.Database, "open"):
        database = quiverdb.Database.open("data.db")
    else:
        # Releases before 0.7.9 cannot open a file again without a schema; read it back with the
        # standard library, which is what their users do.
        missing.append("Database.open")
        import sqlite3

        with sqlite3.connect("data.db") as connection:
            rows = connection.execute(
                "SELECT label, units, capacity, note FROM Plant ORDER BY id"
            ).fetchall()
        connection.close()
        return {
            "id": made,
            "labels": [r[0] for r in rows],
            "units": [r[1] for r in rows],
            "capacity": [r[2] for r in rows],
            "notes": [r[3] for r in rows],
            "not_offered": missing,
        }
    try:
        result: dict[str, Any] = {"id": made}
        for key, reader, attribute in (
            ("labels", "read_scalar_strings", "label"),
            ("units", "read_scalar_integers", "units"),
            ("capacity", "read_scalar_floats", "capacity"),
            ("notes", "read_scalar_strings", "note"),
        ):
            result[key] = list(getattr(database, reader)("Plant", attribute))
    finally:
        database.close()
    result["not_offered"] = missing
    return result


def mapped() -> list[str]:
    """Return the full paths of the libraries in this process.

    Linux: proc(5), /proc/pid/maps. Windows: EnumProcessModules and GetModuleFileNameExW.
    """
    if sys.platform == "win32":
        return modules()
    paths = set()
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/") and ".so" in fields[5]:
                paths.add(fields[5].rstrip("\n"))
    return sorted(paths)


def modules() -> list[str]:
    """Return the full paths of the modules that Windows loaded into this process.

    K32EnumProcessModules and K32GetModuleFileNameExW (Microsoft, Process Status API).
    """
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32EnumProcessModules.argtypes = [
        wintypes.HANDLE,
        ctypes.POINTER(wintypes.HMODULE),
        wintypes.DWORD,
        ctypes.POINTER(wintypes.DWORD),
    ]
    kernel.K32GetModuleFileNameExW.argtypes = [
        wintypes.HANDLE,
        wintypes.HMODULE,
        wintypes.LPWSTR,
        wintypes.DWORD,
    ]
    process = kernel.GetCurrentProcess()
    handles = (wintypes.HMODULE * 4096)()
    used = wintypes.DWORD()
    if not kernel.K32EnumProcessModules(
        process, handles, ctypes.sizeof(handles), ctypes.byref(used)
    ):
        raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined]
    paths = []
    for handle in handles[: used.value // ctypes.sizeof(wintypes.HMODULE)]:
        name = ctypes.create_unicode_buffer(32768)
        if kernel.K32GetModuleFileNameExW(process, handle, name, len(name)):
            paths.append(name.value)
    return sorted(paths)


def run_times() -> dict[str, Any]:
    """Return the C++ run-time libraries in this process that are the machine's, with versions.

    ``linked_by`` holds the linker's version of each library of the package that uses one of them.
    """
    if sys.platform != "win32":
        return {}
    home = os.path.dirname(sys.modules[os.environ["E2E_PACKAGE"]].__file__ or "").lower()
    loaded, linked_by = {}, {}
    for path in modules():
        name = os.path.basename(path)
        if path.lower().startswith(home):
            linked_by[name] = linker_version(path)
        elif name.lower().startswith(("msvcp", "concrt", "vcomp")):
            loaded[name] = {"path": path, "version": file_version(path)}
    return {"loaded": loaded, "linked_by": linked_by}


def linker_version(path: str) -> list[int]:
    """Return the major and minor version of the linker of a PE file (Microsoft, PE Format)."""
    with open(path, "rb") as file:
        head = file.read(4096)
    optional = int.from_bytes(head[60:64], "little") + 24
    return [head[optional + 2], head[optional + 3]]


def file_version(path: str) -> list[int]:
    """Return the four numbers of a file's version resource, none if it has none."""
    import ctypes

    api = ctypes.WinDLL("version")  # type: ignore[attr-defined]
    size = api.GetFileVersionInfoSizeW(path, None)
    data = ctypes.create_string_buffer(size or 1)
    fixed, length = ctypes.c_void_p(), ctypes.c_uint()
    if (
        not size
        or not api.GetFileVersionInfoW(path, 0, size, data)
        or not api.VerQueryValueW(data, "\\", ctypes.byref(fixed), ctypes.byref(length))
    ):
        return []
    numbers = ctypes.cast(fixed, ctypes.POINTER(ctypes.c_uint16 * 8))[0]
    return [numbers[5], numbers[4], numbers[7], numbers[6]]  # VS_FIXEDFILEINFO.dwFileVersionMS, LS


def distributions() -> dict[str, Any]:
    """Return the version and the folder of each installed distribution."""
    import importlib.metadata

    return {
        d.metadata["Name"]: {"version": d.version, "folder": str(d.locate_file(""))}
        for d in importlib.metadata.distributions()
    }


def record() -> dict[str, Any]:
    """Check every installed file of the package against its RECORD (PyPA: recording installs)."""
    import base64
    import importlib.metadata

    wrong: list[dict[str, Any]] = []
    unreadable = []
    checked = 0
    files = []
    installed = importlib.metadata.distribution(os.environ["E2E_SUBJECT"])
    lines = (installed.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
    for file in installed.files or ():
        files.append(os.path.normpath(str(file.locate())))
        if file.hash is None:
            continue
        checked += 1
        try:
            with open(file.locate(), "rb") as opened:
                content = opened.read()
        except OSError as error:
            wrong.append({"file": str(file), "seen": type(error).__name__})
            continue
        if file.suffix == ".py":
            try:
                compile(content, str(file), "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                unreadable.append({"file": str(file), "seen": str(error)})
        digest = hashlib.new(file.hash.mode, content).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            wrong.append({"file": str(file), "seen": "other content"})
    return {
        "checked": checked,
        "wrong": wrong,
        "files": files,
        "unreadable": unreadable,
        "tags": tags,
    }


def entry_points() -> list[dict[str, str]]:
    """Load what the package offers as commands and plug-ins; return what cannot be loaded.

    What needs an extra (PyPA: entry points) is left out. A command is called by its script.
    """
    import importlib.metadata

    found = []
    for entry in importlib.metadata.distribution(os.environ["E2E_SUBJECT"]).entry_points:
        if not entry.extras:
            seen = ""
            try:
                loaded = entry.load()
            except BaseException as error:  # noqa: BLE001  (whatever it is, it is evidence)
                seen = f"{type(error).__name__}: {error}"
            else:
                if entry.group in ("console_scripts", "gui_scripts") and not callable(loaded):
                    seen = f"{type(loaded).__name__} is no function to call"
            if seen:
                found.append({"name": entry.name, "value": entry.value, "seen": seen})
    return found


def prelude() -> None:
    """Do what the scenario has happen in the process before the package is imported."""
    exec(os.environ["E2E_PRELUDE"], {})  # noqa: S102  (the scenario's own code)


def use(name: str) -> Any:
    """Try one of the uses that the scenario names."""
    source = os.path.join(_HERE, "uses.py")
    with open(source, "rb") as file:
        known: dict[str, Any] = {"__name__": "uses"}
        exec(compile(file.read(), source, "exec"), known)  # noqa: S102  (the suite's own file)
    return known["USES"][name]()


def own_functions() -> dict[str, Any]:
    """Return the functions for a package that is not quiverdb; none for quiverdb."""
    source = os.path.join(_HERE, "own.py")
    known: dict[str, Any] = {"__name__": "own"}
    if os.path.exists(source):
        with open(source, "rb") as file:
            exec(compile(file.read(), source, "exec"), known)  # noqa: S102  (the subject's own)
    return known


def own_round_trip(own: dict[str, Any]) -> None:
    """Do it; by what it raises it tells, and what it returns has no form."""
    own["round_trip"]()


def process_state() -> dict[str, Any]:
    """Return what belongs to the whole process, and what a package is to leave as it is."""
    import locale
    import signal

    mask = os.umask(0)
    os.umask(mask)
    told: dict[str, Any] = {
        "current folder": os.getcwd(),
        "umask": oct(mask),
        "locale": locale.setlocale(locale.LC_ALL),
        # A library that is linked with -ffast-math makes zero of them, in everybody's code.
        "half of the smallest normal number": repr(sys.float_info.min / 2),
    }
    for number in (signal.SIGINT, signal.SIGTERM):
        told[f"handler of {number.name}"] = repr(signal.getsignal(number))
    if sys.platform == "linux":  # what native code sets, Python does not know: proc(5), status
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = (line.split(":") for line in file if line.startswith(("SigIgn", "SigCgt")))
            names = {"SigIgn": "signals ignored", "SigCgt": "signals handled"}
            told.update((names[name], mask.strip()) for name, mask in lines)
    return told


def changed_state(before: dict[str, Any]) -> dict[str, Any]:
    """Return what is not as it was ``before``: by name, both values."""
    after = process_state()
    return {name: [before[name], after[name]] for name in before if before[name] != after[name]}


def steps() -> None:
    """Run the steps in a user's order; a failed step does not stop those that can still tell."""
    own = own_functions()
    if os.environ.get("E2E_PRELUDE"):
        step("prelude", prelude)
    before = process_state()
    step("import", import_package)
    step("native-call", own.get("native_call", native_version))
    step("run-times", run_times)
    step(
        "round-trip", functools.partial(own_round_trip, own) if "round_trip" in own else round_trip
    )
    step("process-state", functools.partial(changed_state, before))
    step("mapped", mapped)
    step("distributions", distributions)
    step("record", record)
    step("entry-points", entry_points)
    for name in os.environ.get("E2E_USES", "").split():
        step(name, functools.partial(use, name))


def main() -> None:
    """Run the steps, in the main thread or in another, within their time."""
    faulthandler.enable(file=_TRACE, all_threads=True)
    limit = float(os.environ["E2E_LIMIT_SECONDS"])
    faulthandler.dump_traceback_later(limit, exit=True, file=_TRACE)
    if os.environ.get("E2E_IN") == "thread":
        import threading

        thread = threading.Thread(target=steps)
        thread.start()
        thread.join()
    else:
        steps()
    faulthandler.cancel_dump_traceback_later()
    step("end", lambda: {"python": sys.version.split()[0], "path": sys.path})


main()
