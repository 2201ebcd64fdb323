"""Use the package for the first time, as a user does, and record each step.

This script runs in the interpreter under test, started with ``python -c``. The current folder is
then first on the import path, as for a user. Standard library only. Each step is one line of JSON
in the file ``steps.jsonl`` of the folder ``data``, written when the step ends. After a crash or a
hang the file has all earlier steps. The package controls this process, so the file is only a claim.

The other files of the folder have names that say nothing about the suite. ``calls.py`` is the smoke
test of the subject. It has the functions ``native_call``, ``round_trip`` and optionally
``failing_calls``. ``actions.py`` has the actions that a scenario names. ``files.py`` records the
files that the smoke test writes. ``state.py`` reads the state of the process. ``plan.json`` has the
instructions of the probe.

If the global variable ``second`` is true, the script only imports the package and makes the first
native call. It records what each of the two changes in the process and what native code prints.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import hashlib
import importlib
import json
import os
import sys
import time
import traceback
import types
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Tuple, TypedDict

if TYPE_CHECKING:
    from importlib.metadata import Distribution, PackagePath

# Bound before the package can replace it.
_dumps = json.dumps
_FOLDER = os.path.dirname(sys._getframe().f_code.co_filename)  # ``python -c`` sets no __file__
_SHARED = os.path.join(_FOLDER, "data")
"""The folder that all processes of the user can write."""
_IS_OBSERVATION = bool(globals().get("second"))
_DATA = os.path.join(_SHARED, "second") if _IS_OBSERVATION else _SHARED
_STEPS = open(os.path.join(_DATA, "steps.jsonl"), "a", encoding="utf-8")  # noqa: SIM115  (to the end)
_TRACE = open(os.path.join(_DATA, "trace.txt"), "w", encoding="utf-8")  # noqa: SIM115
_LOADED = open(os.path.join(_DATA, "loaded.txt"), "a", encoding="utf-8")  # noqa: SIM115
_REQUEST_FIFO, _REPLY_FIFO = os.path.join(_DATA, "question"), os.path.join(_DATA, "answer")
"""The FIFOs with which the probe is asked to read the libraries; only Linux has them."""

_START_SECONDS = time.process_time()
"""The processor time of the start of this interpreter, in seconds."""
_PART_END = b"\x1e"
"""The control character RECORD SEPARATOR. It separates the parts of the output."""
_CONTACTS = {
    "socket.getaddrinfo": "lookup",
    "socket.gethostbyname": "lookup",
    "socket.gethostbyaddr": "lookup",
    "socket.connect": "connection",
    "socket.sendto": "datagram",
    "socket.sendmsg": "datagram",
}
"""The audit events of a contact with another host (CPython, audit events table)."""
_DATAGRAM = 2
"""SOCK_DGRAM, on Linux and Windows."""
_MAX_CONTACTS = 100

Values = Dict[str, object]
Action = Callable[[], object]


class Contact(TypedDict):
    """A host that Python code looked up or contacted."""

    step: str
    how: str
    host: str
    port: str


_contacts: List[Contact] = []
_current = [""]
"""The name of the step that runs."""


class StepError(TypedDict):
    """The exception of a failed step."""

    type: str
    message: str
    number: Optional[int]
    trace: str


def step(name: str, action: Action) -> bool:
    """Run ``action``, write its value or its error, and return True if it succeeded."""
    _write({"step": name, "begun": True})
    _current[0] = name
    start, cpu, waited = time.perf_counter(), time.process_time(), waited_seconds()
    value: object = None
    error: Optional[StepError] = None
    try:
        value = action()
        _dumps(value)
    except BaseException as exception:  # noqa: BLE001  (every exception is evidence)
        value, error = None, _error(exception)
    result: Values = {"step": name, "ok": not error, "value": value, "error": error}
    result["seconds"] = round(time.perf_counter() - start, 4)
    result["cpu_seconds"] = round(time.process_time() - cpu, 4)
    if waited is not None:
        result["waited"] = round((waited_seconds() or waited) - waited, 4)
    _write(result)
    return not error


def waited_seconds() -> Optional[float]:
    """Return for how many seconds this thread was ready and waited for a processor, if known.

    The second number of /proc/pid/schedstat is this time in nanoseconds (proc(5)).
    """
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def _error(exception: BaseException) -> StepError:
    number = getattr(exception, "winerror", None) or getattr(exception, "errno", None)
    return {
        "type": type(exception).__name__,
        "message": str(exception),
        "number": number if isinstance(number, int) else None,
        "trace": traceback.format_exc()[-4000:],
    }


def _write(line: Values) -> None:
    _STEPS.write(_dumps(line) + "\n")
    _STEPS.flush()


_OTHER_MODULES = os.path.join(_SHARED, "other-modules.txt")


# ---- the package ----


@functools.lru_cache(maxsize=None)
def module_of(name: str) -> types.ModuleType:
    """Execute a file of the same folder once, and return it as a module.

    The file keeps its assertions under ``python -O``.
    """
    source = os.path.join(_FOLDER, f"{name}.py")
    module = types.ModuleType(name)
    with open(source, "rb") as file:
        code = compile(file.read(), source, "exec", optimize=0)
    exec(code, module.__dict__)  # noqa: S102  (our own file)
    return module


class Plan(TypedDict, total=False):
    """The keys of the probe's instructions that this script uses."""

    subject: str
    package: str
    prelude: str
    uses: List[str]
    in_thread: bool
    tables: Values
    seconds: Dict[str, float]


@functools.lru_cache(maxsize=None)
def plan() -> Plan:
    """Return the instructions of the probe."""
    with open(os.path.join(_FOLDER, "plan.json"), encoding="utf-8") as file:
        content: Plan = json.load(file)
    return content


class ImportValue(TypedDict):
    """The file, folder and version of the imported package, and the extension modules."""

    file: Optional[str]
    folder: str
    version: Optional[str]
    extension_modules: Dict[str, bool]


def import_package() -> ImportValue:
    """Import the package and return its location. The import alone loads no native library."""
    package = importlib.import_module(plan()["package"])
    file = package.__file__  # None for a namespace package
    version = getattr(package, "__version__", None)
    return {
        "file": file,
        "folder": os.path.dirname(file) if file else next(iter(package.__path__)),
        "version": version if isinstance(version, str) else None,
        "extension_modules": extension_modules(),
    }


_BEGUN: Dict[str, str] = {}
"""The file of each extension module that Python began to load, by the name of the module."""


def extension_modules() -> Dict[str, bool]:
    """Return the files of the extension modules that Python began to load, and if it loaded them.

    A package that handles the ImportError of an extension module hides that the loader refused it.
    A file that the loader accepted stays in the process, also if its module then raises an error.
    """
    files = {path: name in sys.modules for name, path in _BEGUN.items()}
    if not all(files.values()):
        # The same file can have two paths, so only the last folder and the name are compared.
        libraries = {_last_parts(path) for path in mapped()}
        files = {path: done or _last_parts(path) in libraries for path, done in files.items()}
    # The loader reports the path without symbolic links (proc(5)).
    is_windows = sys.platform == "win32"
    return {path if is_windows else os.path.realpath(path): done for path, done in files.items()}


def _last_parts(path: str) -> Tuple[str, str]:
    folder, name = os.path.split(os.path.normcase(path))
    return os.path.basename(folder), name


def native_call() -> Values:
    """Make the first native call, and return its results by name. ``version`` must be one of them.

    ``source`` names the copy of its libraries that the package loaded, if the package reports it.
    ``lacking`` are the functions that the package declares and its libraries do not export.

    Raises:
        TypeError: the subject's function returned no version.
    """
    value = _mapping("native_call", module_of("calls").native_call())
    if value is None or "version" not in value:
        raise TypeError("native_call of the subject returned no version")
    source, lacking = value.get("source"), value.get("lacking")
    return {
        "version": value["version"],
        "source": None if source is None else str(source),
        "lacking": list(map(str, lacking)) if isinstance(lacking, (list, tuple)) else [],
    }


def round_trip() -> Optional[Values]:
    """Write and read data as a user does. Return the values that the package returned.

    If the subject has tables, their values are in the instructions: the host chose them. The
    package must store them in the file data.db. ``returned`` are the tables as the package returned
    them. ``not_offered`` names what this release cannot do. Without tables, the result is None.

    Raises:
        TypeError: the subject's function returned nothing, although there are tables.
    """
    tables = plan().get("tables")
    action = module_of("calls").round_trip
    value = _mapping("round_trip", action() if tables is None else action(tables))
    if tables is None:
        return None  # the subject reports a fault only by an exception
    if value is None:
        raise TypeError("round_trip of the subject returned nothing")
    return {"returned": value["returned"], "not_offered": value.get("not_offered", [])}


class ClosedFile(TypedDict):
    """The signs that a database is still open after the package closed it."""

    handles: List[str]
    remains: List[str]
    refused: str


def closed_file() -> Optional[ClosedFile]:
    """Rename, read and delete the closed database, and write it again for the host.

    Windows refuses to rename and delete an open file. Linux does not, so on Linux the function
    lists the files that this process has open (proc(5), /proc/pid/fd).
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
    """Return the names of these files that this process has open, also deleted ones; Linux only."""
    names = []
    if sys.platform == "linux":
        for number in os.listdir("/proc/self/fd"):
            try:
                name = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue  # the descriptor of the listing, closed in the meantime
            if name in paths or name in [f"{path} (deleted)" for path in paths]:
                names.append(os.path.basename(name))
    return sorted(names)


class FailingCall(TypedDict):
    """The result of one call that must fail."""

    call: str
    expected: str
    raised: str
    as_expected: bool
    message: str


def failing_calls() -> List[FailingCall]:
    """Make the subject's calls that must fail, and return the exception of each."""
    calls = getattr(module_of("calls"), "failing_calls", None)
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
        except BaseException as error:  # noqa: BLE001  (every exception is evidence)
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
    """Run one of the actions of the scenario, and return its observations."""
    action: Action = getattr(module_of("actions"), name)
    return action()


def code_before_import() -> None:
    """Run the code of the scenario that comes before the import of the package."""
    exec(plan()["prelude"], {})  # noqa: S102  (the scenario's own code)


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


def mapped_when_read() -> List[str]:
    """Let the probe read the libraries in this process, and return them as this process reads them.

    The probe stops all processes of the user meanwhile. On Windows it does not read them.
    """
    if os.path.exists(_REQUEST_FIFO):
        with open(_REQUEST_FIFO, "w", encoding="ascii") as request:
            request.write(str(os.getpid()))
        with open(_REPLY_FIFO, "rb", buffering=0) as reply:
            reply.read(1)
    return mapped()


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
    """The C++ run-time libraries in the process; empty on Linux."""

    loaded: Dict[str, LoadedRuntime]
    linked_by: Dict[str, List[int]]


def run_times() -> RunTimes:
    """Return the machine's C++ run-time libraries in this process, with their versions.

    ``linked_by`` has the linker version of each loaded library of the package.
    """
    if sys.platform != "win32":
        return {}
    home = os.path.dirname(sys.modules[plan()["package"]].__file__ or "").lower()
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
    """Return the four numbers of a file's version resource; an empty list without a resource."""
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


def record_loading(event: str, arguments: Tuple[object, ...]) -> None:
    """Write the path of a library before Python loads it: an audit hook (PEP 578).

    The events are those of extension modules and of ctypes. After a crash, the last line is the
    library that Python loaded last.
    """
    path = None
    if event == "import" and len(arguments) > 1:
        path = arguments[1]  # the file of an extension module; None for other modules
        if isinstance(path, str) and path:
            _BEGUN[str(arguments[0])] = path
    elif event == "ctypes.dlopen":
        path = arguments[0]
    if isinstance(path, str) and path:
        _LOADED.write(f"{path}\n")
        _LOADED.flush()


# ---- what is installed ----


def write_other_modules() -> None:
    """Write the names of the imported modules of Python and of the other distributions.

    Only distributions in the install folder of the package count. The observation reads the names.
    """
    from importlib.metadata import distribution

    installed = distribution(plan()["subject"])
    own = {file.parts[0].partition(".")[0] for file in installed.files or ()}
    folders = (os.path.realpath(str(installed.locate_file(""))), os.path.dirname(os.__file__))
    known = tuple(os.path.join(os.path.realpath(folder), "") for folder in folders)
    names = []
    for name, module in list(sys.modules.items()):
        path = os.path.realpath(str(getattr(module, "__file__", None) or ""))
        if path.startswith(known) and name.partition(".")[0] not in own:
            names.append(name)
    with open(_OTHER_MODULES, "w", encoding="utf-8") as file:
        file.write("\n".join(names))


def import_other_modules() -> None:
    """Import the modules that ``write_other_modules`` recorded, and ignore those that fail."""
    try:
        with open(_OTHER_MODULES, encoding="utf-8") as file:
            names = file.read().split()
    except FileNotFoundError:
        return
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def distributions() -> Dict[str, Dict[str, str]]:
    """Return ``version`` and ``folder`` of each installed distribution, by its name."""
    import importlib.metadata

    return {
        d.metadata["Name"]: {"version": d.version, "folder": str(d.locate_file(""))}
        for d in importlib.metadata.distributions()
    }


class CompilerWarning(TypedDict):
    """A SyntaxWarning about a module of the package."""

    file: str
    line: int
    message: str
    imported: bool


class Record(TypedDict):
    """The comparison of the installed files of the package with its RECORD, and their faults."""

    checked: int
    wrong: List[Dict[str, str]]
    files: List[str]
    unreadable: List[Dict[str, str]]
    warned: List[CompilerWarning]
    scripts: List[Dict[str, str]]
    startup: List[Dict[str, str]]
    tags: List[str]


def record() -> Record:
    """Compare each installed file of the package with its RECORD (PyPA: recording installs)."""
    import base64
    import importlib.metadata

    installed = importlib.metadata.distribution(plan()["subject"])
    files = recorded_files(installed)
    lines = (installed.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
    value: Record = {
        "checked": 0,
        "wrong": [],
        "files": [os.path.normpath(str(file.locate())) for file in files],
        "unreadable": [],
        "warned": [],
        "scripts": [],
        "startup": [],
        "tags": tags,
    }
    value["scripts"] = missing_interpreters(value["files"])
    value["startup"] = startup_code(value["files"])
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    imported = {os.path.normpath(path) for path in loaded if path}
    for file in files:
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
                warned = compiler_warnings(content, str(file))
            except (SyntaxError, ValueError) as error:
                value["unreadable"].append({"file": str(file), "observed": str(error)})
            else:
                is_imported = os.path.normpath(str(file.locate())) in imported
                value["warned"] += [{**warning, "imported": is_imported} for warning in warned]
        digest = hashlib.new(file.hash.mode, content).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            value["wrong"].append({"file": str(file), "observed": "other content"})
    return value


def recorded_files(installed: Distribution) -> List[PackagePath]:
    """Return the files of RECORD, also those that do not exist.

    ``Distribution.files`` leaves out files that do not exist since CPython 3.12.
    """
    import csv
    import importlib.metadata
    import io

    text = installed.read_text("RECORD")
    if text is None:
        return list(installed.files or ())
    files = []
    for row in csv.reader(io.StringIO(text, newline="")):
        if row:
            file = importlib.metadata.PackagePath(row[0])
            digest = row[1] if len(row) > 1 else ""
            file.hash = importlib.metadata.FileHash(digest) if digest else None
            file.dist = installed
            files.append(file)
    return files


def compiler_warnings(content: bytes, name: str) -> List[CompilerWarning]:
    """Return the SyntaxWarnings about a module.

    Raises:
        SyntaxError, ValueError: this Python cannot compile the module.
    """
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SyntaxWarning)
        compile(content, name, "exec", dont_inherit=True)
    return [
        {"file": name, "line": w.lineno, "message": str(w.message)[:200], "imported": False}
        for w in caught
        if issubclass(w.category, SyntaxWarning)
    ]


def missing_interpreters(files: Sequence[str]) -> List[Dict[str, str]]:
    """Return the commands whose first line names a program that does not exist; Linux only.

    The kernel does not start such a command (execve(2)). ``observed`` is the program.
    """
    faults: List[Dict[str, str]] = []
    for path in files if sys.platform == "linux" else ():
        if os.path.basename(os.path.dirname(path)) != "bin" or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            line = file.readline(256)
        words = line[2:].split() if line.startswith(b"#!") else []
        if words and words[0].startswith(b"/") and not os.path.exists(words[0]):
            faults.append({"file": path, "observed": os.fsdecode(words[0])})
    return faults


# `site` opens a .pth file, then it executes lines of it. It imports the two modules after that.
_RECORD_STARTUP = r"""
import json, sys
first_lines, executed, opened = json.loads(sys.argv[1]), {}, [""]
def record(event, arguments):
    if event == "open":
        opened[0] = str(arguments[0]) if str(arguments[0]) in first_lines else opened[0]
    elif event == "exec":
        source = arguments[0].co_filename
        path = opened[0] if source == "<string>" else source
        if path in first_lines:
            executed.setdefault(path, first_lines[path])
sys.addaudithook(record)
import site
site.main()
print("\nexecuted: " + json.dumps(executed))
"""


def startup_code(files: Sequence[str]) -> List[Dict[str, str]]:
    """Return the code of these files that Python executes when it starts (CPython, `site`).

    ``observed`` is the first line of code. A process starts only if a file can have such code.
    """
    import subprocess

    first_lines: Dict[str, str] = {}
    for path in files:
        if os.path.basename(path) in ("sitecustomize.py", "usercustomize.py"):
            first_lines[path] = f"import {os.path.basename(path)[:-3]}"
        elif path.endswith(".pth") and os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                code = [line.strip() for line in file if line.startswith(("import ", "import\t"))]
            first_lines.update({path: code[0]} if code else {})
    if not first_lines:
        return []
    child = subprocess.run(
        [sys.executable, "-S", "-c", _RECORD_STARTUP, _dumps(first_lines)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=30,
    )
    lines = child.stdout.decode("utf-8", "replace").splitlines()
    start = "executed: "
    reported = [line[len(start) :] for line in lines if line.startswith(start)]
    executed: Dict[str, str] = json.loads(reported[-1]) if reported else {}
    return [{"file": path, "observed": code} for path, code in executed.items()]


def entry_points() -> List[Dict[str, str]]:
    """Load the entry points of the package; return those that cannot be loaded.

    Each has a ``name`` and a ``value``; ``observed`` is the reason.

    Entry points that need an extra (PyPA: entry points) are skipped. The script of a command calls
    its entry point, so this must be callable.
    """
    import importlib.metadata

    faults = []
    for entry in importlib.metadata.distribution(plan()["subject"]).entry_points:
        if not entry.extras:
            fault = ""
            try:
                loaded = entry.load()
            except BaseException as error:  # noqa: BLE001  (every exception is evidence)
                fault = f"{type(error).__name__}: {error}"
            else:
                if entry.group in ("console_scripts", "gui_scripts") and not callable(loaded):
                    fault = f"a {type(loaded).__name__} is not callable"
            if fault:
                names = {"name": entry.name, "group": entry.group, "value": entry.value}
                faults.append({**names, "observed": fault})
    return faults


# ---- the process ----


def changes_since(
    before: Dict[str, Dict[str, str]],
) -> Dict[str, List[Dict[str, Optional[str]]]]:
    """Return what changed since the state ``before``, and end a part of the output."""
    changes = module_of("state").changes(before)
    end_output_part()
    return {"changes": changes}


def end_output_part() -> None:
    """End a part of what native code writes to both streams of the process."""
    module_of("state").flush_native()
    for number in (1, 2):
        with contextlib.suppress(OSError):  # the package closed it, which is a change of its own
            os.write(number, _PART_END)


# ---- other hosts ----


def record_contact(event: str, arguments: Tuple[object, ...]) -> None:
    """Record the host that Python code looks up or contacts: an audit hook (PEP 578)."""
    how = _CONTACTS.get(event)
    if how is None:
        return
    host, port = arguments[0], arguments[1] if len(arguments) > 1 else None
    if how != "lookup":
        # A datagram socket only stores the address when it connects.
        if how == "connection" and getattr(host, "type", 0) & 0xF == _DATAGRAM:
            return
        address = arguments[1]
        if not isinstance(address, tuple) or len(address) < 2:
            return  # a socket of this machine, such as AF_UNIX
        host, port = address[:2]
    if isinstance(host, (str, bytes)):
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        contact: Contact = {
            "step": _current[0],
            "how": how,
            "host": name,
            "port": "" if port is None else str(port),
        }
        if contact not in _contacts and len(_contacts) < _MAX_CONTACTS:
            _contacts.append(contact)


def contacts() -> List[Contact]:
    """Return the recorded contacts, without those with this machine."""
    if not _contacts:
        return []
    import ipaddress
    import socket

    own = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}
    values = []
    for contact in _contacts:
        host = contact["host"].lower().rstrip(".")
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
            is_own = contact["how"] == "lookup" or address.is_loopback or address.is_unspecified
        except ValueError:
            is_own = host in own
        if not is_own:
            values.append(contact)
    return values


# ---- all steps ----


def steps() -> None:
    """Run the steps in the order of a user. A failed step does not stop the later ones."""
    written = module_of("files")
    written.record()
    if plan().get("prelude"):
        step("prelude", code_before_import)
    state = module_of("state")
    before = state.basic()
    step("import", import_package)
    step("native-call", native_call)
    step("run-times", run_times)
    step("round-trip", round_trip)
    step("closed-file", closed_file)
    step("failing-calls", failing_calls)
    step("process-state", functools.partial(state.changed_basic, before))
    step("mapped", mapped_when_read)
    step("distributions", distributions)
    step("record", record)
    step("entry-points", entry_points)
    for name in plan().get("uses", []):
        step(name, functools.partial(use, name))
    step("written-files", written.paths)
    step("contacts", contacts)
    with contextlib.suppress(Exception):  # the package is not installed, or its metadata is damaged
        write_other_modules()


def observed_steps() -> None:
    """Import the package and make the first native call, and record what each of the two changes.

    Modules of other packages are imported before, so that their changes do not count: they are the
    value of the step ``process-state``. The streams of Python write to a file, so that only native
    code writes to the streams of the process.
    """
    written = module_of("files")
    written.record()
    state = module_of("state")
    before_others = state.basic()
    import_other_modules()
    step("process-state", functools.partial(state.changed_basic, before_others))
    printed = open(os.path.join(_DATA, "printed.txt"), "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = printed  # type: ignore[misc]
    before = state.whole()
    end_output_part()
    step("import", import_package)
    step("import-effects", functools.partial(changes_since, before))
    before = state.whole()
    step("native-call", native_call)
    step("call-effects", functools.partial(changes_since, before))
    step("written-files", written.paths)


def main() -> None:
    """Run the steps within the time limit, in the main thread or in another one."""
    atexit.register(_exited, os.getpid())  # before all other functions, so it runs after them
    sys.addaudithook(record_loading)
    if _IS_OBSERVATION:
        run_steps = observed_steps
    else:
        run_steps = steps
        faulthandler.enable(file=_TRACE, all_threads=True)
        sys.addaudithook(record_contact)
    limit = plan()["seconds"]["exercise"]
    faulthandler.dump_traceback_later(limit, exit=True, file=_TRACE)
    if plan().get("in_thread"):
        import threading

        thread = threading.Thread(target=run_steps)
        thread.start()
        thread.join()
    else:
        run_steps()
    faulthandler.cancel_dump_traceback_later()
    step("end", end)
    _write({"step": "exit", "begun": True})


def _exited(process: int) -> None:
    """Record that all functions that run at the exit of the interpreter have ended (atexit)."""
    if os.getpid() == process:  # a fork runs these functions as well
        _write({"step": "exit", "ok": True})


def end() -> Values:
    """Return what is known about the interpreter at the end."""
    return {
        "python": sys.version.split()[0],
        "path": sys.path,
        "start_seconds": round(_START_SECONDS, 4),
    }


main()
