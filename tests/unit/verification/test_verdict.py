"""Each condition that can prevent the verdict *verified* prevents it, and nothing else does."""

from __future__ import annotations

import itertools

import pytest

from tests.helpers.sample_expectation import shown
from verification import verdict
from verification.models.cause import Cause, Severity
from verification.models.results import CellResult, Coverage, PlatformResult
from verification.models.run import (
    FailedTest,
    PipelineFacts,
    PlannedCell,
    RunResult,
    RunVerdict,
    SystemFacts,
    WheelFacts,
)
from verification.models.verdict import EXIT_CODES, ExpectationKind, Outcome, Verdict

WORKS, REFUSES = ExpectationKind.WORKS, ExpectationKind.REFUSES
WHEELS = {
    "linux": "x-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
    "windows": "x-1.0-cp313-cp313-win_amd64.whl",
}
BETTER = "x-1.0-cp313-cp313-manylinux_2_31_x86_64.whl"


def cause(
    name: str = "crash",
    severity: Severity = Severity.BROKEN,
    where: str = "here",
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
        verdict=verdict.of_cell(outcome, causes, strict=strict),
        causes=causes,
        seconds=1.0,
        wheel=WHEELS[planned.system] if wheel is None else wheel,
    )


LINUX, WINDOWS = plan("debian-pip-venv"), plan("windows-pip-system", "windows")
GOOD_PIPELINE = PipelineFacts(identity_exchanged=True)


def run(**changes: object) -> RunResult:
    """Return a run of which everything is verified, with changes."""
    values: dict[str, object] = {
        "subject": "quiverdb",
        "from_source": True,
        "systems": (system("linux"), system("windows")),
        "planned": (LINUX, WINDOWS),
        "cells": (result(LINUX), result(WINDOWS)),
        "pipeline": GOOD_PIPELINE,
    }
    return RunResult.model_validate(values | changes)


def system(name: str, *causes: Cause, **changes: object) -> SystemFacts:
    values: dict[str, object] = {
        "system": name,
        "wheels": (WheelFacts(file=WHEELS[name]),),
        "causes": causes,
    }
    return SystemFacts.model_validate(values | changes)


def verdicts(judged: RunVerdict) -> dict[str, Verdict]:
    return {item.id: item.verdict for item in judged.items}


def names(judged: RunVerdict, item: str) -> list[str]:
    return [c.name for part in judged.items if part.id == item for c in part.causes]


ALL_VERIFIED = dict.fromkeys(
    ("pipeline", "publisher", "source-build", "linux-install", "windows-install"), Verdict.VERIFIED
)


def test_a_run_of_which_everything_works_is_verified() -> None:
    judged = verdict.judge(run())
    assert judged.verdict is Verdict.VERIFIED
    assert verdicts(judged) == ALL_VERIFIED
    assert [cell.id for cell in judged.cells] == [LINUX.id, WINDOWS.id]
    assert judged.not_selected == ()
    assert {item.reason for item in judged.items} == {""}
    assert {item.id: item.title for item in judged.items} == {
        "pipeline": "A pushed version tag builds, validates, releases and publishes",
        "publisher": "The registered trusted publisher fits the workflow",
        "source-build": "bindings/python builds into wheels",
        "linux-install": "pip install quiverdb works on a clean Linux machine",
        "windows-install": "pip install quiverdb works on a clean Windows machine",
    }


def test_an_item_is_there_for_what_the_run_is_asked_alone() -> None:
    judged = verdict.judge(run(pipeline=None, from_source=False, systems=(system("linux"),)))
    assert list(verdicts(judged)) == ["linux-install"]


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
def test_broken_fails_flawed_fails_under_strict_and_notes_never(
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
def test_the_verdict_of_causes(causes: tuple[Cause, ...], strict: bool, expected: Verdict) -> None:
    assert verdict.of_causes(iter(causes), strict=strict) is expected


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
def test_the_verdict_of_an_outcome(outcome: Outcome, lenient: Verdict, strict: Verdict) -> None:
    assert verdict.of_cell(outcome, (), strict=False) is lenient
    assert verdict.of_cell(outcome, (), strict=True) is strict


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
    assert verdict.of_cell(Outcome.REFUSED, causes, strict=False) is lenient
    assert verdict.of_cell(Outcome.REFUSED, causes, strict=True) is strict


def test_every_outcome_has_a_verdict_and_every_verdict_an_exit_code() -> None:
    assert {verdict.of_cell(outcome, (), strict=False) for outcome in Outcome} == set(Verdict)
    assert [int(EXIT_CODES[one]) for one in Verdict] == [0, 1, 5, 3]


def test_failed_outranks_testbed_failure_which_outranks_unverified() -> None:
    order = (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED, Verdict.VERIFIED)
    for count in (1, 2, 3, 4):
        for parts in itertools.permutations(order, count):
            assert verdict.worst(parts) is min(parts, key=order.index)


def test_a_whole_without_parts_is_unverified() -> None:
    assert verdict.worst([]) is Verdict.UNVERIFIED


# ---- what keeps a run from being verified, one by one ----


@pytest.mark.parametrize(
    ("changes", "items", "whole"),
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
            {"prepared": False},
            {"source-build": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="the wheels were not built",
        ),
        pytest.param(
            {"pipeline": PipelineFacts(not_run="no runner")},
            {"pipeline": Verdict.UNVERIFIED, "publisher": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="the workflow did not run",
        ),
        pytest.param(
            {"pipeline": PipelineFacts(causes=(BROKEN,), identity_exchanged=True)},
            {"pipeline": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of the workflow",
        ),
        pytest.param(
            {"pipeline": PipelineFacts(publisher_causes=(BROKEN,), identity_exchanged=True)},
            {"publisher": Verdict.FAILED},
            Verdict.FAILED,
            id="a cause of the publisher",
        ),
        pytest.param(
            {"pipeline": PipelineFacts(identity_exchanged=False)},
            {"pipeline": Verdict.UNVERIFIED, "publisher": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="no identity was exchanged",
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
                    system("windows", wheels=(WheelFacts(file="w.whl", causes=(BROKEN,)),)),
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
            id="a cause that the wheels of all systems show together",
        ),
        pytest.param(
            {
                "systems": (
                    system("linux", wheels=(WheelFacts(file=WHEELS["linux"], unread=("a.so",)),)),
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
            {"cells": (result(LINUX, wheel=BETTER), result(WINDOWS))},
            {"linux-install": Verdict.UNVERIFIED},
            Verdict.UNVERIFIED,
            id="no machine was served the declared wheel",
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
            id="a test of an item failed and no cause explains it",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t"),)},
            dict.fromkeys(ALL_VERIFIED, Verdict.FAILED),
            Verdict.FAILED,
            id="a test of no item failed and no cause explains it",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", item="pipeline", error=True),)},
            {"pipeline": Verdict.TESTBED},
            Verdict.TESTBED,
            id="a test's own code failed",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", error=True),)},
            dict.fromkeys(ALL_VERIFIED, Verdict.TESTBED),
            Verdict.TESTBED,
            id="the own code of a test of no item failed",
        ),
        pytest.param(
            {"failed_tests": (FailedTest(node="t", item="macos-install"),)},
            dict.fromkeys(ALL_VERIFIED, Verdict.FAILED),
            Verdict.FAILED,
            id="a test of an item that the run does not have failed",
        ),
        pytest.param({"interrupted": True}, {}, Verdict.UNVERIFIED, id="the run was interrupted"),
    ],
)
def test_what_keeps_a_run_from_being_verified(
    changes: dict[str, object], items: dict[str, Verdict], whole: Verdict
) -> None:
    judged = verdict.judge(run(**changes))
    assert judged.verdict is whole
    assert verdicts(judged) == ALL_VERIFIED | items
    silent = [item for item in judged.items if item.verdict is not Verdict.VERIFIED]
    assert all(item.causes or item.reason for item in silent), "a verdict has its cause or reason"


def test_the_table_of_rules_is_covered() -> None:
    rules = {find.__name__ for find, _ in verdict.RULES}
    assert len(rules) == len(verdict.RULES) == 18


# ---- what an item covers ----


def test_a_system_without_a_selected_cell_has_no_verdict() -> None:
    judged = verdict.judge(run(planned=(LINUX,), cells=(result(LINUX),)))
    assert "windows-install" not in verdicts(judged)
    assert judged.not_selected == ("windows-install",)
    assert judged.verdict is Verdict.VERIFIED


def test_a_broken_wheel_of_a_system_without_a_selected_cell_is_shown_and_does_not_count() -> None:
    facts = (system("linux"), system("windows", BROKEN))
    platforms = (platform(Coverage.MACHINES), platform(Coverage.MACHINES, BROKEN, tag="win_amd64"))
    changes = {"planned": (LINUX,), "cells": (result(LINUX),), "systems": facts}
    judged = verdict.judge(run(**changes, platforms=platforms))
    assert judged.verdict is Verdict.VERIFIED
    assert judged.not_selected == ("windows-install",)
    assert [(one.coverage, one.causes) for one in judged.platforms] == [
        (Coverage.MACHINES, ()),
        (Coverage.NOT_SELECTED, (BROKEN,)),
    ]


# ---- the platforms that no machine runs ----


def platform(
    coverage: Coverage, *causes: Cause, tag: str = "manylinux_2_28_x86_64", **changes: object
) -> PlatformResult:
    values = {"tag": tag, "coverage": coverage, "wheels": ("x.whl",), "causes": causes}
    return PlatformResult.model_validate(values | changes)


ARM = "manylinux_2_28_aarch64"


@pytest.mark.parametrize(
    ("facts", "expected"),
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
def test_a_platform_without_a_machine_has_an_item_where_it_is_not_sound(
    facts: PlatformResult, expected: Verdict
) -> None:
    judged = verdict.judge(run(platforms=(facts,)))
    assert judged.verdict is expected
    found = verdicts(judged).get(f"wheel-{ARM}", Verdict.VERIFIED)
    assert found is expected
    assert judged.platforms == (facts,)


def test_a_flawed_wheel_without_a_machine_fails_a_strict_run() -> None:
    facts = platform(Coverage.INSPECTED_ONLY, FLAWED, tag=ARM)
    assert verdict.judge(run(platforms=(facts,), strict=True)).verdict is Verdict.FAILED


def test_a_failed_test_of_the_wheels_without_a_machine_is_explained_by_their_item() -> None:
    facts = platform(Coverage.INSPECTED_ONLY, BROKEN, tag=ARM)
    judged = verdict.judge(run(platforms=(facts,), failed_tests=(FailedTest(node="t"),)))
    assert verdicts(judged) == ALL_VERIFIED | {f"wheel-{ARM}": Verdict.FAILED}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "it did not run"),
        ({"interrupted": True}, "the run was interrupted before it"),
        ({"setup_failure": TESTBED, "prepared": False}, "not run: machine-lost"),
        (
            {"setup_failure": TESTBED, "prepared": False, "interrupted": True},
            "not run: machine-lost",
        ),
    ],
)
def test_a_cell_that_did_not_run_says_why(changes: dict[str, object], reason: str) -> None:
    planned = (plan("debian-12-pip-venv", kind=REFUSES), WINDOWS)
    judged = verdict.judge(run(planned=planned, cells=(result(WINDOWS),), **changes))
    assert judged.cells == (
        CellResult(
            id="debian-12-pip-venv",
            machine="machine-of-debian-12-pip-venv",
            installer="pip",
            scenario="venv",
            expectation=REFUSES,
            outcome=Outcome.UNVERIFIED,
            verdict=Verdict.UNVERIFIED,
            causes=(),
            seconds=0.0,
            reason=reason,
        ),
        result(WINDOWS),
    )


def test_the_cells_come_in_the_order_of_the_plan_and_others_do_not_count() -> None:
    other = result(plan("debian-12-pip-venv"), Outcome.FAILS, BROKEN)
    judged = verdict.judge(run(cells=(result(WINDOWS), other, result(LINUX))))
    assert [cell.id for cell in judged.cells] == [LINUX.id, WINDOWS.id]
    assert judged.verdict is Verdict.VERIFIED


UNREAD = WheelFacts(file=WHEELS["linux"], unread=("a.so: no section", "b.so: no section"))
OTHER = WheelFacts(file="x-1.0-cp313-cp313-manylinux_2_17_x86_64.whl")


@pytest.mark.parametrize(
    ("changes", "item", "reason"),
    [
        ({"prepared": False}, "source-build", "the wheels were not built"),
        ({"pipeline": PipelineFacts(not_run="no runner")}, "pipeline", "no runner"),
        ({"pipeline": PipelineFacts(not_run="no runner")}, "publisher", "no runner"),
        (
            {"pipeline": PipelineFacts()},
            "publisher",
            "the workflow did not get to the exchange of its identity",
        ),
        (
            {"systems": (system("linux", wheels=(UNREAD,)),)},
            "linux-install",
            "a.so: no section; b.so: no section",
        ),
        (
            {"systems": (system("linux", not_fetched=("a.whl: 503", "a.whl: 503")),)},
            "linux-install",
            "a.whl: 503",
        ),
        (
            {
                "systems": (
                    system("linux", wheels=(WheelFacts(file=WHEELS["linux"]), OTHER)),
                    system("windows"),
                ),
                "cells": (result(LINUX, wheel=BETTER), result(WINDOWS)),
            },
            "linux-install",
            f"no machine was served the declared wheel: {OTHER.file}, {WHEELS['linux']}",
        ),
        (
            {"cells": (result(LINUX, Outcome.REFUSED), result(WINDOWS))},
            "linux-install",
            "no machine executed a wheel of the release",
        ),
        (
            {"cells": (), "systems": (system("linux", not_fetched=("a.whl: 503",)),)},
            "linux-install",
            f"a.whl: 503; {LINUX.id}: it did not run",
        ),
    ],
)
def test_what_was_not_verified_is_the_reason_of_its_item(
    changes: dict[str, object], item: str, reason: str
) -> None:
    judged = verdict.judge(run(**changes))
    (found,) = [one for one in judged.items if one.id == item]
    assert (found.verdict, found.reason) == (Verdict.UNVERIFIED, reason)


def test_a_workflow_that_did_not_run_has_one_reason() -> None:
    judged = verdict.judge(run(pipeline=PipelineFacts(not_run="no runner")))
    assert {item.reason for item in judged.items} == {"", "no runner"}


def test_the_reason_of_an_unverified_cell_is_in_its_item() -> None:
    cell = verdict.not_run(LINUX, "no such image")
    judged = verdict.judge(run(cells=(cell, result(WINDOWS))))
    (item,) = [item for item in judged.items if item.id == "linux-install"]
    assert item.reason == f"{LINUX.id}: no such image"


def test_what_was_not_verified_is_a_reason_where_something_fails_as_well() -> None:
    facts = (system("linux", BROKEN, not_fetched=("a.whl: 503",)), system("windows"))
    (item, _) = verdict.judge(run(systems=facts, pipeline=None, from_source=False)).items
    assert (item.verdict, item.reason) == (Verdict.FAILED, "a.whl: 503")


def test_notes_are_not_among_the_causes_of_an_item() -> None:
    judged = verdict.judge(run(cells=(result(LINUX, Outcome.WORKS, NOTE), result(WINDOWS))))
    assert names(judged, "linux-install") == []


def test_the_causes_of_an_item_come_once_and_the_heaviest_first() -> None:
    cells = (result(LINUX, Outcome.FAILS, FLAWED, BROKEN), result(WINDOWS))
    facts = (system("linux", FLAWED, BROKEN), system("windows"))
    judged = verdict.judge(run(cells=cells, systems=facts))
    assert names(judged, "linux-install") == ["crash", "symbol-interposition"]


@pytest.mark.parametrize("strict", [False, True])
def test_a_flaw_fails_under_strict_alone(strict: bool) -> None:
    cells = (result(LINUX, Outcome.WORKS_FLAWED, FLAWED, strict=strict), result(WINDOWS))
    judged = verdict.judge(run(cells=cells, strict=strict))
    expected = Verdict.FAILED if strict else Verdict.VERIFIED
    assert verdicts(judged)["linux-install"] is expected
    facts = (system("linux", FLAWED), system("windows"))
    assert verdicts(verdict.judge(run(systems=facts, strict=strict)))["linux-install"] is expected


# ---- the release's own wheel ----


REFUSING = plan("debian-12-pip-venv", kind=REFUSES)


def test_a_refusal_next_to_a_cell_that_works_is_verified() -> None:
    cells = (result(LINUX), result(WINDOWS), result(REFUSING, Outcome.REFUSED, wheel=""))
    judged = verdict.judge(run(planned=(LINUX, WINDOWS, REFUSING), cells=cells))
    assert judged.verdict is Verdict.VERIFIED


def test_refusals_alone_do_not_show_that_a_release_works() -> None:
    cells = (result(REFUSING, Outcome.REFUSED, wheel=""), result(WINDOWS))
    judged = verdict.judge(run(planned=(REFUSING, WINDOWS), cells=cells))
    assert verdicts(judged)["linux-install"] is Verdict.UNVERIFIED


def test_a_flawed_cell_executed_the_wheel() -> None:
    cells = (result(LINUX, Outcome.WORKS_FLAWED, FLAWED), result(WINDOWS))
    assert verdict.judge(run(cells=cells)).verdict is Verdict.VERIFIED


def test_the_reason_that_no_wheel_was_executed_is_given_where_nothing_else_is_wrong() -> None:
    cells = (result(LINUX, Outcome.FAILS, BROKEN), result(WINDOWS))
    (item,) = [i for i in verdict.judge(run(cells=cells)).items if i.id == "linux-install"]
    assert item.reason == ""


@pytest.mark.parametrize(
    ("served", "kind", "unverified"),
    [
        ((WHEELS["linux"],), WORKS, False),
        ((BETTER,), WORKS, True),
        ((BETTER, WHEELS["linux"]), WORKS, False),
        (("",), WORKS, False),  # it is not known which
        ((BETTER, ""), WORKS, True),
        ((BETTER, ""), REFUSES, False),  # where it must be refused nothing is asked of it
    ],
)
def test_a_declared_wheel_that_no_machine_was_served_is_unverified(
    served: tuple[str, ...], kind: ExpectationKind, unverified: bool
) -> None:
    cells = tuple(plan(f"c{number}", kind=kind) for number in range(len(served)))
    facts = SystemFacts(
        system="linux",
        wheels=(WheelFacts(file=WHEELS["linux"]), WheelFacts(file=BETTER, additional=True)),
    )
    judged = verdict.judge(
        run(
            systems=(facts,),
            planned=cells,
            cells=tuple(result(c, wheel=file) for c, file in zip(cells, served, strict=True)),
        )
    )
    found = verdicts(judged)["linux-install"]
    assert found is (Verdict.UNVERIFIED if unverified else Verdict.VERIFIED)


def test_a_release_without_a_declared_wheel_is_not_asked_for_one() -> None:
    facts = SystemFacts(system="linux", wheels=(WheelFacts(file=BETTER, additional=True),))
    cells = (result(LINUX, wheel=BETTER),)
    judged = verdict.judge(run(systems=(facts,), planned=(LINUX,), cells=cells))
    assert judged.verdict is Verdict.VERIFIED


# ---- the static inspection against the machines ----

MISSING = cause("missing-runtime-library", where="libx.so")


def test_a_cell_that_works_against_the_inspection_is_a_disagreement() -> None:
    facts = (
        system("linux", wheels=(WheelFacts(file=WHEELS["linux"], causes=(MISSING,)),)),
        system("windows"),
    )
    assert "layers-disagree" in names(verdict.judge(run(systems=facts)), "linux-install")


def test_a_cell_that_is_not_comparable_disagrees_with_nothing() -> None:
    facts = (
        system("linux", wheels=(WheelFacts(file=WHEELS["linux"], causes=(MISSING,)),)),
        system("windows"),
    )
    planned = (LINUX.model_copy(update={"comparable": False}), WINDOWS)
    judged = verdict.judge(run(systems=facts, planned=planned))
    assert names(judged, "linux-install") == ["missing-runtime-library"]


def test_a_cell_is_compared_with_the_wheel_that_it_was_served() -> None:
    wheels = (
        WheelFacts(file=WHEELS["linux"]),
        WheelFacts(file=BETTER, additional=True, causes=(MISSING,)),
    )
    facts = (system("linux", wheels=wheels), system("windows"))
    assert names(verdict.judge(run(systems=facts)), "linux-install") == ["missing-runtime-library"]
    cells = (result(LINUX, wheel=BETTER), result(WINDOWS))
    judged = verdict.judge(run(systems=facts, cells=cells))
    assert "layers-disagree" in names(judged, "linux-install")


def test_a_cell_that_knows_no_wheel_is_compared_where_there_is_one_alone() -> None:
    facts = (
        system("linux", wheels=(WheelFacts(file=WHEELS["linux"], causes=(MISSING,)),)),
        system("windows"),
    )
    cells = (result(LINUX, wheel=""), result(WINDOWS))
    judged = verdict.judge(run(systems=facts, cells=cells))
    assert "layers-disagree" in names(judged, "linux-install")


MUSL = "x-1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
ABSENT = cause("missing-bundled-library").model_copy(update={"facts": {"library": "libx.so"}})
CANNOT_LOAD = result(LINUX, Outcome.FAILS, cause("missing-bundled-library"), wheel=BETTER)


@pytest.mark.parametrize(
    ("cell", "disagrees"),
    [
        (result(LINUX), False),
        (CANNOT_LOAD, False),
        (result(LINUX, wheel=""), False),  # it is not known which
        (result(LINUX, wheel=MUSL), False),
        (result(LINUX, Outcome.FAILS, ABSENT), True),
        (result(LINUX, wheel=BETTER), True),
    ],
)
def test_of_two_wheels_a_cell_is_compared_with_the_one_that_it_was_served(
    cell: CellResult, *, disagrees: bool
) -> None:
    broken = cause("missing-bundled-library", where="libx.so")
    wheels = (
        WheelFacts(file=WHEELS["linux"], libraries=frozenset({"libx.so"})),
        WheelFacts(file=BETTER, additional=True, causes=(broken,)),
    )
    facts = (system("linux", wheels=wheels), system("windows"))
    judged = verdict.judge(run(systems=facts, cells=(cell, result(WINDOWS))))
    assert ("layers-disagree" in names(judged, "linux-install")) is disagrees


NOT_FOUND = result(LINUX, Outcome.FAILS, cause("symbol-not-found"), wheel="")


def test_a_failure_that_contradicts_the_inspection_leaves_the_item_unverified() -> None:
    wheel = WheelFacts(file=WHEELS["linux"], libraries=frozenset({"libx.so"}))
    facts = (system("linux", wheels=(wheel,)), system("windows"))
    cell = result(LINUX, Outcome.FAILS, ABSENT)
    judged = verdict.judge(run(systems=facts, cells=(cell, result(WINDOWS))))
    assert judged.verdict is Verdict.UNVERIFIED
    assert names(judged, "linux-install") == ["layers-disagree", "missing-bundled-library"]
    assert judged.cells[0].verdict is Verdict.FAILED
    silent = system("linux", wheels=(WheelFacts(file=WHEELS["linux"]),))
    judged = verdict.judge(run(systems=(silent, system("windows")), cells=(cell, result(WINDOWS))))
    assert judged.verdict is Verdict.FAILED


def test_an_inspection_that_a_machine_disproves_does_not_count() -> None:
    dependency = MISSING.model_copy(update={"facts": {"library": "liby.so"}})
    wheel = WheelFacts(file=WHEELS["linux"], causes=(dependency,))
    facts = (system("linux", wheels=(wheel,)), system("windows"))
    test = FailedTest(node="t", item="linux-install")
    for mapped, expected in (
        (("/site/x/libx.so", "/site/x/liby.so"), Verdict.VERIFIED),
        (("/site/x/libx.so",), Verdict.UNVERIFIED),
        ((), Verdict.UNVERIFIED),
    ):
        cell = result(LINUX).model_copy(update={"mapped": mapped})
        judged = verdict.judge(
            run(systems=facts, cells=(cell, result(WINDOWS)), failed_tests=(test,))
        )
        assert judged.verdict is expected
        assert names(judged, "linux-install") == ["layers-disagree", "missing-runtime-library"]


def test_a_cell_that_was_served_another_wheel_is_not_compared_with_the_only_one() -> None:
    cells = (NOT_FOUND.model_copy(update={"wheel": BETTER}), result(WINDOWS))
    judged = verdict.judge(run(cells=cells))
    assert names(judged, "linux-install") == ["symbol-not-found"]


def test_what_the_inspection_reports_of_the_set_of_wheels_explains_a_cell() -> None:
    facts = (system("linux", cause("incomplete-release")), system("windows"))
    judged = verdict.judge(run(systems=facts, cells=(NOT_FOUND, result(WINDOWS))))
    assert names(judged, "linux-install") == ["incomplete-release", "symbol-not-found"]


# ---- refused uploads and failed tests ----


def test_a_refused_upload_is_a_cause_where_no_cell_reports_it() -> None:
    judged = verdict.judge(run(upload_refused=cause("upload-refused", where="publisher")))
    for item in ("linux-install", "windows-install"):
        assert names(judged, item) == ["upload-refused"]
    assert names(judged, "source-build") == []


def test_a_refused_upload_that_a_cell_reports_is_not_reported_twice() -> None:
    refused = cause("upload-refused", where="publisher")
    own = cause("upload-refused", where=LINUX.id)
    cells = (result(LINUX, Outcome.FAILS, own), result(WINDOWS))
    judged = verdict.judge(run(cells=cells, upload_refused=refused))
    assert verdicts(judged)["windows-install"] is Verdict.VERIFIED
    assert names(judged, "linux-install") == ["upload-refused"]


def test_a_failed_test_is_explained_by_its_item() -> None:
    failed = (FailedTest(node="t", item="linux-install"),)
    cells = (result(LINUX, Outcome.FAILS, BROKEN), result(WINDOWS))
    judged = verdict.judge(run(cells=cells, failed_tests=failed))
    assert names(judged, "linux-install") == ["crash"]
    assert verdicts(judged)["windows-install"] is Verdict.VERIFIED


def test_a_failed_test_without_a_cause_is_unclassified() -> None:
    facts = (system("linux", FLAWED), system("windows"))
    failed = (FailedTest(node="t.py::test_x", item="linux-install"),)
    judged = verdict.judge(run(systems=facts, failed_tests=failed))
    assert names(judged, "linux-install") == ["unclassified", "symbol-interposition"]
    assert verdicts(judged) == ALL_VERIFIED | {"linux-install": Verdict.FAILED}
    (first, _) = next(item.causes for item in judged.items if item.id == "linux-install")
    assert shown(first) == (
        "unclassified",
        "t.py::test_x",
        "the test failed, and no cause was found",
        {},
    )


def test_a_failed_test_is_not_explained_by_another_item() -> None:
    failed = (FailedTest(node="t", item="linux-install"),)
    cells = (result(LINUX), result(WINDOWS, Outcome.FAILS, BROKEN))
    judged = verdict.judge(run(cells=cells, failed_tests=failed))
    assert names(judged, "linux-install") == ["unclassified"]
    assert names(judged, "windows-install") == ["crash"]


@pytest.mark.parametrize(
    ("outcome", "cause_of_cell"), [(Outcome.FAILS, BROKEN), (Outcome.TESTBED, TESTBED)]
)
def test_a_failed_test_of_no_item_is_explained_by_whatever_fails(
    outcome: Outcome, cause_of_cell: Cause
) -> None:
    cells = (result(LINUX), result(WINDOWS, outcome, cause_of_cell))
    judged = verdict.judge(run(cells=cells, failed_tests=(FailedTest(node="t"),)))
    assert names(judged, "linux-install") == []
    assert names(judged, "windows-install") == [cause_of_cell.name]


def test_a_failed_test_of_no_item_is_not_explained_by_what_did_not_run() -> None:
    judged = verdict.judge(run(cells=(result(LINUX),), failed_tests=(FailedTest(node="t"),)))
    assert names(judged, "linux-install") == ["unclassified"]
    assert verdicts(judged)["windows-install"] is Verdict.UNVERIFIED


def test_a_failed_test_of_a_system_without_a_selected_cell_is_not_left_out() -> None:
    failed = (FailedTest(node="t", item="windows-install"),)
    judged = verdict.judge(run(planned=(LINUX,), cells=(result(LINUX),), failed_tests=failed))
    assert verdicts(judged)["windows-install"] is Verdict.FAILED
    assert judged.not_selected == ()


def test_a_test_whose_own_code_failed_is_a_defect_of_the_testbed() -> None:
    failed = (FailedTest(node="t.py::test_x", item="pipeline", error=True),)
    judged = verdict.judge(run(failed_tests=failed))
    assert verdicts(judged) == ALL_VERIFIED | {"pipeline": Verdict.TESTBED}
    ((found,),) = (item.causes for item in judged.items if item.causes)
    assert found.severity is Severity.TESTBED
    assert shown(found) == ("testbed-defect", "t.py::test_x", "the suite's own code failed", {})


def test_causes_of_all_systems_that_one_system_has_are_not_repeated() -> None:
    shared = cause("wheels-differ")
    facts = (system("linux", shared), system("windows"))
    judged = verdict.judge(run(systems=facts, release_causes=(shared,)))
    assert verdicts(judged)["windows-install"] is Verdict.VERIFIED
