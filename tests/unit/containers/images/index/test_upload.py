"""Uploads: accepted and refused files, with the messages of the default index."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.index_front import (
    PASSWORD,
    SCOPED,
    Front,
    run,
    sdist,
    sha256,
    wheel,
)
from verification.rules.upload import twine_refusal

UV = Path(sys.executable).with_name("uv")

needs_uv = pytest.mark.skipif(not UV.exists(), reason="this environment has no uv: pip install uv")


def test_accepted_file_is_stored_listed_and_logged(front: Front) -> None:
    filename, content = wheel("accepted", "1.0", "cp313-cp313-manylinux_2_28_x86_64")
    assert front.send_upload((filename, content)).status_code == 200
    assert (front.store / filename).read_bytes() == content
    assert front.get(f"/packages/{filename}").content == content
    assert filename in front.get("/simple/accepted/").text
    uploads = [line.get("upload", {}) for line in front.lines(status=200)]
    (upload,) = [upload for upload in uploads if upload.get("file") == filename]
    assert upload == {"file": filename, "sha256": sha256(content)}


def test_source_distribution_is_accepted(front: Front) -> None:
    assert front.send_upload(sdist("from-source", "1.0")).status_code == 200
    assert "from_source-1.0.tar.gz" in front.get("/simple/from-source/").text


def test_second_upload_of_the_same_file_changes_nothing(front: Front) -> None:
    file = wheel("again", "1.0")
    assert front.send_upload(file).status_code == 200
    before = (front.store / file[0]).stat()
    assert front.send_upload(file).status_code == 200
    after = (front.store / file[0]).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_other_content_with_the_same_name_is_refused(front: Front) -> None:
    filename, content = wheel("rival", "1.0")
    _, other = wheel("rival", "1.0", payload=b"other")
    assert front.send_upload((filename, content)).status_code == 200
    response = front.send_upload((filename, other))
    blake2 = hashlib.blake2b(other, digest_size=32).hexdigest()
    assert response.status_code == 400
    assert response.reason.startswith(
        f"File already exists ('{filename}', with blake2_256 hash '{blake2}')."
    )
    assert (front.store / filename).read_bytes() == content


def test_same_content_with_another_name_is_refused(front: Front) -> None:
    filename, content = wheel("twin", "1.0")
    assert front.send_upload((filename, content)).status_code == 200
    response = front.send_upload(("twin-1.0-1-py3-none-any.whl", content))
    assert response.status_code == 400
    assert response.reason.startswith("File already exists ('twin-1.0-1-py3-none-any.whl'")


def test_only_one_of_simultaneous_uploads_with_one_name_is_stored(front: Front) -> None:
    files = [wheel("race", "1.0", payload=bytes([number]) * 4096) for number in range(12)]
    with ThreadPoolExecutor(len(files)) as pool:
        responses = list(pool.map(front.send_upload, files))
    ((filename, content),) = [
        file for file, response in zip(files, responses, strict=True) if response.ok
    ]
    assert sorted(response.status_code for response in responses) == [200] + [400] * 11
    assert (front.store / filename).read_bytes() == content
    assert not list(front.store.glob(".race*"))
    assert not list(front.store.glob(".tmp*"))


def test_form_with_all_kinds_of_digests_is_accepted(front: Front) -> None:
    filename, content = wheel("digested", "1.0")
    response = front.send_upload(
        (filename, content),
        md5_digest=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        blake2_256_digest=hashlib.blake2b(content, digest_size=32).hexdigest().upper(),
    )
    assert response.status_code == 200


def test_reason_is_converted_to_one_line_of_latin_1(front: Front) -> None:
    response = front.send_upload(wheel("formal", "1.0"), classifiers="\N{SNOWMAN}\n1")
    assert response.status_code == 400
    assert response.reason.startswith("'?\\n1' is not a valid classifier.")


def twine(front: Front, home: Path, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twine", "upload", "--non-interactive"]
    repository = ["--repository-url", f"{front.upload}/legacy/", "--cert", str(front.ca)]
    user = ["-u", "__token__", "-p", PASSWORD]
    # In a wide terminal, each message is one line.
    return run([*command, "--disable-progress-bar", *repository, *user, file], home, COLUMNS="400")


def test_twine_uploads_and_prints_the_reason_of_a_refusal(front: Front, tmp_path: Path) -> None:
    pytest.importorskip("twine", reason="twine is not installed: pip install twine")
    filename, content = wheel("by-twine", "1.0")
    file = tmp_path / filename
    file.write_bytes(content)

    accepted = twine(front, tmp_path, file)
    assert accepted.returncode == 0, accepted.stdout
    assert (front.store / filename).read_bytes() == content

    file.write_bytes(wheel("by-twine", "1.0", payload=b"other")[1])
    duplicate = twine(front, tmp_path, file)
    assert duplicate.returncode != 0
    assert "HTTPError: 400" in duplicate.stdout
    assert f"File already exists ('{filename}'" in duplicate.stdout
    assert twine_refusal(duplicate.stdout) == ""
    reasons = [line.get("upload", {}).get("refused", "") for line in front.lines(status=400)]
    assert reasons[-1].startswith(f"File already exists ('{filename}'")

    filename, content = wheel("by-twine", "1.1", requires_dist="cffi >=")
    (tmp_path / filename).write_bytes(content)
    reason = twine_refusal(twine(front, tmp_path, tmp_path / filename).stdout)
    assert reason.startswith("InvalidDistribution: ")
    assert "'cffi >=' is invalid for 'requires-dist'" in reason


@needs_uv
def test_uv_publishes_and_prints_the_reason_of_a_refusal(front: Front, tmp_path: Path) -> None:
    def publish(password: str) -> subprocess.CompletedProcess[str]:
        url = ["--publish-url", f"{front.upload}/legacy/", "--trusted-publishing", "never"]
        user = ["-u", "__token__", "-p", password]
        return run(
            [UV, "publish", "--no-attestations", *url, *user, file],
            tmp_path,
            SSL_CERT_FILE=str(front.ca),
        )

    filename, content = wheel("by-uv", "1.0")
    file = tmp_path / filename
    file.write_bytes(content)
    refused = publish("wrong")
    assert refused.returncode != 0
    assert "Invalid or non-existent authentication information" in refused.stdout
    accepted = publish(PASSWORD)
    assert accepted.returncode == 0, accepted.stdout
    assert (front.store / filename).read_bytes() == content


def test_log_has_no_credentials(front: Front) -> None:
    front.send_upload(wheel("discreet", "1.0"))
    front.send_upload(wheel("discreet", "1.1"), password="mistyped-secret")  # noqa: S106 - a bait
    front.get(f"/simple/discreet/?token={PASSWORD}")
    log = json.dumps(front.lines())
    for secret in (PASSWORD, SCOPED, "mistyped-secret"):
        assert secret not in log
        assert base64.b64encode(f"__token__:{secret}".encode()).decode() not in log
    assert PASSWORD not in (front.folder / "stderr").read_text()


def test_upload_without_the_last_slash_is_redirected(front: Front) -> None:
    response = front.shared_session.post(
        f"{front.upload}/legacy", data={}, allow_redirects=False, timeout=30
    )
    assert response.status_code == 308
    assert response.headers["Location"].endswith("/legacy/")
