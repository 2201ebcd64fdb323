"""The verdicts of cells, items and runs, and each condition that prevents *verified*."""

from __future__ import annotations

import itertools
import re

import pytest

from verification import verdict
from verification.models.cause import Cause, Severity
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.run import (
    FailedTest,
    PipelineSummary,
    PlannedCell,
    PublishedSummary,
    RunResult,
    RunVerdict,
    SystemSummary,
    WheelSummary,
)
from verification.models.verdict import EXIT_CODES, ExpectationKind, Outcome, Verdict

WORKS, REFUSES = ExpectationKind.WORKS, ExpectationKind.REFUSES
WHEELS = {
    "linux": "x-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
    "windows": "x-1.0-cp313-cp313-win_amd64.whl",
}
ADDITIONAL = "x-1.0-cp313-cp313-manylinux_2_31_x86_64.whl"


def cause(
    name: str = "crash",
    severity: Severity = Severity.BROKEN,
    where: str = "x.whl",
    follows: str = "",
) -> Cause:
    return Cause(
        name=name, severity=severity, where=where, message="m", remedy="r", follows=follows
    )


BROKEN = cause()
FLAWED = cause("symbol-interposition", Severity.FLAWED)
NOTE = cause("works-with-more", Severity.NOTE)
TESTBED = cause("machine-lost", Severity.TESTBED)


def plan(ident: str, system: str = "linux", kind: ExpectationKind = WORKS) -> PlannedCell:
    return PlannedCell.model_validate(
        {
            "id": ident,
            "machine": f"machine-of-{ident}",
            "installer": "pip",
            "scenario": "venv",
            "system": system,
            "expectation": kind,
        }
    )


def result(
    planned: PlannedCell,
    outcome: Outcome = Outcome.WORKS,
    *causes: Cause,
    wheel: str | None = None,
    strict: bool = False,
) -> CellResult:
    return CellResult(
        id=planned.id,
        machine=planned.machine,
        installer=planned.installer,
        scenario=planned.scenario,
        expectation=planned.expectation,
        outcome=outcome,
        verdict=verdict.verdict_of_cell(outcome, causes, strict=strict),
        causes=causes,
        seconds=1.0,
        wheel=WHEELS[planned.system] if wheel is None else wheel,
    )


LINUX, WINDOWS = plan("debian-pip-venv"), plan("windows-pip-system", "windows")
GOOD_PIPELINE = PipelineSummary(identity_exchanged=True)


def run(**changes: object) -> RunResult:
    """Return a run in which all items are verified, with these changes."""
    values: dict[str, object] = {
        "subject": "quiverdb",
        "from_source": True,
        "systems": (system("linux"), system("windows")),
        "planned": (LINUX, WINDOWS),
        "cells": (result(LINUX), result(WINDOWS)),
        "pipeline": GOOD_PIPELINE,
    }
    return RunResult.model_validate(values | changes)


def system(name: str, *causes: Cause, **changes: object) -> SystemSummary:
    values: dict[str, object] = {
        "system": name,
        "wheels": (WheelSummary(file=WHEELS[name]),),
        "causes": causes,
    }
    return SystemSummary.model_validate(values | changes)


def verdicts(judgement: RunVerdict) -> dict[str, Verdict]:
    return {item.id: item.verdict for item in judgement.items}


def names(judgement: RunVerdict, item: str) -> list[str]:
    return [c.name for part in judgement.items if part.id == item for c in part.causes]


ALL_VERIFIED = dict.fromkeys(
    ("pipeline", "publisher", "source-build", "linux-install", "windows-install"), Verdict.VERIFIED
)


def test_a_run_without_a_fault_is_verified() -> None:
    judgement = verdict.judge(run())
    assert judgement.verdict is Verdict.VERIFIED
    assert verdicts(judgement) == ALL_VERIFIED
    assert [cell.id for cell in judgement.cells] == [LINUX.id, WINDOWS.id]
    assert judgement.not_selected == ()
    assert {item.reason for item in judgement.items} == {""}


def test_each_item_has_a_distinct_title_and_install_items_name_the_package() -> None:
    titles = {item.id: item.title for item in verdict.judge(run()).items}
    assert len(set(titles.values())) == len(titles)
    assert "quiverdb" in titles["linux-install"]
    assert "Linux" in titles["linux-install"]
    assert "Windows" in titles["windows-install"]


def test_a_run_has_only_the_items_of_its_selection() -> None:
    judgement = verdict.judge(run(pipeline=None, from_source=False, systems=(system("linux"),)))
    assert list(verdicts(judgement)) == ["linux-install"]


# ---- causes and outcomes ----


@pytest.mark.parametrize(
    ("severity", "lenient", "strict"),
    [
        (Severity.BROKEN, True, True),
        (Severity.FLAWED, False, True),
        (Severity.NOTE, False, False),
        (Severity.TESTBED, False, False),
    ],
)
def test_broken_causes_fail_and_flawed_causes_fail_under_strict(
    severity: Severity, *, lenient: bool, strict: bool
) -> None:
    assert verdict.fails(cause(severity=severity), strict=False) is lenient
    assert verdict.fails(cause(severity=severity), strict=True) is strict
    assert not verdict.fails(cause(severity=severity, follows="other"), strict=True)


@pytest.mark.parametrize(
    ("causes", "strict", "expected"),
    [
        ((), False, Verdict.VERIFIED),
        ((NOTE,), False, Verdict.VERIFIED),
        ((NOTE,), True, Verdict.VERIFIED),
        ((NOTE, TESTBED), True, Verdict.TESTBED),
        ((FLAWED,), False, Verdict.VERIFIED),
        ((FLAWED,), True, Verdict.FAILED),
        ((BROKEN,), False, Verdict.FAILED),
        ((TESTBED,), False, Verdict.TESTBED),
        ((TESTBED, BROKEN), False, Verdict.FAILED),
        ((TESTBED, FLAWED), True, Verdict.FAILED),
        ((cause(follows="unusable-fallback"),), True, Verdict.VERIFIED),
        ((cause("x", Severity.TESTBED, follows="y"),), True, Verdict.VERIFIED),
    ],
)
def test_causes_have_a_verdict(causes: tuple[Cause, ...], strict: bool, expected: Verdict) -> None:
    assert verdict.verdict_of_causes(iter(causes), strict=strict) is expected


@pytest.mark.parametrize(
    ("outcome", "lenient", "strict"),
    [
        (Outcome.WORKS, Verdict.VERIFIED, Verdict.VERIFIED),
        (Outcome.WORKS_FLAWED, Verdict.VERIFIED, Verdict.FAILED),
        (Outcome.REFUSED, Verdict.VERIFIED, Verdict.VERIFIED),
        (Outcome.FALLS_BACK, Verdict.VERIFIED, Verdict.FAILED),
        (Outcome.FAILS, Verdict.FAILED, Verdict.FAILED),
        (Outcome.UNVERIFIED, Verdict.UNVERIFIED, Verdict.UNVERIFIED),
        (Outcome.TESTBED, Verdict.TESTBED, Verdict.TESTBED),
    ],
)
def test_outcomes_have_a_verdict(outcome: Outcome, lenient: Verdict, strict: Verdict) -> None:
    assert verdict.verdict_of_cell(outcome, (), strict=False) is lenient
    assert verdict.verdict_of_cell(outcome, (), strict=True) is strict


@pytest.mark.parametrize(
    ("causes", "lenient", "strict"),
    [
        ((FLAWED,), Verdict.VERIFIED, Verdict.FAILED),
        ((NOTE,), Verdict.VERIFIED, Verdict.VERIFIED),
        ((cause(severity=Severity.FLAWED, follows="x"),), Verdict.VERIFIED, Verdict.VERIFIED),
    ],
)
def test_a_refusal_with_a_flaw_fails_under_strict(
    causes: tuple[Cause, ...], lenient: Verdict, strict: Verdict
) -> None:
    assert verdict.verdict_of_cell(Outcome.REFUSED, causes, strict=False) is lenient
    assert verdict.verdict_of_cell(Outcome.REFUSED, causes, strict=True) is strict


def test_each_verdict_has_an_outcome_and_an_exit_code() -> None:
    assert {verdict.verdict_of_cell(outcome, (), strict=False) for outcome in Outcome} == set(
        Verdict
    )
    assert [int(EXIT_CODES[member]) for member in Verdict] == [0, 1, 5, 3]


def test_failed_outranks_testbed_failure_and_testbed_failure_outranks_unverified() -> None:
    order = (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED, Verdict.VERIFIED)
    for count in (1, 2, 3, 4):
        for parts in itertools.permutations(order, count):
            assert verdict.combined_verdict(parts) is min(parts, key=order.index)


def test_a_verdict_without_parts_is_unverified() -> None:
    assert verdict.combined_verdict([]) is Verdict.UNVERIFIED


# ---- each condition that prevents the verdict verified ----


@pytest.mark.parametrize(
    ("changes", "items", "expected"),
    [
        pytest.param(
            {"setup_failure": TESTBED, "prepared": False, "cells": ()},
            dict.fromkeys(ALL_VERIFIED, Verdict.TESTBED) | {"source-build": Verdict.UNVERIFIED},
            Verdict.TESTBED,
            id="the set-up failed",
        ),
        pytest.param(
            {"setup_failure": cause("build-failed"), "prepared": False, "cells": ()},
            dict.fromkeys(ALL_VERIFIED, Verdict.FAILED),
            Verdict.FAILED,
            id="the build failed",
        ),
        pytest.param(
            {"closure_not_proved": "the engine refuses"},
            {"linux-install": Verdict.UNVERIFIED, "windows-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="network closure of the machines is not proved",
        ),
        pytest.param(
            {"pipeline": PipelineSummary(identity_exchanged=True, closure_not_proved="refused")},
            {"pipeline": Verdict.UNVERIFIED, "publisher": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="network closure of the jobs is not proved",
        ),
        pytest.param(
            {"prepared": False},
            {"source-build": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="the wheels were not built",
        ),
        pytest.param(
            {"pipeline": PipelineSummary(not_run="no runner")},
            {"pipeline": Verdict.UNVERIFIED, "publisher": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="the workflow did not run",
        ),
        pytest.param(
            {"pipeline": PipelineSummary(causes=(BROKEN,), identity_exchanged=True)},
            {"pipeline": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of the workflow",
        ),
        pytest.param(
            {"pipeline": PipelineSummary(publisher_causes=(BROKEN,), identity_exchanged=True)},
            {"publisher": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of the publisher",
        ),
        pytest.param(
            {"pipeline": PipelineSummary(identity_exchanged=False)},
            {"publisher": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="no identity was exchanged",
        ),
        pytest.param(
            {"pipeline": PipelineSummary(identity_exchanged=True, unregistered="owner o")},
            {"publisher": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="no registration of the publisher",
        ),
        pytest.param(
            {"upload_refused": cause("upload-refused")},
            {"linux-install": Verdict.FAILED, "windows-install": Verdict.FAILED},
            Verdict.FAILED,
            id="the index refused an upload",
        ),
        pytest.param(
            {"systems": (system("linux", BROKEN), system("windows"))},
            {"linux-install": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of the set of wheels of one system",
        ),
        pytest.param(
            {
                "systems": (
                    system("linux"),
                    system("windows", wheels=(WheelSummary(file="w.whl", causes=(BROKEN,)),)),
                )
            },
            {"windows-install": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of a wheel",
        ),
        pytest.param(
            {"release_causes": (cause("wheels-differ"),)},
            {"linux-install": Verdict.FAILED, "windows-install": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of the set of all wheels",
        ),
        pytest.param(
            {
                "systems": (
                    system("linux", wheels=(WheelSummary(file=WHEELS["linux"], unread=("a.so",)),)),
                    system("windows"),
                )
            },
            {"linux-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="native code that could not be read",
        ),
        pytest.param(
            {"systems": (system("linux", not_fetched=("a.whl: 503",)), system("windows"))},
            {"linux-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="a wheel that was not fetched",
        ),
        pytest.param(
            {"cells": (result(LINUX, wheel=ADDITIONAL), result(WINDOWS))},
            {"linux-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="no machine downloaded the declared wheel",
        ),
        pytest.param(
            {"cells": (result(LINUX, Outcome.FAILS, BROKEN), result(WINDOWS))},
            {"linux-install": Verdict.FAILED},
            Verdict.FAILED,
            id="a cell fails",
        ),
        pytest.param(
            {"cells": (result(LINUX, Outcome.TESTBED, TESTBED), result(WINDOWS))},
            {"linux-install": Verdict.TESTBED},
            Verdict.TESTBED,
            id="a cell is a testbed failure",
        ),
        pytest.param(
            {"cells": (result(LINUX),)},
            {"windows-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="a planned cell has no result",
        ),
        pytest.param(
            {"cells": (result(LINUX, Outcome.FALLS_BACK), result(WINDOWS))},
            {"linux-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="no machine executed a wheel of the release",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", item="publisher"),)},
            {"publisher": Verdict.FAILED},
            Verdict.FAILED,
            id="a test of an item failed without a cause",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t"),)},
            dict.fromkeys(ALL_VERIFIED, Verdict.FAILED),
            Verdict.FAILED,
            id="a test of no item failed without a cause",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", item="pipeline", error=True),)},
            {"pipeline": Verdict.TESTBED},
            Verdict.TESTBED,
            id="the code of a test failed",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", error=True),)},
            dict.fromkeys(ALL_VERIFIED, Verdict.TESTBED),
            Verdict.TESTBED,
            id="the code of a test of no item failed",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", item="macos-install"),)},
            dict.fromkeys(ALL_VERIFIED, Verdict.FAILED),
            Verdict.FAILED,
            id="a test of an item that is not in the run failed",
        ),
        pytest.param(
            {"published": PublishedSummary(causes=(cause("hash-mismatch"),))},
            {"published-files": Verdict.FAILED},
            Verdict.FAILED,
            id="the index serves another file than the verified one",
        ),
        pytest.param(
            {"published": PublishedSummary(not_compared=("a.whl: no sha256",))},
            {"published-files": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="a published file is not compared",
        ),
        pytest.param({"interrupted": True}, {}, Verdict.UNVERIFIED, id="the run was interrupted"),
    ],
)
def test_each_condition_prevents_the_verdict_verified(
    changes: dict[str, object], items: dict[str, Verdict], expected: Verdict
) -> None:
    judgement = verdict.judge(run(**changes))
    assert judgement.verdict is expected
    assert verdicts(judgement) == ALL_VERIFIED | items
    not_verified = [item for item in judgement.items if item.verdict is not Verdict.VERIFIED]
    assert all(item.causes or item.reason for item in not_verified)


def test_release_with_the_verified_files_is_verified() -> None:
    judgement = verdict.judge(run(published=PublishedSummary()))
    assert verdicts(judgement) == ALL_VERIFIED | {"published-files": Verdict.VERIFIED}


def test_each_rule_is_in_the_table_once() -> None:
    names_of_rules = {rule.__name__ for rule, _ in verdict.RULES}
    assert len(names_of_rules) == len(verdict.RULES) == 21, "a new rule needs a case above"


# ---- systems without a selected cell ----


def test_a_system_without_a_selected_cell_has_no_verdict() -> None:
    judgement = verdict.judge(run(planned=(LINUX,), cells=(result(LINUX),)))
    assert "windows-install" not in verdicts(judgement)
    assert judgement.not_selected == ("windows-install",)
    assert judgement.verdict is Verdict.VERIFIED


def test_a_broken_wheel_of_a_system_without_a_selected_cell_does_not_count() -> None:
    systems = (system("linux"), system("windows", BROKEN))
    platforms = (platform(Coverage.MACHINES), platform(Coverage.MACHINES, BROKEN, tag="win_amd64"))
    changes = {"planned": (LINUX,), "cells": (result(LINUX),), "systems": systems}
    judgement = verdict.judge(run(**changes, platforms=platforms))
    assert judgement.verdict is Verdict.VERIFIED
    assert judgement.not_selected == ("windows-install",)
    assert [(platform.coverage, platform.causes) for platform in judgement.platforms] == [
        (Coverage.MACHINES, ()),
        (Coverage.NOT_SELECTED, (BROKEN,)),
    ]


# ---- platforms without a machine ----


def platform(
    coverage: Coverage, *causes: Cause, tag: str = "manylinux_2_28_x86_64", **changes: object
) -> PlatformResult:
    values = {"tag": tag, "coverage": coverage, "wheels": ("x.whl",), "causes": causes}
    return PlatformResult.model_validate(values | changes)


ARM = "manylinux_2_28_aarch64"


@pytest.mark.parametrize(
    ("platform_result", "expected"),
    [
        (platform(Coverage.INSPECTED_ONLY, tag=ARM), Verdict.VERIFIED),
        (platform(Coverage.INSPECTED_ONLY, NOTE, FLAWED, tag=ARM), Verdict.VERIFIED),
        (platform(Coverage.INSPECTED_ONLY, BROKEN, tag=ARM), Verdict.FAILED),
        (
            platform(Coverage.INSPECTED_ONLY, tag=ARM, not_fetched=("x.whl: 404",)),
            Verdict.UNVERIFIED,
        ),
        (platform(Coverage.UNVERIFIED, tag=ARM), Verdict.UNVERIFIED),
        (platform(Coverage.UNVERIFIED, BROKEN, tag=ARM), Verdict.FAILED),
        (platform(Coverage.NOT_SELECTED, BROKEN, tag="win_amd64"), Verdict.VERIFIED),
        (platform(Coverage.UNDECLARED, BROKEN, tag="win32"), Verdict.VERIFIED),
    ],
)
def test_a_platform_without_a_machine_has_an_item_if_it_is_not_verified(
    platform_result: PlatformResult, expected: Verdict
) -> None:
    judgement = verdict.judge(run(platforms=(platform_result,)))
    assert judgement.verdict is expected
    assert verdicts(judgement).get(f"wheel-{ARM}", Verdict.VERIFIED) is expected
    assert judgement.platforms == (platform_result,)


def test_a_flawed_wheel_without_a_machine_fails_a_strict_run() -> None:
    platform_result = platform(Coverage.INSPECTED_ONLY, FLAWED, tag=ARM)
    assert verdict.judge(run(platforms=(platform_result,), strict=True)).verdict is Verdict.FAILED


def test_the_item_of_a_platform_without_a_machine_explains_a_failed_test() -> None:
    platform_result = platform(Coverage.INSPECTED_ONLY, BROKEN, tag=ARM)
    judgement = verdict.judge(
        run(platforms=(platform_result,), failed_tests=(FailedTest(node="t"),))
    )
    assert verdicts(judgement) == ALL_VERIFIED | {f"wheel-{ARM}": Verdict.FAILED}


# ---- cells that did not run, and reasons ----


def test_a_planned_cell_without_a_result_is_unverified() -> None:
    planned = plan("debian-12-pip-venv", kind=REFUSES)
    judgement = verdict.judge(run(planned=(planned, WINDOWS), cells=(result(WINDOWS),)))
    not_run, executed = judgement.cells
    assert not_run.reason
    assert not_run == verdict.not_run(planned, not_run.reason)
    assert (not_run.outcome, not_run.verdict) == (Outcome.UNVERIFIED, Verdict.UNVERIFIED)
    assert executed == result(WINDOWS)


def test_the_reason_of_a_cell_that_did_not_run_depends_on_the_run() -> None:
    def reason(**changes: object) -> str:
        return verdict.judge(run(cells=(result(WINDOWS),), **changes)).cells[0].reason

    setup_failure = {"setup_failure": TESTBED, "prepared": False}
    assert "machine-lost" in reason(**setup_failure)
    assert reason(**setup_failure, interrupted=True) == reason(**setup_failure)
    assert len({reason(), reason(interrupted=True), reason(finished=False)}) == 3


def test_cells_have_the_order_of_the_plan_and_unplanned_cells_do_not_count() -> None:
    unplanned = result(plan("debian-12-pip-venv"), Outcome.FAILS, BROKEN)
    judgement = verdict.judge(run(cells=(result(WINDOWS), unplanned, result(LINUX))))
    assert [cell.id for cell in judgement.cells] == [LINUX.id, WINDOWS.id]
    assert judgement.verdict is Verdict.VERIFIED


UNREAD = WheelSummary(file=WHEELS["linux"], unread=("a.so: no section", "b.so: no section"))
SECOND_DECLARED = WheelSummary(file="x-1.0-cp313-cp313-manylinux_2_17_x86_64.whl")


@pytest.mark.parametrize(
    ("changes", "item", "reason"),
    [
        ({"prepared": False}, "source-build", "."),
        ({"pipeline": PipelineSummary(not_run="no runner")}, "pipeline", "^no runner$"),
        ({"pipeline": PipelineSummary(not_run="no runner")}, "publisher", "^no runner$"),
        ({"pipeline": PipelineSummary()}, "publisher", "."),
        (
            {"systems": (system("linux", wheels=(UNREAD,)),)},
            "linux-install",
            "^a.so: no section; b.so: no section$",
        ),
        (
            {"systems": (system("linux", not_fetched=("a.whl: 503", "a.whl: 503")),)},
            "linux-install",
            "^a.whl: 503$",
        ),
        (
            {
                "systems": (
                    system("linux", wheels=(WheelSummary(file=WHEELS["linux"]), SECOND_DECLARED)),
                    system("windows"),
                ),
                "cells": (result(LINUX, wheel=ADDITIONAL), result(WINDOWS)),
            },
            "linux-install",
            f": {SECOND_DECLARED.file}, {WHEELS['linux']}$",
        ),
        ({"cells": (result(LINUX, Outcome.REFUSED), result(WINDOWS))}, "linux-install", "."),
        (
            {"cells": (), "systems": (system("linux", not_fetched=("a.whl: 503",)),)},
            "linux-install",
            f"^a.whl: 503; {LINUX.id}: .",
        ),
    ],
)
def test_an_unverified_item_has_a_reason(
    changes: dict[str, object], item: str, reason: str
) -> None:
    judgement = verdict.judge(run(**changes))
    (judged_item,) = [part for part in judgement.items if part.id == item]
    assert judged_item.verdict is Verdict.UNVERIFIED
    assert re.search(reason, judged_item.reason)


def test_a_workflow_that_did_not_run_has_one_reason() -> None:
    judgement = verdict.judge(run(pipeline=PipelineSummary(not_run="no runner")))
    assert {item.reason for item in judgement.items} == {"", "no runner"}


def test_the_reason_of_an_unverified_cell_is_in_its_item() -> None:
    cell = verdict.not_run(LINUX, "no such image")
    judgement = verdict.judge(run(cells=(cell, result(WINDOWS))))
    (item,) = [item for item in judgement.items if item.id == "linux-install"]
    assert item.reason == f"{LINUX.id}: no such image"


def test_a_failed_item_has_the_reason_of_its_unverified_parts() -> None:
    systems = (system("linux", BROKEN, not_fetched=("a.whl: 503",)), system("windows"))
    (item, _) = verdict.judge(run(systems=systems, pipeline=None, from_source=False)).items
    assert (item.verdict, item.reason) == (Verdict.FAILED, "a.whl: 503")


def test_notes_are_not_among_the_causes_of_an_item() -> None:
    judgement = verdict.judge(run(cells=(result(LINUX, Outcome.WORKS, NOTE), result(WINDOWS))))
    assert names(judgement, "linux-install") == []


def test_an_item_has_its_causes_without_duplicates_the_heaviest_first() -> None:
    cells = (result(LINUX, Outcome.FAILS, FLAWED, BROKEN), result(WINDOWS))
    systems = (system("linux", FLAWED, BROKEN), system("windows"))
    judgement = verdict.judge(run(cells=cells, systems=systems))
    assert names(judgement, "linux-install") == ["crash", "symbol-interposition"]


@pytest.mark.parametrize("strict", [False, True])
def test_a_flaw_fails_only_under_strict(strict: bool) -> None:
    cells = (result(LINUX, Outcome.WORKS_FLAWED, FLAWED, strict=strict), result(WINDOWS))
    judgement = verdict.judge(run(cells=cells, strict=strict))
    expected = Verdict.FAILED if strict else Verdict.VERIFIED
    assert verdicts(judgement)["linux-install"] is expected
    systems = (system("linux", FLAWED), system("windows"))
    assert verdicts(verdict.judge(run(systems=systems, strict=strict)))["linux-install"] is expected


# ---- the wheel of the release must be executed ----


REFUSING = plan("debian-12-pip-venv", kind=REFUSES)


def test_a_refusal_next_to_a_cell_that_works_is_verified() -> None:
    cells = (result(LINUX), result(WINDOWS), result(REFUSING, Outcome.REFUSED, wheel=""))
    judgement = verdict.judge(run(planned=(LINUX, WINDOWS, REFUSING), cells=cells))
    assert judgement.verdict is Verdict.VERIFIED


def test_an_item_with_only_refusals_is_unverified() -> None:
    cells = (result(REFUSING, Outcome.REFUSED, wheel=""), result(WINDOWS))
    judgement = verdict.judge(run(planned=(REFUSING, WINDOWS), cells=cells))
    assert verdicts(judgement)["linux-install"] is Verdict.UNVERIFIED


def test_a_flawed_cell_counts_as_executed() -> None:
    cells = (result(LINUX, Outcome.WORKS_FLAWED, FLAWED), result(WINDOWS))
    assert verdict.judge(run(cells=cells)).verdict is Verdict.VERIFIED


def test_a_failed_cell_needs_no_further_reason() -> None:
    cells = (result(LINUX, Outcome.FAILS, BROKEN), result(WINDOWS))
    (item,) = [i for i in verdict.judge(run(cells=cells)).items if i.id == "linux-install"]
    assert item.reason == ""


@pytest.mark.parametrize(
    ("served", "kind", "unverified"),
    [
        ((WHEELS["linux"],), WORKS, False),
        ((ADDITIONAL,), WORKS, True),
        ((ADDITIONAL, WHEELS["linux"]), WORKS, False),
        (("",), WORKS, False),  # the downloaded wheel is not known
        ((ADDITIONAL, ""), WORKS, True),
        ((ADDITIONAL, ""), REFUSES, False),  # a cell that must refuse needs no declared wheel
    ],
)
def test_a_declared_wheel_that_no_machine_downloaded_is_unverified(
    served: tuple[str, ...], kind: ExpectationKind, unverified: bool
) -> None:
    cells = tuple(plan(f"c{number}", kind=kind) for number in range(len(served)))
    linux = SystemSummary(
        system="linux",
        wheels=(WheelSummary(file=WHEELS["linux"]), WheelSummary(file=ADDITIONAL, additional=True)),
    )
    judgement = verdict.judge(
        run(
            systems=(linux,),
            planned=cells,
            cells=tuple(result(c, wheel=file) for c, file in zip(cells, served, strict=True)),
        )
    )
    expected = Verdict.UNVERIFIED if unverified else Verdict.VERIFIED
    assert verdicts(judgement)["linux-install"] is expected


def test_a_machine_that_no_declared_wheel_fits_needs_none() -> None:
    linux = SystemSummary(
        system="linux",
        wheels=(WheelSummary(file=WHEELS["linux"]), WheelSummary(file=ADDITIONAL, additional=True)),
    )
    other = LINUX.model_copy(update={"fits_declared": False})
    judgement = verdict.judge(
        run(systems=(linux,), planned=(other,), cells=(result(other, wheel=ADDITIONAL),))
    )
    assert judgement.verdict is Verdict.VERIFIED


def test_a_release_without_a_declared_wheel_needs_none() -> None:
    linux = SystemSummary(system="linux", wheels=(WheelSummary(file=ADDITIONAL, additional=True),))
    cells = (result(LINUX, wheel=ADDITIONAL),)
    judgement = verdict.judge(run(systems=(linux,), planned=(LINUX,), cells=cells))
    assert judgement.verdict is Verdict.VERIFIED


# ---- contradictions between the inspection and the machines ----

MISSING = cause("missing-runtime-library", where="libx.so")


def test_a_working_cell_and_a_broken_inspection_disagree() -> None:
    systems = (
        system("linux", wheels=(WheelSummary(file=WHEELS["linux"], causes=(MISSING,)),)),
        system("windows"),
    )
    assert "layers-disagree" in names(verdict.judge(run(systems=systems)), "linux-install")


def test_a_cell_that_is_not_comparable_does_not_disagree() -> None:
    systems = (
        system("linux", wheels=(WheelSummary(file=WHEELS["linux"], causes=(MISSING,)),)),
        system("windows"),
    )
    planned = (LINUX.model_copy(update={"comparable": False}), WINDOWS)
    judgement = verdict.judge(run(systems=systems, planned=planned))
    assert names(judgement, "linux-install") == ["missing-runtime-library"]


def test_a_cell_is_compared_with_the_wheel_that_it_downloaded() -> None:
    wheels = (
        WheelSummary(file=WHEELS["linux"]),
        WheelSummary(file=ADDITIONAL, additional=True, causes=(MISSING,)),
    )
    systems = (system("linux", wheels=wheels), system("windows"))
    assert names(verdict.judge(run(systems=systems)), "linux-install") == [
        "missing-runtime-library"
    ]
    cells = (result(LINUX, wheel=ADDITIONAL), result(WINDOWS))
    judgement = verdict.judge(run(systems=systems, cells=cells))
    assert "layers-disagree" in names(judgement, "linux-install")


def test_a_cell_without_a_known_wheel_is_compared_with_the_only_wheel() -> None:
    systems = (
        system("linux", wheels=(WheelSummary(file=WHEELS["linux"], causes=(MISSING,)),)),
        system("windows"),
    )
    cells = (result(LINUX, wheel=""), result(WINDOWS))
    judgement = verdict.judge(run(systems=systems, cells=cells))
    assert "layers-disagree" in names(judgement, "linux-install")


MUSL = "x-1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
ABSENT = cause("missing-bundled-library").model_copy(update={"facts": {"library": "libx.so"}})
CANNOT_LOAD = result(LINUX, Outcome.FAILS, cause("missing-bundled-library"), wheel=ADDITIONAL)


@pytest.mark.parametrize(
    ("cell", "disagrees"),
    [
        (result(LINUX), False),
        (CANNOT_LOAD, False),
        (result(LINUX, wheel=""), False),  # the downloaded wheel is not known
        (result(LINUX, wheel=MUSL), False),
        (result(LINUX, Outcome.FAILS, ABSENT), True),
        (result(LINUX, wheel=ADDITIONAL), True),
    ],
)
def test_with_two_wheels_a_cell_is_compared_only_with_its_wheel(
    cell: CellResult, *, disagrees: bool
) -> None:
    broken = cause("missing-bundled-library", where="libx.so")
    wheels = (
        WheelSummary(file=WHEELS["linux"], libraries=frozenset({"libx.so"})),
        WheelSummary(file=ADDITIONAL, additional=True, causes=(broken,)),
    )
    systems = (system("linux", wheels=wheels), system("windows"))
    judgement = verdict.judge(run(systems=systems, cells=(cell, result(WINDOWS))))
    assert ("layers-disagree" in names(judgement, "linux-install")) is disagrees


NOT_FOUND = result(LINUX, Outcome.FAILS, cause("symbol-not-found"), wheel="")


def test_a_failure_that_contradicts_the_inspection_makes_the_item_unverified() -> None:
    wheel = WheelSummary(file=WHEELS["linux"], libraries=frozenset({"libx.so"}))
    systems = (system("linux", wheels=(wheel,)), system("windows"))
    cell = result(LINUX, Outcome.FAILS, ABSENT)
    judgement = verdict.judge(run(systems=systems, cells=(cell, result(WINDOWS))))
    assert judgement.verdict is Verdict.UNVERIFIED
    assert names(judgement, "linux-install") == ["layers-disagree", "missing-bundled-library"]
    assert judgement.cells[0].verdict is Verdict.FAILED
    no_libraries = system("linux", wheels=(WheelSummary(file=WHEELS["linux"]),))
    judgement = verdict.judge(
        run(systems=(no_libraries, system("windows")), cells=(cell, result(WINDOWS)))
    )
    assert judgement.verdict is Verdict.FAILED


def test_a_static_cause_that_a_machine_disproves_does_not_count() -> None:
    dependency = MISSING.model_copy(update={"facts": {"library": "liby.so"}})
    wheel = WheelSummary(file=WHEELS["linux"], causes=(dependency,))
    systems = (system("linux", wheels=(wheel,)), system("windows"))
    test = FailedTest(node="t", item="linux-install")
    for mapped, expected in (
        (("/site/x/libx.so", "/site/x/liby.so"), Verdict.VERIFIED),
        (("/site/x/libx.so",), Verdict.UNVERIFIED),
        ((), Verdict.UNVERIFIED),
    ):
        cell = result(LINUX).model_copy(update={"mapped": mapped})
        judgement = verdict.judge(
            run(systems=systems, cells=(cell, result(WINDOWS)), failed_tests=(test,))
        )
        assert judgement.verdict is expected
        assert names(judgement, "linux-install") == ["layers-disagree", "missing-runtime-library"]


def test_a_cell_with_another_wheel_is_not_compared_with_the_only_wheel() -> None:
    cells = (NOT_FOUND.model_copy(update={"wheel": ADDITIONAL}), result(WINDOWS))
    judgement = verdict.judge(run(cells=cells))
    assert names(judgement, "linux-install") == ["symbol-not-found"]


def test_a_cause_of_the_set_of_wheels_explains_a_failing_cell() -> None:
    systems = (system("linux", cause("incomplete-release")), system("windows"))
    judgement = verdict.judge(run(systems=systems, cells=(NOT_FOUND, result(WINDOWS))))
    assert names(judgement, "linux-install") == ["incomplete-release", "symbol-not-found"]


# ---- refused uploads and failed tests ----


def test_a_refused_upload_that_no_cell_reports_is_a_cause_of_each_install() -> None:
    judgement = verdict.judge(run(upload_refused=cause("upload-refused", where="publisher")))
    for item in ("linux-install", "windows-install"):
        assert names(judgement, item) == ["upload-refused"]
    assert names(judgement, "source-build") == []


def test_a_refused_upload_that_a_cell_reports_is_not_reported_twice() -> None:
    refused = cause("upload-refused", where="publisher")
    reported = cause("upload-refused", where=LINUX.id)
    cells = (result(LINUX, Outcome.FAILS, reported), result(WINDOWS))
    judgement = verdict.judge(run(cells=cells, upload_refused=refused))
    assert verdicts(judgement)["windows-install"] is Verdict.VERIFIED
    assert names(judgement, "linux-install") == ["upload-refused"]


def test_the_causes_of_an_item_explain_its_failed_test() -> None:
    failed = (FailedTest(node="t", item="linux-install"),)
    cells = (result(LINUX, Outcome.FAILS, BROKEN), result(WINDOWS))
    judgement = verdict.judge(run(cells=cells, failed_tests=failed))
    assert names(judgement, "linux-install") == ["crash"]
    assert verdicts(judgement)["windows-install"] is Verdict.VERIFIED


def test_a_failed_test_without_a_cause_is_unclassified() -> None:
    systems = (system("linux", FLAWED), system("windows"))
    failed = (FailedTest(node="t.py::test_x", item="linux-install"),)
    judgement = verdict.judge(run(systems=systems, failed_tests=failed))
    assert names(judgement, "linux-install") == ["unclassified", "symbol-interposition"]
    assert verdicts(judgement) == ALL_VERIFIED | {"linux-install": Verdict.FAILED}
    (first, _) = next(item.causes for item in judgement.items if item.id == "linux-install")
    assert (first.where, first.severity) == ("t.py::test_x", Severity.BROKEN)


def test_another_item_does_not_explain_a_failed_test() -> None:
    failed = (FailedTest(node="t", item="linux-install"),)
    cells = (result(LINUX), result(WINDOWS, Outcome.FAILS, BROKEN))
    judgement = verdict.judge(run(cells=cells, failed_tests=failed))
    assert names(judgement, "linux-install") == ["unclassified"]
    assert names(judgement, "windows-install") == ["crash"]


@pytest.mark.parametrize(
    ("outcome", "cause_of_cell"), [(Outcome.FAILS, BROKEN), (Outcome.TESTBED, TESTBED)]
)
def test_any_failing_item_explains_a_failed_test_without_an_item(
    outcome: Outcome, cause_of_cell: Cause
) -> None:
    cells = (result(LINUX), result(WINDOWS, outcome, cause_of_cell))
    judgement = verdict.judge(run(cells=cells, failed_tests=(FailedTest(node="t"),)))
    assert names(judgement, "linux-install") == []
    assert names(judgement, "windows-install") == [cause_of_cell.name]


def test_a_cell_that_did_not_run_does_not_explain_a_failed_test_without_an_item() -> None:
    judgement = verdict.judge(run(cells=(result(LINUX),), failed_tests=(FailedTest(node="t"),)))
    assert names(judgement, "linux-install") == ["unclassified"]
    assert verdicts(judgement)["windows-install"] is Verdict.UNVERIFIED


def test_a_failed_test_of_a_system_without_a_selected_cell_counts() -> None:
    failed = (FailedTest(node="t", item="windows-install"),)
    judgement = verdict.judge(run(planned=(LINUX,), cells=(result(LINUX),), failed_tests=failed))
    assert verdicts(judgement)["windows-install"] is Verdict.FAILED
    assert judgement.not_selected == ()


def test_an_error_in_the_code_of_a_test_is_a_testbed_defect() -> None:
    failed = (FailedTest(node="t.py::test_x", item="pipeline", error=True),)
    judgement = verdict.judge(run(failed_tests=failed))
    assert verdicts(judgement) == ALL_VERIFIED | {"pipeline": Verdict.TESTBED}
    ((defect,),) = (item.causes for item in judgement.items if item.causes)
    assert (defect.name, defect.where) == ("testbed-defect", "t.py::test_x")
    assert defect.severity is Severity.TESTBED


def test_a_cause_of_all_wheels_that_a_system_has_is_not_repeated() -> None:
    shared = cause("wheels-differ")
    systems = (system("linux", shared), system("windows"))
    judgement = verdict.judge(run(systems=systems, release_causes=(shared,)))
    assert verdicts(judgement)["windows-install"] is Verdict.VERIFIED
