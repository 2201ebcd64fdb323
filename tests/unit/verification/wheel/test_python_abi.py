from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    PYTHON_FILES,
    SUBJECT,
    inspect,
    linux_core,
    linux_wheel,
    symbol,
    windows_core,
)
from verification.models.cause import Cause
from verification.models.subject import Platform

CURRENT = "cp313-cp313-manylinux_2_28_x86_64"
ABI3 = "cp39-abi3-manylinux_2_28_x86_64"
ABI_CAUSES = ("abi3-violation", "abi-mismatch")
STABLE = ("PyList_New", "PyUnicode_FromString", "_Py_Dealloc", "PyExc_ValueError", "_Py_NoneStruct")


def module(*imports: str) -> bytes:
    return linux_core(imports=[symbol(name) for name in imports], exports=["PyInit__fast"])


def linux_causes(folder: Path, files: dict[str, bytes], tag: str = CURRENT) -> list[Cause]:
    causes = inspect(linux_wheel(folder, files, tag=tag)).causes
    return [cause for cause in causes if cause.name in ABI_CAUSES]


def windows_causes(folder: Path, imports: dict[str, list[str]], tag: str) -> list[Cause]:
    wheel = wheels.build(
        folder, {**PYTHON_FILES, "quiverdb/_fast.pyd": windows_core(imports=imports)}, tag=tag
    )
    subject = SUBJECT.model_copy(
        update={"platforms": (Platform(tag="win_amd64", libraries=()),), "libs_dir": ""}
    )
    return [cause for cause in inspect(wheel, subject).causes if cause.name in ABI_CAUSES]


@pytest.mark.parametrize("tag", [CURRENT, ABI3])
def test_module_with_symbols_outside_the_stable_abi_is_flawed(tmp_path: Path, tag: str) -> None:
    data = module("PyUnicode_New", "PyObject_CallOneArg", "_PyLong_Sign", *STABLE, "malloc")
    (cause,) = linux_causes(tmp_path, {"quiverdb/_fast.abi3.so": data}, tag)
    assert (cause.name, cause.severity) == ("abi3-violation", "flawed")
    assert cause.where == "quiverdb/_fast.abi3.so"
    assert cause.facts == {"symbols": ("PyObject_CallOneArg", "PyUnicode_New", "_PyLong_Sign")}


@pytest.mark.parametrize("tag", [CURRENT, ABI3])
def test_module_with_the_stable_abi_has_no_cause(tmp_path: Path, tag: str) -> None:
    data = module(*STABLE, "malloc", "_ZN2PyC1Ev", "Pyramid_open")
    assert linux_causes(tmp_path, {"quiverdb/_fast.abi3.so": data}, tag) == []


def test_symbol_that_is_newer_than_the_oldest_python_is_outside(tmp_path: Path) -> None:
    files = {"quiverdb/_fast.abi3.so": module("PyObject_GetBuffer", "PyType_GetName")}  # both 3.11
    (cause,) = linux_causes(tmp_path, files, ABI3)
    assert cause.facts["symbols"] == ("PyObject_GetBuffer", "PyType_GetName")
    assert linux_causes(tmp_path, files, "cp311-abi3-manylinux_2_28_x86_64") == []


def test_symbol_that_the_wheel_exports_is_not_pythons(tmp_path: Path) -> None:
    files = {
        "quiverdb/_fast.abi3.so": module("PyQuiver_Open"),
        "quiverdb/_libs/libq.so": linux_core(exports=["PyQuiver_Open"]),
    }
    assert linux_causes(tmp_path, files) == []


def test_module_for_one_python_can_use_every_symbol(tmp_path: Path) -> None:
    name = "quiverdb/_fast.cpython-313-x86_64-linux-gnu.so"
    assert linux_causes(tmp_path, {name: module("PyUnicode_New")}) == []
    assert linux_causes(tmp_path, {"quiverdb/libfast.so": module("PyUnicode_New")}, ABI3) == []


def test_windows_module_of_an_abi3_wheel_must_use_the_stable_library(tmp_path: Path) -> None:
    good = {"python3.dll": ["PyList_New"], "KERNEL32.dll": ["CreateFileW"]}
    assert windows_causes(tmp_path, good, "cp39-abi3-win_amd64") == []
    (cause,) = windows_causes(tmp_path, {"python313.dll": ["PyList_New"]}, "cp39-abi3-win_amd64")
    assert (cause.name, cause.facts) == ("abi3-violation", {"symbols": ("PyList_New",)})
    assert (
        windows_causes(tmp_path, {"python313.dll": ["PyList_New"]}, "cp313-cp313-win_amd64") == []
    )


@pytest.mark.parametrize(
    ("name", "tag", "abi"),
    [
        ("_fast.cpython-312-x86_64-linux-gnu.so", CURRENT, "cp312"),
        ("_fast.cpython-313t-x86_64-linux-gnu.so", CURRENT, "cp313t"),
        ("_fast.cpython-313-x86_64-linux-gnu.so", ABI3, "cp313"),
        ("_fast.abi3t.so", CURRENT, "abi3t"),
    ],
)
def test_module_for_another_python_than_the_tag_is_flawed(
    tmp_path: Path, name: str, tag: str, abi: str
) -> None:
    path = f"quiverdb/{name}"
    (cause,) = linux_causes(tmp_path, {path: module()}, tag)
    assert (cause.name, cause.severity, cause.where) == ("abi-mismatch", "flawed", path)
    assert cause.facts == {"abi": abi, "tags": (tag.split("-")[1],)}


@pytest.mark.parametrize(
    "names",
    [
        ["_fast.cpython-313-x86_64-linux-gnu.so"],
        ["_fast.abi3.so"],
        ["_fast.cpython-312-x86_64-linux-gnu.so", "_fast.cpython-313-x86_64-linux-gnu.so"],
        ["_fast.cpython-312-x86_64-linux-gnu.so", "_fast.abi3.so"],
    ],
)
def test_module_that_the_python_of_the_tag_imports_is_accepted(
    tmp_path: Path, names: list[str]
) -> None:
    files = {f"quiverdb/{name}": module() for name in names}
    assert linux_causes(tmp_path, files) == []


def test_tag_of_python_3_7_has_a_flag_that_its_modules_do_not_have(tmp_path: Path) -> None:
    path = "quiverdb/_fast.cp37-win_amd64.pyd"
    code = {"quiverdb/extra.py": "import quiverdb._fast\n"}
    files = {**PYTHON_FILES, **code, path: windows_core(exports=["PyInit__fast"])}
    wheel = wheels.build(tmp_path, files, tag="cp37-cp37m-win_amd64")
    names = inspect(wheel, additional=True).cause_names()
    assert not {*ABI_CAUSES, "missing-dependency"} & names


def test_tag_without_an_abi_allows_modules_for_any_python(tmp_path: Path) -> None:
    name = "quiverdb/_fast.cpython-312-x86_64-linux-gnu.so"
    assert linux_causes(tmp_path, {name: module()}, "py3-none-manylinux_2_28_x86_64") == []
