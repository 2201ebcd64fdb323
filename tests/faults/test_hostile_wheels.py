"""Wheels that attack their user, the machine or the suite. Each one gets its exact causes.

An attack that a healthy package resembles has a harmless sibling, which has no cause.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults import edits
from tests.faults.commands import run_to_end
from tests.faults.conftest import Judge
from tests.helpers import sample_run
from tests.helpers import wheel_builder as wheels
from verification.models import printable
from verification.models.errors import ExitCode
from verification.report import terminal, writer
from verification.session.reporting import with_basis

pytestmark = pytest.mark.recorded

Change = Callable[[Path], dict[str, Any]]
"""A function that returns the change of a wheel: the arguments of `wheel_builder.mutate`."""
LIBRARIES = ("quiverdb/_libs/libquiver.so", "quiverdb/_libs/libquiver_c.so")
HANG = {"import": 3, "exercise": 3}
"""Low time limits, in seconds."""

# ---- changes ----


def at_import(code: str) -> Change:
    """Return a change that runs this code at the end of the import."""
    return lambda _: edits.added(code.encode())


def at_first_use(code: str) -> Change:
    """Return a change that runs this code at the first native call."""
    indented = "".join(f"    {line}\n" for line in ("import os, sys", *code.strip().splitlines()))
    return lambda _: edits.at_first_use(indented.encode())


def forged_at_start(module: str, start: str = "") -> Change:
    """Return a change that removes the libraries and forges their use when Python starts.

    ``start`` is the name of a `.pth` file that imports the module.
    """

    def change(wheel: Path) -> dict[str, Any]:
        code = edits.forged_steps(wheel, asks=True, stores=True)
        add: dict[str, bytes] = {f"{module}.py": code}
        if start:
            add[start] = f"import {module}\n".encode()
        return {"remove": LIBRARIES, "add": add}

    return change


def with_script(name: str, script: str) -> Change:
    """Return a change that installs a command."""

    def change(wheel: Path) -> dict[str, Any]:
        folder = edits.dist_info(wheel).replace(".dist-info/", ".data/scripts")
        return {"add": {f"{folder}/{name}": script}}

    return change


def with_file(path: str, content: str) -> Change:
    """Return a change that adds a file to the wheel."""
    return lambda _: {"add": {path: content}}


# ---- attacks ----

# A process in its own session, without the streams of its parent.
DAEMON = """
import signal
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in range(256):
        try:
            os.close(number)
        except OSError:
            pass
    {work}
    os._exit(0)
"""
STAY = DAEMON.format(work="import time; time.sleep(600)")
# The kernel reads the command line of a process from its memory (proc(5), /proc/pid/cmdline).
NAMELESS = """
import ctypes
if os.fork() == 0:
    os.setsid()
    start, end = [int(n) for n in open("/proc/self/stat").read().rpartition(")")[2].split()[45:47]]
    ctypes.memset(start, 0, end - start)
    import time
    time.sleep(600)
    os._exit(0)
"""
REWRITE = DAEMON.format(
    work="""import glob, time
    for _ in range(3000):
        for name in [*glob.glob("/opt/app/data/**/*.jsonl", recursive=True), "data.db"]:
            try:
                with open(name, "r+b") as file:
                    file.write(b"{}\\n" * 40)
            except OSError:
                pass
        time.sleep(0.01)"""
)
WORKER = """
import subprocess
subprocess.run([sys.executable, "-c", "pass"], check=True)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""
KILL_PARENT = """
import signal
for number in (signal.SIGSTOP, signal.SIGKILL):
    os.kill(os.getppid(), number)
"""
KILL_ALL = """
import signal, time
for number in (signal.SIGSTOP, signal.SIGKILL):
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        pass
"""
CLOSED_STREAMS = "for number in (0, 1, 2): os.close(number)"
REOPENED_STREAMS = """
nothing = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(nothing, number)
"""
REPLACED_STREAMS = "sys.stdout = sys.stderr = open(os.devnull, 'w', encoding='utf-8')"
EXIT_IN_HANDLER = "import atexit; atexit.register(os._exit, 0)"
EXIT_IN_HOOK = "sys.excepthook = lambda *_: os._exit(0)"
HARMLESS_HANDLER = "import atexit; atexit.register(os.getpid)"
OWN_FOLDER = "folder = os.path.dirname(os.path.abspath(__file__))\n"
DELETED_FILES = OWN_FOLDER + "import shutil; shutil.rmtree(folder)"
REWRITTEN_FILES = OWN_FOLDER + "open(os.path.join(folder, 'metadata.py'), 'a').write('# new')"
DELETED_RECORD = OWN_FOLDER + (
    "import glob\nfor name in glob.glob(folder + '-*/RECORD'): os.remove(name)"
)
DELETED_PYTHON = """
for name in os.listdir(os.path.join(sys.prefix, 'bin')):
    if name.startswith('python'):
        os.remove(os.path.join(sys.prefix, 'bin', name))
"""
DELETED_PROJECT = "import shutil; shutil.rmtree(os.getcwd(), ignore_errors=True)"
ENDLESS = "while True: pass"
CRASH_AT_EXIT = "import atexit, ctypes; atexit.register(ctypes.string_at, 0)"
ABORT_AT_EXIT = "import atexit; atexit.register(os.abort)"
# A package that reaches the memory of its parent does not pass.
TRACE = """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
for request in (16, 0x4206):
    if library.ptrace(request, os.getppid(), None, None) != -1:
        raise RuntimeError("the parent is traced")
for name in ("mem", "environ", "maps", "fd/1"):
    try:
        open(f"/proc/{os.getppid()}/{name}", "rb").close()
    except PermissionError:
        continue
    raise RuntimeError(f"{name} of the parent is open")
"""
FILES_OF_THE_SUITE = "'question', 'answer', 'steps.jsonl', 'trace.txt', 'loaded.txt'"
PLANTED_LINKS = f"""
open('target', 'a').close()
for name in ({FILES_OF_THE_SUITE}):
    path = os.path.join('/opt/app/data', name)
    if not os.path.lexists(path):
        os.symlink(os.path.abspath('target'), path)
"""
PLANTED_FOLDERS = f"""
for name in ({FILES_OF_THE_SUITE}):
    os.makedirs(os.path.join('/opt/app/data', name), exist_ok=True)
"""
PLANTED_FILE = "open('/opt/app/data/second', 'a').close()"
PLANTED_IN_HOME = """
for name in ('.local', '.cache', '.config'):
    path = os.path.expanduser('~/' + name)
    if not os.path.lexists(path):
        os.symlink('/', path)
"""


class Attack(NamedTuple):
    """A hostile wheel and what the suite must report about it."""

    change: Change
    causes: Mapping[str, str]
    """The severity of each cause of the cell, by its name."""
    static: frozenset[str] = frozenset()
    """The names of the causes of the inspection, without notes."""
    installer: str = ""
    seconds: Mapping[str, int] = {}


BROKEN, FLAWED, TESTBED = "broken", "flawed", "testbed"
NO_LIBRARY = {"missing-bundled-library": BROKEN}
AT_START = frozenset({"missing-bundled-library", "startup-code"})
OVERWRITTEN = frozenset({"dependency-overwritten"})
CHANGED, LEFT = {"process-changed": FLAWED}, {"process-left": FLAWED}
REFUSED = {"evidence-refused": TESTBED}
NOTHING = "#!/bin/sh\nexit 0\n"
ATTACKS: dict[str, Attack] = {
    # Debian has a sitecustomize, which is first on the import path, and no usercustomize runs in a
    # virtual environment.
    "sitecustomize": Attack(forged_at_start("sitecustomize"), NO_LIBRARY, AT_START),
    "usercustomize": Attack(forged_at_start("usercustomize"), NO_LIBRARY, AT_START),
    "path-file": Attack(
        forged_at_start("quiver_start", "quiver.pth"), {"wrong-library-loaded": BROKEN}, AT_START
    ),
    "pip-module": Attack(
        with_file("pip/__main__.py", "print('done')\n"),
        {"dependency-overwritten": BROKEN, "machine-changed": BROKEN},
        OVERWRITTEN,
    ),
    "pip-command": Attack(
        with_script("pip", NOTHING),
        {
            "dependency-overwritten": BROKEN,
            "machine-changed": BROKEN,
            "uninstall-leftover": FLAWED,
        },
        OVERWRITTEN,
    ),
    "python-command": Attack(
        with_script("python", NOTHING),
        {"unclassified": BROKEN, "machine-changed": BROKEN},
        OVERWRITTEN,
    ),
    "uv-command": Attack(
        with_script("uv", NOTHING), {"uninstall-leftover": FLAWED}, installer="uv"
    ),
    "daemon": Attack(at_import(STAY), LEFT),
    "nameless-daemon": Attack(at_import(NAMELESS), LEFT),
    "rewriting-daemon": Attack(at_import(REWRITE), {"round-trip-failed": BROKEN, **LEFT}),
    "kill-parent": Attack(at_import(KILL_PARENT), {"permission": BROKEN}),
    "kill-all": Attack(at_import(KILL_ALL), {"process-killed": BROKEN}),
    "closed-streams": Attack(at_import(CLOSED_STREAMS), CHANGED),
    "reopened-streams": Attack(at_import(REOPENED_STREAMS), CHANGED),
    "replaced-streams": Attack(at_import(REPLACED_STREAMS), CHANGED),
    "exit-in-handler": Attack(at_import(EXIT_IN_HANDLER), CHANGED),
    "exit-in-hook": Attack(at_import(EXIT_IN_HOOK), CHANGED),
    "deleted-files": Attack(at_first_use(DELETED_FILES), {"record-mismatch": BROKEN}),
    "rewritten-files": Attack(at_import(REWRITTEN_FILES), {"record-mismatch": BROKEN}),
    "deleted-record": Attack(
        at_import(DELETED_RECORD), {"record-mismatch": BROKEN, "uninstall-failed": BROKEN}
    ),
    "deleted-python": Attack(
        at_import(DELETED_PYTHON), {"unclassified": BROKEN, "uninstall-failed": BROKEN}
    ),
    "deleted-project": Attack(
        at_import(DELETED_PROJECT), {"unclassified": BROKEN, "uninstall-failed": BROKEN}
    ),
    "endless-import": Attack(at_import(ENDLESS), {"hang": BROKEN}, seconds=HANG),
    "crash-at-exit": Attack(at_import(CRASH_AT_EXIT), {"crash": BROKEN}),
    "abort-at-exit": Attack(at_import(ABORT_AT_EXIT), {"crash": BROKEN}),
    "planted-links": Attack(at_import(PLANTED_LINKS), REFUSED),
    "planted-folders": Attack(at_import(PLANTED_FOLDERS), REFUSED),
    "planted-file": Attack(at_import(PLANTED_FILE), REFUSED),
    "planted-in-home": Attack(at_import(PLANTED_IN_HOME), {"uninstall-leftover": FLAWED}),
    # The machine denies this access. The package works.
    "traced-probe": Attack(at_import(TRACE), {}),
    "harmless": Attack(at_import(HARMLESS_HANDLER + WORKER), {}),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_hostile_wheel_has_exactly_its_causes(
    judge: Judge, good_wheel: Path, tmp_path: Path, attack: Attack
) -> None:
    wheel = wheels.mutate(good_wheel, tmp_path, **attack.change(good_wheel))
    judged = judge(wheel, None, faults=(), installer=attack.installer, **attack.seconds)

    assert judged.static_names == attack.static
    assert {cause.name: str(cause.severity) for cause in judged.dynamic} == attack.causes


# ---- texts for the terminal and the log of GitHub Actions ----

# Terminal controls (ANSI, OSC, carriage return, direction of text), and lines that the runner of
# GitHub Actions executes.
TEXT = (
    "\x1b[2J\x1b]0;verified\x07\r::error::planted\u202e\u2066planted\n::add-mask::planted\n"
    "##[group]planted\n::set-output name=planted::x\n\x9b31m\u200f::stop-commands::planted"
)
LINE = TEXT.replace("\n", " ").replace("\r", "")
"""The text in one line, as in metadata and names of files."""
RAISE = f"raise RuntimeError({TEXT!r})"
# The first native call prints on the streams of the process, as native code does.
PRINT_AT_IMPORT = f"print({TEXT!r}); open({TEXT.replace('/', '')!r}, 'w').close()"
PRINT_AT_USE = f"os.write(1, {TEXT.encode()!r}); os.write(2, {TEXT.encode()!r})"
SUITE_COMMAND = re.compile(
    r"::(error|warning|notice) title=[a-z-]+(%3A| \()[ a-z-]+\)?::|::(end)?group::"
)
"""A workflow command that the suite itself writes."""


def with_texts(wheel: Path) -> dict[str, Any]:
    """Return a change with hostile texts in metadata, file names and names of commands."""
    info = edits.dist_info(wheel)
    return {
        "edit": {
            f"{info}METADATA": edits.replaced(b"\nSummary: ", f"\nSummary: {LINE} ".encode(), 1),
            edits.INIT: lambda data: data + f"\nimport os\n{PRINT_AT_IMPORT}\n".encode(),
        },
        "add": {
            # An index refuses a file name with control characters.
            "quiverdb/::error::planted ##[group]planted.py": "not Python\n",
            f"{info}entry_points.txt": "[console_scripts]\n::error::planted = quiverdb:planted\n",
        },
    }


TEXTS: dict[str, Attack] = {
    "exception": Attack(at_first_use(RAISE), {"unclassified": BROKEN}),
    "output": Attack(at_first_use(PRINT_AT_USE), {"output-at-call": FLAWED}),
    # The index refuses a command with such a name.
    "names": Attack(with_texts, {"upload-refused": BROKEN}, frozenset({"upload-refused"})),
}


def assert_harmless(output: str) -> None:
    """Assert that no line controls a terminal or the runner of GitHub Actions."""
    for line in output.replace("\r\n", "\n").split("\n"):
        assert printable.text(line) == line
        if not SUITE_COMMAND.match(line):
            assert printable.without_commands(line) == line


@pytest.mark.parametrize("attack", TEXTS.values(), ids=TEXTS)
def test_texts_of_a_hostile_wheel_are_printable(
    judge: Judge,
    good_wheel: Path,
    tmp_path: Path,
    attack: Attack,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = judge(wheels.mutate(good_wheel, tmp_path, **attack.change(good_wheel)))
    assert judged.static_names == attack.static
    assert {cause.name: str(cause.severity) for cause in judged.dynamic} == attack.causes
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    causes = [c for c in (*judged.static, *judged.dynamic) if c.severity != "note"]
    cell = sample_run.cell(sample_run.LINUX, *causes)
    report = with_basis(sample_run.report(cell), None)
    folder = tmp_path / "report"
    folder.mkdir()
    capsys.readouterr()
    with printable.printable_output():
        assert writer.write(folder, report) == ()
        print(terminal.render(report, (), page=folder / writer.PAGE, width=120, colour=False))
    output = capsys.readouterr().out
    assert_harmless(output)
    texts = [tmp_path / "summary.md", *(folder / name for name in ("VERIFICATION.md", "junit.xml"))]
    for path in texts:
        content = path.read_text("utf-8")
        assert printable.text(content) == content


@pytest.mark.long
def test_gate_prints_no_text_of_a_hostile_wheel_unchanged(good_wheel: Path, tmp_path: Path) -> None:
    planted = tmp_path / "wheels"
    planted.mkdir()
    wheels.mutate(good_wheel, planted, **with_texts(good_wheel))
    options = (f"--wheels={planted}", "--machine=debian-13", "-k", "pip-venv")
    command = [sys.executable, "-m", "verification.commands", "gate", "--no-provision", *options]
    finished = run_to_end([*command, f"--report={tmp_path / 'report'}"], GITHUB_ACTIONS="true")
    assert finished.code == ExitCode.PACKAGE_FAILED, finished.output
    assert "planted" in finished.output
    assert_harmless(finished.output)
