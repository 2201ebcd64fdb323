"""Build another package from its source, and run it on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.commands import gate, read_report
from verification.models.errors import ExitCode
from verification.models.verdict import Outcome

pytestmark = pytest.mark.long

FILES = {
    "source/pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "two-functions"
version = "1.0"
description = "A package with an extension module in C."
requires-python = ">=3.13"
[tool.cibuildwheel]
build = "cp313-*"
test-command = "python -c 'import two_functions; two_functions.two()'"
""",
    "source/setup.py": """
from setuptools import Extension, setup

setup(ext_modules=[Extension("two_functions", ["module.c"])])
""",
    "source/module.c": """
#include <Python.h>

static PyObject *two(PyObject *self, PyObject *unused) { return PyLong_FromLong(2); }
static PyMethodDef methods[] = {{"two", two, METH_NOARGS, NULL}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "two_functions", NULL, -1, methods};

PyMODINIT_FUNC PyInit_two_functions(void) { return PyModule_Create(&module); }
""",
    "subject/subject.toml": """
name = "two-functions"
import_package = "two_functions"
python = "cp313"
exercise = "smoke.py"

[[platforms]]
tag = "manylinux_2_28_x86_64"
""",
    "subject/smoke.py": """
def native_call():
    import two_functions
    from importlib.metadata import version

    if two_functions.two() != 2:
        raise ValueError("two() is not 2")
    return {"version": version("two-functions")}


def round_trip():
    native_call()
""",
}


@pytest.mark.parametrize("has_fault", [False, True], ids=["good", "does not compile"])
def test_extension_module_in_c_is_built_from_its_source(tmp_path: Path, has_fault: bool) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            text.replace("PyLong_FromLong(2)", "absent(2" if has_fault else "PyLong_FromLong(2)"),
            "utf-8",
        )
    options = [
        f"--subject={tmp_path / 'subject' / 'subject.toml'}",
        f"--source={tmp_path / 'source'}",
    ]
    finished = gate(tmp_path / "report", *options, "--machine=debian-13", "-k", "uv-venv")
    # The builder is a stand-in, so a failed build says nothing about the package.
    assert finished.code == (ExitCode.TESTBED_FAILED if has_fault else ExitCode.VERIFIED), (
        finished.output
    )
    if not has_fault:
        (cell,) = read_report(tmp_path / "report").cells
        assert cell.outcome == Outcome.WORKS
