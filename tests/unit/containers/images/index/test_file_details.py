"""The details that the index reads from files, and when it reads a file again."""

from __future__ import annotations

from tests.helpers.index_front import (
    Front,
    sha256,
    wheel,
)


def test_changed_file_is_read_again(front: Front) -> None:
    filename = front.put(wheel("changing", "1.0"))
    before = front.listed_files("changing")[filename]["hashes"]["sha256"]
    content = wheel("changing", "1.0", payload=b"changed")[1]
    front.put((filename, content))
    after = front.listed_files("changing")[filename]["hashes"]["sha256"]
    assert before != after == sha256(content)


def test_broken_wheel_is_listed_without_metadata(front: Front) -> None:
    filename = front.put(("broken-1.0-py3-none-any.whl", b"not a zip"))
    entry = front.listed_files("broken")[filename]
    assert entry["hashes"] == {"sha256": sha256(b"not a zip")}
    assert "core-metadata" not in entry
    assert front.get(f"/packages/{filename}.metadata").status_code == 404
