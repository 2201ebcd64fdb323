"""Untrusted text on a terminal and in the log of GitHub Actions.

A package, a server or a workflow chooses many texts that the suite prints. A control character can
hide or move text on a terminal. A line that begins with ``::``, or that contains ``##[``, is a
workflow command for the runner of GitHub Actions (actions/runner, ActionCommand.cs). It ignores
white space before ``::``.

The module needs only the standard library, because each command uses it from its beginning.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:  # a damaged environment may lack pydantic
    from pydantic import JsonValue

_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""All control characters except tab and line feed. Unicode's line and paragraph separators, and its
characters that change the direction of text, count too."""
_COLOUR = r"\x1b\[[0-9;]*m"
_UNPRINTABLE = re.compile(_CONTROL)
_COLOUR_OR_CONTROL = re.compile(rf"({_COLOUR})|{_CONTROL}")
_COMMAND = re.compile(rf"^((?:\s|{_COLOUR})*:)(?=:)|(##)(?=\[)", re.MULTILINE)


def text(value: str) -> str:
    """Return a text with an escape such as ``\\x1b`` for each control character."""
    return _UNPRINTABLE.sub(_escape, value.replace("\r\n", "\n"))


def data(value: JsonValue) -> JsonValue:
    """Return JSON data whose strings are printable."""
    match value:
        case str():
            return text(value)
        case list():
            return [data(item) for item in value]
        case dict():
            return {text(key): data(item) for key, item in value.items()}
        case _:
            return value


def without_commands(value: str) -> str:
    """Return a text in which no line is a workflow command: ``: :`` and ``## [``."""
    return _COMMAND.sub(lambda match: f"{match[1] or match[2]} ", value)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class PrintableStream:
    """A text stream that writes no workflow command and no control character except colours.

    `trusted` is the underlying stream, for the suite's own commands and cursor movements.
    """

    def __init__(self, trusted: TextIO) -> None:
        self.trusted = trusted
        self._line = ""

    def write(self, value: str) -> int:
        """Write a text. A command that two calls write together is recognized."""
        escaped = _COLOUR_OR_CONTROL.sub(
            lambda match: match[1] or self._replacement(match), value.replace("\r\n", "\n")
        )
        written = without_commands(self._line + escaped)
        self.trusted.write(written[len(self._line) :])
        self._line = written.rpartition("\n")[2]
        return len(value)

    def _replacement(self, match: re.Match[str]) -> str:
        # On a terminal, pytest writes its line again. Elsewhere this begins a line for GitHub.
        return match[0] if match[0] == "\r" and self.trusted.isatty() else _escape(match)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trusted, name)


def printable(stream: TextIO) -> TextIO:
    """Return a stream that writes only printable text to `stream`."""
    return stream if isinstance(stream, PrintableStream) else cast(TextIO, PrintableStream(stream))


def trusted(stream: TextIO) -> TextIO:
    """Return the underlying stream of a printable one, or the stream itself."""
    return stream.trusted if isinstance(stream, PrintableStream) else stream


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Make stdout and stderr of this process printable."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = printable(sys.stdout), printable(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
