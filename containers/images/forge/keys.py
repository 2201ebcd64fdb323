"""The keys of the issuer. The host selects the key that signs and the published keys.

The host writes the file ``keys.json`` into `Settings.folder`:
``{"signing": 2, "published": [1, 2, 3]}``. The keys have numbers and are created at their first
use. To plant a fault, the host selects a signing key that is not published, so that nobody can
verify its signatures. The forge reads the file for each request.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import RSAKey
from server import config
from server.json_reader import JsonObject, ObjectReader

_BITS = 2048
_MAX_NUMBER = 50


@dataclass(frozen=True, slots=True)
class _Selection:
    signing: int
    published: tuple[int, ...]


class Keys:
    """The numbered keys of the issuer."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.json"
        self._lock = threading.Lock()
        self._keys: dict[int, RSAKey] = {}

    def signing(self) -> RSAKey:
        """Return the key that signs now.

        Raises:
            ConfigError: ``keys.json`` is not valid.
        """
        return self._key(self._read_selection().signing)

    def published(self) -> list[JsonObject]:
        """Return the public parts of the published keys, as members of a JWK set.

        Raises:
            ConfigError: as for `signing`.
        """
        return [_public(self._key(number)) for number in self._read_selection().published]

    def _key(self, number: int) -> RSAKey:
        with self._lock:
            if number not in self._keys:
                self._keys[number] = RSAKey.generate_key(_BITS, auto_kid=True)
            return self._keys[number]

    def _read_selection(self) -> _Selection:
        try:
            return config.read(self._path, _selection)
        except FileNotFoundError:
            return _Selection(1, (1,))


def _selection(reader: ObjectReader) -> _Selection:
    signing = reader.required("signing", int)
    published = reader.optional_list("published", int) or []
    if not all(0 < number <= _MAX_NUMBER for number in (signing, *published)):
        reader.add_fault("signing", f"and published must be from 1 to {_MAX_NUMBER}")
    return _Selection(signing, tuple(published))


def _public(key: RSAKey) -> JsonObject:
    members = key.as_dict(private=False).items()
    public: JsonObject = {name: value for name, value in members if isinstance(value, str)}
    return public | {"use": "sig", "alg": "RS256"}
