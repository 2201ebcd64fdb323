from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import SUBJECT
from verification.wheel.archive import open_wheel
from verification.wheel.identity import identify
from verification.wheel.modules import Distribution, installed_modules, read_distributions


def installed(folder: Path, *paths: str, tag: str = wheels.LINUX_TAG) -> set[str]:
    archive = open_wheel(wheels.build(folder, dict.fromkeys(paths, ""), tag=tag))
    names = installed_modules(archive, identify(archive, SUBJECT))
    return {name for name in names if name and "dist-info" not in name}


def test_modules_and_libraries_of_distributions_are_read_from_wheels(tmp_path: Path) -> None:
    name = "A_b-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for path in ("one/two/__init__.py", "_two.cpython-313.so", "a_b-1.0.dist-info/RECORD"):
            archive.writestr(path, "")
        archive.writestr("A_b.libs/x.so", "")
    distributions = read_distributions([tmp_path / "a-1.0.tar.gz", tmp_path / name])
    assert distributions == {
        "a-b": Distribution(
            frozenset({"one", "_two"}),
            frozenset({"_two.cpython-313.so", "x.so"}),
            frozenset({"one.two"}),
        )
    }


def test_portions_of_namespace_packages_are_read_from_wheels(tmp_path: Path) -> None:
    paths = ("one/two/a/__init__.py", "one/two/a/b.py", "one/c.so", "one/d.txt", "e/__init__.py")
    wheels.build(tmp_path, dict.fromkeys((*paths, "e/f/g.py", "h.py"), ""), name="a")
    (found,) = read_distributions(tmp_path.iterdir()).values()
    assert found.portions == {"one.two.a", "one.c"}
    assert found.modules == {"one", "e", "h"}
    assert found.own_modules == {"one.two.a", "one.c", "e", "h"}


def test_wheels_with_one_name_are_one_distribution(tmp_path: Path) -> None:
    for name, path in (("manylinux_2_28_x86_64", "a/x.so.1"), ("win_amd64", "A/X.DLL")):
        with zipfile.ZipFile(tmp_path / f"a-1.0-py3-none-{name}.whl", "w") as archive:
            archive.writestr(path, "")
    distributions = read_distributions(sorted(tmp_path.iterdir()))
    assert distributions == {
        "a": Distribution(frozenset({"a", "A"}), frozenset({"x.so.1", "x.dll"}))
    }


def test_installed_modules_and_folders_have_full_names(tmp_path: Path) -> None:
    assert installed(tmp_path, "a/b/c.py", "top.py", "a/data.txt", "x-1.0.data/purelib/d.py") == {
        "a",
        "a.b",
        "a.b.c",
        "top",
        "d",
    }


@pytest.mark.parametrize(
    ("file", "tags"),
    [
        ("x.so", {"cp313-cp313", "cp313-cp313t", "cp39-abi3", "py3-none"}),
        ("x.pyd", {"cp313-cp313", "cp313-cp313t", "cp39-abi3", "py3-none"}),
        ("x.abi3.so", {"cp313-cp313", "cp313-cp313t", "cp39-abi3", "py3-none"}),
        ("x.cpython-313-x86_64-linux-gnu.so", {"cp313-cp313", "cp39-abi3", "py3-none"}),
        ("x.cpython-313t-x86_64-linux-gnu.so", {"cp313-cp313t", "cp39-abi3", "py3-none"}),
        ("x.cp313-win_amd64.pyd", {"cp313-cp313", "cp39-abi3", "py3-none"}),
        ("x.cpython-314-x86_64-linux-gnu.so", {"cp39-abi3", "py3-none"}),
        ("x.y.so", set()),
        ("x.pyi", set()),
    ],
)
def test_extension_module_is_installed_only_for_its_abi(
    tmp_path: Path, file: str, tags: set[str]
) -> None:
    all_tags = ("cp313-cp313", "cp313-cp313t", "cp39-abi3", "py3-none")
    matching = {tag for tag in all_tags if "x" in installed(tmp_path, file, tag=f"{tag}-win_amd64")}
    assert matching == tags
