"""The catalogue of causes, `causes.toml`: the description of each named class of failure."""

from __future__ import annotations

import functools
import re
import string
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from verification.models.base import Model
from verification.models.cause import UNCLASSIFIED, Cause, FactValue, Severity
from verification.models.machine import OperatingSystem

_CATALOGUE_FILE = Path(__file__).with_name("causes.toml")
_Text = Annotated[str, pydantic.Field(pattern=r"\S", strict=True)]
_WORKAROUND_NAMES = frozenset({"project", "version"})
_MAX_NAMES = 3
"""How many values of a fact with several values a message lists."""


class CatalogueError(ValueError):
    """The catalogue is invalid, or does not have the requested entry."""


def checked_template(template: str, known: frozenset[str]) -> str:
    """Return a template whose placeholders all are known.

    Raises:
        ValueError: it has another placeholder.
    """
    if unknown := placeholders(template) - known:
        names = ", ".join(f"{{{name}}}" for name in sorted(unknown))
        raise ValueError(f"unknown placeholder {names}")
    return template


class Workaround(Model):
    """What a user can do about a cause until the package is corrected."""

    text: Annotated[
        _Text, pydantic.AfterValidator(lambda text: checked_template(text, _WORKAROUND_NAMES))
    ]
    """The text, with the placeholders {project} and {version}."""
    system: OperatingSystem | None = None
    """The operating system on which it helps; None for all."""
    library: str = ""
    """A regular expression for the fact `library`; empty if it helps for every library."""

    def helps(self, system: str, facts: Mapping[str, FactValue]) -> bool:
        """Return True if it helps on a system for a cause with these facts."""
        names = facts.get("library", "")
        libraries = names if isinstance(names, tuple) else (str(names),)
        return self.system in (None, system) and any(
            re.match(self.library, name, re.IGNORECASE) for name in libraries
        )


class CatalogueEntry(Model):
    """The description of one class of failure."""

    name: str
    severity: Severity
    title: _Text
    expected: _Text
    remedy: _Text
    doc: _Text
    risk: Severity | None = None
    """The severity of a possible fault; None if the fault is always certain."""
    messages: Mapping[str, _Text] = pydantic.Field(default_factory=dict)
    """The template of the message for each form of the fault."""
    workaround: tuple[Workaround, ...] = ()
    """What a user can do. The first one that helps is used."""

    def message(self, form: str, facts: Mapping[str, FactValue]) -> str:
        """Return the message for a form of the fault, filled with the facts.

        Raises:
            CatalogueError: the entry has no such form, or a placeholder has no fact.
        """
        if form not in self.messages:
            known = ", ".join(self.messages) or "none"
            raise CatalogueError(f"cause {self.name!r} has no message {form!r}; it has: {known}")
        return self._filled(self.messages[form], facts)

    def filled_remedy(self, facts: Mapping[str, FactValue]) -> str:
        """Return the remedy, filled with the facts.

        Raises:
            CatalogueError: a placeholder has no fact.
        """
        return self._filled(self.remedy, facts)

    def workaround_for(self, system: str, facts: Mapping[str, FactValue]) -> str:
        """Return the template of the workaround for an operating system; empty if there is none."""
        return next((item.text for item in self.workaround if item.helps(system, facts)), "")

    def _filled(self, template: str, facts: Mapping[str, FactValue]) -> str:
        if missing := placeholders(template) - facts.keys():
            raise CatalogueError(f"cause {self.name!r} needs the facts {sorted(missing)}")
        return template.format_map({name: _printable(value) for name, value in facts.items()})


class Catalogue(Mapping[str, CatalogueEntry]):
    """The classes of failure, by name, in the order of the file."""

    def __init__(self, entries: Iterable[CatalogueEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> CatalogueEntry:
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
        self, name: str, where: str, message: str, /, *, risk: bool = False, **facts: FactValue
    ) -> Cause:
        """Return a cause of this name.

        ``where`` is the file, cell or job. ``message`` says what happened there. A full stop at its
        end is removed, because reports append one. The first parameters are positional, because a
        fact can also be called `message`.
        ``facts`` are the values in the message; they also fill the placeholders of the remedy.
        ``risk`` means that the fault is possible and not proven: the cause then has the lesser
        severity of the entry.

        Raises:
            CatalogueError: the name is unknown, a placeholder of the remedy has no fact, or the
                entry has no severity for a possible fault.
        """
        entry = self[name]
        if risk and entry.risk is None:
            raise CatalogueError(f"cause {name!r} has no `risk` severity; create it without risk")
        return Cause(
            name=name,
            severity=entry.risk if risk and entry.risk else entry.severity,
            where=_one_line(where),
            message=_one_line(message).removesuffix("."),
            remedy=_one_line(entry.filled_remedy({"where": where, **facts})),
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
    entries: list[CatalogueEntry] = []
    for name, table in tables.items():
        try:
            entries.append(CatalogueEntry.model_validate({**table, "name": name}))
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
        raise CatalogueError(f"{path.name} is invalid: {'; '.join(faults)}")
    return Catalogue(entries)


@functools.cache
def catalogue() -> Catalogue:
    """Return the catalogue of the suite. The file is read once."""
    return load()


def placeholders(template: str) -> set[str]:
    """Return the names of the facts that a template needs."""
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


def _printable(value: FactValue) -> str | float:
    if not isinstance(value, tuple):
        return value
    listed = ", ".join(value[:_MAX_NAMES])
    return listed if len(value) <= _MAX_NAMES else f"{listed} and {len(value) - _MAX_NAMES} more"


def _one_line(text: str) -> str:
    """Return a text, which may come from a wheel, in one line and without control characters."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
