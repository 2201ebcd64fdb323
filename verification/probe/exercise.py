"""Use the package as a user does first, and record each step.

It runs inside the interpreter under test, from ``python -c``, so that the current folder is first
on the import path, as for a user. Standard library only. Each step is one line of JSON in the file
named by E2E_STEPS, written as soon as the step ends. A crash or a hang does not lose earlier steps.

The subject's own files are in the same folder: ``own.py`` has the functions ``native_call``,
``round_trip`` and optionally ``failing_calls``; ``uses.py`` has the further uses that a scenario
names.
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
import types
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict

# Bound before the package can put something else in their place.
_dumps = json.dumps
_STEPS = open(os.environ["E2E_STEPS"], "a", encoding="utf-8")  # noqa: SIM115  (open to the end)
_TRACE = open(os.environ["E2E_TRACE"], "w", encoding="utf-8")  # noqa: SIM115

Values = Dict[str, object]
Action = Callable[[], object]


class StepError(TypedDict):
    """What a step raised."""

    type: str
    message: str
    number: Optional[int]
    trace: str


def step(name: str, action: Action) -> bool:
    """Run ``action`` and write its value or its error; return whether it succeeded."""
    _write({"step": name, "begun": True})
    began = time.perf_counter()
    value: object = None
    error: Optional[StepError] = None
    try:
        value = action()
        _dumps(value)
    except BaseException as raised:  # noqa: BLE001  (whatever it is, it is evidence)
        value, error = None, _error(raised)
    seconds = round(time.perf_counter() - began, 4)
    _write({"step": name, "ok": not error, "value": value, "error": error, "seconds": seconds})
    return not error


def _error(raised: BaseException) -> StepError:
    number = getattr(raised, "winerror", None) or getattr(raised, "errno", None)
    return {
        "type": type(raised).__name__,
        "message": str(raised),
        "number": number if isinstance(number, int) else None,
        "trace": traceback.format_exc()[-4000:],
    }


def _write(line: Values) -> None:
    _STEPS.write(_dumps(line) + "\n")
    _STEPS.flush()


_FOLDER = os.path.dirname(step.__code__.co_filename)  # what is run by -c has no __file__


# ---- the package ----


@functools.lru_cache(maxsize=None)
def subject_module(name: str) -> types.ModuleType:
    """Return a file of the subject, executed once."""
    source = os.path.join(_FOLDER, f"{name}.py")
    module = types.ModuleType(name)
    with open(source, "rb") as file:
        exec(compile(file.read(), source, "exec"), module.__dict__)  # noqa: S102  (the subject's)
    return module


class ImportValue(TypedDict):
    """Where the imported package came from."""

    file: Optional[str]
    folder: str
    version: Optional[str]


def import_package() -> ImportValue:
    """Import the package and return its place; nothing native loads by this alone."""
    import importlib

    package = importlib.import_module(os.environ["E2E_PACKAGE"])
    file = package.__file__  # None for a folder without code
    version = getattr(package, "__version__", None)
    return {
        "file": file,
        "folder": os.path.dirname(file) if file else next(iter(package.__path__)),
        "version": version if isinstance(version, str) else None,
    }


def native_call() -> Values:
    """Make the first native call; return the version, and more if the subject has it.

    ``source`` is which copy of its libraries the package reports that it loaded; ``lacking`` are
    the functions that it declares and its libraries do not export.
    """
    value = _mapping("native_call", subject_module("own").native_call())
    if value is None or "version" not in value:
        raise TypeError("native_call of the subject returned no version")
    source, lacking = value.get("source"), value.get("lacking")
    return {
        "version": value["version"],
        "source": None if source is None else str(source),
        "lacking": list(map(str, lacking)) if isinstance(lacking, (list, tuple)) else [],
    }


def round_trip() -> Optional[Values]:
    """Use the package as a user does; return the values that the package returned.

    The instructions have the tables that the host chose, if the subject has any: the package must
    store them in the file data.db. ``returned`` are the same tables as the package returned them.
    ``not_offered`` names what this release cannot do yet.
    """
    tables = instructions().get("tables")
    action = subject_module("own").round_trip
    value = _mapping("round_trip", action() if tables is None else action(tables))
    if tables is None:
        return None  # it reports only by what it raises
    if value is None:
        raise TypeError("round_trip of the subject returned nothing")
    return {"returned": value["returned"], "not_offered": value.get("not_offered", [])}


def instructions() -> Values:
    """Return the instructions of the probe, which are in the same folder."""
    with open(os.path.join(_FOLDER, "instructions.json"), encoding="utf-8") as file:
        read: Values = json.load(file)
    return read


class ClosedFile(TypedDict):
    """What is left of an open database file."""

    handles: List[str]
    remains: List[str]
    refused: str


def closed_file() -> Optional[ClosedFile]:
    """Rename and delete the file that the package closed; leave a copy of it for the host.

    Windows refuses both while the file is open. Linux does not: there the open files of this
    process are read (proc(5), /proc/pid/fd).
    """
    path = os.path.realpath("data.db")
    if not os.path.exists(path):
        return None
    companions = [path + ending for ending in ("-wal", "-shm", "-journal")]
    value: ClosedFile = {
        "handles": open_files([path, *companions]),
        "remains": [os.path.basename(name) for name in companions if os.path.exists(name)],
        "refused": "",
    }
    renamed = path + ".renamed"
    try:
        os.rename(path, renamed)
        with open(renamed, "rb") as file:
            content = file.read()
        os.remove(renamed)
    except OSError as error:
        value["refused"] = f"{type(error).__name__}: {error}"
    else:
        with open(path, "wb") as file:
            file.write(content)
    return value


def open_files(paths: Sequence[str]) -> List[str]:
    """Return which of these files this process has open, deleted ones included; Linux only."""
    names = []
    if sys.platform == "linux":
        for number in os.listdir("/proc/self/fd"):
            try:
                name = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue  # the descriptor of the listing itself, closed by now
            if name in paths or name in [f"{path} (deleted)" for path in paths]:
                names.append(os.path.basename(name))
    return sorted(names)


class FailingCall(TypedDict):
    """One call that must fail, and what it did."""

    call: str
    expected: str
    raised: str
    as_expected: bool
    message: str


def failing_calls() -> List[FailingCall]:
    """Make the subject's calls that must fail; return what each of them raised."""
    calls = getattr(subject_module("own"), "failing_calls", None)
    values: List[FailingCall] = []
    for name, expected, call in calls() if calls else ():
        value: FailingCall = {
            "call": name,
            "expected": expected.__name__,
            "raised": "",
            "as_expected": False,
            "message": "",
        }
        try:
            value["message"] = f"it returned {call()!r}"[:300]
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is evidence)
            value["raised"] = type(error).__name__
            value["as_expected"] = isinstance(error, expected)
            value["message"] = str(error)[:300]
        values.append(value)
    return values


def _mapping(name: str, value: object) -> Optional[Values]:
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"{name} of the subject returned {type(value).__name__} and not a dict")
    return value


def use(name: str) -> object:
    """Try one of the uses that the scenario names."""
    action: Action = getattr(subject_module("uses"), name)
    return action()


def prelude() -> None:
    """Do what the scenario has happen in the process before the package is imported."""
    exec(os.environ["E2E_PRELUDE"], {})  # noqa: S102  (the scenario's own code)


# ---- the libraries in the process ----


def mapped() -> List[str]:
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


def modules() -> List[str]:
    """Return the full paths of the modules that Windows loaded into this process.

    K32EnumProcessModules and K32GetModuleFileNameExW (Microsoft, Process Status API).
    """
    if sys.platform != "win32":
        return []
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
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
        raise ctypes.WinError(ctypes.get_last_error())
    paths = []
    for handle in handles[: used.value // ctypes.sizeof(wintypes.HMODULE)]:
        name = ctypes.create_unicode_buffer(32768)
        if kernel.K32GetModuleFileNameExW(process, handle, name, len(name)):
            paths.append(name.value)
    return sorted(paths)


class LoadedRuntime(TypedDict):
    """A C++ run-time library of the machine."""

    path: str
    version: List[int]


class RunTimes(TypedDict, total=False):
    """The C++ run-time libraries in the process; nothing on Linux."""

    loaded: Dict[str, LoadedRuntime]
    linked_by: Dict[str, List[int]]


def run_times() -> RunTimes:
    """Return the C++ run-time libraries in this process that are the machine's, with versions.

    ``linked_by`` holds the linker's version of each library of the package that uses one of them.
    """
    if sys.platform != "win32":
        return {}
    home = os.path.dirname(sys.modules[os.environ["E2E_PACKAGE"]].__file__ or "").lower()
    loaded: Dict[str, LoadedRuntime] = {}
    linked_by: Dict[str, List[int]] = {}
    for path in modules():
        name = os.path.basename(path)
        if path.lower().startswith(home):
            linked_by[name] = linker_version(path)
        elif name.lower().startswith(("msvcp", "concrt", "vcomp")):
            loaded[name] = {"path": path, "version": file_version(path)}
    return {"loaded": loaded, "linked_by": linked_by}


def linker_version(path: str) -> List[int]:
    """Return the major and minor version of the linker of a PE file (Microsoft, PE Format)."""
    with open(path, "rb") as file:
        head = file.read(4096)
    optional = int.from_bytes(head[60:64], "little") + 24
    return [head[optional + 2], head[optional + 3]]


def file_version(path: str) -> List[int]:
    """Return the four numbers of a file's version resource, none if it has none."""
    if sys.platform != "win32":
        return []
    import ctypes

    api = ctypes.WinDLL("version")
    size = api.GetFileVersionInfoSizeW(path, None)
    data = ctypes.create_string_buffer(size or 1)
    fixed, length = ctypes.c_void_p(), ctypes.c_uint()
    if (
        not size
        or not api.GetFileVersionInfoW(path, 0, size, data)
        or not api.VerQueryValueW(data, "\\", ctypes.byref(fixed), ctypes.byref(length))
    ):
        return []
    # VS_FIXEDFILEINFO.dwFileVersionMS and dwFileVersionLS.
    numbers = (ctypes.c_uint16 * 8).from_address(fixed.value or 0)
    return [numbers[5], numbers[4], numbers[7], numbers[6]]


# ---- what is installed ----


def distributions() -> Dict[str, Dict[str, str]]:
    """Return the version and the folder of each installed distribution."""
    import importlib.metadata

    return {
        d.metadata["Name"]: {"version": d.version, "folder": str(d.locate_file(""))}
        for d in importlib.metadata.distributions()
    }


class Record(TypedDict):
    """The installed files of the package against its RECORD."""

    checked: int
    wrong: List[Dict[str, str]]
    files: List[str]
    unreadable: List[Dict[str, str]]
    tags: List[str]


def record() -> Record:
    """Check every installed file of the package against its RECORD (PyPA: recording installs)."""
    import base64
    import importlib.metadata

    installed = importlib.metadata.distribution(os.environ["E2E_SUBJECT"])
    lines = (installed.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
    value: Record = {"checked": 0, "wrong": [], "files": [], "unreadable": [], "tags": tags}
    for file in installed.files or ():
        value["files"].append(os.path.normpath(str(file.locate())))
        if file.hash is None:
            continue
        value["checked"] += 1
        try:
            with open(file.locate(), "rb") as opened:
                content = opened.read()
        except OSError as error:
            value["wrong"].append({"file": str(file), "observed": type(error).__name__})
            continue
        if file.suffix == ".py":
            try:
                compile(content, str(file), "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                value["unreadable"].append({"file": str(file), "observed": str(error)})
        digest = hashlib.new(file.hash.mode, content).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            value["wrong"].append({"file": str(file), "observed": "other content"})
    return value


def entry_points() -> List[Dict[str, str]]:
    """Load what the package offers as commands and plug-ins; return what cannot be loaded.

    What needs an extra (PyPA: entry points) is left out. A command is called by its script.
    """
    import importlib.metadata

    faults = []
    for entry in importlib.metadata.distribution(os.environ["E2E_SUBJECT"]).entry_points:
        if not entry.extras:
            fault = ""
            try:
                loaded = entry.load()
            except BaseException as error:  # noqa: BLE001  (whatever it is, it is evidence)
                fault = f"{type(error).__name__}: {error}"
            else:
                if entry.group in ("console_scripts", "gui_scripts") and not callable(loaded):
                    fault = f"{type(loaded).__name__} is no function to call"
            if fault:
                faults.append({"name": entry.name, "value": entry.value, "observed": fault})
    return faults


# ---- the process ----


def process_state() -> Dict[str, str]:
    """Return the state of the whole process that a package must leave as it is."""
    import locale
    import signal

    mask = os.umask(0)
    os.umask(mask)
    state = {
        "current folder": os.getcwd(),
        "umask": oct(mask),
        "locale": locale.setlocale(locale.LC_ALL),
        # A library that is linked with -ffast-math makes zero of them, in everybody's code.
        "half of the smallest normal number": repr(sys.float_info.min / 2),
    }
    for number in (signal.SIGINT, signal.SIGTERM):
        state[f"handler of {number.name}"] = repr(signal.getsignal(number))
    if sys.platform == "linux":  # what native code sets, Python does not know: proc(5), status
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = (line.split(":") for line in file if line.startswith(("SigIgn", "SigCgt")))
            names = {"SigIgn": "signals ignored", "SigCgt": "signals handled"}
            state.update((names[name], mask.strip()) for name, mask in lines)
    return state


def changed_state(before: Mapping[str, str]) -> Dict[str, Tuple[str, str]]:
    """Return the state that is not as it was ``before``: by name, both values."""
    after = process_state()
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


# ---- all steps ----


def steps() -> None:
    """Run the steps in a user's order; a failed step does not stop those that still show more."""
    if os.environ.get("E2E_PRELUDE"):
        step("prelude", prelude)
    before = process_state()
    step("import", import_package)
    step("native-call", native_call)
    step("run-times", run_times)
    step("round-trip", round_trip)
    step("closed-file", closed_file)
    step("failing-calls", failing_calls)
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
