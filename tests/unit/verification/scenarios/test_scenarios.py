from __future__ import annotations

import re
from pathlib import Path

import pytest

from verification.models.base import DataError
from verification.models.machine import OperatingSystem
from verification.models.scenario import Scenario
from verification.rules.catalogue import catalogue
from verification.scenarios import installers, machines, scenarios
from verification.subjects.subject import load, offered_actions

ROOT = Path(__file__).parents[4]
SCENARIOS = [scenario for known in scenarios.load().values() for scenario in known.values()]
LINUX, WINDOWS = scenarios.load()["linux"], scenarios.load()["windows"]
DEFAULTS = """
[defaults.linux]
home = "/home/user"
cwd = "{home}/project"
environment = { HOME = "{home}", VIRTUAL_ENV = "{home}/venv" }
snapshot_roots = ["/"]
installers = ["pip"]

[defaults.windows]
home = 'C:\\Users'
cwd = '{home}\\project'
snapshot_roots = ['C:\\']
installers = ["uv"]
"""


def _load(folder: Path, text: str) -> dict[str, Scenario]:
    """Return the scenarios of a file with DEFAULTS and this text. A key is SYSTEM/NAME."""
    path = folder / "scenarios.toml"
    path.write_text(DEFAULTS + text, "utf-8")
    return {
        f"{system}/{name}": scenario
        for system, known in scenarios.load(path).items()
        for name, scenario in known.items()
    }


# ---- the file ----


def test_missing_keys_have_default_values_with_the_home_filled_in(tmp_path: Path) -> None:
    scenario = _load(tmp_path, '[linux.a]\ntitle = "t"\nhome = "/x"\n[windows]\n')["linux/a"]
    assert scenario.cwd == "/x/project"
    assert scenario.environment == {"HOME": "/x", "VIRTUAL_ENV": "/x/venv"}
    assert scenario.installers == ("pip",)


def test_variables_are_added_and_an_empty_one_is_removed(tmp_path: Path) -> None:
    text = '[linux.a]\ntitle = "t"\nenvironment = { VIRTUAL_ENV = "", A = "b" }\n[windows]\n'
    assert _load(tmp_path, text)["linux/a"].environment == {"HOME": "/home/user", "A": "b"}


def test_a_scenario_on_windows_inherits_only_keys_that_fit_both_systems(tmp_path: Path) -> None:
    text = """
[linux.a]
title = "t"
requirement = ["x"]
actions = ["b"]
python = ["python3"]
environment = { A = "b" }

[windows.a]
actions = []
"""
    scenario = _load(tmp_path, text)["windows/a"]
    assert (scenario.title, scenario.requirement, scenario.actions) == ("t", ("x",), ())
    assert (scenario.python, scenario.environment) == (("python",), {})
    assert scenario.installers == ("uv",)
    assert scenario.cwd == "C:\\Users\\project"


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("[linux.a]\n", r"linux\.a: title: "),
        ('[linux.a]\ntitle = "t"\nx = 1\n', r"linux\.a: x: .*actions, "),
        ('[linux.a]\ntitle = "t"\nfiles = ["x"]\n', r"linux\.a: files\.0: "),
        ('[macos.a]\ntitle = "t"\n', "macos: .*defaults, linux, windows"),
    ],
)
def test_a_wrong_value_is_reported_with_its_location(
    tmp_path: Path, text: str, location: str
) -> None:
    with pytest.raises(DataError, match=rf"^scenarios\.toml: {location}") as raised:
        _load(tmp_path, text + "[windows]\n")
    assert "\n" not in str(raised.value)


# ---- the scenarios of the repository ----


def test_scenarios_have_known_causes_installers_machines_and_actions() -> None:
    for scenario in SCENARIOS:
        name = f"{scenario.system}/{scenario.name}"
        assert scenario.title, name
        assert scenario.cause in catalogue(), name
        assert set(scenario.installers) <= set(installers.load()), name
        known = [spec for spec in machines.load().values() if spec.os == scenario.system]
        assert any(scenario.name in spec.scenarios for spec in known), name
        actions = {*scenario.actions, *scenario.additional_actions}
        assert actions <= offered_actions(load()), name


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_machines_name_only_scenarios_of_their_system(system: OperatingSystem) -> None:
    for spec in (spec for spec in machines.load().values() if spec.os == system):
        assert set(spec.scenarios) <= set(scenarios.load()[system]), spec.name


def test_scenarios_on_windows_have_no_paths_of_linux() -> None:
    for scenario in WINDOWS.values():
        commands = [
            *(*scenario.setup, *scenario.before_install),
            *(scenario.requirement, scenario.python, scenario.uninstall),
        ]
        values = str([commands, scenario.environment, scenario.cwd])
        assert "/home/" not in values, scenario.name
    assert WINDOWS["upgrade-in-use"].needs_previous is False


def test_a_clean_windows_installs_no_earlier_release() -> None:
    for name in machines.load()["windows-wine"].scenarios:
        assert "{previous}" not in str(WINDOWS[name].before_install), name


def test_all_scenarios_and_installers_are_documented() -> None:
    text = (ROOT / "docs" / "reference" / "scenarios.md").read_text("utf-8")
    names = (*LINUX, *WINDOWS, *installers.load())
    assert [name for name in names if f"`{name}`" not in text] == []


def test_only_these_scenarios_need_a_package_with_own_actions_or_libraries() -> None:
    other = load().model_copy(update={"actions": None, "older_dependencies": ()})
    general = offered_actions(other)
    own = {item.name for item in SCENARIOS if not set(item.actions) <= general}
    assert own == {"other-sqlite", "preloaded-sqlite"}
    assert {item.name for item in SCENARIOS if item.needs_older_dependency} == {"old-cffi"}
    assert {item.name for item in SCENARIOS if item.needs_libraries} == {"decoy"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: f"{item.system}-{item.name}")
def test_commands_call_only_actions_of_every_package(scenario: Scenario) -> None:
    calls = re.findall(r"\{actions\}; (\w+)\(\)", str(scenario.before_install))
    assert len(calls) == str(scenario.before_install).count("{actions}")
    assert offered_actions(load().model_copy(update={"actions": None})).issuperset(calls)


def test_only_these_scenarios_name_the_version() -> None:
    assert {item.name for item in SCENARIOS if item.pinned} == {"pinned", "no-binary"}
