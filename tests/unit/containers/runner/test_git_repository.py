from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from containers.runner.git_repository import GitRepository
from verification.models.errors import WrongUse


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
    done = subprocess.run(
        ("git", "-C", str(folder), *who, *arguments), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "a.txt").write_text("a\n", "utf-8")
    (folder / ".gitignore").write_text("ignored\n", "utf-8")
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_a_clean_repository_is_pushed_as_it_is(root: Path) -> None:
    with GitRepository(root, owner="o", name="n") as origin:
        assert origin.sha == git(root, "rev-parse", "HEAD")
        assert origin.differs == ()
        assert origin.source == f"commit {origin.sha[:12]}"


def test_what_is_not_committed_is_pushed_too_and_told(root: Path) -> None:
    (root / "package" / "a.txt").write_text("b\n", "utf-8")
    (root / "new.txt").write_text("new\n", "utf-8")
    (root / "ignored").write_text("x\n", "utf-8")
    with GitRepository(root, owner="o", name="n") as origin:
        assert origin.differs == ("new.txt", "package/a.txt")
        assert git(origin.bare, "show", f"{origin.sha}:package/a.txt") == "b"
        assert "ignored" not in git(origin.bare, "ls-tree", "--name-only", origin.sha).split()
        assert "2 files" in origin.source
    assert git(root, "status", "--porcelain") == "M package/a.txt\n?? new.txt"


def test_a_deleted_file_is_not_pushed(root: Path) -> None:
    (root / "package" / "a.txt").unlink()
    with GitRepository(root, owner="o", name="n") as origin:
        assert origin.differs == ("package/a.txt",)
        assert git(origin.bare, "ls-tree", "-r", "--name-only", origin.sha) == ".gitignore"


def test_other_files_are_put_in_place_of_some(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.txt").write_text("b\n", "utf-8")
    (tmp_path / "single").write_text("c\n", "utf-8")
    overlays = {"package": tmp_path / "other", "deep/c.txt": tmp_path / "single"}
    with GitRepository(root, owner="o", name="n", overlays=overlays) as origin:
        names = git(origin.bare, "ls-tree", "-r", "--name-only", origin.sha).split()
        assert names == [".gitignore", "deep/c.txt", "package/b.txt"]


def test_a_folder_without_git_is_pushed_and_told(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    (root / "a.txt").write_text("a\n", "utf-8")
    with GitRepository(root, owner="o", name="n") as origin:
        assert "no git repository" in origin.source
        assert git(origin.bare, "show", f"{origin.sha}:a.txt") == "a"


def test_an_annotated_tag_is_an_object_and_a_lightweight_one_is_the_commit(root: Path) -> None:
    with GitRepository(root, owner="o", name="n") as origin:
        annotated = origin.tag("v1.0.0")
        light = origin.tag("v1.0.1", annotated=False)
        assert git(origin.bare, "cat-file", "-t", annotated.object) == "tag"
        assert annotated.sha == light.sha == light.object == origin.sha
        assert git(origin.bare, "tag", "--list").split() == ["v1.0.0", "v1.0.1"]


def test_the_event_is_a_pushed_tag_as_github_tells_it(root: Path) -> None:
    with GitRepository(root, owner="o", name="n") as origin:
        push = origin.tag("v1.0.0")
        event = json.loads(json.dumps(origin.event(push)))
    assert event["ref"] == "refs/tags/v1.0.0"
    assert event["before"] == "0" * 40
    assert event["after"] == push.object != push.sha
    assert event["head_commit"]["id"] == push.sha
    assert event["created"] is True
    assert event["deleted"] is None, "act would take the tag object for the commit"
    assert event["repository"]["full_name"] == "o/n"
    assert event["repository"]["owner"]["login"] == "o"


@pytest.mark.parametrize("name", ["-v1", "v 1", "v1..2", ""])
def test_a_name_that_git_does_not_take_is_wrong_use(root: Path, name: str) -> None:
    with (
        GitRepository(root, owner="o", name="n") as origin,
        pytest.raises(WrongUse, match="no name"),
    ):
        origin.tag(name)


def test_a_tag_is_pushed_once(root: Path) -> None:
    with GitRepository(root, owner="o", name="n") as origin:
        origin.tag("v1")
        with pytest.raises(WrongUse, match="pushed before"):
            origin.tag("v1")


def test_what_is_not_there_is_wrong_use(root: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such folder"):
        GitRepository(tmp_path / "none", owner="o", name="n")
    with pytest.raises(WrongUse, match="to put at package"):
        GitRepository(root, owner="o", name="n", overlays={"package": tmp_path / "none"})
