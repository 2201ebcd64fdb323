"""The catalogue of causes, `causes.toml`: the description of each named class of failure."""

from __future__ import annotations

import functools
import string
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from verification.models.base import Model
from verification.models.cause import UNCLASSIFIED, Cause, FactValue, Severity

_CATALOGUE_FILE = Path(__file__).with_name("causes.toml")
_Text = Annotated[str, pydantic.Field(pattern=r"\S", strict=True)]


class CatalogueError(ValueError):
    """The catalogue is wrong, or was asked for something it does not hold."""


class Entry(Model):
    """What the catalogue knows about one class of failure."""

    name: str
    severity: Severity
    title: _Text
    expected: _Text
    remedy: _Text
    doc: _Text
    risk: Severity | None = None
    """The severity while the fault is possible but not proven; None if it cannot be a mere risk."""


class Catalogue(Mapping[str, Entry]):
    """The classes of failure, by name, in the order of the file."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(self._entries)
            raise CatalogueError(f"there is no cause {name!r}; the causes are: {known}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def cause(
        self, name: str, *, where: str, observed: str, risk: bool = False, **facts: FactValue
    ) -> Cause:
        """Return a cause of this name.

        ``where`` is the file, cell or job; ``observed`` is what a check found there. ``facts`` are
        the values in it; they also fill the placeholders of the entry. ``risk`` says that the fault
        is possible and not proven: the cause then has the entry's lesser severity.

        Raises:
            CatalogueError: the name is unknown, a placeholder of the entry has no fact, or the
                entry has no severity for a mere risk.
        """
        entry = self[name]
        if risk and entry.risk is None:
            raise CatalogueError(f"cause {name!r} has no `risk` severity; make it without risk")
        if missing := _placeholders(entry) - {"where"} - facts.keys():
            raise CatalogueError(f"cause {name!r} needs the facts {sorted(missing)}")
        values = {"where": where, **facts}
        return Cause(
            name=name,
            severity=entry.risk if risk and entry.risk else entry.severity,
            where=_one_line(where),
            message=_one_line(f"{observed}; expected {entry.expected.format_map(values)}"),
            remedy=_one_line(entry.remedy.format_map(values)),
            facts=facts,
        )


def load(path: Path = _CATALOGUE_FILE) -> Catalogue:
    """Read a catalogue.

    Raises:
        CatalogueError: the file is not TOML, or an entry does not fit its model. The message has
            every fault of the file.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{path.name} is not TOML: {error}") from error
    faults: list[str] = []
    entries: list[Entry] = []
    for name, table in tables.items():
        try:
            entries.append(Entry.model_validate({**table, "name": name}))
        except TypeError:
            faults.append(f"{name} is not a table")
        except pydantic.ValidationError as error:
            faults += (
                f"{name}.{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False)
            )
    if UNCLASSIFIED not in tables:
        faults.append(f"there is no {UNCLASSIFIED!r} entry")
    if faults:
        raise CatalogueError(f"{path.name} cannot be used: {'; '.join(faults)}")
    return Catalogue(entries)


@functools.cache
def catalogue() -> Catalogue:
    """Return the suite's own catalogue, read once."""
    return load()


def _placeholders(entry: Entry) -> set[str]:
    parsed = string.Formatter().parse(entry.expected + entry.remedy)
    return {field for _, field, _, _ in parsed if field}


def _one_line(text: str) -> str:
    """Return a text, which may come from a wheel, in one line and without control characters."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
