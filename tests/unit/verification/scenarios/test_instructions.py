from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from verification.scenarios import cells, installers, machines, scenarios
from verification.scenarios.instructions import (
    OwnTestsLocation,
    ProbeInstructions,
    instructions,
    own_tests_instructions,
    root_commands,
)
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
WINDOWS = machines.load()["windows-wine"]
SUBJECT = load()
PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


def _instructions(installer: str, scenario: str) -> ProbeInstructions:
    cell = cells.cell(DEBIAN, SUBJECT, installer, scenario)
    return instructions(cell, SUBJECT, version="0.5.0", previous="0.4.0")


def test_the_ordinary_scenario_uses_the_literal_command() -> None:
    plan = _instructions("pip", "venv")
    assert plan.install == ("pip", "install", "quiverdb")
    assert plan.deviation == ""


def test_only_a_command_that_is_not_the_literal_one_has_a_deviation() -> None:
    for name in scenarios.load()["linux"]:
        plan = _instructions("pip", name)
        assert bool(plan.deviation) == (plan.install != ("pip", "install", "quiverdb")), name


def test_versions_are_filled_in() -> None:
    plan = _instructions("uv", "upgrade")
    assert plan.first[0] == ("uv", "pip", "install", "quiverdb==0.4.0")
    assert plan.install == ("uv", "pip", "install", "--upgrade", "quiverdb")
    assert _instructions("pip", "pinned").install == ("pip", "install", "quiverdb==0.5.0")


def test_all_placeholders_are_filled_in() -> None:
    for name in scenarios.load()["linux"]:
        for installer in installers.load():
            cell = cells.cell(DEBIAN, SUBJECT, installer, name)
            text = _instructions(installer, name).to_json().decode()
            assert PLACEHOLDER.findall(f"{text} {root_commands(cell, SUBJECT)}") == [], cell.id


def test_another_version_of_pip_is_installed_before_the_first_snapshot() -> None:
    assert _instructions("pip", "venv").setup == ()
    assert "pip==24.1" in str(_instructions("pip-oldest", "venv").setup)


def test_a_scenario_has_paths_variables_and_options_of_windows_there() -> None:
    plan = instructions(cells.cell(WINDOWS, SUBJECT, "uv", "decoy"), SUBJECT)
    assert plan.cwd == "C:\\users\\user\\project"
    assert "LD_LIBRARY_PATH" in _instructions("pip", "decoy").env
    assert set(plan.env) == {"PATH", "SSL_CERT_FILE"}
    assert plan.install == ("uv", "pip", "install", "--system", "quiverdb")


def test_a_managed_environment_uses_the_commands_of_its_installer() -> None:
    run = _instructions("uv-run", "managed")
    assert run.install == ("uv", "run", "--with", "quiverdb", "python", "-c", "pass")
    assert run.python == ("uv", "run", "--quiet", "--with", "quiverdb", "python")
    assert run.uninstall == ("uv", "cache", "clean")
    tool = _instructions("uv-tool", "managed")
    assert tool.install[-3:] == ("pip", "--with", "quiverdb")
    assert tool.uninstall == ("uv", "tool", "uninstall", "pip")


def test_the_own_tests_use_only_folders_of_the_users_project() -> None:
    for cell in (
        cells.cell(DEBIAN, SUBJECT, "pip", "own-tests"),
        cells.cell(WINDOWS, SUBJECT, "uv", "own-tests"),
    ):
        location = OwnTestsLocation(PurePosixPath("a/b"), PurePosixPath("c/d"))
        own_tests = own_tests_instructions(cell, location)
        separator = cell.machine.layout.separator
        project = cell.scenario.cwd + separator
        assert own_tests.root.startswith(project)
        assert own_tests.folder == separator.join((own_tests.root, "a", "b"))
        assert own_tests.tests == separator.join((own_tests.folder, "c", "d"))
        assert own_tests.command[-1] == "c/d"
        assert own_tests.scratch.startswith(project)
        assert own_tests.tool[-3:] == ("--target", f"{project}tools", "pytest")
        assert own_tests.command[1:3] == ("-m", "pytest")
        assert "tests" not in json.loads(_instructions("pip", "venv").to_json())


def test_another_package_is_imported_by_its_import_package() -> None:
    other = SUBJECT.model_copy(update={"name": "other-name", "import_package": "other"})
    plan = instructions(cells.cell(DEBIAN, SUBJECT, "pip", "venv"), other)

    assert plan.install[-1] == "other-name"
    assert (plan.subject, plan.package) == ("other-name", "other")
    assert json.loads(plan.to_json())["import_statement"] == "import other"


def test_the_older_dependency_has_the_version_of_its_lock() -> None:
    (lock,) = SUBJECT.older_dependencies
    (command,) = _instructions("pip", "old-cffi").first
    assert command == ("pip", "install", "cffi==1.17.1")
    assert command[-1] in lock.read_text("utf-8").splitlines()[0]


def test_the_decoys_have_the_names_of_the_packages_libraries() -> None:
    names = ("libquiver.so", "lib other.so")
    commands = root_commands(cells.cell(DEBIAN, SUBJECT, "pip", "decoy"), SUBJECT, names)
    assert any("for name in libquiver.so 'lib other.so'; do" in word for word in commands[-1])
