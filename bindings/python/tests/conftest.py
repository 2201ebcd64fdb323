"""What the tests share: one schema that uses every convention, and databases made of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quiverdb import Database, LogLevel

SCHEMA = """
PRAGMA user_version = 1;
CREATE TABLE Configuration (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE Region (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE Plant (
    id INTEGER PRIMARY KEY,
    label TEXT UNIQUE NOT NULL,
    units INTEGER,
    capacity REAL NOT NULL DEFAULT 1.5,
    note TEXT,
    date_start TEXT,
    region_id INTEGER REFERENCES Region (id) ON DELETE SET NULL ON UPDATE CASCADE
) STRICT;
CREATE TABLE Plant_vector_costs (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    vector_index INTEGER NOT NULL,
    cost REAL,
    step INTEGER,
    kind TEXT,
    PRIMARY KEY (id, vector_index)
) STRICT;
CREATE TABLE Plant_set_tags (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    tag TEXT NOT NULL,
    UNIQUE (id, tag)
) STRICT;
CREATE TABLE Plant_set_codes (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    code INTEGER,
    weight REAL,
    UNIQUE (id, code, weight)
) STRICT;
CREATE TABLE Plant_time_series_flow (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    date_time TEXT NOT NULL,
    flow REAL,
    gates INTEGER,
    remark TEXT,
    PRIMARY KEY (id, date_time)
) STRICT;
CREATE TABLE Plant_time_series_price (
    id INTEGER REFERENCES Plant (id) ON DELETE CASCADE ON UPDATE CASCADE,
    date_time TEXT NOT NULL,
    price REAL,
    PRIMARY KEY (id, date_time)
) STRICT;
"""


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.sql"
    path.write_text(SCHEMA, encoding="utf-8")
    return path


@pytest.fixture
def db(tmp_path: Path, schema: Path) -> Iterator[Database]:
    with Database.from_schema(tmp_path / "plants.db", schema, console_level=LogLevel.OFF) as made:
        yield made


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh interpreter, away from any source tree."""

    def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
