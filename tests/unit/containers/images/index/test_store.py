"""The store: which files it serves, and what readers receive while it changes."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from tests.helpers.index_front import (
    Front,
    run,
    running,
    sha256,
    wheel,
)
from tests.helpers.oidc import PublishingIndex


def test_a_hidden_file_is_not_served(front: Front) -> None:
    filename, content = wheel("hidden", "1.0")
    front.put((f".{filename}", content))
    assert front.get("/simple/hidden/").status_code == 404
    assert front.get(f"/packages/.{filename}").status_code == 404
    assert front.get("/packages/../config.json").status_code == 404
    assert front.get("/packages/%2e%2e/config.json").status_code == 404


def test_files_that_lie_in_the_store_before_the_start_are_served(tmp_path: Path) -> None:
    filename, content = wheel("early", "1.0")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / filename).write_bytes(content)
    with running(tmp_path) as front:
        assert front.get(f"/packages/{filename}").content == content


def test_readers_get_whole_files_or_a_clean_not_found_while_uploads_run(
    index: PublishingIndex,
) -> None:
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


def test_installs_run_while_uploads_run(index: PublishingIndex, tmp_path: Path) -> None:
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
