"""The issuer's keys: made here, chosen by a file of the host side.

``keys.json`` in the folder says ``{"signing": 2, "published": [1, 2, 3]}``; keys are numbered and
made when they are first named. A key that signs and is not published is a planted fault: nobody can
verify what it signed. The file is read for every request.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey

_BITS = 2048
_MOST = 50


class KeysError(Exception):
    """The file that chooses the keys cannot be used."""


class Keys:
    """The numbered keys, and which of them sign and are published."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.json"
        self._lock = threading.Lock()
        self._made: dict[int, RSAKey] = {}

    def signing(self) -> RSAKey:
        """Return the key that signs now.

        Raises:
            KeysError: the file is not what it should be.
        """
        return self._key(self._chosen()[0])

    def published(self) -> list[dict[str, Any]]:
        """Return the public halves of the published keys, as a JWK set has them.

        Raises:
            KeysError: as for `signing`.
        """
        return [
            {**self._key(number).as_dict(private=False), "use": "sig", "alg": "RS256"}
            for number in self._chosen()[1]
        ]

    def _key(self, number: int) -> RSAKey:
        with self._lock:
            if number not in self._made:
                self._made[number] = RSAKey.generate_key(_BITS, auto_kid=True)
            return self._made[number]

    def _chosen(self) -> tuple[int, list[int]]:
        try:
            table = json.loads(self._path.read_text("utf-8"))
            signing, published = table["signing"], table["published"]
            right = isinstance(published, list) and all(
                type(number) is int and 0 < number <= _MOST for number in [signing, *published]
            )
        except FileNotFoundError:
            return 1, [1]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeysError(f"{self._path.name}: {error!r}") from error
        if not right:
            raise KeysError(f"{self._path.name}: signing and published must be from 1 to {_MOST}")
        return signing, published
