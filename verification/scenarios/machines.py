"""The machines of containers/machines.toml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from verification.models.base import read_tables
from verification.models.machine import MachineSpec

PATH = Path(__file__).parents[2] / "containers" / "machines.toml"


def load(path: Path = PATH) -> Mapping[str, MachineSpec]:
    """Return the machines by name, in the order of the file.

    Raises:
        DataError: the file cannot be read, or a machine does not fit the model.
    """
    return read_tables(MachineSpec, path)
