"""Assets: upload, unique names, download."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.helpers.forge_server import TOKEN, Forge

OCTETS = {"Accept": "application/octet-stream"}


def follow(forge: Forge, url: str, **options: Any) -> bytes:
    """Return the body at the end of a redirection. No token is sent to another host name."""
    redirection = forge.send("GET", url, **options)
    assert redirection.status_code == 302, redirection.text
    response = forge.send("GET", redirection.headers["Location"], token=None)
    assert response.status_code == 200
    return response.content


def test_download_has_the_uploaded_content_and_the_log_has_its_digest(forge: Forge) -> None:
    content = os.urandom(3_000_000)
    digest = hashlib.sha256(content).hexdigest()
    release = forge.create("v0.5.0")
    upload = forge.upload(release, "quiverdb-0.5.0-cp313-cp313-win_amd64.whl", content)
    asset = upload.json()
    assert upload.status_code == 201
    assert asset["name"] == "quiverdb-0.5.0-cp313-cp313-win_amd64.whl"
    assert (asset["size"], asset["digest"]) == (len(content), f"sha256:{digest}")
    assert (asset["state"], asset["label"]) == ("uploaded", None)
    assert forge.api("GET", "/releases/tags/v0.5.0").json()["assets"] == [asset]
    assert forge.api("GET", f"/releases/{release['id']}/assets").json() == [asset]
    assert forge.send("GET", asset["url"]).json() == asset
    assert follow(forge, asset["url"], headers=OCTETS) == content
    assert follow(forge, asset["browser_download_url"]) == content
    line = forge.line(upload)
    assert (line["uploaded_sha256"], line["uploaded_bytes"]) == (digest, len(content))
    assert (line["job"], line["client"], line["release"]) == ("release", "127.0.0.1", "v0.5.0")
    downloads = forge.lines(method="GET", file=asset["name"])
    assert {line["sha256"] for line in downloads} == {digest}
    stored = forge.stored_releases()[0]["assets"][0]
    assert stored["sha256"] == digest
    assert (forge.folder / "assets" / str(stored["id"])).read_bytes() == content


def test_name_in_use_is_refused_until_the_asset_is_deleted(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    first = forge.upload(release, "a.whl", b"one").json()
    duplicate = forge.upload(release, "a.whl", b"two")
    assert duplicate.status_code == 422
    assert duplicate.json()["errors"] == [
        {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}
    ]
    assert follow(forge, first["url"], headers=OCTETS) == b"one"
    assert forge.send("DELETE", first["url"]).status_code == 204
    assert forge.send("GET", first["url"]).status_code == 404
    assert forge.send("DELETE", first["url"]).status_code == 404
    second = forge.upload(release, "a.whl", b"two").json()
    assert follow(forge, second["url"], headers=OCTETS) == b"two"
    assert second["id"] != first["id"]
    assert [path.name for path in (forge.folder / "assets").iterdir()] == [str(second["id"])]


def test_only_one_of_simultaneous_uploads_with_one_name_is_accepted(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    with ThreadPoolExecutor(6) as pool:
        uploads = [
            pool.submit(forge.upload, release, "a.whl", bytes([number]) * 200_000)
            for number in range(6)
        ]
    codes = sorted(upload.result().status_code for upload in uploads)
    assert codes == [201, *[422] * 5]
    assert len([*(forge.folder / "assets").iterdir()]) == 1


@pytest.mark.parametrize(
    ("name", "stored_name"),
    [
        ("a b.whl", "a.b.whl"),
        ("quiverdb-0.5.0+local.whl", "quiverdb-0.5.0+local.whl"),
        ("../../etc/passwd", "etc.passwd"),
        ("ärger.whl", "rger.whl"),
        ("a\r\nX: y.whl", "a.X.y.whl"),
    ],
)
def test_name_is_changed_as_on_github(forge: Forge, name: str, stored_name: str) -> None:
    release = forge.create("v0.5.0")
    asset = forge.upload(release, name, b"x").json()
    assert asset["name"] == stored_name
    assert forge.upload(release, name, b"x").status_code == 422
    assert follow(forge, asset["browser_download_url"]) == b"x"


@pytest.mark.parametrize("name", ["", "...", "\u4e2d"])
def test_upload_without_a_usable_name_is_refused(forge: Forge, name: str) -> None:
    response = forge.upload(forge.create("v0.5.0"), name, b"x")
    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "missing_field"


def test_upload_without_length_or_content_is_refused(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    url = release["upload_url"].partition("{")[0]
    empty = forge.upload(release, "a.whl", b"")
    chunked = forge.send("POST", f"{url}?name=a.whl", data=iter([b"x"]))
    for response in (empty, chunked):
        assert (response.status_code, response.json()["message"]) == (400, "Bad Content-Length")
    assert forge.stored_releases()[0]["assets"] == []


def test_incomplete_upload_stores_nothing(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    context = ssl.create_default_context(cafile=str(forge.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", forge.port)) as plain,
        context.wrap_socket(plain, server_hostname="uploads.github.com") as sock,
    ):
        path = f"/repos/quiver-owner/quiver2/releases/{release['id']}/assets"
        headers = f"POST {path}?name=a.whl HTTP/1.1\r\nHost: uploads.github.com\r\n"
        headers += "Content-Length: 1000\r\n"
        sock.sendall(f"{headers}Authorization: token {TOKEN}\r\n\r\nhalf".encode())
    (line,) = forge.lines(method="POST", path=path)
    assert line["status"] == 400
    assert forge.stored_releases()[0]["assets"] == []
    assert [*(forge.folder / "assets").iterdir()] == []


def test_upload_to_an_unknown_release_is_not_found(forge: Forge) -> None:
    url = "https://uploads.github.com/repos/quiver-owner/quiver2/releases/77/assets?name=a"
    assert forge.send("POST", url, data=b"x").status_code == 404


def test_uploads_have_a_separate_host(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    upload = forge.api("POST", f"/releases/{release['id']}/assets?name=a", data=b"x")
    assert upload.status_code == 404
    read = forge.send("GET", "https://uploads.github.com/repos/quiver-owner/quiver2")
    assert read.status_code == 404


def test_asset_can_be_renamed_and_labelled(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    asset = forge.upload(release, "a b.whl", b"x", label="First").json()
    forge.upload(release, "used.whl", b"y")
    assert asset["label"] == "First"
    changed = forge.send("PATCH", asset["url"], json={"name": "a.b.whl", "label": "a b.whl"})
    assert (changed.status_code, changed.json()["label"]) == (200, "a b.whl")
    refused = forge.send("PATCH", asset["url"], json={"name": "used.whl"})
    assert refused.json()["errors"][0]["code"] == "already_exists"
    assert forge.stored_releases()[0]["assets"][0]["label"] == "a b.whl"


def test_assets_are_listed_in_pages(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    for number in range(3):
        forge.upload(release, f"{number}.whl", b"x")
    first_page = forge.api("GET", f"/releases/{release['id']}/assets?per_page=2")
    assert [asset["name"] for asset in first_page.json()] == ["0.whl", "1.whl"]
    second_page = forge.send("GET", first_page.links["next"]["url"])
    assert [asset["name"] for asset in second_page.json()] == ["2.whl"]


def test_url_of_a_file_needs_a_signature(forge: Forge) -> None:
    asset = forge.upload(forge.create("v0.5.0"), "a.whl", b"x").json()
    signed_url = forge.send("GET", asset["url"], headers=OCTETS).headers["Location"]
    signature = signed_url.split("/")[-2]
    for wrong in ("0" * 64, signature[:-1], "ä"):
        url = signed_url.replace(signature, wrong)
        assert forge.send("GET", url, token=None).status_code == 404
    assert forge.send("GET", signed_url, token=None).content == b"x"


def test_links_of_the_release_page_lead_to_files_and_the_latest_release(forge: Forge) -> None:
    page = "https://github.com/quiver-owner/quiver2/releases"
    assert forge.send("GET", f"{page}/latest").status_code == 404
    forge.upload(forge.create("v0.5.0"), "a.whl", b"five")
    forge.upload(forge.create("v0.6.0"), "a.whl", b"six")
    assert follow(forge, f"{page}/latest/download/a.whl", token=None) == b"six"
    assert follow(forge, f"{page}/download/v0.5.0/a.whl", token=None) == b"five"
    assert forge.send("GET", f"{page}/download/v0.5.0/b.whl").status_code == 404
    assert forge.send("GET", f"{page}/latest").headers["Location"] == f"{page}/tag/v0.6.0"


def test_files_of_a_draft_are_only_for_writers(forge: Forge) -> None:
    asset = forge.upload(forge.create("v0.5.0", draft=True), "a.whl", b"x").json()
    assert "/releases/download/untagged-" in asset["browser_download_url"]
    assert forge.send("GET", asset["url"]).status_code == 200
    assert forge.send("GET", asset["url"], token=None).status_code == 404
