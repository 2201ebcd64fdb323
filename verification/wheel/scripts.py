"""Find commands that overwrite others, and scripts with an interpreter of the build machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from packaging.tags import Tag

from verification.models.cause import Cause
from verification.rules.catalogue import catalogue
from verification.wheel import entry_points
from verification.wheel.archive import Archive
from verification.wheel.identity import WheelIdentity

_COMMAND = re.compile(r"[^/]+\.data/(scripts|data/bin)/[^/]+")
"""The files that an installer puts on PATH (PyPA, "Binary distribution format")."""
_SHEBANG = re.compile(
    rb"#!\s*(?:/bin/sh\s*\n'''exec'\s+|(?:/usr)?/bin/env\s+(?:-S\s*)?(?=/))?\"?([^\s\"]+)"
)
"""The interpreter of a script. It can follow `env`, or the shell that starts a long path."""
_SYSTEM_FOLDERS = frozenset(map(PurePosixPath, ("/bin", "/usr/bin", "/sbin", "/usr/sbin")))
_OF_INSTALLER = re.compile(r"(pip|python)[\d.]*(\.exe)?")
"""The commands of pip and of the environment itself."""
_PYTHON = re.compile(r"(python|pypy)w?[\d.]*t?")


def causes(archive: Archive, identity: WheelIdentity) -> Iterator[Cause]:
    """Yield the causes of the files and entry points that become commands."""
    if identity.name != "pip":
        yield from _overwritten(archive)
    if not all(_is_for_windows(tag) for tag in identity.tags):
        yield from _interpreters(archive)


def _overwritten(archive: Archive) -> Iterator[Cause]:
    """Yield a cause for each command with the name of one of pip or of the environment."""
    files = (name for name in archive.names if _COMMAND.fullmatch(name))
    commands = {PurePosixPath(name).name: name for name in files}
    commands |= dict.fromkeys(entry_points.commands(archive), "entry_points.txt")
    for command, where in commands.items():
        if match := _OF_INSTALLER.fullmatch(command):
            message = f"overwrites the command {command}, which every environment can have"
            owner = match[1]
            yield catalogue().cause("dependency-overwritten", where, message, distribution=owner)


def _interpreters(archive: Archive) -> Iterator[Cause]:
    """Yield a cause for each script whose first line names an interpreter of the build machine.

    A path outside the folders of the system is a fault of a command and of a file in a folder `bin`
    of the package. The path of a Python in a folder of the system is a fault of a command only: an
    installer replaces only the interpreter `python`. Windows does not read the first line.
    """
    for name, member in archive.files.items():
        is_command = _COMMAND.fullmatch(name) is not None
        if not is_command and PurePosixPath(name).parent.name != "bin":
            continue
        match = _SHEBANG.match(member.start)
        if not match:
            continue
        interpreter = match[1].decode("utf-8", errors="replace")
        program = PurePosixPath(interpreter)
        in_system = program.parent in _SYSTEM_FOLDERS
        if not program.is_absolute() or (in_system and not _PYTHON.fullmatch(program.name)):
            continue
        if not in_system:
            reason = f"starts with {interpreter}, which a clean machine does not have"
        elif is_command:
            reason = f"starts with {interpreter}, which is not the Python of an environment"
        else:
            continue
        yield catalogue().cause("script-interpreter", name, reason, interpreter=interpreter)


def _is_for_windows(tag: Tag) -> bool:
    return tag.platform.startswith("win")
