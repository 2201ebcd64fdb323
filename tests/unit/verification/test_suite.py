from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from verification import suite


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    suite.commit.cache_clear()
    yield
    suite.commit.cache_clear()


def _git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ("git", "-C", str(folder), *identity, *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository with one commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    _git(folder, "init", "--quiet")
    (folder / "file").write_text("a", "utf-8")
    _git(folder, "add", "file")
    _git(folder, "commit", "--quiet", "--message=a")
    return folder


def test_version_is_the_one_of_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', "utf-8")
    assert suite.version(tmp_path) == "1.2.3"
    assert re.fullmatch(r"\d+\.\d+\.\d+", suite.version())


def test_commit_is_the_short_commit_of_a_clean_checkout(checkout: Path) -> None:
    (checkout / "report").write_text("not tracked", "utf-8")
    assert suite.commit(checkout) == _git(checkout, "rev-parse", "--short", "HEAD")


def test_commit_of_a_checkout_with_changes_is_marked(checkout: Path) -> None:
    (checkout / "file").write_text("b", "utf-8")
    revision = _git(checkout, "rev-parse", "--short", "HEAD")
    assert suite.commit(checkout) == f"{revision}+changes"


def test_commit_ignores_the_repository_that_a_git_hook_names(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nowhere" / "index"))
    assert suite.commit(checkout) != suite.NO_COMMIT


def test_there_is_no_commit_outside_a_repository(checkout: Path) -> None:
    folder = checkout / "unpacked"
    folder.mkdir()
    assert suite.commit(folder) == suite.NO_COMMIT
    (folder / ".git").mkdir()
    suite.commit.cache_clear()
    assert suite.commit(folder) == suite.NO_COMMIT


def test_there_is_no_commit_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert suite.commit(checkout) == suite.NO_COMMIT


def test_title_has_the_version_and_the_commit() -> None:
    assert suite.title("1.2.3", "abc+changes") == "quiverdb-e2e 1.2.3 (abc+changes)"
    assert suite.title("1.2.3", suite.NO_COMMIT) == "quiverdb-e2e 1.2.3 (no commit)"
    assert suite.title("", "") == "quiverdb-e2e"  # the report of an older suite


# ---- the checkout and the command line ----


def hash_of(folder: Path) -> str:
    """Return the hash of a checkout in the present environment."""
    suite.checkout.cache_clear()
    return suite.checkout(folder)


def test_checkout_is_equal_from_commit_to_commit_and_differs_by_folder_and_repository(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    first = hash_of(checkout)
    _git(checkout, "commit", "--allow-empty", "-m", "x")
    assert hash_of(checkout) == first
    other = checkout.with_name("other")
    shutil.copytree(checkout, other)
    assert hash_of(other) != first
    _git(checkout, "remote", "add", "origin", "/elsewhere")
    assert hash_of(checkout) != first


def test_checkout_on_a_runner_of_github_differs_by_repository_only(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/one")
    first = hash_of(checkout)
    assert hash_of(tmp_path) == first
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/two")
    assert hash_of(checkout) != first


def test_command_line_is_quoted_as_the_user_types_it() -> None:
    program = "/checkout/verification/commands/__main__.py"
    assert suite.command_line((program, "gate", "-k", "a b")) == "./e2e gate -k 'a b'"
    assert suite.command_line(("/bin/pytest", "tests")) == "pytest tests"
    assert suite.command_line()
