"""Access with the run's token: the permissions are those of the job at the client's address."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.helpers.forge_server import BUILD, PUBLISH, RELEASE, REPOSITORY, TOKEN, Forge, running
from verification.models.forge import JobIdentity

WRITES = [
    ("POST", "https://api.github.com/repos/quiver-owner/quiver2/releases"),
    ("PATCH", "https://api.github.com/repos/quiver-owner/quiver2/releases/1"),
    ("DELETE", "https://api.github.com/repos/quiver-owner/quiver2/releases/1"),
    ("POST", "https://api.github.com/repos/quiver-owner/quiver2/releases/generate-notes"),
    ("PATCH", "https://api.github.com/repos/quiver-owner/quiver2/releases/assets/1"),
    ("DELETE", "https://api.github.com/repos/quiver-owner/quiver2/releases/assets/1"),
    ("DELETE", "https://api.github.com/repos/quiver-owner/quiver2/git/refs/tags/v0.5.0"),
    ("POST", "https://uploads.github.com/repos/quiver-owner/quiver2/releases/1/assets?name=a"),
]


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    hidden = REPOSITORY.model_dump(mode="json") | {"visibility": "private"}
    with running(tmp_path_factory.mktemp("private"), repository=hidden) as forge:
        yield forge


@pytest.mark.parametrize(("method", "url"), WRITES)
@pytest.mark.parametrize(
    "identity",
    [
        BUILD,
        PUBLISH,
        JobIdentity(job="release", permissions={}),
        JobIdentity(job="release", permissions={"contents": "none", "packages": "write"}),
        JobIdentity(job="release", permissions={"contents": "WRITE"}),
    ],
    ids=["read", "id-token", "empty", "none", "misspelt"],
)
def test_a_job_without_contents_write_changes_nothing(
    forge: Forge, identity: JobIdentity, method: str, url: str
) -> None:
    forge.upload(forge.create("v0.5.0"), "a.whl", b"x")
    before = forge.kept()
    forge.register(identity)
    refused = forge.send(method, url, data=b"{}")
    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert refused.json()["status"] == "403"
    assert forge.kept() == before
    line = forge.line(refused)
    assert line["job"] == identity.job
    assert "contents: write" in line["refused"]


@pytest.mark.parametrize(("method", "url"), WRITES)
def test_without_a_token_nothing_is_changed(forge: Forge, method: str, url: str) -> None:
    refused = forge.send(method, url, data=b"{}", token=None)
    assert (refused.status_code, refused.json()["message"]) == (401, "Requires authentication")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "header",
    [
        "token wrong",
        "Bearer ",
        f"token {TOKEN}x",
        f"Digest {TOKEN}",
        TOKEN,
        "Basic ===",
        "Basic " + base64.b64encode(b"x-access-token:wrong").decode(),
        "Basic " + base64.b64encode(TOKEN.encode()).decode(),
        "token ä",
    ],
)
def test_a_token_that_is_not_the_runs_is_refused(forge: Forge, header: str, method: str) -> None:
    refused = forge.api(method, "/releases", headers={"Authorization": header.encode()})
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")
    assert forge.kept() == []


@pytest.mark.parametrize(
    "header",
    [
        f"token {TOKEN}",
        f"Bearer {TOKEN}",
        f"bearer  {TOKEN}",
        "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode(),
    ],
)
def test_a_token_is_taken_in_every_way_that_clients_send_it(forge: Forge, header: str) -> None:
    made = forge.api(
        "POST", "/releases", json={"tag_name": "v0.5.0"}, headers={"Authorization": header}
    )
    assert made.status_code == 201


def test_anyone_reads_a_public_repository_and_only_writers_see_drafts(forge: Forge) -> None:
    public = forge.create("v0.5.0")
    draft = forge.create("v0.6.0", draft=True)
    for identity, token, seen in (
        (RELEASE, TOKEN, 2),
        (BUILD, TOKEN, 1),
        (PUBLISH, TOKEN, 1),
        (BUILD, None, 1),
    ):
        forge.register(identity)
        assert len(forge.api("GET", "/releases", token=token).json()) == seen
        assert forge.api("GET", f"/releases/{public['id']}", token=token).status_code == 200
        code = forge.api("GET", f"/releases/{draft['id']}", token=token).status_code
        assert code == (200 if seen == 2 else 404)


def test_a_private_repository_is_hidden_from_who_has_no_token(private: Forge) -> None:
    private.register(BUILD)
    assert private.api("GET", "").json()["private"] is True
    for method, path in (("GET", ""), ("GET", "/releases"), ("POST", "/releases")):
        assert private.api(method, path, token=None).status_code == 404
    private.register(PUBLISH)
    refused = private.api("GET", "/releases")
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "Resource not accessible by integration",
    )


@pytest.mark.parametrize(
    "path", ["quiver-owner/other", "other/quiver2", "quiver-owner/quiver2.git"]
)
@pytest.mark.parametrize("token", [TOKEN, None])
def test_other_repositories_are_not_there(forge: Forge, path: str, token: str | None) -> None:
    for method in ("GET", "POST"):
        hidden = forge.send(method, f"https://api.github.com/repos/{path}/releases", token=token)
        assert (hidden.status_code, hidden.json()["message"]) == (404, "Not Found")


def test_the_name_of_the_repository_is_taken_in_any_case(forge: Forge) -> None:
    url = "https://api.github.com/repos/Quiver-Owner/QUIVER2"
    assert forge.send("GET", url).json()["full_name"] == "quiver-owner/quiver2"
