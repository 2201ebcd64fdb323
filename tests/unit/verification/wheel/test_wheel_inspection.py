from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from packaging.utils import canonicalize_name

from tests.helpers import binaries
from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    SUBJECT,
    WINDOWS_CORE,
    Files,
    inspect,
    linux_api,
    linux_core,
    linux_wheel,
    windows_core,
    windows_wheel,
)
from verification.models.cause import Severity
from verification.wheel import wheel_inspection
from verification.wheel.errors import BadWheel
from verification.wheel.modules import Distribution

INFO = "quiverdb-1.0.0.dist-info"


@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_good_wheel_has_no_causes(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    inspection = inspect(make(tmp_path))
    assert inspection.causes == ()
    assert inspection.unverified == ()


def test_inspection_describes_the_wheel(tmp_path: Path) -> None:
    metadata = (
        "Metadata-Version: 2.4\nName: quiverdb\nVersion: 1.0.0\nRequires-Dist: cffi>=2.0.0\n"
        "Requires-Dist: x; extra == 'e'\nProvides-Extra: e\nRequires-Python: >=3.13\n\n"
    )
    wheel = linux_wheel(tmp_path, metadata=metadata)
    inspection = inspect(wheel)
    assert inspection.file == wheel.name
    assert (inspection.name, inspection.version) == ("quiverdb", "1.0.0")
    assert inspection.tags == (wheels.LINUX_TAG,)
    assert inspection.platform == "manylinux_2_28_x86_64"
    assert inspection.requires == ("cffi>=2.0.0", "x; extra == 'e'")
    assert (inspection.requires_python, inspection.extras) == (">=3.13", ("e",))
    assert inspection.size == wheel.stat().st_size
    assert len(inspection.sha256) == 64
    assert LINUX_CORE in inspection.files
    assert not inspection.additional
    assert set(inspection.sources) == {"quiverdb/__init__.py", "quiverdb/_loader.py"}
    core = next(library for library in inspection.libraries if library.paths == (LINUX_CORE,))
    assert core.machine == "x86_64"
    assert core.versions["libc.so.6"] == ("GLIBC_2.14",)


def test_wheel_for_an_undeclared_platform_has_no_platform(tmp_path: Path) -> None:
    metadata = "Name: quiverdb\nVersion: 1.0.0\n\n"
    inspection = inspect(linux_wheel(tmp_path, tag="cp313-cp313-win32", metadata=metadata))
    assert (inspection.platform, inspection.requires_python) == (None, None)


def test_all_causes_are_collected_and_sorted_by_severity(tmp_path: Path) -> None:
    wheel = linux_wheel(
        tmp_path,
        {
            "lib64/libx.a": b"!<arch>",
            "quiverdb/_loader.py": "import numpy\n",
            LINUX_API: linux_api(imports=[]),
            f"{LINUX_API}.0": linux_api(imports=[]),
            LINUX_CORE: linux_core(machine="aarch64"),
        },
        metadata="Metadata-Version: 2.1\nName: quiverdb\nVersion: 1.0.1\n\n",
    )
    inspection = inspect(wheel)
    assert [cause.name for cause in inspection.causes] == [
        "missing-dependency",
        "version-mismatch",
        "wrong-architecture",
        "duplicate-library",
        "stray-top-level",
        "metadata-incomplete",
    ]
    assert inspection.cause_names(Severity.FLAWED) == {"duplicate-library", "stray-top-level"}


def test_each_rule_is_applied(tmp_path: Path) -> None:
    files: Files = {
        "quiverdb/broken.so": b"MZ",
        "quiverdb/.env": "TOKEN=x",
        "quiverdb/a-b.py": "",
        "quiverdb/unparsed.py": "match = = 1\n",
        "../x": "",
        f"{INFO}/entry_points.txt": "[console_scripts]\nx\n",
    }
    inspection = inspect(linux_wheel(tmp_path, files, requires=()))
    assert inspection.cause_names() == {
        "damaged-library",
        "private-file",
        "record-mismatch",
        "stray-top-level",
        "entry-point-broken",
        "missing-dependency",
    }  # no "stray-file": check-wheel-contents refuses a RECORD with the name ../x
    (unverified,) = inspection.unverified
    assert "quiverdb/unparsed.py" in unverified


def test_rules_of_the_wheels_system_are_applied(tmp_path: Path, out: Path) -> None:
    core = linux_core(needed=["libabsent.so.1", "libc.so.6"])
    linux = inspect(linux_wheel(tmp_path, {LINUX_CORE: core}))
    windows = inspect(
        windows_wheel(out, {WINDOWS_CORE: windows_core(imports={"absent.dll": ["f"]})})
    )
    assert linux.cause_names() == windows.cause_names() == {"missing-runtime-library"}


@pytest.mark.parametrize("provided", ["libabsent.so.1", "absent.dll"])
def test_library_of_a_dependency_is_not_missing(tmp_path: Path, out: Path, provided: str) -> None:
    core = linux_core(needed=["libabsent.so.1", "libc.so.6"])
    linux = linux_wheel(tmp_path, {LINUX_CORE: core})
    windows = windows_wheel(out, {WINDOWS_CORE: windows_core(imports={"Absent.dll": ["f"]})})
    known = {canonicalize_name("cffi"): Distribution(frozenset({"cffi"}), frozenset({provided}))}
    is_missing = {
        name: bool(inspect(wheel, SUBJECT, known).causes)
        for name, wheel in (("libabsent.so.1", linux), ("absent.dll", windows))
    }
    assert is_missing == {name: name != provided for name in is_missing}


def test_unread_code_and_libraries_are_unverified(tmp_path: Path) -> None:
    files: Files = {"quiverdb/x.py": "match = = 1\n", LINUX_CORE: linux_core(section_headers=False)}
    inspection = inspect(linux_wheel(tmp_path, files))
    code, library = inspection.unverified
    assert "quiverdb/x.py" in code
    assert LINUX_CORE in library


def test_python_of_the_tag_counts_only_for_an_additional_wheel(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
    assert inspect(wheel, additional=True).causes == ()
    assert inspect(wheel).cause_names() == {"unsupported-python"}


def test_causes_of_an_additional_wheel_contain_its_name_once(tmp_path: Path, out: Path) -> None:
    complete = linux_wheel(
        tmp_path, {"setup.cfg": ""}, tag="cp314-cp314-manylinux_2_28_x86_64", version="1.0.1"
    )
    wheel = wheels.mutate(complete, out, remove=["quiverdb-1.0.1.dist-info/METADATA"])
    inspection = inspect(wheel, additional=True)
    assert inspection.additional
    assert {cause.where for cause in inspection.causes} == {
        wheel.name,
        f"{wheel.name}: setup.cfg",
        f"{wheel.name}: quiverdb/_loader.py",
    }
    assert all(cause.where.count(wheel.name) == 1 for cause in inspection.causes)


@pytest.mark.parametrize("kind", ["purelib", "platlib"])
@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_files_of_the_data_folder_are_inspected_by_their_install_paths(
    tmp_path: Path, out: Path, make: Callable[[Path], Path], kind: str
) -> None:
    moved = {"quiverdb/": f"quiverdb-1.0.0.data/{kind}/quiverdb/"}
    assert inspect(wheels.mutate(make(tmp_path), out, move=moved)).causes == ()


def damaged_copies(data: bytes, step: int) -> Iterator[bytes]:
    """Yield copies of data. Each has four wrong bytes, at another multiple of `step`."""
    wrong = itertools.cycle([b"\xff\x00\xff\x00", bytes(4), b"\x7f\xff\xff\xff"])
    for offset in range(0, len(data), step):
        yield data[:offset] + next(wrong) + data[offset + 4 :]


@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_damage_anywhere_in_an_archive_raises_no_other_error_than_bad_wheel(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    wheel = make(tmp_path)
    for data in damaged_copies(wheel.read_bytes(), 97):
        wheel.write_bytes(data)
        with contextlib.suppress(BadWheel):
            inspect(wheel)


@pytest.mark.parametrize(
    ("make", "path", "library"),
    [(linux_wheel, LINUX_CORE, linux_core()), (windows_wheel, WINDOWS_CORE, windows_core())],
    ids=["elf", "pe"],
)
def test_damage_anywhere_in_a_library_raises_no_error(
    tmp_path: Path,
    make: Callable[[Path, Mapping[str, bytes]], Path],
    path: str,
    library: bytes,
) -> None:
    for data in damaged_copies(library, 41):
        inspect(make(tmp_path, {path: data}))


@pytest.mark.parametrize("code", ["x = " + "-" * 100_000 + "1", "x = a" + ".b" * 50_000])
def test_code_that_is_too_deep_for_the_parser_is_unverified(tmp_path: Path, code: str) -> None:
    inspection = inspect(linux_wheel(tmp_path, {"quiverdb/extra.py": code}))
    assert inspection.causes == ()
    assert not inspection.unverified or "quiverdb/extra.py" in inspection.unverified[0]


@pytest.mark.parametrize("interpreter", ["pp311-pypy311_pp73", "graalpy312-graalpy250_312_native"])
def test_wheel_for_another_interpreter_is_inspected_without_it(
    tmp_path: Path, interpreter: str
) -> None:
    files: Files = {
        "quiverdb/__init__.py": "from quiverdb import _x\n",
        "quiverdb/_x.pypy311-pp73-win_amd64.pyd": binaries.pe(imports={"libpypy3.11-c.dll": ["f"]}),
    }
    wheel = windows_wheel(tmp_path, files, tag=f"{interpreter}-win_amd64")
    inspection = inspect(wheel, additional=True)
    assert inspection.causes == ()
    assert len(inspection.unverified) == 1
    assert not {"dependencies", "windows"} & set(wheel_inspection.check_names(inspection))


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("import quiverdb._x\n", Severity.BROKEN),
        ("try:\n    import quiverdb._x\nexcept ImportError:\n    pass\n", Severity.FLAWED),
    ],
)
def test_missing_library_of_an_optional_module_is_a_risk(
    tmp_path: Path, code: str, severity: Severity
) -> None:
    module = "quiverdb/_x.cpython-313-x86_64-linux-gnu.so"
    files: Files = {
        "quiverdb/__init__.py": code,
        module: linux_core(needed=["libtbb.so.12"], imports=[], exports=["PyInit__x"]),
    }
    causes = inspect(linux_wheel(tmp_path, files)).causes
    assert [(cause.name, cause.where, cause.severity) for cause in causes] == [
        ("missing-runtime-library", module, severity)
    ]


def test_names_of_the_checks_are_the_modules_of_the_inspection(tmp_path: Path) -> None:
    modules = {
        name.replace("_", "-")
        for name, value in vars(wheel_inspection).items()
        if isinstance(value, ModuleType) and name not in ("imports", "sources")
    }
    names = {
        system: wheel_inspection.check_names(inspect(make(tmp_path)))
        for system, make in (("linux", linux_wheel), ("windows", windows_wheel))
    }
    assert set(names["linux"]) | set(names["windows"]) == modules
    for system, checks in names.items():
        assert checks == (*wheel_inspection.CHECKS, system)
