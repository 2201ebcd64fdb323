from __future__ import annotations

import re
from pathlib import Path

import pytest

from verification.models.action import ActionDefinition, ActionInput, ActionVersions
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
    ("values", "value"),
    [
        ({}, "x"),
        ({"TO-DO": "a"}, "a"),
        ({"to_do": "a"}, "a"),
        ({"to_do": "a", "To-Do": "b"}, "b"),
        ({"to_do": "a", "to-do": ""}, "a"),
        ({"to-do": " "}, "x"),
        ({"to_do": " "}, ""),
    ],
)
def test_an_input_is_read_by_its_aliases_in_any_case(values: dict[str, str], value: str) -> None:
    inputs = DEFINITION.read(values)
    assert inputs.get("to-do") == value
    assert inputs.is_set("to-do") is bool(values)
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


RULES = """
a = { default = "x" }
late = { since = ["4.1.0"] }
ported = { default = "off", since = ["4.4.0", "5.1.0"] }
gone = { since = ["5.1.0"], until = "6.0.0" }
changed = { default = "true", earlier = { before = "5.0.0", default = "false" } }
"""


@pytest.mark.parametrize(
    ("version", "names", "changed"),
    [
        ("v4.0.0", {"a", "changed"}, "false"),
        ("v4.1.0", {"a", "changed", "late"}, "false"),
        ("v4.4.2", {"a", "changed", "late", "ported"}, "false"),
        ("v5.0.9", {"a", "changed", "late"}, "true"),
        ("v5.1.0", {"a", "changed", "late", "ported", "gone"}, "true"),
        ("v6.0.0", {"a", "changed", "late", "ported"}, "true"),
        ("", {"a", "changed", "late", "ported"}, "true"),
    ],
)
def test_a_version_has_its_own_inputs_and_defaults(
    tmp_path: Path, version: str, names: set[str], changed: str
) -> None:
    definition = ActionDefinition.load(action_folder(tmp_path, "inputs: {}", RULES), version)
    assert set(definition.inputs) == names
    assert set(definition.absent) == {"late", "ported", "gone"} - names
    assert definition.inputs["changed"].default == changed
    assert definition.absent.get("ported", "off") == "off"


def test_a_real_action_has_the_inputs_of_its_action_yml(tmp_path: Path) -> None:
    definition = ActionDefinition.load(action_folder(tmp_path, "inputs: {Some: {default: 1}}"))
    assert definition.read({"some": "2", "other": ""}).unknown == {"other": ""}


@pytest.mark.parametrize(
    ("action", "rules", "data"),
    [
        ("inputs: {lost: }", "", r"inputs\.toml: lost .*action\.yml$"),
        ("inputs: {a: {default: x}}", "a = {}", r"inputs\.toml: a .*action\.yml$"),
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


TABLE = """
action = "a/b"
majors = [4, 5]
branches = { "release/v5" = 5 }
"""
TAGS = [f"{tag} {commit * 40}" for tag, commit in (("v4", "c"), ("v4.1.0", "a"), ("v4.2.0", "c"))]


@pytest.fixture
def versions(tmp_path: Path) -> ActionVersions:
    (tmp_path / "stand-in.toml").write_text(TABLE, "utf-8")
    lines = [*TAGS, f"v5.0.0 {'d' * 40}"]
    (tmp_path / "versions.txt").write_text("\n".join(lines), "utf-8")
    return ActionVersions.load(tmp_path)


@pytest.mark.parametrize(
    ("ref", "comment", "found"),
    [
        ("v4", "", ("v4", "v4.2.0", True)),
        ("v4.1", "", ("v4.1", "v4.1.0", False)),
        ("v4.0.5", "", ("v4.0.5", "v4.1.0", False)),
        ("v4.1.7", "", ("v4.1.7", "v4.1.0", False)),
        ("v5.3.0", "", ("v5.3.0", "v5.0.0", False)),
        ("release/v5", "", ("release/v5", "v5.0.0", True)),
        ("a" * 40, "v5", ("v4.1.0", "v4.1.0", True)),
        ("c" * 40, "", ("v4.2.0", "v4.2.0", True)),
        ("e" * 40, "v4.1.0, renewed", None),
        ("e" * 40, "v4.1.0 (renewed)", ("v4.1.0", "v4.1.0", False)),
        ("e" * 40, "", None),
        ("e" * 40, "v6", None),
        ("v6", "", None),
        ("main", "", None),
    ],
)
def test_a_ref_names_the_nearest_known_version(
    versions: ActionVersions, ref: str, comment: str, found: tuple[str, str, bool] | None
) -> None:
    version = versions.find(ref, comment)
    assert (version and (version.named, version.version, version.confirmed)) == found


def test_a_line_without_a_commit_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "stand-in.toml").write_text(TABLE, "utf-8")
    (tmp_path / "versions.txt").write_text("v4\n", "utf-8")
    with pytest.raises(DataError, match=r"versions\.txt"):
        ActionVersions.load(tmp_path)
