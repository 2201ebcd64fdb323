"""Assets: a download has the bytes of the upload, and names are unique."""

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
    """Follow one redirection as clients do: without the token, which is for another host."""
    sent = forge.send("GET", url, **options)
    assert sent.status_code == 302, sent.text
    got = forge.send("GET", sent.headers["Location"], token=None)
    assert got.status_code == 200
    return got.content


def test_an_upload_is_kept_byte_for_byte_and_the_log_proves_it(forge: Forge) -> None:
    content = os.urandom(3_000_000)
    digest = hashlib.sha256(content).hexdigest()
    release = forge.create("v0.5.0")
    made = forge.upload(release, "quiverdb-0.5.0-cp313-cp313-win_amd64.whl", content)
    asset = made.json()
    assert made.status_code == 201
    assert asset["name"] == "quiverdb-0.5.0-cp313-cp313-win_amd64.whl"
    assert (asset["size"], asset["digest"]) == (len(content), f"sha256:{digest}")
    assert (asset["state"], asset["label"]) == ("uploaded", None)
    assert forge.api("GET", "/releases/tags/v0.5.0").json()["assets"] == [asset]
    assert forge.api("GET", f"/releases/{release['id']}/assets").json() == [asset]
    assert forge.send("GET", asset["url"]).json() == asset
    assert follow(forge, asset["url"], headers=OCTETS) == content
    assert follow(forge, asset["browser_download_url"]) == content
    line = forge.line(made)
    assert (line["uploaded_sha256"], line["uploaded_bytes"]) == (digest, len(content))
    assert (line["job"], line["client"], line["release"]) == ("release", "127.0.0.1", "v0.5.0")
    downloads = forge.lines(method="GET", file=asset["name"])
    assert {line["sha256"] for line in downloads} == {digest}
    kept = forge.kept()[0]["assets"][0]
    assert kept["sha256"] == digest
    assert (forge.folder / "assets" / str(kept["id"])).read_bytes() == content


def test_a_name_that_is_taken_is_refused_until_the_asset_is_deleted(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    first = forge.upload(release, "a.whl", b"one").json()
    again = forge.upload(release, "a.whl", b"two")
    assert again.status_code == 422
    assert again.json()["errors"] == [
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


def test_of_uploads_of_one_name_at_once_one_is_taken(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    with ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(forge.upload, release, "a.whl", bytes([n]) * 200_000) for n in range(6)]
    codes = sorted(one.result().status_code for one in sent)
    assert codes == [201, *[422] * 5]
    assert len([*(forge.folder / "assets").iterdir()]) == 1


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("a b.whl", "a.b.whl"),
        ("quiverdb-0.5.0+local.whl", "quiverdb-0.5.0+local.whl"),
        ("../../etc/passwd", "etc.passwd"),
        ("ärger.whl", "rger.whl"),
        ("a\r\nX: y.whl", "a.X.y.whl"),
    ],
)
def test_a_name_loses_what_github_does_not_keep(forge: Forge, name: str, given: str) -> None:
    release = forge.create("v0.5.0")
    asset = forge.upload(release, name, b"x").json()
    assert asset["name"] == given
    assert forge.upload(release, name, b"x").status_code == 422
    assert follow(forge, asset["browser_download_url"]) == b"x"


@pytest.mark.parametrize("name", ["", "...", "\u4e2d"])
def test_an_upload_without_a_name_is_refused(forge: Forge, name: str) -> None:
    made = forge.upload(forge.create("v0.5.0"), name, b"x")
    assert made.status_code == 422
    assert made.json()["errors"][0]["code"] == "missing_field"


def test_an_upload_needs_a_length_and_bytes(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    url = release["upload_url"].partition("{")[0]
    empty = forge.upload(release, "a.whl", b"")
    chunked = forge.send("POST", f"{url}?name=a.whl", data=iter([b"x"]))
    for made in (empty, chunked):
        assert (made.status_code, made.json()["message"]) == (400, "Bad Content-Length")
    assert forge.kept()[0]["assets"] == []


def test_an_upload_that_breaks_off_leaves_nothing(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    context = ssl.create_default_context(cafile=str(forge.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", forge.port)) as plain,
        context.wrap_socket(plain, server_hostname="uploads.github.com") as sock,
    ):
        path = f"/repos/quiver-owner/quiver2/releases/{release['id']}/assets"
        head = f"POST {path}?name=a.whl HTTP/1.1\r\nHost: uploads.github.com\r\n"
        head += "Content-Length: 1000\r\n"
        sock.sendall(f"{head}Authorization: token {TOKEN}\r\n\r\nhalf".encode())
    (line,) = forge.lines(method="POST", path=path)
    assert line["status"] == 400
    assert forge.kept()[0]["assets"] == []
    assert [*(forge.folder / "assets").iterdir()] == []


def test_an_upload_to_a_release_that_is_not_there_is_not_found(forge: Forge) -> None:
    url = "https://uploads.github.com/repos/quiver-owner/quiver2/releases/77/assets?name=a"
    assert forge.send("POST", url, data=b"x").status_code == 404


def test_uploads_are_taken_on_their_own_host_only(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    made = forge.api("POST", f"/releases/{release['id']}/assets?name=a", data=b"x")
    assert made.status_code == 404
    other = forge.send("GET", "https://uploads.github.com/repos/quiver-owner/quiver2")
    assert other.status_code == 404


def test_an_asset_can_be_renamed_and_labelled(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    asset = forge.upload(release, "a b.whl", b"x", label="First").json()
    forge.upload(release, "taken.whl", b"y")
    assert asset["label"] == "First"
    changed = forge.send("PATCH", asset["url"], json={"name": "a.b.whl", "label": "a b.whl"})
    assert (changed.status_code, changed.json()["label"]) == (200, "a b.whl")
    refused = forge.send("PATCH", asset["url"], json={"name": "taken.whl"})
    assert refused.json()["errors"][0]["code"] == "already_exists"
    assert forge.kept()[0]["assets"][0]["label"] == "a b.whl"


def test_assets_are_listed_in_pages(forge: Forge) -> None:
    release = forge.create("v0.5.0")
    for number in range(3):
        forge.upload(release, f"{number}.whl", b"x")
    shown = forge.api("GET", f"/releases/{release['id']}/assets?per_page=2")
    assert [one["name"] for one in shown.json()] == ["0.whl", "1.whl"]
    more = forge.send("GET", shown.links["next"]["url"])
    assert [one["name"] for one in more.json()] == ["2.whl"]


def test_a_files_address_cannot_be_guessed(forge: Forge) -> None:
    asset = forge.upload(forge.create("v0.5.0"), "a.whl", b"x").json()
    right = forge.send("GET", asset["url"], headers=OCTETS).headers["Location"]
    signature = right.split("/")[-2]
    for wrong in ("0" * 64, signature[:-1], "ä"):
        url = right.replace(signature, wrong)
        assert forge.send("GET", url, token=None).status_code == 404
    assert forge.send("GET", right, token=None).content == b"x"


def test_links_on_a_releases_page_lead_to_the_latest(forge: Forge) -> None:
    home = "https://github.com/quiver-owner/quiver2/releases"
    assert forge.send("GET", f"{home}/latest").status_code == 404
    forge.upload(forge.create("v0.5.0"), "a.whl", b"five")
    forge.upload(forge.create("v0.6.0"), "a.whl", b"six")
    assert follow(forge, f"{home}/latest/download/a.whl", token=None) == b"six"
    assert follow(forge, f"{home}/download/v0.5.0/a.whl", token=None) == b"five"
    assert forge.send("GET", f"{home}/download/v0.5.0/b.whl").status_code == 404
    assert forge.send("GET", f"{home}/latest").headers["Location"] == f"{home}/tag/v0.6.0"


def test_a_drafts_files_are_for_who_may_write(forge: Forge) -> None:
    asset = forge.upload(forge.create("v0.5.0", draft=True), "a.whl", b"x").json()
    assert "/releases/download/untagged-" in asset["browser_download_url"]
    assert forge.send("GET", asset["url"]).status_code == 200
    assert forge.send("GET", asset["url"], token=None).status_code == 404
