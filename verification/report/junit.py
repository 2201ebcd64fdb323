"""``junit.xml``: pytest's own, with the verdicts and causes added, or made here if there is none.

The run's verdict and causes are properties of the suite, those of a cell are properties of its
tests. A cell that did not run is a test that was skipped, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

SUITE = "quiverdb-e2e"
_CELL = re.compile(r"\[(?P<id>[^\]]+)\]$")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(path: Path, told: Mapping[str, Any]) -> None:
    """Add the verdicts to the file that pytest wrote; make one where pytest wrote none."""
    root = _read(path)
    suite = root.find("testsuite")
    if suite is None:
        suite = ElementTree.SubElement(root, "testsuite", {"tests": "0"})
        suite.attrib |= dict.fromkeys(("failures", "errors", "skipped"), "0")
        suite.set("time", str(told.get("seconds", 0)))
        suite.set("timestamp", str(told.get("started", "")))
    suite.set("name", SUITE)
    cells = {cell["id"]: cell for cell in told["cells"]}
    ran = set()
    for case in suite.iter("testcase"):
        case.set("file", case.get("classname", "").replace(".", "/") + ".py")
        found = _CELL.search(case.get("name", ""))
        if found and (cell := cells.get(found["id"])):
            ran.add(cell["id"])
            _properties(case, verdict=cell["verdict"], causes=_causes(cell["causes"]))
    causes = _causes(cause for item in told["items"] for cause in item["causes"])
    of_items = {f"item:{item['id']}": item["verdict"] for item in told["items"]}
    _properties(suite, verdict=told["verdict"], causes=causes, **of_items)
    for item in told["items"]:
        if item["verdict"] != "verified" and not item["causes"]:
            _skipped(suite, item["id"], item["reason"] or "it was not verified")
    for cell in told["cells"]:
        if cell["id"] not in ran and cell["verdict"] == "unverified":
            _skipped(suite, cell["id"], cell["reason"])
    for item in told["items"]:
        for cause in item["causes"]:
            if cause["severity"] == "testbed":
                _error(suite, item["id"], cause)
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


def _read(path: Path) -> ElementTree.Element:
    try:
        # The file is pytest's own, written a moment ago.
        return ElementTree.parse(path).getroot()  # noqa: S314
    except (FileNotFoundError, ElementTree.ParseError):
        return ElementTree.Element("testsuites", {"name": SUITE})


def _causes(causes: Any) -> str:
    return ", ".join(dict.fromkeys(cause["name"] for cause in causes))


def _properties(element: ElementTree.Element, **values: str) -> None:
    parent = element.find("properties")
    if parent is None:
        parent = ElementTree.Element("properties")
        element.insert(0, parent)
    for name, value in values.items():
        ElementTree.SubElement(parent, "property", {"name": name, "value": _text(value)})


def _case(suite: ElementTree.Element, name: str, counted: str) -> ElementTree.Element:
    suite.set("tests", str(int(suite.get("tests", "0")) + 1))
    suite.set(counted, str(int(suite.get(counted, "0")) + 1))
    attributes = {"classname": "verdict", "name": _text(name), "time": "0"}
    return ElementTree.SubElement(suite, "testcase", attributes)


def _skipped(suite: ElementTree.Element, name: str, reason: str) -> None:
    case = _case(suite, name, "skipped")
    _properties(case, verdict="unverified", causes="")
    message = _text(f"not verified: {reason}")
    told = ElementTree.SubElement(case, "skipped", {"type": "unverified", "message": message})
    told.text = message


def _error(suite: ElementTree.Element, name: str, cause: Mapping[str, str]) -> None:
    case = _case(suite, f"{name}: {cause['name']}", "errors")
    _properties(case, verdict="testbed-failure", causes=cause["name"])
    message = _text(f"{cause['where']}: {cause['message']}. {cause['remedy']}")
    told = ElementTree.SubElement(case, "error", {"type": cause["name"], "message": message})
    told.text = message


def _text(value: str) -> str:
    """Return the text without the characters that no XML can hold (XML 1.0, 2.2)."""
    return _FORBIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
