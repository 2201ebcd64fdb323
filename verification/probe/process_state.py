"""Read the state of this process that a package must not change.

Standard library only, any CPython from 3.8. A module that the process has not imported has its
default state: this file imports no module that a package can depend on.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import locale
import os
import signal
import sys
import time
import types
import warnings
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

State = Dict[str, Dict[str, str]]
"""The values by kind and name."""
Change = Dict[str, Optional[str]]
"""The ``kind`` and ``name`` of a value, its ``old`` and its ``new`` text; None if it is missing."""

_INITIAL_PATH = tuple(sys.path)
_TEXT_CHARACTERS = 4000
_PROCESS = "process"


# ---- what native code and Python can change ----


def basic() -> Dict[str, str]:
    """Return the part of the state that is fast to read: values by name."""
    mask = os.umask(0)
    os.umask(mask)
    state = {
        "current folder": os.getcwd(),
        "umask": oct(mask),
        "locale": locale.setlocale(locale.LC_ALL),
        # A library linked with -ffast-math makes subnormal numbers zero in the whole process.
        "half of the smallest normal number": repr(sys.float_info.min / 2),
        "rounding": _rounding(),
    }
    if hasattr(sys, "_is_gil_enabled"):  # CPython 3.13 and later
        state["GIL"] = "enabled" if sys._is_gil_enabled() else "disabled"
    for number in (signal.SIGINT, signal.SIGTERM):
        state[f"handler of {number.name}"] = _text_of(signal.getsignal(number))
    if sys.platform == "linux":  # Python does not know handlers set by native code: proc(5), status
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = (line.split(":") for line in file if line.startswith(("SigIgn", "SigCgt")))
            names = {"SigIgn": "signals ignored", "SigCgt": "signals handled"}
            state.update((names[name], mask.strip()) for name, mask in lines)
    return state


def _rounding() -> str:
    """Return the rounding mode of floating-point numbers (C standard, FLT_ROUNDS)."""
    # The compiler computes expressions of constants, so these are no constants.
    one, small = float(len("1")), sys.float_info.epsilon / 4
    up, down = one + small > one, -one - small < -one
    if up or down:
        return "upward" if up else "downward"
    return "to nearest" if one + 3 * small > one else "toward zero"


def changed_basic(before: Mapping[str, str]) -> Dict[str, Tuple[str, str]]:
    """Return what changed since the state ``before``: the old and the new value by name."""
    after = basic()
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


# ---- the whole state ----


def whole() -> State:
    """Return the whole state."""
    return {
        _PROCESS: {**basic(), **_process()},
        "environment variable": dict(os.environ),
        "native environment variable": _native_environment(),
        "import path": _import_path(),
        "warning filter": _warning_filters(),
        "root log handler": _root_handlers(),
        "builtin": {n: _text_of(v) for n, v in vars(builtins).items() if n != "_"},
    }


def changes(before: State) -> List[Change]:
    """Return what changed since the state ``before``."""
    return [
        {"kind": kind, "name": name, "old": old, "new": new}
        for kind, values in whole().items()
        for name, old, new in _differences(before[kind], values)
    ]


def _differences(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Tuple[str, Optional[str], Optional[str]]]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, old and old[:_TEXT_CHARACTERS], new and new[:_TEXT_CHARACTERS]


def _process() -> Dict[str, str]:
    state = {
        "time zone": f"{time.tzname[0]} {time.timezone}",
        "recursion limit": str(sys.getrecursionlimit()),
        "switch interval": str(sys.getswitchinterval()),
        "sys.excepthook": _text_of(sys.excepthook),
        "sys.unraisablehook": _text_of(sys.unraisablehook),
        "sys.displayhook": _text_of(sys.displayhook),
        "sys.stdout": _stream(sys.stdout),
        "sys.stderr": _stream(sys.stderr),
        "trace function": _text_of(sys.gettrace()),
        "profile function": _text_of(sys.getprofile()),
        "warnings.showwarning": _text_of(warnings.showwarning),
        "garbage collection": "enabled" if gc.isenabled() else "disabled",
        "garbage collection threshold": str(gc.get_threshold()),
    }
    state.update((name, _module_value(*where)) for name, where in _MODULE_VALUES.items())
    for number in signal.valid_signals():
        name = getattr(number, "name", f"signal {int(number)}")
        with contextlib.suppress(ValueError, OSError):
            state[f"handler of {name}"] = _text_of(signal.getsignal(number))
    if sys.platform == "linux":
        state["processors"] = str(sorted(os.sched_getaffinity(0)))
        state.update((f"file of descriptor {number}", _file_of(number)) for number in range(3))
    return state


def _file_of(descriptor: int) -> str:
    """Return the name of an open file, or of a pipe with its number (proc(5), /proc/pid/fd)."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return "closed"


def _module_value(module: str, read: Callable[[types.ModuleType], object], default: str) -> str:
    """Return a value of a module as text, or its default if the process has not imported it."""
    imported = sys.modules.get(module)
    if imported is None:
        return default
    try:
        return str(read(imported))
    except AttributeError:  # another release of Python, or a module that is imported right now
        return default


_MODULE_VALUES: Dict[str, Tuple[str, Callable[..., object], str]] = {
    "threading.excepthook": (
        "threading", lambda m: _text_of(m.excepthook), "_thread._excepthook"),
    "default timeout of sockets": ("socket", lambda m: m.getdefaulttimeout(), "None"),
    "socket.socket": ("socket", lambda m: _text_of(m.socket), "socket.socket"),
    "certificate check of https": (
        "ssl", lambda m: _text_of(m._create_default_https_context), "ssl.create_default_context"),
    "start method of multiprocessing": (
        "multiprocessing", lambda m: _start_method(m), "default"),
    "event loop policy of asyncio": ("asyncio.events", lambda m: _loop_policy(m), "default"),
    "faulthandler": ("faulthandler", lambda m: m.is_enabled(), "False"),
    "context of decimal": (
        "decimal", lambda m: f"{m.getcontext().prec} {m.getcontext().rounding}",
        "28 ROUND_HALF_EVEN"),
    "level of the root logger": ("logging", lambda m: m.getLevelName(m.root.level), "WARNING"),
    "disabled log levels": ("logging", lambda m: m.root.manager.disable, "0"),
    "class of loggers": ("logging", lambda m: _text_of(m.getLoggerClass()), "logging.Logger"),
}  # fmt: skip
"""By name: a module, the function that reads its value, and the value after its import."""
_DEFAULT_POLICIES = (
    *("_UnixDefaultEventLoopPolicy", "WindowsProactorEventLoopPolicy"),
    *("_DefaultEventLoopPolicy", "_WindowsProactorEventLoopPolicy"),
)
"""The classes that asyncio itself uses, on Linux and Windows (asyncio/*_events.py)."""


def _start_method(multiprocessing: Any) -> str:
    # A lock or a process that is made without a context chooses the default.
    method = multiprocessing.get_start_method(allow_none=True)
    default = multiprocessing.context._default_context._default_context._name
    return "default" if method in (None, default) else str(method)


def _loop_policy(events: Any) -> str:
    policy = events._event_loop_policy  # a loop that is made without a policy chooses the default
    is_default = policy is None or type(policy).__qualname__ in _DEFAULT_POLICIES
    return "default" if is_default else _type_of(policy)


def _root_handlers() -> Dict[str, str]:
    logging = sys.modules.get("logging")
    handlers = logging.root.handlers if logging else []
    names = [_type_of(handler) for handler in handlers]
    return {name: str(names.count(name)) for name in names}


def _import_path() -> Dict[str, str]:
    """Return the new entries of ``sys.path``, and whether they come before a former one."""
    last = max((i for i, entry in enumerate(sys.path) if entry in _INITIAL_PATH), default=-1)
    path = {str(entry): "" for entry in _INITIAL_PATH if entry in sys.path}
    for number, entry in enumerate(sys.path):
        if entry not in _INITIAL_PATH:
            path[str(entry)] = "first" if number < last else "last"
    return path


def _warning_filters() -> Dict[str, str]:
    """Return the filters by action, category, message and module.

    The value is ``all`` for a filter that holds for every message and module, else ``some``.
    """
    filters = {}
    for action, message, category, module, line in warnings.filters:
        kind = category.__qualname__
        if category.__module__ != "builtins":
            kind = f"{category.__module__}.{kind}"
        limits = [f"{pattern}" for pattern in map(_pattern, (message, module)) if pattern]
        limits += [str(line)] if line else []
        filters[" ".join((str(action), kind, *limits))] = "some" if limits else "all"
    return filters


def _pattern(value: object) -> str:
    return str(getattr(value, "pattern", value) or "")


def _native_environment() -> Dict[str, str]:
    """Return the environment variables of the process that differ from ``os.environ``."""
    try:
        native = dict(_native_variables())
    except ImportError:  # a Python without ctypes
        return {}
    names = {*native, *os.environ}
    return {
        name: native.get(name, "(not set)")
        for name in names
        if native.get(name) != os.environ.get(name)
    }


def _native_variables() -> Iterator[Tuple[str, str]]:
    """Yield the variables of the C library (environ(7)), or of Windows (GetEnvironmentStringsW)."""
    import ctypes

    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetEnvironmentStringsW.restype = ctypes.c_void_p
        kernel.FreeEnvironmentStringsW.argtypes = [ctypes.c_void_p]
        block = position = kernel.GetEnvironmentStringsW()
        while line := ctypes.wstring_at(position):
            position += 2 * (len(line) + 1)
            if not line.startswith("="):  # the current folders of the drives
                name, _, value = line.partition("=")
                yield name.upper(), value
        kernel.FreeEnvironmentStringsW(block)
        return
    lines = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    number = 0
    # A process without variables can have no list.
    while lines and (entry := lines[number]) is not None:  # type: ignore[truthy-bool]
        variable, _, content = os.fsdecode(entry).partition("=")
        yield variable, content
        number += 1


# ---- output of native code ----


def flush_native() -> None:
    """Write out what native code has printed and the C library still has in its buffers."""
    try:
        import ctypes
    except ImportError:
        return

    names: Tuple[Optional[str], ...] = (None,)
    if sys.platform == "win32":
        names = ("ucrtbase", "msvcrt")
    for name in names:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(name).fflush(None)


# ---- values as text ----


def _text_of(value: object) -> str:
    """Return the full name of a function or class, the text of a number, or else the type."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(value, '__module__', None) or 'builtins'}.{name}"
    if value is None or isinstance(value, (bool, int)):
        return str(value)
    return _type_of(value)


def _type_of(value: object) -> str:
    kind = type(value)
    return "None" if value is None else f"{kind.__module__}.{kind.__qualname__}"


def _stream(stream: object) -> str:
    settings = (getattr(stream, name, None) for name in ("encoding", "errors"))
    words = [_type_of(stream), *map(str, settings)]
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream without a file
            words.append(_file_of(stream.fileno()))  # type: ignore[attr-defined]
    return " ".join(words)
