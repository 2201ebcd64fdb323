"""The limits of each stand-in: the table of docs/explanation/stand-ins.md as data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from verification.models.report import StandInLimits

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "explanation" / "stand-ins.md"
_NAME = PAGE.relative_to(_ROOT).as_posix()
_COLUMNS = ("stand_in", "real", "same", "differs")
_LINK = re.compile(r"\[[^]]*\]\(#[^)]*\)")  # a link to a heading of the same page


def load(page: Path = PAGE) -> tuple[StandInLimits, ...]:
    """Return the rows of the first table of docs/explanation/stand-ins.md.

    Raises:
        ValueError: the page has no table, or a row does not have four columns.
    """
    rows: list[StandInLimits] = []
    for line in page.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            if rows:
                break
            continue
        cells = [_LINK.sub(_NAME, cell.strip()) for cell in line.strip("|").split("|")]
        if len(cells) != len(_COLUMNS):
            raise ValueError(f"{page.name}: expected 4 columns, got {len(cells)}: {line[:60]}")
        rows.append(StandInLimits.model_validate(dict(zip(_COLUMNS, cells, strict=True))))
    if len(rows) < 3:
        raise ValueError(f"{page.name}: no table of stand-ins")
    return tuple(rows[2:])  # without the heading and the separator


def limits_of(machine: str, rows: Iterable[StandInLimits]) -> StandInLimits | None:
    """Return the row of a machine. A row can name several machines: ``a, -b`` means a and a-b."""
    best: tuple[int, StandInLimits] | None = None
    for row in rows:
        first, *others = [word.strip() for word in row.stand_in.split(",")]
        names = [first, *(first + word if word.startswith("-") else word for word in others)]
        if machine in names and (best is None or len(first) > best[0]):
            best = (len(first), row)
    return best[1] if best else None
