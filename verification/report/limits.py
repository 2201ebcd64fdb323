"""How far each stand-in is to be trusted: the table of docs/trust.md, as data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "trust.md"
COLUMNS = ("stand_in", "real", "same", "differs")
_LINK = re.compile(r"\[[^]]*\]\(#[^)]*\)")  # to a heading of the page itself


def stand_ins(page: Path = PAGE) -> list[dict[str, str]]:
    """Return the rows of the page's first table.

    Raises:
        ValueError: the page has no such table.
    """
    found: list[dict[str, str]] = []
    for line in page.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            if found:
                break
            continue
        cells = [_LINK.sub("docs/trust.md", c.strip()) for c in line.strip("|").split("|")]
        if len(cells) != len(COLUMNS):
            raise ValueError(f"{page.name}: a row of {len(cells)} cells, not 4: {line[:60]}")
        found.append(dict(zip(COLUMNS, cells, strict=True)))
    if len(found) < 3:
        raise ValueError(f"{page.name}: there is no table of stand-ins")
    return found[2:]  # the heading and the rule below it


def row_of(name: str, rows: Iterable[Mapping[str, str]]) -> Mapping[str, str] | None:
    """Return the row about a machine; one row may tell of several: ``a, -b`` means a and a-b."""
    best: tuple[int, Mapping[str, str]] | None = None
    for row in rows:
        first, *others = [word.strip() for word in row["stand_in"].split(",")]
        names = [first, *(first + word if word.startswith("-") else word for word in others)]
        if name in names and (best is None or len(first) > best[0]):
            best = (len(first), row)
    return best[1] if best else None
