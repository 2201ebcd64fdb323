from __future__ import annotations

import pydantic
import pytest

from tests.helpers.sample_expectation import EXPECTATION, refuses, with_conditions
from verification.models.expectation import Conditions, Expectation
from verification.models.verdict import ExpectationKind


@pytest.mark.parametrize(("package", "module"), [("", "quiverdb"), ("quiver", "quiver")])
def test_the_module_is_the_package_or_the_project(package: str, module: str) -> None:
    assert EXPECTATION.model_copy(update={"package": package}).module == module


def test_a_release_must_work_by_default() -> None:
    assert EXPECTATION.kind is ExpectationKind.WORKS
    assert EXPECTATION.conditions == Conditions()


def test_the_default_conditions_require_nothing() -> None:
    defaults = Conditions()
    assert (defaults.offline, defaults.own_tests) == (False, False)
    assert (defaults.keeps_dependencies, defaults.keeps_in_cache) == (False, False)
    assert (defaults.uses, defaults.cause) == ((), "")


@pytest.mark.parametrize(
    "expectation", [EXPECTATION, refuses(), with_conditions(Conditions(uses=("a",), offline=True))]
)
def test_an_expectation_is_unchanged_by_json(expectation: Expectation) -> None:
    assert Expectation.model_validate_json(expectation.model_dump_json()) == expectation


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other": 1}, ("other",)),
        ({"kind": "maybe"}, ("kind",)),
        ({"conditions": {"other": 1}}, ("conditions", "other")),
    ],
)
def test_an_invalid_expectation_is_refused(
    values: dict[str, object], field: tuple[str, ...]
) -> None:
    with pytest.raises(pydantic.ValidationError) as error:
        Expectation.model_validate({**dict(EXPECTATION), **values})
    assert [fault["loc"] for fault in error.value.errors()] == [field]
