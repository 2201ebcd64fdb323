"""Causes: the named classes of failure, and the catalogue they come from.

The catalogue is data, `causes.toml`. A cause is one finding: which class, where it was seen, what
was seen and expected, and what the maintainer does about it.
"""

from __future__ import annotations

import functools
import string
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

SEVERITIES = ("testbed", "broken", "flawed", "note")
UNCLASSIFIED = "unclassified"

_CATALOGUE_FILE = Path(__file__).with_name("causes.toml")
_REQUIRED = frozenset({"severity", "title", "expected", "remedy", "doc"})
_OPTIONAL = frozenset({"risk"})


class CatalogueError(ValueError):
    """The catalogue is wrong, or was asked for something it does not hold."""


@dataclass(frozen=True)
class Cause:
    """One finding: a named failure, seen somewhere."""

    name: str
    severity: str
    where: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.where}: {self.message}. {self.remedy}"

    def to_dict(self) -> dict[str, str]:
        """Return the cause as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """What the catalogue knows about one class of failure."""

    name: str
    severity: str
    title: str
    expected: str
    remedy: str
    doc: str
    risk: str | None = None


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
        self, name: str, *, where: str, seen: str, risk: bool = False, **fields: object
    ) -> Cause:
        """Make a cause.

        `where` is the file, cell or job; `seen` completes "<where> ...". `fields` fill the
        entry's placeholders. `risk` says that the fault is possible and not proven: the cause
        then has the entry's lesser severity.

        Raises:
            CatalogueError: if the name is unknown, a field is missing or not used, or the entry
                knows no severity for a mere risk.
        """
        entry = self[name]
        if risk and entry.risk is None:
            raise CatalogueError(f"cause {name!r} has no `risk` severity; make it without risk")
        wanted = _placeholders(entry) - {"where"}
        if wanted != fields.keys():
            raise CatalogueError(
                f"cause {name!r} takes the fields {sorted(wanted)}, not {sorted(fields)}"
            )
        values = {"where": where, **fields}
        return Cause(
            name=name,
            severity=entry.risk if risk and entry.risk else entry.severity,
            where=_one_line(where),
            message=_one_line(f"{seen}; expected {entry.expected.format_map(values)}"),
            remedy=_one_line(entry.remedy.format_map(values)),
        )


def load(path: Path = _CATALOGUE_FILE) -> Catalogue:
    """Read a catalogue.

    Raises:
        CatalogueError: if the file is not TOML, or any entry lacks a key, has an unknown key or
            an unknown severity. All faults of the file are told at once.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{path.name} is not TOML: {error}") from error
    faults: list[str] = []
    entries: list[Entry] = []
    for name, table in tables.items():
        wrong = list(_faults(name, table))
        faults += wrong
        if not wrong:
            entries.append(Entry(name=name, **table))
    if UNCLASSIFIED not in tables:
        faults.append(f"there is no {UNCLASSIFIED!r} entry")
    if faults:
        raise CatalogueError(f"{path.name} cannot be used: {'; '.join(faults)}")
    return Catalogue(entries)


@functools.cache
def catalogue() -> Catalogue:
    """Return the suite's own catalogue, read once."""
    return load()


def in_order(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the causes without repeats, the most pressing first.

    `unclassified` comes before all, because it is what nobody has understood yet.
    """
    return tuple(sorted(set(causes), key=_rank))


def _rank(cause: Cause) -> tuple[bool, int, str, str, str]:
    severity = SEVERITIES.index(cause.severity)
    return (cause.name != UNCLASSIFIED, severity, cause.name, cause.where, cause.message)


def _faults(name: str, table: object) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{name!r} is not a table"
        return
    known = _REQUIRED | _OPTIONAL
    for key in sorted(table.keys() - known):
        yield f"{name!r} has the unknown key {key!r} (the keys are: {', '.join(sorted(known))})"
    for key in sorted(_REQUIRED - table.keys()):
        yield f"{name!r} lacks the key {key!r}"
    for key in sorted(table.keys() & known):
        value = table[key]
        if not isinstance(value, str) or not value.strip():
            yield f"{key!r} of {name!r} is not a text"
        elif key in {"severity", "risk"} and value not in SEVERITIES:
            yield f"{name!r} has the unknown {key} {value!r} (known: {', '.join(SEVERITIES)})"


def _placeholders(entry: Entry) -> set[str]:
    parsed = string.Formatter().parse(entry.expected + entry.remedy)
    return {field for _, field, _, _ in parsed if field}


def _one_line(text: str) -> str:
    """Return a text, which may be a wheel's own, without what a terminal or a page would obey."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
