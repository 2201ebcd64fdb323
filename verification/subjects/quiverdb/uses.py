"""The actions that only quiverdb has, after the smoke test. They need its database.

``verification/probe/uses.py`` executes this file on the machine, on any CPython from 3.8. A
function here replaces the function with the same name there. Each function returns its
observations, or raises. They use only the standard library, the package and that file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Callable, Dict, List, Union

if TYPE_CHECKING:
    import quiverdb
    from verification.probe.uses import Interposed, Observations

_SCHEMA = """
CREATE TABLE Configuration (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE Plant (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL, units INTEGER) STRICT;
"""


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


# ---- old data ----


def use_replaced_release() -> None:
    """Write the database that another release reads later. If it exists, only use the package."""
    import quiverdb

    if os.path.exists("old.db"):
        quiverdb.version()
        return
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


# ---- a process that uses the package while it is replaced ----


def hold() -> Callable[[], Observations]:
    """Use a database. Return a function that uses it and another one after the replacement."""
    import quiverdb

    database = _create("held.db", "held.sql")
    before = quiverdb.version()
    _add(database, "before", 1)

    def use_again() -> Observations:
        _add(database, "after", 2)
        after = quiverdb.version()
        labels = sorted(database.read_scalar_strings("Plant", "label"))
        database.close()
        new_database = _create("again.db", "held.sql")
        _add(new_database, "again", 3)
        new_database.close()
        return {"before": before, "after": after, "labels": labels}

    return use_again


def check_held(report: Observations) -> None:
    """Check the observations of the old process, and read its database with the new release.

    Raises:
        ValueError: the version changed, or rows are missing.
    """
    import quiverdb

    if report["before"] != report["after"] or report["labels"] != ["after", "before"]:
        raise ValueError(f"the process with the loaded library reports {report}")
    if hasattr(quiverdb.Database, "open"):
        database = quiverdb.Database.open("held.db")
        labels = sorted(database.read_scalar_strings("Plant", "label"))
        database.close()
        if labels != report["labels"]:
            raise ValueError(
                f"the old process wrote {report['labels']}, and the new one reads {labels}"
            )


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


# ---- other processes ----

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


# ---- the package in an archive ----


def explains(error: str) -> bool:
    """Return True if an error names the missing part of the package.

    An error of the package, an ImportError or a RuntimeError does, unless the loader or the
    interpreter wrote the message.
    """
    kind, _, message = error.partition(": ")
    if "quiver" not in message or not (
        kind.startswith("quiverdb.") or kind in ("ImportError", "RuntimeError")
    ):
        return False
    if kind == "ImportError" and (
        "cannot import name" in message or message.startswith("DLL load")
    ):
        return False
    return not message.partition(": ")[2].startswith("cannot open shared object file")
