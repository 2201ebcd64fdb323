"""The screen of a terminal. It applies the control sequences that rich writes."""

from __future__ import annotations

import io
import re


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Raise an error: the stream has no file."""
        raise io.UnsupportedOperation


def screen(text: str) -> list[str]:
    """Return the lines on the screen after ``text`` is written, without empty lines at the end.

    Raises:
        ValueError: unknown control sequence.
    """
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\??\d*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
        elif part.startswith("\x1b"):
            if part not in ("\x1b[?25l", "\x1b[?25h"):  # hide and show the cursor
                raise ValueError(f"unknown control sequence {part!r}")
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    while lines and not lines[-1]:
        lines.pop()
    return lines
