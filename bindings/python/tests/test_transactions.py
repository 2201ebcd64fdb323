"""Transactions, queries, threads and processes."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quiverdb import Database, LogLevel, QuiverError


def labels(db: Database) -> list[str | None]:
    return db.read_scalar_strings("Region", "label")


def test_a_committed_transaction_stays(db: Database):
    assert not db.in_transaction()
    db.begin_transaction()
    assert db.in_transaction()
    db.create_element("Region", label="A")
    db.commit()
    assert not db.in_transaction()
    assert labels(db) == ["A"]


def test_a_rolled_back_transaction_is_gone(db: Database):
    db.begin_transaction()
    db.create_element("Region", label="A")
    db.rollback()
    assert labels(db) == []


def test_a_with_block_commits_or_rolls_back(db: Database):
    with db.transaction() as same:
        assert same is db
        db.create_element("Region", label="A")
    with pytest.raises(KeyError), db.transaction():  # noqa: PT012
        db.create_element("Region", label="B")
        raise KeyError
    assert labels(db) == ["A"]
    assert not db.in_transaction()


def test_a_failed_write_inside_a_transaction_undoes_only_itself(db: Database):
    with db.transaction():
        db.create_element("Region", label="A")
        with pytest.raises(QuiverError, match="UNIQUE"):
            db.create_element("Plant", label="P", tag=["u", "u"])
        db.create_element("Region", label="B")
    assert labels(db) == ["A", "B"]
    assert db.number_of_elements("Plant") == 0


def test_transactions_do_not_nest_and_need_one_to_end(db: Database):
    with pytest.raises(QuiverError, match="cannot commit: no transaction is active"):
        db.commit()
    with pytest.raises(QuiverError, match="cannot roll back: no transaction is active"):
        db.rollback()
    with db.transaction(), pytest.raises(QuiverError, match="active already"):
        db.begin_transaction()


def test_closing_rolls_back(db: Database, tmp_path: Path):
    db.begin_transaction()
    db.create_element("Region", label="A")
    db.close()
    with Database.open(tmp_path / "plants.db", console_level=LogLevel.OFF) as again:
        assert labels(again) == []


def test_queries(db: Database):
    db.create_element("Plant", label="A", units=3, capacity=2.5)
    assert db.query_string("SELECT label FROM Plant") == "A"
    assert db.query_integer("SELECT units FROM Plant WHERE label = ?", parameters=["A"]) == 3
    assert db.query_float("SELECT capacity FROM Plant") == 2.5
    assert db.query_float("SELECT units FROM Plant") == 3.0
    assert db.query_integer("SELECT units FROM Plant WHERE 0") is None
    assert db.query_string("SELECT NULL; -- a comment") is None
    assert db.query_string("SELECT typeof(?)", parameters=[None]) == "null"
    assert db.query_float("SELECT ? + ?", parameters=[1, 0.5]) == 1.5
    assert db.query_string("WITH t(x) AS (SELECT 'é') SELECT x FROM t") == "é"


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM Plant",
        "UPDATE Plant SET units = 1",
        "INSERT INTO Region (label) VALUES ('x') RETURNING id",
        "DROP TABLE Plant",
        "PRAGMA user_version = 9",
        "ATTACH 'x.db' AS x",
        "BEGIN",
    ],
)
def test_a_query_only_reads(db: Database, sql: str):
    with pytest.raises(QuiverError, match="a query only reads"):
        db.query_integer(sql)


def test_queries_that_cannot_be(db: Database):
    with pytest.raises(QuiverError, match="one single statement"):
        db.query_integer("SELECT 1; SELECT 2")
    with pytest.raises(QuiverError, match="syntax error"):
        db.query_integer("SELEC 1")
    with pytest.raises(QuiverError, match="no statement"):
        db.query_integer(" ")
    with pytest.raises(QuiverError, match="takes 1 parameters, 2 were given"):
        db.query_integer("SELECT ?", parameters=[1, 2])
    with pytest.raises(QuiverError, match="is TEXT, not INTEGER"):
        db.query_integer("SELECT 'a'")
    with pytest.raises(QuiverError, match="BLOB"):
        db.query_string("SELECT x'00'")
    with pytest.raises(TypeError, match="a parameter cannot be a bytes"):
        db.query_integer("SELECT ?", parameters=[b"x"])


def test_threads_share_a_database(db: Database):
    def work(worker: int) -> list[int]:
        return [db.create_element("Region", label=f"{worker}-{n}") for n in range(50)]

    with ThreadPoolExecutor(8) as pool:
        ids = [number for made in pool.map(work, range(8)) for number in made]
    assert sorted(ids) == db.read_element_ids("Region") == list(range(1, 401))


def test_each_thread_sees_its_own_error(db: Database):
    start = threading.Barrier(8)

    def work(worker: int) -> bool:
        start.wait()
        for n in range(100):
            name = f"None{worker}x{n}"
            try:
                db.read_element_ids(name)
            except QuiverError as error:
                if f"'{name}'" not in str(error):
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_closing_under_use_is_an_error_for_the_others_and_no_crash(tmp_path: Path, schema: Path):
    for n in range(10):
        db = Database.from_schema(tmp_path / f"{n}.db", schema, console_level=LogLevel.OFF)
        start = threading.Barrier(5)

        def work(db: Database = db, start: threading.Barrier = start) -> None:
            start.wait()
            with pytest.raises(QuiverError, match="closed"):  # noqa: PT012
                while True:
                    db.read_scalar_strings("Region", "label")

        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(work) for _ in range(4)]
            start.wait()
            db.close()
            for future in done:
                future.result(timeout=30)


def test_two_databases_of_one_file_wait_for_each_other(db: Database, tmp_path: Path):
    with Database.open(tmp_path / "plants.db", console_level=LogLevel.OFF) as other:
        with db.transaction():
            db.create_element("Region", label="A")
            waiting = threading.Thread(target=other.create_element, args=("Region",),
                                       kwargs={"label": "B"})  # fmt: skip
            waiting.start()
        waiting.join(timeout=30)
        assert labels(db) == labels(other) == ["A", "B"]


def _in_child(db: Database, report: "multiprocessing.connection.Connection") -> None:
    try:
        db.read_element_ids("Region")
    except QuiverError as error:
        report.send(str(error))
    else:
        report.send("no error")
    report.send(repr(db))
    db.close()
    with Database.open("plants.db", console_level=LogLevel.OFF) as mine:
        mine.create_element("Region", label="from the child")
        report.send(mine.number_of_elements("Region"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_child_is_told_and_may_open_its_own(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    db.create_element("Region", label="A")
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(db, there))
    child.start()
    assert here.poll(30)
    message = here.recv()
    assert f"opened in process {os.getpid()}" in message
    assert "open it again there" in message
    assert here.recv() == "<quiverdb.Database, of another process>"
    assert here.poll(30)
    assert here.recv() == 2
    child.join(30)
    assert child.exitcode == 0
    assert labels(db) == ["A", "from the child"]
    assert db.is_healthy()
