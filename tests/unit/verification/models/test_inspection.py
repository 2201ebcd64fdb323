from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.sample_wheels import (
    LINUX_CORE,
    SUBJECT,
    inspect,
    linux_core,
    linux_wheel,
    symbol,
)
from verification.models.base import parse_json
from verification.models.cause import Severity
from verification.models.inspection import Library, ReleaseInspection, WheelInspection
from verification.wheel.release_inspection import inspect_release

LIBRARY = Library(
    format="elf",
    paths=("a.so", "b.so"),
    sha256="00",
    size=3,
    imports=(symbol("x"), symbol("y")),
    exports=frozenset({"a", "b", "c"}),
    interposable=("a",),
    unread="its tables",
)


def test_a_summary_counts_the_symbols() -> None:
    summary = LIBRARY.summary()
    assert (summary.imports, summary.exports, summary.interposable) == (2, 3, 1)
    assert (summary.path, summary.sha256, summary.size) == ("a.so", "00", 3)
    assert LIBRARY.path == "a.so"


def test_the_names_of_causes_are_selected_by_severity(tmp_path: Path) -> None:
    wheel = inspect(linux_wheel(tmp_path, {"lib/x": "", "quiverdb/more.py": "import numpy\n"}))
    assert wheel.cause_names() == {"stray-top-level", "missing-dependency"}
    assert wheel.cause_names(Severity.FLAWED) == {"stray-top-level"}
    assert wheel.cause_names(Severity.FLAWED, Severity.NOTE) == wheel.cause_names()
    assert wheel.cause_names(Severity.BROKEN) == frozenset()


def test_unreadable_native_code_is_listed(tmp_path: Path) -> None:
    wheel = inspect(linux_wheel(tmp_path, {LINUX_CORE: linux_core(section_headers=False)}))
    (unread,) = wheel.unread
    assert unread.startswith(f"{LINUX_CORE}: ")
    assert inspect(linux_wheel(tmp_path)).unread == ()


def test_an_inspection_is_unchanged_by_json(tmp_path: Path) -> None:
    files = {"lib64/liba.a": b"!<arch>"}
    release = inspect_release([linux_wheel(tmp_path, files)], SUBJECT)
    text = release.model_dump_json()
    without_contents = tuple(w.model_copy(update={"contents": None}) for w in release.wheels)
    expected = release.model_copy(update={"wheels": without_contents})
    assert parse_json(ReleaseInspection, text, "results.json") == expected
    facts = json.loads(text)
    assert [cause["name"] for cause in facts["causes"]] == ["incomplete-release"]
    (wheel,) = facts["wheels"]
    assert wheel.keys() == WheelInspection.model_fields.keys() - {"contents"}
    assert [cause["name"] for cause in wheel["causes"]] == ["stray-top-level"]
    core = next(library for library in wheel["libraries"] if library["paths"] == [LINUX_CORE])
    assert core["versions"]["libc.so.6"] == ["GLIBC_2.14"]
    assert (core["imports"], core["exports"], core["interposable"]) == (2, 1, 0)


def test_all_causes_are_in_order_and_without_duplicates(tmp_path: Path) -> None:
    release = inspect_release([linux_wheel(tmp_path, {"lib64/liba.a": b"!<arch>"})], SUBJECT)
    twice = release.model_copy(update={"wheels": release.wheels * 2})
    assert [cause.name for cause in twice.all_causes] == ["incomplete-release", "stray-top-level"]
