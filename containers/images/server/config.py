"""Configuration files of a server: one is read at the start, others while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .json_reader import Json, ObjectReader

# The container's network is the boundary, so the server listens on every interface.
_ADDRESS = "0.0.0.0"  # noqa: S104
_PORT = 443

_Model = TypeVar("_Model")


class ConfigError(Exception):
    """A configuration file is not usable. The message is one line with all faults."""


@dataclass(frozen=True, slots=True)
class Listener:
    """The address and port on which a server listens, and its certificate."""

    address: str
    port: int
    certificate: Path
    key: Path


def read_listener(reader: ObjectReader) -> Listener:
    """Read the configuration keys that all servers have."""
    port = reader.get("port", _PORT)
    if not 0 <= port <= 65535:
        reader.add_fault("port", "must be from 0 to 65535")
    return Listener(
        address=reader.get("address", _ADDRESS),
        port=port,
        certificate=Path(reader.required("certificate", str)),
        key=Path(reader.required("key", str)),
    )


def load(path: Path, parse: Callable[[ObjectReader], _Model]) -> _Model:
    """Read the configuration at the start of a server.

    Raises:
        ConfigError: as for `read`, and if the file does not exist.
    """
    try:
        return read(path, parse)
    except FileNotFoundError as error:
        raise ConfigError(f"cannot read the configuration: {error}") from error


def read(path: Path, parse: Callable[[ObjectReader], _Model], *, wrap: str = "") -> _Model:
    """Read a JSON file into a model.

    With ``wrap``, ``parse`` gets an object with this key, and the file's value under it.

    Raises:
        FileNotFoundError: the file does not exist.
        ConfigError: the file cannot be read or is not JSON, or a key is missing, unknown or wrong.
    """
    try:
        value: Json = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    reader = ObjectReader({wrap: value} if wrap else value)
    model = parse(reader)
    _raise_faults(reader.finish())
    return model


def check_paths(files: Iterable[tuple[str, Path]], folders: Iterable[tuple[str, Path]]) -> None:
    """Check that the files and folders in a configuration exist.

    Raises:
        ConfigError: some do not exist. The message has all of them, each with its key.
    """
    faults = [f"{key}: no such file: {path}" for key, path in files if not path.is_file()]
    faults += [f"{key}: no such folder: {path}" for key, path in folders if not path.is_dir()]
    _raise_faults(faults)


def _raise_faults(faults: Iterable[str]) -> None:
    """Raise `ConfigError` with all faults in one line. Do nothing without faults."""
    if line := "; ".join(faults):
        raise ConfigError(line)
