"""The store: the files that it serves, also while uploads change it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.helpers.index_front import (
    Front,
    sha256,
    wheel,
)
from tests.helpers.oidc import PublishingIndex


def test_hidden_file_is_not_served(front: Front) -> None:
    filename, content = wheel("hidden", "1.0")
    front.put((f".{filename}", content))
    assert front.get("/simple/hidden/").status_code == 404
    assert front.get(f"/packages/.{filename}").status_code == 404
    assert front.get("/packages/../config.json").status_code == 404
    assert front.get("/packages/%2e%2e/config.json").status_code == 404


def test_files_from_before_the_start_are_served(index: PublishingIndex) -> None:
    filename, content = wheel("existing", "0.1")
    assert index.front.get(f"/packages/{filename}").content == content


def installation_errors(index: PublishingIndex, session: requests.Session) -> list[str]:
    """Download the last listed file and its metadata, as installers do. Return the errors."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    page = session.get(f"{index.front.simple}open/", headers=accept, timeout=60)
    if page.status_code == 404:
        return []
    file = page.json()["files"][-1]
    errors: list[str] = []
    for suffix, digests in (("", file["hashes"]), (".metadata", file["core-metadata"])):
        url = f"{index.front.index}{file['url']}{suffix}"
        response = session.get(url, timeout=60)
        if response.status_code != 200 or sha256(response.content) != digests["sha256"]:
            errors.append(f"{url}: {response.status_code}, {len(response.content)} bytes")
    return errors


def test_readers_get_complete_files_or_not_found_during_uploads(index: PublishingIndex) -> None:
    size = 2_000_000
    files = [wheel("open", f"{number}.0", payload=bytes([number]) * size) for number in range(1, 9)]
    digests = {name: sha256(content) for name, content in files}
    uploads_ended = threading.Event()

    def read(reader: int) -> tuple[int, int, list[str]]:
        """Read until the uploads have ended. Return the counts of files and 404s, and errors."""
        complete = missing = 0
        errors: list[str] = []
        with index.front.session() as session:
            is_last_round = False
            while not is_last_round:
                is_last_round = uploads_ended.is_set()
                for name in list(digests)[reader % 8 :: 8]:
                    response = session.get(f"{index.front.index}/packages/{name}", timeout=60)
                    if response.status_code == 404:
                        missing += 1
                    elif response.status_code == 200 and sha256(response.content) == digests[name]:
                        complete += 1
                    else:
                        size = len(response.content)
                        errors.append(f"{name}: {response.status_code}, {size} bytes")
                errors += installation_errors(index, session)
        return complete, missing, errors

    def publish(token: str, wheels: list[tuple[str, bytes]]) -> list[int]:
        return [index.upload(token, file).status_code for file in wheels]

    tokens = [index.mint("open"), index.mint("open")]
    with ThreadPoolExecutor(34) as pool:
        readers = [pool.submit(read, number) for number in range(32)]
        uploads = [
            pool.submit(publish, token, files[number::2]) for number, token in enumerate(tokens)
        ]
        try:
            assert [upload.result() for upload in uploads] == [[200] * 4] * 2
        finally:
            uploads_ended.set()
        results = [reader.result() for reader in readers]
    assert [errors for _, _, errors in results if errors] == []
    assert sum(missing for _, missing, _ in results) > 0, "all reads came after the uploads"
    assert all(complete > 0 for complete, _, _ in results)
