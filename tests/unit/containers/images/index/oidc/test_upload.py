"""Uploads with a minted token: what it opens, what it does not, and what is written down of it."""

from __future__ import annotations

import base64
import importlib
import io
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.test import Client, TestResponse

from tests.helpers.index_front import IMAGES, run, sha256, wheel
from tests.helpers.oidc import OWNER, SHA, TAG, Bench, bench, publisher


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("minted")) as started:
        yield started


def test_a_minted_token_uploads_to_its_project_as_often_as_it_likes(index: Bench) -> None:
    token = index.mint()
    for version in ("1.0", "1.1"):
        filename, content = wheel("strict", version)
        assert index.upload(token, (filename, content)).status_code == 200
        assert (index.front.store / filename).read_bytes() == content


def test_a_minted_token_of_a_publisher_of_two_projects_opens_both(index: Bench) -> None:
    token = index.mint("pair")
    for name in ("pair_one", "pair_two"):
        assert index.upload(token, wheel(name, "1.0")).status_code == 200
    assert index.upload(token, wheel("strict", "9.0")).status_code == 403


def test_a_new_project_begins_with_its_pending_publishers_first_upload(index: Bench) -> None:
    assert index.front.get("/simple/fresh/").status_code == 404
    assert index.upload(index.mint("fresh"), wheel("fresh", "1.0")).status_code == 200
    assert "fresh-1.0" in index.front.get("/simple/fresh/").text
    assert index.upload(index.mint("fresh"), wheel("fresh", "1.1")).status_code == 200


@pytest.mark.parametrize("project", ["open", "taken", "nobodys"])
def test_a_minted_token_opens_no_other_project(index: Bench, project: str) -> None:
    file = wheel(project, "3.0")
    answer = index.upload(index.mint(), file)
    assert answer.status_code == 403
    assert answer.reason.startswith(
        f"The given token isn't allowed to upload to project '{project}'."
    )
    assert not (index.front.store / file[0]).exists()


def test_the_same_bytes_again_change_nothing_and_other_bytes_are_refused(index: Bench) -> None:
    token = index.mint()
    filename, content = wheel("strict", "2.0")
    assert index.upload(token, (filename, content)).status_code == 200
    before = (index.front.store / filename).stat()
    assert index.upload(index.mint(), (filename, content)).status_code == 200
    after = (index.front.store / filename).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    other = index.upload(token, wheel("strict", "2.0", payload=b"other"))
    assert other.status_code == 400
    assert other.reason.startswith(f"File already exists ('{filename}', with blake2_256 hash '")
    assert (index.front.store / filename).read_bytes() == content


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: text[5:]])
def test_what_is_nearly_a_minted_token_opens_nothing(index: Bench, change: Any) -> None:
    answer = index.upload(change(index.mint()), wheel("strict", "4.0"))
    assert answer.status_code == 403
    assert answer.reason.startswith("Invalid or non-existent authentication information.")


def test_an_identity_token_is_no_upload_token(index: Bench) -> None:
    assert index.upload(index.token(), wheel("strict", "4.0")).status_code == 403


# Importing pypiserver warns of its own ways.
@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_a_minted_token_that_has_expired_opens_nothing(
    index: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, where the clock can be set.
    monkeypatch.syspath_prepend(str(IMAGES))
    publishers, log = [publisher("strict", "strict")], str(tmp_path / "log.jsonl")
    told = json.loads((index.folder / "config.json").read_text())
    told |= {"publishers": publishers, "pending_publishers": [], "log": log}
    (tmp_path / "config.json").write_text(json.dumps(told))
    settings = importlib.import_module("index.config").load(tmp_path / "config.json")
    client = Client(importlib.import_module("index.app").Front(settings))

    def upload(token: str, version: str) -> TestResponse:
        filename, content = wheel("strict", version)
        form: dict[str, Any] = {
            ":action": "file_upload",
            "metadata_version": "2.1",
            "name": "strict",
            "version": version,
            "filetype": "bdist_wheel",
            "sha256_digest": sha256(content),
            "content": (io.BytesIO(content), filename),
        }
        return client.post(
            "/legacy/", base_url="https://localhost", data=form, auth=("__token__", token)
        )

    body = {"token": index.token()}
    minted = client.post("/_/oidc/mint-token", base_url="https://localhost", json=body).json
    assert minted is not None
    token, expires = minted["token"], minted["expires"]
    monkeypatch.setattr("time.time", lambda: expires - 0.1)
    assert upload(token, "7.0").status == "200 OK"
    monkeypatch.setattr("time.time", lambda: expires)
    late = upload(token, "7.1")
    assert late.status.startswith("403 Invalid or non-existent authentication information.")


def test_the_log_names_who_uploaded_what(index: Bench) -> None:
    filename, content = wheel("strict", "5.0")
    assert index.upload(index.mint(jti="the one", run_id="815"), (filename, content)).ok
    (line,) = [x for x in index.front.lines() if x.get("upload", {}).get("file") == filename]
    slug = f"{OWNER}/strict"
    assert line["upload"] == {
        "file": filename,
        "sha256": sha256(content),
        "identity": {
            "publisher": f"{slug}/.github/workflows/publish.yml, environment pypi",
            "sub": f"repo:{slug}:environment:pypi",
            "repository": slug,
            "ref": TAG,
            "sha": SHA,
            "job_workflow_ref": f"{slug}/.github/workflows/publish.yml@{TAG}",
            "workflow_ref": f"{slug}/.github/workflows/publish.yml@{TAG}",
            "environment": "pypi",
            "event_name": "push",
            "run_id": "815",
            "actor": "octocat",
        },
    }
    minted = index.noted()
    assert minted["identity"] == line["upload"]["identity"]
    assert minted["projects"] == ["strict"]


def test_the_log_names_who_was_refused_and_why(index: Bench) -> None:
    index.exchange(index.token(environment="staging", run_id="4711"))
    (line,) = [
        x["oidc"]
        for x in index.front.lines()
        if x.get("oidc", {}).get("identity", {}).get("run_id") == "4711"
    ]
    assert line["code"] == "invalid-publisher"
    assert line["identity"]["environment"] == "staging"
    assert "publisher" not in line["identity"]


def test_no_token_nor_any_part_of_one_is_written_down(index: Bench) -> None:
    good = index.token()
    refused = index.token(environment="staging")
    forged = f"{good.rpartition('.')[0]}.{'A' * 342}"
    answer = index.exchange(good)
    minted = answer.json()["token"]
    for token in (refused, forged, good, f"{good}x", "bait-not-a-token", "bait.not.token"):
        index.exchange(token)
    index.post(b'{"token": "bait-in-broken-json')
    index.post({"tokn": "bait-in-another-key"})
    index.post({"token": ["bait-in-a-list"]})
    index.upload(minted, wheel("strict", "6.0"))
    index.upload(minted, wheel("open", "6.0"))
    index.upload("pypi-bait-upload", wheel("strict", "6.1"))
    index.upload(good, wheel("strict", "6.2"))
    written = index.logs()
    assert "invalid-reuse-token" in written, "the log was read too early"
    secrets = {minted, minted.removeprefix("pypi-"), "bait"}
    for token in (good, refused, forged):
        secrets |= {token, *token.split(".")[1:]}
    for user in (minted, "pypi-bait-upload", good):
        secrets.add(base64.b64encode(f"__token__:{user}".encode()).decode())
    for secret in secrets:
        assert secret not in written


def test_a_claim_is_cut_before_it_fills_the_log(index: Bench) -> None:
    index.exchange(index.token(actor="a" * 100_000, sub="\udcff\n{}" * 1000))
    assert len(json.dumps([x for x in index.front.lines() if "oidc" in x][-1])) < 10_000


def test_readers_get_whole_files_or_a_clean_not_found_while_uploads_run(index: Bench) -> None:
    size = 3_000_000
    files = [wheel("open", f"{number}.0", payload=bytes([number]) * size) for number in range(1, 9)]
    digests = {name: sha256(content) for name, content in files}
    done = threading.Event()

    def read(reader: int) -> tuple[int, int, list[str]]:
        """Read until the uploads are done, and once more; return what came, and what is wrong."""
        whole = missing = 0
        wrong: list[str] = []
        with index.front.session() as session:
            last = False
            while not last:
                last = done.is_set()
                for name in list(digests)[reader % 8 :: 8]:
                    answer = session.get(f"{index.front.index}/packages/{name}", timeout=60)
                    if answer.status_code == 404:
                        missing += 1
                    elif answer.status_code == 200 and sha256(answer.content) == digests[name]:
                        whole += 1
                    else:
                        wrong.append(f"{name}: {answer.status_code}, {len(answer.content)} bytes")
                page = session.get(f"{index.front.simple}open/", timeout=60)
                # What the page offers must be there, and be what the page says.
                wrong += [
                    f"{name}: another digest on the page"
                    for name, digest in digests.items()
                    if f"/{name}#" in page.text and f"sha256={digest}" not in page.text
                ]
        return whole, missing, wrong

    def publish(token: str, mine: list[tuple[str, bytes]]) -> list[int]:
        return [index.upload(token, file).status_code for file in mine]

    tokens = [index.mint("open"), index.mint("open")]
    with ThreadPoolExecutor(66) as pool:
        readers = [pool.submit(read, number) for number in range(64)]
        uploads = [pool.submit(publish, token, files[n::2]) for n, token in enumerate(tokens)]
        try:
            assert [upload.result() for upload in uploads] == [[200] * 4] * 2
        finally:
            done.set()
        seen = [reader.result() for reader in readers]
    assert [wrong for _, _, wrong in seen if wrong] == []
    assert sum(missing for _, missing, _ in seen) > 0, "no reader was there before its file"
    assert all(whole > 0 for whole, _, _ in seen)


def test_installs_run_while_uploads_run(index: Bench, tmp_path: Path) -> None:
    assert index.upload(index.mint("pair"), wheel("pair_one", "1.0.1")).ok
    token = index.mint("pair")

    def install(number: int) -> tuple[int, str]:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        command += ["--no-cache-dir", "--no-deps", "--retries", "0", "--quiet"]
        command += ["--index-url", index.front.simple, "--cert", str(index.front.authority)]
        done = run([*command, "-d", str(tmp_path / str(number)), "pair-one"], tmp_path)
        return done.returncode, done.stdout

    def publish(number: int) -> requests.Response:
        payload = bytes([number]) * 2_000_000
        return index.upload(token, wheel("pair_one", f"1.{number}", payload=payload))

    with ThreadPoolExecutor(8) as pool:
        installs = [pool.submit(install, number) for number in range(6)]
        uploads = [pool.submit(publish, number) for number in range(1, 9)]
        assert [upload.result().status_code for upload in uploads] == [200] * 8
        for result in installs:
            code, output = result.result()
            assert code == 0, output
    for number in range(6):
        (file,) = (tmp_path / str(number)).iterdir()
        assert sha256(file.read_bytes()) == sha256((index.front.store / file.name).read_bytes())
