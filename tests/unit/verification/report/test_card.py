"""The release card: its entries, and its text for a pull request."""

from __future__ import annotations

from tests.helpers import sample_run
from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash, item, report
from verification.models.cause import Cause, Severity
from verification.models.report import BasisEntry, FileCoverage, FileResult, Report
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.report import card, signs
from verification.report.card import NOT_COVERED
from verification.rules.catalogue import catalogue
from verification.rules.finding import finding

PYTHON_3_14 = "debian-forky-python-3.14-pip-venv"
NASTY = "a|b <img src=x> `code` *x* [l](m)\n# h"


def _missing(cell_id: str, library: str = "MSVCP140.dll") -> Cause:
    found = finding("missing-runtime-library", "needed", needed_by="a.dll", library=library)
    return found.cause(f"{cell_id}: native-call")


def _fallback(cell_id: str) -> Cause:
    return finding(
        "silent-fallback", "older", refusal="x", project="quiverdb", installed="0.1.0"
    ).cause(f"{cell_id}: install")


def _refusing(result: CellResult) -> CellResult:
    return result.model_copy(update={"expectation": ExpectationKind.REFUSES})


def _entries(run: Report) -> dict[str, tuple[Outcome | None, str]]:
    return {entry.name: (entry.outcome, entry.text) for entry in card.entries(run)}


def test_a_verified_run_has_one_entry_for_each_platform() -> None:
    run = report(cell(LINUX), cell("debian-12-pip-venv"), cell(WINDOWS))

    assert _entries(run) == {
        "Linux x86-64": (Outcome.WORKS, ""),
        "Windows x86-64": (Outcome.WORKS, ""),
        "macOS ARM64": (None, "inspected only"),
        "Build": (Outcome.WORKS, ""),
    }
    content = card.card(run)
    assert (content.verdict, content.exit_meaning[:11]) == (Verdict.VERIFIED, "exit code 0")


def test_a_failed_platform_has_its_cause_in_a_few_words() -> None:
    run = report(cell(LINUX), cell(WINDOWS, _missing(WINDOWS)))

    entries = _entries(run)
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")
    assert entries["Windows x86-64"] == (Outcome.FAILS, "MSVCP140.dll missing")
    assert card.card(run).exit_meaning.startswith("exit code 1")


def test_further_causes_are_counted_and_following_causes_are_not() -> None:
    follows = crash(WINDOWS).model_copy(update={"follows": "missing-runtime-library"})
    run = report(cell(WINDOWS, _missing(WINDOWS), follows))
    assert _entries(run)["Windows x86-64"] == (Outcome.FAILS, "MSVCP140.dll missing")

    text = _entries(report(cell(WINDOWS, _missing(WINDOWS), crash(WINDOWS))))["Windows x86-64"][1]
    assert text.endswith("(+1)")


def test_a_python_without_a_wheel_falls_back_to_an_older_release() -> None:
    fallback = cell(PYTHON_3_14, _fallback(PYTHON_3_14), outcome=Outcome.FALLS_BACK)

    entries = _entries(report(cell(LINUX), cell(WINDOWS), fallback))
    assert entries["Python 3.14"] == (Outcome.FALLS_BACK, "falls back to 0.1.0")
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")


def test_a_fallback_that_does_not_work_fails() -> None:
    unusable = finding("unusable-fallback", "broken", installed="0.1.0", reason="crash")
    cause = unusable.cause(f"{PYTHON_3_14}: installed")
    failing = _refusing(cell(PYTHON_3_14, cause))

    entries = _entries(report(cell(LINUX), cell(WINDOWS), failing))
    assert entries["Python 3.14"] == (Outcome.FAILS, "falls back to 0.1.0")


def test_a_machine_that_must_refuse_has_its_own_entry() -> None:
    musl = cell("debian-13-musl-pip-venv", outcome=Outcome.REFUSED)

    entries = _entries(report(cell(LINUX), cell(WINDOWS), musl))
    assert entries["debian-13-musl"] == (Outcome.REFUSED, "refused")
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")


def test_the_worst_cell_of_a_platform_counts() -> None:
    flawed = cell("debian-12-pip-venv", crash(), outcome=Outcome.WORKS_FLAWED)
    run = report(cell(LINUX), flawed, cell(WINDOWS, reason="no image"))

    entries = _entries(run)
    assert entries["Linux x86-64"] == (Outcome.WORKS_FLAWED, "crash")
    assert entries["Windows x86-64"][0] is Outcome.UNVERIFIED
    assert card.card(run).exit_meaning.startswith("exit code 5")


def test_a_testbed_failure_is_no_failure_of_the_package() -> None:
    cause = catalogue().cause("machine-lost", LINUX, "the engine is gone", stage="install")
    run = report(cell(LINUX, cause, outcome=Outcome.TESTBED), cell(WINDOWS))

    assert _entries(run)["Linux x86-64"] == (Outcome.TESTBED, "machine lost")
    content = card.card(run)
    assert (content.verdict, content.exit_meaning[:11]) == (Verdict.TESTBED, "exit code 3")


def test_a_run_without_cells_has_a_card() -> None:
    run = report().model_copy(
        update={"cells": (), "items": (), "files": (), "verdict": Verdict.TESTBED}
    )

    assert _entries(run) == {}
    assert signs.VERDICTS[Verdict.TESTBED].title in card.markdown(card.card(run))


def test_a_platform_without_a_machine_is_not_shown_as_verified() -> None:
    broken = catalogue().cause("damaged-library", "a.whl", "x", library="a.dylib", reason="x")
    tags = (
        ("macosx_11_0_arm64", Coverage.INSPECTED_ONLY, ()),
        ("win_arm64", Coverage.UNVERIFIED, ()),
        ("musllinux_1_2_aarch64", Coverage.UNDECLARED, ()),
        ("macosx_11_0_x86_64", Coverage.INSPECTED_ONLY, (broken,)),
        ("manylinux_2_28_x86_64", Coverage.MACHINES, ()),
    )
    platforms = tuple(
        PlatformResult(tag=tag, coverage=coverage, wheels=("a.whl",), causes=causes)
        for tag, coverage, causes in tags
    )

    entries = _entries(report().model_copy(update={"platforms": platforms}))
    assert entries["macOS ARM64"][0] is None
    assert entries["Windows ARM64"][0] is Outcome.UNVERIFIED
    assert entries["Linux (musl) ARM64"][0] is None
    assert entries["macOS x86-64"] == (Outcome.FAILS, "damaged library")
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")


def test_a_file_that_was_not_read_has_an_entry() -> None:
    names = ("a-1-cp313-cp313-macosx_11_0_arm64.whl", "a-1-cp313-cp313-win_amd64.whl", "a-1.tar.gz")
    files = tuple(FileResult(name=name, coverage=FileCoverage.NOT_READ) for name in names)

    entries = list(card.entries(report().model_copy(update={"files": files})))
    assert [str(entry) for entry in entries if entry.outcome is None] == [
        f"macOS ARM64 {NOT_COVERED} {signs.FILE_COVERAGE[FileCoverage.NOT_READ]}"
    ]
    assert [entry.name for entry in entries].count("Windows x86-64") == 1


MUSL_WHEEL = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_x86_64.whl"
MUSL = "alpine-pip-venv"


def _with_fault(run: Report, item_id: str, cause: Cause, verdict: Verdict) -> Report:
    """Return the run with a cause of an item that no cell has."""
    items = tuple(
        result.model_copy(update={"verdict": verdict, "causes": (*result.causes, cause)})
        if result.id == item_id
        else result
        for result in run.items
    )
    return run.model_copy(update={"items": items, "verdict": verdict})


def test_a_fault_of_a_wheel_that_works_on_machines_is_at_its_platform() -> None:
    fault = catalogue().cause("record-mismatch", "quiverdb/a.so", "x", kind="changed")
    run = _with_fault(report(), "linux-install", fault, Verdict.FAILED)

    entries = _entries(run)
    assert entries["Linux x86-64"] == (Outcome.FAILS, "record mismatch")
    assert entries["Windows x86-64"] == (Outcome.WORKS, "")


def test_a_fault_of_a_named_wheel_is_at_the_platform_of_the_wheel() -> None:
    run = report(cell(LINUX), cell(MUSL), cell(WINDOWS))
    fault = catalogue().cause("tag-mismatch", MUSL_WHEEL, "x", native=True)
    run = _with_fault(run, "linux-install", fault, Verdict.FAILED)

    entries = _entries(run.model_copy(update={"wheels": {**run.wheels, MUSL_WHEEL: "c" * 64}}))
    assert entries["Linux (musl) x86-64"] == (Outcome.FAILS, "tag mismatch")
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")


def test_a_failed_cell_of_another_python_is_not_a_fault_of_the_platform() -> None:
    run = report(cell(LINUX), cell(WINDOWS), cell(PYTHON_3_14, crash(PYTHON_3_14)))

    entries = _entries(run)
    assert entries["Python 3.14"] == (Outcome.FAILS, "crash")
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")


def test_flaws_of_a_wheel_fail_its_platform_only_in_a_strict_run() -> None:
    flaw = crash("a.whl").model_copy(update={"severity": Severity.FLAWED})
    run = _with_fault(report(), "linux-install", flaw, Verdict.VERIFIED)
    assert _entries(run)["Linux x86-64"] == (Outcome.WORKS, "")

    strict = run.selection.model_copy(update={"strict": True})
    run = _with_fault(report(), "linux-install", flaw, Verdict.FAILED)
    run = run.model_copy(update={"selection": strict})
    assert _entries(run)["Linux x86-64"] == (Outcome.FAILS, "crash")


def test_a_verdict_that_no_cell_has_is_at_the_platform() -> None:
    items = (item("linux-install", verdict=Verdict.UNVERIFIED, reason="not served"),)

    assert _entries(report(items=items))["Linux x86-64"][0] is Outcome.UNVERIFIED


def test_a_failure_of_the_set_up_is_at_each_platform() -> None:
    cells = [cell(name, reason="not run") for name in (LINUX, WINDOWS)]
    cause = catalogue().cause("machine-lost", "engine", "x", stage="start")
    names = ("linux-install", "windows-install")
    items = tuple(item(name, cause, verdict=Verdict.TESTBED) for name in names)

    entries = _entries(report(*cells, items=items))
    for name in ("Linux x86-64", "Windows x86-64"):
        assert entries[name] == (Outcome.TESTBED, "machine lost")


def test_machines_with_musl_have_their_own_platform() -> None:
    entries = _entries(report(cell(LINUX), cell(MUSL, crash(MUSL)), cell(WINDOWS)))

    assert entries["Linux (musl) x86-64"] == (Outcome.FAILS, "crash")
    assert entries["Linux x86-64"] == (Outcome.WORKS, "")


def test_results_with_the_same_name_have_the_worst_outcome() -> None:
    broken = catalogue().cause("damaged-library", "a.whl", "x", library="a.dylib", reason="x")
    platforms = tuple(
        PlatformResult(tag=tag, coverage=Coverage.INSPECTED_ONLY, wheels=("a.whl",), causes=causes)
        for tag, causes in (("macosx_11_0_arm64", ()), ("macosx_14_0_arm64", (broken,)))
    )
    run = report().model_copy(update={"platforms": platforms})

    entries = list(card.entries(run))
    assert [entry.name for entry in entries].count("macOS ARM64") == 1
    assert _entries(run)["macOS ARM64"] == (Outcome.FAILS, "damaged library")


def test_pipeline_and_publisher_have_entries() -> None:
    run = complete()
    items = (*run.items[:-1], item("publisher", crash("publish.yml")))

    entries = _entries(run.model_copy(update={"items": items}))
    assert entries["Release workflow"] == (Outcome.WORKS, "")
    assert entries["Publisher"] == (Outcome.FAILS, "crash")


def test_the_markdown_has_everything_of_the_card() -> None:
    basis = (BasisEntry(name="Windows", value="Wine 10"), BasisEntry(name="GitHub", value="act"))
    run = report(cell(LINUX), cell(WINDOWS, _missing(WINDOWS)))
    run = run.model_copy(update={"basis": basis, "command": "./e2e gate --release 0.5.0"})

    text = card.markdown(card.card(run))
    assert text.startswith("### ✘ quiverdb 0.5.0")
    assert "Linux x86-64 ✔ · Windows x86-64 ✘ MSVCP140.dll missing" in text
    assert "Windows = Wine 10; GitHub = act" in text
    assert "exit code 1" in text
    assert "`./e2e gate --release 0.5.0`" in text
    assert sample_run.STARTED in text


def test_text_of_a_package_does_not_become_markdown() -> None:
    basis = (BasisEntry(name=NASTY, value=NASTY),)
    run = report(cell(LINUX, _missing(LINUX, NASTY)), cell(WINDOWS))
    run = run.model_copy(update={"version": NASTY, "basis": basis, "command": ""})

    text = card.markdown(card.card(run))
    assert "\n#" not in text
    for character in "<`[|":
        assert text.count(character) == text.count(f"\\{character}") > 3


def test_a_command_line_is_one_line_of_code() -> None:
    run = report().model_copy(update={"command": "./e2e gate\n-k '`x`'"})

    assert "`./e2e gate -k ''x''`" in card.markdown(card.card(run))
