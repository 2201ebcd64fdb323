from __future__ import annotations

import pytest

from verification.wheel.library_names import (
    base_name,
    is_extension_module,
    is_library_name,
    is_same_library,
)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("libquiver.so", "quiver"),
        ("libquiver.so.1.2.3", "quiver"),
        ("libssl.so.1.0.2k", "ssl"),
        ("libquiver-0a1b2c3d.so.1", "quiver"),
        ("LibQuiver.dll", "quiver"),
        ("quiver.dll", "quiver"),
        ("quiver.cpython-313-x86_64-linux-gnu.so", "quiver"),
        ("libquiver.0.dylib", "quiver"),
        ("libquiver_c.so", "quiver_c"),
        ("libquiver-core.so", "quiver-core"),
    ],
)
def test_the_name_of_a_library_is_known_whatever_a_build_adds(name: str, base: str) -> None:
    assert is_library_name(name)
    assert base_name(name) == base


@pytest.mark.parametrize("name", [
        "quiver.py", "so", "libquiver.sofa", "x.dll_txt", "y.so.txt", "libquiver.so.dwp",
        "x.so.debug", "x.so.1.debug", "x.dll.txt",
    ],
)  # fmt: skip
def test_another_file_has_no_name_of_a_library(name: str) -> None:
    assert not is_library_name(name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("quiverdb/_fast.cpython-313-x86_64-linux-gnu.so", True),
        ("_fast.cpython-313t-darwin.so", True),
        ("quiverdb/_fast.abi3.so", True),
        ("quiverdb/_fast.cp313-win_amd64.pyd", True),
        ("quiverdb/_Fast.PYD", True),
        ("quiverdb/.debug/_fast.cpython-313-x86_64-linux-gnu.so", False),
        ("quiverdb/_fast.cpython-313-x86_64-linux-gnu.so.debug", False),
        ("quiverdb/_fast.so", False),
        ("quiverdb/_libs/libquiver.so.1", False),
        ("quiverdb/_libs/libquiver.dll", False),
    ],
)
def test_python_imports_a_file_by_its_name(path: str, *, expected: bool) -> None:
    assert is_extension_module(path) == expected


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
def test_the_same_library_is_of_the_same_kind(first: str, second: str, *, expected: bool) -> None:
    assert is_same_library(first, second) == expected
