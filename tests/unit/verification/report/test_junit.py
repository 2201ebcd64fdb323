from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers.sample_run import (
    LINUX,
    PUBLISHER,
    WINDOWS,
    cell,
    complete,
    crash,
    item,
    report,
)
from verification.models.cause import Cause
from verification.models.report import Report
from verification.models.verdict import Outcome, Verdict
from verification.report import junit, signs
from verification.rules.catalogue import catalogue

DISK_FULL = catalogue().cause("disk-full", "image", "full")


def _suite(tmp_path: Path, run: Report) -> ElementTree.Element:
    path = tmp_path / "junit.xml"
    junit.write(path, run)
    suite = ElementTree.parse(path).getroot().find("testsuite")  # noqa: S314  (just written)
    assert suite is not None
    return suite


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    (matching,) = (case for case in suite.findall("testcase") if case.get("name") == name)
    return matching


def _properties(element: ElementTree.Element) -> dict[str, str]:
    properties = element.findall("properties/*")
    return {property_.attrib["name"]: property_.attrib["value"] for property_ in properties}


def test_there_is_one_case_for_each_item_and_each_cell(tmp_path: Path) -> None:
    run = complete()
    suite = _suite(tmp_path, run)

    assert [case.get("name") for case in suite.findall("testcase")] == [
        *(result.id for result in run.items),
        *(result.id for result in run.cells),
    ]
    assert suite.get("tests") == str(len(run.items) + len(run.cells))
    assert suite.get("name") == "quiverdb-e2e"
    assert _case(suite, LINUX).get("time") == "4.0"


def test_the_suite_and_a_cell_have_verdict_and_causes_as_properties(tmp_path: Path) -> None:
    suite = _suite(tmp_path, report(cell(LINUX, crash()), cell(WINDOWS)))

    properties = _properties(suite)
    assert (properties["verdict"], properties["causes"]) == ("failed", "crash")
    assert _properties(_case(suite, LINUX)) == {
        "verdict": "failed",
        "expectation": "works",
        "outcome": "fails",
        "causes": "crash",
    }
    assert _properties(_case(suite, "windows-install"))["verdict"] == "verified"


def test_the_suite_has_basis_command_live_index_and_files_as_properties(tmp_path: Path) -> None:
    run = complete()
    properties = _properties(_suite(tmp_path, run))

    assert properties["basis"] == signs.basis_line(run) != ""
    assert properties["live-index"] == signs.live_index_sentence(run) != ""
    assert properties["command"] == run.command != ""
    for file in run.files:
        assert properties[f"file {file.name}"] == signs.file_sentence(file)
    unknown = run.model_copy(update={"basis": (), "publisher": None, "command": "", "files": ()})
    assert _properties(_suite(tmp_path, unknown)).keys() == {"verdict", "causes"}


def test_an_item_has_its_number_of_machines_by_outcome_and_its_scope(tmp_path: Path) -> None:
    run = complete(cell(LINUX), cell("debian-12-pip-venv", outcome=Outcome.REFUSED))
    suite = _suite(tmp_path, run)

    machines = _properties(_case(suite, "linux-install"))["machines"]
    assert machines == signs.machine_sentence(run.cells_of("linux-install")) != ""
    assert _properties(_case(suite, "publisher"))["scope"] == PUBLISHER.scope
    assert "machines" not in _properties(_case(suite, "pipeline"))


def test_a_failure_has_the_message_and_the_name_of_its_cause(tmp_path: Path) -> None:
    suite = _suite(tmp_path, report(cell(LINUX, crash()), cell(WINDOWS)))

    for name in (LINUX, "linux-install"):
        failure = _case(suite, name).find("failure")
        assert failure is not None
        assert failure.get("type") == "crash"
        message = failure.get("message") or ""
        assert all(text in message for text in (crash().where, crash().message, crash().remedy))
    assert suite.get("failures") == "2"
    assert len(_case(suite, WINDOWS)) == 1, "only the properties"


def test_the_text_has_all_causes_that_count(tmp_path: Path) -> None:
    hang = catalogue().cause("hang", f"{LINUX}: use", "no end")
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    suite = _suite(tmp_path, report(cell(LINUX, crash(), hang, follows), cell(WINDOWS)))

    failure = _case(suite, LINUX).find("failure")
    assert failure is not None
    assert failure.text
    cause, following, other = failure.text.splitlines()
    assert cause.startswith(crash().where)
    assert following.startswith("  follows: leftovers")
    assert other.startswith(hang.where)
    assert "no end" in failure.text


def test_a_cell_that_did_not_run_is_skipped_with_the_reason(tmp_path: Path) -> None:
    suite = _suite(tmp_path, report(cell(LINUX), cell(WINDOWS, reason="no image")))

    for name in (WINDOWS, "windows-install"):
        skipped = _case(suite, name).find("skipped")
        assert skipped is not None
        assert "no image" in (skipped.get("message") or "")
    assert suite.get("skipped") == "2"


@pytest.mark.parametrize(
    ("verdict", "causes", "tag", "kind"),
    [
        (Verdict.TESTBED, (DISK_FULL,), "error", "disk-full"),
        (Verdict.TESTBED, (crash(), DISK_FULL), "error", "disk-full"),
        (Verdict.FAILED, (DISK_FULL, crash()), "failure", "crash"),
        (Verdict.FAILED, (), "failure", "failed"),
        (Verdict.UNVERIFIED, (crash(),), "skipped", "unverified"),
    ],
)
def test_each_verdict_has_its_element_with_the_type_of_a_matching_cause(
    tmp_path: Path, verdict: Verdict, causes: tuple[Cause, ...], tag: str, kind: str
) -> None:
    suite = _suite(tmp_path, report(items=(item("x", *causes, verdict=verdict),)))

    (element,) = suite.findall(f"testcase/{tag}")
    assert element.get("type") == kind
    counts = {name: suite.get(name) for name in ("failures", "errors", "skipped")}
    assert sorted(counts.values(), key=str) == ["0", "0", "1"]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FALLS_BACK, Outcome.WORKS_FLAWED])
def test_a_verified_cell_passes_with_its_outcome_as_a_property(
    tmp_path: Path, outcome: Outcome
) -> None:
    suite = _suite(tmp_path, report(cell(LINUX, outcome=outcome)))

    case = _case(suite, LINUX)
    assert [element.tag for element in case] == ["properties"]
    assert _properties(case)["outcome"] == outcome


def test_the_causes_of_a_verified_item_are_its_output(tmp_path: Path) -> None:
    flaw = catalogue().cause("release-interrupted", "publish.yml:9", "the text")
    run = report(items=(item("pipeline", flaw, verdict=Verdict.VERIFIED), item("publisher")))
    suite = _suite(tmp_path, run)

    (line,) = (_case(suite, "pipeline").findtext("system-out") or "").splitlines()
    assert line.startswith("publish.yml:9: the text")
    assert _case(suite, "publisher").find("system-out") is None
    assert suite.get("failures") == "0"


def test_an_interrupted_run_has_a_property(tmp_path: Path) -> None:
    run = report(cell(LINUX, reason="it was interrupted"))
    suite = _suite(tmp_path, run.model_copy(update={"interrupted": True}))

    assert _properties(suite)["interrupted"] == "true"
    assert suite.get("failures") == "0"


def test_own_tests_that_did_not_run_are_a_property(tmp_path: Path) -> None:
    run = complete().model_copy(update={"own_tests_not_run": "not named"})
    assert "not named" in _properties(_suite(tmp_path, run))["own-tests"]
    assert "own-tests" not in _properties(_suite(tmp_path, complete()))


def test_control_characters_of_evidence_are_escaped(tmp_path: Path) -> None:
    suite = _suite(tmp_path, report(cell(LINUX), cell(WINDOWS, reason="a\x00b\x1b[31m\udcff")))

    text = ElementTree.tostring(suite, "unicode")
    assert "a\\x00b\\x1b[31m\\xdcff" in text
