from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.helpers.sample_machines import sample_machine
from verification.models.errors import WrongUse
from verification.scenarios import cells, scenarios
from verification.session import suite as suites
from verification.session.suite import Suite


@pytest.mark.parametrize("told", ["and or", "debian and", "("])
def test_a_keyword_that_nobody_can_read_is_told_before_any_set_up(told: str) -> None:
    with pytest.raises(WrongUse, match=r"^-k .*: expected"):
        suites._check_keyword(told)


@pytest.mark.parametrize("told", ["", "[debian-13-uv-venv]", "debian-11 and not upgrade"])
def test_a_keyword_that_can_be_read_is_taken(told: str) -> None:
    suites._check_keyword(told)


# ---- what cannot run ----


def _missing(refuses: str, scenario: str, no_history: str) -> str:
    spec = sample_machine().model_copy(update={"refuses": refuses})
    suite = object.__new__(Suite)
    suite.prepared = cast(
        "Any",
        SimpleNamespace(
            unavailable={}, no_history=no_history, wheelhouse=SimpleNamespace(previous="0.1.0")
        ),
    )
    suite.selection = cast("Any", SimpleNamespace(subject="", history="all"))
    return suite.missing(cells.cell(spec, "pip", scenario))


@pytest.mark.parametrize(
    ("refuses", "scenario", "reason", "unverified"),
    [
        ("unsupported-python", "venv", "the index is away", True),
        ("unsupported-python", "pinned", "the index is away", False),
        ("unsupported-python", "venv", "", False),
        ("", "venv", "the index is away", False),
    ],
)
def test_a_refusal_without_the_earlier_releases_on_the_index_is_not_verified(
    refuses: str, scenario: str, reason: str, *, unverified: bool
) -> None:
    told = _missing(refuses, scenario, reason)
    assert bool(told) == unverified
    assert reason in told or not unverified


def test_the_scenarios_that_name_the_version_are_known() -> None:
    pinned = {
        name for known in scenarios.load().values() for name, one in known.items() if one.pinned
    }
    assert pinned == {"pinned", "no-binary"}
