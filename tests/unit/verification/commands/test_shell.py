"""The text that the shell in a clean machine prints first."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL
from tests.helpers.sample_testbed import prepared_run, release
from tests.helpers.sample_wheels import SUBJECT
from verification.commands import shell
from verification.models.release import Release
from verification.scenarios import cells
from verification.scenarios.instructions import instructions
from verification.session.run_cell import CellRequest

LINUX = sample_machine("debian-13")
WINE = sample_machine("windows-wine", system="windows", scenarios=("system",))


def banner(
    installer: str, scenario: str, *, wine: bool = False, files: Release | None = None
) -> str:
    machine = WINE if wine else LINUX
    cell = cells.cell(machine, SUBJECT, installer, scenario)
    ready = prepared_run(files, machine.name)
    probe_plan = instructions(
        cell, SUBJECT, version=ready.release.version, previous=ready.release.previous
    )
    return "\n".join(shell.banner(CellRequest(ready, SUBJECT, cell), probe_plan))


def lines(text: str, label: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(label)]


def test_banner_names_the_machine_the_scenario_and_the_index() -> None:
    files = release().with_dependencies(Path("cffi-2.0.0-py3-none-any.whl"))
    text = banner("pip", "venv", files=files)
    assert [line.partition(" ")[0] for line in text.splitlines()] == [
        *("machine", "image", "scenario", "index", "", "commands", "leave"),
    ]
    assert "debian-13" in lines(text, "machine")[0]
    assert "quiverdb-e2e/debian-13:0123456789ab sha256:debian-13" in text
    (index,) = lines(text, "index")
    assert all(word in index for word in ("quiverdb 0.5.0", LINUX_WHEEL, WINDOWS_WHEEL))
    assert "cffi 2.0.0" in text
    assert lines(text, "commands") == ["commands  pip install quiverdb"]


def test_banner_names_the_earlier_release_on_the_index() -> None:
    earlier = (Path("quiverdb-0.4.0-py3-none-any.whl"),)
    text = banner("pip", "venv", files=release().model_copy(update={"earlier": earlier}))
    assert "0.4.0" in lines(text, "index")[0]
    assert "0.4.0" not in banner("pip", "venv")


def test_banner_has_all_commands_of_the_scenario() -> None:
    earlier = (Path("quiverdb-0.4.0-py3-none-any.whl"),)
    files = release().model_copy(update={"earlier": earlier})
    text = banner("pip", "upgrade", files=files).splitlines()
    first = next(number for number, line in enumerate(text) if line.startswith("commands"))
    commands = [line[10:] for line in text[first:] if not line.startswith(("leave", "deviation"))]
    assert len(commands) > 1
    assert "quiverdb==0.4.0" in commands[0]
    assert any("--upgrade" in line for line in commands)


def test_banner_has_the_deviation_from_the_literal_command() -> None:
    assert lines(banner("pip", "venv"), "deviation") == []
    text = banner("uv", "venv").splitlines()
    deviation = cells.cell(LINUX, SUBJECT, "uv", "venv").installer.deviation
    assert text[-2] == f"deviation {deviation}"
    assert text[-1].startswith("leave")


def test_commands_of_a_windows_machine_are_for_its_shell() -> None:
    text = banner("pip", "non-ascii-home", wine=True)
    assert "Ctrl-D" not in text
    assert "Ctrl-D" in banner("pip", "venv")
    (command,) = lines(text, "commands")
    assert "'" not in command
