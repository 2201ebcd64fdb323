from __future__ import annotations

import json
from pathlib import Path

import pytest

from verification.models.base import DataError
from verification.models.evidence import OwnTestLeftOut, OwnTestsEnd, TestOutcome
from verification.session import own_tests
from verification.session.own_tests import read_test_events


def event_lines(*lines: dict[str, object]) -> str:
    return "\n".join(map(json.dumps, lines))


def report(node: str, outcome: str, text: str = "") -> dict[str, object]:
    return {"kind": "report", "node": node, "outcome": outcome, "text": text}


def test_empty_file_of_events_records_nothing() -> None:
    record = read_test_events("")
    assert (record.pytest, record.collected, record.internal, record.end) == ("", None, "", None)
    assert (record.begun, record.within, record.failures, record.left_out) == (0, "", (), ())
    assert dict(record.counts) == dict.fromkeys(TestOutcome, 0)


def test_each_kind_of_line_is_read() -> None:
    record = read_test_events(
        event_lines(
            {"kind": "start", "pytest": "9.2.0", "folder": "/home/user"},
            {"kind": "deselected", "nodes": ["t.py::c"]},
            {"kind": "collected", "number": 2},
            {"kind": "begun", "node": "t.py::a"},
            report("t.py::a", "passed"),
            {"kind": "ended", "node": "t.py::a"},
            {"kind": "begun", "node": "t.py::b"},
            report("t.py::b", "skipped", "no time"),
            {"kind": "internal", "text": "INTERNALERROR"},
            {"kind": "end", "code": 3, "file": "/x/__init__.py", "imported": True},
        )
    )
    assert (record.pytest, record.collected, record.internal) == ("9.2.0", 2, "INTERNALERROR")
    assert record.end == OwnTestsEnd(code=3, file="/x/__init__.py", imported=True)
    assert (record.begun, record.within) == (2, "t.py::b")
    counts = {outcome: number for outcome, number in record.counts.items() if number}
    assert counts == {"passed": 1, "skipped": 1, "deselected": 1}
    assert record.failures == ()
    assert record.left_out == (
        OwnTestLeftOut(node="t.py::c", outcome=TestOutcome.DESELECTED, reason=""),
        OwnTestLeftOut(node="t.py::b", outcome=TestOutcome.SKIPPED, reason="no time"),
    )


@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [
        ("passed", "error", "error"),
        ("failed", "error", "failed"),
        ("failed", "failed", "failed"),
        ("skipped", "xfailed", "xfailed"),
    ],
)
def test_worst_outcome_of_a_test_counts(first: str, second: str, counted: str) -> None:
    record = read_test_events(event_lines(report("a", first, "1"), report("a", second, "2")))
    assert record.counts[TestOutcome(counted)] == 1
    assert sum(record.counts.values()) == 1
    texts = [test.text for test in record.failures] + [test.reason for test in record.left_out]
    assert texts == ["2" if second == counted else "1"]


@pytest.mark.parametrize("outcome", ["failed", "error", "uncollected"])
def test_failure_keeps_its_last_lines(outcome: str) -> None:
    (failure,) = read_test_events(
        event_lines(report("a", outcome, "\n".join(map(str, range(20)))))
    ).failures
    assert (failure.node, failure.outcome) == ("a", outcome)
    assert failure.text.splitlines() == [str(number) for number in range(5, 20)]


def test_incomplete_line_is_ignored() -> None:
    assert read_test_events('{"kind": "collected", "number": 3}\n{"kind": "be').collected == 3


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"kind": "other"}, "lines.0: "),
        ({"kind": "collected", "number": "x"}, "lines.0.collected.number: "),
        (report("a", "strange"), "lines.0.report.outcome: "),
    ],
    ids=["kind", "number", "outcome"],
)
def test_invalid_line_is_an_error_that_names_the_field(line: dict[str, object], field: str) -> None:
    with pytest.raises(DataError) as raised:
        read_test_events(json.dumps(line))
    assert field in str(raised.value)


def test_folder_without_tests_has_a_fault(tmp_path: Path) -> None:
    missing, empty = (own_tests.folder_fault(tmp_path / name) for name in ("x", "."))
    assert missing
    assert empty
    assert missing != empty
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "test_a.py").touch()
    assert own_tests.folder_fault(tmp_path) == ""


def test_files_are_without_the_caches_of_python(tmp_path: Path) -> None:
    names = ("deep/test_a.py", "deep/data.sql", "__pycache__/a.pyc", ".pytest_cache/v")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = own_tests.files(tmp_path)
    assert files == {"deep/data.sql": b"deep/data.sql", "deep/test_a.py": b"deep/test_a.py"}
    assert list(files) == sorted(files)


def test_digest_depends_on_names_and_contents() -> None:
    files = {"a.py": b"1", "b.py": b"2"}
    digest = own_tests.digest(files)
    assert digest == own_tests.digest(dict(reversed(files.items())))
    assert digest != own_tests.digest(files | {"a.py": b"x"})
    assert digest != own_tests.digest({"c.py": b"1", "b.py": b"2"})
