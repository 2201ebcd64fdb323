from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_wheels import inspect, linux_wheel, only_cause, windows_wheel

DATA = "quiverdb-1.0.0.data"
ENTRY_POINTS = "quiverdb-1.0.0.dist-info/entry_points.txt"


@pytest.mark.parametrize(
    ("path", "interpreter"),
    [
        (f"{DATA}/scripts/quiver", "/opt/python/cp313-cp313/bin/python"),
        (f"{DATA}/scripts/quiver", "/usr/bin/python3"),
        (f"{DATA}/scripts/quiver", "/usr/local/bin/perl"),
        (f"{DATA}/data/bin/quiver", "/home/builder/venv/bin/python3.13"),
        ("quiverdb/bin/quiver", "/github/workspace/venv/bin/python"),
    ],
)
def test_interpreter_of_the_build_machine_is_reported(
    tmp_path: Path, path: str, interpreter: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: f"#!{interpreter} -E\nprint(1)\n"}))
    assert (cause.name, cause.severity, cause.where) == ("script-interpreter", "flawed", path)
    assert cause.facts == {"interpreter": interpreter}


@pytest.mark.parametrize(
    "start",
    [
        "#!/bin/sh\n'''exec' /opt/build/bin/python",
        "#!/bin/sh\n'''exec' \"/opt/build/bin/python\"",
        "#!/usr/bin/env /opt/build/bin/python",
        "#!/usr/bin/env -S /opt/build/bin/python -E",
        '#!"/opt/build/bin/python"',
    ],
)
def test_interpreter_behind_another_program_is_reported(tmp_path: Path, start: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, {f"{DATA}/scripts/quiver": f"{start}\n"}))
    assert cause.name == "script-interpreter"
    assert cause.facts == {"interpreter": "/opt/build/bin/python"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (f"{DATA}/scripts/quiver", "#!python"),
        (f"{DATA}/scripts/quiver", "#!pythonw"),
        (f"{DATA}/scripts/quiver", "#!/usr/bin/env python3"),
        (f"{DATA}/scripts/quiver", "#!/usr/bin/env -S python3 -E"),
        (f"{DATA}/scripts/quiver", "#!/bin/sh"),
        (f"{DATA}/scripts/quiver", "#!/bin/sh\nexec /opt/tool"),
        (f"{DATA}/scripts/quiver", "#! /usr/bin/perl -w"),
        (f"{DATA}/scripts/quiver", "print(1)"),
        ("quiverdb/bin/quiver", "#!/usr/bin/python3"),  # its users start it as they want
        ("quiverdb/tool.py", "#!/opt/python/bin/python"),
    ],
)
def test_script_for_every_machine_is_accepted(tmp_path: Path, path: str, line: str) -> None:
    assert inspect(linux_wheel(tmp_path, {path: f"{line}\n"})).causes == ()


def test_windows_does_not_read_the_interpreter(tmp_path: Path) -> None:
    files = {f"{DATA}/scripts/quiver": "#!/opt/python/bin/python\n"}
    assert inspect(windows_wheel(tmp_path, files)).causes == ()


@pytest.mark.parametrize(
    ("path", "text", "owner"),
    [
        (f"{DATA}/scripts/pip3", "#!python\n", "pip"),
        (f"{DATA}/data/bin/python", "#!/bin/sh\n", "python"),
        (ENTRY_POINTS, "[console_scripts]\npip3.13 = quiverdb._loader:load\n", "pip"),
    ],
)
def test_command_of_the_environment_is_reported_as_overwritten(
    tmp_path: Path, path: str, text: str, owner: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, {path: text}))
    assert (cause.name, cause.severity) == ("dependency-overwritten", "broken")
    assert cause.facts == {"distribution": owner}


def test_command_with_a_similar_name_is_accepted(tmp_path: Path) -> None:
    text = "[console_scripts]\npipx = quiverdb._loader:load\npython-q = quiverdb._loader:load\n"
    assert inspect(linux_wheel(tmp_path, {ENTRY_POINTS: text})).causes == ()
