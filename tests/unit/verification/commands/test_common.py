from __future__ import annotations

import pytest

from verification.commands import common
from verification.models.errors import WrongUse
from verification.scenarios import machines
from verification.subjects.subject import load

DEBIAN = machines.load()["debian-13"]
SUBJECT = load()


def test_an_installer_of_one_scenario_is_had_in_that_one() -> None:
    assert common.cell_on(DEBIAN, SUBJECT, "uv-tool", None).id == "debian-13-uv-tool-managed"
    assert common.cell_on(DEBIAN, SUBJECT, "pip-24.3", None).id == "debian-13-pip-24.3-venv"
    with pytest.raises(WrongUse, match="--installer uv-tool: it is for the scenario managed alone"):
        common.cell_on(DEBIAN, SUBJECT, "uv-tool", "venv")
    with pytest.raises(WrongUse, match="--installer uv-tool: windows-wine has none; it has: pip, "):
        common.cell_on(machines.load()["windows-wine"], SUBJECT, "uv-tool", None)


@pytest.mark.parametrize(
    ("installer", "scenario", "message"),
    [
        (None, "system", "--scenario system: there is none for linux; there are: venv, pinned"),
        ("magic", None, "--installer magic: there is none; there are: pip, pip-oldest"),
        ("uv", "fork", "--scenario fork: it is for pip alone"),
        ("pip-24.3", "user", "--scenario user: it uses the machine's own pip"),
    ],
)
def test_what_does_not_go_together_is_wrong_use(
    installer: str | None, scenario: str | None, message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        common.cell_on(DEBIAN, SUBJECT, installer, scenario)


def test_an_unknown_machine_is_answered_with_those_there_are() -> None:
    assert common.machine_of("debian-13") == DEBIAN
    with pytest.raises(WrongUse, match="debian-99: there is no such machine; there are: debian-13"):
        common.machine_of("debian-99")
