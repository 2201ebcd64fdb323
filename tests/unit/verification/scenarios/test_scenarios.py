from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.base import DataError
from verification.models.machine import OperatingSystem
from verification.models.scenario import Scenario
from verification.rules.catalogue import catalogue
from verification.scenarios import installers, machines, scenarios
from verification.subjects.quiverdb import uses

ROOT = Path(__file__).parents[4]
EVERY = [one for known in scenarios.load().values() for one in known.values()]
LINUX, WINDOWS = scenarios.load()["linux"], scenarios.load()["windows"]
HEADS = """
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
    """Return the scenarios of a file by system and name; the file has the defaults above."""
    path = folder / "scenarios.toml"
    path.write_text(HEADS + text, "utf-8")
    return {
        f"{s}/{name}": one
        for s, known in scenarios.load(path).items()
        for name, one in known.items()
    }


# ---- the file ----


def test_the_home_is_filled_in_and_what_a_table_leaves_out_is_the_default(tmp_path: Path) -> None:
    found = _load(tmp_path, '[linux.a]\ntitle = "t"\nhome = "/x"\n[windows]\n')
    assert found["linux/a"].cwd == "/x/project"
    assert found["linux/a"].environment == {"HOME": "/x", "VIRTUAL_ENV": "/x/venv"}
    assert found["linux/a"].installers == ("pip",)


def test_variables_are_added_and_an_empty_one_is_removed(tmp_path: Path) -> None:
    text = '[linux.a]\ntitle = "t"\nenvironment = { VIRTUAL_ENV = "", A = "b" }\n[windows]\n'
    assert _load(tmp_path, text)["linux/a"].environment == {"HOME": "/home/user", "A": "b"}


def test_on_windows_a_scenario_has_what_does_not_depend_on_the_system(tmp_path: Path) -> None:
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
    found = _load(tmp_path, text)["windows/a"]
    assert (found.title, found.requirement, found.actions) == ("t", ("x",), ())
    assert (found.python, found.environment, found.installers) == (("python",), {}, ("uv",))
    assert found.cwd == "C:\\Users\\project"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[linux.a]\n", r"scenarios\.toml: linux\.a: title: Field required"),
        ('[linux.a]\ntitle = "t"\nx = 1\n', r"linux\.a: x: unknown key; there are: actions, "),
        ('[linux.a]\ntitle = "t"\nfiles = ["x"]\n', r"linux\.a: files\.0: Input should be "),
        ('[macos.a]\ntitle = "t"\n', r"macos: unknown key; there are: defaults, linux, windows"),
    ],
)
def test_a_wrong_scenario_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        _load(tmp_path, text + "[windows]\n")
    assert "\n" not in str(raised.value)


# ---- the scenarios of the repository ----


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.system}-{one.name}")
def test_a_scenario_can_be_carried_out(one: Scenario) -> None:
    assert one.title
    assert one.cause in catalogue()
    assert set(one.installers) <= set(installers.load())
    known = machines.load().values()
    assert any(one.name in spec.scenarios for spec in known if spec.os == one.system), "unused"
    assert set(one.actions) <= set(dir(uses))


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_every_scenario_of_a_machine_is_for_its_system(system: OperatingSystem) -> None:
    for spec in (spec for spec in machines.load().values() if spec.os == system):
        assert set(spec.scenarios) <= set(scenarios.load()[system]), spec.name


def test_on_windows_no_command_is_one_of_linux() -> None:
    for one in WINDOWS.values():
        commands = [*one.setup, *one.before_install, one.requirement, one.python, one.uninstall]
        assert "/home/" not in str([commands, one.environment, one.cwd]), one.name
    assert WINDOWS["upgrade-in-use"].needs_previous is False


def test_on_a_clean_windows_no_earlier_release_needs_to_load() -> None:
    for name in machines.load()["windows-wine"].scenarios:
        assert "{previous}" not in str(WINDOWS[name].before_install), name


def test_every_scenario_and_installer_is_described() -> None:
    text = (ROOT / "docs" / "reference" / "scenarios.md").read_text("utf-8")
    names = (*LINUX, *WINDOWS, *installers.load())
    assert [name for name in names if f"`{name}`" not in text] == []


def test_only_what_the_exercise_shows_is_asked_of_another_package() -> None:
    own = {one.name for one in EVERY if one.package_specific and one.system == "linux"}

    assert {"upgrade", "fork", "zip", "decoy"} <= own
    assert not {"venv", "system", "pinned", "user", "offline", "isolated"} & own


@pytest.mark.parametrize("one", EVERY, ids=lambda one: f"{one.system}-{one.name}")
def test_what_uses_actions_of_the_package_is_specific_to_it(one: Scenario) -> None:
    assert one.package_specific or not (one.actions or one.before_install)


def test_the_scenarios_that_name_the_version_are_known() -> None:
    assert {one.name for one in EVERY if one.pinned} == {"pinned", "no-binary"}
