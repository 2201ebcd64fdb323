"""Ways of using quiverdb after the smoke test. Scenarios select them by name.

The exercise calls these functions in its interpreter, on any CPython from 3.8. Each function
returns what it observed, or raises. They use only the standard library and the package.
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
    """Another's code answers in place of the package's own."""


def _make(path: str, schema: str = "uses.sql") -> quiverdb.Database:
    import quiverdb

    with open(schema, "w", encoding="utf-8") as file:
        file.write(_SCHEMA)
    return quiverdb.Database.from_schema(path, schema)


def _add(database: quiverdb.Database, label: str, units: int) -> None:
    import quiverdb

    try:
        database.create_element("Plant", label=label, units=units)
    except TypeError:  # releases before 0.6.0 take an Element
        element = quiverdb.Element()
        element.set("label", label)
        element.set("units", units)
        database.create_element("Plant", element)


def write_old_data() -> None:
    """Write the database that another release will read."""
    database = _make("old.db")
    _add(database, "Itaipú", 20)
    database.close()


def old_data() -> Dict[str, Union[List[str], List[int]]]:
    """Read what another release wrote, and write to it."""
    import quiverdb

    database = quiverdb.Database.open("old.db")
    _add(database, "new", 1)
    labels = list(database.read_scalar_strings("Plant", "label"))
    units = list(database.read_scalar_integers("Plant", "units"))
    database.close()
    if labels != ["Itaipú", "new"] or units != [20, 1]:
        raise ValueError(f"another release wrote Itaipú and 20, read were {labels} and {units}")
    return {"labels": labels, "units": units}


def absolute_paths() -> List[str]:
    """Make and open databases by full paths, in folders with names of all sorts.

    Schema, migrations, database and log are each where they ought to be, and nothing is elsewhere.
    """
    import quiverdb

    top = os.getcwd()
    longest = 100
    if sys.platform == "win32":  # at most 259 characters, of which SQLite's journal takes 8
        longest = min(longest, (245 - len(top)) // 2)
    made = []
    os.makedirs("elsewhere")
    os.chdir("elsewhere")  # where nothing may appear
    for name in ("with space", "José Müller", "日本語", "x" * longest):
        folder = os.path.join(top, name)
        os.makedirs(folder)
        path = os.path.join(folder, f"{name}.db")
        database = _make(path, os.path.join(folder, f"{name}.sql"))
        _add(database, name, 1)
        told = database.path() if hasattr(database, "path") else path
        database.close()
        labels = [name]
        if hasattr(quiverdb.Database, "open"):
            database = quiverdb.Database.open(path)
            labels = list(database.read_scalar_strings("Plant", "label"))
            database.close()
        if labels != [name] or os.path.normcase(told) != os.path.normcase(path):
            raise ValueError(f"{told} holds {labels}, {path} was to hold {name}")
        _migrate(folder, name)
        wanted = {f"{name}.db", f"{name}.sql", "steps", "m.db", "quiver_database.log"}
        if not hasattr(quiverdb.Database, "from_migrations"):
            wanted.remove("m.db")
        if set(os.listdir(folder)) != wanted:
            raise ValueError(f"{folder} holds {os.listdir(folder)}, and ought to hold {wanted}")
        made.append(path)
    if strays := os.listdir("."):
        raise ValueError(f"in the current folder there appeared {strays}")
    os.chdir(top)
    return made


def _migrate(folder: str, name: str) -> None:
    """Bring a database to version 2 by migrations in a folder of this name."""
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
        raise ValueError(f"two migrations in {steps} made version {version}")


def as_another_user() -> List[str]:
    """Use the package as somebody who may read it and no more.

    That is user 1000, at home in a folder of his own; and a number that no account has and whose
    home is the root, as containers are run where each project has a number of its own.
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
        ran = subprocess.run(
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
        found = sorted(os.listdir(folder))
    finally:
        shutil.rmtree(folder)
    if ran.returncode or "old.db" not in found:
        who = "another user" if at_home else "a user without an account"
        last = ran.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise PermissionError(f"{who} gets {ran.returncode} and {last}")
    return str(found)


# ---- what goes on while the package is replaced ----

_HOLDER = """
import os, sys, time, json, quiverdb
exec(compile(open(sys.argv[1], "rb").read(), "uses.py", "exec"))
database = _make("held.db", "held.sql")
before = quiverdb.version()
_add(database, "before", 1)
open("holding", "w").close()
for _ in range(1200):
    if os.path.exists("go-on"):
        break
    time.sleep(0.1)
told = {"before": before}
try:
    _add(database, "after", 2)
    told["after"] = quiverdb.version()
    told["labels"] = sorted(database.read_scalar_strings("Plant", "label"))
    database.close()
    again = _make("again.db", "held.sql")
    _add(again, "again", 3)
    again.close()
except Exception as error:
    told["error"] = repr(error)
with open("held.partial", "w") as file:
    json.dump(told, file)
os.replace("held.partial", "held.json")
"""


def start_holder(source: str) -> None:
    """Start a process that uses the package, and leave it running until it is told to go on.

    ``source`` is this file, which that process needs as well.
    """
    import time

    with open("holder.txt", "wb") as said:
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, source],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    for _ in range(600):
        if os.path.exists("holding"):
            return
        if holder.poll() is not None:
            break
        time.sleep(0.05)
    with open("holder.txt", encoding="utf-8", errors="replace") as told:
        last = (told.read().strip().splitlines() or ["it said nothing"])[-1]
    raise SystemExit(f"error: the process that was to hold the library: {last}")


class Held(TypedDict, total=False):
    """What the process reports that had the library loaded."""

    before: str
    after: str
    labels: List[str]
    error: str
    new: str


def held_library() -> Held:
    """Let that process go on: the library that it has must still work, and the data be one."""
    import json
    import time

    open("go-on", "w").close()
    began = os.path.exists("holding")
    for _ in range(400 if began else 0):
        if os.path.exists("held.json"):
            break
        time.sleep(0.05)
    else:
        with open("holder.txt", encoding="utf-8", errors="replace") as said:
            raise RuntimeError(f"the process that had it loaded is gone: {said.read()[-300:]}")
    with open("held.json", encoding="utf-8") as file:
        told: Held = json.load(file)
    if "error" in told or told["before"] != told["after"] or told["labels"] != ["after", "before"]:
        raise ValueError(f"the process that had it loaded says {told}")
    import quiverdb

    told["new"] = quiverdb.version()
    if hasattr(quiverdb.Database, "open"):
        database = quiverdb.Database.open("held.db")
        labels = sorted(database.read_scalar_strings("Plant", "label"))
        database.close()
        if labels != told["labels"]:
            raise ValueError(f"the old process wrote {told['labels']}, the new one reads {labels}")
    return told


def interrupt_installation() -> None:
    """Leave the package as pip does when it is killed between removing and unpacking it.

    What was there is set aside under a name with a tilde (pip, utils/temp_dir.py,
    AdjacentTempDirectory); the new files are there in part, and nothing says whose they are.
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
        os.remove(path)  # uv's file is one with that of its cache
        with open(path, "wb") as file:
            file.write(half)
    os.remove(os.path.join(home, "database.py"))


# ---- whose code runs ----


def own_sqlite() -> Dict[str, str]:
    """Ask the package and the other SQLite in this process who they are."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    (theirs,) = connection.execute("SELECT sqlite_source_id()").fetchone()
    connection.close()
    database = _make("sqlite.db")
    if not hasattr(database, "query_string"):
        return {"theirs": theirs, "not_offered": "query_string"}
    ours = database.query_string("SELECT sqlite_source_id()")
    database.close()
    # The machine's distributor may have marked its own build at the end.
    if ours[:60] == theirs[:60] and not _holds(ours[:60]):
        raise Interposed(f"calls of the bundled SQLite ended in the machine's: {ours}")
    return {"ours": ours, "theirs": theirs}


def _holds(text: str) -> bool:
    """Return whether a library of the package has this text: then it may be its own answer."""
    import quiverdb

    found = False
    for folder, _, names in os.walk(os.path.dirname(quiverdb.__file__)):
        for name in names:
            if ".so" in name or name.endswith(".dll"):
                with open(os.path.join(folder, name), "rb") as file:
                    found = found or text.encode() in file.read()
    return found


def own_symbols() -> Dict[str, Dict[str, int]]:
    """Look where the linker bound what the package's libraries define: it must be in the package.

    The slots of the relocation tables are read where they are in this process. Weak symbols, which
    C++ means to be shared, are counted and not judged.
    """
    import ctypes

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    places = _places()
    # The address that a library is loaded at is where the file's beginning is mapped.
    own = {path: start for start, _, path in reversed(places) if path.startswith(home)}
    tables = {path: _symbols(path) for path in own}
    defined = {name for exports, _ in tables.values() for name in exports}
    answered: Dict[str, Dict[str, int]] = {}
    strays = []
    for path, base in own.items():
        counted: Dict[str, int] = {}
        for name, weak, offset, addend in tables[path][1]:
            address = ctypes.c_uint64.from_address(base + offset).value - addend
            owner = next((p for start, end, p in places if start <= address < end), "nobody")
            key = os.path.basename(owner) + (", weak" if weak else "")
            counted[key] = counted.get(key, 0) + 1
            if name in defined and not weak and address and owner not in own:
                strays.append(f"{name} of {os.path.basename(path)} is answered by {owner}")
        answered[os.path.basename(path)] = counted
    if strays:
        raise Interposed(f"{len(strays)} symbols of its own, first {strays[0]}; {answered}")
    if not any(answered.values()):
        raise RuntimeError(f"nothing of it could be looked at: {sorted(own)} name no symbols")
    return answered


def _places() -> List[Tuple[int, int, str]]:
    """Return where files are mapped in this process: start, end, path (proc(5))."""
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/"):
                start, _, end = fields[0].partition("-")
                found.append((int(start, 16), int(end, 16), fields[5].rstrip("\n")))
    return found


def _symbols(path: str) -> Tuple[Set[str], List[Tuple[str, bool, int, int]]]:
    """Return what a library defines for all, and its slots: name, whether weak, offset, addend.

    System V gABI, chapters 4 and 5: sections of type SHT_DYNSYM and SHT_RELA, 64 bits. A slot is
    what a call or an address goes through, or a place in a table of pointers (R_X86_64_GLOB_DAT,
    R_X86_64_JUMP_SLOT and R_X86_64_64; psABI, chapter 4): only the last has an addend.
    """
    import struct

    with open(path, "rb") as file:
        data = file.read()
    (at,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, at + n * size) for n in range(count)]
    symbols: List[Tuple[str, int, int]] = []
    for _, kind, _, _, start, length, link, _, _, _ in sections:
        if kind != 11:
            continue
        names = sections[link][4]
        for place in range(start, start + length, 24):
            name, info, _, section, _, _ = struct.unpack_from("<IBBHQQ", data, place)
            end = data.index(b"\0", names + name)
            symbols.append((data[names + name : end].decode("latin-1"), info >> 4, section))
    slots = []
    for _, kind, _, _, start, length, _, _, _, _ in sections:
        if kind != 4:
            continue
        for place in range(start, start + length, 24):
            offset, info, addend = struct.unpack_from("<QQq", data, place)
            name, binding, _ = symbols[info >> 32]
            how = info & 0xFFFFFFFF
            if how in (1, 6, 7) and name:
                slots.append((name, binding != 1, offset, addend if how == 1 else 0))
    return {name for name, binding, section in symbols if section and binding == 1}, slots


def in_forked_child() -> int:
    """Use the package in a forked child; its exit code must be 0."""
    import time

    import quiverdb

    child = os.fork()
    if child == 0:
        try:
            database = _make("child.db")
            _add(database, "child", 1)
            database.close()
            quiverdb.version()
        except BaseException as error:  # noqa: BLE001  (told by the file: it must not return)
            with open("child.txt", "w", encoding="utf-8") as said:
                said.write(f": {type(error).__name__}: {error}")
            os._exit(1)
        os._exit(0)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                last = ""
                if os.path.exists("child.txt"):
                    with open("child.txt", encoding="utf-8") as said:
                        last = said.read()
                raise RuntimeError(f"the forked child ended with {status}{last}")
            return status
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise RuntimeError("the forked child did not end in 10 s")


# A child that starts anew imports its work by name, so that is a module in the current folder.
_SPAWNED = """
def work(source, answer):
    try:
        known = {"__name__": "uses"}
        with open(source, "rb") as file:
            exec(compile(file.read(), source, "exec"), known)
        database = known["_make"]("spawned.db")
        known["_add"](database, "spawned", 1)
        database.close()
        import quiverdb
        answer.send(("", quiverdb.version()))
    except BaseException as error:
        answer.send((f"{type(error).__name__}: {error}", ""))
"""


def in_spawned_child() -> str:
    """Use the package in a child that starts anew and gets its work by name."""
    import importlib
    import multiprocessing

    import quiverdb

    with open("spawned_work.py", "w", encoding="utf-8") as file:
        file.write(_SPAWNED)
    importlib.invalidate_caches()
    work = importlib.import_module("spawned_work").work
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(in_spawned_child.__code__.co_filename, theirs))
    child.start()
    theirs.close()
    try:
        error, version = ours.recv() if ours.poll(30) else ("it said nothing in 30 s", "")
    except EOFError:
        error, version = "it ended without a word", ""
    child.join(10)
    if child.exitcode is None:
        child.kill()
        child.join()
    if error or child.exitcode or version != quiverdb.version():
        told = error or f"it says {version}"
        raise RuntimeError(f"the spawned child ended with {child.exitcode}: {told}")
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
        raise SystemExit(f"it was refused for 4 s: {last}")
database.close()
print(refused)
if refused > 20:
    raise SystemExit(f"{refused} of {refused + 20} attempts were refused: {last}")
"""


def two_interpreters() -> Dict[str, Union[int, str, List[int]]]:
    """Let two interpreters, both of which have it open, write to one database; every row is there.

    An attempt may be refused and made again, but not more often than every second one.
    """
    import quiverdb

    if not hasattr(quiverdb.Database, "open"):
        return {"not_offered": "Database.open"}  # releases before 0.7.9
    _make("shared.db").close()
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
            told, errors = writer.communicate(timeout=40)
            if writer.returncode:
                last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
                raise RuntimeError(f"one of two writers ended with {writer.returncode}: {last}")
            refused.append(int(told.split()[-1]))
    finally:
        for writer in writers:  # one that waits for the other is not the package's doing
            writer.kill()
            writer.wait()
    database = quiverdb.Database.open("shared.db")
    labels = set(database.read_scalar_strings("Plant", "label"))
    database.close()
    if len(labels) != 40:
        raise ValueError(f"two interpreters wrote 40 rows, {len(labels)} are there")
    return {"rows": len(labels), "refused": refused}


def in_another_folder() -> str:
    """Import the package in one folder and make the first call in another."""
    import quiverdb

    os.makedirs("another")
    code = "import os, quiverdb; os.chdir('another'); print(quiverdb.version())"
    ran = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    told = ran.stdout.decode("utf-8", "replace").split()[-1:]
    if ran.returncode or told != [quiverdb.version()]:
        last = ran.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(f"the first call in another folder ended with {ran.returncode}: {last}")
    return told[0]


def from_zip() -> str:
    """Import the package from a zip archive: the first call must say that this cannot work."""
    archive = os.path.abspath("packages.zip")
    _pack(archive)
    beside = _dependencies_alone()
    return _works_or_says_why(f"{_ALONE}sys.path[:0] = [{archive!r}, {beside!r}]")


# What programs that freeze others do: a module's file need not exist, for its code is elsewhere.
_FROZEN = """
import importlib.machinery, importlib.util, os, sys, zipfile
folder, archive = sys.argv[1:]
sys.frozen, sys._MEIPASS = True, folder
held = zipfile.ZipFile(archive)
class Finder:
    def find_spec(self, name, path=None, target=None):
        for ending in ("/__init__.py", ".py"):
            inside = name.replace(".", "/") + ending
            if inside in held.namelist():
                place = os.path.join(folder, *inside.split("/"))
                package = [os.path.dirname(place)] if ending[0] == "/" else None
                return importlib.util.spec_from_file_location(
                    name, place + "c", loader=self, submodule_search_locations=package)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        inside = os.path.relpath(module.__file__[:-1], folder).replace(os.sep, "/")
        exec(compile(held.read(inside), module.__file__, "exec"), module.__dict__)
sys.meta_path.insert(0, Finder())
"""


def from_frozen() -> List[str]:
    """Import the package as a frozen program does, its libraries beside it and left out."""
    import shutil

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    archive = os.path.abspath("frozen.zip")
    _pack(archive)
    beside = _dependencies_alone()
    said = []
    for name in ("whole", "without-libraries"):
        folder = os.path.abspath(name)
        os.makedirs(folder)
        if name == "whole":
            shutil.copytree(os.path.join(home, "_libs"), os.path.join(folder, "quiverdb", "_libs"))
        prelude = f"{_ALONE}sys.path.insert(0, {beside!r})\n{_FROZEN}"
        said.append(_works_or_says_why(prelude, folder, archive))
    if said[1] == "it works":
        raise RuntimeError("it works without its libraries: whose it uses is not known")
    return said


# Where the package is in an archive it is not installed as well.
_ALONE = "import sys; sys.path[:] = [p for p in sys.path if not p.endswith('-packages')]\n"


def _dependencies_alone() -> str:
    """Return a folder with what the package depends on, and without the package."""
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
    """Put the package into a zip archive."""
    import zipfile

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    with zipfile.ZipFile(archive, "w") as target:
        for folder, _, names in os.walk(home):
            for name in names:
                path = os.path.join(folder, name)
                target.write(path, os.path.relpath(path, os.path.dirname(home)))


def _raw(message: str) -> bool:
    """Return whether the loader or the interpreter speaks, and nobody for the package."""
    kind, _, told = message.partition(": ")
    if kind == "ImportError" and ("cannot import name" in told or told.startswith("DLL load")):
        return True
    return told.partition(": ")[2].startswith("cannot open shared object file")


def _works_or_says_why(prelude: str, *arguments: str) -> str:
    """Import the package and call it, after this code; return what it says.

    Raises:
        RuntimeError: it neither worked nor said why not: an error raised on purpose, the package's
            own or Python's for imports and for what nothing else fits, that names what is missing.
    """
    code = f"{prelude}\nimport quiverdb; print(quiverdb.version())"
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )
    errors = ran.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
    last = errors[-1]
    if ran.returncode == 0:
        return "it works"
    meant = last.startswith(("quiverdb.", "ImportError: ", "RuntimeError: "))
    clear = meant and "quiver" in last.partition(": ")[2] and not _raw(last)
    if ran.returncode < 0 or not clear:
        raise RuntimeError(f"it ended with {ran.returncode} and said: {last}")
    return last
