"""The script that runs inside a cell: install, exercise, uninstall, and tell all as JSON.

Standard library only, any CPython from 3.8. It is given a file that says what to do; it judges
nothing.
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
from typing import IO, Any, Dict, List, Mapping, Sequence

Tree = Dict[str, List[int]]

_KEPT_OUTPUT = 20_000
_KEPT_COMMAND = 300  # the machine's first program has the suite's files among its words


class Folder:
    """What a folder held when it was looked at."""

    def __init__(self, state: Any, folders: List[str], fixed: List[str], ours: List[str]) -> None:
        self.state = state
        """Changes with every entry that comes, goes or gets another name; None if unknown."""
        self.folders = folders
        self.fixed = fixed
        """Files that the user cannot change in their place."""
        self.ours = ours
        """All other files."""


class Look:
    """What was on the machine: path to [kind and mode, size, modification time in ns]."""

    def __init__(self, tops: Sequence[str], skipped: Sequence[str], last: Any = None) -> None:
        """Look below ``tops``; where ``last`` tells enough, only at what can have changed since.

        Most folders and files of a machine are the system's. A folder that has its old time of
        change (stat(2), st_ctime) has its old entries, and what the user may not write to is what
        it was.
        """
        self.tree: Tree = {}
        self._folders: Dict[str, Folder] = {}
        began = time.time_ns()
        stack = list(tops)
        while stack:
            path = stack.pop()
            try:
                found = self._folder(path, skipped, last, began)
            except OSError:
                continue  # not the user's to read
            self._folders[path] = found
            stack += found.folders

    def _folder(self, path: str, skipped: Sequence[str], last: Any, began: int) -> Folder:
        if sys.platform == "win32":  # a folder's own times cost more there than all it holds
            return self._scan(path, skipped)
        info = os.lstat(path)
        known: Folder | None = last._folders.get(path) if last else None
        state = (info.st_ino, info.st_ctime_ns, info.st_mtime_ns)
        if known and known.state == state:
            self._look_again(known, last)
            return known
        found = self._scan(path, skipped)
        # The kernel's clock ticks in milliseconds: within one tick, times tell nothing.
        if info.st_ctime_ns < began - _TICK:
            found.state = state
        return found

    def _scan(self, folder: str, skipped: Sequence[str]) -> Folder:
        found = Folder(None, [], [], [])
        for entry in list(os.scandir(folder)):
            if entry.path in skipped:
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            self._keep(entry.path, info)
            if stat.S_ISDIR(info.st_mode):
                found.folders.append(entry.path)
            elif _writable(info):
                found.ours.append(entry.path)
            else:
                found.fixed.append(entry.path)
        return found

    def _look_again(self, known: Folder, last: Any) -> None:
        for path in known.fixed:
            self.tree[path] = last.tree[path]
        for path in (*known.ours, *known.folders):
            try:
                self._keep(path, os.lstat(path))
            except OSError:
                continue

    def _keep(self, path: str, info: os.stat_result) -> None:
        if stat.S_ISDIR(info.st_mode):
            self.tree[path] = [info.st_mode, 0, 0]
        else:
            self.tree[path] = [info.st_mode, info.st_size, info.st_mtime_ns]


_TICK = 100_000_000
"""More than a tick of the kernel's clock, in nanoseconds."""


def _writable(info: os.stat_result) -> bool:
    """Return whether the user may change this file, or who may write to it."""
    if sys.platform == "win32":
        return True
    # A link is what its folder says, and the access lists of acl(5) show in the group's bits.
    ours = os.geteuid() in (0, info.st_uid)
    return not stat.S_ISLNK(info.st_mode) and (ours or bool(info.st_mode & 0o022))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the sorted names that were added, removed and changed."""
    return {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "changed": sorted(p for p in set(before) & set(after) if before[p] != after[p]),
    }


def run(command: Sequence[str], env: Mapping[str, str], cwd: str, seconds: float) -> dict[str, Any]:
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
        watch = Watch(process, seconds)
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


class Watch:
    """Ends a process that goes on for too long, and notes for how long the machine stood still.

    Where wait() itself is given a limit it looks only every twentieth of a second.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.late = False
        self.stalled = 0.0
        """For how long, in seconds, nothing here had its turn, not even this."""
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


_STALL_SECONDS = 5.0
"""A second's sleep that takes so long is no longer the load of a busy machine."""


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        # /T takes what it started as well: pip.exe is but the starter of a python.exe.
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


def processes() -> list[str]:
    """Return the command lines of the user's other processes (proc(5), /proc/pid/cmdline).

    On Windows these are the paths of their programs, and their numbers.
    """
    if sys.platform == "win32":
        return windows_processes()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        found.append(file.read().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue  # it ended meanwhile
    return sorted(line.strip()[:_KEPT_COMMAND] for line in found if line.strip())


def left_running(before: Sequence[str]) -> list[str]:
    """Return what runs and did not ``before``; what is about to end has two seconds to do so.

    Python's own helpers, such as multiprocessing's, notice the end of their parent a moment later.
    """
    for _ in range(20):
        left = sorted(set(processes()) - set(before))
        if not left:
            break
        time.sleep(0.1)
    return left


def windows_processes() -> list[str]:
    """Return the programs that run (K32EnumProcesses, QueryFullProcessImageNameW), but for ours."""
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
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
    found = []
    for number in numbers[: used.value // ctypes.sizeof(wintypes.DWORD)]:
        handle = kernel.OpenProcess(0x1000, False, number)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle or number == os.getpid():
            continue
        name = ctypes.create_unicode_buffer(32768)
        size = wintypes.DWORD(len(name))
        if kernel.QueryFullProcessImageNameW(handle, 0, name, ctypes.byref(size)):
            found.append(f"{name.value} ({number})")
        kernel.CloseHandle(handle)
    return sorted(found)


class Registry:
    """What was in the Windows registry: key and name to type and value; nothing elsewhere."""

    def __init__(self, skipped: Sequence[str], last: Any = None) -> None:
        """Read the user's own hive, and of the machine's all but what is in ``skipped``.

        Of those keys it is kept how much is directly in them.

        Where ``last`` is given, a key that has its old time of change (RegQueryInfoKeyW, "last
        write time") has its old values and its old keys below.
        """
        self.values: Dict[str, str] = {}
        self._keys: Dict[str, Any] = {}
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
                        told = [winreg.EnumValue(key, number) for number in range(values)]
                        known = (changed, below, told)
            except OSError:
                continue  # not the user's to read, or no key of the ordinary sort
            self._keys[name] = known
            _, below, told = known
            self.values[name] = ""
            for called, value, kind in told:
                self.values[f"{name}:{called}"] = f"{kind} {value!r}"[:500]
            stack += [(hive, f"{path}\\{one}" if path else one) for one in below]


def database_files(folder: str) -> dict[str, str]:
    """Return the database and what SQLite keeps beside it, by name, in base64."""
    found = {}
    for name in ("data.db", "data.db-wal", "data.db-journal"):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                found[name] = base64.b64encode(file.read(_DATABASE_BYTES)).decode("ascii")
        except OSError:
            continue
    return found


_DATABASE_BYTES = 4_000_000
"""More than the exercise can ever write."""


def which(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return ``command`` with its first word as found on the user's PATH, if it is there."""
    return [shutil.which(command[0], path=env.get("PATH")) or command[0], *command[1:]]


def network() -> dict[str, Any]:
    """Return the ways out of this machine (proc(5), /proc/net/route) and its name servers."""
    if sys.platform == "win32":
        return {}
    with open("/proc/net/route", encoding="ascii") as file:
        routes = [line.split()[:4] for line in file.readlines()[1:]]
    return {"default_routes": [r for r in routes if r[1] == "00000000"]}


def c_library() -> list[str]:
    """Return the C library by name and version (confstr(3)); empty where it is not glibc."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError, OSError):
        return ["", ""]
    return [name, version]


def system() -> tuple[str, str]:
    """Return the system and the processor.

    The module platform would tell, but asks Windows for far more, which takes a tenth of a second.
    """
    if sys.platform == "win32":
        told = sys.getwindowsversion()
        named = f"Windows-{told.major}.{told.minor}.{told.build}"
        return named, os.environ.get("PROCESSOR_ARCHITECTURE", "")
    told = os.uname()
    return f"{told.sysname}-{told.release}-{told.machine}", told.machine


def processor() -> str:
    """Return the processor's name (proc(5), /proc/cpuinfo); empty where nothing tells it."""
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER", "")
    with open("/proc/cpuinfo", "rb") as file:
        first = file.read(1024).decode("ascii", "replace")
    names = (line.partition(":") for line in first.splitlines())
    return next((value.strip() for key, _, value in names if key.strip() == "model name"), "")


def read_steps(path: str) -> dict[str, Any]:
    """Return the steps of the exercise by name, those that began and never ended included."""
    steps: dict[str, Any] = {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    told = json.loads(line)
                    steps[told["step"]] = told
                except (ValueError, KeyError, TypeError):
                    steps["garbled"] = {"step": "garbled", "ok": False, "line": line[:500]}
    except FileNotFoundError:
        return {}
    return steps


def exercise(spec: dict[str, Any], env: Mapping[str, str], cwd: str) -> dict[str, Any]:
    """Run the exercise in an interpreter of its own and return its steps and how it ended."""
    told = dict(env)
    told.update(exercise_environment(spec, spec["folder"]))
    ended = run(which(exercise_command(spec), env), told, cwd, spec["seconds"]["exercise"] + 10)
    ended["trace"] = _read(told["E2E_TRACE"])[:_KEPT_OUTPUT]
    ended["steps"] = read_steps(told["E2E_STEPS"])
    return ended


def exercise_environment(spec: Mapping[str, Any], scratch: str) -> dict[str, str]:
    """Return what the exercise is told; it writes its files into the folder ``scratch``."""
    return {
        "E2E_STEPS": os.path.join(scratch, "steps.jsonl"),
        "E2E_TRACE": os.path.join(scratch, "trace.txt"),
        "E2E_SUBJECT": spec["subject"],
        "E2E_PACKAGE": spec["package"],
        "E2E_LIMIT_SECONDS": str(spec["seconds"]["exercise"]),
        "E2E_PRELUDE": spec.get("prelude", ""),
        "E2E_USES": " ".join(spec.get("uses", ())),
        **spec.get("exercise_env", {}),
    }


def exercise_command(spec: Mapping[str, Any]) -> list[str]:
    """Return the command that starts the exercise."""
    source = os.path.join(spec["folder"], "exercise.py")
    # Read as bytes: compile() knows that source is UTF-8, open() on Windows does not.
    code = f"exec(compile(open({source!r}, 'rb').read(), {source!r}, 'exec'))"
    return [*spec["python"], "-c", code]


def own_tests(spec: dict[str, Any], env: Mapping[str, str], cwd: str) -> dict[str, Any]:
    """Run the package's own tests on what is installed; pytest is had from the index beforehand."""
    told = spec["tests"]
    tool = run(which(told["tool"], env), env, cwd, spec["seconds"]["install"])
    if tool["code"]:
        return {"tool": tool, "ledger": "", "trace": ""}
    os.makedirs(told["scratch"])
    tests = os.path.join(told["folder"], "tests")
    if os.path.isdir(told["source"]):  # an empty one is not there at all
        shutil.copytree(told["source"], tests)
    else:
        os.makedirs(tests)
    more = dict(env)
    more.update(told["env"])
    more["E2E_LEDGER"] = told["ledger"]
    more["E2E_TRACE"] = told["trace"]
    more["E2E_SUBJECT"] = told["subject"]
    more["E2E_LIMIT_SECONDS"] = str(spec["seconds"]["tests"])
    ended = run(which(told["command"], more), more, told["folder"], spec["seconds"]["tests"] + 10)
    ended["tool"] = tool
    ended["ledger"] = _read(told["ledger"])
    ended["trace"] = _read(told["trace"])[:_KEPT_OUTPUT]
    return ended


def _read(path: str) -> str:
    """Return the text of a file; empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def commands(
    spec: dict[str, Any], name: str, env: Mapping[str, str], cwd: str
) -> list[dict[str, Any]]:
    """Run the commands under ``name`` in ``spec``, up to one that fails; return how each ended."""
    done = []
    for command in spec.get(name, ()):
        done.append(run(which(command, env), env, cwd, spec["seconds"]["install"]))
        if done[-1]["code"]:
            break
    return done


def main() -> None:
    """Carry out the file that is named; print the evidence, as the last line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    began = time.perf_counter()
    env = dict(os.environ)
    env.update(spec["env"])
    cwd = spec["cwd"]
    os.makedirs(cwd, exist_ok=True)
    named, machine = system()
    evidence: dict[str, Any] = {
        "python": sys.version.split()[0],
        "abiflags": getattr(sys, "abiflags", ""),
        "implementation": sys.implementation.name,
        "libc": c_library(),
        "machine": machine,
        "processor": processor(),
        "system": named,
        "os": "windows" if sys.platform == "win32" else "linux",
        "env": {k: v for k, v in sorted(env.items()) if not k.startswith("E2E_")},
        "network": network(),
        "processes_before": processes(),
        "seconds": {},
    }

    def timed(name: str, began_at: float) -> None:
        evidence["seconds"][name] = round(time.perf_counter() - began_at, 3)

    if spec.get("umask", -1) >= 0:
        os.umask(spec["umask"])
    evidence["setup"] = commands(spec, "setup", env, cwd)
    skipped = (*spec["skipped"], cwd)  # what the user keeps in the project is the user's own
    before = Look(spec["roots"], skipped)
    skipped_keys = spec.get("skipped_keys", ())
    registry_before = Registry(skipped_keys)
    timed("first-look", began)
    evidence["first"] = commands(spec, "first", env, cwd)
    evidence["install"] = run(which(spec["install"], env), env, cwd, spec["seconds"]["install"])
    installed = Look(spec["roots"], skipped, before)
    evidence["installed"] = difference(before.tree, installed.tree)
    if evidence["install"]["code"] == 0:
        if spec.get("again"):
            evidence["again"] = run(
                which(spec["install"], env), env, cwd, spec["seconds"]["install"]
            )
            again = Look(spec["roots"], skipped, installed)
            evidence["again"]["difference"] = difference(installed.tree, again.tree)
        evidence["after_install"] = commands(spec, "after_install", env, cwd)
        there = set(os.listdir(cwd))
        evidence["import"] = run(
            which([*spec["python"], "-c", spec["import"]], env), env, cwd, spec["seconds"]["import"]
        )
        evidence["import"]["made"] = sorted(set(os.listdir(cwd)) - there)
        evidence["exercise"] = exercise(spec, env, cwd)
        evidence["on_disk"] = database_files(cwd)
        evidence["free_bytes"] = shutil.disk_usage(cwd).free
        evidence["processes"] = left_running(evidence["processes_before"])
        if spec.get("tests") and evidence["exercise"]["code"] == 0:
            evidence["tests"] = own_tests(spec, env, cwd)
        evidence["before_uninstall"] = commands(spec, "before_uninstall", env, cwd)
        evidence["uninstall"] = run(
            which(spec["uninstall"], env), env, cwd, spec["seconds"]["install"]
        )
    last = Look(spec["roots"], skipped, installed)
    evidence["left"] = difference(before.tree, last.tree)
    evidence["since_installed"] = difference(installed.tree, last.tree)
    registry_after = Registry(skipped_keys, registry_before)
    evidence["registry"] = difference(registry_before.values, registry_after.values)
    timed("all", began)
    print(json.dumps(evidence), flush=True)


if __name__ == "__main__":
    main()
