from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
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
from verification.wheel.errors import BadWheel

INFO = "quiverdb-1.0.0.dist-info"


@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_a_good_wheel_has_no_causes(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    inspection = inspect(make(tmp_path))
    assert inspection.causes == ()
    assert inspection.unverified == ()


def test_an_inspection_has_the_facts_of_the_wheel(tmp_path: Path) -> None:
    metadata = (
        "Metadata-Version: 2.4\nName: quiverdb\nVersion: 1.0.0\nRequires-Dist: cffi>=2.0.0\n"
        "Requires-Dist: x; extra == 'e'\nProvides-Extra: e\nRequires-Python: >=3.13\n\n"
    )
    wheel = linux_wheel(tmp_path, metadata=metadata)
    found = inspect(wheel)
    assert found.file == wheel.name
    assert (found.name, found.version) == ("quiverdb", "1.0.0")
    assert found.tags == (wheels.LINUX_TAG,)
    assert found.platform == "manylinux_2_28_x86_64"
    assert found.requires == ("cffi>=2.0.0", "x; extra == 'e'")
    assert (found.requires_python, found.extras) == (">=3.13", ("e",))
    assert found.size == wheel.stat().st_size
    assert len(found.sha256) == 64
    assert LINUX_CORE in found.files
    assert not found.additional
    assert set(found.sources) == {"quiverdb/__init__.py", "quiverdb/_loader.py"}
    core = next(library for library in found.libraries if library.paths == (LINUX_CORE,))
    assert core.machine == "x86_64"
    assert core.versions["libc.so.6"] == ("GLIBC_2.14",)


def test_a_wheel_for_no_platform_has_none(tmp_path: Path) -> None:
    metadata = "Name: quiverdb\nVersion: 1.0.0\n\n"
    found = inspect(linux_wheel(tmp_path, tag="cp313-cp313-win32", metadata=metadata))
    assert (found.platform, found.requires_python) == (None, None)


def test_all_faults_are_gathered_and_the_most_severe_comes_first(tmp_path: Path) -> None:
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
        "stray-file",
        "record-mismatch",
        "stray-top-level",
        "entry-point-broken",
        "missing-dependency",
    } - {"stray-file"}  # check-wheel-contents reads no RECORD with such a name
    (unverified,) = inspection.unverified
    assert unverified.startswith("imports of quiverdb/unparsed.py: Python 3.")


def test_the_rules_of_the_wheels_system_are_applied(tmp_path: Path, out: Path) -> None:
    core = linux_core(needed=["libabsent.so.1", "libc.so.6"])
    linux = inspect(linux_wheel(tmp_path, {LINUX_CORE: core}))
    windows = inspect(
        windows_wheel(out, {WINDOWS_CORE: windows_core(imports={"absent.dll": ["f"]})})
    )
    assert linux.cause_names() == windows.cause_names() == {"missing-runtime-library"}


def test_unread_code_and_libraries_are_unverified(tmp_path: Path) -> None:
    files: Files = {"quiverdb/x.py": "match = = 1\n", LINUX_CORE: linux_core(section_headers=False)}
    inspection = inspect(linux_wheel(tmp_path, files))
    assert [line.partition(":")[0] for line in inspection.unverified] == [
        "imports of quiverdb/x.py",
        LINUX_CORE,
    ]


def test_only_an_additional_wheel_is_judged_by_its_own_python(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
    assert inspect(wheel, additional=True).causes == ()
    assert inspect(wheel).cause_names() == {"unsupported-python"}


def test_the_causes_of_an_additional_wheel_name_it_once(tmp_path: Path, out: Path) -> None:
    whole = linux_wheel(
        tmp_path, {"setup.cfg": ""}, tag="cp314-cp314-manylinux_2_28_x86_64", version="1.0.1"
    )
    wheel = wheels.mutate(whole, out, remove=["quiverdb-1.0.1.dist-info/METADATA"])
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
def test_files_of_the_data_folder_are_judged_by_where_they_are_installed(
    tmp_path: Path, out: Path, make: Callable[[Path], Path], kind: str
) -> None:
    moved = {"quiverdb/": f"quiverdb-1.0.0.data/{kind}/quiverdb/"}
    assert inspect(wheels.mutate(make(tmp_path), out, move=moved)).causes == ()


@pytest.mark.parametrize("junk", [b"\xff\x00\xff\x00", bytes(4), b"\x7f\xff\xff\xff"])
@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_damage_anywhere_in_an_archive_is_a_cause_and_never_an_error(
    tmp_path: Path, make: Callable[[Path], Path], junk: bytes
) -> None:
    wheel = make(tmp_path)
    good = wheel.read_bytes()
    for place in range(0, len(good), 61):
        wheel.write_bytes(good[:place] + junk + good[place + 4 :])
        with contextlib.suppress(BadWheel):
            inspect(wheel)


@pytest.mark.parametrize("junk", [b"\xff\x00\xff\x00", bytes(4), b"\x7f\xff\xff\xff"])
@pytest.mark.parametrize(
    ("make", "path", "library"),
    [(linux_wheel, LINUX_CORE, linux_core()), (windows_wheel, WINDOWS_CORE, windows_core())],
    ids=["elf", "pe"],
)
def test_damage_anywhere_in_a_library_is_a_cause_and_never_an_error(
    tmp_path: Path,
    make: Callable[[Path, Mapping[str, bytes]], Path],
    path: str,
    library: bytes,
    junk: bytes,
) -> None:
    for place in range(0, len(library), 23):
        inspect(make(tmp_path, {path: library[:place] + junk + library[place + 4 :]}))


@pytest.mark.parametrize("code", ["x = " + "-" * 100_000 + "1", "x = a" + ".b" * 50_000])
def test_code_that_no_parser_can_hold_is_unverified_and_ends_nothing(
    tmp_path: Path, code: str
) -> None:
    inspection = inspect(linux_wheel(tmp_path, {"quiverdb/extra.py": code}))
    assert inspection.causes == ()
    assert not inspection.unverified or "quiverdb/extra.py" in inspection.unverified[0]
