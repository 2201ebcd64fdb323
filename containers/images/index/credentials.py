"""Who may upload, and to which projects."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable

from packaging.utils import canonicalize_name

from .config import Credential


class Keyring:
    """The credentials in force; more can be added while the index runs."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._credentials = list(credentials)
        self._lock = threading.Lock()

    def add(self, credential: Credential) -> None:
        """Add a credential, as one minted for a trusted publisher; drop those that have expired."""
        now = time.time()
        with self._lock:
            self._credentials = [
                known for known in self._credentials if known.expires is None or now < known.expires
            ]
            self._credentials.append(credential)

    def find(self, username: str, password: str) -> Credential | None:
        """Return the credential in force that matches, or None."""
        now = time.time()
        with self._lock:
            known = list(self._credentials)
        for credential in known:
            same = hmac.compare_digest(
                f"{credential.username}:{credential.password}".encode(),
                f"{username}:{password}".encode(),
            )
            if same and (credential.expires is None or now < credential.expires):
                return credential
        return None


def may_upload(credential: Credential, project: str) -> bool:
    """Return whether a credential covers a project."""
    return credential.projects is None or canonicalize_name(project) in credential.projects
