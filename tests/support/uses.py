"""Ways of using the package beyond the exercise, tried by the scenarios that name them.

It is executed by the exercise, in its interpreter and after its steps; each function says what it
saw, or raises. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

_SCHEMA = """
CREATE TABLE Configuration (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE Plant (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL, units INTEGER) STRICT;
"""


def _make(path: str, schema: str = "uses.sql") -> Any:
    import quiverdb

    with open(schema, "w", encoding="utf-8") as file:
        file.write(_SCHEMA)
    return quiverdb.Database.from_schema(path, schema)


def _add(database: Any, label: str, units: int) -> None:
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


def old_data() -> dict[str, Any]:
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


def absolute_paths() -> list[str]:
    """Make and open databases by full paths, in folders with names of all sorts."""
    import quiverdb

    made = []
    for name in ("with space", "José Müller", "日本語", "x" * 100):
        folder = os.path.join(os.getcwd(), name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{name}.db")
        database = _make(path, os.path.join(folder, f"{name}.sql"))
        _add(database, name, 1)
        database.close()
        database = quiverdb.Database.open(path)
        labels = list(database.read_scalar_strings("Plant", "label"))
        database.close()
        if labels != [name] or not os.path.isfile(path):
            raise ValueError(f"{path} holds {labels} (there: {os.listdir(folder)})")
        made.append(path)
    return made


def own_sqlite() -> dict[str, str]:
    """Ask the package and the other SQLite in this process who they are."""
    import ctypes

    other = ctypes.CDLL("libsqlite3.so.0")
    other.sqlite3_sourceid.restype = ctypes.c_char_p
    theirs = other.sqlite3_sourceid().decode()
    database = _make("sqlite.db")
    ours = database.query_string("SELECT sqlite_source_id()")
    database.close()
    # The machine's distributor may have marked its own build at the end.
    if ours[:60] == theirs[:60]:
        raise ValueError(f"calls of the bundled SQLite ended in the machine's: {ours}")
    return {"ours": ours, "theirs": theirs}


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
        except BaseException:  # noqa: BLE001  (told by the code: the child must not return)
            os._exit(1)
        os._exit(0)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError(f"the forked child ended with {status}")
            return status
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise RuntimeError("the forked child did not end in 10 s")


def in_spawned_child() -> str:
    """Use the package in a child that starts anew and gets its work by name."""
    import multiprocessing

    import quiverdb

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        told = pool.apply_async(quiverdb.version).get(timeout=20)
    if told != quiverdb.version():
        raise RuntimeError(f"the spawned child says {told}")
    return str(told)


_WRITER = """
import sys, time, quiverdb
database = quiverdb.Database.open("shared.db")
for number in range(20):
    for attempt in range(200):
        try:
            database.create_element("Plant", label=f"{sys.argv[1]}-{number}", units=number)
            break
        except quiverdb.QuiverError:
            time.sleep(0.02)
    else:
        raise SystemExit("it was locked for 4 s")
database.close()
"""


def two_interpreters() -> int:
    """Let two interpreters write to one database at once; every row must be there."""
    import quiverdb

    _make("shared.db").close()
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, name], stderr=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=30)
        if writer.returncode:
            last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise RuntimeError(f"one of two writers ended with {writer.returncode}: {last}")
    database = quiverdb.Database.open("shared.db")
    labels = set(database.read_scalar_strings("Plant", "label"))
    database.close()
    if len(labels) != 40:
        raise ValueError(f"two interpreters wrote 40 rows, {len(labels)} are there")
    return len(labels)


def from_zip() -> str:
    """Import the package from a zip archive: the first call must say that this cannot work."""
    import zipfile

    import quiverdb

    home = os.path.dirname(quiverdb.__file__)
    archive = os.path.abspath("packages.zip")
    with zipfile.ZipFile(archive, "w") as target:
        for folder, _, names in os.walk(home):
            for name in names:
                path = os.path.join(folder, name)
                target.write(path, os.path.relpath(path, os.path.dirname(home)))
    code = (
        f"import sys; sys.path.insert(0, {archive!r}); import quiverdb; print(quiverdb.version())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    errors = ran.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
    last = errors[-1]
    if ran.returncode == 0:
        return "it works"
    clear = last.startswith(("quiverdb.", "ImportError: ")) and "quiverdb" in last
    if ran.returncode < 0 or not clear:
        raise RuntimeError(f"it ended with {ran.returncode} and said: {last}")
    return last


USES = {
    one.__name__: one
    for one in (
        old_data, absolute_paths, own_sqlite, in_forked_child, in_spawned_child, two_interpreters,
        from_zip,
    )
}  # fmt: skip
