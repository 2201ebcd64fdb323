"""All forms of the report, written from the same data."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from verification.history import store as history
from verification.report import github as actions
from verification.report import html as page
from verification.report import junit, results
from verification.report import limits as trust
from verification.report import summary as seen
from verification.report import verification_md as verification
from verification.scenarios import machines as machine_data
from verification.verdict import CellResult, Item, Verdict

FILES = ("results.json", "junit.xml", "VERIFICATION.md", "index.html")
"""Their names in the report's folder."""


def remove(folder: Path) -> None:
    """Remove the forms that an earlier run left: what this run does not write is not there."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def write(
    folder: Path,
    *,
    verdict: Verdict,
    items: Iterable[Item],
    cells: Iterable[CellResult],
    details: dict[str, Any],
    junit_file: Path | None = None,
    keep: bool = True,
) -> list[str]:
    """Write every form into ``folder``; return remarks on what could not be written.

    ``junit_file`` is pytest's, if it is elsewhere. ``keep=False`` leaves it out of the history.
    ``results.json`` comes first, so that it is there whatever becomes of the rest.

    Raises:
        OSError: not even ``results.json`` can be written.
    """
    told = results.write(
        folder / "results.json",
        verdict=verdict,
        items=items,
        cells=cells,
        details=details
        | {
            "seen": seen.of_folder(folder / "evidence"),
            "machines": machines(),
            "stand_ins": trust.stand_ins(),
        },
    )
    remarks = []
    for path, form in (
        (junit_file or folder / "junit.xml", junit.write),
        (folder / "VERIFICATION.md", _verification),
        (folder / "index.html", page.write),
    ):
        try:
            form(path, told)
        except OSError as error:
            remarks.append(f"not written: {path}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  (a form's own fault must not take the verdict)
            remarks.append(f"not written, a fault of the suite: {path}: {error!r}")
    remarks += actions.tell(told, folder, os.environ)
    if keep and history.wanted() and not told.get("interrupted"):
        try:
            history.record(told)
        except (OSError, sqlite3.Error, history.NewerHistory) as error:
            remarks.append(f"not kept for ./e2e compare: {history.path()}: {error}")
    return remarks


def _verification(path: Path, told: dict[str, Any]) -> None:
    path.write_text(verification.render(told), "utf-8", "backslashreplace")


def machines() -> dict[str, dict[str, Any]]:
    """Return what machines.toml says of each machine, the recipe's name left out."""
    found = {}
    for spec in machine_data.load().values():
        found[spec.name] = spec.model_dump(mode="json", exclude={"name", "image"})
    return found
