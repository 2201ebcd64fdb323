"""The script that runs inside a cell: install, exercise, uninstall, and print the evidence as JSON.

Standard library only, any CPython from 3.8. It reads a file with instructions. It does not judge.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict, Union

Tree = Dict[str, List[int]]
Environment = Mapping[str, str]
Evidence = Dict[str, object]

_KEPT_OUTPUT = 20_000
_KEPT_COMMAND = 300  # the machine's first program has the suite's files among its words
_TICK = 100_000_000
"""More than a tick of the kernel's clock, in nanoseconds."""
_STALL_SECONDS = 5.0
"""A second's sleep that takes so long is no longer the load of a busy machine."""
_DATABASE_BYTES = 4_000_000
"""More than the exercise can ever write."""


class OwnTestsInstructions(TypedDict):
    """What the instructions say of the package's own tests."""

    source: str
    folder: str
    scratch: str
    ledger: str
    trace: str
    subject: str
    tool: List[str]
    command: List[str]
    env: Dict[str, str]


class _Required(TypedDict):
    folder: str
    cwd: str
    env: Dict[str, str]
    exercise_env: Dict[str, str]
    python: List[str]
    setup: List[List[str]]
    first: List[List[str]]
    install: List[str]
    reinstall: bool
    umask: int
    after_install: List[List[str]]
    before_uninstall: List[List[str]]
    prelude: str
    uses: List[str]
    subject: str
    package: str
    import_statement: str
    uninstall: List[str]
    roots: List[str]
    skipped: List[str]
    skipped_keys: List[str]
    seconds: Dict[str, int]


class Instructions(_Required, total=False):
    """What to do on this machine; verification/scenarios/instructions.py writes it."""

    tests: OwnTestsInstructions


class CommandRun(TypedDict):
    """One command and how it ended."""

    command: Sequence[str]
    code: int
    stdout: str
    stderr: str
    began: float
    seconds: float
    timed_out: bool
    stalled: float


# ---- snapshots of the file system and the registry ----


class Folder:
    """What a folder holds."""

    def __init__(
        self, state: Optional[Tuple[int, ...]], folders: List[str], fixed: List[str], own: List[str]
    ) -> None:
        self.state = state
        """Changes with every entry that comes, goes or gets another name; None if unknown."""
        self.folders = folders
        self.fixed = fixed
        """Files that the user cannot change in their place."""
        self.own = own
        """All other files."""


class FilesystemSnapshot:
    """What is on the machine: path to [kind and mode, size, modification time in ns]."""

    def __init__(
        self,
        tops: Sequence[str],
        skipped: Sequence[str],
        last: Optional[FilesystemSnapshot] = None,
    ) -> None:
        """Read everything below ``tops``; with ``last``, only what can have changed since.

        Most folders and files of a machine are the system's. A folder with the same ctime (stat(2))
        has the same entries, and a file that the user may not write to is unchanged.
        """
        self.tree: Tree = {}
        self._folders: Dict[str, Folder] = {}
        began = time.time_ns()
        stack = list(tops)
        while stack:
            path = stack.pop()
            try:
                folder = self._folder(path, skipped, last, began)
            except OSError:
                continue  # the user may not read it
            self._folders[path] = folder
            stack += folder.folders

    def _folder(
        self,
        path: str,
        skipped: Sequence[str],
        last: Optional[FilesystemSnapshot],
        began: int,
    ) -> Folder:
        if sys.platform == "win32":  # a folder's own times cost more there than all it holds
            return self._scan(path, skipped)
        info = os.lstat(path)
        state = (info.st_ino, info.st_ctime_ns, info.st_mtime_ns)
        known = last._folders.get(path) if last else None
        if last and known and known.state == state:
            self._refresh(known, last)
            return known
        folder = self._scan(path, skipped)
        # The kernel's clock ticks in milliseconds: within one tick, times prove nothing.
        if info.st_ctime_ns < began - _TICK:
            folder.state = state
        return folder

    def _scan(self, path: str, skipped: Sequence[str]) -> Folder:
        folder = Folder(None, [], [], [])
        for entry in list(os.scandir(path)):
            if entry.path in skipped:
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            self._add(entry.path, info)
            if stat.S_ISDIR(info.st_mode):
                folder.folders.append(entry.path)
            elif _writable(info):
                folder.own.append(entry.path)
            else:
                folder.fixed.append(entry.path)
        return folder

    def _refresh(self, known: Folder, last: FilesystemSnapshot) -> None:
        for path in known.fixed:
            self.tree[path] = last.tree[path]
        for path in (*known.own, *known.folders):
            try:
                self._add(path, os.lstat(path))
            except OSError:
                continue

    def _add(self, path: str, info: os.stat_result) -> None:
        if stat.S_ISDIR(info.st_mode):
            self.tree[path] = [info.st_mode, 0, 0]
        else:
            self.tree[path] = [info.st_mode, info.st_size, info.st_mtime_ns]


def _writable(info: os.stat_result) -> bool:
    """Return whether the user may change this file, or who may write to it."""
    if sys.platform == "win32":
        return True
    # A link is what its folder says, and the access lists of acl(5) show in the group's bits.
    own = os.geteuid() in (0, info.st_uid)
    return not stat.S_ISLNK(info.st_mode) and (own or bool(info.st_mode & 0o022))


class RegistrySnapshot:
    """What is in the Windows registry: key and name to type and value; nothing elsewhere."""

    def __init__(self, skipped: Sequence[str], last: Optional[RegistrySnapshot] = None) -> None:
        """Read the user's own hive, and of the machine's all but what is in ``skipped``.

        Of the skipped keys only the number of their direct keys and values is read. A key with the
        same time as in ``last`` (RegQueryInfoKeyW, "last write time") has the same values and the
        same direct keys.
        """
        self.values: Dict[str, str] = {}
        self._keys: Dict[str, Tuple[int, List[str], List[Tuple[str, str, int]]]] = {}
        if sys.platform != "win32":
            return
        import winreg

        hives = {"HKCU": winreg.HKEY_CURRENT_USER, "HKLM": winreg.HKEY_LOCAL_MACHINE}
        stack = [("HKCU", ""), ("HKLM", "Software"), ("HKLM", "System")]
        while stack:
            hive, path = stack.pop()
            name = f"{hive}\\{path}"
            try:
                with winreg.OpenKey(hives[hive], path) as key:
                    keys, values, changed = winreg.QueryInfoKey(key)
                    if name in skipped:
                        self.values[name] = f"{keys} keys, {values} values"
                        continue
                    known = last._keys.get(name) if last else None
                    if known is None or known[0] != changed:
                        below = [winreg.EnumKey(key, number) for number in range(keys)]
                        found = [winreg.EnumValue(key, number) for number in range(values)]
                        known = (changed, below, found)
            except OSError:
                continue  # the user may not read it, or it is no key of the ordinary sort
            self._keys[name] = known
            _, below, found = known
            self.values[name] = ""
            for called, value, kind in found:
                self.values[f"{name}:{called}"] = f"{kind} {value!r}"[:500]
            stack += [(hive, f"{path}\\{one}" if path else one) for one in below]


def difference(
    before: Mapping[str, Union[List[int], str]], after: Mapping[str, Union[List[int], str]]
) -> Dict[str, List[str]]:
    """Return the sorted names that were added, removed and changed."""
    return {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "changed": sorted(p for p in set(before) & set(after) if before[p] != after[p]),
    }


# ---- commands ----


def run(command: Sequence[str], env: Environment, cwd: str, seconds: float) -> CommandRun:
    """Run one command as the user types it; end its whole process group after ``seconds``.

    Its output goes to files: a process that it leaves behind cannot hold us up by holding a pipe.
    """
    began, began_at = time.perf_counter(), time.time()
    with tempfile.TemporaryFile() as out_file, tempfile.TemporaryFile() as err_file:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out_file,
            stderr=err_file,
            start_new_session=True,
        )
        watch = ProcessWatch(process, seconds)
        process.wait()
        watch.close()  # it may just be ending what the process left
        out, err = (_tail(file) for file in (out_file, err_file))
    return {
        "command": command,
        "code": process.returncode,
        "stdout": out,
        "stderr": err,
        "began": round(began_at, 3),
        "seconds": round(time.perf_counter() - began, 3),
        "timed_out": watch.late,
        "stalled": round(watch.stalled, 1),
    }


class ProcessWatch:
    """Ends a process that takes too long, and measures for how long the machine stood still.

    With a limit of its own, wait() looks only every twentieth of a second.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.late = False
        self.stalled = 0.0
        """For how many seconds no thread here was scheduled, not even this one."""
        self._process = process
        self._end_at = time.monotonic() + seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        last = time.monotonic()
        while not self._over.wait(max(0.0, min(1.0, self._end_at - last))):
            now = time.monotonic()
            if now - last > _STALL_SECONDS:
                self.stalled += now - last
            last = now
            if now >= self._end_at:
                self.late = True
                _end(self._process)
                return


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        # /T ends what it started as well: pip.exe only starts a python.exe.
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
            os.killpg(process.pid, signal.SIGKILL)


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _KEPT_OUTPUT))
    return file.read().decode("utf-8", "replace")


def _read(path: str) -> str:
    """Return the text of a file; empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def which(command: Sequence[str], env: Environment) -> List[str]:
    """Return ``command`` with its first word as found on the user's PATH, if it is there."""
    return [shutil.which(command[0], path=env.get("PATH")) or command[0], *command[1:]]


# ---- the machine ----


def processes() -> List[str]:
    """Return the command lines of the user's other processes (proc(5), /proc/pid/cmdline).

    On Windows these are the paths of their programs, and their numbers.
    """
    if sys.platform == "win32":
        return windows_processes()
    lines = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        lines.append(file.read().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue  # it ended meanwhile
    return sorted(line.strip()[:_KEPT_COMMAND] for line in lines if line.strip())


def left_running(before: Sequence[str]) -> List[str]:
    """Return what runs and did not ``before``; what is about to end has two seconds to do so.

    Python's own helpers, such as multiprocessing's, notice the end of their parent a moment later.
    """
    left: List[str] = []
    for _ in range(20):
        left = sorted(set(processes()) - set(before))
        if not left:
            break
        time.sleep(0.1)
    return left


def windows_processes() -> List[str]:
    """Return the other programs that run (K32EnumProcesses, QueryFullProcessImageNameW)."""
    if sys.platform != "win32":
        return []
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = wintypes.HANDLE
    kernel.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    kernel.CloseHandle.argtypes = [wintypes.HANDLE]
    kernel.QueryFullProcessImageNameW.argtypes = [
        wintypes.HANDLE,
        wintypes.DWORD,
        wintypes.LPWSTR,
        ctypes.POINTER(wintypes.DWORD),
    ]
    numbers = (wintypes.DWORD * 4096)()
    used = wintypes.DWORD()
    kernel.K32EnumProcesses(numbers, ctypes.sizeof(numbers), ctypes.byref(used))
    programs = []
    for number in numbers[: used.value // ctypes.sizeof(wintypes.DWORD)]:
        handle = kernel.OpenProcess(0x1000, False, number)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle or number == os.getpid():
            continue
        name = ctypes.create_unicode_buffer(32768)
        size = wintypes.DWORD(len(name))
        if kernel.QueryFullProcessImageNameW(handle, 0, name, ctypes.byref(size)):
            programs.append(f"{name.value} ({number})")
        kernel.CloseHandle(handle)
    return sorted(programs)


def database_files(folder: str) -> Dict[str, str]:
    """Return the database and what SQLite keeps beside it, by name, in base64."""
    files = {}
    for name in ("data.db", "data.db-wal", "data.db-journal"):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                files[name] = base64.b64encode(file.read(_DATABASE_BYTES)).decode("ascii")
        except OSError:
            continue
    return files


def network() -> Dict[str, List[List[str]]]:
    """Return the default routes of this machine (proc(5), /proc/net/route)."""
    if sys.platform == "win32":
        return {}
    with open("/proc/net/route", encoding="ascii") as file:
        routes = [line.split()[:4] for line in file.readlines()[1:]]
    return {"default_routes": [r for r in routes if r[1] == "00000000"]}


def c_library() -> List[str]:
    """Return the C library by name and version (confstr(3)); empty where it is not glibc."""
    if sys.platform == "win32":
        return ["", ""]
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError, OSError):
        return ["", ""]
    return [name, version]


def system() -> Tuple[str, str]:
    """Return the system and the processor.

    The module platform asks Windows for far more, which takes a tenth of a second.
    """
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        name = f"Windows-{version.major}.{version.minor}.{version.build}"
        return name, os.environ.get("PROCESSOR_ARCHITECTURE", "")
    names = os.uname()
    return f"{names.sysname}-{names.release}-{names.machine}", names.machine


def processor() -> str:
    """Return the processor's name (proc(5), /proc/cpuinfo); empty where the system has none."""
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER", "")
    with open("/proc/cpuinfo", "rb") as file:
        first = file.read(1024).decode("ascii", "replace")
    names = (line.partition(":") for line in first.splitlines())
    return next((value.strip() for key, _, value in names if key.strip() == "model name"), "")


# ---- the steps of a cell ----


def read_steps(path: str) -> Dict[str, Evidence]:
    """Return the steps of the exercise by name, those that began and never ended included."""
    steps: Dict[str, Evidence] = {}
    for line in _read(path).splitlines():
        try:
            step = json.loads(line)
            steps[step["step"]] = step
        except (ValueError, KeyError, TypeError):
            steps["garbled"] = {"step": "garbled", "ok": False, "line": line[:500]}
    return steps


def exercise(spec: Instructions, env: Environment, cwd: str) -> Evidence:
    """Run the exercise in an interpreter of its own and return its steps and how it ended."""
    own = {**env, **exercise_environment(spec, spec["folder"])}
    ended = run(which(exercise_command(spec), env), own, cwd, spec["seconds"]["exercise"] + 10)
    trace = _read(own["E2E_TRACE"])[:_KEPT_OUTPUT]
    return {**ended, "trace": trace, "steps": read_steps(own["E2E_STEPS"])}


def exercise_environment(spec: Instructions, scratch: str) -> Dict[str, str]:
    """Return the variables of the exercise; it writes its files into the folder ``scratch``."""
    return {
        "E2E_STEPS": os.path.join(scratch, "steps.jsonl"),
        "E2E_TRACE": os.path.join(scratch, "trace.txt"),
        "E2E_SUBJECT": spec["subject"],
        "E2E_PACKAGE": spec["package"],
        "E2E_LIMIT_SECONDS": str(spec["seconds"]["exercise"]),
        "E2E_PRELUDE": spec["prelude"],
        "E2E_USES": " ".join(spec["uses"]),
        **spec["exercise_env"],
    }


def exercise_command(spec: Instructions) -> List[str]:
    """Return the command that starts the exercise."""
    source = os.path.join(spec["folder"], "exercise.py")
    # Read as bytes: compile() knows that source is UTF-8, open() on Windows does not.
    code = f"exec(compile(open({source!r}, 'rb').read(), {source!r}, 'exec'))"
    return [*spec["python"], "-c", code]


def own_tests(
    spec: Instructions, instructions: OwnTestsInstructions, env: Environment, cwd: str
) -> Evidence:
    """Run the package's own tests on what is installed; pytest is installed beforehand."""
    tool = run(which(instructions["tool"], env), env, cwd, spec["seconds"]["install"])
    if tool["code"]:
        return {"tool": tool, "ledger": "", "trace": ""}
    os.makedirs(instructions["scratch"])
    tests = os.path.join(instructions["folder"], "tests")
    if os.path.isdir(instructions["source"]):  # an empty one is not there at all
        shutil.copytree(instructions["source"], tests)
    else:
        os.makedirs(tests)
    own = {
        **env,
        **instructions["env"],
        "E2E_LEDGER": instructions["ledger"],
        "E2E_TRACE": instructions["trace"],
        "E2E_SUBJECT": instructions["subject"],
        "E2E_LIMIT_SECONDS": str(spec["seconds"]["tests"]),
    }
    ended = run(
        which(instructions["command"], own),
        own,
        instructions["folder"],
        spec["seconds"]["tests"] + 10,
    )
    ledger, trace = _read(instructions["ledger"]), _read(instructions["trace"])[:_KEPT_OUTPUT]
    return {**ended, "tool": tool, "ledger": ledger, "trace": trace}


class ProbeRun:
    """The user's commands on this machine, one after another, and the evidence of them."""

    def __init__(self, spec: Instructions) -> None:
        self.spec = spec
        self.env = {**os.environ, **spec["env"]}
        self.evidence: Evidence = {}
        self._began = time.perf_counter()
        self._seconds: Dict[str, float] = {}

    def run(self) -> None:
        """Do everything; what the cell does not reach has no evidence."""
        spec = self.spec
        os.makedirs(spec["cwd"], exist_ok=True)
        before_processes = processes()
        self._describe(before_processes)
        if spec["umask"] >= 0:
            os.umask(spec["umask"])
        self._commands("setup", spec["setup"])
        skipped = (*spec["skipped"], spec["cwd"])  # the project is the user's own
        before = FilesystemSnapshot(spec["roots"], skipped)
        registry = RegistrySnapshot(spec["skipped_keys"])
        self._time("first-look")
        self._commands("first", spec["first"])
        install = self._command("install", spec["install"])
        installed = FilesystemSnapshot(spec["roots"], skipped, before)
        self.evidence["installed"] = difference(before.tree, installed.tree)
        if install["code"] == 0:
            if spec["reinstall"]:
                self._install_again(installed, skipped)
            self._use(before_processes)
        last = FilesystemSnapshot(spec["roots"], skipped, installed)
        self.evidence["left"] = difference(before.tree, last.tree)
        self.evidence["since_installed"] = difference(installed.tree, last.tree)
        after = RegistrySnapshot(spec["skipped_keys"], registry)
        self.evidence["registry"] = difference(registry.values, after.values)
        self._time("all")

    def _describe(self, running: List[str]) -> None:
        named, machine = system()
        self.evidence.update(
            python=sys.version.split()[0],
            abiflags=getattr(sys, "abiflags", ""),
            implementation=sys.implementation.name,
            libc=c_library(),
            machine=machine,
            processor=processor(),
            system=named,
            os="windows" if sys.platform == "win32" else "linux",
            env={k: v for k, v in sorted(self.env.items()) if not k.startswith("E2E_")},
            network=network(),
            processes_before=running,
            seconds=self._seconds,
        )

    def _time(self, name: str) -> None:
        self._seconds[name] = round(time.perf_counter() - self._began, 3)

    def _run(self, command: Sequence[str], limit: str) -> CommandRun:
        seconds = self.spec["seconds"][limit]
        return run(which(command, self.env), self.env, self.spec["cwd"], seconds)

    def _command(self, name: str, command: Sequence[str]) -> CommandRun:
        ended = self._run(command, "install")
        self.evidence[name] = ended
        return ended

    def _commands(self, name: str, commands: Sequence[Sequence[str]]) -> None:
        """Run these commands, up to one that fails."""
        done: List[CommandRun] = []
        for command in commands:
            done.append(self._run(command, "install"))
            if done[-1]["code"]:
                break
        self.evidence[name] = done

    def _install_again(self, installed: FilesystemSnapshot, skipped: Sequence[str]) -> None:
        ended = self._run(self.spec["install"], "install")
        again = FilesystemSnapshot(self.spec["roots"], skipped, installed)
        self.evidence["again"] = {**ended, "difference": difference(installed.tree, again.tree)}

    def _use(self, running: Sequence[str]) -> None:
        """Import, exercise and test what was installed, and remove it."""
        spec, cwd = self.spec, self.spec["cwd"]
        self._commands("after_install", spec["after_install"])
        there = set(os.listdir(cwd))
        imported = self._run([*spec["python"], "-c", spec["import_statement"]], "import")
        self.evidence["import"] = {**imported, "made": sorted(set(os.listdir(cwd)) - there)}
        exercised = exercise(spec, self.env, cwd)
        self.evidence["exercise"] = exercised
        self.evidence["on_disk"] = database_files(cwd)
        self.evidence["free_bytes"] = shutil.disk_usage(cwd).free
        self.evidence["processes"] = left_running(running)
        if "tests" in spec and exercised["code"] == 0:
            self.evidence["tests"] = own_tests(spec, spec["tests"], self.env, cwd)
        self._commands("before_uninstall", spec["before_uninstall"])
        self._command("uninstall", spec["uninstall"])


def main() -> None:
    """Carry out the instructions in the named file; print the evidence, as the last line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        cell = ProbeRun(json.load(file))
    cell.run()
    print(json.dumps(cell.evidence), flush=True)


if __name__ == "__main__":
    main()
