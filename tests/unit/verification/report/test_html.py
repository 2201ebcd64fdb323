"""The content of the web page, and the escaping of text from a package."""

from __future__ import annotations

import html as markup
import re

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, PIPELINE, WINDOWS, cell, complete, crash, report
from verification.models.evidence import CellEvidence, ExerciseStep, StepError, Steps
from verification.models.report import JobRecord, KeptMachine, OutOfScope
from verification.models.results import Coverage, PlatformResult
from verification.models.verdict import Outcome
from verification.report import cell_summary, html, signs, timeline

NASTY = "</script></textarea>\"'><img src=x onerror=planted()><script>window.planted=1</script>"


def test_the_page_shows_the_verdict_first_then_causes_and_remedies() -> None:
    text = html.render(report(cell(LINUX, crash()), cell(WINDOWS)), {LINUX: sample_run.evidence()})
    remedy = markup.escape(crash().remedy, quote=False)
    assert text.index("<h1>") < text.index("crash") < text.index(remedy)
    assert f'href="#cell-{LINUX}"' in text
    assert f'id="cell-{LINUX}"' in text


def test_each_outcome_has_its_sign_title_and_colour() -> None:
    cells = [
        cell(f"debian-13-pip-scenario{number}", outcome=outcome)
        for number, outcome in enumerate(Outcome)
    ]
    text = html.render(report(*cells), {})
    style = text.partition("<style>")[2].partition("</style>")[0]
    for result in cells:
        outcome_sign = signs.OUTCOMES[result.outcome]
        tile = text.partition(f'href="#cell-{result.id}" aria-label="{result.id}: ')[2]
        assert tile.startswith(
            f'{outcome_sign.title}"><span aria-hidden="true">{outcome_sign.sign}<'
        )
        assert f'<a class="tile {result.outcome}" href="#cell-{result.id}"' in text
        assert re.search(rf"\.{result.outcome}\b[^}}]*--tone:", style)


def test_an_item_has_the_number_of_machines_for_each_outcome() -> None:
    run = report(cell(LINUX), cell("debian-12-pip-venv", outcome=Outcome.REFUSED), cell(WINDOWS))
    machines = {view.result.id: view.machines for view in html.build_page(run, {}).items}
    assert machines["linux-install"] == signs.machine_sentence(run.cells_of("linux-install"))
    assert machines["linux-install"]
    assert machines["source-build"] == ""


def test_a_consequence_is_under_its_cause_and_does_not_count() -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    page = html.build_page(report(cell(LINUX, crash(), follows), cell(WINDOWS)), {})
    (group,) = page.causes
    (occurrence,) = group.occurrences
    assert (group.name, occurrence.following) == ("crash", (follows,))
    assert {name for item in page.items for name in item.causes} == {"crash"}
    (cell_occurrence,) = page.cells[0].causes
    assert cell_occurrence.following == (follows,)


def test_the_page_is_one_file_that_loads_nothing() -> None:
    text = html.render(complete(), {LINUX: sample_run.evidence()})
    links = re.findall(r'\s(?:src|href|srcset|action|data)="([^"]*)"', text)
    external = [link for link in links if re.match(r"\w+:|//", link)]
    assert links
    assert external == []
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in markup.unescape(text)


def test_text_of_evidence_does_not_become_html() -> None:
    planted = crash().model_copy(update=dict.fromkeys(("where", "message", "remedy"), NASTY))
    run = complete(cell(LINUX, planted), cell(WINDOWS, reason=NASTY))
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


def test_a_cell_has_the_command_that_runs_it_again() -> None:
    run = report()
    text = html.render(run, {})
    assert html.replay_command(run.cells[0]) == "./e2e replay debian-13-pip-venv"
    assert "<code>./e2e replay debian-13-pip-venv</code>" in text
    assert 'aria-label="command that enters the machine"' not in text


def test_a_kept_machine_has_the_command_that_enters_it() -> None:
    enter = "docker exec -it --user user quiverdb-e2e-kept-x python3"
    kept = KeptMachine(
        cell=LINUX,
        container="x",
        enter=enter,
        installed_again=True,
        until="2026-03-02T10:00:00Z",
    )
    text = html.render(report().model_copy(update={"kept": (kept,)}), {})
    assert f'aria-label="command that enters the machine"><code>{enter}</code>' in text
    assert "2026-03-02T10:00:00Z" in text


def _with_steps(**steps: ExerciseStep[object]) -> CellEvidence:
    evidence = sample_run.evidence()
    assert evidence.exercise
    exercise = evidence.exercise.model_copy(update={"steps": Steps.model_validate(steps)})
    return evidence.model_copy(update={"exercise": exercise})


def test_a_step_has_its_return_value_or_exception() -> None:
    error = StepError(type="OSError", message="no such table")
    evidence = _with_steps(
        thread=ExerciseStep[object](step="thread", ok=True, value={"threads": 4}),
        fork=ExerciseStep[object](step="fork", ok=False, error=error),
    )
    views = html.build_page(report(), {LINUX: evidence}).cells[0].steps
    steps = {view.name: (view.ok, view.value) for view in views}
    assert steps["thread"] == (True, '{"threads": 4}')
    assert steps["fork"] == (False, "OSError: no such table")


def test_own_tests_are_shown_with_the_reasons_to_leave_some_out() -> None:
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"tests": sample_run.own_tests()})
    text = markup.unescape(html.render(complete(), {WINDOWS: evidence}))
    assert "106 passed, 2 skipped" in text
    assert "pytest 9.2.0" in text
    assert "2 skipped: Windows does not fork" in text


def test_a_long_log_has_its_beginning_and_its_end() -> None:
    log = "FIRST" + "x" * 100_000 + "LAST"
    text = html.render(report(), {LINUX: sample_run.evidence(log=log)})
    assert len(text) < 100_000
    assert "FIRST" in text
    assert "LAST" in text
    assert "94009" in text, "the number of omitted characters"


def test_unverified_parts_are_listed_with_their_reason() -> None:
    run = report(cell(LINUX, reason="no engine"), cell(WINDOWS))
    platform = PlatformResult(tag="win32", coverage=Coverage.UNDECLARED, wheels=("a.whl",))
    run = run.model_copy(update={"platforms": (platform,), "not_installed": ("b.whl",)})
    unverified = dict(html.build_page(run, {}).unverified)
    assert unverified[LINUX] == "no engine"
    assert {"pipeline", "publisher", "b.whl"} <= unverified.keys()
    (out,) = run.out_of_scope
    assert out.reason in unverified[out.id]
    assert "a.whl" in unverified["platforms"]


def test_own_tests_that_did_not_run_are_listed() -> None:
    assert "own tests" not in dict(html.build_page(report(), {}).unverified)
    run = report().model_copy(update={"own_tests_not_run": "not named"})
    assert "not named" in dict(html.build_page(run, {}).unverified)["own tests"]


def test_an_entry_out_of_scope_is_listed_once() -> None:
    out = tuple(OutOfScope(id=name, reason="--no-pipeline") for name in ("pipeline", "publisher"))
    run = report(cell(LINUX)).model_copy(update={"out_of_scope": out})
    unverified = html.build_page(run, {}).unverified
    for name in ("pipeline", "publisher"):
        (reason,) = [reason for listed, reason in unverified if listed == name]
        assert "--no-pipeline" in reason


def test_the_phases_of_a_cell_add_up_to_its_duration() -> None:
    page = html.build_page(report(), {LINUX: sample_run.evidence()})
    for view in page.cells:
        assert sum(seconds for _, seconds in view.times) == view.result.seconds
    assert [name for name, _ in page.cells[0].times] == [
        *(name for name, _ in cell_summary.recorded_commands(sample_run.evidence())),
        timeline.OTHER,
    ]
