from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import pe
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    SUBJECT,
    WINDOWS_CORE,
    linux_api,
    linux_core,
    linux_wheel,
    windows_core,
    windows_wheel,
)
from verification.models.cause import Cause
from verification.wheel import BadWheel, Inspection, inspect, inspect_set

BEYOND = (
    "cp314-cp314-manylinux_2_28_x86_64",
    "cp313-cp313t-manylinux_2_28_x86_64",
    "cp313-cp313-manylinux_2_34_x86_64",
    "cp313-cp313d-manylinux_2_28_x86_64",
    "cp27-cp27mu-manylinux_2_28_x86_64",
    "pp311-pypy311_pp73-manylinux_2_28_x86_64",
)
"""Tags of wheels that are nobody's promise, and good beside one that is."""


def look(wheel: Path) -> Inspection:
    return inspect(wheel, subject=SUBJECT)


def only(causes: tuple[Cause, ...]) -> Cause:
    (cause,) = causes
    return cause


def test_a_good_linux_wheel_has_no_causes(tmp_path: Path) -> None:
    inspection = look(linux_wheel(tmp_path))
    assert inspection.causes == ()
    assert inspection.unverified == ()


def test_a_good_windows_wheel_has_no_causes(tmp_path: Path) -> None:
    inspection = look(windows_wheel(tmp_path))
    assert inspection.causes == ()
    assert inspection.unverified == ()


def test_an_inspection_tells_the_facts_as_json(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path)
    facts = json.loads(json.dumps(look(wheel).to_dict()))
    assert facts["file"] == wheel.name
    assert facts["version"] == "1.0.0"
    assert facts["tags"] == [wheels.LINUX_TAG]
    assert facts["platform"] == "manylinux_2_28_x86_64"
    assert facts["requires"] == ["cffi>=2.0.0"]
    assert facts["size"] == wheel.stat().st_size
    assert LINUX_CORE in facts["files"]
    core = next(one for one in facts["libraries"] if one["paths"] == [LINUX_CORE])
    assert core["machine"] == "x86_64"
    assert core["versions"]["libc.so.6"] == ["GLIBC_2.14"]


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
    inspection = look(wheel)
    assert [cause.name for cause in inspection.causes] == [
        "missing-dependency",
        "version-mismatch",
        "wrong-architecture",
        "duplicate-library",
        "stray-top-level",
        "metadata-incomplete",
    ]
    assert inspection.names("flawed") == {"duplicate-library", "stray-top-level"}


@pytest.mark.parametrize("keep", [0, 100, -10])
def test_a_truncated_wheel_is_bad_input(tmp_path: Path, keep: int) -> None:
    wheel = linux_wheel(tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:keep])
    with pytest.raises(BadWheel, match=r"is no wheel: .* give a complete"):
        look(wheel)


def test_a_file_that_is_no_archive_is_bad_input(tmp_path: Path) -> None:
    wheel = tmp_path / "quiverdb-1.0.0-cp313-cp313-win_amd64.whl"
    wheel.write_text("not found")
    with pytest.raises(BadWheel) as raised:
        look(wheel)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["absent.whl", "."])
def test_an_unreadable_path_is_bad_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadWheel, match="cannot be read"):
        look(tmp_path / name)


@pytest.mark.parametrize("junk", [b"\xff\x00\xff\x00", bytes(4), b"\x7f\xff\xff\xff"])
@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_damage_anywhere_in_an_archive_is_told_and_never_an_error(
    tmp_path: Path, make: Callable[[Path], Path], junk: bytes
) -> None:
    wheel = make(tmp_path)
    good = wheel.read_bytes()
    for place in range(0, len(good), 61):
        wheel.write_bytes(good[:place] + junk + good[place + 4 :])
        with contextlib.suppress(BadWheel):
            look(wheel)


@pytest.mark.parametrize("junk", [b"\xff\x00\xff\x00", bytes(4), b"\x7f\xff\xff\xff"])
@pytest.mark.parametrize(
    ("make", "path", "library"),
    [(linux_wheel, LINUX_CORE, linux_core()), (windows_wheel, WINDOWS_CORE, windows_core())],
    ids=["elf", "pe"],
)
def test_damage_anywhere_in_a_library_is_told_and_never_an_error(
    tmp_path: Path,
    make: Callable[[Path, dict[str, bytes]], Path],
    path: str,
    library: bytes,
    junk: bytes,
) -> None:
    for place in range(0, len(library), 23):
        look(make(tmp_path, {path: library[:place] + junk + library[place + 4 :]}))


@pytest.mark.parametrize("path", [LINUX_CORE, LINUX_API])
def test_an_absent_native_library_is_named(tmp_path: Path, path: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    inspection = look(wheels.mutate(linux_wheel(tmp_path), out, remove=[path]))
    assert [(one.name, one.where) for one in inspection.causes] == [
        ("missing-bundled-library", path)
    ]


@pytest.mark.parametrize("kind", ["purelib", "platlib"])
@pytest.mark.parametrize("make", [linux_wheel, windows_wheel])
def test_files_of_the_data_folder_are_judged_by_where_they_are_installed(
    tmp_path: Path, make: Callable[[Path], Path], kind: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    wheel = wheels.mutate(
        make(tmp_path), out, move={"quiverdb/": f"quiverdb-1.0.0.data/{kind}/quiverdb/"}
    )
    assert look(wheel).causes == ()


def test_a_library_under_another_name_does_not_stand_in(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    wheel = wheels.mutate(linux_wheel(tmp_path), out, move={LINUX_CORE: f"{LINUX_CORE}.0"})
    assert "missing-bundled-library" in look(wheel).names()


@pytest.mark.parametrize("data", [b"", b"libquiver.so.0", b"\x7fELF", b"\x7fELF\x02\x01\x01" * 20])
def test_a_file_that_is_no_library_counts_as_absent(tmp_path: Path, data: bytes) -> None:
    inspection = look(linux_wheel(tmp_path, {LINUX_CORE: data}))
    assert [(one.name, one.where) for one in inspection.causes] == [
        ("missing-bundled-library", LINUX_CORE)
    ]


def test_a_damaged_windows_library_counts_as_absent(tmp_path: Path) -> None:
    inspection = look(windows_wheel(tmp_path, {WINDOWS_CORE: b"MZ" + bytes(200)}))
    assert inspection.names() == {"missing-bundled-library"}


def test_a_pure_wheel_without_libraries_lacks_them(tmp_path: Path) -> None:
    wheel = wheels.build(tmp_path, {"quiverdb/__init__.py": "import cffi\n"}, tag="py3-none-any")
    cause = only(look(wheel).causes)
    assert cause.name == "missing-bundled-library"
    assert "pure wheel" in cause.message


def test_a_pure_tag_on_native_code_is_a_tag_mismatch(tmp_path: Path) -> None:
    cause = only(look(linux_wheel(tmp_path, tag="py3-none-any")).causes)
    assert cause.name == "tag-mismatch"
    assert LINUX_API in cause.message or LINUX_CORE in cause.message


@pytest.mark.parametrize("data", [linux_core(machine="aarch64"), pe()])
def test_a_library_for_something_else_has_the_wrong_architecture(
    tmp_path: Path, data: bytes
) -> None:
    inspection = look(linux_wheel(tmp_path, {LINUX_CORE: data}))
    cause = only(inspection.causes)
    assert (cause.name, cause.where) == ("wrong-architecture", LINUX_CORE)


def test_a_library_under_several_names_is_told_once_for_each_library(tmp_path: Path) -> None:
    core, api = linux_core(), linux_api()
    more = {f"{LINUX_CORE}.0": core, f"{LINUX_CORE}.0.1": core, f"{LINUX_API}.0": api}
    causes = look(linux_wheel(tmp_path, more)).causes
    assert [(one.name, one.where) for one in causes] == [
        ("duplicate-library", LINUX_CORE),
        ("duplicate-library", LINUX_API),
    ]
    assert "3 times" in causes[0].message
    assert f"{LINUX_CORE}.0.1" in causes[0].message


def test_what_a_macos_library_needs_is_told_as_unverified(tmp_path: Path) -> None:
    data = b"\xcf\xfa\xed\xfe" + bytes(60)
    core = "quiverdb/_libs/libquiver.0.dylib"
    wheel = wheels.build(
        tmp_path,
        {"quiverdb/__init__.py": "", core: data, "quiverdb/_libs/libquiver_c.dylib": data + b"c"},
        tag="cp313-cp313-macosx_11_0_arm64",
    )
    inspection = look(wheel)
    assert inspection.causes == ()
    assert f"{core}: what a Mach-O library needs is not read" in inspection.unverified


def test_a_library_without_section_headers_is_told_as_unverified(tmp_path: Path) -> None:
    inspection = look(linux_wheel(tmp_path, {LINUX_CORE: linux_core(section_headers=False)}))
    assert any("symbols were not read" in reason for reason in inspection.unverified)
    assert inspection.causes == ()


class TestSet:
    def test_one_good_wheel_for_each_platform_is_a_good_release(self, tmp_path: Path) -> None:
        release = inspect_set([linux_wheel(tmp_path), windows_wheel(tmp_path)], subject=SUBJECT)
        assert release.causes == ()
        assert len(release.wheels) == 2

    def test_a_missing_platform_is_named(self, tmp_path: Path) -> None:
        release = inspect_set([linux_wheel(tmp_path)], subject=SUBJECT)
        cause = only(release.own_causes)
        assert cause.name == "incomplete-release"
        assert "win_amd64" in cause.message

    def test_no_wheels_at_all_lack_every_required_platform(self) -> None:
        assert len(inspect_set([], subject=SUBJECT).own_causes) == 2

    def test_two_wheels_with_one_tag_are_one_too_many(self, tmp_path: Path) -> None:
        first = linux_wheel(tmp_path)
        again = tmp_path / first.name.replace("-cp313-cp313-", "-2-cp313-cp313-")
        again.write_bytes(first.read_bytes())
        release = inspect_set([first, again, windows_wheel(tmp_path)], subject=SUBJECT)
        cause = only(release.own_causes)
        assert cause.name == "incomplete-release"
        assert f"2 wheels for {wheels.LINUX_TAG}: {again.name}, {first.name}" in cause.message

    @pytest.mark.parametrize("tag", BEYOND)
    def test_a_wheel_beyond_what_is_promised_is_welcome(self, tmp_path: Path, tag: str) -> None:
        other = linux_wheel(tmp_path, tag=tag)
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert release.causes == ()

    @pytest.mark.parametrize("tag", BEYOND)
    def test_a_wheel_beyond_what_is_promised_is_inspected(self, tmp_path: Path, tag: str) -> None:
        (tmp_path / "out").mkdir()
        whole = linux_wheel(tmp_path, tag=tag)
        other = wheels.mutate(whole, tmp_path / "out", remove=[LINUX_CORE])
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert {cause.name for cause in release.causes} == {"missing-bundled-library"}

    def test_a_module_for_another_python_is_none_of_the_wheels(self, tmp_path: Path) -> None:
        files: dict[str, bytes | str] = {
            "quiverdb/__init__.py": "from quiverdb import _speed\n",
            "quiverdb/_speed.cpython-313-x86_64-linux-gnu.so": linux_core(
                exports=["PyInit__speed"]
            ),
        }
        tags = ("cp313-cp313", "cp314-cp314", "cp313-cp313t", "cp39-abi3")
        found = {}
        for tag in tags:
            (tmp_path / tag).mkdir()
            wheel = linux_wheel(tmp_path / tag, files, tag=f"{tag}-manylinux_2_28_x86_64")
            found[tag] = inspect(wheel, subject=SUBJECT, beside=True).names()
        assert found == {
            "cp313-cp313": frozenset(),
            "cp314-cp314": {"missing-dependency"},
            "cp313-cp313t": {"missing-dependency"},
            "cp39-abi3": frozenset(),
        }

    @pytest.mark.parametrize("tag", ["cp313-cp312", "cp314-cp313", "cp312-cp313t"])
    def test_a_tag_that_no_python_takes_is_told(self, tmp_path: Path, tag: str) -> None:
        other = linux_wheel(tmp_path, tag=f"{tag}-manylinux_2_28_x86_64")
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert "unsupported-python" in {cause.name for cause in release.causes}

    def test_an_abi3_wheel_for_a_newer_glibc_is_for_the_promised_python(
        self, tmp_path: Path
    ) -> None:
        other = linux_wheel(tmp_path, tag="cp39-abi3-manylinux_2_31_x86_64")
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert release.causes == ()

    def test_what_is_wrong_with_one_of_several_wheels_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        whole = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
        other = wheels.mutate(whole, tmp_path / "out", remove=[LINUX_CORE])
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert {cause.where for cause in release.causes} == {f"{other.name}: {LINUX_CORE}"}

    def test_two_wheels_for_musl_with_one_tag_are_one_too_many(self, tmp_path: Path) -> None:
        first = linux_wheel(tmp_path, tag="cp313-cp313-musllinux_1_2_x86_64")
        again = tmp_path / first.name.replace("-cp313-cp313-", "-2-cp313-cp313-")
        again.write_bytes(first.read_bytes())
        release = inspect_set(
            [linux_wheel(tmp_path), first, again, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert "incomplete-release" in {cause.name for cause in release.own_causes}

    def test_a_wheel_beside_is_what_differs_and_not_the_promised_one(self, tmp_path: Path) -> None:
        other = linux_wheel(
            tmp_path,
            {"quiverdb/__init__.py": "from quiverdb._loader import load\nstale = 1\n"},
            tag="cp310-cp310-manylinux_2_28_x86_64",
        )
        release = inspect_set(
            [other, linux_wheel(tmp_path), windows_wheel(tmp_path)], subject=SUBJECT
        )
        differing = [one.where for one in release.own_causes if one.name == "wheels-differ"]
        assert differing == [other.name]

    def test_a_wheel_for_musl_is_inspected_as_one(self, tmp_path: Path) -> None:
        other = linux_wheel(tmp_path, tag="cp313-cp313-musllinux_1_2_x86_64")
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert {cause.name for cause in release.causes} == {"missing-runtime-library"}
        assert any("libc.so.6" in cause.message for cause in release.causes)

    @pytest.mark.parametrize(
        ("tag", "cause"),
        [
            ("cp314-cp314-manylinux_2_28_x86_64", "unsupported-python"),
            ("cp313-cp313t-manylinux_2_28_x86_64", "unsupported-python"),
            ("cp313-cp313-manylinux_2_34_x86_64", "glibc-floor"),
            ("cp313-cp313-musllinux_1_2_x86_64", "incomplete-release"),
        ],
    )
    def test_alone_it_keeps_no_promise(self, tmp_path: Path, tag: str, cause: str) -> None:
        release = inspect_set(
            [linux_wheel(tmp_path, tag=tag), windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert cause in {one.name for one in release.causes}

    def test_a_wheel_for_another_python_requires_that_python(self, tmp_path: Path) -> None:
        def change(data: bytes) -> bytes:
            return re.sub(rb"Requires-Python: .*", b"Requires-Python: >=3.13,<3.14", data)

        (tmp_path / "out").mkdir()
        release = [
            wheels.mutate(
                wheel, tmp_path / "out", edit={"quiverdb-1.0.0.dist-info/METADATA": change}
            )
            for wheel in (
                linux_wheel(tmp_path),
                linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64"),
                windows_wheel(tmp_path),
            )
        ]
        cause = only(inspect_set(release, subject=SUBJECT).causes)
        assert cause.name == "unsupported-python"
        assert cause.where == release[1].name
        assert "which Python 3.14 does not meet" in cause.message

    def test_a_wheel_for_no_promised_platform_is_one_too_many(self, tmp_path: Path) -> None:
        other = linux_wheel(tmp_path, tag="cp313-cp313-manylinux_2_28_s390x")
        release = inspect_set(
            [linux_wheel(tmp_path), other, windows_wheel(tmp_path)], subject=SUBJECT
        )
        assert only(release.own_causes).where == other.name

    def test_wheels_of_different_versions_do_not_make_a_release(self, tmp_path: Path) -> None:
        release = inspect_set(
            [linux_wheel(tmp_path), windows_wheel(tmp_path, version="1.0.1")], subject=SUBJECT
        )
        cause = only(release.own_causes)
        assert cause.name == "version-mismatch"
        assert "1.0.0, 1.0.1" in cause.message

    @pytest.mark.parametrize(
        ("changes", "seen"),
        [
            ({"requires": ["cffi>=2.0.0", "numpy"]}, "another Requires-Dist than quiverdb-1.0.0"),
            ({"requires": ["cffi>=2.0.1"]}, "(cffi>=2.0.0, cffi>=2.0.1)"),
            ({"files": {"quiverdb/_loader.py": "import cffi\n"}}, "other code than quiverdb-1.0.0"),
            ({"files": {"quiverdb/export.py": ""}}, "has quiverdb/export.py, which quiverdb-1.0.0"),
        ],
    )
    def test_wheels_that_are_not_of_one_source_are_told(
        self, tmp_path: Path, changes: dict[str, Any], seen: str
    ) -> None:
        release = inspect_set(
            [linux_wheel(tmp_path), windows_wheel(tmp_path, **changes)], subject=SUBJECT
        )
        cause = only(release.own_causes)
        assert (cause.name, cause.severity) == ("wheels-differ", "flawed")
        assert seen in cause.message

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("Requires-Python: >=3.13", "Requires-Python: >=3.12"),
            ("\n\n", "\nProvides-Extra: x\n\n"),
        ],
    )
    def test_other_metadata_of_one_wheel_is_told(self, tmp_path: Path, old: str, new: str) -> None:
        out = tmp_path / "out"
        out.mkdir()
        change = {
            "quiverdb-1.0.0.dist-info/METADATA": lambda data: data.replace(
                old.encode(), new.encode(), 1
            )
        }
        windows = wheels.mutate(windows_wheel(tmp_path), out, edit=change)
        cause = only(inspect_set([linux_wheel(tmp_path), windows], subject=SUBJECT).own_causes)
        assert cause.name == "wheels-differ"
        assert new.split(":")[0].strip() in cause.message

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("quiverdb/__config__.py", "compiler = 'cl'\n"),
            ("quiverdb/_version.py", "built = 2\n"),
            ("quiverdb/_windows_only.py", ""),
            ("quiverdb/winapi32/win32.py", ""),
            (
                "quiverdb/more.py",
                "# start delvewheel patch\r\nx = 1\r\n# end delvewheel patch\r\n\r\n"
                "import cffi\r\n",
            ),
            (  # where the module has no docstring of its own
                "quiverdb/more.py",
                '"""""" # start delvewheel patch\nx = 1\n# end delvewheel patch\n\nimport cffi\n',
            ),
        ],
    )
    def test_what_is_written_for_one_wheel_alone_is_no_difference(
        self, tmp_path: Path, path: str, code: str
    ) -> None:
        own = {"quiverdb/more.py": "import cffi\n"}
        release = inspect_set(
            [linux_wheel(tmp_path, own), windows_wheel(tmp_path, {**own, path: code})],
            subject=SUBJECT,
        )
        assert release.own_causes == ()

    def test_requirements_may_be_written_otherwise(self, tmp_path: Path) -> None:
        windows = windows_wheel(tmp_path, requires=["cffi (>= 2.0.0)"])
        assert inspect_set([linux_wheel(tmp_path), windows], subject=SUBJECT).own_causes == ()

    def test_a_platform_that_is_not_required_may_be_absent_or_there(self, tmp_path: Path) -> None:
        subject = SUBJECT.model_copy(
            update={
                "platforms": tuple(
                    platform.model_copy(update={"required": platform.tag == "win_amd64"})
                    for platform in SUBJECT.platforms
                )
            }
        )
        windows = windows_wheel(tmp_path)
        for extra in ([], [linux_wheel(tmp_path)]):
            assert inspect_set([windows, *extra], subject=subject).own_causes == ()

    def test_a_set_tells_its_own_causes_and_those_of_its_wheels(self, tmp_path: Path) -> None:
        stray = linux_wheel(tmp_path, {"lib64/liba.a": b"!<arch>"})
        release = inspect_set([stray], subject=SUBJECT)
        assert [one.name for one in release.causes] == ["incomplete-release", "stray-top-level"]
        facts = json.loads(json.dumps(release.to_dict()))
        assert [one["name"] for one in facts["causes"]] == ["incomplete-release"]
        assert len(facts["wheels"]) == 1
