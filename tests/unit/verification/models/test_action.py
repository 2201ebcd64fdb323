from __future__ import annotations

import re
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


def action_folder(folder: Path, action: str, rules: str | None = None) -> Path:
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
def test_an_input_is_read_by_its_aliases_in_any_case(given: dict[str, str], value: str) -> None:
    inputs = DEFINITION.read(given)
    assert inputs.get("to-do") == value
    assert inputs.is_set("to-do") is bool(given)
    assert not inputs.unknown


def test_an_unknown_input_comes_with_the_most_similar_known_input() -> None:
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
def test_each_kind_of_switch_reads_booleans_differently(name: str, text: str, value: str) -> None:
    assert DEFINITION.read({name: text}).switch(name) == value


def test_a_definition_has_the_defaults_of_action_yml(tmp_path: Path) -> None:
    action = "inputs: {A-b: , a_b: {default: c}, d: {default: true}}"
    rules = 'a-b = { aliases = ["a_b"] }\nd = { switch = "yaml" }\n'
    inputs = ActionDefinition.load(action_folder(tmp_path, action, rules)).inputs
    assert {name: rule.default for name, rule in inputs.items()} == {"a-b": "c", "d": "true"}


def test_a_real_action_has_the_inputs_of_its_action_yml(tmp_path: Path) -> None:
    definition = ActionDefinition.load(action_folder(tmp_path, "inputs: {Some: {default: 1}}"))
    assert definition.read({"some": "2", "other": ""}).unknown == {"other": ""}


@pytest.mark.parametrize(
    ("action", "rules", "data"),
    [
        ("inputs: {lost: }", "", r"inputs\.toml: .*action\.yml.*lost$"),
        ("inputs: {}", "lost = {}", r"inputs\.toml: .*action\.yml.*lost$"),
        ("inputs: {a: }", "a = { kind = 1 }", r"inputs\.toml: a: kind: "),
        ("inputs: [", None, r"action\.yml: "),
        ("[1]", None, r"action\.yml: "),
    ],
)
def test_an_unusable_definition_is_a_data_error(
    tmp_path: Path, action: str, rules: str | None, data: str
) -> None:
    with pytest.raises(DataError, match=data):
        ActionDefinition.load(action_folder(tmp_path, action, rules))


def test_a_folder_without_an_action_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(str(tmp_path))} .*action\.yml"):
        ActionDefinition.load(tmp_path)
