"""Sample evidence of a cell that works, and functions that change it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from verification.models.evidence import EVIDENCE_SCHEMA, CellEvidence, TestOutcome, parse_evidence

SITE = "/home/user/venv/lib/python3.13/site-packages"
PACKAGE = f"{SITE}/quiverdb"
LIBS = f"{PACKAGE}/_libs"
CORE, API = f"{LIBS}/libquiver.so", f"{LIBS}/libquiver_c.so"
CFFI = f"{SITE}/cffi/api.py"
WINDOWS_SITE = "C:\\users\\user\\AppData\\Local\\Programs\\Python\\Python313\\Lib\\site-packages"
DLL = f"{WINDOWS_SITE}\\quiverdb\\_libs\\libquiver_c.dll"
WHEEL = "quiverdb-1.2.0-cp313-cp313-manylinux_2_28_x86_64.whl"
CELL = "debian-13-pip-venv"
FILES = [
    f"{PACKAGE}/__init__.py",
    f"{PACKAGE}/_loader.py",
    CORE,
    API,
    f"{SITE}/quiverdb-1.2.0.dist-info/RECORD",
]

Fields = dict[str, Any]
Change = Callable[[Fields], object]


def command_run(*command: str, **changes: Any) -> Fields:
    """Return a command that ended with exit code 0."""
    return {
        "command": list(command),
        "code": 0,
        "stdout": "",
        "stderr": "",
        "began": 1000.0,
        "seconds": 1.0,
        "timed_out": False,
        "stalled": 0.0,
    } | changes


def step(name: str, value: object = None) -> Fields:
    """Return a step that passed."""
    return {"step": name, "ok": True, "value": value, "error": None, "seconds": 0.1}


def failed_step(name: str, message: str, kind: str = "OSError") -> Fields:
    """Return a step that raised an exception."""
    error = {"type": kind, "message": message, "number": None, "trace": ""}
    return {"step": name, "ok": False, "value": None, "error": error, "seconds": 0.1}


def request(path: str, file: str = "", digest: str = "", **changes: Any) -> Fields:
    """Return a request that the index answered with 200."""
    line = {
        "time": "2026-03-01T10:00:00.000+00:00",
        "client": "172.18.0.3",
        "method": "GET",
        "host": "index.example",
        "path": path,
        "user_agent": "pip/26.0",
        "status": 200,
        "bytes": 4096,
        "complete": True,
        "seconds": 0.01,
    }
    return line | ({"file": file, "sha256": digest} if file else {}) | changes


def no_changes() -> Fields:
    """Return the difference between two equal snapshots."""
    return {"added": [], "removed": [], "changed": []}


def own_tests(**changes: Any) -> Fields:
    """Return a run of the package's own tests in which three tests passed."""
    counts = dict.fromkeys(map(str, TestOutcome), 0) | {"passed": 3}
    return (
        command_run("python", "-m", "pytest", "tests")
        | {
            "tool": command_run("pip", "install", "pytest"),
            "trace": "",
            "pytest": "9.2.0",
            "collected": 3,
            "internal": "",
            "end": {"code": 0, "file": FILES[0], "imported": True},
            "counts": counts,
            "begun": 3,
            "within": "",
            "failures": [],
            "left_out": [],
            "sha256": "d" * 64,
        }
        | changes
    )


def plant() -> Fields:
    """Return the columns and rows of the table Plant that the host chose."""
    return {"columns": ["id", "units"], "rows": [[1, 20], [2, None]]}


def failing_call(**changes: Any) -> Fields:
    """Return a call that failed with the expected error."""
    return {
        "call": "read a missing element",
        "expected": "QuiverError",
        "raised": "QuiverError",
        "as_expected": True,
        "message": "the element does not exist",
    } | changes


def healthy() -> Fields:
    """Return the evidence of a cell that works, as JSON data."""
    steps = [
        step("import", {"file": FILES[0], "folder": PACKAGE, "version": None}),
        step("native-call", {"version": "1.2.0", "source": "bundled", "lacking": []}),
        step("run-times", {}),
        step(
            "round-trip",
            {"returned": {"Plant": plant()}, "not_offered": []},
        ),
        step("closed-file", {"handles": [], "remains": [], "refused": ""}),
        step("failing-calls", [failing_call()]),
        step("process-state", {}),
        step("mapped", [CORE, API, "/usr/lib/libc.so.6"]),
        step(
            "distributions",
            {
                "quiverdb": {"version": "1.2.0", "folder": SITE},
                "cffi": {"version": "2.0.0", "folder": SITE},
                "pip": {"version": "25.0", "folder": SITE},
            },
        ),
        step("record", {"checked": 3, "wrong": [], "files": FILES, "unreadable": [], "tags": []}),
        step("entry-points", []),
        step("contacts", []),
        step("end", {"python": "3.13.5", "path": [""], "start_seconds": 0.04}),
    ]
    observed = [
        *(step(name, {"changes": []}) for name in ("import-effects", "call-effects")),
        step("end", {"python": "3.13.5", "path": [""]}),
    ]
    return {
        "schema": EVIDENCE_SCHEMA,
        "cell": {
            "id": CELL,
            "machine": "debian-13",
            "installer": "pip",
            "scenario": "venv",
            "refuses": "",
            "processor": "",
        },
        "image": {"tag": "quiverdb-e2e/debian-13:0123456789ab", "id": "sha256:1", "created": "x"},
        "started": "2026-03-01T09:59:59.000+00:00",
        "wall_seconds": 4.0,
        "python": "3.13.5",
        "abiflags": "",
        "implementation": "cpython",
        "libc": ["glibc", "2.41"],
        "machine": "x86_64",
        "processor": "A processor",
        "system": "Linux-6-x86_64",
        "os": "linux",
        "env": {"HOME": "/home/user"},
        "network": {"default_routes": []},
        "processes_before": [],
        "seconds": {"first-look": 0.1, "all": 3.5},
        "setup": [],
        "first": [],
        "install": command_run("/home/user/venv/bin/pip", "install", "quiverdb"),
        "installed": no_changes()
        | {"added": [*FILES, PACKAGE, LIBS, f"{SITE}/quiverdb-1.2.0.dist-info", CFFI]},
        "after_install": [],
        "import": command_run("python", "-c", "import quiverdb", made=[], sent={}),
        "exercise": command_run("python", "-c", "...")
        | {"trace": "", "steps": {fields["step"]: fields for fields in steps}},
        "observation": command_run("python", "-c", "...", stdout="\x1e" * 3, stderr="\x1e" * 3)
        | {"trace": "", "steps": {fields["step"]: fields for fields in observed}},
        "chosen": {"seed": 7, "tables": {"Plant": plant()}},
        "on_disk": {
            "read_by": "SQLite 3.45",
            "tables": {
                "Other": {"columns": ["id"], "rows": []},
                "Plant": {
                    "columns": ["id", "label", "units"],
                    "rows": [[1, "Itaipú", 20], [2, "empty", None]],
                },
            },
        },
        "free_bytes": 10_000_000_000,
        "processes": [],
        "before_uninstall": [],
        "uninstall": command_run("pip", "uninstall", "--yes", "quiverdb"),
        "left": no_changes() | {"added": [CFFI]},
        "since_installed": no_changes(),
        "registry": no_changes(),
        "deviation": "",
        "loader": [],
        "requests": [
            request("/simple/quiverdb/"),
            request(f"/packages/{WHEEL}", WHEEL, "a" * 64),
            request("/simple/cffi/"),
        ],
    }


def on_windows(fields: Fields) -> None:
    """Change the paths and the names of libraries to those of a Windows machine."""
    fields |= _with_windows_paths(fields)
    fields["os"] = "windows"


def _with_windows_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_windows_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_windows_paths(inner) for inner in value]
    if isinstance(value, str) and value.startswith(SITE):
        path = value.replace(SITE, WINDOWS_SITE).replace(".so", ".dll")
        return path.replace("/", "\\")
    return value


def missing_symbol_line(library: str, symbol: str, needed_by: str = "") -> str:
    """Return the line that Wine prints about a symbol that no library exports.

    Without ``needed_by``, a library of the package needs the symbol.
    """
    path = (needed_by or DLL).replace("\\", "\\\\")
    return (
        f'warn:module:import_dll No implementation for {library}.{symbol} imported from L"{path}"'
    )


def evidence(*changes: Change) -> CellEvidence:
    """Return the evidence of a cell that works, with these changes."""
    fields = copy.deepcopy(healthy())
    for change in changes:
        change(fields)
    return parse_evidence(json.dumps(fields), CELL)
