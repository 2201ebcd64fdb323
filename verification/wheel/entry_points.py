"""Check the commands and plug-ins of a wheel: entry_points.txt (PyPA, "Entry points")."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.rules.catalogue import catalogue
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity
from verification.wheel.modules import installed_modules

# An object reference: a module, then an attribute in it, then the extras that it needs.
_REFERENCE = re.compile(
    r"(?P<module>\w+(\.\w+)*)\s*(:\s*(?P<name>\w+(\.\w+)*))?\s*(?P<extras>\[.*\])?"
)
_COMMANDS = ("console_scripts", "gui_scripts")


class _Parser(configparser.RawConfigParser):
    """A parser for entry_points.txt: names keep their case and may contain a colon."""

    def __init__(self) -> None:
        super().__init__(delimiters=("=",), default_section="")

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def commands(archive: Archive) -> tuple[str, ...]:
    """Return the names of the commands; none if the file cannot be parsed."""
    parser = _Parser()
    try:
        parser.read_string(archive.metadata_file("entry_points.txt") or "")
    except (configparser.Error, ValueError):
        return ()  # `causes` reports it
    groups = filter(parser.has_section, _COMMANDS)
    return tuple(name for group in groups for name, _ in parser.items(group))


def causes(archive: Archive, identity: WheelIdentity, subject: Subject) -> Iterator[Cause]:
    """Yield the reasons why an installer refuses the wheel or an entry point cannot be loaded."""
    text = archive.metadata_file("entry_points.txt")
    if text is None:
        return
    parser = _Parser()
    try:
        parser.read_string(text)
    except (configparser.Error, ValueError) as error:
        yield _fault(f"cannot be parsed: {error}")
        return
    installed = installed_modules(archive, identity)
    for group in parser.sections():
        for name, value in parser.items(group):
            entry = f"has `{name} = {value}` in [{group}]"
            reference = _REFERENCE.fullmatch(value.strip())
            if group in _COMMANDS and not (reference and reference["name"]):
                yield _fault(f"{entry}, but this is not `module:function`", entry=name)
            elif reference is None:
                yield _fault(f"{entry}, but this is not a valid reference", risk=True, entry=name)
            elif not reference["extras"] and _is_absent(reference["module"], installed, subject):
                message = f"{entry}, but the wheel does not contain {reference['module']}"
                yield _fault(message, risk=True, entry=name, module=reference["module"])


def _is_absent(module: str, installed: frozenset[str], subject: Subject) -> bool:
    return module.partition(".")[0] == subject.import_package and module not in installed


def _fault(message: str, *, risk: bool = False, **facts: str) -> Cause:
    return catalogue().cause("entry-point-broken", "entry_points.txt", message, risk=risk, **facts)
