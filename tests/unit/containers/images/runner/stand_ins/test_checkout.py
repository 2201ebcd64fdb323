from __future__ import annotations

import importlib
from pathlib import Path

import pytest

checkout = importlib.import_module("stand_ins.checkout")


@pytest.mark.parametrize(
    ("ref", "commit", "full", "specs"),
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
def test_what_is_fetched_is_what_was_asked_for(
    ref: str, commit: str, full: bool, specs: list[str]
) -> None:
    assert checkout._specs(ref, commit, full=full) == specs


@pytest.mark.parametrize(
    ("value", "depth"), [("", 1), ("1", 1), ("5.5", 5), ("0", 0), ("-1", 0), ("all", 0)]
)
def test_what_is_no_depth_fetches_all(value: str, depth: int) -> None:
    assert checkout._depth(value) == depth


def test_a_folder_that_is_no_repository_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")

    checkout._prepare(tmp_path, clean=False)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("clean", "kept"), [(True, False), (False, True)])
def test_an_earlier_checkout_is_cleaned_on_demand(tmp_path: Path, clean: bool, kept: bool) -> None:
    repository = tmp_path / "repository"
    checkout.git("init", "--quiet", str(repository), folder=tmp_path)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    checkout.git(*identity, "commit", "--quiet", "--allow-empty", "-m", "a", folder=repository)
    checkout.git("remote", "add", "origin", "file:///none", folder=repository)
    (repository / "left").touch()

    checkout._prepare(repository, clean=clean)

    assert (repository / "left").exists() is kept
