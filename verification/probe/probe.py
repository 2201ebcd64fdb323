"""Install, exercise and uninstall the package on a machine, and print the evidence as JSON.

Standard library only, any CPython from 3.9. The script reads its instructions from a file. It does
not judge.

On Linux the script runs as root, and the commands of the user run with the account of the user.
Their processes cannot change the script, read its memory, write to its output or end it. What they
write into files is only a claim.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import (
    IO,
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypedDict,
    Union,
)

Tree = Dict[str, List[int]]
Environment = Mapping[str, str]
Evidence = Dict[str, object]

_OUTPUT_CHARACTERS = 20_000
_COMMAND_CHARACTERS = 300  # the command line of the machine's first process contains a whole script
_TICK = 100_000_000
"""More than a tick of the kernel's clock, in nanoseconds."""
_ENDED = (b"Z", b"X")
"""The states of a process that has ended (proc(5), stat)."""
_STALL_SECONDS = 5.0
"""A one-second wait that takes this long shows a stalled machine, not only a busy one."""
_COUNTERS = ("Tcp:ActiveOpens", "Udp:OutDatagrams", "Ip:OutNoRoutes")
"""The counters of the kernel that show an attempt to reach another host."""
_DATABASE_BYTES = 4_000_000
"""More than the exercise can write."""
_CLAIM_BYTES = 16_000_000
"""More than the lines of the exercise and of the package's own tests have."""
_NAME_CHARACTERS = 4_000_000
"""More than the names of an installation have. The evidence has several lists of names."""
_STOP_SECONDS = 2.0
_NOT_STARTED = 127
"""The exit code of a shell for a command that does not exist."""
_DATA, _OBSERVATION_FOLDER = "data", "second"
"""The folder in which the user's processes write, and the folder of the observation inside it."""
_REQUEST_FIFO, _REPLY_FIFO = "question", "answer"
"""The FIFOs with which the exercise asks for the reading of its libraries."""


class OwnTestsInstructions(TypedDict):
    """The part of the instructions for the package's own tests."""

    source: str
    root: str
    folder: str
    tests: str
    scratch: str
    test_events: str
    trace: str
    tool: List[str]
    command: List[str]
    env: Dict[str, str]


class _Required(TypedDict):
    folder: str
    account: str
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
    import_statement: str
    uninstall: List[str]
    roots: List[str]
    skipped: List[str]
    skipped_keys: List[str]
    seconds: Dict[str, int]


class Instructions(_Required, total=False):
    """The instructions for this machine; verification/scenarios/instructions.py writes them."""

    tests: OwnTestsInstructions


class CommandRun(TypedDict):
    """One command and its result."""

    command: Sequence[str]
    code: int
    stdout: str
    stderr: str
    began: float
    seconds: float
    timed_out: bool
    stalled: float


# ---- the account of the user ----


class Account:
    """The account of the user's commands: another one than this script's, or the same."""

    def __init__(self, name: str) -> None:
        """Find the account with this name; an empty name is the account of this script."""
        self.is_separate = bool(name)
        self.options: Dict[str, Any] = {}
        """The arguments of subprocess.Popen for a process of the user."""
        if sys.platform == "win32":
            self.uid = self._gid = 0
            return
        self.uid, self._gid = os.getuid(), os.getgid()
        if name:
            import pwd

            entry = pwd.getpwnam(name)
            self.uid, self._gid = entry.pw_uid, entry.pw_gid
            groups = os.getgrouplist(name, self._gid)
            self.options = {"user": self.uid, "group": self._gid, "extra_groups": groups}

    @contextlib.contextmanager
    def rights(self) -> Iterator[None]:
        """Open and create files with the rights of the user (credentials(7), effective user id)."""
        if not self.is_separate or sys.platform == "win32":
            yield
            return
        user, group = os.geteuid(), os.getegid()
        os.setegid(self._gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(user)
            os.setegid(group)

    def processes(self) -> Set[int]:
        """Return the ids of the user's processes, without this one (proc(5), status)."""
        numbers = set()
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError), open(f"/proc/{name}/status", "rb") as file:
                    lines = (line.split() for line in file if line.startswith(b"Uid:"))
                    # A process that forbids to read it belongs to root in /proc, but not here.
                    if any(int(user) == self.uid for user in next(lines, [])[1:]):
                        numbers.add(int(name))
        return numbers

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop every process of the user; do nothing if the user has the account of this script.

        Raises:
            OSError: not all of them stop.
        """
        if not self.is_separate or sys.platform == "win32":
            yield
            return
        try:
            self._stop_all()
            yield
        finally:
            for number in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGCONT)

    def _stop_all(self) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        while running := [number for number in self.processes() if _is_running(number)]:
            if time.monotonic() > deadline:
                raise OSError("not all processes of the user stop")
            for number in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGSTOP)
            time.sleep(0.001)


def _is_running(process: int) -> bool:
    """Return True if a thread of the process is not stopped and has not ended (proc(5), stat)."""
    folder = f"/proc/{process}/task"
    threads: List[str] = []
    with contextlib.suppress(OSError):  # it has ended
        threads = os.listdir(folder)
    for thread in threads:
        with contextlib.suppress(OSError), open(f"{folder}/{thread}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] not in (b"T", b"t", *_ENDED):
                return True
    return False


def read_claim(path: str, account: Account, limit: int = _CLAIM_BYTES) -> Optional[bytes]:
    """Return at most ``limit`` bytes of a file of the user; None if it is no regular file.

    The user can replace the file, for example by a link to a file of root or by a FIFO.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, name, 0)
    try:
        with account.rights():
            number = os.open(path, flags)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    with os.fdopen(number, "rb") as file:
        return file.read(limit)


def read_text(path: str, account: Account, limit: int = _CLAIM_BYTES) -> str:
    """Return the text of a file of the user; empty if it is no regular file."""
    text = (read_claim(path, account, limit) or b"").decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


# ---- snapshots of the file system and the registry ----


class Folder:
    """The names of the entries of a folder, with the state in which they were read."""

    def __init__(
        self,
        state: Optional[Tuple[int, ...]],
        folders: List[str],
        fixed_files: List[str],
        other_files: List[str],
    ) -> None:
        self.state = state
        """A value that differs after an entry is added, removed or renamed; None if unknown."""
        self.folders = folders
        self.fixed_files = fixed_files
        """Files whose content the user cannot change."""
        self.other_files = other_files


class FilesystemSnapshot:
    """The files of the machine: path to [kind and mode, size, mtime in ns]."""

    def __init__(
        self,
        roots: Sequence[str],
        skipped: Sequence[str],
        user: int,
        previous: Optional[FilesystemSnapshot] = None,
    ) -> None:
        """Read everything below ``roots``; with ``previous``, only what can have changed since.

        Most folders and files of a machine are the system's. A folder with the same ctime (stat(2))
        has the same entries. A file that the user with this number cannot write to is unchanged.
        """
        self.tree: Tree = {}
        self._user = user
        self._folders: Dict[str, Folder] = {}
        start = time.time_ns()
        stack = list(roots)
        while stack:
            path = stack.pop()
            try:
                folder = self._folder(path, skipped, previous, start)
            except OSError:
                continue  # this script cannot read it
            self._folders[path] = folder
            stack += folder.folders

    def _folder(
        self,
        path: str,
        skipped: Sequence[str],
        previous: Optional[FilesystemSnapshot],
        start: int,
    ) -> Folder:
        if sys.platform == "win32":  # there, reading a folder's times takes longer than scanning it
            return self._scan(path, skipped)
        info = os.lstat(path)
        state = (info.st_ino, info.st_ctime_ns, info.st_mtime_ns)
        known = previous._folders.get(path) if previous else None
        if previous and known and known.state == state:
            self._refresh(known, previous)
            return known
        folder = self._scan(path, skipped)
        # The kernel's clock ticks in milliseconds. Two changes within one tick have the same time.
        if info.st_ctime_ns < start - _TICK:
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
            elif _writable(info, self._user):
                folder.other_files.append(entry.path)
            else:
                folder.fixed_files.append(entry.path)
        return folder

    def _refresh(self, known: Folder, previous: FilesystemSnapshot) -> None:
        for path in known.fixed_files:
            self.tree[path] = previous.tree[path]
        for path in (*known.other_files, *known.folders):
            try:
                self._add(path, os.lstat(path))
            except OSError:
                continue

    def _add(self, path: str, info: os.stat_result) -> None:
        if stat.S_ISDIR(info.st_mode):
            self.tree[path] = [info.st_mode, 0, 0]
        else:
            self.tree[path] = [info.st_mode, info.st_size, info.st_mtime_ns]


def _writable(info: os.stat_result, user: int) -> bool:
    """Return True if the user with this number can change the content or the mode of this file."""
    if sys.platform == "win32":
        return True
    # A link cannot be changed, only replaced in its folder. The group bits show acl(5) entries.
    is_owner = user in (0, info.st_uid)
    return not stat.S_ISLNK(info.st_mode) and (is_owner or bool(info.st_mode & 0o022))


class RegistrySnapshot:
    """The values of the Windows registry by key and name; empty on other systems."""

    def __init__(self, skipped: Sequence[str], previous: Optional[RegistrySnapshot] = None) -> None:
        """Read the user's hive and the machine's hive, without the keys ``skipped``.

        For a skipped key, only the number of its subkeys and values is read. A key with the same
        last write time as in ``previous`` (RegQueryInfoKeyW) has the same values and subkeys.
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
                    known = previous._keys.get(name) if previous else None
                    if known is None or known[0] != changed:
                        subkeys = [winreg.EnumKey(key, number) for number in range(keys)]
                        entries = [winreg.EnumValue(key, number) for number in range(values)]
                        known = (changed, subkeys, entries)
            except OSError:
                continue  # the user cannot read it, or it is not an ordinary key
            self._keys[name] = known
            _, subkeys, entries = known
            self.values[name] = ""
            for value_name, value, kind in entries:
                self.values[f"{name}:{value_name}"] = f"{kind} {value!r}"[:500]
            stack += [(hive, f"{path}\\{subkey}" if path else subkey) for subkey in subkeys]


def difference(
    before: Mapping[str, Union[List[int], str]], after: Mapping[str, Union[List[int], str]]
) -> Dict[str, List[str]]:
    """Return sorted names by the kind of change: ``added``, ``removed`` and ``changed``.

    The package can make more names than the evidence can have, so there is a limit.
    """
    return {
        "added": _first(sorted(set(after) - set(before))),
        "removed": _first(sorted(set(before) - set(after))),
        "changed": _first(sorted(p for p in set(before) & set(after) if before[p] != after[p])),
    }


def _first(names: Sequence[str]) -> List[str]:
    """Return the first names, with at most ``_NAME_CHARACTERS`` in total."""
    total, first = 0, []
    for name in names:
        total += len(name)
        if total > _NAME_CHARACTERS:
            break
        first.append(name)
    return first


# ---- commands ----


def run(
    command: Sequence[str],
    env: Environment,
    cwd: str,
    seconds: float,
    account: Account,
    reader: Optional[LibraryReader] = None,
) -> CommandRun:
    """Run one command as the user types it; kill its whole process group after ``seconds``.

    Its output goes to files. With a pipe, reading would wait for a child that keeps running.
    ``reader`` answers the command while it runs.

    Raises:
        OSError: the command cannot start.
    """
    start, start_time = time.perf_counter(), time.time()
    with contextlib.ExitStack() as stack:
        if reader:
            stack.callback(reader.close)
        with account.rights():
            out_file, err_file = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out_file,
            stderr=err_file,
            start_new_session=True,
            **account.options,
        )
        watch = ProcessWatch(process, seconds)
        if reader:
            reader.start(process.pid)
        process.wait()
        watch.close()  # it may still be killing the children of the process
        out, err = (_tail(file) for file in (out_file, err_file))
    return {
        "command": command,
        "code": process.returncode,
        "stdout": out,
        "stderr": err,
        "began": round(start_time, 3),
        "seconds": round(time.perf_counter() - start, 3),
        "timed_out": watch.late,
        "stalled": round(watch.stalled, 1),
    }


def run_after_install(
    command: Sequence[str],
    env: Environment,
    cwd: str,
    seconds: float,
    account: Account,
    reader: Optional[LibraryReader] = None,
) -> CommandRun:
    """Run one command like `run`. If it cannot start, it has the exit code 127, as in a shell.

    The installed package can remove the program of the command, or the folder of the user.
    """
    start_time = time.time()
    try:
        return run(command, env, cwd, seconds, account, reader)
    except OSError as error:
        return {
            "command": command,
            "code": _NOT_STARTED,
            "stdout": "",
            "stderr": f"{type(error).__name__}: {error}",
            "began": round(start_time, 3),
            "seconds": 0.0,
            "timed_out": False,
            "stalled": 0.0,
        }


class ProcessWatch:
    """A thread that kills a process after a time limit, and measures how long the machine stalls.

    ``Popen.wait`` with a timeout would notice the end of the process up to 0.05 s late.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.late = False
        self.stalled = 0.0
        """The seconds in which this thread did not run although it was ready."""
        self._process = process
        self._deadline = time.monotonic() + seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        previous = time.monotonic()
        while not self._stop.wait(max(0.0, min(1.0, self._deadline - previous))):
            now = time.monotonic()
            if now - previous > _STALL_SECONDS:
                self.stalled += now - previous
            previous = now
            if now >= self._deadline:
                self.late = True
                _kill(self._process)
                return


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        # /T also kills the children: pip.exe only starts a python.exe.
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _OUTPUT_CHARACTERS))
    return file.read().decode("utf-8", "replace")


def _read(path: str) -> str:
    """Return the text of a file; empty if the file does not exist."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def names_in(folder: str) -> Set[str]:
    """Return the names in a folder of the user; empty if it does not exist any more."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def which(command: Sequence[str], env: Environment) -> List[str]:
    """Return ``command`` with the path of its program, if the program is on the user's PATH."""
    return [shutil.which(command[0], path=env.get("PATH")) or command[0], *command[1:]]


# ---- the machine ----


class LibraryReader:
    """A thread that reads the libraries of a process when the process asks for it; Linux only.

    All processes of the user are stopped meanwhile. The process writes its id into a FIFO and
    waits until the other FIFO has an answer (fifo(7)).
    """

    def __init__(self, folder: str, account: Account) -> None:
        """Make the FIFOs in a folder of the user."""
        self.reading: Dict[str, Union[str, List[str]]] = {}
        """The ``libraries``, or an ``error``; empty if the process has not asked."""
        self._account = account
        self._request, self._reply = (self._fifo(folder, n) for n in (_REQUEST_FIFO, _REPLY_FIFO))
        self._end, self._stop = os.pipe()
        self._thread: Optional[threading.Thread] = None

    def _fifo(self, folder: str, name: str) -> int:
        path = os.path.join(folder, name)
        with self._account.rights():
            with contextlib.suppress(OSError):
                os.mkfifo(path, 0o600)
            # A FIFO that is open for both directions does not wait for the other side.
            return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)

    def start(self, session: int) -> None:
        """Wait for the request of a process in this session."""
        self._thread = threading.Thread(target=self._wait, args=(session,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and close the descriptors."""
        os.write(self._stop, b"x")
        if self._thread:
            self._thread.join()
        for number in (self._request, self._reply, self._end, self._stop):
            os.close(number)

    def _wait(self, session: int) -> None:
        ready, _, _ = select.select([self._request, self._end], [], [])
        if self._request not in ready:
            return
        try:
            self.reading = {"libraries": self._read(os.read(self._request, 20), session)}
        except (OSError, ValueError) as error:
            self.reading = {"error": f"{type(error).__name__}: {error}"}
        os.write(self._reply, b"x")

    def _read(self, request: bytes, session: int) -> List[str]:
        number = int(request)
        if os.getsid(number) != session:
            raise OSError(f"process {number} does not belong to the command")
        with self._account.stopped(), self._account.rights():
            return mapped_libraries(f"/proc/{number}/maps")


def mapped_libraries(path: str) -> List[str]:
    """Return the full paths of the libraries in a list of mappings (proc(5), /proc/pid/maps)."""
    paths = set()
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/") and ".so" in fields[5]:
                paths.add(fields[5].rstrip("\n"))
    return sorted(paths)


def processes(account: Account) -> List[str]:
    """Return the command lines of the user's other processes (proc(5), /proc/pid/cmdline).

    A process can erase its command line. It then has the name of its program in brackets. On
    Windows, return the path of the program and the id of each process.
    """
    if sys.platform == "win32":
        return windows_processes()
    lines = []
    for number in account.processes():
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            with open(f"/proc/{number}/stat", "rb") as file:
                head, _, fields = file.read().rpartition(b")")
        except OSError:
            continue  # it has ended
        if line:
            lines.append(line)
        elif fields.split()[0] not in _ENDED:
            lines.append(f"[{head.partition(b'(')[2].decode('utf-8', 'replace')}]")
    return sorted(line[:_COMMAND_CHARACTERS] for line in lines)


def new_processes(before: Sequence[str], account: Account) -> List[str]:
    """Return the processes that did not run ``before`` and that do not end within two seconds.

    Python's helper processes, such as those of multiprocessing, end a moment after their parent.
    """
    running: List[str] = []
    for _ in range(20):
        # A process can give itself the command line of another one, so their number counts.
        running = sorted((Counter(processes(account)) - Counter(before)).elements())
        if not running:
            break
        time.sleep(0.1)
    return running


class OtherProcess:
    """A process of the user that has nothing to do with the package; Linux only.

    The machine has no other process of the user, so a package that kills all of them would meet
    none.
    """

    def __init__(self, account: Account) -> None:
        """Start it, if the user has an account of its own."""
        self._process: Optional[subprocess.Popen[bytes]] = None
        if account.is_separate:
            self._process = subprocess.Popen(
                ["sleep", "infinity"],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                **account.options,
            )

    def state(self) -> Optional[str]:
        """Return ``running``, ``stopped`` or ``ended``; None if it was not started."""
        if self._process is None:
            return None
        if self._process.poll() is not None:
            return "ended"
        return "running" if _is_running(self._process.pid) else "stopped"

    def end(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()


def windows_processes() -> List[str]:
    """Return the other running programs (K32EnumProcesses, QueryFullProcessImageNameW)."""
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


def database_files(folder: str, account: Account) -> Dict[str, str]:
    """Return the database and SQLite's files for it, by name, in base64.

    All processes of the user are stopped meanwhile, so that the files fit each other.

    Raises:
        OSError: the processes do not stop.
    """
    files = {}
    with account.stopped():
        for name in ("data.db", "data.db-wal", "data.db-journal"):
            content = read_claim(os.path.join(folder, name), account, _DATABASE_BYTES)
            if content is not None:
                files[name] = base64.b64encode(content).decode("ascii")
    return files


def network() -> Dict[str, List[List[str]]]:
    """Return this machine's ``default_routes`` (proc(5), /proc/net/route); empty on Windows."""
    if sys.platform == "win32":
        return {}
    with open("/proc/net/route", encoding="ascii") as file:
        routes = [line.split()[:4] for line in file.readlines()[1:]]
    return {"default_routes": [r for r in routes if r[1] == "00000000"]}


def network_counters() -> Optional[Dict[str, int]]:
    """Return the counters of what this machine has sent (proc(5), /proc/net/snmp); None on Windows.

    ``ActiveOpens`` are the connections that a program began, ``OutDatagrams`` the sent datagrams,
    such as lookups of names, and ``OutNoRoutes`` the packets to a network without a route. On a
    closed network that has a gateway, which never answers, an attempt is one of the first two; on
    one without a gateway it is the last one.
    """
    if sys.platform == "win32":
        return None
    counters: Dict[str, int] = {}
    names: Dict[str, List[str]] = {}
    for line in _read("/proc/net/snmp").splitlines():  # a line of names, then one of values
        protocol, *fields = line.split()
        for name, value in zip(names.setdefault(protocol, fields), fields):  # noqa: B905
            if f"{protocol}{name}" in _COUNTERS and name != value:
                counters[f"{protocol}{name}"] = int(value)
    return counters or None


def grown(
    before: Optional[Mapping[str, int]], after: Optional[Mapping[str, int]]
) -> Optional[Dict[str, int]]:
    """Return the growth of each counter that has grown; None if unknown."""
    if before is None or after is None:
        return None
    return {name: n - before[name] for name, n in after.items() if n > before.get(name, n)}


def c_library() -> List[str]:
    """Return the name and version of glibc (confstr(3)); empty strings for another C library."""
    if sys.platform == "win32":
        return ["", ""]
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError, OSError):
        return ["", ""]
    return [name, version]


def system() -> Tuple[str, str]:
    """Return the system and the processor.

    The module platform asks Windows for much more, and takes 0.1 s.
    """
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        name = f"Windows-{version.major}.{version.minor}.{version.build}"
        return name, os.environ.get("PROCESSOR_ARCHITECTURE", "")
    names = os.uname()
    return f"{names.sysname}-{names.release}-{names.machine}", names.machine


def wine() -> str:
    """Return the version of Wine; empty on other systems. Only Wine's ntdll has this function."""
    if sys.platform != "win32":
        return ""
    import ctypes

    get_version = getattr(ctypes.CDLL("ntdll"), "wine_get_version", None)
    if get_version is None:
        return ""
    get_version.restype = ctypes.c_char_p
    return get_version().decode()


def processor() -> str:
    """Return the processor's name (proc(5), /proc/cpuinfo); empty if the system reports none."""
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER", "")
    with open("/proc/cpuinfo", "rb") as file:
        text = file.read(1024).decode("ascii", "replace")
    fields = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in fields if key.strip() == "model name"), "")


# ---- the steps of a cell ----


def read_steps(text: str) -> Dict[str, Evidence]:
    """Return the steps of the exercise by name, also one that started and did not end."""
    steps: Dict[str, Evidence] = {}
    for line in text.splitlines():
        try:
            step = json.loads(line)
            steps[step["step"]] = step
        except (ValueError, KeyError, TypeError, RecursionError):
            steps["garbled"] = {"step": "garbled", "ok": False, "line": line[:500]}
    return steps


def exercise(
    instructions: Instructions,
    env: Environment,
    cwd: str,
    account: Account,
    *,
    observe: bool = False,
) -> Evidence:
    """Run the exercise in a new interpreter, and return its result and its steps.

    With ``observe``, the exercise only imports the package and makes the first native call, and
    records what these two change.
    """
    folder = os.path.join(
        instructions["folder"], _DATA, *([_OBSERVATION_FOLDER] if observe else [])
    )
    with account.rights():
        os.makedirs(folder, exist_ok=True)
    is_read = sys.platform != "win32" and not observe
    reader = LibraryReader(folder, account) if is_read else None
    environment = {**env, **instructions["exercise_env"]}
    limit = instructions["seconds"]["exercise"] + 10
    command = which(exercise_command(instructions, observe=observe), env)
    result = run_after_install(command, environment, cwd, limit, account, reader)
    trace, loaded, steps = (
        read_text(os.path.join(folder, name), account)
        for name in ("trace.txt", "loaded.txt", "steps.jsonl")
    )
    evidence: Evidence = {
        **result,
        "trace": trace[:_OUTPUT_CHARACTERS],
        "loaded": loaded.splitlines(),
        "steps": read_steps(steps),
    }
    return {**evidence, "maps": reader.reading} if reader and reader.reading else evidence


def exercise_command(instructions: Instructions, *, observe: bool) -> List[str]:
    """Return the command that starts the exercise."""
    source = os.path.join(instructions["folder"], "main.py")
    # Read as bytes: compile() reads source as UTF-8; open() on Windows has another encoding.
    code = f"exec(compile(open({source!r}, 'rb').read(), {source!r}, 'exec'))"
    return [*instructions["python"], "-c", f"second = {observe}; {code}"]


def own_tests(
    instructions: Instructions,
    tests_instructions: OwnTestsInstructions,
    env: Environment,
    cwd: str,
    account: Account,
) -> Evidence:
    """Install pytest, and run the package's own tests on the installed package."""
    limits = instructions["seconds"]
    command = which(tests_instructions["tool"], env)
    tool = run_after_install(command, env, cwd, limits["install"], account)
    if tool["code"]:
        return {"tool": tool, "test_events": "", "trace": ""}
    with account.rights():
        os.makedirs(tests_instructions["scratch"])
        if os.path.isdir(tests_instructions["source"]):  # an empty folder is not copied
            shutil.copytree(tests_instructions["source"], tests_instructions["root"])
        os.makedirs(tests_instructions["tests"], exist_ok=True)
    environment = {**env, **tests_instructions["env"]}
    result = run_after_install(
        which(tests_instructions["command"], environment),
        environment,
        tests_instructions["folder"],
        limits["tests"] + 10,
        account,
    )
    test_events = read_text(tests_instructions["test_events"], account)
    trace = read_text(tests_instructions["trace"], account)[:_OUTPUT_CHARACTERS]
    return {**result, "tool": tool, "test_events": test_events, "trace": trace}


class ProbeRun:
    """Runs the commands of a user on this machine, one after another, and collects the evidence."""

    def __init__(self, instructions: Instructions) -> None:
        self.instructions = instructions
        self.account = Account(instructions["account"])
        self.env = {**os.environ, **instructions["env"]}
        self.evidence: Evidence = {}
        self._start = time.perf_counter()
        self._seconds: Dict[str, float] = {}

    def run(self) -> None:
        """Carry out the instructions. A step that the cell does not reach has no evidence."""
        instructions, account = self.instructions, self.account
        with account.rights():
            os.makedirs(instructions["cwd"], exist_ok=True)
        other = OtherProcess(account)
        before_processes = processes(account)
        self._describe(before_processes)
        if instructions["umask"] >= 0:
            os.umask(instructions["umask"])
        self._commands("setup", instructions["setup"])
        skipped = (*instructions["skipped"], instructions["cwd"])  # the user's project can change
        before = FilesystemSnapshot(instructions["roots"], skipped, account.uid)
        registry = RegistrySnapshot(instructions["skipped_keys"])
        self._time("first-look")
        self._commands("first", instructions["first"])
        install = self._command("install", instructions["install"])
        installed = FilesystemSnapshot(instructions["roots"], skipped, account.uid, before)
        self.evidence["installed"] = difference(before.tree, installed.tree)
        if install["code"] == 0:
            if instructions["reinstall"]:
                self._reinstall(installed, skipped)
            try:
                self._use(before_processes, other)
            except OSError as error:  # the package can replace each file that its user can write
                observed = f"{type(error).__name__}: {error}"
                failure = {"cause": "evidence-refused", "where": "use", "observed": observed}
                self.evidence["testbed"] = failure
        other.end()
        after = FilesystemSnapshot(instructions["roots"], skipped, account.uid, installed)
        self.evidence["left"] = difference(before.tree, after.tree)
        self.evidence["since_installed"] = difference(installed.tree, after.tree)
        registry_after = RegistrySnapshot(instructions["skipped_keys"], registry)
        self.evidence["registry"] = difference(registry.values, registry_after.values)
        self._time("all")

    def _describe(self, running: List[str]) -> None:
        system_name, machine = system()
        self.evidence.update(
            python=sys.version.split()[0],
            abiflags=getattr(sys, "abiflags", ""),
            implementation=sys.implementation.name,
            libc=c_library(),
            machine=machine,
            processor=processor(),
            system=system_name,
            wine=wine(),
            os="windows" if sys.platform == "win32" else "linux",
            env=dict(sorted(self.env.items())),
            network=network(),
            processes_before=running,
            seconds=self._seconds,
        )

    def _time(self, name: str) -> None:
        self._seconds[name] = round(time.perf_counter() - self._start, 3)

    def _run(self, command: Sequence[str], limit: str) -> CommandRun:
        seconds = self.instructions["seconds"][limit]
        cwd = self.instructions["cwd"]
        run_command = run_after_install if "installed" in self.evidence else run
        return run_command(which(command, self.env), self.env, cwd, seconds, self.account)

    def _command(self, name: str, command: Sequence[str]) -> CommandRun:
        result = self._run(command, "install")
        self.evidence[name] = result
        return result

    def _commands(self, name: str, commands: Sequence[Sequence[str]]) -> None:
        """Run these commands until one fails, and record them in the evidence as ``name``."""
        results: List[CommandRun] = []
        for command in commands:
            results.append(self._run(command, "install"))
            if results[-1]["code"]:
                break
        self.evidence[name] = results

    def _reinstall(self, installed: FilesystemSnapshot, skipped: Sequence[str]) -> None:
        result = self._run(self.instructions["install"], "install")
        roots, user = self.instructions["roots"], self.account.uid
        after = FilesystemSnapshot(roots, skipped, user, installed)
        self.evidence["again"] = {**result, "difference": difference(installed.tree, after.tree)}

    def _import(self) -> None:
        instructions, cwd = self.instructions, self.instructions["cwd"]
        files, counters = names_in(cwd), network_counters()
        command = [*instructions["python"], "-c", instructions["import_statement"]]
        result = self._run(command, "import")
        sent = grown(counters, network_counters())
        if sent and result["code"] == 0:
            # The engine can answer a lookup of the installer after it ended, from this network.
            before = network_counters()
            self._run(command, "import")
            again = grown(before, network_counters()) or {}
            sent = {name: number for name, number in sent.items() if name in again}
        made = _first(sorted(names_in(cwd) - files))
        self.evidence["import"] = {**result, "made": made, "sent": sent}

    def _use(self, running: Sequence[str], other: OtherProcess) -> None:
        """Import, exercise, test and uninstall the package.

        ``running`` are the processes that ran before the installation.
        """
        instructions, cwd, account = self.instructions, self.instructions["cwd"], self.account
        self._commands("after_install", instructions["after_install"])
        self._import()
        exercise_run = exercise(instructions, self.env, cwd, account)
        self.evidence["exercise"] = exercise_run
        if sys.platform != "win32":  # there, the host reads the files
            self.evidence["on_disk"] = database_files(cwd, account)
        if os.path.isdir(cwd):
            self.evidence["free_bytes"] = shutil.disk_usage(cwd).free
        # Code before the import can change the process and close its streams.
        if exercise_run["code"] == 0 and not instructions["prelude"]:
            counters = network_counters()
            observation = exercise(instructions, self.env, cwd, account, observe=True)
            sent = grown(counters, network_counters())
            self.evidence["observation"] = {**observation, "sent": sent}
        self.evidence["processes"] = new_processes(running, account)
        self.evidence["other_process"] = other.state()
        if "tests" in instructions and exercise_run["code"] == 0:
            tests = instructions["tests"]
            self.evidence["tests"] = own_tests(instructions, tests, self.env, cwd, account)
        self._commands("before_uninstall", instructions["before_uninstall"])
        self._command("uninstall", instructions["uninstall"])


def main() -> None:
    """Carry out the instructions in a file, and print the evidence as the last line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        cell = ProbeRun(json.load(file))
    cell.run()
    print(json.dumps(cell.evidence), flush=True)


if __name__ == "__main__":
    main()
