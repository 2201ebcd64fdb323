from __future__ import annotations

import pytest

from verification.wheel.library_names import (
    base_name,
    has_hash,
    is_extension_module,
    is_library_name,
    is_same_library,
    without_hash,
)


def test_base_name_has_no_prefix_version_abi_hash_and_suffix() -> None:
    base_names = {
        "libquiver.so": "quiver",
        "libquiver.so.1.2.3": "quiver",
        "libssl.so.1.0.2k": "ssl",
        "libquiver-0a1b2c3d.so.1": "quiver",
        "LibQuiver.dll": "quiver",
        "quiver.dll": "quiver",
        "quiver.cpython-313-x86_64-linux-gnu.so": "quiver",
        "libquiver.0.dylib": "quiver",
        "libquiver_c.so": "quiver_c",
        "libquiver-core.so": "quiver-core",
    }
    assert {name: base_name(name) for name in base_names} == base_names
    assert [name for name in base_names if not is_library_name(name)] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libquiver-0a1b2c3d.so.1", True),
        ("msvcp140-1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d.dll", True),
        ("libquiver-core.so", False),
        ("libquiver.so.1", False),
    ],
)
def test_hash_is_the_last_part_of_a_name(name: str, expected: bool) -> None:
    assert has_hash(name) is expected


def test_other_suffix_is_not_a_library_name() -> None:
    names = (
        "quiver.py", "so", "libquiver.sofa", "x.dll_txt", "y.so.txt", "libquiver.so.dwp",
        "x.so.debug", "x.so.1.debug", "x.dll.txt",
    )  # fmt: skip
    assert [name for name in names if is_library_name(name)] == []


def test_extension_module_has_a_suffix_and_a_path_that_python_imports() -> None:
    expected = {
        "quiverdb/_fast.cpython-313-x86_64-linux-gnu.so": True,
        "_fast.cpython-313t-darwin.so": True,
        "quiverdb/_fast.abi3.so": True,
        "0a1b__mypyc.cpython-313-x86_64-linux-gnu.so": True,
        "quiverdb/_fast.cp313-win_amd64.pyd": True,
        "quiverdb/_Fast.PYD": True,
        "quiverdb/.debug/_fast.cpython-313-x86_64-linux-gnu.so": False,
        "quiverdb/_fast.cpython-313-x86_64-linux-gnu.so.debug": False,
        "quiverdb/_fast.so": False,
        "quiverdb/_libs/libquiver.so.1": False,
        "quiverdb/_libs/libquiver.dll": False,
    }
    assert {path: is_extension_module(path) for path in expected} == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("libquiver.so", "libquiver-0a1b2c3d.so.1", True),
        ("libquiver.dll", "LIBQUIVER-0a1b2c3d.dll", True),
        ("quiver.cp313-win_amd64.pyd", "quiver.pyd", True),
        ("libquiver.so", "quiver.cpython-313-x86_64-linux-gnu.so", False),
        ("libquiver.so", "libquiver.abi3.so", False),
        ("libquiver.dll", "quiver.dll", False),
        ("quiver.dll", "quiver.pyd", False),
    ],
)
def test_same_library_has_the_same_base_name_and_kind(
    first: str, second: str, *, expected: bool
) -> None:
    assert is_same_library(first, second) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libz-0a1b2c3d.so.1.2", "libz.so.1.2"),
        ("msvcp140-0A1B2C3D4E5F.dll", "msvcp140.dll"),
        ("libz.so.1", "libz.so.1"),
        ("data-0a1b2c3d.txt", "data-0a1b2c3d.txt"),
    ],
)
def test_name_without_hash(name: str, expected: str) -> None:
    assert without_hash(name) == expected
