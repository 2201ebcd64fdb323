from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import SUBJECT, linux_wheel, windows_wheel
from verification.models.cause import Cause
from verification.wheel import Inspection, inspect
from verification.wheel import tags as identity

INFO = "quiverdb-1.0.0.dist-info"


def look(wheel: Path) -> Inspection:
    return inspect(wheel, subject=SUBJECT)


def only(wheel: Path) -> Cause:
    (cause,) = look(wheel).causes
    return cause


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def replace(folder: Path, out: Path, file: str, old: str, new: str) -> Path:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return wheels.mutate(linux_wheel(folder), out, edit={f"{INFO}/{file}": change})


@pytest.mark.parametrize(
    ("old", "new"), [("Version: 1.0.0", "Version: 1.0.1"), ("Name: quiverdb", "Name: quiver")]
)
def test_metadata_that_tells_another_name_or_version_is_a_version_mismatch(
    tmp_path: Path, out: Path, old: str, new: str
) -> None:
    cause = only(replace(tmp_path, out, "METADATA", old, new))
    assert cause.name == "version-mismatch"
    assert new.split()[-1] in cause.message


def test_the_same_version_written_otherwise_is_no_mismatch(tmp_path: Path, out: Path) -> None:
    wheel = replace(tmp_path, out, "METADATA", "Version: 1.0.0", "Version: 1.0")
    assert look(wheel).causes == ()


def test_a_file_renamed_to_another_version_is_a_version_mismatch(tmp_path: Path, out: Path) -> None:
    name = f"quiverdb-2.0.0-{wheels.LINUX_TAG}.whl"
    inspection = look(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert inspection.names() == {"version-mismatch"}
    assert any(f"metadata folder is {INFO}" in cause.message for cause in inspection.causes)


def test_a_wheel_of_another_package_is_told(tmp_path: Path) -> None:
    cause = only(linux_wheel(tmp_path, name="quiverdb_fork"))
    assert "is a wheel of quiverdb-fork, not of quiverdb" in cause.message


def test_a_second_metadata_folder_is_told(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, {"quiverdb-0.9.0.dist-info/METADATA": "Name: quiverdb\n"})
    messages = [one.message for one in look(wheel).causes if one.name == "version-mismatch"]
    assert any("2 metadata folders" in message for message in messages)


@pytest.mark.parametrize(
    ("file", "name"), [("METADATA", "version-mismatch"), ("WHEEL", "tag-mismatch")]
)
def test_an_absent_metadata_file_is_told(tmp_path: Path, out: Path, file: str, name: str) -> None:
    wheel = wheels.mutate(linux_wheel(tmp_path), out, remove=[f"{INFO}/{file}"])
    assert name in look(wheel).names("broken")


def test_a_file_renamed_to_another_platform_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    name = "quiverdb-1.0.0-cp313-cp313-manylinux_2_17_x86_64.whl"
    cause = only(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert cause.name == "tag-mismatch"
    assert "manylinux_2_17" in cause.message


@pytest.mark.parametrize("name", ["quiverdb.whl", "quiverdb-1.0.0.zip", "quiverdb-x-y-z-w.whl"])
def test_a_file_name_that_installers_refuse_is_a_tag_mismatch(
    tmp_path: Path, out: Path, name: str
) -> None:
    inspection = look(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert inspection.names() == {"tag-mismatch"}
    assert inspection.platform == "manylinux_2_28_x86_64"


@pytest.mark.parametrize("value", ["true", ""])
def test_a_native_wheel_for_the_pure_folder_is_a_tag_mismatch(
    tmp_path: Path, out: Path, value: str
) -> None:
    cause = only(replace(tmp_path, out, "WHEEL", "Purelib: false", f"Purelib: {value}"))
    assert cause.name == "tag-mismatch"
    assert "Root-Is-Purelib" in cause.message


@pytest.mark.parametrize("version", ["2.0", "", "one"])
def test_a_form_that_no_installer_knows_is_named(tmp_path: Path, out: Path, version: str) -> None:
    cause = only(replace(tmp_path, out, "WHEEL", "Wheel-Version: 1.0", f"Wheel-Version: {version}"))
    assert cause.name == "wheel-version"
    assert f"Wheel-Version: {version or 'nothing'}" in cause.message


def test_a_later_form_of_the_same_major_version_is_taken(tmp_path: Path, out: Path) -> None:
    wheel = replace(tmp_path, out, "WHEEL", "Wheel-Version: 1.0", "Wheel-Version: 1.9")
    assert look(wheel).causes == ()


@pytest.mark.parametrize("platform", ["linux_x86_64", "musllinux_1_2_x86_64", "win32"])
def test_a_tag_for_no_platform_of_the_release_is_a_tag_mismatch(
    tmp_path: Path, platform: str
) -> None:
    cause = only(linux_wheel(tmp_path, tag=f"cp313-cp313-{platform}"))
    assert cause.name == "tag-mismatch"
    assert "the release's platforms are manylinux_2_28_x86_64, win_amd64" in cause.message


@pytest.mark.parametrize("python", ["cp312-cp312", "cp313-cp313t", "cp314-abi3", "py2-none"])
def test_a_tag_that_the_promised_python_does_not_take_is_unsupported(
    tmp_path: Path, python: str
) -> None:
    cause = only(windows_wheel(tmp_path, tag=f"{python}-win_amd64"))
    assert cause.name == "unsupported-python"


@pytest.mark.parametrize("python", ["cp312-abi3", "py3-none", "cp313-none"])
def test_every_tag_that_the_promised_python_takes_is_accepted(tmp_path: Path, python: str) -> None:
    assert look(windows_wheel(tmp_path, tag=f"{python}-win_amd64")).causes == ()


@pytest.mark.parametrize("requires", [">=3.14", "<3.13", "three"])
def test_a_requires_python_that_shuts_out_the_promised_python_is_unsupported(
    tmp_path: Path, out: Path, requires: str
) -> None:
    wheel = replace(tmp_path, out, "METADATA", "Python: >=3.13", f"Python: {requires}")
    assert only(wheel).name == "unsupported-python"


def test_a_tag_above_the_promised_glibc_is_told_by_the_floor(tmp_path: Path) -> None:
    cause = only(linux_wheel(tmp_path, tag="cp313-cp313-manylinux_2_34_x86_64"))
    assert cause.name == "glibc-floor"
    assert "promises manylinux_2_28_x86_64" in cause.message


def test_several_platform_tags_are_accepted_when_the_oldest_holds(tmp_path: Path) -> None:
    tag = "cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64"
    assert look(linux_wheel(tmp_path, tag=tag)).causes == ()


def test_bare_metadata_is_a_note_that_lists_what_is_absent(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.2\nName: quiverdb\nVersion: 1.0.0\nRequires-Dist: cffi\n\n"
    cause = only(linux_wheel(tmp_path, metadata=metadata))
    assert (cause.name, cause.severity) == ("metadata-incomplete", "note")
    assert "no summary, description, licence, classifiers, Requires-Python" in cause.message


@pytest.mark.parametrize("more", ["win_amd64", "macosx_11_0_arm64", "manylinux_2_28_aarch64"])
def test_a_platform_beside_the_true_one_is_a_tag_mismatch(tmp_path: Path, more: str) -> None:
    tag = f"cp313-cp313-manylinux_2_28_x86_64.{more}"
    causes = look(linux_wheel(tmp_path, tag=tag)).causes
    told = [cause for cause in causes if cause.name == "tag-mismatch"]
    assert any(" as well, and its code is for " in cause.message for cause in told)


@pytest.mark.parametrize(
    "told", ["==3.13", "<=3.13", "!=3.13.99", ">=3.13.1", ">=3.13,!=3.13.3,!=3.13.4"]
)
def test_a_python_that_is_let_in_for_some_of_its_patches_only_is_not_supported(
    tmp_path: Path, out: Path, told: str
) -> None:
    wheel = replace(
        tmp_path, out, "METADATA", "Requires-Python: >=3.13", f"Requires-Python: {told}"
    )
    assert only(wheel).name == "unsupported-python"


def test_the_patch_release_that_is_not_let_in_is_named(tmp_path: Path, out: Path) -> None:
    told = "Requires-Python: >=3.13,!=3.13.3"
    cause = only(replace(tmp_path, out, "METADATA", "Requires-Python: >=3.13", told))
    assert "which Python 3.13.3 does not meet" in cause.message


@pytest.mark.parametrize(
    ("marker", "declared"),
    [
        ('python_full_version < "3.13.6"', False),
        ('python_full_version != "3.13.5"', False),
        ('implementation_version >= "3.13.2"', False),
        ('python_full_version >= "3.13"', True),
        ('python_full_version < "3.14"', True),
        ('python_version == "3.13"', True),
    ],
)
def test_a_dependency_must_hold_for_every_patch_release(
    tmp_path: Path, marker: str, *, declared: bool
) -> None:
    wheel = linux_wheel(tmp_path, requires=[f"cffi>=2.0.0; {marker}"])
    assert ("missing-dependency" not in look(wheel).names()) == declared


@pytest.mark.parametrize(("machine", "declared"), [("AMD64", True), ("x86_64", False)])
def test_a_marker_is_read_as_the_wheels_own_platform_reads_it(
    tmp_path: Path, out: Path, machine: str, *, declared: bool
) -> None:
    def change(data: bytes) -> bytes:
        assert data.count(b"Requires-Dist: cffi") == 1
        line = next(line for line in data.splitlines() if line.startswith(b"Requires-Dist: cffi"))
        return data.replace(line, line + f"; platform_machine == '{machine}'".encode())

    wheel = wheels.mutate(windows_wheel(tmp_path), out, edit={f"{INFO}/METADATA": change})
    assert ("missing-dependency" not in look(wheel).names()) == declared


def test_a_library_in_another_case_is_found_on_windows(tmp_path: Path, out: Path) -> None:
    folder = "quiverdb/_libs/"
    with zipfile.ZipFile(good := windows_wheel(tmp_path)) as archive:
        data = archive.read(f"{folder}libquiver.dll")
    remove, add = [f"{folder}libquiver.dll"], {f"{folder}LibQuiver.dll": data}
    assert look(wheels.mutate(good, out, remove=remove, add=add)).causes == ()


@pytest.mark.parametrize(
    ("tag", "python", "library"),
    [
        ("cp314-cp314-manylinux_2_28_x86_64", "cp314", "_x.cpython-314-x86_64-linux-gnu.so"),
        ("cp314-cp314t-manylinux_2_28_x86_64", "cp314", "_x.cpython-314t-x86_64-linux-gnu.so"),
        ("cp313-cp313-musllinux_1_2_x86_64", "cp313", "_x.cpython-313-x86_64-linux-musl.so"),
        ("cp310-cp310-musllinux_1_2_x86_64", "cp310", "_x.cpython-310-x86_64-linux-gnu.so"),
        ("cp312-cp312-win_amd64", "cp312", "_x.cp312-win_amd64.pyd"),
        ("pp311-pypy311_pp73-win_amd64", "cp313", "_x.cp313-win_amd64.pyd"),
    ],
)
def test_what_is_promised_reads_otherwise_for_another_python(
    tag: str, python: str, library: str
) -> None:
    names = ("_x.cpython-313-x86_64-linux-gnu.so", "_x.cp313-win_amd64.pyd")
    subject = SUBJECT.model_copy(
        update={
            "platforms": tuple(
                platform.model_copy(update={"libraries": (name,)})
                for platform, name in zip(SUBJECT.platforms, names, strict=False)
            )
        }
    )
    own = identity.for_its_own(f"quiverdb-1.0.0-{tag}.whl", subject)
    platform = own.platform_for(tag.rpartition("-")[2])
    assert own.python == python
    assert platform is not None
    assert platform.libraries == (library,)


@pytest.mark.parametrize(
    ("tag", "kept"),
    [
        (wheels.LINUX_TAG, "manylinux_2_28_x86_64"),
        (wheels.WINDOWS_TAG, "win_amd64"),
        ("cp39-abi3-manylinux2014_x86_64", "manylinux_2_28_x86_64"),
        ("cp314-cp314-win_amd64", None),
        ("cp313-cp313t-win_amd64", None),
        ("cp313-cp313-manylinux_2_29_x86_64", None),
        ("cp313-cp313-musllinux_1_2_x86_64", None),
        ("py3-none-any", None),
    ],
)
def test_a_wheel_keeps_the_promise_of_one_platform_or_of_none(tag: str, kept: str | None) -> None:
    found = identity.promised(f"quiverdb-1.0.0-{tag}.whl", SUBJECT)
    assert (found.tag if found else None) == kept


def test_a_line_that_is_no_tag_is_told(tmp_path: Path, out: Path) -> None:
    cause = only(replace(tmp_path, out, "WHEEL", "Tag: cp313", "Tag: broken\nTag: cp313"))
    assert (cause.name, "WHEEL says Tag: broken" in cause.message) == ("tag-mismatch", True)
