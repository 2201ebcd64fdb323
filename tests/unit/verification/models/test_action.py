from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.action import ActionDefinition, ActionInput
from verification.models.base import DataError

INPUTS = {
    "to-do": ActionInput(default="x", aliases=("to_do",)),
    "loud": ActionInput(default="true", switch="unless-false"),
    "strict": ActionInput(switch="exact"),
    "deep": ActionInput(default="false", switch="yaml"),
    "any": ActionInput(default="true", switch="any-case"),
}
DEFINITION = ActionDefinition(inputs=INPUTS)


def written(folder: Path, action: str, rules: str | None = None) -> Path:
    (folder / "action.yml").write_text(action, "utf-8")
    if rules is not None:
        (folder / "inputs.toml").write_text(rules, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({}, "x"),
        ({"TO-DO": "a"}, "a"),
        ({"to_do": "a"}, "a"),
        ({"to_do": "a", "To-Do": "b"}, "b"),
        ({"to_do": "a", "to-do": ""}, "a"),
        ({"to-do": " "}, ""),
    ],
)
def test_an_input_has_aliases_and_any_case(given: dict[str, str], value: str) -> None:
    inputs = DEFINITION.read(given)
    assert inputs.get("to-do") == value
    assert inputs.is_given("to-do") is bool(given)
    assert not inputs.unknown


def test_an_unknown_input_has_the_most_similar_one() -> None:
    unknown = DEFINITION.read({"To.do": "a", "zzz": "b", "LOUD": "c"}).unknown
    assert dict(unknown) == {"To.do": "to_do", "zzz": ""}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("loud", "no", "true"),
        ("loud", "FALSE", "false"),
        ("strict", "True", "false"),
        ("strict", "true", "true"),
        ("deep", "TRUE", "true"),
        ("deep", "yes", "yes"),
        ("any", "tRue", "true"),
        ("any", "1", "false"),
        ("any", "${{ false }}", "false"),
        ("any", "${{ 'true' }}", "true"),
        ("any", "${{ inputs.any }}", "${{ inputs.any }}"),
        ("unknown", "True", "true"),
    ],
)
def test_each_action_reads_yes_and_no_in_its_way(name: str, text: str, value: str) -> None:
    assert DEFINITION.read({name: text}).switch(name) == value


def test_a_definition_has_the_defaults_of_action_yml(tmp_path: Path) -> None:
    action = "inputs: {A-b: , a_b: {default: c}, d: {default: true}}"
    rules = 'a-b = { aliases = ["a_b"] }\nd = { switch = "yaml" }\n'
    inputs = ActionDefinition.load(written(tmp_path, action, rules)).inputs
    assert {name: one.default for name, one in inputs.items()} == {"a-b": "c", "d": "true"}


def test_a_real_action_has_the_inputs_of_its_action_yml(tmp_path: Path) -> None:
    definition = ActionDefinition.load(written(tmp_path, "inputs: {Some: {default: 1}}"))
    assert definition.read({"some": "2", "other": ""}).unknown == {"other": ""}


@pytest.mark.parametrize(
    ("action", "rules", "fault"),
    [
        ("inputs: {a: }", "", "other inputs: a"),
        ("inputs: {}", "a = {}", "other inputs: a"),
        ("inputs: {a: }", "a = { kind = 1 }", "unknown key"),
        ("inputs: [", None, "cannot be read"),
        ("[1]", None, "cannot be read"),
    ],
)
def test_a_definition_that_cannot_be_used_is_refused(
    tmp_path: Path, action: str, rules: str | None, fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        ActionDefinition.load(written(tmp_path, action, rules))


def test_a_folder_without_an_action_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no action\.yml"):
        ActionDefinition.load(tmp_path)
