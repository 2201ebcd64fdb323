from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    SUBJECT,
    inspect,
    linux_wheel,
    only_cause,
    windows_wheel,
)
from verification.models.cause import Severity
from verification.wheel.archive import open_wheel
from verification.wheel.identity import WheelIdentity, identify

INFO = "quiverdb-1.0.0.dist-info"


def identity(wheel: Path) -> WheelIdentity:
    return identify(open_wheel(wheel), SUBJECT)


def replace(folder: Path, out: Path, file: str, old: str, new: str) -> Path:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return wheels.mutate(linux_wheel(folder), out, edit={f"{INFO}/{file}": change})


# ---- what a wheel says it is ----


def test_the_file_name_counts(tmp_path: Path, out: Path) -> None:
    name = "Other.Name-2.0-py3-none-win_amd64.whl"
    found = identity(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert (found.name, found.version) == ("other-name", "2.0")
    assert set(map(str, found.tags)) == {"py3-none-win_amd64"}
    assert found.platform == SUBJECT.platforms[1]
    assert (found.platform_tag, found.pure) == ("win_amd64", False)


def test_without_a_readable_file_name_the_metadata_counts(tmp_path: Path, out: Path) -> None:
    found = identity(wheels.mutate(linux_wheel(tmp_path), out, rename="quiverdb.whl"))
    assert (found.name, found.version) == ("quiverdb", "1.0.0")
    assert set(map(str, found.tags)) == {wheels.LINUX_TAG}
    assert found.platform == SUBJECT.platforms[0]


def test_without_both_nothing_is_known(tmp_path: Path, out: Path) -> None:
    remove = [f"{INFO}/METADATA", f"{INFO}/WHEEL"]
    found = identity(wheels.mutate(linux_wheel(tmp_path), out, remove=remove, rename="x.whl"))
    assert (found.name, found.version) == ("unknown", "unknown")
    assert (found.tags, found.platform, found.platform_tag) == (frozenset(), None, "unknown")


def test_a_wheel_for_any_platform_is_pure(tmp_path: Path) -> None:
    found = identity(linux_wheel(tmp_path, tag="py3-none-any"))
    assert (found.pure, found.platform) == (True, None)


# ---- names and versions ----


@pytest.mark.parametrize(
    ("old", "new", "observed"),
    [
        ("Version: 1.0.0", "Version: 1.0.1", "is version 1.0.0, and METADATA says 1.0.1;"),
        ("Version: 1.0.0", "Version: one", "is version 1.0.0, and METADATA says one;"),
        ("Version: 1.0.0\n", "", "is version 1.0.0, and METADATA says none;"),
        ("Name: quiverdb", "Name: quiver", "is named quiverdb, and METADATA names quiver;"),
        ("Name: quiverdb\n", "", "is named quiverdb, and METADATA names nothing;"),
    ],
)
def test_metadata_with_another_name_or_version_is_a_version_mismatch(
    tmp_path: Path, out: Path, old: str, new: str, observed: str
) -> None:
    cause = only_cause(replace(tmp_path, out, "METADATA", old, new))
    assert cause.name == "version-mismatch"
    assert cause.message.startswith(observed)


@pytest.mark.parametrize(
    ("old", "new"), [("Version: 1.0.0", "Version: 1.0"), ("Name: quiverdb", "Name: QuiverDB")]
)
def test_the_same_name_or_version_written_otherwise_is_no_mismatch(
    tmp_path: Path, out: Path, old: str, new: str
) -> None:
    assert inspect(replace(tmp_path, out, "METADATA", old, new)).causes == ()


@pytest.mark.parametrize("name", ["quiverdb-2.0.0", "quiverdb_x-1.0.0"])
def test_a_renamed_file_is_a_version_mismatch(tmp_path: Path, out: Path, name: str) -> None:
    name = f"{name}-{wheels.LINUX_TAG}.whl"
    inspection = inspect(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert inspection.cause_names() == {"version-mismatch"}
    assert any(f"metadata folder is {INFO};" in cause.message for cause in inspection.causes)
    assert any("and METADATA " in cause.message for cause in inspection.causes)


def test_a_wheel_of_another_package_is_named(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, name="quiverdb_fork"))
    assert cause.name == "version-mismatch"
    assert "is a wheel of quiverdb-fork, not of quiverdb" in cause.message


def test_a_second_metadata_folder_is_named(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, {"quiverdb-0.9.0.dist-info/x": "", "x-1.0.0.dist-info/x": ""})
    messages = [one.message for one in inspect(wheel).causes if one.name == "version-mismatch"]
    assert any(
        f"has 3 metadata folders: quiverdb-0.9.0.dist-info, {INFO}, x-1.0.0.dist-info;" in message
        for message in messages
    )
    for folder in ("quiverdb-0.9.0.dist-info", "x-1.0.0.dist-info"):
        assert any(f"its metadata folder is {folder};" in message for message in messages)
    assert not any(f"its metadata folder is {INFO};" in message for message in messages)


@pytest.mark.parametrize(
    ("file", "name"), [("METADATA", "version-mismatch"), ("WHEEL", "tag-mismatch")]
)
def test_an_absent_metadata_file_is_named(tmp_path: Path, out: Path, file: str, name: str) -> None:
    inspection = inspect(wheels.mutate(linux_wheel(tmp_path), out, remove=[f"{INFO}/{file}"]))
    mine = [cause for cause in inspection.causes if cause.name == name]
    assert [cause.message.partition(";")[0] for cause in mine] == [
        f"has no {file}{' file' * (file == 'WHEEL')}"
    ]
    assert name in inspection.cause_names(Severity.BROKEN)


# ---- tags ----


def test_a_file_renamed_to_another_platform_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    name = "quiverdb-1.0.0-cp313-cp313-manylinux_2_17_x86_64.whl"
    cause = only_cause(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert cause.name == "tag-mismatch"
    assert f"manylinux_2_17_x86_64, and WHEEL says {wheels.LINUX_TAG};" in cause.message


@pytest.mark.parametrize("name", ["quiverdb.whl", "quiverdb-1.0.0.zip", "quiverdb-x-y-z-w.whl"])
def test_a_file_name_that_installers_refuse_is_a_tag_mismatch(
    tmp_path: Path, out: Path, name: str
) -> None:
    inspection = inspect(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert inspection.cause_names() == {"tag-mismatch"}
    assert "is no wheel file name that installers accept (" in inspection.causes[0].message
    assert inspection.platform == "manylinux_2_28_x86_64"


def test_a_wheel_without_tags_inside_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    cause = only_cause(replace(tmp_path, out, "WHEEL", f"Tag: {wheels.LINUX_TAG}\n", ""))
    assert cause.name == "tag-mismatch"
    assert cause.message.startswith(f"is tagged {wheels.LINUX_TAG}, and WHEEL says nothing;")


def test_a_line_that_is_no_tag_is_named(tmp_path: Path, out: Path) -> None:
    cause = only_cause(replace(tmp_path, out, "WHEEL", "Tag: cp313", "Tag: broken\nTag: cp313"))
    assert cause.name == "tag-mismatch"
    assert cause.message.startswith("WHEEL says Tag: broken, which is none;")


@pytest.mark.parametrize("value", ["true", "", "yes"])
def test_a_native_wheel_for_the_pure_folder_is_a_tag_mismatch(
    tmp_path: Path, out: Path, value: str
) -> None:
    cause = only_cause(replace(tmp_path, out, "WHEEL", "Purelib: false", f"Purelib: {value}"))
    assert cause.name == "tag-mismatch"
    assert f"and WHEEL says Root-Is-Purelib: {value};" in cause.message.replace(": ;", ": ;")


def test_a_pure_wheel_for_the_native_folder_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    pure = wheels.build(tmp_path, {"quiverdb/__init__.py": ""}, tag="py3-none-any")
    edit = {f"{INFO}/WHEEL": lambda data: data.replace(b"Purelib: true", b"Purelib: false")}
    causes = inspect(wheels.mutate(pure, out, edit=edit)).causes
    assert [cause.name for cause in causes] == ["missing-bundled-library", "tag-mismatch"]
    assert "is tagged py3-none-any, and WHEEL says Root-Is-Purelib: false;" in causes[1].message
    assert inspect(pure).cause_names() == {"missing-bundled-library"}


@pytest.mark.parametrize("version", ["2.0", "", "one", "1", "11.0", "1.x"])
def test_a_form_that_no_installer_knows_is_named(tmp_path: Path, out: Path, version: str) -> None:
    wheel = replace(tmp_path, out, "WHEEL", "Wheel-Version: 1.0", f"Wheel-Version: {version}")
    cause = only_cause(wheel)
    assert cause.name == "wheel-version"
    assert f"Wheel-Version: {version or 'nothing'};" in cause.message


def test_a_later_form_of_the_same_major_version_is_taken(tmp_path: Path, out: Path) -> None:
    wheel = replace(tmp_path, out, "WHEEL", "Wheel-Version: 1.0", "Wheel-Version: 1.19")
    assert inspect(wheel).causes == ()


# ---- Python ----


@pytest.mark.parametrize("python", ["cp312-cp312", "cp313-cp313t", "cp314-abi3", "py2-none"])
def test_a_tag_that_the_declared_python_does_not_take_is_unsupported(
    tmp_path: Path, python: str
) -> None:
    tag = f"{python}-win_amd64"
    cause = only_cause(windows_wheel(tmp_path, tag=tag))
    assert cause.name == "unsupported-python"
    assert cause.message.startswith(f"is tagged {tag}, which Python 3.13 does not take;")


@pytest.mark.parametrize("python", ["cp312-abi3", "py3-none", "cp313-none", "cp313.cp314-cp313"])
def test_every_tag_that_the_declared_python_takes_is_accepted(tmp_path: Path, python: str) -> None:
    wheel = windows_wheel(tmp_path, tag=f"{python}-win_amd64")
    assert inspect(wheel).cause_names() <= {"tag-mismatch"}  # the builder writes one line a tag


@pytest.mark.parametrize(
    ("python", "is_accepted"),
    [
        ("cp314-cp314", True),
        ("cp314-cp314t", True),
        ("cp313-cp313d", True),
        ("cp27-cp27mu", True),
        ("pp311-pypy311_pp73", True),
        ("cp313-cp312", False),
        ("cp314-cp313", False),
        ("cp312-cp313t", False),
        ("cp314-cp314-1", None),
    ],
)
def test_an_additional_wheel_is_for_any_python_that_there_is(
    tmp_path: Path, python: str, *, is_accepted: bool | None
) -> None:
    if is_accepted is None:
        return
    wheel = linux_wheel(tmp_path, tag=f"{python}-manylinux_2_28_x86_64")
    names = inspect(wheel, additional=True).cause_names()
    assert names == (set() if is_accepted else {"unsupported-python"})


@pytest.mark.parametrize(
    ("requires", "python"),
    [
        (">=3.14", "3.13"),
        ("<3.13", "3.13"),
        ("three", "3.13"),
        ("==3.13", "3.13.1"),
        ("<=3.13", "3.13.1"),
        ("!=3.13.99", "3.13.99"),
        (">=3.13.1", "3.13.0"),
        (">=3.13,!=3.13.3,!=3.13.4", "3.13.3"),
    ],
)
def test_a_requires_python_that_shuts_out_the_declared_python_is_unsupported(
    tmp_path: Path, out: Path, requires: str, python: str
) -> None:
    wheel = replace(tmp_path, out, "METADATA", "Python: >=3.13", f"Python: {requires}")
    cause = only_cause(wheel)
    assert cause.name == "unsupported-python"
    observed = f"says Requires-Python: {requires}, which Python {python} does not meet;"
    assert cause.message.startswith(observed)


@pytest.mark.parametrize("requires", [">=3.13.0", ">=3.10,<3.14", "!=3.12.*", "~=3.10"])
def test_a_requires_python_that_lets_in_every_patch_release_is_good(
    tmp_path: Path, out: Path, requires: str
) -> None:
    wheel = replace(tmp_path, out, "METADATA", "Python: >=3.13", f"Python: {requires}")
    assert inspect(wheel).causes == ()


def test_a_wheel_for_another_python_requires_that_python(tmp_path: Path, out: Path) -> None:
    wheel = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
    edit = {
        f"{INFO}/METADATA": lambda data: data.replace(b"Python: >=3.13", b"Python: >=3.13,<3.14")
    }
    (cause,) = inspect(wheels.mutate(wheel, out, edit=edit), additional=True).causes
    assert cause.name == "unsupported-python"
    assert "which Python 3.14 does not meet" in cause.message


# ---- platforms ----


@pytest.mark.parametrize("platform", ["linux_x86_64", "musllinux_1_2_x86_64", "win32"])
def test_a_tag_for_no_platform_of_the_release_is_a_tag_mismatch(
    tmp_path: Path, platform: str
) -> None:
    cause = only_cause(linux_wheel(tmp_path, tag=f"cp313-cp313-{platform}"))
    assert cause.name == "tag-mismatch"
    assert "the release's platforms are manylinux_2_28_x86_64, win_amd64, " in cause.message


@pytest.mark.parametrize("more", ["win_amd64", "macosx_11_0_arm64", "manylinux_2_28_aarch64"])
def test_a_platform_beside_the_true_one_is_a_tag_mismatch(tmp_path: Path, more: str) -> None:
    causes = inspect(linux_wheel(tmp_path, tag=f"cp313-cp313-manylinux_2_28_x86_64.{more}")).causes
    messages = [cause.message for cause in causes if cause.name == "tag-mismatch"]
    observed = f"is tagged {more} as well, and its code is for manylinux_2_28_x86_64;"
    assert [message.startswith(observed) for message in messages] == [True]


def test_a_tag_above_the_declared_glibc_is_the_glibc_floor(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, tag="cp313-cp313-manylinux_2_34_x86_64")
    cause = only_cause(wheel)
    assert cause.name == "glibc-floor"
    assert "is tagged manylinux_2_34_x86_64, and the release promises" in cause.message
    assert "promises manylinux_2_28_x86_64;" in cause.message
    assert inspect(wheel, additional=True).causes == ()


def test_several_platform_tags_are_accepted_when_the_oldest_holds(tmp_path: Path) -> None:
    for tag in (
        "cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64",
        "cp313-cp313-manylinux_2_28_x86_64.manylinux_2_34_x86_64",
    ):
        assert inspect(linux_wheel(tmp_path, tag=tag)).causes == ()


# ---- completeness ----


def test_bare_metadata_is_a_note_that_lists_what_is_absent(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.2\nName: quiverdb\nVersion: 1.0.0\nRequires-Dist: cffi\n\n \n"
    cause = only_cause(linux_wheel(tmp_path, metadata=metadata))
    assert (cause.name, cause.severity) == ("metadata-incomplete", "note")
    assert cause.where == f"{INFO}/METADATA"
    assert cause.message.startswith(
        "has no summary, description, licence, classifiers, Requires-Python, project links;"
    )


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        ("Summary: A package for tests", "summary"),
        ("License-Expression: MIT", "licence"),
        ("Classifier: Programming Language :: Python :: 3.13", "classifiers"),
        ("Project-URL: Source, https://example.org/", "project links"),
        ("Requires-Python: >=3.13", "Requires-Python"),
    ],
)
def test_each_absent_field_is_a_note(tmp_path: Path, out: Path, line: str, absent: str) -> None:
    cause = only_cause(replace(tmp_path, out, "METADATA", f"{line}\n", ""))
    assert cause.message.startswith(f"has no {absent};")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("License-Expression: MIT", "License: MIT"),
        ("Project-URL: Source, https://example.org/", "Home-page: https://example.org/"),
        ("\nA package for tests.\n", "Description: A package for tests.\n"),
    ],
)
def test_older_fields_are_as_good(tmp_path: Path, out: Path, old: str, new: str) -> None:
    assert inspect(replace(tmp_path, out, "METADATA", old, new)).causes == ()
