"""The repository over git: git itself is the client of the real server."""

from __future__ import annotations

import base64
import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import forge_server
from tests.helpers.forge_server import BUILD, PUBLISH, RELEASE, REPOSITORY, TOKEN, Forge

PRIVATE = REPOSITORY.model_copy(update={"visibility": "private"})


@dataclasses.dataclass(frozen=True)
class Repository:
    """A bare repository with two commits. The older one has no ref."""

    bare: Path
    first: str
    second: str


def git(*arguments: str, **environment: str) -> str:
    """Run git without the settings of the host, and return its output."""
    names = {f"GIT_{role}_{key}": "t" for role in ("AUTHOR", "COMMITTER") for key in ("NAME",)}
    mails = {f"GIT_{role}_EMAIL": "t@example.invalid" for role in ("AUTHOR", "COMMITTER")}
    settings = {
        "GIT_CONFIG_GLOBAL": os.environ["GIT_CONFIG_GLOBAL"],
        "GIT_TERMINAL_PROMPT": "0",
    }
    result = subprocess.run(
        ("git", *arguments),
        env={"PATH": os.environ["PATH"], **names, **mails, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise GitError(result.stderr)
    return result.stdout.strip()


class GitError(Exception):
    """The error output of git."""


@pytest.fixture(scope="module", autouse=True)
def no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git use an empty file of settings."""
    settings = tmp_path_factory.mktemp("git") / "settings"
    settings.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(settings))
        yield


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with forge_server.running(tmp_path_factory.mktemp("forge")) as started:
        yield started


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Repository:
    return make_repository(tmp_path_factory.mktemp("repository"), forge)


def make_repository(folder: Path, forge: Forge) -> Repository:
    """Make the repository of a forge."""
    tree, bare = folder / "tree", forge.folder / "repository.git"
    git("init", "--quiet", "--initial-branch=main", str(tree))
    commits = []
    for text in ("first", "second"):
        (tree / "data.txt").write_text(text, "utf-8")
        git("-C", str(tree), "add", "--all")
        git("-C", str(tree), "commit", "--quiet", "--message", text)
        commits.append(git("-C", str(tree), "rev-parse", "HEAD"))
    git("clone", "--quiet", "--bare", str(tree), str(bare))
    return Repository(bare, *commits)


def fetch(forge: Forge, folder: Path, *refspecs: str, token: str | None = TOKEN) -> str:
    """Fetch as actions/checkout does, with the token in a header. Return the fetched text."""
    connect(forge, folder)
    run(forge, folder, "fetch", "--no-tags", "--depth=1", "origin", *refspecs, token=token)
    return git("-C", str(folder), "show", "FETCH_HEAD:data.txt")


def connect(forge: Forge, folder: Path, name: str = "quiver-owner/quiver2") -> None:
    git("init", "--quiet", "--initial-branch=main", str(folder))
    git("-C", str(folder), "remote", "add", "origin", f"https://github.com:{forge.port}/{name}")


def run(forge: Forge, folder: Path, *arguments: str, token: str | None = TOKEN) -> str:
    """Run git in a folder. github.com leads to the forge."""
    options = [
        f"http.curloptResolve=github.com:{forge.port}:127.0.0.1",
        f"http.sslCAInfo={forge.folder / 'ca.pem'}",
        "protocol.version=2",
    ]
    if token is not None:
        login = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        options.append(
            f"http.https://github.com:{forge.port}/.extraheader=AUTHORIZATION: basic {login}"
        )
    flags = [part for option in options for part in ("-c", option)]
    return git(*flags, "-C", str(folder), *arguments)


def test_job_fetches_a_branch_and_a_commit_without_a_ref(
    forge: Forge, repository: Repository, tmp_path: Path
) -> None:
    forge.register(BUILD)
    assert fetch(forge, tmp_path / "a", "refs/heads/main") == "second"
    commit = f"+{repository.first}:refs/remotes/origin/main"
    assert fetch(forge, tmp_path / "b", commit) == "first"
    assert git("-C", str(tmp_path / "b"), "rev-list", "--count", "FETCH_HEAD") == "1"


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("token", [TOKEN, None])
def test_public_repository_needs_no_permission(
    forge: Forge, tmp_path: Path, token: str | None
) -> None:
    forge.register(PUBLISH)
    assert fetch(forge, tmp_path / "a", "main", token=token) == "second"


def test_private_repository_does_not_exist_without_the_permission(tmp_path: Path) -> None:
    with forge_server.running(
        tmp_path / "forge", repository=PRIVATE.model_dump(mode="json")
    ) as forge:
        make_repository(tmp_path, forge)
        forge.register(PUBLISH)
        with pytest.raises(GitError, match="Repository not found"):
            fetch(forge, tmp_path / "a", "main")
        with pytest.raises(GitError, match="could not read Username"):
            fetch(forge, tmp_path / "b", "main", token=None)
        forge.register(BUILD)
        assert fetch(forge, tmp_path / "c", "main") == "second"
        (line, *_) = forge.lines(refused="the job has no permission contents: read")
        assert (line["job"], line["status"]) == ("publish", 404)


@pytest.mark.usefixtures("repository")
def test_wrong_token_is_refused(forge: Forge, tmp_path: Path) -> None:
    forge.register(BUILD)
    with pytest.raises(GitError, match=r"Authentication failed|could not read Username"):
        fetch(forge, tmp_path / "a", "main", token="wrong")  # noqa: S106


@pytest.mark.usefixtures("repository")
def test_push_without_the_permission_is_refused_as_on_github(forge: Forge, tmp_path: Path) -> None:
    forge.register(BUILD)
    connect(forge, tmp_path / "a")
    run(forge, tmp_path / "a", "fetch", "origin", "main")
    with pytest.raises(GitError, match=r"(?s)Permission to quiver-owner/quiver2.git denied.*403"):
        run(forge, tmp_path / "a", "push", "origin", "FETCH_HEAD:refs/heads/new")
    refused = forge.lines(job="build", status=403)
    assert refused
    assert all("unsupported" not in line for line in refused)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("command", "name", "unsupported"),
    [
        (("push", "origin", "FETCH_HEAD:refs/heads/new"), "quiver-owner/quiver2", "git push"),
        (("fetch", "origin", "main"), "other/x", "the repository other/x"),
    ],
)
def test_unsupported_request_is_named(
    forge: Forge, tmp_path: Path, command: tuple[str, ...], name: str, unsupported: str
) -> None:
    forge.register(RELEASE)
    connect(forge, tmp_path / "a")
    run(forge, tmp_path / "a", "fetch", "origin", "main")
    address = f"https://github.com:{forge.port}/{name}"
    git("-C", str(tmp_path / "a"), "remote", "set-url", "origin", address)
    with pytest.raises(GitError):
        run(forge, tmp_path / "a", *command)
    (line, *_) = forge.lines(unsupported=unsupported)
    assert line["job"] == "release"


def test_tags_of_the_api_are_tags_of_git(tmp_path: Path) -> None:
    folder = tmp_path / "forge"
    folder.mkdir()
    with forge_server.running(folder) as unused:
        repository = make_repository(tmp_path, unused)
    known = REPOSITORY.model_copy(update={"branches": {"main": repository.second}})
    with forge_server.running(folder, repository=known.model_dump(mode="json")) as forge:
        forge.register(RELEASE)
        forge.create("v9.0.0", target_commitish="main")
        assert fetch(forge, tmp_path / "a", "refs/tags/v9.0.0") == "second"
        assert forge.api("DELETE", "/git/refs/tags/v9.0.0").status_code == 204
        with pytest.raises(GitError):
            fetch(forge, tmp_path / "b", "refs/tags/v9.0.0")
