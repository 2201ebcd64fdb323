"""The content of the web page, and the escaping of text from a package."""

from __future__ import annotations

import base64
import html as markup
import json
import re
import zlib

from markupsafe import escape
from pydantic import JsonValue

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, PIPELINE, WINDOWS, cell, complete, crash, item, report
from verification.models.cause import Cause, Severity
from verification.models.evidence import CellEvidence, ExerciseStep, Retry, StepError, Steps
from verification.models.pipeline import LivePublisherCheck
from verification.models.report import (
    BasisEntry,
    FileCoverage,
    FileResult,
    JobRecord,
    KeptMachine,
    OutOfScope,
    PublisherPart,
    PublisherScope,
    RunChanges,
)
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.verdict import Outcome, Verdict
from verification.report import card, cell_summary, html, signs, timeline
from verification.rules.catalogue import catalogue
from verification.rules.finding import finding

NASTY = "</script></textarea>\"'><img src=x onerror=planted()><script>window.planted=1</script>"


def test_the_page_shows_the_verdict_first_then_causes_and_remedies() -> None:
    text = html.render(report(cell(LINUX, crash()), cell(WINDOWS)), {LINUX: sample_run.evidence()})
    remedy = html.markdown(crash().remedy)
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
        assert tile.startswith(f'{outcome_sign.title}">{outcome_sign.sign} {result.scenario}<')
        assert f'<a class="tile {result.outcome}" href="#cell-{result.id}"' in text
        assert re.search(rf"\.{result.outcome}\b[^}}]*--tone:", style)


def test_an_item_has_the_number_of_machines_for_each_outcome() -> None:
    run = report(cell(LINUX), cell("debian-12-pip-venv", outcome=Outcome.REFUSED), cell(WINDOWS))
    machines = {view.result.id: view.machines for view in html.build_page(run, {}).items}
    assert machines["linux-install"] == signs.machine_sentence(run.cells_of("linux-install"))
    assert machines["linux-install"]
    assert machines["source-build"] == ""


def test_a_following_cause_is_under_its_cause_and_does_not_count() -> None:
    follows = crash().model_copy(update={"name": "leftovers", "follows": "crash"})
    page = html.build_page(report(cell(LINUX, crash(), follows), cell(WINDOWS)), {})
    (group,) = page.causes
    (view,) = group.entries
    assert (group.name, [other.cause for other in view.entry.following]) == ("crash", [follows])
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
    assert steps["thread"] == (True, "threads: 4")
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
    assert unverified[f"linux-install, {LINUX}"] == "no engine"
    assert {"pipeline, publisher", "b.whl"} <= unverified.keys()
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
        (reason,) = [reason for listed, reason in unverified if name in listed]
        assert "--no-pipeline" in reason


def test_entries_with_the_same_reason_are_one_line() -> None:
    names = [f"machine-{number}" for number in range(19)]
    out = tuple(OutOfScope(id=name, reason="only in the profile full") for name in names)
    run = complete().model_copy(update={"out_of_scope": out})

    lines = [reason for _, reason in html.build_page(run, {}).unverified if names[0] in reason]
    assert len(lines) == 1
    assert all(name in lines[0] for name in names)


def test_the_phases_of_a_cell_add_up_to_its_duration() -> None:
    page = html.build_page(report(), {LINUX: sample_run.evidence()})
    for view in page.cells:
        assert sum(seconds for _, seconds in view.times) == view.result.seconds
    assert [name for name, _ in page.cells[0].times] == [
        *(name for name, _ in cell_summary.recorded_commands(sample_run.evidence())),
        timeline.OTHER,
    ]


# ---- in order of importance ----

WINDOWS_PIP, WINDOWS_UV = "windows-wine-pip-system", "windows-wine-uv-system"
ERROR = "Cannot load bundled native libraries: " + "x" * 3000 + ": error 0x7e"


def _missing(cell_id: str) -> list[Cause]:
    return [
        finding(
            "missing-runtime-library", "needed", needed_by=library, library="MSVCP140.dll"
        ).cause(f"{cell_id}: native-call")
        for library in ("libquiver.dll", "libquiver_c.dll")
    ]


def _order(text: str, *headings: str) -> bool:
    positions = [text.index(f'id="h-{heading}"') for heading in headings]
    return positions == sorted(positions)


def test_causes_and_failed_cells_are_before_the_matrix_of_a_failed_run() -> None:
    text = html.render(report(cell(LINUX, crash()), cell(WINDOWS)), {})

    assert _order(text, "causes", "failing", "items", "matrix", "cells")
    failing = text.partition('id="h-failing"')[2].partition("</section>")[0]
    assert f'href="#cell-{LINUX}"' in failing
    assert WINDOWS not in failing


def test_flaws_of_a_verified_run_are_after_the_matrix() -> None:
    run = report(cell(LINUX, crash(), outcome=Outcome.WORKS_FLAWED), cell(WINDOWS))
    items = (item("linux-install", crash(), verdict=Verdict.VERIFIED),)
    run = run.model_copy(update={"items": items, "verdict": Verdict.VERIFIED})

    text = html.render(run, {})
    assert _order(text, "items", "matrix", "causes", "cells")
    assert 'id="h-failing"' not in text


def test_a_testbed_failure_is_not_a_failed_cell() -> None:
    lost = catalogue().cause("machine-lost", LINUX, "the engine is gone", stage="install")
    run = report(cell(LINUX, lost, outcome=Outcome.TESTBED), cell(WINDOWS, crash(WINDOWS)))

    page = html.build_page(run, {})
    assert [view.result.id for view in page.failed_cells] == [WINDOWS]
    assert [view.result.id for view in page.testbed_failures] == [LINUX]
    text = html.render(run, {})
    assert _order(text, "causes", "failing", "testbed", "items")
    testbed = text.partition('id="h-testbed"')[2].partition("</section>")[0]
    assert f'href="#cell-{LINUX}"' in testbed
    assert WINDOWS not in testbed


def test_the_location_of_a_cause_of_the_workflow_is_complete() -> None:
    cause = crash().model_copy(update={"where": "publish.yml:12 (build)"})
    run = report(items=(item("pipeline", cause),))

    (view,) = html.build_page(run, {}).causes[0].entries
    assert (view.locations, view.entry.step) == ("publish.yml:12 (build)", "")
    assert "publish.yml:12 (build)" in html.render(run, {})


def _with_errors(result: CellResult, **errors: str) -> CellResult:
    assert result.summary
    summary = result.summary.model_copy(update={"errors": errors})
    return result.model_copy(update={"summary": summary})


def test_a_cause_has_the_complete_text_that_the_user_sees() -> None:
    failed = cell(LINUX, finding("crash", "signal", signal="SIGSEGV").cause(f"{LINUX}: fork"))
    run = report(_with_errors(failed, fork=f"OSError: {ERROR}"), cell(WINDOWS))
    (view,) = html.build_page(run, {}).causes[0].entries
    assert view.shown == f"OSError: {ERROR}"
    text = html.render(run, {})
    assert text.index(ERROR) < text.index("Remedy:")


def test_a_crash_shows_its_stack_and_the_entries_with_a_text_are_first() -> None:
    crashed = catalogue().cause("crash", f"{LINUX}: MSVCP140.dll", "x")
    inspected = catalogue().cause("crash", "a.whl", "x")
    leftover = crash().model_copy(update={"name": "leftovers", "severity": Severity.FLAWED})
    run = report(
        _with_errors(cell(LINUX), exercise="access violation"),
        items=(item("linux-install", inspected, crashed, leftover),),
    )
    page = html.build_page(run, {})
    shown = {group.name: [view.shown for view in group.entries] for group in page.causes}
    assert shown == {"crash": ["access violation", ""], "leftovers": [""]}


def test_a_cause_without_its_own_text_has_that_of_its_following_cause() -> None:
    root = crash().model_copy(update={"where": f"{LINUX}: installed"})
    follows = root.model_copy(
        update={"name": "leftovers", "where": f"{LINUX}: fork", "follows": "crash"}
    )
    run = report(_with_errors(cell(LINUX, root, follows), fork="OSError: text"), cell(WINDOWS))
    assert html.build_page(run, {}).causes[0].entries[0].shown == "OSError: text"


def test_equal_causes_are_one_entry_with_their_machines_and_installers() -> None:
    cells = [cell(cell_id, *_missing(cell_id)) for cell_id in (WINDOWS_PIP, WINDOWS_UV)]

    page = html.build_page(report(cell(LINUX), *cells), {})
    (group,) = page.causes
    (view,) = group.entries
    assert view.entry.differing_values == ("libquiver.dll", "libquiver_c.dll")
    assert view.locations == "windows-wine with pip and uv (system)"
    assert view.cells == (WINDOWS_PIP, WINDOWS_UV)


def test_a_cause_has_its_description_without_a_link_out_of_the_folder() -> None:
    text = html.render(report(cell(LINUX, crash()), cell(WINDOWS)), {})

    entry = catalogue()["crash"]
    about = text.partition("About crash</summary>")[2].partition("</details>")[0]
    assert html.markdown(entry.doc) in about
    assert 'href="docs' not in text


def test_an_unknown_cause_has_no_description() -> None:
    unknown = crash().model_copy(update={"name": "of-a-newer-suite"})

    assert "About of-a-newer-suite" not in html.render(report(cell(LINUX, unknown)), {})


def test_code_and_emphasis_of_a_remedy_are_html_and_the_rest_is_text() -> None:
    assert html.markdown("Run `a <b> *c*` *now*") == (
        "Run <code>a &lt;b&gt; *c*</code> <em>now</em>"
    )
    for text in (NASTY, f"`{NASTY}`", "[x](javascript:planted())", "![x](x)", "<https://x>"):
        shown = html.markdown(text).replace("<code>", "").replace("</code>", "")
        assert "<" not in shown


def test_the_matrix_has_a_row_for_each_machine_by_title() -> None:
    run = report(cell(LINUX), cell("debian-13-uv-venv"), cell(WINDOWS))

    rows = {row.name: row for row in html.build_page(run, {}).machines}
    assert list(rows) == ["debian-13", "windows-wine"]
    assert rows["debian-13"].title == run.machines["debian-13"].title
    assert [row.name for row in rows["debian-13"].installers] == ["pip", "uv"]


def test_the_head_has_command_basis_tag_and_changes() -> None:
    pipeline = PIPELINE.model_copy(update={"tag": "v0.5.0", "commit": "c" * 40})
    changes = RunChanges(base="run 12", differences=("x is slower",))
    run = complete().model_copy(
        update={
            "command": "./e2e gate --strict",
            "basis": (BasisEntry(name="Windows", value="Wine 10"),),
            "pipeline": pipeline,
            "changes": changes,
        }
    )
    head = html.render(run, {}).partition("<header")[2].partition("</header>")[0]
    for part in ("./e2e gate --strict", "Windows = Wine 10", "v0.5.0", "cccccccccccc", "run 12"):
        assert part in head
    assert "x is slower" in head

    unchanged = run.model_copy(update={"changes": RunChanges(base="run 12", differences=())})
    head = html.render(unchanged, {}).partition("<header")[2].partition("</header>")[0]
    assert "run 12" in head
    assert "x is slower" not in head


def test_important_notes_are_first_and_all_are_above_the_timings() -> None:
    notes = (
        catalogue().cause("metadata-incomplete", "a.whl", "x"),
        finding("works-with-more", "extras", extras=("VC++",)).cause(WINDOWS),
    )
    run = report().model_copy(update={"notes": notes})

    page = html.build_page(run, {})
    assert [group.name for group in page.notes] == ["works-with-more", "metadata-incomplete"]
    assert _order(html.render(run, {}), "matrix", "notes", "cells", "timings")


def test_every_file_of_the_release_is_listed_with_its_coverage() -> None:
    files = tuple(
        FileResult(name=f"{coverage}.whl", coverage=coverage, reason=f"because {number}")
        for number, coverage in enumerate(FileCoverage)
    )
    page = html.build_page(report().model_copy(update={"files": files}), {})

    assert [view.name for view in page.files] == [file.name for file in files]
    assert [view.coverage.lower() for view in page.files] == [
        signs.FILE_COVERAGE[coverage] for coverage in FileCoverage
    ]
    assert all(file.reason in view.details for file, view in zip(files, page.files, strict=True))


def test_the_publisher_has_its_scope_its_fields_and_the_live_index() -> None:
    live = LivePublisherCheck(
        verdict=Verdict.UNVERIFIED,
        reason="no provenance",
        version="0.4.0",
        publishers={"a.whl": "owner/repo", "b.whl": "owner/repo"},
    )
    publisher = PublisherPart(
        scope=PublisherScope.REGISTRATION_FILE, fields={"workflow": "publish.yml"}, live=live
    )
    rows = html.build_page(complete().model_copy(update={"publisher": publisher}), {}).publisher

    values = " ".join(f"{name}={value}" for name, value in rows)
    for part in (publisher.scope, "workflow=publish.yml", "0.4.0", "no provenance"):
        assert part in values
    assert "owner/repo: 2" in values


def test_a_cell_that_ran_twice_shows_its_first_run() -> None:
    evidence = sample_run.evidence(WINDOWS)
    first = sample_run.command("uv", "pip", "install", stdout="stack overflow")
    retried = evidence.model_copy(update={"retried": Retry(because="install", command=first)})

    page = html.build_page(report(), {WINDOWS: retried})
    (view,) = [view for view in page.cells if view.result.id == WINDOWS]
    assert view.first_run == "install"
    assert [command.logs for command in view.first_commands] == [(("stdout", "stack overflow"),)]
    assert "stack overflow" in html.render(report(), {WINDOWS: retried})


def test_the_messages_of_the_loader_are_not_printed() -> None:
    loader = (*(f"warn:module {number}" for number in range(30)), "err:module")
    evidence = sample_run.evidence(WINDOWS).model_copy(update={"loader": loader})

    text = html.render(report(), {WINDOWS: evidence})
    style = text.partition("@media print")[2].partition("</style>")[0]
    noise = text.partition('<details class="log noise">')[2].partition("</details>")[0]
    assert "err:module" in noise
    assert "warn:module 29" not in text
    assert re.search(r"\.noise\b[^}]*display: none", style)


def test_a_value_is_readable_without_json() -> None:
    value: JsonValue = {"version": "0.5.0", "ok": True, "rows": [[1, "a"], []], "none": None}

    assert html.readable(value) == "version: 0.5.0; ok: yes; rows: ((1, a), none); none: no value"


def test_the_card_is_a_page_that_loads_nothing() -> None:
    run = report(cell(LINUX, crash()), cell(WINDOWS)).model_copy(update={"version": NASTY})

    text = html.render_card(card.card(run))
    assert "script-src 'none'" in markup.unescape(text)
    assert "<script>" not in text
    assert "<img" not in text
    assert "Windows x86-64" in text


# ---- large reports ----


def large_report(number: int, *, log: str = "x") -> str:
    """Return the page of a report with this number of cells, of which one in 50 fails."""
    cells = []
    for index in range(number):
        cell_id = f"machine{index}-pip-venv"
        cells.append(cell(cell_id, crash(cell_id)) if index % 50 == 7 else cell(cell_id))
    evidence = {c.id: sample_run.evidence(c.id, log=f"{c.id} {log}") for c in cells}
    return html.render(complete(*cells), evidence)


def unpacked(text: str) -> list[str]:
    """Return the details of the cells of a large page, as its script unpacks them."""
    chunks = re.findall(r'class="packed-details">([^<]*)</script>', text)
    return [
        details
        for chunk in chunks
        for details in json.loads(zlib.decompress(base64.b64decode(chunk)))
    ]


def test_a_large_page_has_few_bytes_for_each_cell() -> None:
    log = "".join(f"Downloading file {number} of the index\n" for number in range(200))
    small, large = (len(large_report(number, log=log).encode()) for number in (300, 600))
    assert (large - small) / 300 < 1500, "10,000 cells have less than 15 MB"


def test_a_large_page_has_each_cell_with_its_details() -> None:
    number = html.MANY_CELLS + 1
    text = large_report(number, log=NASTY)
    packed = re.search(r'id="packed">(.*?)</script>', text)
    assert packed
    index = json.loads(packed[1])
    assert [row[0] for row in index["rows"]] == [f"machine{n}-pip-venv" for n in range(number)]
    assert {row[1] for row in index["rows"]} == {"works", "fails"} <= set(index["outcomes"])
    assert "<" not in packed[1]
    details = unpacked(text)
    assert len(details) == number
    for row, content in zip(index["rows"], details, strict=True):
        assert f"./e2e replay {row[0]}" in content
        assert NASTY not in content
        assert str(escape(NASTY)) in content
    assert 'class="cell ' not in text
    failing = [row for row in index["rows"] if row[1] == "fails"]
    assert all(any("crash" in index["texts"][word] for word in row[4]) for row in failing)


def test_a_large_page_shows_the_verdict_and_the_causes_without_its_script() -> None:
    text = large_report(html.MANY_CELLS + 1)
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert crash().message in without_scripts
    assert 'id="cause-crash"' in without_scripts
    assert 'href="#cell-machine7-pip-venv"' in without_scripts
    assert 'class="failed"' in without_scripts


def test_a_large_page_has_tiles_only_for_unexpected_outcomes() -> None:
    cells = [cell(f"debian-13-pip-s{n}", *([crash()] if n == 3 else [])) for n in range(300)]
    ((row,),) = (machine.installers for machine in html.build_page(report(*cells), {}).machines)
    assert [tile.id for tile in row.cells] == ["debian-13-pip-s3"]
    assert row.counts == {Outcome.WORKS: 299, Outcome.FAILS: 1}


def test_details_of_a_large_page_are_not_kept_in_memory() -> None:
    cells = [cell(f"debian-13-pip-s{number}") for number in range(300)]
    evidence = {result.id: sample_run.evidence(result.id) for result in cells}
    page = html.build_page(report(*cells), evidence)
    assert not any(view.commands or view.steps or view.lists for view in page.cells)
    assert [timing.bars[0].name for timing in page.timings][:1] == ["install"]
