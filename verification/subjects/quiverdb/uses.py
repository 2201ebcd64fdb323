"""Actions with quiverdb after the smoke test. Scenarios select them by name.

The exercise calls these functions in its interpreter, on any CPython from 3.8. Each function
returns its observations, or raises. They use only the standard library and the package.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Dict, List, Set, Tuple, TypedDict, Union

if TYPE_CHECKING:
    import quiverdb

_SCHEMA = """
CREATE TABLE Configuration (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE Plant (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL, units INTEGER) STRICT;
"""


class Interposed(Exception):
    """Code of another library runs instead of the package's code."""


def _create(path: str, schema: str = "uses.sql") -> quiverdb.Database:
    import quiverdb

    with open(schema, "w", encoding="utf-8") as file:
        file.write(_SCHEMA)
    return quiverdb.Database.from_schema(path, schema)


def _add(database: quiverdb.Database, label: str, units: int) -> None:
    import quiverdb

    try:
        database.create_element("Plant", label=label, units=units)
    except TypeError:  # releases before 0.6.0 need an Element
        element = quiverdb.Element()
        element.set("label", label)
        element.set("units", units)
        database.create_element("Plant", element)


def write_old_data() -> None:
    """Write the database that another release reads later."""
    database = _create("old.db")
    _add(database, "Itaipú", 20)
    database.close()


def old_data() -> Dict[str, Union[List[str], List[int]]]:
    """Write to the database of another release, and return its ``labels`` and ``units``."""
    import quiverdb

    database = quiverdb.Database.open("old.db")
    _add(database, "new", 1)
    labels = list(database.read_scalar_strings("Plant", "label"))
    units = list(database.read_scalar_integers("Plant", "units"))
    database.close()
    if labels != ["Itaipú", "new"] or units != [20, 1]:
        raise ValueError(
            f"another release wrote Itaipú and 20, and this one reads {labels} and {units}"
        )
    return {"labels": labels, "units": units}


def absolute_paths() -> List[str]:
    """Create and open databases by absolute paths, in folders with unusual names.

    Schema, migrations, database and log must be in the expected folder. No other file may appear.
    """
    import quiverdb

    project = os.getcwd()
    length = 100
    if sys.platform == "win32":  # at most 259 characters with the 8 of SQLite's "-journal"
        length = min(length, (245 - len(project)) // 2)
    paths = []
    os.makedirs("elsewhere")
    os.chdir("elsewhere")  # the package must not write here
    for name in ("with space", "José Müller", "日本語", "x" * length):
        folder = os.path.join(project, name)
        os.makedirs(folder)
        path = os.path.join(folder, f"{name}.db")
        database = _create(path, os.path.join(folder, f"{name}.sql"))
        _add(database, name, 1)
        reported_path = database.path() if hasattr(database, "path") else path
        database.close()
        labels = [name]
        if hasattr(quiverdb.Database, "open"):
            database = quiverdb.Database.open(path)
            labels = list(database.read_scalar_strings("Plant", "label"))
            database.close()
        if labels != [name] or os.path.normcase(reported_path) != os.path.normcase(path):
            raise ValueError(
                f"expected {name} in {path}, and the package reports {labels} in {reported_path}"
            )
        _migrate(folder, name)
        expected = {f"{name}.db", f"{name}.sql", "steps", "m.db", "quiver_database.log"}
        if not hasattr(quiverdb.Database, "from_migrations"):
            expected.remove("m.db")
        if set(os.listdir(folder)) != expected:
            raise ValueError(f"{folder} has {os.listdir(folder)}, expected {expected}")
        paths.append(path)
    if files := os.listdir("."):
        raise ValueError(f"the package wrote {files} into the current folder")
    os.chdir(project)
    return paths


def _migrate(folder: str, name: str) -> None:
    """Migrate a database to version 2, with migrations in a folder of this name."""
    import quiverdb

    steps = os.path.join(folder, "steps", name[:20])
    for number, sql in enumerate((_SCHEMA, "ALTER TABLE Plant ADD COLUMN area REAL;"), 1):
        os.makedirs(os.path.join(steps, str(number)))
        for file, text in (("up.sql", sql), ("down.sql", "SELECT 1;")):
            with open(os.path.join(steps, str(number), file), "w", encoding="utf-8") as target:
                target.write(text)
    if not hasattr(quiverdb.Database, "from_migrations"):
        return
    database = quiverdb.Database.from_migrations(os.path.join(folder, "m.db"), steps)
    version = database.current_version()
    database.close()
    if version != 2:
        raise ValueError(f"after two migrations in {steps} the version is {version}")


def as_another_user() -> List[str]:
    """Use the package as two users who can read it and cannot change it.

    The first is user 1000, with a home folder. The second is a user number without an account and
    with the home folder ``/``, as on clusters that run each project's containers under a number.
    """
    return [_as_user(1000, at_home=True), _as_user(1_000_660_000, at_home=False)]


def _as_user(number: int, *, at_home: bool) -> str:
    import shutil
    import tempfile

    folder = tempfile.mkdtemp()
    os.chown(folder, number, number)
    source = as_another_user.__code__.co_filename
    code = f"exec(compile(open({source!r}, 'rb').read(), 'uses.py', 'exec')); write_old_data()"
    try:
        result = subprocess.run(
            [sys.executable, "-c", code],
            user=number,
            group=number,
            extra_groups=(),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder if at_home else "/"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
        files = sorted(os.listdir(folder))
    finally:
        shutil.rmtree(folder)
    if result.returncode or "old.db" not in files:
        user = "another user" if at_home else "a user without an account"
        last_line = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise PermissionError(f"for {user} it ended with {result.returncode}: {last_line}")
    return str(files)


# ---- a process that uses the package while it is replaced ----

_HOLDER = """
import os, sys, time, json, quiverdb
exec(compile(open(sys.argv[1], "rb").read(), "uses.py", "exec"))
database = _create("held.db", "held.sql")
before = quiverdb.version()
_add(database, "before", 1)
open("holding", "w").close()
for _ in range(1200):
    if os.path.exists("continue"):
        break
    time.sleep(0.1)
report = {"before": before}
try:
    _add(database, "after", 2)
    report["after"] = quiverdb.version()
    report["labels"] = sorted(database.read_scalar_strings("Plant", "label"))
    database.close()
    new_database = _create("again.db", "held.sql")
    _add(new_database, "again", 3)
    new_database.close()
except Exception as error:
    report["error"] = repr(error)
with open("held.partial", "w") as file:
    json.dump(report, file)
os.replace("held.partial", "held.json")
"""


def start_holder(source: str) -> None:
    """Start a process that uses the package and then waits for the file ``continue``.

    ``source`` is the path of this file. The process executes it too.

    Raises:
        SystemExit: the process did not start to use the package.
    """
    import time

    with open("holder.txt", "wb") as output:
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, source],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    for _ in range(600):
        if os.path.exists("holding"):
            return
        if holder.poll() is not None:
            break
        time.sleep(0.05)
    with open("holder.txt", encoding="utf-8", errors="replace") as file:
        last_line = (file.read().strip().splitlines() or ["no output"])[-1]
    raise SystemExit(f"error: the process that loads the library: {last_line}")


class HolderReport(TypedDict, total=False):
    """The observations of the process of `start_holder`, and the ``new`` version of the package.

    ``before`` and ``after`` are the versions that the process reports before and after the
    replacement. ``labels`` are the rows that it wrote, and ``error`` is its exception.
    """

    before: str
    after: str
    labels: List[str]
    error: str
    new: str


def held_library() -> HolderReport:
    """Let the process of ``start_holder`` continue after the package was replaced.

    The library in that process must still work, and the new release must read its data.
    """
    import json
    import time

    open("continue", "w").close()
    started = os.path.exists("holding")
    for _ in range(400 if started else 0):
        if os.path.exists("held.json"):
            break
        time.sleep(0.05)
    else:
        with open("holder.txt", encoding="utf-8", errors="replace") as output:
            last_output = output.read()[-300:]
        raise RuntimeError(f"the process with the loaded library gave no result: {last_output}")
    with open("held.json", encoding="utf-8") as file:
        report: HolderReport = json.load(file)
    is_error = "error" in report or report["before"] != report["after"]
    if is_error or report["labels"] != ["after", "before"]:
        raise ValueError(f"the process with the loaded library reports {report}")
    import quiverdb

    report["new"] = quiverdb.version()
    if hasattr(quiverdb.Database, "open"):
        database = quiverdb.Database.open("held.db")
        labels = sorted(database.read_scalar_strings("Plant", "label"))
        database.close()
        if labels != report["labels"]:
            raise ValueError(
                f"the old process wrote {report['labels']}, and the new one reads {labels}"
            )
    return report


def interrupt_installation() -> None:
    """Leave the package in the state in which a killed pip leaves it during an installation.

    pip has renamed the old files to a name with a tilde (pip, utils/temp_dir.py,
    AdjacentTempDirectory). It has written a part of the new files, and no metadata.
    """
    import importlib.metadata
    import shutil

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    site, name = os.path.split(home)
    version = importlib.metadata.version("quiverdb")
    shutil.copytree(home, os.path.join(site, f"~{name[1:]}"))
    info = f"{name}-{version}.dist-info"
    os.rename(os.path.join(site, info), os.path.join(site, f"~{info[1:]}"))
    libraries = os.path.join(home, "_libs")
    for library in os.listdir(libraries):
        path = os.path.join(libraries, library)
        with open(path, "rb") as file:
            half = file.read(os.path.getsize(path) // 2)
        os.remove(path)  # uv hard-links it to the file in its cache, which must not change
        with open(path, "wb") as file:
            file.write(half)
    os.remove(os.path.join(home, "database.py"))


# ---- which library's code runs ----


def own_sqlite() -> Dict[str, str]:
    """Return the source ids of the bundled SQLite (``ours``) and of the machine's (``theirs``).

    Both are loaded in this process. ``not_offered`` names the call that an older release lacks.

    Raises:
        Interposed: the package reports the machine's SQLite.
    """
    import sqlite3

    connection = sqlite3.connect(":memory:")
    (machine_source_id,) = connection.execute("SELECT sqlite_source_id()").fetchone()
    connection.close()
    database = _create("sqlite.db")
    if not hasattr(database, "query_string"):
        return {"theirs": machine_source_id, "not_offered": "query_string"}
    package_source_id = database.query_string("SELECT sqlite_source_id()")
    database.close()
    # A Linux distribution can change the end of the id of its build.
    if package_source_id[:60] == machine_source_id[:60] and not _libraries_contain(
        package_source_id[:60]
    ):
        raise Interposed(
            f"calls of the bundled SQLite reach the machine's SQLite: {package_source_id}"
        )
    return {"ours": package_source_id, "theirs": machine_source_id}


def _libraries_contain(text: str) -> bool:
    """Return True if a library of the package contains this text."""
    import quiverdb

    for folder, _, names in os.walk(os.path.dirname(quiverdb.__file__)):
        for name in names:
            if ".so" in name or name.endswith(".dll"):
                with open(os.path.join(folder, name), "rb") as file:
                    if text.encode() in file.read():
                        return True
    return False


def own_symbols() -> Dict[str, Dict[str, int]]:
    """For each library of the package, count the libraries in which its symbols are bound.

    The function reads the addresses that the linker wrote into the relocation tables of a process.
    A strong symbol that the package defines must be bound in the package. Weak symbols, which C++
    shares on purpose, are only counted.

    Raises:
        Interposed: a strong symbol of the package is bound in another library.
        RuntimeError: the libraries have no symbols to check.
    """
    import ctypes

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    mappings = _mappings()
    # The load address of a library is the address at which the start of its file is mapped.
    load_addresses = {path: start for start, _, path in reversed(mappings) if path.startswith(home)}
    tables = {path: _symbols(path) for path in load_addresses}
    defined = {name for exports, _ in tables.values() for name in exports}
    counts: Dict[str, Dict[str, int]] = {}
    interposed = []
    for path, base in load_addresses.items():
        owners: Dict[str, int] = {}
        for name, weak, offset, addend in tables[path][1]:
            address = ctypes.c_uint64.from_address(base + offset).value - addend
            owner = next((p for start, end, p in mappings if start <= address < end), "nobody")
            key = os.path.basename(owner) + (", weak" if weak else "")
            owners[key] = owners.get(key, 0) + 1
            if name in defined and not weak and address and owner not in load_addresses:
                interposed.append(f"{name} of {os.path.basename(path)} is bound in {owner}")
        counts[os.path.basename(path)] = owners
    if interposed:
        raise Interposed(
            f"{len(interposed)} symbols of the package are bound in other libraries: "
            f"{interposed[0]}; all counts: {counts}"
        )
    if not any(counts.values()):
        raise RuntimeError(f"there are no symbols to check in {sorted(load_addresses)}")
    return counts


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


def in_forked_child() -> int:
    """Use the package in a forked child; its exit code must be 0."""
    import time

    import quiverdb

    child = os.fork()
    if child == 0:
        try:
            database = _create("child.db")
            _add(database, "child", 1)
            database.close()
            quiverdb.version()
        except BaseException as error:  # noqa: BLE001  (the child must not return from here)
            with open("child.txt", "w", encoding="utf-8") as file:
                file.write(f": {type(error).__name__}: {error}")
            os._exit(1)
        os._exit(0)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                reason = ""
                if os.path.exists("child.txt"):
                    with open("child.txt", encoding="utf-8") as file:
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
        database = uses["_create"]("spawned.db")
        uses["_add"](database, "spawned", 1)
        database.close()
        import quiverdb
        pipe.send(("", quiverdb.version()))
    except BaseException as error:
        pipe.send((f"{type(error).__name__}: {error}", ""))
"""


def in_spawned_child() -> str:
    """Use the package in a spawned child, and return the version that the child reports."""
    import importlib
    import multiprocessing

    import quiverdb

    with open("spawned_work.py", "w", encoding="utf-8") as file:
        file.write(_SPAWNED)
    importlib.invalidate_caches()
    work = importlib.import_module("spawned_work").work
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    child = context.Process(target=work, args=(in_spawned_child.__code__.co_filename, child_end))
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
    if error or child.exitcode or version != quiverdb.version():
        reason = error or f"it reports the version {version}"
        raise RuntimeError(f"the spawned child ended with {child.exitcode}: {reason}")
    return str(version)


_WRITER = """
import os, sys, time, quiverdb
exec(compile(open(sys.argv[2], "rb").read(), "uses.py", "exec"))
database = quiverdb.Database.open("shared.db")
open(f"ready-{sys.argv[1]}", "w").close()
for _ in range(400):
    if os.path.exists("ready-a") and os.path.exists("ready-b"):
        break
    time.sleep(0.05)
refused = 0
for number in range(20):
    for attempt in range(200):
        try:
            _add(database, f"{sys.argv[1]}-{number}", number)
            break
        except quiverdb.QuiverError as error:
            refused += 1
            last = error
            time.sleep(0.02)
    else:
        raise SystemExit(f"all attempts of 4 s were refused: {last}")
database.close()
print(refused)
if refused > 20:
    raise SystemExit(f"{refused} of {refused + 20} attempts were refused: {last}")
"""


def two_interpreters() -> Dict[str, Union[int, str, List[int]]]:
    """Write to one database from two interpreters at the same time; no row may be lost.

    If the package refuses an attempt, the writer repeats it. At most half of them may be refused.
    Return the numbers of ``rows`` and of ``refused`` attempts, or what is ``not_offered``.
    """
    import quiverdb

    if not hasattr(quiverdb.Database, "open"):
        return {"not_offered": "Database.open"}  # releases before 0.7.9
    _create("shared.db").close()
    source = two_interpreters.__code__.co_filename
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, name, source],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    refused = []
    try:
        for writer in writers:
            output, errors = writer.communicate(timeout=40)
            if writer.returncode:
                last_line = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
                message = f"one of two writers ended with {writer.returncode}: {last_line}"
                raise RuntimeError(message)
            refused.append(int(output.split()[-1]))
    finally:
        for writer in writers:  # after a failure the other writer still waits for its partner
            writer.kill()
            writer.wait()
    database = quiverdb.Database.open("shared.db")
    labels = set(database.read_scalar_strings("Plant", "label"))
    database.close()
    if len(labels) != 40:
        raise ValueError(f"two interpreters wrote 40 rows, and the database has {len(labels)}")
    return {"rows": len(labels), "refused": refused}


def in_another_folder() -> str:
    """Import the package in one folder and make the first call in another."""
    import quiverdb

    os.makedirs("another")
    code = "import os, quiverdb; os.chdir('another'); print(quiverdb.version())"
    result = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    versions = result.stdout.decode("utf-8", "replace").split()[-1:]
    if result.returncode or versions != [quiverdb.version()]:
        last_line = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(
            f"the first call in another folder ended with {result.returncode}: {last_line}"
        )
    return versions[0]


def from_zip() -> str:
    """Import the package from a zip archive. The first call must raise an error with the reason."""
    archive = os.path.abspath("packages.zip")
    _pack(archive)
    dependencies = _copy_dependencies()
    code_before_import = f"{_WITHOUT_SITE_PACKAGES}sys.path[:0] = [{archive!r}, {dependencies!r}]"
    return _works_or_says_why(code_before_import)


# Imports modules as a frozen program does: the code is in an archive, and the files do not exist.
_FROZEN = """
import importlib.machinery, importlib.util, os, sys, zipfile
folder, archive = sys.argv[1:]
sys.frozen, sys._MEIPASS = True, folder
modules = zipfile.ZipFile(archive)
class Finder:
    def find_spec(self, name, path=None, target=None):
        for ending in ("/__init__.py", ".py"):
            member = name.replace(".", "/") + ending
            if member in modules.namelist():
                path_of_file = os.path.join(folder, *member.split("/"))
                package = [os.path.dirname(path_of_file)] if ending[0] == "/" else None
                return importlib.util.spec_from_file_location(
                    name, path_of_file + "c", loader=self, submodule_search_locations=package)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        member = os.path.relpath(module.__file__[:-1], folder).replace(os.sep, "/")
        exec(compile(modules.read(member), module.__file__, "exec"), module.__dict__)
sys.meta_path.insert(0, Finder())
"""


def from_frozen() -> List[str]:
    """Import the package as a frozen program does, with its libraries in the folder and without.

    Without the libraries it must not work. If it does, it uses libraries from another folder.
    """
    import shutil

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    archive = os.path.abspath("frozen.zip")
    _pack(archive)
    dependencies = _copy_dependencies()
    results = []
    for name in ("whole", "without-libraries"):
        folder = os.path.abspath(name)
        os.makedirs(folder)
        if name == "whole":
            shutil.copytree(os.path.join(home, "_libs"), os.path.join(folder, "quiverdb", "_libs"))
        code_before_import = (
            f"{_WITHOUT_SITE_PACKAGES}sys.path.insert(0, {dependencies!r})\n{_FROZEN}"
        )
        results.append(_works_or_says_why(code_before_import, folder, archive))
    if results[1] == _WORKS:
        raise RuntimeError("without its libraries it uses libraries from an unknown folder")
    return results


_WORKS = "it works"
# Hides the installed package, so that only the one in the archive can be imported.
_WITHOUT_SITE_PACKAGES = (
    "import sys; sys.path[:] = [p for p in sys.path if not p.endswith('-packages')]\n"
)


def _copy_dependencies() -> str:
    """Copy the dependencies of the package into a new folder, and return the folder."""
    import importlib.metadata
    import shutil

    folder = os.path.abspath("dependencies")
    for name in ("cffi", "pycparser"):
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and os.path.isfile(file.locate()):
                target = os.path.join(folder, *file.parts)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(file.locate(), target)
    return folder


def _pack(archive: str) -> None:
    """Write the package into a zip archive."""
    import zipfile

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    with zipfile.ZipFile(archive, "w") as target:
        for folder, _, names in os.walk(home):
            for name in names:
                path = os.path.join(folder, name)
                target.write(path, os.path.relpath(path, os.path.dirname(home)))


def _is_from_loader(message: str) -> bool:
    """Return True if the loader or the interpreter wrote the message, and not the package."""
    kind, _, text = message.partition(": ")
    if kind == "ImportError" and ("cannot import name" in text or text.startswith("DLL load")):
        return True
    return text.partition(": ")[2].startswith("cannot open shared object file")


def _works_or_says_why(code_before_import: str, *arguments: str) -> str:
    """Run this code, import the package and call it; return "it works", or the package's error.

    Raises:
        RuntimeError: it did not work, and the error does not explain why. An error of the package,
            an ImportError or a RuntimeError explains it if its message names what is missing.
    """
    code = f"{code_before_import}\nimport quiverdb; print(quiverdb.version())"
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )
    errors = result.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
    last_line = errors[-1]
    if result.returncode == 0:
        return _WORKS
    is_deliberate = last_line.startswith(("quiverdb.", "ImportError: ", "RuntimeError: "))
    names_cause = "quiver" in last_line.partition(": ")[2] and not _is_from_loader(last_line)
    if result.returncode < 0 or not (is_deliberate and names_cause):
        raise RuntimeError(f"it ended with {result.returncode}: {last_line}")
    return last_line
