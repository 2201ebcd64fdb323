"""The table in docs/how-it-works.md names existing files and covers all folders of the product."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<noun>[^|]+) \| [^|]+ \| `(?P<path>[^`]+)`(?P<more>.*) \|$")
REQUIRED = {
    *("launcher", "preparation of a run", "run of a cell", "verdict of a run", "who may publish"),
    *("tags of a wheel", "what a clean Windows lacks", "options", "how pip or uv is called"),
    *("`Release`", "`WheelInspection`", "`MachineSpec`", "`Cell`", "`CellEvidence`", "`Cause`"),
    *("`CellResult`", "`RunResult`", "`Verdict`", "`Outcome`", "`Expectation`", "`Subject`"),
    *("engine", "image", "network", "canary", "machine", "index", "forge", "runner"),
    *("probe", "rules", "report", "history", "`Session`", "commands", "planted faults"),
}
"""The nouns that the table must contain."""
FOLDERS = (ROOT / "containers", ROOT / "verification")


def matches() -> list[re.Match[str]]:
    """Return the rows of the table."""
    text = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    section = text.partition("## Where to find what")[2].partition("\n## ")[0]
    return [match for line in section.splitlines() if (match := ROW.match(line))]


def rows() -> dict[str, Path]:
    """Return the first path of each noun."""
    return {match["noun"]: ROOT / match["path"] for match in matches()}


def files() -> Iterator[Path]:
    """Yield all paths. A path without a folder is in the folder of the row's first path."""
    for match in matches():
        yield ROOT / match["path"]
        for path in re.findall(r"`([^`]+)`", match["more"]):
            yield ROOT / path if "/" in path else (ROOT / match["path"]).parent / path


def test_the_table_has_the_required_nouns_with_existing_files() -> None:
    assert REQUIRED - rows().keys() == set()
    assert [str(path) for path in files() if not path.exists()] == []


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
