"""Creating, opening and closing databases; their paths, logs and versions."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SCHEMA
from quiverdb import Database, LogLevel, QuiverError

COLLECTION = "(id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL)"


def from_sql(folder: Path, sql: str) -> Database:
    (folder / "other.sql").write_text(sql, encoding="utf-8")
    return Database.from_schema(
        folder / "other.db", folder / "other.sql", console_level=LogLevel.OFF
    )


def migrations(folder: Path, *steps: str) -> Path:
    for number, sql in enumerate(steps, start=1):
        step = folder / "migrations" / str(number)
        step.mkdir(parents=True, exist_ok=True)
        (step / "up.sql").write_text(sql, encoding="utf-8")
    return folder / "migrations"


def test_a_database_says_what_it_is(db: Database, tmp_path: Path):
    assert db.path() == str(tmp_path / "plants.db")
    assert db.current_version() == 1
    assert db.is_healthy()
    report = db.describe()
    assert "Collection: Plant (0 elements)" in report
    assert "vector costs: cost REAL step INTEGER kind TEXT" in report
    assert "time series flow: [date_time]" in report


def test_what_was_written_is_there_after_opening_again(db: Database):
    db.create_element("Plant", label="North", units=3)
    db.close()
    with Database.open(db_path := db_file(db), console_level=LogLevel.OFF) as again:
        assert again.path() == db_path
        assert again.read_scalar_integers("Plant", "units") == [3]


def db_file(db: Database) -> str:
    with pytest.raises(QuiverError, match="closed"):
        db.path()
    return os.fspath(next(Path.cwd().glob("plants.db")))


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_keyword_names_are_those_of_the_released_package(tmp_path: Path, schema: Path):
    path = str(tmp_path / "k.db")
    made = Database.from_schema(
        db_path=path, schema_path=str(schema), read_only=False, console_level=LogLevel.OFF
    )
    made.close()
    Database.open(db_path=path, read_only=True, console_level=LogLevel.OFF).close()
    Database.from_migrations(
        db_path=str(tmp_path / "m.db"),
        migrations_path=str(migrations(tmp_path, SCHEMA)),
        console_level=LogLevel.OFF,
    ).close()


@pytest.mark.parametrize("name", ["with space.db", "José Müller.db", "量子 データ.db", "é.db"])
def test_paths_of_any_script(tmp_path: Path, name: str):
    folder = tmp_path / Path(name).stem
    folder.mkdir()
    (folder / name).with_suffix(".sql").write_text(SCHEMA, encoding="utf-8")
    path = folder / name
    with Database.from_schema(path, path.with_suffix(".sql"), console_level=LogLevel.OFF) as db:
        db.create_element("Region", label=name)
        assert db.path() == str(path)
    assert path.is_file()
    assert (folder / "quiver_database.log").is_file()
    with Database.open(path, read_only=True) as db:
        assert db.read_scalar_strings("Region", "label") == [name]


@pytest.mark.usefixtures("schema")
def test_paths_of_any_script_in_the_c_locale(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
):
    done = python(
        "import quiverdb, sys\n"
        "with quiverdb.Database.from_schema('José 量子.db', 'schema.sql') as db:\n"
        "    assert db.path() == 'José 量子.db'\n",
        LANG="C",
        LC_ALL="C",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "José 量子.db").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_a_path_that_is_not_utf8(schema: Path):
    name = os.fsdecode(b"caf\xe9.db")
    with Database.from_schema(name, schema, console_level=LogLevel.OFF) as db:
        assert db.path() == name
    assert Path(name).is_file()


def test_a_path_with_a_zero_character_is_refused(schema: Path):
    with pytest.raises(ValueError, match="zero character"):
        Database.from_schema("a\0b.db", schema)


def test_in_memory_leaves_no_file(tmp_path: Path, schema: Path):
    with Database.from_schema(":memory:", schema) as db:
        assert db.create_element("Region", label="A") == 1
        assert db.path() == ":memory:"
    assert [path.name for path in tmp_path.iterdir()] == ["schema.sql"]


def test_opening_what_is_not_there_creates_nothing(tmp_path: Path):
    with pytest.raises(QuiverError, match=r"missing\.db.*no such file"):
        Database.open("missing.db", console_level=LogLevel.OFF)
    assert list(tmp_path.iterdir()) == []


def test_opening_what_is_no_database(tmp_path: Path):
    (tmp_path / "text.db").write_text("not a database " * 100)
    with pytest.raises(QuiverError, match="not a database"):
        Database.open("text.db", console_level=LogLevel.OFF)


def test_a_missing_schema_file_is_named_and_leaves_no_database(tmp_path: Path):
    with pytest.raises(QuiverError, match=r"schema file not found: nowhere\.sql"):
        Database.from_schema("a.db", "nowhere.sql", console_level=LogLevel.OFF)
    assert not (tmp_path / "a.db").exists()


def test_a_schema_never_replaces_a_database(db: Database, schema: Path):
    with pytest.raises(QuiverError, match="holds tables already"):
        Database.from_schema(db.path(), schema, console_level=LogLevel.OFF)
    assert db.is_healthy()


def test_broken_sql_is_reported_and_leaves_no_database(tmp_path: Path):
    with pytest.raises(QuiverError, match="syntax error"):
        from_sql(tmp_path, f"CREATE TABLE Configuration {COLLECTION}; CREATE TABEL x;")
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("", "no table 'Configuration'"),
        (
            "CREATE TABLE Plant (id INTEGER PRIMARY KEY)",
            "'Plant' needs 'label TEXT UNIQUE NOT NULL'",
        ),
        (
            "CREATE TABLE Plant (id TEXT PRIMARY KEY, label TEXT UNIQUE NOT NULL)",
            "'Plant' needs 'id",
        ),
        (f"CREATE TABLE Plant {COLLECTION[:-1]}, b BLOB)", "'Plant.b' has type 'BLOB'"),
        ("CREATE TABLE some_thing (id INTEGER)", "'some_thing' is neither"),
        ("CREATE TABLE Plant_set_x (id INTEGER, x TEXT)", "no table 'Plant'"),
        (
            f"CREATE TABLE Plant {COLLECTION};"
            "CREATE TABLE Plant_vector_x (id INTEGER REFERENCES Plant (id), x TEXT)",
            r"ON DELETE CASCADE'.*needs 'PRIMARY KEY \(id, vector_index\)'",
        ),
        (
            f"CREATE TABLE Plant {COLLECTION};"
            "CREATE TABLE Plant_set_x (id INTEGER REFERENCES Plant (id) ON DELETE CASCADE, x TEXT)",
            "UNIQUE constraint",
        ),
        (
            f"CREATE TABLE Plant {COLLECTION}; CREATE TABLE Plant_time_series_x"
            " (id INTEGER REFERENCES Plant (id) ON DELETE CASCADE, x TEXT, PRIMARY KEY (id, x))",
            r"column 'date_\*'",
        ),
    ],
)
def test_a_breach_of_the_conventions_is_named(tmp_path: Path, sql: str, fault: str):
    if sql:
        sql = f"CREATE TABLE Configuration {COLLECTION}; {sql};"
    with pytest.raises(QuiverError, match=fault):
        from_sql(tmp_path, sql)
    assert not (tmp_path / "other.db").exists()


def test_all_breaches_are_reported_at_once(tmp_path: Path):
    with pytest.raises(QuiverError) as caught:
        from_sql(tmp_path, "CREATE TABLE Plant (id INTEGER); CREATE TABLE a_b (c TEXT);")
    for fault in ("Configuration", "'id INTEGER PRIMARY KEY'", "label", "'a_b'"):
        assert fault in str(caught.value)


def test_a_byte_order_mark_and_a_files_table_do_no_harm(tmp_path: Path):
    sql = (
        f"\ufeffCREATE TABLE Configuration {COLLECTION}; CREATE TABLE Plant {COLLECTION};"
        "CREATE TABLE Plant_time_series_files (flow TEXT);"
    )
    with from_sql(tmp_path, sql) as db:
        assert db.list_time_series_groups("Plant") == []


def test_read_only_reads_and_does_not_write(db: Database, tmp_path: Path, schema: Path):
    db.create_element("Region", label="A")
    db.close()
    (tmp_path / "quiver_database.log").unlink()
    with Database.open("plants.db", read_only=True, console_level=LogLevel.OFF) as same:
        assert same.read_scalar_strings("Region", "label") == ["A"]
        with pytest.raises(QuiverError, match="readonly"):
            same.create_element("Region", label="B")
    assert not (tmp_path / "quiver_database.log").exists()
    with pytest.raises(QuiverError, match="read-only"):
        Database.from_schema("b.db", schema, read_only=True, console_level=LogLevel.OFF)


def test_migrations_bring_a_database_up_step_by_step(tmp_path: Path):
    folder = migrations(
        tmp_path,
        f"CREATE TABLE Configuration {COLLECTION};",
        f"CREATE TABLE Plant {COLLECTION};",
    )
    with Database.from_migrations("m.db", folder, console_level=LogLevel.OFF) as db:
        assert db.current_version() == 2
        db.create_element("Plant", label="North")
    migrations(folder.parent, *[(folder / n / "up.sql").read_text() for n in "12"],
               "ALTER TABLE Plant ADD COLUMN units INTEGER;")  # fmt: skip
    with pytest.raises(QuiverError, match="read-only"):
        Database.from_migrations("m.db", folder, read_only=True, console_level=LogLevel.OFF)
    with Database.from_migrations("m.db", folder, console_level=LogLevel.OFF) as db:
        assert db.current_version() == 3
        assert db.read_scalar_integers("Plant", "units") == [None]
    with Database.from_migrations("m.db", folder, read_only=True) as db:
        assert db.current_version() == 3


def test_a_tenth_migration_comes_after_the_ninth(tmp_path: Path):
    steps = [f"CREATE TABLE Configuration {COLLECTION};"]
    steps += [f"CREATE TABLE T{n} {COLLECTION};" for n in range(2, 10)]
    steps.append("DROP TABLE T9;")
    with Database.from_migrations(":memory:", migrations(tmp_path, *steps)) as db:
        assert db.current_version() == 10


def test_a_failing_migration_is_named_and_undone(tmp_path: Path):
    good = f"CREATE TABLE Configuration {COLLECTION};"
    Database.from_migrations("m.db", migrations(tmp_path, good), console_level=4).close()
    folder = migrations(tmp_path, good, f"CREATE TABLE Plant {COLLECTION}; CREATE nonsense;")
    with pytest.raises(QuiverError, match="migration 2 failed"):
        Database.from_migrations("m.db", folder, console_level=LogLevel.OFF)
    with Database.open("m.db", console_level=LogLevel.OFF) as db:
        assert db.current_version() == 1
        assert "Plant" not in db.describe()


def test_migrations_that_cannot_be(tmp_path: Path):
    with pytest.raises(QuiverError, match=r"cannot be read: .*nowhere"):
        Database.from_migrations("a.db", "nowhere", console_level=LogLevel.OFF)
    (tmp_path / "empty").mkdir()
    with pytest.raises(QuiverError, match="there is no migration"):
        Database.from_migrations("a.db", "empty", console_level=LogLevel.OFF)
    (tmp_path / "empty" / "1").mkdir()
    with pytest.raises(QuiverError, match="migration 1 not found"):
        Database.from_migrations("a.db", "empty", console_level=LogLevel.OFF)
    assert not (tmp_path / "a.db").exists()


def test_a_database_newer_than_the_migrations_is_refused(tmp_path: Path):
    sql = f"CREATE TABLE Configuration {COLLECTION};"
    from_sql(tmp_path, f"PRAGMA user_version = 7; {sql}").close()
    with pytest.raises(QuiverError, match="at version 7, newer than"):
        Database.from_migrations("other.db", migrations(tmp_path, sql), console_level=4)


def test_closing_twice_is_fine_and_use_afterwards_raises(db: Database):
    db.close()
    db.close()
    for use in (
        db.path,
        db.is_healthy,
        db.begin_transaction,
        lambda: db.create_element("Region", label="A"),
        lambda: db.read_vector_floats("Plant", "cost"),
        lambda: db.query_integer("SELECT 1"),
    ):
        with pytest.raises(QuiverError, match="closed"):
            use()
    assert repr(db) == "<quiverdb.Database, closed>"


def test_a_with_block_closes_when_it_raises(schema: Path):
    with pytest.raises(KeyError), Database.from_schema(":memory:", schema) as db:
        raise KeyError
    with pytest.raises(QuiverError, match="closed"):
        db.path()


def test_a_database_that_is_forgotten_warns(schema: Path):
    forgotten = [Database.from_schema(":memory:", schema)]
    with pytest.warns(ResourceWarning, match="not closed"):
        forgotten.clear()


def test_the_log_is_beside_the_database(db: Database, tmp_path: Path):
    db.close()
    log = (tmp_path / "quiver_database.log").read_text(encoding="utf-8")
    assert f"info: opened {tmp_path / 'plants.db'}" in log
    assert f"info: closed {tmp_path / 'plants.db'}" in log


@pytest.mark.parametrize(("level", "speaks"), [(None, False), (LogLevel.INFO, True)])
def test_the_console_level_decides_what_is_said(
    schema: Path, capfd: pytest.CaptureFixture[str], level: LogLevel | None, speaks: bool
):
    Database.from_schema(":memory:", schema, console_level=level).close()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert ("opened :memory:" in captured.err) is speaks


def test_an_unknown_console_level_is_refused(schema: Path):
    with pytest.raises(ValueError, match="9"):
        Database.from_schema(":memory:", schema, console_level=9)
