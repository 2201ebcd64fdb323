"""Suggest known names for an unknown one. Standard library only: the parser tree imports it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SIMILAR = 0.65
"""Names with at least this similarity are suggested (difflib, ratio)."""


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return a question with the most similar of the names, or an empty string."""
    similar = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=_SIMILAR)
    return f"; did you mean {similar[0]}?" if similar else ""


def unknown(kind: str, name: str, names: Iterable[str], listed: Iterable[str] = ()) -> str:
    """Return the line about an unknown name of a machine, a profile or something similar.

    It has the most similar name. If none is similar, it has the `listed` names, by default all.
    """
    names = list(names)
    known = ", ".join(list(listed) or names) or "none"
    answer = did_you_mean(name, names) or f"; the {kind}s are {known}"
    return f"{name}: unknown {kind}{answer}"
