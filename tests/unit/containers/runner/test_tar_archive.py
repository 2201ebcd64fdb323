from __future__ import annotations

import io
import tarfile

from containers.runner.tar_archive import archive_of


def test_archive_has_its_files_and_no_folder() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive_of({"known/a": b"", "b": b"bytes"}))) as tar:
        members = {member.name: member for member in tar}
        assert set(members) == {"known/a", "b"}
        assert all(member.isfile() and member.mode == 0o644 for member in members.values())
        file = tar.extractfile("b")
        assert file is not None
        assert file.read() == b"bytes"
