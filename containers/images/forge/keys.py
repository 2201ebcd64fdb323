"""The issuer's keys: made here, chosen by a file of the host.

``keys.json`` in the folder is ``{"signing": 2, "published": [1, 2, 3]}``; keys are numbered and
made when they are first named. A key that signs and is not published is a planted fault: nobody can
verify what it signed. The file is read for every request.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import RSAKey
from server import config
from server.json_reader import JsonObject, ObjectReader

_BITS = 2048
_HIGHEST = 50


@dataclass(frozen=True, slots=True)
class _Choice:
    signing: int
    published: tuple[int, ...]


class Keys:
    """The numbered keys, and which of them sign and are published."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.json"
        self._lock = threading.Lock()
        self._made: dict[int, RSAKey] = {}

    def signing(self) -> RSAKey:
        """Return the key that signs now.

        Raises:
            ConfigError: the host's file is not valid.
        """
        return self._key(self._chosen().signing)

    def published(self) -> list[JsonObject]:
        """Return the public halves of the published keys, as a JWK set has them.

        Raises:
            ConfigError: as for `signing`.
        """
        return [_public(self._key(number)) for number in self._chosen().published]

    def _key(self, number: int) -> RSAKey:
        with self._lock:
            if number not in self._made:
                self._made[number] = RSAKey.generate_key(_BITS, auto_kid=True)
            return self._made[number]

    def _chosen(self) -> _Choice:
        try:
            return config.read(self._path, _choice)
        except FileNotFoundError:
            return _Choice(1, (1,))


def _choice(reader: ObjectReader) -> _Choice:
    signing = reader.required("signing", int)
    published = reader.optional_list("published", int) or []
    if not all(0 < number <= _HIGHEST for number in (signing, *published)):
        reader.add_fault("signing", f"and published must be from 1 to {_HIGHEST}")
    return _Choice(signing, tuple(published))


def _public(key: RSAKey) -> JsonObject:
    members = key.as_dict(private=False).items()
    public: JsonObject = {name: value for name, value in members if isinstance(value, str)}
    return public | {"use": "sig", "alg": "RS256"}
