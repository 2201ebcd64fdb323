from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers import wheel_builder
from tests.helpers.binaries import elf, pe
from verification.models.base import DataError
from verification.subjects.generate import GeneratedSubject, generate
from verification.subjects.subject import load
from verification.wheel.archive import open_wheel

SUFFIX = ".cpython-313-x86_64-linux-gnu.so"
Files = Mapping[str, bytes | str]


def module(name: str) -> bytes:
    return elf(exports=[f"PyInit_{name}"])


def generated(
    folder: Path, files: Files, *, name: str = "thing", tag: str = ""
) -> GeneratedSubject:
    wheel = wheel_builder.build(
        folder, files, name=name, tag=tag or wheel_builder.LINUX_TAG, requires=()
    )
    return generate([open_wheel(wheel)])


def smoke(subject: GeneratedSubject) -> types.ModuleType:
    """Return the smoke test as the probe loads it."""
    loaded = types.ModuleType("smoke")
    exec(compile(subject.smoke_test, "smoke.py", "exec"), loaded.__dict__)  # noqa: S102
    return loaded


@pytest.mark.parametrize(
    ("files", "package", "packages", "extensions"),
    [
        # One extension module at the top level.
        ({f"thing{SUFFIX}": module("thing")}, "thing", ["thing"], ["thing"]),
        # An extension module next to the package.
        (
            {"thing/__init__.py": "", f"_thing_backend{SUFFIX}": module("_thing_backend")},
            "thing",
            ["_thing_backend", "thing"],
            ["_thing_backend"],
        ),
        # Several packages at the top level, none with the name of the project.
        (
            {
                "small/__init__.py": "",
                "large/__init__.py": "",
                "large/more.py": "",
                f"large/_x{SUFFIX}": module("_x"),
            },
            "large",
            ["large", "small"],
            ["large._x"],
        ),
        # Sub-folders: modules deep in the package, and libraries that are no modules.
        (
            {
                "thing/__init__.py": "",
                "thing/deep/__init__.py": "",
                "thing/deep/_x.abi3.so": module("_x"),
                "thing/lib/libthing.so": elf(exports=["thing_open"]),
                "thing.libs/libz-0a1b2c3d.so.1": elf(exports=["deflate"]),
            },
            "thing",
            ["thing"],
            ["thing.deep._x"],
        ),
        # A namespace package.
        (
            {"space/thing/__init__.py": "", f"space/_up/_x{SUFFIX}": module("_x")},
            "space",
            ["space.thing"],
            ["space._up._x"],
        ),
        # Stubs and metadata are no packages.
        (
            {
                "thing/__init__.py": "",
                f"thing/_x{SUFFIX}": module("_x"),
                "thing-stubs/__init__.pyi": "",
                "thing-1.0.0.data/scripts/run.py": "",
            },
            "thing",
            ["thing"],
            ["thing._x"],
        ),
        # A compiled package (mypyc), whose common part starts with a digit.
        (
            {f"thing/__init__{SUFFIX}": module("thing"), f"0a__mypyc{SUFFIX}": module("0a__mypyc")},
            "thing",
            ["thing"],
            ["0a__mypyc", "thing"],
        ),
    ],
    ids=["module", "next to", "packages", "folders", "namespace", "stubs", "mypyc"],
)
def test_each_layout_is_read_from_the_wheel(
    tmp_path: Path, files: Files, package: str, packages: list[str], extensions: list[str]
) -> None:
    result = generated(tmp_path, files)
    subject = load(result.write(tmp_path / "subject"))
    test = smoke(result)

    assert (subject.name, subject.import_package) == ("thing", package)
    assert subject.exercise == tmp_path / "subject" / "smoke.py"
    assert {"linux": packages} == test.PACKAGES
    assert {"linux": extensions} == test.EXTENSIONS


def test_module_whose_failure_the_package_handles_is_optional(tmp_path: Path) -> None:
    source = "try:\n    from . import _fast\nexcept ImportError:\n    pass\nfrom . import _core\n"
    files: dict[str, bytes | str] = {"thing/__init__.py": source, "thing/tests/__init__.py": ""}
    files |= {f"thing/{name}{SUFFIX}": module(name) for name in ("_fast", "_core", "_other")}
    files |= {f"thing/tests/_x{SUFFIX}": module("_x")}
    test = smoke(generated(tmp_path, files))
    assert test.OPTIONAL == {"linux": ["thing._fast", "thing.tests._x"]}


def test_platforms_come_from_the_tags(tmp_path: Path) -> None:
    content = {
        "manylinux_2_28_x86_64": ("thing/_x" + SUFFIX, module("_x")),
        "manylinux_2_17_x86_64.manylinux2014_x86_64": ("thing/_x" + SUFFIX, module("_x")),
        "musllinux_1_2_x86_64": ("thing/_x" + SUFFIX, module("_x")),
        "win_amd64": ("thing/_x.cp313-win_amd64.pyd", pe(exports=["PyInit__x"])),
        "macosx_11_0_arm64": ("thing/_x.cpython-313-darwin.so", b""),
    }
    wheels = [
        wheel_builder.build(
            tmp_path,
            {"thing/__init__.py": "", path: data},
            name="thing",
            tag=f"cp313-cp313-{tag}",
            requires=(),
        )
        for tag, (path, data) in content.items()
    ]
    wheels.append(wheel_builder.build(tmp_path, {}, name="thing", tag="cp312-cp312-win_amd64"))
    result = generate(map(open_wheel, wheels))
    platforms = load(result.write(tmp_path / "subject")).platforms

    assert [(platform.tag, platform.execute) for platform in platforms] == [
        ("macosx_11_0_arm64", False),
        ("manylinux_2_28_x86_64", True),
        ("win_amd64", True),
    ]
    assert smoke(result).EXTENSIONS["win32"] == ["thing._x"]


def test_wheel_without_native_code_for_the_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cp313"):
        generated(tmp_path, {"thing.py": ""}, tag="py3-none-any")


def test_promised_platforms_are_declared_and_read_from_a_wheel_for_any(tmp_path: Path) -> None:
    files = {"thing.py": ""}
    wheel = wheel_builder.build(tmp_path, files, name="thing", tag="py3-none-any", requires=())
    promised = ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")
    result = generate([open_wheel(wheel)], platforms=promised)
    platforms = load(result.write(tmp_path / "subject")).platforms

    assert [(platform.tag, platform.execute) for platform in platforms] == [
        ("manylinux_2_28_x86_64", True),
        ("manylinux_2_28_aarch64", False),
    ]
    assert smoke(result).PACKAGES == {"linux": ["thing"]}


def test_extension_module_in_a_folder_without_init_is_imported(tmp_path: Path) -> None:
    subject = generated(tmp_path, {f"shared/_x{SUFFIX}": module("_x")})
    assert smoke(subject).EXTENSIONS == {"linux": ["shared._x"]}
    assert 'import_package = "shared"' in subject.description


@pytest.mark.parametrize("path", ["thing-1.0.0.data/scripts/thing", "thing/lib/libthing.so.1"])
def test_wheel_without_a_module_has_no_description(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="thing-"):
        generated(tmp_path, {path: elf()})
