"""The tags of the repository that git serves."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from typing import Any

git_tags = importlib.import_module("forge.git_tags")


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    command = ("git", *author, "-C", str(folder), *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_tag_is_created_and_deleted(tmp_path: Path) -> None:
    repository = tmp_path / "repository.git"
    repository.mkdir()
    git(repository, "init", "--quiet", "--bare")
    tree = git(repository, "hash-object", "-t", "tree", "-w", "/dev/null")
    commit = git(repository, "commit-tree", tree, "-m", "x")
    tags: Any = git_tags.GitTags(tmp_path)
    tags.create("v1", commit)
    assert git(repository, "rev-parse", "refs/tags/v1") == commit
    tags.delete("v1")
    assert git(repository, "tag") == ""


def test_nothing_happens_without_a_repository(tmp_path: Path) -> None:
    tags: Any = git_tags.GitTags(tmp_path)
    tags.create("v1", "0" * 40)
    tags.delete("v1")
    assert list(tmp_path.iterdir()) == []
