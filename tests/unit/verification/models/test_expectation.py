from __future__ import annotations

import pydantic
import pytest

from tests.helpers.sample_expectation import EXPECTATION, refuses, under
from verification.models.expectation import Conditions, Expectation
from verification.models.verdict import ExpectationKind


@pytest.mark.parametrize(("package", "module"), [("", "quiverdb"), ("quiver", "quiver")])
def test_the_module_is_the_package_or_the_project(package: str, module: str) -> None:
    assert EXPECTATION.model_copy(update={"package": package}).module == module


def test_a_release_must_work_unless_the_expectation_says_otherwise() -> None:
    assert EXPECTATION.kind is ExpectationKind.WORKS
    assert EXPECTATION.conditions == Conditions()


def test_a_condition_that_is_not_named_demands_nothing() -> None:
    ordinary = Conditions()
    assert (ordinary.offline, ordinary.own_tests) == (False, False)
    assert (ordinary.keeps_dependencies, ordinary.keeps_in_cache) == (False, False)
    assert (ordinary.uses, ordinary.cause) == ((), "")


@pytest.mark.parametrize(
    "expectation", [EXPECTATION, refuses(), under(Conditions(uses=("a",), offline=True))]
)
def test_an_expectation_survives_json(expectation: Expectation) -> None:
    assert Expectation.model_validate_json(expectation.model_dump_json()) == expectation


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other": 1}, ("other",)),
        ({"kind": "maybe"}, ("kind",)),
        ({"conditions": {"other": 1}}, ("conditions", "other")),
    ],
)
def test_an_expectation_that_does_not_fit_is_refused(
    values: dict[str, object], field: tuple[str, ...]
) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        Expectation.model_validate({**dict(EXPECTATION), **values})
    assert [error["loc"] for error in refused.value.errors()] == [field]
