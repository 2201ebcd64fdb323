"""The stand-in for actions/checkout: refspecs, depth, preparation of the folder."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

checkout = importlib.import_module("stand_ins.checkout")


@pytest.mark.parametrize(
    ("ref", "commit", "full", "refspecs"),
    [
        ("refs/tags/v1", "", False, ["+refs/tags/v1:refs/tags/v1"]),
        ("refs/heads/main", "", False, ["+refs/heads/main:refs/remotes/origin/main"]),
        ("refs/heads/main", "abc", False, ["+abc:refs/remotes/origin/main"]),
        ("abc", "", False, ["abc"]),
        (
            "refs/tags/v1",
            "",
            True,
            ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"],
        ),
    ],
)
def test_refspecs_follow_ref_commit_and_depth(
    ref: str, commit: str, full: bool, refspecs: list[str]
) -> None:
    assert checkout._refspecs(ref, commit, full=full) == refspecs


@pytest.mark.parametrize(
    ("value", "depth"), [("", 1), ("1", 1), ("5.5", 5), ("0", 0), ("-1", 0), ("all", 0)]
)
def test_invalid_depth_fetches_all_commits(value: str, depth: int) -> None:
    assert checkout._depth(value) == depth


def test_folder_without_a_repository_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")

    checkout._prepare(tmp_path, clean=False)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("clean", [True, False])
def test_clean_removes_untracked_files_of_an_earlier_checkout(tmp_path: Path, clean: bool) -> None:
    repository = tmp_path / "repository"
    checkout.git("init", "--quiet", str(repository), folder=tmp_path)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    checkout.git(*identity, "commit", "--quiet", "--allow-empty", "-m", "a", folder=repository)
    checkout.git("remote", "add", "origin", "file:///none", folder=repository)
    (repository / "untracked").touch()

    checkout._prepare(repository, clean=clean)

    assert (repository / "untracked").exists() is not clean
    assert (repository / ".git").is_dir()
