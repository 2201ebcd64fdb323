from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from verification.models.base import DataError
from verification.models.errors import WrongUse
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
    files = own_tests.collect(tmp_path, ()).contents
    assert list(files) == [f"{tmp_path.name}/{name}" for name in names[1::-1]]
    assert files[f"{tmp_path.name}/deep/data.sql"] == b"deep/data.sql"


UPSTREAM = (
    "bindings/python/pyproject.toml",
    "bindings/python/src/quiverdb/__init__.py",
    "bindings/python/src/quiverdb/_native.so",
    "bindings/python/src/quiverdb/schema.sql",
    "bindings/python/tests/test_a.py",
    "tests/schemas/a.sql",
    "quiverdb.py",
    "notes.md",
)
"""The layout of quiverdb's repository: its tests read ../../../tests/schemas."""


def write(root: Path, names: Iterable[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


def test_tests_in_a_checkout_come_with_its_tracked_files_without_the_package(
    tmp_path: Path,
) -> None:
    write(tmp_path, UPSTREAM)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    write(tmp_path, ("secret.txt", "bindings/python/tests/new.sql"))
    files = own_tests.collect(tmp_path / "tests" / "../bindings/python/tests", {"quiverdb"})
    assert list(files.contents) == [
        "bindings/python/pyproject.toml",
        "bindings/python/src/quiverdb/schema.sql",
        "bindings/python/tests/new.sql",
        "bindings/python/tests/test_a.py",
        "notes.md",
        "tests/schemas/a.sql",
    ]
    assert list(map(str, files.location)) == ["bindings/python", "tests"]


def test_tests_of_a_project_without_version_control_come_with_its_files(tmp_path: Path) -> None:
    left_out = (".tox/a.txt", "build/b.txt", "env/pyvenv.cfg", "lib/x/__init__.py")
    names = ("setup.py", "data/c.txt", "tests/unit/test_a.py")
    write(tmp_path, (*names, *left_out))
    files = own_tests.collect(tmp_path / "tests" / "unit", {"x"})
    assert set(files.contents) == set(names)
    assert list(map(str, files.location)) == [".", "tests/unit"]


def test_checkout_that_does_not_track_the_tests_has_no_files_around_them(tmp_path: Path) -> None:
    write(tmp_path, ("notes.md", "sdist/pyproject.toml", "sdist/a.txt", "sdist/tests/test_a.py"))
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "notes.md")
    files = own_tests.collect(tmp_path / "sdist" / "tests", ())
    assert set(files.contents) == {"pyproject.toml", "a.txt", "tests/test_a.py"}


def test_files_of_a_submodule_and_behind_a_link_come_along(tmp_path: Path) -> None:
    checkout, data = tmp_path / "checkout", tmp_path / "data"
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    write(data, ("a.sql",))
    git(data, "init", "--quiet")
    git(data, "add", ".")
    git(data, *identity, "commit", "--quiet", "--message=a")
    write(checkout, ("pyproject.toml", "shared/b.sql", "tests/test_a.py"))
    (checkout / "schemas").symlink_to("shared")
    git(checkout, "init", "--quiet")
    allowed = ("-c", "protocol.file.allow=always")
    git(checkout, *allowed, "submodule", "--quiet", "add", str(data), "data")
    git(checkout, "add", ".")
    files = own_tests.collect(checkout / "tests", ())
    assert {"data/a.sql", "schemas/b.sql", "shared/b.sql"} <= files.contents.keys()


def test_source_of_the_package_inside_the_tests_stays(tmp_path: Path) -> None:
    write(tmp_path, ("pyproject.toml", "tests/quiverdb/__init__.py", "tests/test_a.py"))
    files = own_tests.collect(tmp_path / "tests", {"quiverdb"})
    assert "tests/quiverdb/__init__.py" in files.contents


def test_files_around_the_tests_that_are_too_large_are_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ("pyproject.toml", "data.bin", "tests/test_a.py"))
    assert own_tests.folder_fault(tmp_path / "tests") == ""
    monkeypatch.setattr(own_tests, "MAX_BYTES", 20)
    assert str(tmp_path) in own_tests.folder_fault(tmp_path / "tests")
    with pytest.raises(WrongUse, match=str(tmp_path)):
        own_tests.collect(tmp_path / "tests", ())


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize("name", [".env", ".env.local", ".pypirc", "ci/deploy.pem", "tests/.netrc"])
def test_secret_comes_along_only_if_git_tracks_it(tmp_path: Path, name: str) -> None:
    tmp_path = tmp_path / "test" / "checkout"
    write(tmp_path, ("pyproject.toml", "data/a.txt", "tests/test_a.py", "tests/server.key", name))
    for path in (name, "tests/server.key"):  # keys for tests protect nothing
        (tmp_path / path).write_text(KEY)
    expected = {"pyproject.toml", "data/a.txt", "tests/test_a.py", "tests/server.key"}
    assert own_tests.collect(tmp_path / "tests", ()).contents.keys() == expected
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    assert own_tests.collect(tmp_path / "tests", ()).contents.keys() == {*expected, name}


def test_links_that_form_a_loop_end(tmp_path: Path) -> None:
    write(tmp_path, ("pyproject.toml", "data/a.txt", "tests/test_a.py"))
    for number in range(9):
        (tmp_path / "tests" / f"up{number}").symlink_to("..")
    (tmp_path / "tests" / "data").symlink_to("../data")
    (tmp_path / "data" / "tests").symlink_to("../tests")
    files = own_tests.collect(tmp_path / "tests", ()).contents
    assert {"data/a.txt", "tests/data/a.txt", "tests/test_a.py"} <= files.keys()
    assert len(files) < 9


def test_file_that_cannot_be_read_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ("pyproject.toml", "tests/test_a.py"))

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(WrongUse, match="pyproject"):
        own_tests.collect(tmp_path / "tests", ())


def test_project_around_the_checkout_is_not_sent(tmp_path: Path) -> None:
    write(tmp_path, ("setup.py", "private.txt", "checkout/tests/test_a.py"))
    git(tmp_path, "init", "--quiet", "checkout")
    files = own_tests.collect(tmp_path / "checkout" / "tests", ()).contents
    assert files.keys() == {"tests/test_a.py"}


def test_digest_depends_on_names_and_contents() -> None:
    files = {"a.py": b"1", "b.py": b"2"}
    digest = own_tests.digest(files)
    assert digest == own_tests.digest(dict(reversed(files.items())))
    assert digest != own_tests.digest(files | {"a.py": b"x"})
    assert digest != own_tests.digest({"c.py": b"1", "b.py": b"2"})
