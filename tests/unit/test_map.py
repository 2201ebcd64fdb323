"""The table in docs/how-it-works.md names existing files and covers every folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<noun>[^|]+) \| [^|]+ \| `(?P<path>[^`]+)` \|$")
REQUIRED = {
    "who prepares a run",
    "who runs a cell",
    "who decides the verdict",
    *("`Release`", "`WheelInspection`", "`MachineSpec`", "`Cell`", "`CellEvidence`", "`Cause`"),
    *("`CellResult`", "`RunResult`", "`Verdict`", "`Outcome`", "`Expectation`", "`Subject`"),
    *("engine", "image", "network", "canary", "machine", "index", "forge", "runner"),
    *("probe", "rules", "report", "history", "session", "commands", "planted faults"),
}
"""The nouns of the design."""
FOLDERS = ("containers", "verification")


def rows() -> dict[str, Path]:
    """Return the path of each noun of the table."""
    text = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    section = text.partition("## Where to find what")[2].partition("\n## ")[0]
    found = (ROW.match(line) for line in section.splitlines())
    return {match["noun"]: ROOT / match["path"] for match in found if match}


def test_every_noun_of_the_design_has_its_file() -> None:
    assert set(rows()) >= REQUIRED


@pytest.mark.parametrize(("noun", "path"), rows().items(), ids=list(rows()))
def test_the_file_of_a_noun_exists_and_defines_it(noun: str, path: Path) -> None:
    assert path.exists()
    if noun.startswith("`"):
        classes = {
            n.name for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.ClassDef)
        }
        assert noun.strip("`") in classes


def test_every_folder_of_the_product_is_on_the_map() -> None:
    known = {path if path.is_dir() else path.parent for path in rows().values()}
    folders = {
        path.parent
        for top in FOLDERS
        for path in (ROOT / top).rglob("*.py")
        if "images" not in path.relative_to(ROOT).parts
    }
    missing = {
        folder
        for folder in folders - {ROOT / top for top in FOLDERS}
        if not any(folder == one or one in folder.parents or folder in one.parents for one in known)
    }
    assert missing == set()
