"""``junit.xml``: one test case for each item and each cell.

The type of a failure is the name of its first cause, and the message describes that cause. A
testbed failure is an error. An unverified result is skipped, with its reason. The properties of the
suite have the verdict and the causes of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from verification.models.cause import Cause, Severity
from verification.models.report import Report
from verification.models.results import CellResult, ItemResult
from verification.models.verdict import Verdict
from verification.report import cause_groups

SUITE = "quiverdb-e2e"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {Verdict.FAILED: "failure", Verdict.TESTBED: "error", Verdict.UNVERIFIED: "skipped"}
_COUNTERS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def write(path: Path, report: Report) -> None:
    """Write the file."""
    root = ElementTree.Element("testsuites", {"name": SUITE})
    root.append(_suite(report))
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


def _suite(report: Report) -> ElementTree.Element:
    suite = ElementTree.Element(
        "testsuite", {"name": SUITE, "timestamp": report.started, "time": f"{report.seconds}"}
    )
    properties = {
        "verdict": str(report.verdict),
        "causes": cause_groups.name_list(cause for item in report.items for cause in item.causes),
    }
    if report.own_tests_not_run:
        properties["own-tests"] = f"not run: {report.own_tests_not_run}"
    if report.interrupted:
        properties["interrupted"] = "true"
    _properties(suite, properties)
    if not report.finished:
        suite.append(_unfinished())
    suite.extend(_item(item) for item in report.items)
    suite.extend(_cell(cell) for cell in report.cells)
    suite.set("tests", str(len(suite.findall("testcase"))))
    for tag, counter in _COUNTERS.items():
        suite.set(counter, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _unfinished() -> ElementTree.Element:
    """Return a test case with an error, because many readers count skipped tests as passed."""
    case = _element("testcase", {"classname": "run", "name": "finished", "time": "0"})
    message = "the run did not finish: it was killed, or it still runs"
    case.append(_element("error", {"type": "unfinished", "message": message}))
    return case


def _item(item: ItemResult) -> ElementTree.Element:
    case = _element("testcase", {"classname": "item", "name": item.id, "time": "0"})
    _properties(case, {"verdict": str(item.verdict), "title": item.title})
    _result(case, item)
    return case


def _cell(cell: CellResult) -> ElementTree.Element:
    case = _element(
        "testcase",
        {"classname": f"cell.{cell.machine}", "name": cell.id, "time": f"{cell.seconds}"},
    )
    _properties(
        case,
        {
            "verdict": str(cell.verdict),
            "expectation": str(cell.expectation),
            "outcome": str(cell.outcome),
            "causes": cause_groups.name_list(cell.causes),
        },
    )
    _result(case, cell)
    return case


def _result(case: ElementTree.Element, result: ItemResult | CellResult) -> None:
    """Add a failure, error or skipped element to ``case`` unless its verdict is *verified*."""
    if not (tag := _TAGS.get(result.verdict)):
        return
    counted = [occurrence.cause for occurrence in cause_groups.occurrences(result.causes)]
    # The first cause gives the type: of a failure a cause of the package, of an error one of the
    # testbed.
    counted.sort(key=lambda cause: (cause.severity is Severity.TESTBED) != (tag == "error"))
    kind = counted[0].name if counted and tag != "skipped" else str(result.verdict)
    reason = f"not verified: {result.reason or 'no reason is recorded'}"
    lines = [_line(cause) for cause in counted] if tag != "skipped" else []
    lines = lines or [reason]
    element = _element(tag, {"type": kind, "message": lines[0]})
    element.text = _text("\n".join(lines))
    case.append(element)


def _line(cause: Cause) -> str:
    return f"{cause.where}: {cause.message}. {cause.remedy}"


def _properties(element: ElementTree.Element, values: Mapping[str, str]) -> None:
    parent = ElementTree.SubElement(element, "properties")
    for name, value in values.items():
        parent.append(_element("property", {"name": name, "value": value}))


def _element(tag: str, attributes: Mapping[str, str]) -> ElementTree.Element:
    return ElementTree.Element(tag, {name: _text(value) for name, value in attributes.items()})


def _text(value: str) -> str:
    """Return the text with escapes for the characters that XML forbids (XML 1.0, section 2.2)."""
    return _FORBIDDEN.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
