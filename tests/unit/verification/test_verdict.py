from __future__ import annotations

import itertools

import pytest

from verification.models.cause import Cause, Severity
from verification.models.errors import ExitCode
from verification.verdict import EXIT_CODES, CellResult, Verdict, fails, item, judge, worst

V, F, U, T = Verdict.VERIFIED, Verdict.FAILED, Verdict.UNVERIFIED, Verdict.TESTBED


def _cause(severity: str, name: str = "some-fault") -> Cause:
    return Cause(
        name=name,
        severity=Severity(severity),
        where="here",
        message="seen; expected",
        remedy="Mend it.",
    )


def _cell(verdict: Verdict, *causes: Cause, reason: str = "") -> CellResult:
    return CellResult("debian-pip-venv", "debian", "pip", "venv", verdict, causes, 1.0, reason)


@pytest.mark.parametrize(
    ("severity", "fails_always", "fails_strictly"),
    [
        ("broken", True, True),
        ("flawed", False, True),
        ("note", False, False),
        ("testbed", False, False),
    ],
)
def test_broken_fails_flawed_fails_under_strict_and_notes_never(
    severity: str, fails_always: bool, fails_strictly: bool
) -> None:
    assert fails(_cause(severity), strict=False) is fails_always
    assert fails(_cause(severity), strict=True) is fails_strictly


@pytest.mark.parametrize(
    ("severities", "verdict", "strict_verdict"),
    [
        ((), V, V),
        (("note",), V, V),
        (("flawed",), V, F),
        (("broken",), F, F),
        (("testbed",), T, T),
        (("testbed", "flawed"), T, F),
        (("testbed", "broken"), F, F),
        (("note", "testbed"), T, T),
    ],
)
def test_causes_make_a_verdict(
    severities: tuple[str, ...], verdict: Verdict, strict_verdict: Verdict
) -> None:
    causes = [_cause(severity) for severity in severities]
    assert judge(causes, strict=False) is verdict
    assert judge(iter(causes), strict=True) is strict_verdict


def test_a_whole_is_as_bad_as_its_worst_part() -> None:
    order = (F, T, U, V)
    for count in (1, 2, 3, 4):
        for parts in itertools.permutations(order, count):
            assert worst(parts) is min(parts, key=order.index)


def test_a_whole_without_parts_is_unverified() -> None:
    assert worst([]) is U


def test_each_verdict_has_its_own_exit_code() -> None:
    assert EXIT_CODES == {
        V: ExitCode.VERIFIED,
        F: ExitCode.PACKAGE_FAILED,
        T: ExitCode.TESTBED_FAILED,
        U: ExitCode.UNVERIFIED,
    }
    assert [int(EXIT_CODES[verdict]) for verdict in (V, F, T, U)] == [0, 1, 3, 5]


def test_an_item_has_its_own_causes_and_those_of_its_cells_and_no_notes() -> None:
    own, cells = _cause("flawed", "own"), _cause("broken", "of-a-cell")
    made = item(
        "linux-install",
        "it installs",
        causes=[own, _cause("note")],
        cells=[_cell(F, cells, _cause("note")), _cell(F, cells)],
        strict=False,
    )
    assert (made.id, made.title, made.verdict) == ("linux-install", "it installs", F)
    assert made.causes == (cells, own)


@pytest.mark.parametrize(("strict", "verdict"), [(False, V), (True, F)])
def test_an_items_own_flaw_fails_it_under_strict_only(strict: bool, verdict: Verdict) -> None:
    made = item("a", "a", causes=[_cause("flawed")], cells=[_cell(V)], strict=strict)
    assert made.verdict is verdict


def test_an_item_with_a_cell_that_did_not_run_is_unverified_and_says_why_once() -> None:
    cells = [_cell(U, reason="no image"), _cell(U, reason="no image"), _cell(V)]
    made = item("a", "a", causes=[], cells=[*cells, _cell(U, reason="no time")], strict=False)
    assert made.verdict is U
    assert made.reason == "no image; no time"
