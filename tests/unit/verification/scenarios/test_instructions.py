from __future__ import annotations

import json
import re

import pytest

from verification.scenarios import cells, installers, machines, scenarios
from verification.scenarios.instructions import ProbeInstructions, instructions, root_commands
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
WINDOWS = machines.load()["windows-wine"]
SUBJECT = load()
PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


def _instructions(installer: str, scenario: str) -> ProbeInstructions:
    cell = cells.cell(DEBIAN, SUBJECT, installer, scenario)
    return instructions(cell, SUBJECT, version="0.5.0", previous="0.4.0")


def test_the_ordinary_way_is_the_literal_command() -> None:
    found = _instructions("pip", "venv")
    assert found.install == ("pip", "install", "quiverdb")
    assert found.deviation == ""


@pytest.mark.parametrize("name", sorted(scenarios.load()["linux"]))
def test_a_command_that_is_not_the_literal_one_says_in_what(name: str) -> None:
    found = _instructions("pip", name)
    assert bool(found.deviation) == (found.install != ("pip", "install", "quiverdb"))


def test_versions_are_filled_in() -> None:
    found = _instructions("uv", "upgrade")
    assert found.first[0] == ("uv", "pip", "install", "quiverdb==0.4.0")
    assert found.install == ("uv", "pip", "install", "--upgrade", "quiverdb")
    assert _instructions("pip", "pinned").install == ("pip", "install", "quiverdb==0.5.0")


@pytest.mark.parametrize("name", sorted(scenarios.load()["linux"]))
def test_no_placeholder_is_left(name: str) -> None:
    for installer in installers.load():
        cell = cells.cell(DEBIAN, SUBJECT, installer, name)
        text = _instructions(installer, name).to_json().decode()
        assert PLACEHOLDER.findall(f"{text} {root_commands(cell, SUBJECT)}") == []


def test_a_pip_of_another_age_is_had_before_the_first_look() -> None:
    assert _instructions("pip", "venv").setup == ()
    assert "pip==24.1" in str(_instructions("pip-oldest", "venv").setup)


def test_a_scenario_of_both_systems_is_otherwise_on_windows() -> None:
    found = instructions(cells.cell(WINDOWS, SUBJECT, "uv", "decoy"), SUBJECT)
    assert found.cwd == "C:\\users\\user\\project"
    assert "LD_LIBRARY_PATH" in _instructions("pip", "decoy").env
    assert set(found.env) == {"PATH", "SSL_CERT_FILE"}
    assert found.install == ("uv", "pip", "install", "--system", "quiverdb")


def test_an_environment_that_the_installer_manages_is_used_as_it_wants() -> None:
    run = _instructions("uv-run", "managed")
    assert run.install == ("uv", "run", "--with", "quiverdb", "python", "-c", "pass")
    assert run.python == ("uv", "run", "--quiet", "--with", "quiverdb", "python")
    assert run.uninstall == ("uv", "cache", "clean")
    tool = _instructions("uv-tool", "managed")
    assert tool.install[-3:] == ("pip", "--with", "quiverdb")
    assert tool.uninstall == ("uv", "tool", "uninstall", "pip")


def test_the_own_tests_run_away_from_the_package_and_from_what_is_looked_at() -> None:
    for cell in (
        cells.cell(DEBIAN, SUBJECT, "pip", "own-tests"),
        cells.cell(WINDOWS, SUBJECT, "uv", "own-tests"),
    ):
        found = instructions(cell, SUBJECT)
        own, project = found.tests, found.cwd + cell.machine.layout.separator
        assert own is not None
        assert own.folder.startswith(project)
        assert own.scratch.startswith(project)
        assert own.tool[-3:] == ("--target", f"{project}tools", "pytest")
        assert own.command[1:3] == ("-m", "pytest")
        assert "tests" not in json.loads(_instructions("pip", "venv").to_json())


def test_another_package_is_imported_by_its_own_name() -> None:
    other = SUBJECT.model_copy(update={"name": "other-name", "import_package": "other"})
    found = instructions(cells.cell(DEBIAN, SUBJECT, "pip", "venv"), other)

    assert found.install[-1] == "other-name"
    assert (found.subject, found.package) == ("other-name", "other")
    assert json.loads(found.to_json())["import_statement"] == "import other"


def test_the_older_dependency_is_the_one_on_the_index() -> None:
    (lock,) = SUBJECT.older_dependencies
    (command,) = _instructions("pip", "old-cffi").first
    assert command == ("pip", "install", "cffi==1.17.1")
    assert command[-1] in lock.read_text("utf-8").splitlines()[0]


def test_the_decoys_have_the_names_of_the_packages_libraries() -> None:
    commands = root_commands(cells.cell(DEBIAN, SUBJECT, "pip", "decoy"), SUBJECT)
    assert any("for name in libquiver.so libquiver_c.so; do" in word for word in commands[-1])
