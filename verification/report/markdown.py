"""Text of a package as one line of Markdown."""

from __future__ import annotations

import re

_CODE = re.compile("(`[^`]*`)")


def line(text: str) -> str:
    """Return a text as one line that cannot end a table cell or contain HTML.

    Code and emphasis stay. A backslash has no meaning.
    """
    parts = _CODE.split(" ".join(text.split()))
    parts[::2] = [part.replace("\\", "\\\\") for part in parts[::2]]
    # A backslash in code has no meaning already, except before a bar.
    parts[1::2] = [re.sub(r"\\(?=\|)", r"\\ ", part) for part in parts[1::2]]
    return "".join(parts).replace("<", "&lt;").replace("|", "\\|")


def escaped(text: str) -> str:
    """Return a text as one line whose characters have no meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Return a text as one line of code. A backtick cannot be escaped, so it becomes a quote."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
