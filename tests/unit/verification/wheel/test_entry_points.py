from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause

FILE = "quiverdb-1.0.0.dist-info/entry_points.txt"


def test_valid_entry_point_has_no_cause(tmp_path: Path) -> None:
    for text in (
        "",
        "[console_scripts]\nquiver = quiverdb._loader:load\n",
        "[console_scripts]\nQuiver = quiverdb:load\nquiver=quiverdb : load\n",
        "[gui_scripts]\nq = quiverdb:A.b\n; a comment\n# another\n[x.y]\nany name: 1 = quiverdb\n",
        "[console_scripts]\nq = quiverdb.gone:main [cli]\nr = cffi:main\n",
        "[x]\n%(a)s = quiverdb._loader\n[y]\n",
        "[x]\na = quiverdb.gone [cli]\nb = quiverdb_more.gone\n",
    ):
        assert inspect(linux_wheel(tmp_path, {FILE: text})).causes == (), text


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("[console_scripts\nquiver quiverdb\n", {}),
        ("quiver = quiverdb:load\n", {}),
        ("[console_scripts]\nq = quiverdb:load\nq = quiverdb:load\n", {}),
        ("[x]\na = quiverdb\n[x]\nb = quiverdb\n", {}),
        ("[console_scripts]\nquiver\n", {}),
        ("[console_scripts]\nquiver = quiverdb\n", {"entry": "quiver"}),
        ("[gui_scripts]\nquiver = quiverdb:\n", {"entry": "quiver"}),
        ("[gui_scripts]\nquiver = quiverdb: load it\n", {"entry": "quiver"}),
    ],
)
def test_entry_point_that_installers_refuse_is_broken(
    tmp_path: Path, text: str, facts: dict[str, str]
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {FILE: text}))
    assert (cause.name, cause.severity) == ("entry-point-broken", "broken")
    assert (cause.where, cause.facts) == ("entry_points.txt", facts)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "[console_scripts]\nq = quiverdb.cli:main\n",
            {"entry": "q", "module": "quiverdb.cli"},
        ),
        ("[x]\na = quiverdb-more\n", {"entry": "a"}),
        ("[x]\nA = quiverdb.cli\n", {"entry": "A", "module": "quiverdb.cli"}),
    ],
)
def test_entry_point_that_cannot_be_loaded_is_flawed(
    tmp_path: Path, text: str, facts: dict[str, str]
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {FILE: text}))
    assert (cause.name, cause.severity) == ("entry-point-broken", "flawed")
    assert cause.facts == facts
