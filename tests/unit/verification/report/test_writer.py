"""All forms of the report: what each holds, and that one cannot take another away."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash, told
from verification.history import store as history
from verification.report import github as actions
from verification.report import html as page
from verification.report import junit, results
from verification.report import summary as seen
from verification.report import verification_md as verification
from verification.report import writer as forms
from verification.verdict import CellResult, Item, Verdict

SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "results.schema.json").read_text("utf-8"))
NASTY = "</script></textarea>\"'><img src=x onerror=planted()><script>window.planted=1</script>"
DETAILS = {
    "started": "2026-03-01T10:00:00Z",
    "seconds": 1.5,
    "selection": told()["selection"],
    "interrupted": False,
    "out_of_scope": [],
}


def _faults(run: Mapping[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [f"{list(e.path)}: {e.message}" for e in validator.iter_errors(run)]


def _write(
    folder: Path, *cells: CellResult, verdict: Verdict = Verdict.UNVERIFIED, **details: Any
) -> list[str]:
    ran = list(cells) or [cell(LINUX, reason="the run was interrupted before it")]
    one = Item("linux-install", "It installs", verdict, (), "; ".join(c.reason for c in ran))
    return forms.write(
        folder, verdict=verdict, items=[one], cells=ran, details={**DETAILS, **details}
    )


def _evidence(folder: Path, ident: str = LINUX, **changes: Any) -> None:
    results.write_json(
        folder / "evidence" / f"{ident}.json", {**sample_run.evidence(ident), **changes}
    )


# ---- all of them ----


@pytest.mark.parametrize("subject", ["", "xxhash"])
def test_the_report_names_the_package_that_was_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subject: str
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    chosen = DETAILS["selection"] | {"subject": subject}
    _write(tmp_path, cell(LINUX), selection=chosen, version="4.1.0")
    name = f"{subject or 'quiverdb'} 4.1.0"
    assert f"<title>{name}: " in (tmp_path / "index.html").read_text("utf-8")
    assert f"**Release:** {name}\n" in (tmp_path / "VERIFICATION.md").read_text("utf-8").replace(
        "  \n", "\n"
    )
    assert f"{name}: " in (tmp_path / "summary.md").read_text("utf-8").splitlines()[0]
    assert history.runs()[-1].title.endswith(f"{name})")


def test_what_is_out_of_scope_is_told_once(tmp_path: Path) -> None:
    out = [
        {"id": name, "reason": "left out by --no-pipeline"} for name in ("pipeline", "publisher")
    ]
    _write(tmp_path, cell(LINUX), out_of_scope=out)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert page.count("left out by --no-pipeline") == 2
    assert "this run has no such item" not in page


def test_every_form_is_written_of_a_run_that_ended(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    _evidence(folder)
    assert _write(folder, cell(LINUX), verdict=Verdict.VERIFIED) == []
    assert {path.name for path in folder.iterdir()} == {*forms.FILES, "evidence"}
    assert _faults(json.loads((folder / "results.json").read_text("utf-8"))) == []
    assert len(history.runs()) == 1


def test_every_form_of_an_interrupted_run_says_what_was_not_done(tmp_path: Path) -> None:
    assert _write(tmp_path, interrupted=True) == []
    for name in forms.FILES:
        text = (tmp_path / name).read_text("utf-8")
        assert "interrupted" in text
        assert LINUX in text
    assert _faults(json.loads((tmp_path / "results.json").read_text("utf-8"))) == []
    assert history.runs() == []


def test_what_an_earlier_run_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    _write(folder)
    (folder / "mine.txt").touch()
    forms.remove(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_form_that_cannot_be_written_takes_no_other_away(tmp_path: Path) -> None:
    (tmp_path / "index.html").mkdir()
    history.path().mkdir(parents=True)
    remarks = _write(tmp_path)
    assert [remark.partition(":")[0] for remark in remarks] == [
        "not written",
        "not kept for ./e2e compare",
    ]
    assert (tmp_path / "VERIFICATION.md").is_file()
    assert (tmp_path / "results.json").is_file()


def test_no_run_is_kept_where_that_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("QUIVERDB_E2E_HISTORY", "")
        assert _write(tmp_path) == []
    assert history.runs() == []


def test_evidence_cut_off_in_the_middle_stops_no_form(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / f"{LINUX}.json").write_text('{"install": {"co', "utf-8")
    assert _write(tmp_path, cell(LINUX)) == []


# ---- results.json ----


@pytest.mark.parametrize(
    "run",
    [
        told(),
        complete(),
        told(cell(LINUX, crash()), cell(WINDOWS, reason="no image")),
        complete(interrupted=True),
    ],
)
def test_a_run_has_the_published_form(run: dict[str, Any]) -> None:
    assert _faults(run) == []


def _put(run: dict[str, Any], value: Any, *path: Any) -> dict[str, Any]:
    at: Any = run
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return run


@pytest.mark.parametrize(
    "run",
    [
        _put(told(), 2, "schema"),
        _put(told(), "passed", "verdict"),
        _put(told(), "passed", "cells", 0, "verdict"),
        _put(told(), 1, "cells", 0, "unknown"),
        _put(told(), "yesterday", "started"),
        _put(told(), {"a.whl": "short"}, "wheels"),
        _put(complete(), "seen", "pipeline", "truths", "7"),
        {key: value for key, value in told().items() if key != "interrupted"},
    ],
)
def test_the_published_form_refuses_what_is_wrong(run: dict[str, Any]) -> None:
    assert _faults(run)


# ---- what a cell showed ----


def test_a_command_can_be_pasted_on_its_own_machine() -> None:
    assert seen.typed(["/a b/pip", "install", "it's"]) == "'/a b/pip' install 'it'\"'\"'s'"
    assert seen.typed(["C:\\a b\\pip.exe", "x"], windows=True) == '"C:\\a b\\pip.exe" x'


def test_a_cell_is_told_in_one_line() -> None:
    line = seen.sentence(seen.summary(sample_run.evidence()))
    assert line == (
        "`pip install quiverdb` -> 0; import -> 0; native version 0.5.0 (bundled); "
        "passed: native-call, round-trip; `pip uninstall --yes quiverdb` -> 0"
    )


def test_a_cell_whose_machine_was_lost_says_so() -> None:
    lost = {"testbed": {"cause": "machine-lost", "where": "x", "seen": "it is gone"}}
    assert seen.sentence(seen.summary(lost)) == "testbed: machine-lost: it is gone"


# ---- JUnit ----

PYTEST = (
    '<testsuites><testsuite name="pytest" tests="2" failures="0" errors="0" skipped="0">'
    '<testcase classname="tests.gate.test_wheels" name="test_a" time="1"/>'
    f'<testcase classname="tests.gate.test_machines" name="test_b[{LINUX}]" time="1"/>'
    "</testsuite></testsuites>"
)


def _junit(tmp_path: Path, run: dict[str, Any], before: str = PYTEST) -> ElementTree.Element:
    path = tmp_path / "junit.xml"
    if before:
        path.write_text(before, "utf-8")
    junit.write(path, run)
    found = ElementTree.parse(path).getroot().find("testsuite")  # noqa: S314  (just written)
    assert found is not None
    return found


def _properties(element: ElementTree.Element | None) -> dict[str, str]:
    assert element is not None
    return {one.attrib["name"]: one.attrib["value"] for one in element.findall("properties/*")}


def test_the_suite_and_the_tests_of_a_cell_have_verdict_and_causes(tmp_path: Path) -> None:
    suite = _junit(tmp_path, told(cell(LINUX, crash()), cell(WINDOWS)))
    assert suite.get("name") == "quiverdb-e2e"
    assert _properties(suite) == {
        "verdict": "failed",
        "causes": "crash",
        "item:source-build": "verified",
        "item:linux-install": "failed",
        "item:windows-install": "verified",
    }
    first, second = suite.findall("testcase")
    assert _properties(first) == {}
    assert _properties(second) == {"verdict": "failed", "causes": "crash"}
    assert second.get("file") == "tests/gate/test_machines.py"


def test_a_cell_that_did_not_run_is_a_skipped_test_with_the_reason(tmp_path: Path) -> None:
    suite = _junit(tmp_path, told(cell(LINUX), cell(WINDOWS, reason="no image")))
    skipped = {
        case.get("name"): why.get("message")
        for case in suite.findall("testcase")
        if (why := case.find("skipped")) is not None
    }
    assert skipped[WINDOWS] == "not verified: no image"
    assert suite.get("skipped") == str(len(skipped))
    assert suite.get("tests") == str(len(suite.findall("testcase")))


@pytest.mark.parametrize("before", ["", "<testsui"])
def test_a_run_that_ended_before_pytests_report_has_one_of_ours(
    tmp_path: Path, before: str
) -> None:
    suite = _junit(tmp_path, told(cell(LINUX, reason="it was interrupted")), before)
    assert [case.get("name") for case in suite.findall("testcase")][:1] == ["linux-install"]
    assert suite.get("failures") == "0"


def test_a_testbed_failure_is_an_error_and_no_failure(tmp_path: Path) -> None:
    run = told()
    cause = {"name": "disk-full", "severity": "testbed", "where": "image", "message": "full"}
    run["items"][1] |= {"verdict": "testbed-failure", "causes": [cause | {"remedy": "Free it."}]}
    suite = _junit(tmp_path, run)
    (error,) = suite.findall("testcase/error")
    assert error.get("type") == "disk-full"
    assert suite.get("errors") == "1"


def test_control_characters_in_evidence_leave_the_file_readable(tmp_path: Path) -> None:
    suite = _junit(tmp_path, told(cell(LINUX), cell(WINDOWS, reason="a\x00b\x1b[31m\udcff")))
    text = ElementTree.tostring(suite, "unicode")
    assert "a\\x00b\\x1b[31m\\xdcff" in text


# ---- GitHub Actions ----


def test_outside_of_actions_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "summary.md"
    assert actions.tell(told(), tmp_path, {"GITHUB_STEP_SUMMARY": str(path)}) == []
    assert capsys.readouterr().out == ""
    assert not path.exists()


def test_in_actions_the_summary_is_appended_and_each_cause_is_an_annotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", "utf-8")
    run = told(cell(LINUX, crash()), cell(WINDOWS))
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(path)}
    assert actions.tell(run, tmp_path, environment) == []
    lines = capsys.readouterr().out.splitlines()
    (error,) = [line for line in lines if line.startswith("::error ")]
    assert error.startswith("::error title=crash (broken)::debian-13-pip-venv: import: was killed")
    summary = path.read_text("utf-8")
    assert summary.startswith("before\n## ❌ quiverdb 0.5.0: failed\n")
    assert f"| {LINUX} | ❌ failed | crash | 4.0 |" in summary


def test_a_command_of_actions_cannot_be_planted_in_evidence() -> None:
    evil = crash().model_copy(
        update={"where": "x\n::set-output name=a::b", "message": "100% \r gone"}
    )
    (line,) = actions.commands(told(cell(LINUX, evil), cell(WINDOWS)))
    assert "\n" not in line
    assert "\r" not in line
    assert "%0A::set-output" in line
    assert "100%25 %0D gone" in line


def test_no_more_annotations_are_written_than_are_shown() -> None:
    causes = [crash().model_copy(update={"where": f"place {number}"}) for number in range(30)]
    lines = list(actions.commands(told(cell(LINUX, *causes), cell(WINDOWS))))
    assert len([line for line in lines if line.startswith("::error")]) == 10


def test_an_item_that_is_not_verified_without_a_cause_is_an_annotation_as_well() -> None:
    run = told(cell(LINUX, reason="the run was interrupted"), cell(WINDOWS))
    (line,) = actions.commands(run)
    assert line == "::error title=linux-install%3A unverified::the run was interrupted"


# ---- the page ----


def test_the_page_tells_the_verdict_first_then_what_mends_it() -> None:
    text = page.render(told(cell(LINUX, crash()), cell(WINDOWS)), {LINUX: sample_run.evidence()})
    assert text.index("<h1>") < text.index("crash") < text.index("Remedy:")
    assert f'href="#cell-{LINUX}"' in text
    assert f'id="cell-{LINUX}"' in text


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    text = page.render(complete(), {LINUX: sample_run.evidence()})
    links = re.findall(r'\s(?:src|href|srcset|action|data)="([^"]*)"', text)
    outside = [link for link in links if re.match(r"\w+:|//", link)]
    assert links
    assert outside == []
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in html.unescape(text)


def test_nothing_in_evidence_becomes_html() -> None:
    evil = crash().model_copy(update=dict.fromkeys(("where", "message", "remedy"), NASTY))
    run = complete(cell(LINUX, evil), cell(WINDOWS, reason=NASTY), started=NASTY, version=NASTY)
    run["stand_ins"][0]["same"] = NASTY
    run["out_of_scope"][0]["reason"] = NASTY
    run["pipeline"]["jobs"][0]["id"] = NASTY
    text = page.render(run, {LINUX: sample_run.evidence(log=NASTY)})
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert text.count("&lt;img") > 8


def test_the_replay_command_runs_this_cell_again() -> None:
    run = told()
    assert page.replay(run["cells"][0]) == "./e2e replay debian-13-pip-venv"
    assert "<code>./e2e replay debian-13-pip-venv</code>" in page.render(run, {})
    assert "Its machine is up" not in page.render(run, {})


def test_a_machine_that_was_kept_is_shown_with_the_way_into_it() -> None:
    enter = "docker exec -it --user user quiverdb-e2e-kept-x python3"
    kept = {"cell": LINUX, "container": "x", "enter": enter, "until": "2026-03-02T10:00:00Z"}
    text = page.render(told(kept=[kept]), {})
    assert f"<code>{enter}</code>" in text
    assert "up until 2026-03-02T10:00:00Z" in text


def _with_own_tests() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a run whose Windows cell ran the package's own tests, and that cell's evidence."""
    evidence = sample_run.evidence(WINDOWS) | {"tests": sample_run.own_tests()}
    run = complete()
    run["selection"]["tests"] = "/src/my tests"
    run["seen"][WINDOWS] = seen.summary(evidence)
    return run, evidence


def test_the_packages_own_tests_are_told_with_what_was_left_out() -> None:
    run, evidence = _with_own_tests()
    assert _faults(run) == []
    text = html.unescape(page.render(run, {WINDOWS: evidence}))
    assert "106 passed, 2 skipped; pytest 9.2.0" in text
    assert "2 skipped: Windows does not fork" in text
    sentence = "the package's own tests: 106 passed, 2 skipped"
    assert sentence in seen.sentence(run["seen"][WINDOWS])
    verified = verification.render(run)
    limits = verified.partition("#### 2. ")[2].partition("**Limits:**")[2].partition("####")[0]
    assert f"`{WINDOWS}`: of the package's own tests did not count: 2 skipped: Windows" in limits
    assert "did not count" not in verified.partition("#### 3. ")[2]


def test_a_long_log_keeps_its_beginning_and_its_end() -> None:
    log = "FIRST" + "x" * 100_000 + "LAST"
    text = page.render(told(), {LINUX: sample_run.evidence(log=log)})
    assert len(text) < 100_000
    assert "FIRST" in text
    assert "LAST" in text
    assert "characters ..." in text


def test_the_pipeline_is_on_one_axis_of_time() -> None:
    first, second = page.view(complete(), {})["pipeline"]
    assert (first["x"], first["width"]) == (0, 964.3)
    assert (second["x"], second["width"]) == (964.3, 35.7)
    assert page.view(told(), {})["pipeline"] is None


def test_times_of_jobs_may_be_moments() -> None:
    run = complete()
    run["pipeline"]["jobs"] = [
        {"id": "a", "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T10:00:30Z", "result": "x"},
        {"id": "b", "start": None, "end": None, "result": "skipped"},
    ]
    first, second = page.view(run, {})["pipeline"]
    assert (first["seconds"], first["ran"]) == (30.0, True)
    assert second["ran"] is False


def test_what_was_not_verified_is_told_with_the_reason() -> None:
    run = told(cell(LINUX, reason="no engine"), cell(WINDOWS))
    found = page.view(run, {})["unverified"]
    assert (LINUX, "no engine") in found
    assert ("pipeline", "this run has no such item") in found
    assert ("windows-servercore", "out of scope: only the profile full asks") in found


def test_bars_of_a_cell_add_up_to_its_time() -> None:
    run = told(cell(LINUX), cell(WINDOWS))
    for row in page.view(run, {LINUX: sample_run.evidence()})["timings"]:
        assert sum(bar["width"] for bar in row["bars"]) == pytest.approx(1000, abs=1)
