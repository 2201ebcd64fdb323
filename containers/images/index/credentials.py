"""The credentials for uploads, and their projects."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable

from packaging.utils import canonicalize_name

from .config import Credential


class Keyring:
    """The valid credentials. Trusted publishing adds credentials while the index runs."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._credentials = list(credentials)
        self._lock = threading.Lock()

    def add(self, credential: Credential) -> None:
        """Add a credential and remove expired ones."""
        now = time.time()
        with self._lock:
            self._credentials = [item for item in self._credentials if _is_valid(item, now)]
            self._credentials.append(credential)

    def find(self, username: str, password: str) -> Credential | None:
        """Return the valid credential with this name and password, or None."""
        now = time.time()
        with self._lock:
            credentials = list(self._credentials)
        for credential in credentials:
            matches = hmac.compare_digest(
                f"{credential.username}:{credential.password}".encode(),
                f"{username}:{password}".encode(),
            )
            if matches and _is_valid(credential, now):
                return credential
        return None


def _is_valid(credential: Credential, now: float) -> bool:
    return credential.expires is None or now < credential.expires


def may_upload(credential: Credential, project: str) -> bool:
    """Return True if a credential is valid for a project."""
    return credential.projects is None or canonicalize_name(project) in credential.projects
