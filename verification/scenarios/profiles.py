"""The profiles: which cells a run asks for, as data."""

from __future__ import annotations

import dataclasses
import fnmatch
import tomllib
from pathlib import Path

from verification.models.errors import WrongUse

HISTORIES = ("none", "all")
_FILE = Path(__file__).with_name("profiles.toml")


@dataclasses.dataclass(frozen=True)
class Profile:
    """One profile of profiles.toml."""

    name: str
    title: str
    cells: tuple[str, ...]
    history: str

    def wants(self, installer: str, scenario: str) -> bool:
        """Return whether it asks for this way of installing and using."""
        return any(fnmatch.fnmatchcase(f"{installer}-{scenario}", one) for one in self.cells)


def load(path: Path = _FILE) -> dict[str, Profile]:
    """Read the profiles, by name.

    Raises:
        WrongUse: an unknown or missing key, or a value of another kind.
    """
    keys = {field.name for field in dataclasses.fields(Profile)} - {"name"}
    found = {}
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{path.name}: {error}") from None
    for name, table in tables.items():
        if not isinstance(table, dict) or set(table) != keys:
            raise WrongUse(f"{path.name}: {name}: its keys must be {', '.join(sorted(keys))}")
        cells, history = table["cells"], table["history"]
        if not isinstance(cells, list) or not cells or not all(isinstance(c, str) for c in cells):
            raise WrongUse(f"{path.name}: {name}: cells must be a list of patterns")
        if history not in HISTORIES:
            raise WrongUse(
                f"{path.name}: {name}: history must be {' or '.join(HISTORIES)}, not {history!r}"
            )
        found[name] = Profile(name, str(table["title"]), tuple(cells), history)
    return found
