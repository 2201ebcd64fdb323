"""``junit.xml``: one test case for each item and each cell.

The type of a failure is the name of its first cause, and the message describes that cause. A
testbed failure is an error. An unverified result is skipped, with its reason. The properties of the
suite have the verdict of the run, its causes, what it is based on, and each file of the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from verification.models.cause import Severity
from verification.models.report import Report
from verification.models.results import CellResult, ItemResult
from verification.models.verdict import Verdict
from verification.report import cause_groups, signs
from verification.report.cause_groups import Occurrence

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
    recorded = {
        "basis": signs.basis_line(report),
        "live-index": signs.live_index_sentence(report),
        "command": report.command,
    }
    properties |= {name: value for name, value in recorded.items() if value}
    properties |= {f"file {file.name}": signs.file_sentence(file) for file in report.files}
    _properties(suite, properties)
    if not report.finished:
        suite.append(_unfinished())
    suite.extend(_item(report, item) for item in report.items)
    suite.extend(_cell(cell) for cell in report.cells)
    suite.set("tests", str(len(suite.findall("testcase"))))
    for tag, counter in _COUNTERS.items():
        suite.set(counter, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _unfinished() -> ElementTree.Element:
    """Return a test case with an error, because many readers count skipped tests as passed."""
    case = _element("testcase", {"classname": "run", "name": "finished", "time": "0"})
    case.append(_element("error", {"type": "unfinished", "message": signs.UNFINISHED}))
    return case


def _item(report: Report, item: ItemResult) -> ElementTree.Element:
    case = _element("testcase", {"classname": "item", "name": item.id, "time": "0"})
    properties = {"verdict": str(item.verdict), "title": item.title}
    if machines := signs.machine_sentence(report.cells_of(item.id)):
        properties["machines"] = machines
    if scope := signs.scope(report, item.id):
        properties["scope"] = scope
    _properties(case, properties)
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
    """Add a failure, error or skipped element to ``case``; its causes as text if it is verified."""
    if not (tag := _TAGS.get(result.verdict)):
        if occurrences := cause_groups.occurrences(result.causes):
            output = ElementTree.SubElement(case, "system-out")
            output.text = _text(
                "\n".join(line for occurrence in occurrences for line in _lines(occurrence))
            )
        return
    counted = list(cause_groups.occurrences(result.causes)) if tag != "skipped" else []
    # The first cause gives the type: of a failure a cause of the package, of an error one of the
    # testbed.
    counted.sort(key=lambda o: (o.cause.severity is Severity.TESTBED) != (tag == "error"))
    kind = counted[0].cause.name if counted else str(result.verdict)
    lines = [line for occurrence in counted for line in _lines(occurrence)]
    lines = lines or [f"not verified: {result.reason or 'no reason is recorded'}"]
    element = _element(tag, {"type": kind, "message": lines[0]})
    element.text = _text("\n".join(lines))
    case.append(element)


def _lines(occurrence: Occurrence) -> Iterator[str]:
    """Yield the line of a cause that counts, and the lines of its following causes."""
    cause = occurrence.cause
    yield f"{cause.where}: {cause.message}. {cause.remedy}"
    for following in occurrence.following:
        yield f"  follows: {following.name}: {following.where}: {following.message}"


def _properties(element: ElementTree.Element, values: Mapping[str, str]) -> None:
    parent = ElementTree.SubElement(element, "properties")
    for name, value in values.items():
        parent.append(_element("property", {"name": name, "value": value}))


def _element(tag: str, attributes: Mapping[str, str]) -> ElementTree.Element:
    return ElementTree.Element(tag, {name: _text(value) for name, value in attributes.items()})


def _text(value: str) -> str:
    """Return the text with escapes for the characters that XML forbids (XML 1.0, section 2.2)."""
    return _FORBIDDEN.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
