from __future__ import annotations

import pytest

from verification.wheel.library_names import base_name, is_library_name


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("libquiver.so", "quiver"),
        ("libquiver.so.1.2.3", "quiver"),
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


@pytest.mark.parametrize("name", ["quiver.py", "so", "libquiver.sofa", "x.dll_txt"])
def test_another_file_has_no_name_of_a_library(name: str) -> None:
    assert not is_library_name(name)
