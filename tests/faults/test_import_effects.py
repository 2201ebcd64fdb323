"""Effects that the import and the first native call have on the process, its streams and hosts.

The packages of these tests can be installed, used and removed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.faults import edits
from tests.faults.cell_runs import has_facts
from tests.faults.conftest import Judge, JudgedWheel
from tests.helpers import wheel_builder as wheels
from verification.models.cause import Cause

pytestmark = pytest.mark.recorded

LIBRARY = "quiverdb/_libs/libextra.so"
LOAD_AT_IMPORT = (
    b"import ctypes\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '_libs', 'libextra.so'))\n"
)
LOAD_AT_FIRST_USE = b"    import ctypes\n    ctypes.CDLL(str(_LIBS_DIR / 'libextra.so'))\n"

CHANGES = b"""
import asyncio, builtins, faulthandler, gc, logging, multiprocessing, signal, socket, threading
import time, warnings
os.environ['TZ'] = 'XYZ-3'
logging.basicConfig(level=logging.DEBUG)
sys.path.insert(0, os.path.dirname(__file__))
warnings.simplefilter('ignore')
socket.setdefaulttimeout(30)
sys.excepthook = lambda *_: None
threading.excepthook = lambda *_: None
sys.setrecursionlimit(5000)
sys.setswitchinterval(0.5)
multiprocessing.set_start_method('spawn')
gc.disable()
builtins.gettext = str
faulthandler.enable()
"""
CHANGED = {
    "environment variable TZ",
    "root log handler logging.StreamHandler",
    "level of the root logger",
    "warning filter ignore Warning",
    "default timeout of sockets",
    "sys.excepthook",
    "threading.excepthook",
    "recursion limit",
    "switch interval",
    "garbage collection",
    "builtin gettext",
    "faulthandler",
}
"""What these changes are called on every system."""

HARMLESS = b"""
import logging, socket, warnings
os.environ.setdefault('QUIVERDB_CACHE', 'off')
logging.getLogger(__name__).addHandler(logging.NullHandler())
warnings.filterwarnings('ignore', message='quiverdb is new')
class QuiverWarning(UserWarning): pass
warnings.simplefilter('always', QuiverWarning)
warnings.warn('quiverdb is old', QuiverWarning)
socket.getaddrinfo(socket.gethostname(), None)
"""


def _changed(cause: Cause) -> set[str]:
    return set(cast("tuple[str, ...]", cause.facts["changed"]))


def _causes(judged: JudgedWheel, name: str, severity: str = "flawed") -> list[Cause]:
    return [c for c in judged.dynamic if (c.name, c.severity) == (name, severity)]


def test_changes_of_the_process_at_import_are_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    code = CHANGES + b"time.tzset()\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
    judged = judge(wheels.mutate(good_wheel, tmp_path, **edits.added(code)))

    assert judged.names == {"process-changed"}
    (cause,) = _causes(judged, "process-changed")
    more = {"time zone", "handler of SIGUSR1", "start method of multiprocessing"}
    assert CHANGED | more <= _changed(cause)
    assert any(name.startswith("import path ") for name in _changed(cause))
    assert cause.where.endswith(": import")


def test_changes_of_the_process_at_import_are_reported_on_windows(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path
) -> None:
    code = CHANGES + (
        b"import ctypes\n"
        b"ctypes.windll.kernel32.SetEnvironmentVariableW('LC_ALL', 'C')\n"
        b"asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())\n"
        b"ctypes.CDLL('ucrtbase').puts(b'Welcome')\n"
        b"try: socket.getaddrinfo('updates.example', 443)\nexcept OSError: pass\n"
    )
    judged = windows_judge(wheels.mutate(good_windows_wheel, tmp_path, **edits.added(code)))

    assert judged.names == {"process-changed", "output-at-import", "network-used"}
    (cause,) = _causes(judged, "process-changed")
    native = {"native environment variable LC_ALL", "event loop policy of asyncio"}
    assert CHANGED | native <= _changed(cause)
    (output,) = _causes(judged, "output-at-import")
    assert has_facts(output, line="Welcome", writer="native code")
    (network,) = _causes(judged, "network-used")
    assert has_facts(network, host="updates.example")


def test_harmless_changes_at_import_are_no_fault(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, **edits.added(HARMLESS)))
    assert [str(cause) for cause in judged.dynamic] == []


NATIVE = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) {
    setenv("TZ", "XYZ-3", 1);
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
    printf("libextra 1.0\\n");
    if (write(2, "no licence\\n", 11)) {}
}
"""


def _loading(library: bytes, good_wheel: Path, folder: Path) -> Path:
    """Return a wheel that loads one more library at import."""
    changes = edits.added(LOAD_AT_IMPORT)
    return wheels.mutate(good_wheel, folder, add={LIBRARY: library}, **changes)


def test_effects_of_native_code_at_load_are_reported(
    judge: Judge, compile_library: Callable[[str], bytes], good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(_loading(compile_library(NATIVE), good_wheel, tmp_path))

    # Subnormal numbers, which the smoke test writes, have become zero.
    assert judged.names == {"process-changed", "output-at-import", "round-trip-failed"}
    (output,) = _causes(judged, "output-at-import")
    assert has_facts(output, line="libextra 1.0", writer="native code")
    (cause,) = _causes(judged, "process-changed")
    assert _changed(cause) == {
        "half of the smallest normal number",
        "native environment variable TZ",
    }


def test_output_of_native_code_at_the_first_call_is_reported(
    judge: Judge, compile_library: Callable[[str], bytes], good_wheel: Path, tmp_path: Path
) -> None:
    code = '#include <stdio.h>\n__attribute__((constructor)) static void f(void) { puts("hi"); }\n'
    library = {LIBRARY: compile_library(code)}
    changes = edits.at_first_use(LOAD_AT_FIRST_USE + b"    print('of Python')\n")
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=library, **changes))

    assert judged.names == {"output-at-call"}
    assert has_facts(judged.dynamic[0], line="hi", stream="standard output")


def test_slow_import_is_reported(judge: Judge, good_wheel: Path, tmp_path: Path) -> None:
    changes = edits.added(b"import time; time.sleep(8)")
    judged = judge(wheels.mutate(good_wheel, tmp_path, **changes))

    assert judged.names == {"slow-import"}
    assert cast("float", judged.dynamic[0].facts["seconds"]) >= 8


@pytest.mark.parametrize(
    ("code", "host", "port"),
    [
        (b"socket.getaddrinfo('updates.example', 443)", "updates.example", "443"),
        (b"socket.create_connection(('192.0.2.1', 443), 1)", "192.0.2.1", "443"),
    ],
    ids=["lookup", "connection"],
)
def test_contact_with_another_host_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, code: bytes, host: str, port: str
) -> None:
    contact = b"import socket\ntry: " + code + b"\nexcept OSError: pass\n"
    at_import = judge(wheels.mutate(good_wheel, tmp_path, **edits.added(contact)))

    assert at_import.names == {"network-used"}
    (cause,) = _causes(at_import, "network-used")
    assert has_facts(cause, host=host, port=port)
    assert cause.where.endswith(": import")


def test_contact_with_another_host_at_the_first_call_is_reported_there(
    judge: Judge, good_wheel: Path, tmp_path: Path
) -> None:
    contact = (
        b"    import socket\n"
        b"    try: socket.getaddrinfo('updates.example', 443)\n"
        b"    except OSError: pass\n"
    )
    judged = judge(wheels.mutate(good_wheel, tmp_path, **edits.at_first_use(contact)))

    assert judged.names == {"network-used"}
    assert judged.dynamic[0].where.endswith(": native-call")


NATIVE_LOOKUP = """
#include <netdb.h>
__attribute__((constructor)) static void begin(void) {
    struct addrinfo *found;
    if (getaddrinfo("updates.example", "443", 0, &found)) return;
}
"""


def test_lookup_of_native_code_at_load_is_a_note(
    judge: Judge, compile_library: Callable[[str], bytes], good_wheel: Path, tmp_path: Path
) -> None:
    judged = judge(_loading(compile_library(NATIVE_LOOKUP), good_wheel, tmp_path))

    assert judged.names == {"network-used"}
    assert _causes(judged, "network-used", "note")


NATIVE_CONNECTION = """
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
__attribute__((constructor)) static void begin(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(443)};
    inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
    int number = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(number, (struct sockaddr *)&address, sizeof address)) return;
}
"""


def test_connection_of_native_code_at_the_first_call_is_a_note(
    judge: Judge, compile_library: Callable[[str], bytes], good_wheel: Path, tmp_path: Path
) -> None:
    library = {LIBRARY: compile_library(NATIVE_CONNECTION)}
    changes = edits.at_first_use(LOAD_AT_FIRST_USE)
    judged = judge(wheels.mutate(good_wheel, tmp_path, add=library, **changes))

    assert judged.names == {"network-used"}
    (cause,) = _causes(judged, "network-used", "note")
    assert cause.where.endswith(": native-call")
