"""Uploads: accepted and refused files, with the messages of the default index."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.index_front import (
    PASSWORD,
    SCOPED,
    Front,
    metadata,
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": "submit"}, "Invalid value for :action."),
        ({"protocol_version": "2"}, "Unknown protocol version."),
        ({"metadata_version": ""}, "'' is an invalid value for Metadata-Version."),
        ({"name": "_bad"}, "'_bad' is an invalid value for Name."),
        ({"version": "one"}, "'one' is an invalid value for Version."),
        ({"version": "1.0+here"}, "The use of local versions in <Version('1.0+here')>"),
        ({"filetype": "bdist_egg"}, "Invalid value for filetype. Error: Use a known file type."),
        ({"filetype": "sdist"}, "Invalid file extension: Extension .whl is invalid for filetype"),
        ({"sha256_digest": ""}, "Error: Include at least one message digest."),
        ({"sha256_digest": "abc"}, "Invalid value for sha256_digest. Error: Use a valid"),
        ({"sha256_digest": "0" * 64}, "The digest supplied does not match a digest"),
        ({"md5_digest": "0" * 32}, "The digest supplied does not match a digest"),
        ({"blake2_256_digest": "0" * 64}, "The digest supplied does not match a digest"),
        ({"name": "other"}, "Start filename for 'other' with 'other'."),
        ({"version": "2.0"}, "Version in filename should be '2.0' not '1.0'."),
    ],
    ids=str,
)
def test_wrong_form_is_refused_with_the_reason(
    front: Front, changes: dict[str, str], reason: str
) -> None:
    filename, content = wheel("formal", "1.0")
    response = front.send_upload((filename, content), **changes)
    assert response.status_code == 400
    assert response.reason.startswith(reason)
    assert response.reason in response.text
    assert not (front.store / filename).exists()


def test_form_with_all_kinds_of_digests_is_accepted(front: Front) -> None:
    filename, content = wheel("digested", "1.0")
    response = front.send_upload(
        (filename, content),
        md5_digest=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        blake2_256_digest=hashlib.blake2b(content, digest_size=32).hexdigest().upper(),
    )
    assert response.status_code == 200


def test_form_without_a_file_is_refused(front: Front) -> None:
    response = front.send_upload(None, name="absent", version="1.0", sha256_digest="0" * 64)
    assert response.status_code == 400
    assert response.reason == "Upload payload does not have a file."


def _wheel_content(name: str, **options: Any) -> bytes:
    return wheel(name, "1.0", **options)[1]


def _wheel_with_metadata(name: str, version: str = "1.0", **fields: Any) -> bytes:
    return _wheel_content("inner", text=metadata(name, version, **fields))


NAME = "inner-1.0-py3-none-any.whl"

VALID = _wheel_content("inner")


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        (
            "inner-1.0-py3-none-linux_x86_64.whl",
            VALID,
            "Binary wheel 'inner-1.0-py3-none-linux_x86_64.whl' has an unsupported platform tag "
            "'linux_x86_64'.",
        ),
        ("inner-1.0-py3-none.whl", VALID, "Invalid wheel filename"),
        ("Inner-1.0-py3-none-any.whl", VALID, "Filename 'Inner-1.0-py3-none-any.whl' should cont"),
        ("inner-1.0.exe", VALID, "Invalid file extension: Use .tar.gz, .whl or .zip extension."),
        (NAME, b"no zip archive", "Invalid distribution file. File is not a zipfile"),
        (NAME, VALID.replace(b"Generator: test", b"Generator: tost"), "Invalid distribution file"),
        (
            NAME,
            _wheel_content("inner", without=["WHEEL"]),
            "Invalid distribution file. WHEEL not found at inner-1.0.dist-info/WHEEL",
        ),
        (
            NAME,
            _wheel_content("inner", without=["RECORD"]),
            f"Wheel '{NAME}' does not contain the required RECORD file: inner-1.0.dist-info/RECORD",
        ),
        (
            NAME,
            _wheel_content("inner", without=["METADATA"]),
            f"Wheel '{NAME}' does not contain the required METADATA file: ",
        ),
        (NAME, _wheel_with_metadata("outer"), "'outer'"),
        (NAME, _wheel_with_metadata("inner", "2.0"), "'2.0'"),
        (
            NAME,
            _wheel_with_metadata("inner", metadata_version="9.9"),
            "'9.9' is not a valid metadata ver",
        ),
        (
            NAME,
            _wheel_with_metadata("inner", requires_python="three"),
            "'three' is invalid for 'requires-",
        ),
        (
            NAME,
            _wheel_with_metadata("inner", requires_dist="other @ https://files.invalid/other.whl"),
            "Can't have direct dependency: other @ https://files.invalid/other.whl",
        ),
        (
            NAME,
            _wheel_with_metadata("inner", metadata_version="2.4", license_file="LICENSE"),
            f"License-File LICENSE does not exist in distribution file {NAME} at "
            "inner-1.0.dist-info/licenses/LICENSE",
        ),
    ],
)
def test_wrong_wheel_is_refused_with_the_reason(
    front: Front, filename: str, content: bytes, reason: str
) -> None:
    response = front.send_upload((filename, content), name="inner", version="1.0")
    assert response.status_code == 400
    assert reason in response.reason
    assert not (front.store / filename).exists()


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        ("bare-1.0.tar.gz", b"not a tar", "Invalid distribution file. File is not a tarfile"),
        (
            "bare-1.0.tar.gz",
            sdist("bare", "1.0", without=["PKG-INFO"])[1],
            "Invalid distribution file. PKG-INFO not found at bare-1.0/PKG-INFO",
        ),
        (
            "bare-1.0.tar.gz",
            sdist("else", "1.0")[1],
            "Invalid distribution file. Incorrect number of top-level directories in sdist",
        ),
        (
            "bare-1.0.zip",
            b"any",
            "Filename 'bare-1.0.zip' is invalid, should be 'bare-1.0.tar.gz'.",
        ),
    ],
)
def test_wrong_source_distribution_is_refused_with_the_reason(
    front: Front, filename: str, content: bytes, reason: str
) -> None:
    response = front.send_upload((filename, content), name="bare", version="1.0")
    assert response.status_code == 400
    assert response.reason == reason


def test_reason_is_converted_to_one_line_of_latin_1(front: Front) -> None:
    response = front.send_upload(wheel("formal", "1.0"), version="\N{SNOWMAN}\n1")
    assert response.status_code == 400
    assert response.reason.startswith("'?\\n1' is an invalid value for Version.")


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
