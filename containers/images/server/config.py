"""The files by which the host configures a server: one at the start, others while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .json_reader import Json, ObjectReader

# The container's own network is the boundary, so every interface of it is meant.
_ADDRESS = "0.0.0.0"  # noqa: S104
_PORT = 443

_Model = TypeVar("_Model")


class ConfigError(Exception):
    """A file of the host cannot be used; the message is one line and names every fault."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a server listens, and the certificate with which it does."""

    address: str
    port: int
    certificate: Path
    key: Path


def read_listener(reader: ObjectReader) -> Listener:
    """Read the keys of a configuration that every server has."""
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
    """Read the configuration with which a server starts.

    Raises:
        ConfigError: as for `read`; also if there is no such file.
    """
    try:
        return read(path, parse)
    except FileNotFoundError as error:
        raise ConfigError(f"cannot read the configuration: {error}") from error


def read(path: Path, parse: Callable[[ObjectReader], _Model], *, wrap: str = "") -> _Model:
    """Read a JSON file into a model; ``wrap`` puts its value under a key first.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: it cannot be read or is not JSON, or a key is missing, unknown or wrong.
    """
    try:
        value: Json = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    reader = ObjectReader({wrap: value} if wrap else value)
    model = parse(reader)
    _raise(reader.finish())
    return model


def check_paths(files: Iterable[tuple[str, Path]], folders: Iterable[tuple[str, Path]]) -> None:
    """Check that the files and folders that a configuration names exist.

    Raises:
        ConfigError: one does not; the message has all of them, each with its key.
    """
    faults = [f"{key}: no such file: {path}" for key, path in files if not path.is_file()]
    faults += [f"{key}: no such folder: {path}" for key, path in folders if not path.is_dir()]
    _raise(faults)


def _raise(faults: Iterable[str]) -> None:
    """Raise `ConfigError` with all faults in one line, if there are any."""
    if line := "; ".join(faults):
        raise ConfigError(line)
