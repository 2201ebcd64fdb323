"""What a build machine has and a clean machine does not: the import of the package fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults import edits
from tests.faults.cell_runs import has_facts
from tests.faults.conftest import Judge
from tests.helpers import wheel_builder as wheels
from verification.models.cause import FactValue
from verification.session.run_cell import PlantedFault

pytestmark = pytest.mark.recorded

# Every Python process of the machine is started without HOME, as by a service.
NO_HOME = PlantedFault(
    files={"/usr/lib/python3.13/sitecustomize.py": b"import os\nos.environ.pop('HOME', None)\n"}
)
NO_TIME_ZONES = PlantedFault(command=("rm", "-rf", "/usr/share/zoneinfo"))
PYTHON_38 = (3413).to_bytes(2, "little") + b"\r\n" + bytes(12)
"""The header of bytecode of CPython 3.8 (Lib/importlib/_bootstrap_external.py)."""
OPEN = b"open(os.path.join(os.path.dirname(__file__), %s)%s).%s()"


Files = dict[str, bytes | str]


class Assumption(NamedTuple):
    """A cause with its facts, code with the assumption, and code without it."""

    cause: str
    facts: dict[str, FactValue]
    code: bytes
    healthy: bytes
    files: Files | None = None
    healthy_files: Files | None = None
    """The files of the wheel without the assumption. By default, they are the same."""
    planted: PlantedFault | None = None


LINUX = {
    "program": Assumption(
        "missing-program",
        {"program": "git"},
        b"import subprocess\nsubprocess.run(['git', 'describe'])",
        b"import subprocess\ntry: subprocess.run(['git', 'describe'])\nexcept OSError: pass",
    ),
    "home": Assumption(
        "environment-assumed",
        {"variable": "HOME"},
        b"os.environ['HOME']",
        b"os.environ.get('HOME')",
        planted=NO_HOME,
    ),
    "time-zone": Assumption(
        "missing-dependency",
        {"key": "Europe/Oslo", "module": "tzdata"},
        b"import zoneinfo\nzoneinfo.ZoneInfo('Europe/Oslo')",
        b"import zoneinfo\ntry: zoneinfo.ZoneInfo('Europe/Oslo')\n"
        b"except zoneinfo.ZoneInfoNotFoundError: pass",
        planted=NO_TIME_ZONES,
    ),
    "case": Assumption(
        "missing-data-file",
        {},
        OPEN % (b"'Notes.txt'", b"", b"read"),
        OPEN % (b"'notes.txt'", b"", b"read"),
        {"quiverdb/notes.txt": "notes"},
    ),
    "bytecode": Assumption(
        "stale-bytecode",
        {"module": "quiverdb._old"},
        b"from quiverdb import _old",
        b"from quiverdb import _old",
        {"quiverdb/_old.pyc": PYTHON_38},
        # Next to the source, each Python reads only the bytecode with its own name.
        {"quiverdb/_old.py": "", "quiverdb/__pycache__/_old.cpython-38.pyc": PYTHON_38},
    ),
}
WINDOWS = {
    "code-page": Assumption(
        "encoding-assumed",
        {"codec": "charmap"},
        OPEN % (b"'notes.txt'", b"", b"read"),
        OPEN % (b"'notes.txt'", b", encoding='utf-8'", b"read"),
        {"quiverdb/notes.txt": "\u010d"},  # its second byte is no character of code page 1252
    ),
    "program": Assumption(
        "missing-program",
        {"program": "git"},
        b"import subprocess\nsubprocess.run(['git', 'describe'])",
        OPEN % (b"'Notes.txt'", b"", b"read"),  # Windows ignores upper and lower case
        {"quiverdb/notes.txt": "notes"},
    ),
}


def _check(judge: Judge, wheel: Path, folder: Path, assumption: Assumption) -> None:
    def changed(code: bytes, files: Files | None) -> Path:
        changes: dict[str, Any] = {**edits.added(code), "add": files}
        target = folder / str(len(list(folder.iterdir())))
        target.mkdir()
        return wheels.mutate(wheel, target, **changes)

    faulty = judge(changed(assumption.code, assumption.files), assumption.planted)
    healthy_files = assumption.healthy_files or assumption.files
    healthy = judge(changed(assumption.healthy, healthy_files), assumption.planted)

    assert faulty.names == {assumption.cause}
    (cause,) = faulty.dynamic
    assert has_facts(cause, **assumption.facts)
    assert (cause.severity, cause.where.partition(": ")[2]) == ("broken", "import")
    assert healthy.names == set()


@pytest.mark.parametrize("assumption", LINUX.values(), ids=LINUX)
def test_assumption_about_linux_is_reported(
    judge: Judge, good_wheel: Path, tmp_path: Path, assumption: Assumption
) -> None:
    _check(judge, good_wheel, tmp_path, assumption)


@pytest.mark.parametrize("assumption", WINDOWS.values(), ids=WINDOWS)
def test_assumption_about_windows_is_reported(
    windows_judge: Judge, good_windows_wheel: Path, tmp_path: Path, assumption: Assumption
) -> None:
    _check(windows_judge, good_windows_wheel, tmp_path, assumption)
