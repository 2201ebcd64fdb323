"""The table in docs/how-it-works.md names existing files and covers all folders of the product."""

from __future__ import annotations

import ast
import re
from pathlib import Path

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
"""The nouns that a reader looks for."""
FOLDERS = (ROOT / "containers", ROOT / "verification")


def rows() -> dict[str, Path]:
    """Return the path of each noun of the table."""
    text = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    section = text.partition("## Where to find what")[2].partition("\n## ")[0]
    matches = (ROW.match(line) for line in section.splitlines())
    return {match["noun"]: ROOT / match["path"] for match in matches if match}


def test_the_table_has_the_required_nouns_with_existing_files() -> None:
    assert REQUIRED - rows().keys() == set()
    assert [str(path) for path in rows().values() if not path.exists()] == []


def test_the_file_of_a_class_defines_it() -> None:
    for noun, path in rows().items():
        if noun.startswith("`"):
            nodes = ast.parse(path.read_text("utf-8")).body
            names = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
            assert noun.strip("`") in names, path


def test_all_folders_of_the_product_are_in_the_table() -> None:
    known = {path if path.is_dir() else path.parent for path in rows().values()}
    modules = [path for top in FOLDERS for path in top.rglob("*.py") if "images" not in path.parts]
    missing = {
        folder
        for folder in {path.parent for path in modules} - set(FOLDERS)
        if not any(folder in (path, *path.parents) or path in folder.parents for path in known)
    }
    assert missing == set()
