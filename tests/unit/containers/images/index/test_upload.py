"""Uploads: which are accepted, which are refused, and the error messages."""

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

needs_uv = pytest.mark.skipif(
    not UV.exists(), reason="uv is not installed beside python: pip install uv"
)


def test_an_accepted_file_is_stored_listed_and_logged(front: Front) -> None:
    filename, content = wheel("taken", "1.0", "cp313-cp313-manylinux_2_28_x86_64")
    assert front.send_upload((filename, content)).status_code == 200
    assert (front.store / filename).read_bytes() == content
    assert front.get(f"/packages/{filename}").content == content
    assert filename in front.get("/simple/taken/").text
    (line,) = [x for x in front.lines(status=200) if x.get("upload", {}).get("file") == filename]
    assert line["upload"] == {"file": filename, "sha256": sha256(content)}


def test_a_source_distribution_is_accepted(front: Front) -> None:
    assert front.send_upload(sdist("from-source", "1.0")).status_code == 200
    assert "from_source-1.0.tar.gz" in front.get("/simple/from-source/").text


def test_the_same_name_with_the_same_bytes_changes_nothing(front: Front) -> None:
    file = wheel("again", "1.0")
    assert front.send_upload(file).status_code == 200
    before = (front.store / file[0]).stat()
    assert front.send_upload(file).status_code == 200
    after = (front.store / file[0]).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_the_same_name_with_other_bytes_is_refused_and_the_first_stays(front: Front) -> None:
    filename, content = wheel("rival", "1.0")
    _, other = wheel("rival", "1.0", payload=b"other")
    assert front.send_upload((filename, content)).status_code == 200
    answer = front.send_upload((filename, other))
    blake2 = hashlib.blake2b(other, digest_size=32).hexdigest()
    assert answer.status_code == 400
    assert answer.reason.startswith(
        f"File already exists ('{filename}', with blake2_256 hash '{blake2}')."
    )
    assert (front.store / filename).read_bytes() == content


def test_the_same_bytes_under_another_name_are_refused(front: Front) -> None:
    filename, content = wheel("twin", "1.0")
    assert front.send_upload((filename, content)).status_code == 200
    answer = front.send_upload(("twin-1.0-1-py3-none-any.whl", content))
    assert answer.status_code == 400
    assert answer.reason.startswith("File already exists ('twin-1.0-1-py3-none-any.whl'")


def test_of_many_uploads_at_once_under_one_name_exactly_one_is_stored(front: Front) -> None:
    files = [wheel("race", "1.0", payload=bytes([number]) * 4096) for number in range(12)]
    with ThreadPoolExecutor(len(files)) as pool:
        answers = list(pool.map(lambda file: front.send_upload(file), files))
    taken = [file for file, answer in zip(files, answers, strict=True) if answer.ok]
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 11
    assert (front.store / taken[0][0]).read_bytes() == taken[0][1]
    assert not list(front.store.glob(".*"))


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
def test_a_form_with_a_mistake_is_refused_with_the_reason(
    front: Front, changes: dict[str, str], reason: str
) -> None:
    filename, content = wheel("formal", "1.0")
    answer = front.send_upload((filename, content), **changes)
    assert answer.status_code == 400
    assert answer.reason.startswith(reason)
    assert answer.reason in answer.text
    assert not (front.store / filename).exists()


def test_a_form_with_right_digests_of_every_kind_is_taken(front: Front) -> None:
    filename, content = wheel("digested", "1.0")
    answer = front.send_upload(
        (filename, content),
        md5_digest=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        blake2_256_digest=hashlib.blake2b(content, digest_size=32).hexdigest().upper(),
    )
    assert answer.status_code == 200


def test_a_form_without_a_file_is_refused(front: Front) -> None:
    answer = front.send_upload(None, name="absent", version="1.0", sha256_digest="0" * 64)
    assert answer.status_code == 400
    assert answer.reason == "Upload payload does not have a file."


def _bytes_of(name: str, **options: Any) -> bytes:
    return wheel(name, "1.0", **options)[1]


def _metadata_of(name: str, version: str = "1.0", **fields: Any) -> bytes:
    return _bytes_of("inner", text=metadata(name, version, **fields))


NAME = "inner-1.0-py3-none-any.whl"

SOUND = _bytes_of("inner")


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        (
            "inner-1.0-py3-none-linux_x86_64.whl",
            SOUND,
            "Binary wheel 'inner-1.0-py3-none-linux_x86_64.whl' has an unsupported platform tag "
            "'linux_x86_64'.",
        ),
        ("inner-1.0-py3-none.whl", SOUND, "Invalid wheel filename"),
        ("Inner-1.0-py3-none-any.whl", SOUND, "Filename 'Inner-1.0-py3-none-any.whl' should cont"),
        ("inner-1.0.exe", SOUND, "Invalid file extension: Use .tar.gz, .whl or .zip extension."),
        (NAME, b"not a zip", "Invalid distribution file. File is not a zipfile"),
        (NAME, SOUND.replace(b"Generator: test", b"Generator: tost"), "Invalid distribution file"),
        (
            NAME,
            _bytes_of("inner", without=["WHEEL"]),
            "Invalid distribution file. WHEEL not found at inner-1.0.dist-info/WHEEL",
        ),
        (
            NAME,
            _bytes_of("inner", without=["RECORD"]),
            f"Wheel '{NAME}' does not contain the required RECORD file: inner-1.0.dist-info/RECORD",
        ),
        (
            NAME,
            _bytes_of("inner", without=["METADATA"]),
            f"Wheel '{NAME}' does not contain the required METADATA file: ",
        ),
        (NAME, _metadata_of("outer"), f"The metadata in '{NAME}' is of 'outer'"),
        (NAME, _metadata_of("inner", "2.0"), f"The metadata in '{NAME}' is of version '2.0'"),
        (NAME, _metadata_of("inner", metadata_version="9.9"), "'9.9' is not a valid metadata ver"),
        (NAME, _metadata_of("inner", requires_python="three"), "'three' is invalid for 'requires-"),
        (
            NAME,
            _metadata_of("inner", requires_dist="other @ https://files.invalid/other.whl"),
            "Can't have direct dependency: other @ https://files.invalid/other.whl",
        ),
        (
            NAME,
            _metadata_of("inner", metadata_version="2.4", license_file="LICENSE"),
            f"License-File LICENSE does not exist in distribution file {NAME} at "
            "inner-1.0.dist-info/licenses/LICENSE",
        ),
    ],
)
def test_a_wheel_with_a_mistake_is_refused_with_the_reason(
    front: Front, filename: str, content: bytes, reason: str
) -> None:
    answer = front.send_upload((filename, content), name="inner", version="1.0")
    assert answer.status_code == 400
    assert reason in answer.reason
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
def test_a_source_distribution_with_a_mistake_is_refused_with_the_reason(
    front: Front, filename: str, content: bytes, reason: str
) -> None:
    answer = front.send_upload((filename, content), name="bare", version="1.0")
    assert answer.status_code == 400
    assert answer.reason == reason


def test_a_reason_that_no_status_line_can_hold_is_made_one_that_can(front: Front) -> None:
    answer = front.send_upload(wheel("formal", "1.0"), version="\N{SNOWMAN}\n1")
    assert answer.status_code == 400
    assert answer.reason.startswith("'?\\n1' is an invalid value for Version.")


def twine(
    front: Front, home: Path, file: Path, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twine", "upload", "--non-interactive"]
    where = ["--repository-url", f"{front.upload}/legacy/", "--cert", str(front.authority)]
    who = ["-u", "__token__", "-p", password]
    # Wide enough that no message is broken into lines.
    return run([*command, "--disable-progress-bar", *where, *who, file], home, COLUMNS="400")


def test_twine_uploads_and_is_told_why_not(front: Front, tmp_path: Path) -> None:
    pytest.importorskip("twine", reason="twine is not installed: pip install twine")
    filename, content = wheel("by-twine", "1.0")
    file = tmp_path / filename
    file.write_bytes(content)

    refused = twine(front, tmp_path, file, password="wrong")  # noqa: S106 - wrong on purpose
    assert refused.returncode != 0
    assert "HTTPError: 403" in refused.stdout
    assert "Invalid or non-existent authentication information" in refused.stdout

    taken = twine(front, tmp_path, file)
    assert taken.returncode == 0, taken.stdout
    assert (front.store / filename).read_bytes() == content

    file.write_bytes(wheel("by-twine", "1.0", payload=b"other")[1])
    exists = twine(front, tmp_path, file)
    assert exists.returncode != 0
    assert "HTTPError: 400" in exists.stdout
    assert f"File already exists ('{filename}'" in exists.stdout
    assert twine_refusal(exists.stdout) == ""
    reasons = [line.get("upload", {}).get("refused", "") for line in front.lines(status=400)]
    assert reasons[-1].startswith(f"File already exists ('{filename}'")

    filename, content = wheel("by-twine", "1.1", requires_dist="cffi >=")
    (tmp_path / filename).write_bytes(content)
    reason = twine_refusal(twine(front, tmp_path, tmp_path / filename).stdout)
    assert reason.startswith("InvalidDistribution: ")
    assert "'cffi >=' is invalid for 'requires-dist'" in reason


@needs_uv
def test_uv_publishes_and_is_told_why_not(front: Front, tmp_path: Path) -> None:
    def publish(password: str) -> subprocess.CompletedProcess[str]:
        where = ["--publish-url", f"{front.upload}/legacy/", "--trusted-publishing", "never"]
        who = ["-u", "__token__", "-p", password]
        return run(
            [UV, "publish", "--no-attestations", *where, *who, file],
            tmp_path,
            SSL_CERT_FILE=str(front.authority),
        )

    filename, content = wheel("by-uv", "1.0")
    file = tmp_path / filename
    file.write_bytes(content)
    refused = publish("wrong")
    assert refused.returncode != 0
    assert "Invalid or non-existent authentication information" in refused.stdout
    taken = publish(PASSWORD)
    assert taken.returncode == 0, taken.stdout
    assert (front.store / filename).read_bytes() == content


def test_no_credential_is_ever_logged(front: Front) -> None:
    front.send_upload(wheel("discreet", "1.0"))
    front.send_upload(wheel("discreet", "1.1"), password="mistyped-secret")  # noqa: S106 - a bait
    front.get(f"/simple/discreet/?token={PASSWORD}")
    log = json.dumps(front.lines())
    for secret in (PASSWORD, SCOPED, "mistyped-secret"):
        assert secret not in log
        assert base64.b64encode(f"__token__:{secret}".encode()).decode() not in log
    assert PASSWORD not in (front.folder / "stderr").read_text()
