"""The profiles of profiles.toml: which cells a run includes."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from verification.models.base import Model, read_tables

PATH = Path(__file__).with_name("profiles.toml")
EarlierReleasesChoice = Literal["none", "all"]
"""The earlier releases that are also on the index."""


class Profile(Model):
    """One profile of profiles.toml."""

    name: str
    title: str
    cells: tuple[str, ...] = Field(min_length=1)
    """Patterns of installer and scenario, such as ``pip-*``."""
    outside_libraries: tuple[str, ...] = ()
    """Patterns of the additional cells on Windows if a wheel has libraries outside its package."""
    history: EarlierReleasesChoice

    def selects(self, installer: str, scenario: str, *, outside_libraries: bool = False) -> bool:
        """Return True if the profile includes the cells of this installer and this scenario.

        ``outside_libraries`` adds the cells for a Windows wheel with libraries outside its package.
        """
        name = f"{installer}-{scenario}"
        patterns = (*self.cells, *(self.outside_libraries if outside_libraries else ()))
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def load(path: Path = PATH) -> Mapping[str, Profile]:
    """Return the profiles by name.

    Raises:
        DataError: the file cannot be read, or a profile does not fit the model.
    """
    return read_tables(Profile, path)
