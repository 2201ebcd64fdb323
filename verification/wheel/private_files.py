"""Find private files of the wheel's builder: secrets, and traces of a local installation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive

# PyPA, "Recording the Direct URL Origin of installed distributions": written on installation.
_DIRECT_URL = re.compile(r"[^/]+\.dist-info/direct_url\.json")
_SECRETS = {".env", ".pypirc", ".netrc", "_netrc"}
_KEY_SUFFIXES = {"", ".pem", ".key", ".crt", ".cer", ".ppk"}
# RFC 7468; OpenSSH and OpenSSL write further words before these.
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----", re.MULTILINE)
_TESTS = re.compile(r"tests?|testing")  # the keys of tests open nothing


def faults(archive: Archive) -> Iterator[Cause]:
    """Yield the files that belong to those who built the wheel."""
    for name, data in archive.files.items():
        if fault := _fault(name, data):
            yield catalogue().cause("private-file", where=name, observed=fault)


def _fault(name: str, data: bytes) -> str | None:
    path = PurePosixPath(name)
    if _DIRECT_URL.fullmatch(name):
        return "tells where it was installed from, which is for the installer to write"
    if path.name in _SECRETS and data.strip():
        return "is where passwords and tokens are kept"
    if (
        path.suffix in _KEY_SUFFIXES
        and _PRIVATE_KEY.search(data)
        and not any(_TESTS.fullmatch(part) for part in path.parts[:-1])
    ):
        return "holds a private key"
    return None
