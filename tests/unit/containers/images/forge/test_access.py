"""Access control: the token of the run has the permissions of the job at the client's address."""

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
    repository = REPOSITORY.model_dump(mode="json") | {"visibility": "private"}
    with running(tmp_path_factory.mktemp("private"), repository=repository) as forge:
        yield forge


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
def test_job_without_contents_write_cannot_change_anything(
    forge: Forge, identity: JobIdentity
) -> None:
    forge.upload(forge.create("v0.5.0"), "a.whl", b"x")
    releases = forge.stored_releases()
    forge.register(identity)
    for method, url in WRITES:
        response = forge.send(method, url, data=b"{}")
        assert response.status_code == 403, (method, url)
        assert response.json()["message"] == "Resource not accessible by integration"
        assert response.json()["status"] == "403"
        line = forge.line(response)
        assert line["job"] == identity.job
        assert "contents: write" in line["refused"]
    assert forge.stored_releases() == releases


def test_client_without_a_token_cannot_change_anything(forge: Forge) -> None:
    for method, url in WRITES:
        response = forge.send(method, url, data=b"{}", token=None)
        assert response.status_code == 401, (method, url)
        assert response.json()["message"] == "Requires authentication"


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
def test_wrong_token_is_refused(forge: Forge, header: str, method: str) -> None:
    response = forge.api(method, "/releases", headers={"Authorization": header.encode()})
    assert (response.status_code, response.json()["message"]) == (401, "Bad credentials")
    assert forge.stored_releases() == []


@pytest.mark.parametrize(
    "header",
    [
        f"token {TOKEN}",
        f"Bearer {TOKEN}",
        f"bearer  {TOKEN}",
        "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode(),
    ],
)
def test_token_is_accepted_in_each_format_that_clients_use(forge: Forge, header: str) -> None:
    response = forge.api(
        "POST", "/releases", json={"tag_name": "v0.5.0"}, headers={"Authorization": header}
    )
    assert response.status_code == 201


def test_public_repository_is_readable_and_drafts_only_for_writers(forge: Forge) -> None:
    public = forge.create("v0.5.0")
    draft = forge.create("v0.6.0", draft=True)
    for identity, token, count in (
        (RELEASE, TOKEN, 2),
        (BUILD, TOKEN, 1),
        (PUBLISH, TOKEN, 1),
        (BUILD, None, 1),
    ):
        forge.register(identity)
        assert len(forge.api("GET", "/releases", token=token).json()) == count
        assert forge.api("GET", f"/releases/{public['id']}", token=token).status_code == 200
        code = forge.api("GET", f"/releases/{draft['id']}", token=token).status_code
        assert code == (200 if count == 2 else 404)


def test_private_repository_is_hidden_without_a_token(private: Forge) -> None:
    private.register(BUILD)
    assert private.api("GET", "").json()["private"] is True
    for method, path in (("GET", ""), ("GET", "/releases"), ("POST", "/releases")):
        assert private.api(method, path, token=None).status_code == 404
    private.register(PUBLISH)
    response = private.api("GET", "/releases")
    assert (response.status_code, response.json()["message"]) == (
        403,
        "Resource not accessible by integration",
    )


@pytest.mark.parametrize(
    "path", ["quiver-owner/other", "other/quiver2", "quiver-owner/quiver2.git"]
)
@pytest.mark.parametrize("token", [TOKEN, None])
def test_other_repositories_are_not_found(forge: Forge, path: str, token: str | None) -> None:
    for method in ("GET", "POST"):
        response = forge.send(method, f"https://api.github.com/repos/{path}/releases", token=token)
        assert (response.status_code, response.json()["message"]) == (404, "Not Found")


def test_name_of_the_repository_is_not_case_sensitive(forge: Forge) -> None:
    url = "https://api.github.com/repos/Quiver-Owner/QUIVER2"
    assert forge.send("GET", url).json()["full_name"] == "quiver-owner/quiver2"
