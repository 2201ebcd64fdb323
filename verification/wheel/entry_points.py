"""The commands and plug-ins that a wheel offers: entry_points.txt (PyPA: entry points)."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.contents import held_modules

# An object reference: a module, then an attribute in it, then the extras that it needs.
_REFERENCE = re.compile(
    r"(?P<module>\w+(\.\w+)*)\s*(:\s*(?P<name>\w+(\.\w+)*))?\s*(?P<extras>\[.*\])?"
)
_COMMANDS = ("console_scripts", "gui_scripts")


def faults(archive: Archive, subject: Subject) -> Iterator[Cause]:
    """Yield what keeps the wheel from being installed, or an entry point from being loaded."""
    text = archive.metadata_file("entry_points.txt")
    if text is None:
        return
    # Names keep their case, and may hold a colon.
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except (configparser.Error, ValueError) as error:
        yield _fault(f"cannot be read ({error})")
        return
    held = held_modules(archive)
    for group in parser.sections():
        for name, value in parser.items(group):
            told = f"has {name} = {value} in {group}"
            found = _REFERENCE.fullmatch(value.strip())
            if group in _COMMANDS and not (found and found["name"]):
                yield _fault(f"{told}, which names no function: installers refuse it")
            elif found is None:
                yield _fault(f"{told}, which names nothing that can be imported", risk=True)
            elif not found["extras"] and _is_absent(found["module"], held, subject):
                yield _fault(f"{told}, and {found['module']} is not in the wheel", risk=True)


def _is_absent(module: str, held: frozenset[str], subject: Subject) -> bool:
    return module.partition(".")[0] == subject.import_package and module not in held


def _fault(seen: str, *, risk: bool = False) -> Cause:
    return catalogue().cause("entry-point-broken", where="entry_points.txt", seen=seen, risk=risk)
