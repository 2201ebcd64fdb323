"""The page: its content, and that text from a package is escaped."""

from __future__ import annotations

import html as markup
import re

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, PIPELINE, WINDOWS, cell, complete, crash, report
from verification.models.evidence import CellEvidence, ExerciseStep, StepError, Steps
from verification.models.report import JobRecord, KeptMachine, OutOfScope
from verification.models.results import Coverage, PlatformResult
from verification.models.verdict import Outcome
from verification.report import cell_summary, html, marks

NASTY = "</script></textarea>\"'><img src=x onerror=planted()><script>window.planted=1</script>"


def test_the_page_shows_the_verdict_first_then_what_fixes_it() -> None:
    text = html.render(report(cell(LINUX, crash()), cell(WINDOWS)), {LINUX: sample_run.evidence()})
    assert text.index("<h1>") < text.index("crash") < text.index("Remedy:")
    assert f'href="#cell-{LINUX}"' in text
    assert f'id="cell-{LINUX}"' in text


def test_each_outcome_has_its_sign_its_words_and_its_class() -> None:
    cells = [
        cell(f"debian-13-pip-scenario{number}", outcome=outcome)
        for number, outcome in enumerate(Outcome)
    ]
    text = html.render(report(*cells), {})
    style = text.partition("<style>")[2].partition("</style>")[0]
    for one in cells:
        mark = marks.OUTCOMES[one.outcome]
        tile = text.partition(f'href="#cell-{one.id}" aria-label="{one.id}: ')[2]
        assert tile.startswith(f'{mark.title}"><span aria-hidden="true">{mark.sign}<')
        assert f'<a class="tile {one.outcome}" href="#cell-{one.id}"' in text
        assert re.search(rf"\.{one.outcome}\b[^}}]*--tone:", style)


def test_an_item_has_the_number_of_machines_for_each_outcome() -> None:
    run = report(cell(LINUX), cell("debian-12-pip-venv", outcome=Outcome.REFUSED), cell(WINDOWS))
    by_id = {one.result.id: one.machines for one in html.build_page(run, {}).items}
    assert by_id["linux-install"] == "works on 1 machine, is refused on 1 machine"
    assert by_id["source-build"] == ""


def test_a_cause_that_follows_is_under_its_cause_and_is_not_counted() -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    page = html.build_page(report(cell(LINUX, crash(), follows), cell(WINDOWS)), {})
    (group,) = page.causes
    (one,) = group.occurrences
    assert (group.name, one.following) == ("crash", (follows,))
    assert {name for item in page.items for name in item.causes} == {"crash"}
    (shown,) = page.cells[0].causes
    assert shown.following == (follows,)


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    text = html.render(complete(), {LINUX: sample_run.evidence()})
    links = re.findall(r'\s(?:src|href|srcset|action|data)="([^"]*)"', text)
    outside = [link for link in links if re.match(r"\w+:|//", link)]
    assert links
    assert outside == []
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in markup.unescape(text)


def test_nothing_in_evidence_becomes_html() -> None:
    evil = crash().model_copy(update=dict.fromkeys(("where", "message", "remedy"), NASTY))
    run = complete(cell(LINUX, evil), cell(WINDOWS, reason=NASTY))
    row = run.stand_ins[0].model_copy(update={"same": NASTY})
    run = run.model_copy(
        update={
            "started": NASTY,
            "version": NASTY,
            "stand_ins": (row, *run.stand_ins[1:]),
            "out_of_scope": (OutOfScope(id="x", reason=NASTY),),
            "pipeline": PIPELINE.model_copy(
                update={"jobs": (JobRecord(id=NASTY, result="success", start=0.0, end=1.0),)}
            ),
        }
    )
    text = html.render(run, {LINUX: sample_run.evidence(log=NASTY)})
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert text.count("&lt;img") > 8


def test_the_replay_command_runs_this_cell_again() -> None:
    run = report()
    assert html.replay_command(run.cells[0]) == "./e2e replay debian-13-pip-venv"
    assert "<code>./e2e replay debian-13-pip-venv</code>" in html.render(run, {})
    assert "Its machine is up" not in html.render(run, {})


def test_a_machine_that_was_kept_is_shown_with_the_command_that_enters_it() -> None:
    enter = "docker exec -it --user user quiverdb-e2e-kept-x python3"
    kept = KeptMachine(
        cell=LINUX,
        container="x",
        enter=enter,
        installed_again=True,
        until="2026-03-02T10:00:00Z",
    )
    text = html.render(report().model_copy(update={"kept": (kept,)}), {})
    assert f"<code>{enter}</code>" in text
    assert "up until 2026-03-02T10:00:00Z" in text


def _with_steps(**steps: ExerciseStep[object]) -> CellEvidence:
    evidence = sample_run.evidence()
    assert evidence.exercise
    exercise = evidence.exercise.model_copy(update={"steps": Steps.model_validate(steps)})
    return evidence.model_copy(update={"exercise": exercise})


def test_a_step_is_shown_with_what_it_returned_or_raised() -> None:
    error = StepError(type="OSError", message="no such table")
    evidence = _with_steps(
        thread=ExerciseStep[object](step="thread", ok=True, value={"threads": 4}),
        fork=ExerciseStep[object](step="fork", ok=False, error=error),
    )
    steps = {one.name: one for one in html.build_page(report(), {LINUX: evidence}).cells[0].steps}
    assert (steps["thread"].ok, steps["thread"].value) == (True, '{"threads": 4}')
    assert (steps["fork"].ok, steps["fork"].value) == (False, "OSError: no such table")


def test_the_packages_own_tests_are_shown_with_what_was_left_out() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"tests": sample_run.own_tests()})
    text = markup.unescape(html.render(complete(), {WINDOWS: evidence}))
    assert "106 passed, 2 skipped; pytest 9.2.0" in text
    assert "2 skipped: Windows does not fork" in text


def test_a_long_log_keeps_its_beginning_and_its_end() -> None:
    log = "FIRST" + "x" * 100_000 + "LAST"
    text = html.render(report(), {LINUX: sample_run.evidence(log=log)})
    assert len(text) < 100_000
    assert "FIRST" in text
    assert "LAST" in text
    assert "characters ..." in text


def test_what_was_not_verified_is_listed_with_the_reason() -> None:
    run = report(cell(LINUX, reason="no engine"), cell(WINDOWS))
    platform = PlatformResult(tag="win32", coverage=Coverage.UNDECLARED, wheels=("a.whl",))
    run = run.model_copy(update={"platforms": (platform,), "not_installed": ("b.whl",)})
    found = html.build_page(run, {}).unverified
    assert (LINUX, "no engine") in found
    assert ("pipeline", "this run has no such item") in found
    assert ("windows-servercore", "out of scope: only the profile full asks") in found
    assert "b.whl" in {name for name, _ in found}
    assert any("a.whl" in line for name, line in found if name == "platforms")


def test_own_tests_that_did_not_run_are_not_verified() -> None:
    assert "own tests" not in dict(html.build_page(report(), {}).unverified)
    run = report().model_copy(update={"own_tests_not_run": "not named"})
    assert "not named" in dict(html.build_page(run, {}).unverified)["own tests"]


def test_what_is_out_of_scope_is_listed_once() -> None:
    out = tuple(
        OutOfScope(id=name, reason="left out by --no-pipeline")
        for name in ("pipeline", "publisher")
    )
    text = html.render(report(cell(LINUX)).model_copy(update={"out_of_scope": out}), {})
    assert text.count("left out by --no-pipeline") == 2
    assert "this run has no such item" not in text


def test_the_phases_of_a_cell_add_up_to_its_time() -> None:
    page = html.build_page(report(), {LINUX: sample_run.evidence()})
    for one in page.cells:
        assert sum(seconds for _, seconds in one.times) == one.result.seconds
    assert [name for name, _ in page.cells[0].times] == [
        *(name for name, _ in cell_summary.recorded_commands(sample_run.evidence())),
        "rest",
    ]
