"""``./e2e lock``: the file, the output, and the one-line answers to wrong use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder
from tests.helpers.sample_exercise import EMPTY_SMOKE
from verification.commands import lock as command
from verification.commands.parser import parse
from verification.models.base import DataError
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.lock_file import LockedRelease
from verification.session import lock
from verification.session.lock import Resolution
from verification.subjects.subject import load

DESCRIPTION = """
name = "pkg"
import_package = "pkg"
python = "cp313"
exercise = "smoke.py"
[[platforms]]
tag = "win_amd64"
"""
ALPHA = LockedRelease(name="alpha", version="1.0", hashes=("0" * 64,))
SOLVED = Resolution((ALPHA,), ("windows-wine",), {"no wheel": ("windows-wine-vcredist",)})


@pytest.fixture
def description(tmp_path: Path) -> Path:
    (tmp_path / "smoke.py").write_text(EMPTY_SMOKE, "utf-8")
    (tmp_path / "dist").mkdir()
    wheel_builder.build(tmp_path / "dist", {"pkg.py": ""}, name="pkg")
    path = tmp_path / "subject.toml"
    path.write_text(DESCRIPTION, "utf-8")
    return path


def _run(
    description: Path,
    monkeypatch: pytest.MonkeyPatch,
    resolution: Resolution | Exception,
    *words: str,
) -> int:
    def resolve(*_: object) -> Resolution:
        if isinstance(resolution, Exception):
            raise resolution
        return resolution

    monkeypatch.setattr(lock, "resolve", resolve)
    origin = words or ("--wheels", str(description.with_name("dist")))
    return command.run(parse(["lock", "--subject", str(description), *origin])[0])


def test_lock_file_is_next_to_the_description_and_the_line_is_printed(
    description: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(description, monkeypatch, SOLVED) == ExitCode.VERIFIED
    output = capsys.readouterr().out
    line = 'dependencies = "dependencies.txt"'
    assert line in output
    assert "windows-wine-vcredist: no wheel" in output
    description.write_text(line + DESCRIPTION, "utf-8")
    assert load(description).dependencies == description.with_name("dependencies.txt")
    first = description.with_name("dependencies.txt").read_bytes()
    assert _run(description, monkeypatch, SOLVED) == ExitCode.VERIFIED
    assert line not in capsys.readouterr().out
    assert description.with_name("dependencies.txt").read_bytes() == first


def test_named_lock_file_need_not_exist(description: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    description.write_text('dependencies = "lock.txt"' + DESCRIPTION, "utf-8")
    with pytest.raises(DataError, match=r"lock\.txt.*\./e2e lock"):
        load(description)
    assert _run(description, monkeypatch, SOLVED) == ExitCode.VERIFIED
    assert load(description).dependencies == description.with_name("lock.txt")


def test_release_without_dependencies_needs_no_lock_file(
    description: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Resolution((), ("windows-wine",), {})
    assert _run(description, monkeypatch, nothing) == ExitCode.VERIFIED
    assert not description.with_name("dependencies.txt").exists()
    assert load(description).locks == ()


@pytest.mark.parametrize(
    "error",
    [WrongUse("no solution"), TestbedFailure("index-unreachable", "upstream index", "no answer")],
)
def test_failure_changes_no_file(
    description: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = description.with_name("dependencies.txt")
    path.write_text("the earlier lock")
    before = sorted(entry.name for entry in description.parent.iterdir())
    with pytest.raises(type(error)):
        _run(description, monkeypatch, error)
    assert path.read_text() == "the earlier lock"
    assert sorted(entry.name for entry in description.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("--wheels", "absent"), "absent"),
        (("--wheels", "dist", "--release", "1.0"), "--release"),
        (("--release", "latest"), "latest"),
    ],
)
def test_wrong_origin_is_refused_in_one_line(
    description: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], fact: str
) -> None:
    with pytest.raises(WrongUse, match=fact) as raised:
        _run(description, monkeypatch, SOLVED, *words)
    assert "\n" not in str(raised.value)


def test_origin_and_description_are_required(
    description: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongUse, match="--release"):
        command.run(parse(["lock", "--subject", str(description)])[0])
    with pytest.raises(DataError, match="absent"):
        _run(description.with_name("absent.toml"), monkeypatch, SOLVED)
