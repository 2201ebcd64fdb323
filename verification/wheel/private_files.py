"""Find private files of the person who built the wheel: secrets and records of an installation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive, WheelMember

# PyPA, "Recording the Direct URL Origin of installed distributions": written on installation.
_DIRECT_URL = re.compile(r"[^/]+\.dist-info/direct_url\.json")
_SECRETS = re.compile(
    r"\.env(\.(?!example|sample|template|dist|defaults?|tests?\b)[\w-]+)*|\.pypirc|[._]netrc"
)
_KEY_SUFFIXES = {"", ".pem", ".key", ".crt", ".cer", ".ppk"}
# RFC 7468. OpenSSH and OpenSSL write additional words before "PRIVATE KEY".
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----", re.MULTILINE)
_MAX_SECRET = 1 << 20
"""Of a larger file only the first bytes are searched. A key has some kilobytes."""
_TESTS = re.compile(r"tests?|testing")  # keys for tests protect nothing


def causes(archive: Archive) -> Iterator[Cause]:
    """Yield a cause for each file that must not be published."""
    for name, member in archive.files.items():
        if message := _fault(name, member):
            yield catalogue().cause("private-file", name, message)


def _fault(name: str, member: WheelMember) -> str | None:
    if _DIRECT_URL.fullmatch(name):
        return "records the origin of an installation; only an installer writes this file"
    path = PurePosixPath(name)
    if not _can_be_secret(path):
        return None
    data = member.data if member.size <= _MAX_SECRET else None
    return secret_fault(path, member.start if data is None else data)


def _can_be_secret(path: PurePosixPath) -> bool:
    return path.suffix in _KEY_SUFFIXES or _SECRETS.fullmatch(path.name) is not None


def secret_fault(path: PurePosixPath, data: bytes) -> str | None:
    """Return why a file with this content must stay on the computer of its owner, or None."""
    if _SECRETS.fullmatch(path.name) and data.strip():
        return "has the name of a file for passwords and tokens, and is not empty"
    if (
        path.suffix in _KEY_SUFFIXES
        and _PRIVATE_KEY.search(data)
        and not any(_TESTS.fullmatch(part) for part in path.parts[:-1])
    ):
        return "contains a private key"
    return None
