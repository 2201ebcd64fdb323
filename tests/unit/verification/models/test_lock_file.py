"""Lock files."""

from __future__ import annotations

from pathlib import Path

import pytest

from verification.models import lock_file
from verification.models.base import DataError
from verification.models.lock_file import LockedRelease
from verification.subjects.subject import load

RELEASES = (
    LockedRelease(name="numpy", version="2.2.6", hashes=("1" * 64,)),
    LockedRelease(
        name="numpy",
        version="2.5.5",
        marker='sys_platform == "win32" and python_version >= "3.13"',
        hashes=("2" * 64, "3" * 64),
    ),
)


def test_written_entries_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(lock_file.format_text(RELEASES, "made by a test"), "utf-8")
    assert lock_file.read(path) == RELEASES


def test_lock_of_other_tools_is_read() -> None:
    text = f"# made by hand\nNumPy==2.2.6  --hash=sha256:{'1' * 64} # a comment\n\n"
    assert lock_file.parse(text, "lock.txt") == RELEASES[:1]
    assert lock_file.format_text(()) == ""


def test_locks_of_the_default_subject_are_read() -> None:
    names = [release.name for path in load().locks for release in lock_file.read(path)]
    assert names == ["cffi", "cffi", "pycparser"]


@pytest.mark.parametrize(
    "line",
    [
        "numpy==2.2.6",
        f"numpy>=2 --hash=sha256:{'1' * 64}",
        f"numpy --hash=sha256:{'1' * 64}",
        f"numpy>=2,<3 --hash=sha256:{'1' * 64}",
        f"no requirement --hash=sha256:{'1' * 64}",
        "--index-url=https://index.example/simple",
    ],
)
def test_line_without_an_exact_version_and_hash_is_named(line: str) -> None:
    with pytest.raises(DataError, match=r"^lock\.txt: .*") as raised:
        lock_file.parse(f"{line}\n", "lock.txt")
    assert line[:20] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_lock_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        lock_file.read(tmp_path / "absent.txt")
