"""Actions with the package after the smoke test. Scenarios select them by name.

They serve every package, because they use only its smoke test and its RECORD. A subject can have
actions of its own in the file ``own_actions.py`` in the same folder. This file executes it, so that
a function there replaces the function with the same name here.

The exercise calls these functions in its interpreter, on any CPython from 3.8. Each function
returns its observations, or raises. They use only the standard library and the package.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import time
import types
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple, Union

Observations = Dict[str, object]
_NATIVE = re.compile(r"\.(so(\.\d+[a-z]?)*|dll|pyd|dylib)$", re.IGNORECASE)
_THROW = re.compile(r"_ZSt\d+__throw_")
"""The functions of the C++ run-time that only throw an exception. A compiler for an older run-time
links the newer ones into each library. It does not matter which copy throws."""
_CHILD_SECONDS = 30
_REPORT = "report: "
"""The beginning of the line with the value of `report`."""


class Interposed(Exception):
    """Code of another library runs instead of the package's code."""


def _load(name: str) -> types.ModuleType:
    """Execute another file of this folder, and return it as a module."""
    path = os.path.join(_FOLDER, name)
    module = types.ModuleType(name.partition(".")[0])
    with open(path, "rb") as file:
        # Keep the assertions under `python -O`.
        code = compile(file.read(), path, "exec", optimize=0)
    exec(code, module.__dict__)  # noqa: S102  (our own file)
    return module


_SOURCE = _load.__code__.co_filename
_FOLDER = os.path.dirname(_SOURCE)
_DEFINITIONS = f"exec(compile(open({_SOURCE!r}, 'rb').read(), {_SOURCE!r}, 'exec'))\n"
"""The code that defines the functions of this file in another interpreter."""


# ---- the smoke test ----


@functools.lru_cache(maxsize=None)
def _smoke() -> types.ModuleType:
    return _load("calls.py")


@functools.lru_cache(maxsize=None)
def _instructions() -> Observations:
    with open(os.path.join(_FOLDER, "plan.json"), encoding="utf-8") as file:
        content: Observations = json.load(file)
    return content


def native_version() -> str:
    """Make the native call of the smoke test, and return the version that it reports."""
    return str(_smoke().native_call()["version"])


def use_package() -> str:
    """Run the smoke test in the current folder, and return the version that it reports."""
    version = native_version()
    tables = _instructions().get("tables")
    if tables is None:
        _smoke().round_trip()
    else:
        _smoke().round_trip(tables)
    return version


def _in_child(
    subject: str, code: str, *arguments: str, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run code after the definitions of this file in a new interpreter.

    ``options`` are those of subprocess.run.

    Raises:
        RuntimeError: ``subject``, which names the child, does not end within its time limit.
    """
    try:
        return subprocess.run(
            [sys.executable, "-c", _DEFINITIONS + code, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CHILD_SECONDS,
            **options,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{subject} did not end in {_CHILD_SECONDS} s") from None


def _result_of(subject: str, code: str, *arguments: str, **options: Any) -> Any:
    """Run code in a new interpreter, and return the value with which it calls `report`.

    Raises:
        RuntimeError: the child ended with an exit code other than 0, or reported nothing.
    """
    child = _in_child(subject, code, *arguments, **options)
    return _reported(subject, child.returncode, child.stdout, child.stderr)


def report(value: object) -> None:
    """Report a value to the interpreter that started this one."""
    print(f"\n{_REPORT}{json.dumps(value)}", flush=True)


def _reported(subject: str, code: int, output: bytes, errors: bytes) -> Any:
    lines = output.decode("utf-8", "replace").splitlines()
    values = [line[len(_REPORT) :] for line in lines if line.startswith(_REPORT)]
    if code or not values:
        raise RuntimeError(f"{subject} ended with {code}: {_last_line(errors)}")
    return json.loads(values[-1])


def _last_line(output: bytes) -> str:
    return (output.decode("utf-8", "replace").strip().splitlines() or ["no output"])[-1]


def _new_folder(name: str) -> str:
    folder = os.path.abspath(name)
    os.makedirs(folder)
    return folder


# ---- the installed files ----


def _recorded_files() -> Dict[str, str]:
    """Return the absolute path of each installed file in RECORD, without metadata and bytecode."""
    import importlib.metadata

    files = importlib.metadata.files(str(_instructions()["subject"])) or ()
    return {
        file.as_posix(): os.path.abspath(str(file.locate()))
        for file in files
        if not file.parts[0].endswith(".dist-info") and file.suffix != ".pyc"
        if os.path.isfile(str(file.locate()))
    }


def _importable_files() -> Dict[str, str]:
    """Return the files of RECORD in the folder of packages, by the path in this folder."""
    return {name: path for name, path in _recorded_files().items() if not name.startswith("../")}


def _native(files: Dict[str, str]) -> Dict[str, str]:
    """Return the native libraries among the files, with the extension modules."""
    return {name: path for name, path in files.items() if _NATIVE.search(name)}


def _top_level_names() -> Set[str]:
    """Return the names with which code imports the installed files, and of their folders."""
    return {name.partition("/")[0].partition(".")[0] for name in _importable_files()}


# ---- paths and users ----


def absolute_paths() -> List[str]:
    """Run the smoke test in folders with unusual names."""
    project = os.getcwd()
    length = 100
    if sys.platform == "win32":  # at most 259 characters with the names of the files
        length = max(1, min(length, 225 - len(project)))
    folders = []
    for name in ("with space", "José Müller", "日本語", "x" * length):
        folder = _new_folder(name)
        _result_of(f"the smoke test in {folder}", "report(use_package())", cwd=folder)
        folders.append(folder)
    return folders


def in_another_folder() -> str:
    """Import the package in one folder and make the first call in another."""
    package, folder = str(_instructions()["package"]), _new_folder("another")
    code = f"import {package}; os.chdir({folder!r}); report(use_package())"
    version, expected = str(_result_of("the first call in another folder", code)), native_version()
    if version != expected:
        raise RuntimeError(f"in another folder the version is {version}, expected {expected}")
    return version


def as_another_user() -> List[str]:
    """Run the smoke test as two users who can read the package and cannot change it.

    The first is user 1000, with a home folder. The second is a user number without an account and
    with the home folder ``/``, as on clusters that run each project's containers under a number.
    """
    return [_as_user(1000, at_home=True), _as_user(1_000_660_000, at_home=False)]


def _as_user(number: int, *, at_home: bool) -> str:
    import shutil
    import tempfile

    folder = tempfile.mkdtemp()
    os.chown(folder, number, number)
    user = "another user" if at_home else "a user without an account"
    try:
        child = _in_child(
            user,
            "use_package()",
            user=number,
            group=number,
            extra_groups=(),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder if at_home else "/"},
        )
        files = sorted(os.listdir(folder))
    finally:
        shutil.rmtree(folder)
    if child.returncode:
        message = f"for {user} it ended with {child.returncode}: {_last_line(child.stderr)}"
        raise PermissionError(message)
    return str(files)


# ---- replaced and interrupted installations ----


def use_replaced_release() -> None:
    """Import the installed release before another one replaces it, so that Python compiles it.

    It can be an earlier release, whose failure says nothing about the release under test.
    """
    with contextlib.suppress(RuntimeError):
        _in_child("the replaced release", f"import {_instructions()['package']}")


def hold() -> Callable[[], Observations]:
    """Use the package. Return a function that uses it again, after it was replaced."""
    before = native_version()

    def use_again() -> Observations:
        return {"before": before, "after": native_version()}

    return use_again


def check_held(report: Observations) -> None:
    """Check with the new release what the process of ``start_holder`` reports.

    Raises:
        ValueError: its version changed.
    """
    if report["before"] != report["after"]:
        raise ValueError(f"the process with the loaded library reports {report}")


def run_holder() -> None:
    """Use the package, wait for the file ``continue``, use it again, and write a report."""
    use_again = hold()
    open("holding", "w").close()
    for _ in range(1200):
        if os.path.exists("continue"):
            break
        time.sleep(0.1)
    try:
        report = use_again()
    except Exception as error:  # noqa: BLE001  (every exception is evidence)
        report = {"error": f"{type(error).__name__}: {error}"}
    with open("held.partial", "w", encoding="utf-8") as file:
        json.dump(report, file)
    os.replace("held.partial", "held.json")


def start_holder() -> None:
    """Start a process that uses the package and then waits for the file ``continue``.

    If the installed release does not work, there is no such process. It can be an earlier release.
    """
    with open("holder.txt", "wb") as output:
        holder = subprocess.Popen(
            [sys.executable, "-c", f"{_DEFINITIONS}run_holder()"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    for _ in range(600):
        if os.path.exists("holding") or holder.poll() is not None:
            return
        time.sleep(0.05)
    holder.kill()
    holder.wait()


def held_library() -> Observations:
    """Let the process of ``start_holder`` continue after the package was replaced.

    Return its observations, and the ``new`` version of the package; ``not_offered`` if the replaced
    release did not work.
    """
    open("continue", "w").close()
    if not os.path.exists("holding"):
        return {"not_offered": f"the smoke test of the replaced release: {_holder_output()}"}
    for _ in range(400):
        if os.path.exists("held.json"):
            break
        time.sleep(0.05)
    else:
        raise RuntimeError(
            f"the process with the loaded library gave no result: {_holder_output()}"
        )
    with open("held.json", encoding="utf-8") as file:
        report: Observations = json.load(file)
    if "error" in report:
        raise ValueError(f"the process with the loaded library reports {report['error']}")
    check_held(report)
    return {**report, "new": native_version()}


def _holder_output() -> str:
    with open("holder.txt", encoding="utf-8", errors="replace") as output:
        return output.read().strip()[-300:]


def interrupt_installation() -> None:
    """Leave the package in the state in which a killed pip leaves it during an installation.

    pip has renamed the old folders to a name with a tilde (pip, utils/temp_dir.py,
    AdjacentTempDirectory). It has written a part of the new files, and no metadata.
    """
    import importlib.metadata
    import shutil

    files, libraries = _importable_files(), _native(_recorded_files())
    distribution = importlib.metadata.distribution(str(_instructions()["subject"]))
    site = str(distribution.locate_file(""))
    modules = [name for name in files if name.endswith(".py") and "/__init__." not in name]
    for folder in {name.partition("/")[0] for name in files if "/" in name}:
        shutil.copytree(os.path.join(site, folder), os.path.join(site, f"~{folder[1:]}"))
    (info,) = {f.parts[0] for f in distribution.files or () if f.parts[0].endswith(".dist-info")}
    os.rename(os.path.join(site, info), os.path.join(site, f"~{info[1:]}"))
    for path in libraries.values():
        with open(path, "rb") as file:
            half = file.read(os.path.getsize(path) // 2)
        os.remove(path)  # uv hard-links it to the file in its cache, which must not change
        with open(path, "wb") as file:
            file.write(half)
    if modules:
        os.remove(files[modules[0]])


# ---- which library's code runs ----


def own_symbols() -> Dict[str, Dict[str, int]]:
    """For each library of the package, count the libraries in which its symbols are bound.

    The function reads the addresses that the linker wrote into the relocation tables of a process.
    A strong symbol that the package defines must be bound in the package, unless it is bound in the
    same library also without the other library of the scenario: Python itself can have loaded
    that one. Weak symbols, which C++ shares on purpose, are only counted.

    Raises:
        Interposed: a strong symbol of the package is bound in another library.
    """
    counts, foreign = _bindings()
    if foreign:
        code = "use_package(); report(_bindings()[1])"
        environment = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
        folder = _new_folder("without-the-other-library")
        subject = "the smoke test without the other library"
        usual = _result_of(subject, code, cwd=folder, env=environment)
        known = {(name, library, os.path.basename(owner)) for name, library, owner in usual}
        foreign = [item for item in foreign if (*item[:2], os.path.basename(item[2])) not in known]
    if foreign:
        name, library, owner = foreign[0]
        raise Interposed(
            f"{len(foreign)} symbols of the package are bound in other libraries: "
            f"{name} of {library} is bound in {owner}; all counts: {counts}"
        )
    return counts


def _bindings() -> Tuple[Dict[str, Dict[str, int]], List[Tuple[str, str, str]]]:
    """Return the counts of `own_symbols`, and the strong symbols that are bound elsewhere.

    Each such symbol has its name, the file name of its library and the path of the other library.
    """
    import ctypes

    native = {os.path.realpath(path) for path in _native(_recorded_files()).values()}
    mappings = _mappings()
    # The load address of a library is the address at which the start of its file is mapped.
    load_addresses = {path: start for start, _, path in reversed(mappings) if path in native}
    tables = {path: _symbols(path) for path in load_addresses}
    defined = {name for exports, _ in tables.values() for name in exports}
    counts: Dict[str, Dict[str, int]] = {}
    foreign = []
    for path, base in load_addresses.items():
        owners: Dict[str, int] = {}
        for name, weak, offset, addend in tables[path][1]:
            address = ctypes.c_uint64.from_address(base + offset).value - addend
            owner = next((p for start, end, p in mappings if start <= address < end), "nobody")
            key = os.path.basename(owner) + (", weak" if weak else "")
            owners[key] = owners.get(key, 0) + 1
            is_own = name in defined and not weak and not _THROW.match(name)
            if is_own and address and owner not in load_addresses:
                foreign.append((name, os.path.basename(path), owner))
        counts[os.path.basename(path)] = owners
    return counts, foreign


def _mappings() -> List[Tuple[int, int, str]]:
    """Return the mapped files of this process: start, end, path (proc(5), /proc/pid/maps)."""
    mappings = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/"):
                start, _, end = fields[0].partition("-")
                mappings.append((int(start, 16), int(end, 16), fields[5].rstrip("\n")))
    return mappings


def _symbols(path: str) -> Tuple[Set[str], List[Tuple[str, bool, int, int]]]:
    """Return the global symbols of a library, and its slots: name, is weak, offset, addend.

    System V gABI, chapters 4 and 5: sections of type SHT_DYNSYM and SHT_RELA, 64 bits. A slot holds
    the address of a function or variable (R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT), or is an entry in
    a table of pointers (R_X86_64_64; psABI, chapter 4). Only the last kind has an addend.
    """
    import struct

    with open(path, "rb") as file:
        data = file.read()
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + n * size) for n in range(count)]
    symbols: List[Tuple[str, int, int]] = []
    for _, kind, _, _, start, length, link, _, _, _ in sections:
        if kind != 11:
            continue
        names = sections[link][4]
        for position in range(start, start + length, 24):
            name, info, _, section, _, _ = struct.unpack_from("<IBBHQQ", data, position)
            end = data.index(b"\0", names + name)
            symbols.append((data[names + name : end].decode("latin-1"), info >> 4, section))
    slots = []
    for _, kind, _, _, start, length, _, _, _, _ in sections:
        if kind != 4:
            continue
        for position in range(start, start + length, 24):
            offset, info, addend = struct.unpack_from("<QQq", data, position)
            name, binding, _ = symbols[info >> 32]
            relocation = info & 0xFFFFFFFF
            if relocation in (1, 6, 7) and name:
                slots.append((name, binding != 1, offset, addend if relocation == 1 else 0))
    return {name for name, binding, section in symbols if section and binding == 1}, slots


# ---- other processes ----


def in_forked_child() -> Union[int, Observations]:
    """Run the smoke test in a forked child; its exit code must be 0.

    A child has only the thread that forks, so a library with other threads may fail in it (POSIX,
    fork). If the package has started threads and fails, a process forks that has only imported it.
    If the import starts threads too, the fork is ``not_offered``.
    """
    import faulthandler

    faulthandler.cancel_dump_traceback_later()  # it has a thread
    try:
        return _fork("forked")
    except RuntimeError as error:
        if _threads() == 1:
            raise
        reason = str(error)
    fork = "report(_fork('forked-after-import') if _threads() == 1 else None)"
    code = f"import {_instructions()['package']}; {fork}"
    if _result_of("the process that forks", code) is None:
        return {"not_offered": f"a fork after the import has started threads: {reason}"}
    return 0


def _threads() -> int:
    """Return the number of threads. A thread that has just ended stays for a moment."""
    for _ in range(20):
        if len(os.listdir("/proc/self/task")) == 1:
            break
        time.sleep(0.01)
    return len(os.listdir("/proc/self/task"))


def _fork(name: str) -> int:
    folder = _new_folder(name)
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            use_package()
        except BaseException as error:  # noqa: BLE001  (the child must not return from here)
            with open(os.path.join(folder, "error.txt"), "w", encoding="utf-8") as file:
                file.write(f": {type(error).__name__}: {error}")
            os._exit(1)
        os._exit(0)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                reason = ""
                if os.path.exists(os.path.join(folder, "error.txt")):
                    with open(os.path.join(folder, "error.txt"), encoding="utf-8") as file:
                        reason = file.read()
                raise RuntimeError(f"the forked child ended with {status}{reason}")
            return status
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise RuntimeError("the forked child did not end in 10 s")


# A spawned child imports its function by name, so it is in a module of the current folder.
_SPAWNED = """
def work(source, pipe):
    try:
        uses = {"__name__": "uses"}
        with open(source, "rb") as file:
            exec(compile(file.read(), source, "exec"), uses)
        uses["os"].mkdir("spawned")
        uses["os"].chdir("spawned")
        pipe.send(("", uses["use_package"]()))
    except BaseException as error:
        pipe.send((f"{type(error).__name__}: {error}", ""))
"""


def in_spawned_child() -> str:
    """Run the smoke test in a spawned child, and return the version that the child reports."""
    import importlib
    import multiprocessing

    with open("spawned_work.py", "w", encoding="utf-8") as file:
        file.write(_SPAWNED)
    importlib.invalidate_caches()
    work = importlib.import_module("spawned_work").work
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    child = context.Process(target=work, args=(_SOURCE, child_end))
    child.start()
    child_end.close()
    try:
        error, version = parent_end.recv() if parent_end.poll(30) else ("no answer in 30 s", "")
    except EOFError:
        error, version = "no answer", ""
    child.join(10)
    if child.exitcode is None:
        child.kill()
        child.join()
    if error or child.exitcode or version != native_version():
        reason = error or f"it reports the version {version}"
        raise RuntimeError(f"the spawned child ended with {child.exitcode}: {reason}")
    return str(version)


def two_interpreters() -> List[str]:
    """Run the smoke test in two interpreters at the same time, and return their versions."""
    code = (
        "open(sys.argv[1], 'w').close()\n"
        "for _ in range(500):\n"
        "    if all(map(os.path.exists, ('../ready-a', '../ready-b'))): break\n"
        "    time.sleep(0.02)\n"
        "report(use_package())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _DEFINITIONS + code, f"../ready-{name}"],
            cwd=_new_folder(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    versions = []
    try:
        for child in children:
            output, errors = child.communicate(timeout=_CHILD_SECONDS)
            reported = _reported("one of two interpreters", child.returncode, output, errors)
            versions.append(str(reported))
    finally:
        for child in children:
            child.kill()
            child.wait()
    return versions


# ---- the package in an archive ----

_WORKS = "it works"


def from_zip() -> str:
    """Use the package from a zip archive: it works or raises an error that names the reason."""
    archive = os.path.abspath("packages.zip")
    _pack(archive)
    return _works_or_says_why("import_from(sys.argv[1])", archive)


def from_frozen() -> List[str]:
    """Use the package as a frozen program does, with its libraries in the folder and without.

    It works or raises an error that names the reason. It must not use the installed libraries.
    """
    import shutil

    archive = os.path.abspath("frozen.zip")
    _pack(archive)
    native = _native(_importable_files())
    results = []
    for name in ("whole", "without-libraries") if native else ("whole",):
        folder = _new_folder(name)
        for file, path in native.items() if name == "whole" else ():
            target = os.path.join(folder, *file.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
        results.append(_works_or_says_why("import_as_frozen(*sys.argv[1:])", archive, folder))
    return results


def _pack(archive: str) -> None:
    """Write the importable files of the package into a zip archive."""
    import zipfile

    with zipfile.ZipFile(archive, "w") as target:
        for name, path in _importable_files().items():
            target.write(path, name)


class _Finder:
    """Finds the modules of the package below one path. The installed ones stay hidden."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names = _top_level_names()

    def find_spec(
        self, name: str, path: Optional[Sequence[str]] = None, _: object = None
    ) -> object:
        """Return the spec of a module of the package; None for a module of another package."""
        from importlib.machinery import PathFinder

        if name.partition(".")[0] not in self.names:
            return None
        spec = self.find_own(name) or PathFinder.find_spec(name, path or [self.path])
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def find_own(self, _name: str) -> object:
        """Return the spec of a module that the import system does not find below the path."""
        return None


class _FrozenFinder(_Finder):
    """Imports modules as a frozen program does: the code is in an archive, and its file missing."""

    def __init__(self, path: str, archive: str) -> None:
        import zipfile

        super().__init__(path)
        self.archive = zipfile.ZipFile(archive)
        self.members = set(self.archive.namelist())

    def find_own(self, name: str) -> object:
        """Return the spec of a module whose code is in the archive."""
        from importlib.machinery import EXTENSION_SUFFIXES
        from importlib.util import spec_from_file_location

        stem = name.replace(".", "/")
        native = (os.path.join(self.path, *f"{stem}{end}".split("/")) for end in EXTENSION_SUFFIXES)
        if any(map(os.path.exists, native)):
            return None  # Python prefers an extension module to Python code
        for ending in ("/__init__.py", ".py"):
            if stem + ending in self.members:
                file = os.path.join(self.path, *(stem + ending).split("/"))
                folders = [os.path.dirname(file)] if ending.startswith("/") else None
                return spec_from_file_location(
                    name,
                    f"{file}c",
                    loader=self,  # type: ignore[arg-type]
                    submodule_search_locations=folders,
                )
        return None

    def create_module(self, _: object) -> None:
        """Let the import system create the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the code of a module."""
        file = str(module.__file__)[:-1]
        member = os.path.relpath(file, self.path).replace(os.sep, "/")
        exec(compile(self.archive.read(member), f"{file}c", "exec"), module.__dict__)  # noqa: S102


def import_from(archive: str) -> None:
    """Let this interpreter import the package from an archive only, and report the native call."""
    sys.meta_path.insert(0, _Finder(archive))  # type: ignore[arg-type]
    report(_attempt())


def import_as_frozen(archive: str, folder: str) -> None:
    """Let this interpreter import the package as a frozen program in a folder, and call it.

    Raises:
        RuntimeError: it uses an installed library.
    """
    installed = {os.path.normcase(os.path.realpath(p)) for p in _native(_recorded_files()).values()}
    finder = _FrozenFinder(folder, archive)
    # The attributes that freezing programs set (PyInstaller, Run-time Information).
    sys.frozen, sys._MEIPASS = True, folder  # type: ignore[attr-defined]
    sys.prefix = sys.exec_prefix = folder
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    result = _attempt()
    for path in _loaded({os.path.basename(path) for path in installed}):
        if os.path.normcase(os.path.realpath(path)) in installed:
            raise RuntimeError(f"it uses {path}, which is not in its folder")
    report(result)


def _attempt() -> str:
    """Make the native call. Return "it works", or the exception as a traceback names it."""
    try:
        native_version()
    except Exception as error:  # noqa: BLE001  (every exception is evidence)
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return f"{module}{kind.__qualname__}: {error}"
    return _WORKS


def _loaded(names: Set[str]) -> List[str]:
    """Return the paths of the libraries with these file names in this process."""
    if sys.platform != "win32":
        return [path for _, _, path in _mappings() if os.path.basename(path) in names]
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32")
    kernel.GetModuleHandleW.restype = wintypes.HMODULE
    kernel.GetModuleFileNameW.argtypes = [wintypes.HMODULE, wintypes.LPWSTR, wintypes.DWORD]
    paths = []
    for name in names:
        path = ctypes.create_unicode_buffer(32768)
        handle = kernel.GetModuleHandleW(name)
        if handle and kernel.GetModuleFileNameW(handle, path, len(path)):
            paths.append(path.value)
    return paths


def explains(error: str) -> bool:
    """Return True if an error, with its type, names the reason why the package does not work."""
    return bool(error.partition(": ")[2].strip())


def _works_or_says_why(code: str, *arguments: str) -> str:
    """Run code that reports "it works" or an error, and return this text.

    Raises:
        RuntimeError: the interpreter ended, or the error does not explain why.
    """
    result = str(_result_of("it", code, *arguments))
    if result != _WORKS and not explains(result):
        raise RuntimeError(f"it does not name the reason: {result}")
    return result


# ---- the other files of this folder ----


def _add_files() -> None:
    """Record the files that the smoke test writes, and add the subject's own actions."""
    _load("files.py").record()
    own = os.path.join(_FOLDER, "own_actions.py")
    if os.path.exists(own):
        with open(own, "rb") as file:
            exec(compile(file.read(), own, "exec"), globals())  # noqa: S102  (the subject's)


if os.path.exists(os.path.join(_FOLDER, "plan.json")):  # on a machine
    _add_files()
