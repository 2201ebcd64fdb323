from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause

FILE = "quiverdb-1.0.0.dist-info/entry_points.txt"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[console_scripts]\nquiver = quiverdb._loader:load\n",
        "[console_scripts]\nQuiver = quiverdb:load\nquiver=quiverdb : load\n",
        "[gui_scripts]\nq = quiverdb:A.b\n; a comment\n# another\n[x.y]\nany name: 1 = quiverdb\n",
        "[console_scripts]\nq = quiverdb.gone:main [cli]\nr = cffi:main\n",
        "[x]\n%(a)s = quiverdb._loader\n[y]\n",
        "[x]\na = quiverdb.gone [cli]\nb = quiverdb_more.gone\n",
    ],
)
def test_what_installers_take_and_can_be_loaded_is_no_fault(tmp_path: Path, text: str) -> None:
    assert inspect(linux_wheel(tmp_path, {FILE: text})).causes == ()


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("[console_scripts\nquiver quiverdb\n", "cannot be read"),
        ("quiver = quiverdb:load\n", "cannot be read"),
        ("[console_scripts]\nq = quiverdb:load\nq = quiverdb:load\n", "already exists"),
        ("[x]\na = quiverdb\n[x]\nb = quiverdb\n", "already exists"),
        ("[console_scripts]\nquiver\n", "cannot be read"),
        ("[console_scripts]\nquiver = quiverdb\n", "names no function"),
        ("[gui_scripts]\nquiver = quiverdb:\n", "names no function"),
        ("[gui_scripts]\nquiver = quiverdb: load it\n", "names no function"),
    ],
)
def test_what_an_installer_refuses_is_broken(tmp_path: Path, text: str, observed: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {FILE: text}))
    assert (cause.name, cause.severity) == ("entry-point-broken", "broken")
    assert cause.where == "entry_points.txt"
    assert observed in cause.message


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("[console_scripts]\nq = quiverdb.cli:main\n", "quiverdb.cli is not in the wheel"),
        ("[x]\na = quiverdb-more\n", "names nothing that can be imported"),
        ("[x]\nA = quiverdb.cli\n", "has A = quiverdb.cli in x, and quiverdb.cli is not in"),
    ],
)
def test_what_is_installed_and_cannot_be_loaded_is_flawed(
    tmp_path: Path, text: str, observed: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {FILE: text}))
    assert (cause.name, cause.severity) == ("entry-point-broken", "flawed")
    assert observed in cause.message
