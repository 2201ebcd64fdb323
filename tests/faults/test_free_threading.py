"""Extension modules on a free-threaded Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.cell_runs import ScenarioRunner
from tests.helpers import wheel_builder as wheels
from verification.models.subject import Subject
from verification.subjects.subject import load as load_subject

pytestmark = pytest.mark.recorded

# PyModuleDef of a free-threaded CPython, whose PyObject has 32 bytes (Include/object.h). The
# number of the slot Py_mod_gil is 4, and Py_MOD_GIL_NOT_USED is 1 (Include/moduleobject.h).
MODULE = """
static struct { int slot; void *value; } slots[] = { %s{ 0, 0 } };
static struct {
    char object[32];
    void *init; long index; void *copy;
    const char *name, *doc;
    long size;
    void *methods, *slots, *traverse, *clear, *free;
} module = { .name = "quiverdb._fast", .slots = slots };
void *PyModuleDef_Init(void *);
void *PyInit__fast(void) { return PyModuleDef_Init(&module); }
"""
WITH_SLOT = MODULE % "{ 4, (void *)1 }, "
WITHOUT_SLOT = MODULE % ""
SMOKE = """
def native_call():
    import quiverdb._fast
    return {"version": quiverdb.__version__}
def round_trip():
    return None
"""


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """Return a subject whose only native code is the module of the test."""
    exercise = tmp_path / "smoke.py"
    exercise.write_text(SMOKE)
    described = load_subject()
    platforms = (p.model_copy(update={"libraries": ()}) for p in described.platforms)
    changes = {"exercise": exercise, "values": None, "actions": None, "libs_dir": ""}
    return described.model_copy(update={**changes, "platforms": tuple(platforms)})


def _wheel(folder: Path, library: bytes) -> Path:
    files: dict[str, bytes | str] = {
        "quiverdb/__init__.py": "import quiverdb._fast\n__version__ = '1.0.0'\n",
        "quiverdb/_fast.cpython-313t-x86_64-linux-gnu.so": library,
    }
    return wheels.build(folder, files, tag="cp313-cp313t-manylinux_2_28_x86_64", requires=())


@pytest.mark.parametrize(
    ("source", "severities"),
    [(WITHOUT_SLOT, {"gil-enabled": "flawed"}), (WITH_SLOT, {})],
    ids=["without-slot", "with-slot"],
)
def test_module_that_enables_the_gil_is_reported(
    scenario_runner: ScenarioRunner,
    compile_library: Callable[[str], bytes],
    subject: Subject,
    tmp_path: Path,
    source: str,
    severities: dict[str, str],
) -> None:
    wheel = _wheel(tmp_path, compile_library(source))
    runner = scenario_runner.on("debian-12-python-3.13t")
    causes = runner.causes(wheel, ["venv"], subject=subject)["venv"]

    # The subject declares CPython 3.13 with its GIL.
    (support, *others) = sorted(causes, key=lambda cause: cause.name != "unexpected-support")
    assert support.name == "unexpected-support"
    assert {cause.name: str(cause.severity) for cause in others} == severities
    assert all(cause.facts["module"] == "quiverdb._fast" for cause in others)
