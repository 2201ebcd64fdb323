from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.runner.git_repository import GitRepository
from tests.helpers.sample_pipeline import release
from verification.models.errors import WrongUse


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
    result = subprocess.run(
        ("git", "-C", str(folder), *settings, *arguments),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def module_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of the host out of the fixtures of this module."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("HOME", "XDG_CONFIG_HOME", "QUIVERDB_E2E_STATE"):
            monkeypatch.setenv(name, str(tmp_path_factory.mktemp("isolated")))
        yield


@pytest.fixture(scope="module")
def clean_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one commit, which the tests only read."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "package").mkdir(parents=True)
    for name in ("a.txt", "b.txt"):
        (folder / "package" / name).write_text("a\n", "utf-8")
    (folder / ".gitignore").write_text("ignored\n", "utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


@pytest.fixture(scope="module")
def clean_origin(clean_root: Path) -> Iterator[GitRepository]:
    with GitRepository(clean_root, owner="o", name="n") as origin:
        yield origin


def test_clean_repository_has_its_newest_commit(
    clean_root: Path, clean_origin: GitRepository
) -> None:
    assert clean_origin.sha == git(clean_root, "rev-parse", "HEAD")
    assert clean_origin.differs == ()
    assert clean_origin.sha[:12] in clean_origin.source


def test_uncommitted_changes_are_in_the_commit_and_listed(clean_root: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(clean_root, tmp_path / "repository"))
    (root / "package" / "a.txt").write_text("changed\n", "utf-8")
    (root / "package" / "b.txt").unlink()
    (root / "new.txt").write_text("new\n", "utf-8")
    (root / "ignored").write_text("x\n", "utf-8")
    with GitRepository(root, owner="o", name="n") as origin:
        assert origin.differs == ("new.txt", "package/a.txt", "package/b.txt")
        assert git(origin.bare, "show", f"{origin.sha}:package/a.txt") == "changed"
        names = git(origin.bare, "ls-tree", "-r", "--name-only", origin.sha).split()
        assert names == [".gitignore", "new.txt", "package/a.txt"]
        assert " 3 " in origin.source
    status = git(root, "status", "--porcelain")
    assert status == "M package/a.txt\n D package/b.txt\n?? new.txt"


def test_overlays_replace_files_and_folders(clean_root: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "d.txt").write_text("d\n", "utf-8")
    (tmp_path / "file").write_text("c\n", "utf-8")
    overlays = {"package": tmp_path / "folder", "deep/c.txt": tmp_path / "file"}
    with GitRepository(clean_root, owner="o", name="n", overlays=overlays) as origin:
        names = git(origin.bare, "ls-tree", "-r", "--name-only", origin.sha).split()
        assert names == [".gitignore", "deep/c.txt", "package/d.txt"]


def test_folder_without_git_has_all_its_files_in_the_commit(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    (root / "a.txt").write_text("a\n", "utf-8")
    with GitRepository(root, owner="o", name="n") as origin:
        assert str(root) in origin.source
        assert git(origin.bare, "show", f"{origin.sha}:a.txt") == "a"


def test_annotated_tag_is_an_object_and_lightweight_tag_is_the_commit(
    clean_origin: GitRepository,
) -> None:
    annotated = clean_origin.tag("v1.0.0")
    lightweight = clean_origin.tag("v1.0.1", annotated=False)
    assert git(clean_origin.bare, "cat-file", "-t", annotated.object) == "tag"
    assert annotated.sha == lightweight.sha == lightweight.object == clean_origin.sha
    assert {"v1.0.0", "v1.0.1"} <= {*git(clean_origin.bare, "tag", "--list").split()}


def test_event_is_the_push_of_a_tag(clean_root: Path, clean_origin: GitRepository) -> None:
    push = clean_origin.tag("v1.1.0")
    event = json.loads(json.dumps(clean_origin.payload(push, "publish.yml")))
    assert event["ref"] == "refs/tags/v1.1.0"
    assert event["before"] == "0" * 40
    assert event["after"] == push.object != push.sha
    assert event["head_commit"]["id"] == push.sha
    assert event["head_commit"]["message"] == clean_origin.message(push) == "first"
    assert event["head_commit"]["tree_id"] == git(clean_root, "rev-parse", "HEAD^{tree}")
    assert event["created"] is True
    assert event["deleted"] is None, "with false, act uses the tag object as the commit"
    assert event["repository"]["full_name"] == "o/n"
    assert event["repository"]["owner"]["login"] == "o"


def test_event_of_a_release_has_the_release_and_its_tag(clean_origin: GitRepository) -> None:
    event = clean_origin.release("v2.0.0")
    assert (event.name, event.type, event.ref) == ("release", "published", "refs/tags/v2.0.0")
    assert event.object == event.sha, "the release page creates a lightweight tag"
    payload = clean_origin.payload(event, "publish.yml", release().model_copy(update={"tag": "v2"}))
    assert (payload["action"], "ref" in payload) == ("published", False)
    page = json.loads(json.dumps(payload["release"]))
    assert (page["tag_name"], page["draft"], page["prerelease"]) == ("v2", False, False)


def test_event_of_a_branch_push_has_its_commits(clean_origin: GitRepository) -> None:
    event = clean_origin.push_branch()
    assert (event.tag, event.ref, event.sha) == ("", "refs/heads/main", clean_origin.sha)
    payload = json.loads(json.dumps(clean_origin.payload(event, "publish.yml")))
    assert (payload["ref"], payload["base_ref"]) == ("refs/heads/main", None)
    assert [commit["id"] for commit in payload["commits"]] == [clean_origin.sha]


def test_event_of_a_dispatch_has_the_inputs_and_the_file(clean_origin: GitRepository) -> None:
    event = clean_origin.dispatch({"a": "1"})
    payload = clean_origin.payload(event, "publish.yml")
    assert (payload["inputs"], payload["ref"]) == ({"a": "1"}, "refs/heads/main")
    assert payload["workflow"] == "publish.yml"
    # The tag of a release that another workflow run created on the forge.
    tag = clean_origin.dispatch({}, "refs/tags/v2.1.0", by_workflow=True)
    assert (tag.tag, tag.sha, tag.by_workflow) == ("v2.1.0", clean_origin.sha, True)
    assert git(clean_origin.bare, "rev-parse", "v2.1.0") == clean_origin.sha


@pytest.mark.parametrize("name", ["-v1", "v 1", "v1..2", ""])
def test_invalid_tag_name_is_wrong_use(clean_origin: GitRepository, name: str) -> None:
    with pytest.raises(WrongUse, match=repr(name)):
        clean_origin.tag(name)


def test_existing_tag_is_wrong_use(clean_origin: GitRepository) -> None:
    clean_origin.tag("v1.2.0")
    with pytest.raises(WrongUse, match=r"v1\.2\.0"):
        clean_origin.tag("v1.2.0")


def test_missing_folder_or_overlay_is_wrong_use(clean_root: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(WrongUse, match=str(missing)):
        GitRepository(missing, owner="o", name="n")
    with pytest.raises(WrongUse, match=f"(?=.*{missing})(?=.*package)"):
        GitRepository(clean_root, owner="o", name="n", overlays={"package": missing})
