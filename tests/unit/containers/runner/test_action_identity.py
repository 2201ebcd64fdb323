"""The identity of the files of an action."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.runner.action_identity import identify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "action.yml").write_text("runs: {}", "utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "main.js").write_text("x", "utf-8")
    return tmp_path


def test_identity_without_git_is_the_hash_of_the_content(folder: Path) -> None:
    identity = identify(folder)
    assert identity.text.startswith("sha256 ")
    assert identity.version == ""
    (folder / "lib" / "empty").mkdir()
    assert identify(folder) == identity


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "lib" / "main.js").write_text("y", "utf-8"),
        lambda folder: (folder / "lib" / "main.js").rename(folder / "main.js"),
        lambda folder: (folder / "lib" / "main.js").chmod(0o755),
        lambda folder: (folder / "new").symlink_to("lib"),
        lambda folder: (folder / "new").write_text("", "utf-8"),
    ],
    ids=["content", "name", "mode", "link", "new file"],
)
def test_each_change_of_the_files_changes_the_hash(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = identify(folder)
    change(folder)
    assert identify(folder) != before


def test_ignored_file_is_a_change_of_the_checkout(folder: Path) -> None:
    (folder / ".gitignore").write_text("node_modules", "utf-8")
    author = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    for command in (("init", "-q"), ("add", "--all"), (*author, "commit", "-qm", "x")):
        subprocess.run(("git", "-C", str(folder), *command), check=True)
    assert identify(folder).text.startswith("commit ")
    (folder / "node_modules").write_text("x", "utf-8")
    assert identify(folder).text.startswith("sha256 ")


def test_folder_in_the_checkout_of_another_project_has_no_commit(folder: Path) -> None:
    subprocess.run(("git", "-C", str(folder), "init", "-q"), check=True)
    assert identify(folder / "lib").text.startswith("sha256 ")
