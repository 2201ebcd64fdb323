from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.binaries import elf
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


# ---- the identity ----


def test_identity_comes_from_the_file_name(tmp_path: Path, out: Path) -> None:
    name = "Other.Name-2.0-py3-none-win_amd64.whl"
    result = identity(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert (result.name, result.version) == ("other-name", "2.0")
    assert set(map(str, result.tags)) == {"py3-none-win_amd64"}
    assert result.platform == SUBJECT.platforms[1]
    assert (result.platform_tag, result.pure) == ("win_amd64", False)


def test_identity_comes_from_the_metadata_if_the_file_name_is_invalid(
    tmp_path: Path, out: Path
) -> None:
    result = identity(wheels.mutate(linux_wheel(tmp_path), out, rename="quiverdb.whl"))
    assert (result.name, result.version) == ("quiverdb", "1.0.0")
    assert set(map(str, result.tags)) == {wheels.LINUX_TAG}
    assert result.platform == SUBJECT.platforms[0]


def test_identity_is_unknown_without_file_name_and_metadata(tmp_path: Path, out: Path) -> None:
    remove = [f"{INFO}/METADATA", f"{INFO}/WHEEL"]
    result = identity(wheels.mutate(linux_wheel(tmp_path), out, remove=remove, rename="x.whl"))
    assert (result.name, result.version) == ("unknown", "unknown")
    assert (result.tags, result.platform, result.platform_tag) == (frozenset(), None, "unknown")


def test_wheel_for_any_platform_is_pure(tmp_path: Path) -> None:
    result = identity(linux_wheel(tmp_path, tag="py3-none-any"))
    assert (result.pure, result.platform) == (True, None)


# ---- names and versions ----


@pytest.mark.parametrize(
    ("old", "new", "facts"),
    [
        ("Version: 1.0.0", "Version: 1.0.1", {"metadata_version": "1.0.1"}),
        ("Version: 1.0.0", "Version: one", {"metadata_version": "one"}),
        ("Version: 1.0.0\n", "", {"metadata_version": ""}),
        ("Name: quiverdb", "Name: quiver", {"metadata_name": "quiver"}),
        ("Name: quiverdb\n", "", {"metadata_name": ""}),
    ],
)
def test_metadata_with_another_name_or_version_is_a_version_mismatch(
    tmp_path: Path, out: Path, old: str, new: str, facts: dict[str, str]
) -> None:
    cause = only_cause(replace(tmp_path, out, "METADATA", old, new))
    assert (cause.name, cause.facts) == ("version-mismatch", facts)


@pytest.mark.parametrize(
    ("old", "new"), [("Version: 1.0.0", "Version: 1.0"), ("Name: quiverdb", "Name: QuiverDB")]
)
def test_equivalent_name_or_version_is_not_a_mismatch(
    tmp_path: Path, out: Path, old: str, new: str
) -> None:
    assert inspect(replace(tmp_path, out, "METADATA", old, new)).causes == ()


@pytest.mark.parametrize(
    ("name", "fact"),
    [("quiverdb-2.0.0", "metadata_version"), ("quiverdb_x-1.0.0", "metadata_name")],
)
def test_renamed_file_is_a_version_mismatch(
    tmp_path: Path, out: Path, name: str, fact: str
) -> None:
    name = f"{name}-{wheels.LINUX_TAG}.whl"
    causes = inspect(wheels.mutate(linux_wheel(tmp_path), out, rename=name)).causes
    assert {cause.name for cause in causes} == {"version-mismatch"}
    assert any(cause.facts == {"folder": INFO} for cause in causes)
    assert any(fact in cause.facts for cause in causes)


def test_wheel_of_another_package_is_a_version_mismatch(tmp_path: Path) -> None:
    cause = only_cause(linux_wheel(tmp_path, name="quiverdb_fork"))
    assert (cause.name, cause.facts) == ("version-mismatch", {"package": "quiverdb-fork"})


def test_additional_metadata_folders_are_version_mismatches(tmp_path: Path) -> None:
    folders = ("quiverdb-0.9.0.dist-info", "x-1.0.0.dist-info")
    causes = inspect(linux_wheel(tmp_path, {f"{folder}/x": "" for folder in folders})).causes
    facts = [dict(cause.facts) for cause in causes if cause.name == "version-mismatch"]
    assert {"folders": (folders[0], INFO, folders[1])} in facts
    assert [fact["folder"] for fact in facts if "folder" in fact] == list(folders)


@pytest.mark.parametrize(
    ("file", "name"), [("METADATA", "version-mismatch"), ("WHEEL", "tag-mismatch")]
)
def test_missing_metadata_file_is_broken(tmp_path: Path, out: Path, file: str, name: str) -> None:
    inspection = inspect(wheels.mutate(linux_wheel(tmp_path), out, remove=[f"{INFO}/{file}"]))
    (cause,) = (cause for cause in inspection.causes if cause.name == name)
    assert cause.facts == {"missing": file}
    assert cause.severity is Severity.BROKEN


# ---- tags ----


def test_file_renamed_to_another_platform_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    name = "quiverdb-1.0.0-cp313-cp313-manylinux_2_17_x86_64.whl"
    cause = only_cause(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert (cause.name, cause.where) == ("tag-mismatch", name)
    assert cause.facts == {"wheel_tags": (wheels.LINUX_TAG,)}


@pytest.mark.parametrize("name", ["quiverdb.whl", "quiverdb-1.0.0.zip", "quiverdb-x-y-z-w.whl"])
def test_invalid_file_name_is_a_tag_mismatch(tmp_path: Path, out: Path, name: str) -> None:
    inspection = inspect(wheels.mutate(linux_wheel(tmp_path), out, rename=name))
    assert [(cause.name, cause.facts) for cause in inspection.causes] == [("tag-mismatch", {})]
    assert inspection.platform == "manylinux_2_28_x86_64"


def test_wheel_file_without_tags_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    cause = only_cause(replace(tmp_path, out, "WHEEL", f"Tag: {wheels.LINUX_TAG}\n", ""))
    assert (cause.name, cause.facts) == ("tag-mismatch", {"wheel_tags": ()})


def test_invalid_tag_in_the_wheel_file_is_a_tag_mismatch(tmp_path: Path, out: Path) -> None:
    cause = only_cause(replace(tmp_path, out, "WHEEL", "Tag: cp313", "Tag: broken\nTag: cp313"))
    assert (cause.name, cause.facts) == ("tag-mismatch", {"invalid": ("broken",)})


@pytest.mark.parametrize("value", ["true", "", "yes"])
def test_native_wheel_with_root_is_purelib_is_a_note(tmp_path: Path, out: Path, value: str) -> None:
    cause = only_cause(replace(tmp_path, out, "WHEEL", "Purelib: false", f"Purelib: {value}"))
    assert (cause.name, cause.severity) == ("tag-mismatch", "note")
    assert cause.facts == {"root_is_purelib": value}


def test_pure_wheel_without_root_is_purelib_is_a_note(tmp_path: Path, out: Path) -> None:
    pure = wheels.build(tmp_path, {"quiverdb/__init__.py": ""}, tag="py3-none-any")
    edit = {f"{INFO}/WHEEL": lambda data: data.replace(b"Purelib: true", b"Purelib: false")}
    causes = inspect(wheels.mutate(pure, out, edit=edit)).causes
    (cause,) = (cause for cause in causes if cause.name == "tag-mismatch")
    assert (cause.severity, cause.facts) == ("note", {"root_is_purelib": "false"})
    assert "tag-mismatch" not in inspect(pure).cause_names()


@pytest.mark.parametrize(
    ("tags", "is_accepted"),
    [
        ("py2.py3-none-manylinux_2_28_x86_64", False),
        ("cp313-cp313-manylinux_2_28_x86_64.manylinux_2_34_x86_64", True),
        ("cp312.cp313-cp313-manylinux_2_28_x86_64", True),
        ("cp313-cp313-linux_x86_64", False),
    ],
)
def test_wheel_file_must_have_the_tags_of_the_file_name(
    tmp_path: Path, out: Path, tags: str, is_accepted: bool
) -> None:
    wheel = replace(tmp_path, out, "WHEEL", f"Tag: {wheels.LINUX_TAG}", f"Tag: {tags}")
    assert inspect(wheel).cause_names() == (set() if is_accepted else {"tag-mismatch"})


def test_two_names_of_one_platform_are_equal(tmp_path: Path, out: Path) -> None:
    wheel = linux_wheel(tmp_path, tag="cp313-cp313-manylinux2014_x86_64")
    name = wheel.name.replace("manylinux2014", "manylinux_2_17")
    assert inspect(wheels.mutate(wheel, out, rename=name)).causes == ()


@pytest.mark.parametrize(
    "name",
    ["QuiverDB-1.0.0-7_local-{tag}.whl", "quiverdb-1.0-{tag}.whl", "quiverdb-1.0.0-1-{tag}.whl"],
)
def test_file_name_that_installers_accept_is_no_fault(tmp_path: Path, out: Path, name: str) -> None:
    wheel = linux_wheel(tmp_path)
    assert inspect(wheels.mutate(wheel, out, rename=name.format(tag=wheels.LINUX_TAG))).causes == ()


def test_code_without_a_c_library_is_for_glibc_and_musl(tmp_path: Path) -> None:
    tag = "cp313-cp313-manylinux_2_28_x86_64.musllinux_1_2_x86_64"
    needs_glibc = linux_wheel(tmp_path, tag=tag)
    causes = inspect(needs_glibc).causes
    platforms = [cause.facts for cause in causes if cause.name == "tag-mismatch"]
    assert platforms == [{"platforms": ("musllinux_1_2_x86_64",)}]
    static = elf(imports=[], needed=[])
    files = {"quiverdb/_libs/libquiver.so": static, "quiverdb/_libs/libquiver_c.so": static}
    (tmp_path / "static").mkdir()
    causes = inspect(linux_wheel(tmp_path / "static", files, tag=tag)).causes
    assert "tag-mismatch" not in {cause.name for cause in causes}


@pytest.mark.parametrize("version", ["2.0", "", "one", "1", "11.0", "1.x"])
def test_unknown_wheel_version_is_reported(tmp_path: Path, out: Path, version: str) -> None:
    wheel = replace(tmp_path, out, "WHEEL", "Wheel-Version: 1.0", f"Wheel-Version: {version}")
    cause = only_cause(wheel)
    assert (cause.name, cause.facts) == ("wheel-version", {"version": version})


def test_newer_minor_wheel_version_is_accepted(tmp_path: Path, out: Path) -> None:
    wheel = replace(tmp_path, out, "WHEEL", "Wheel-Version: 1.0", "Wheel-Version: 1.19")
    assert inspect(wheel).causes == ()


# ---- Python ----


@pytest.mark.parametrize("python", ["cp312-cp312", "cp313-cp313t", "cp314-abi3", "py2-none"])
def test_tag_for_another_python_is_unsupported(tmp_path: Path, python: str) -> None:
    cause = only_cause(windows_wheel(tmp_path, tag=f"{python}-win_amd64"))
    assert (cause.name, cause.facts) == ("unsupported-python", {"python": "3.13"})


@pytest.mark.parametrize("python", ["cp312-abi3", "py3-none", "cp313-none", "cp313.cp314-cp313"])
def test_tag_that_the_declared_python_supports_is_accepted(tmp_path: Path, python: str) -> None:
    wheel = windows_wheel(tmp_path, tag=f"{python}-win_amd64")
    # The builder does not expand a compressed tag in WHEEL.
    assert inspect(wheel).cause_names() <= {"tag-mismatch"}


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
    ],
)
def test_additional_wheel_is_accepted_if_a_python_supports_its_tag(
    tmp_path: Path, python: str, *, is_accepted: bool
) -> None:
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
def test_requires_python_that_excludes_the_declared_python_is_unsupported(
    tmp_path: Path, out: Path, requires: str, python: str
) -> None:
    wheel = replace(tmp_path, out, "METADATA", "Python: >=3.13", f"Python: {requires}")
    cause = only_cause(wheel)
    facts = {"requires_python": requires, "python": python}
    assert (cause.name, cause.facts) == ("unsupported-python", facts)


@pytest.mark.parametrize("requires", [">=3.13.0", ">=3.10,<3.14", "!=3.12.*", "~=3.10"])
def test_requires_python_that_includes_all_patch_releases_is_accepted(
    tmp_path: Path, out: Path, requires: str
) -> None:
    wheel = replace(tmp_path, out, "METADATA", "Python: >=3.13", f"Python: {requires}")
    assert inspect(wheel).causes == ()


def test_requires_python_of_an_additional_wheel_must_include_its_python(
    tmp_path: Path, out: Path
) -> None:
    wheel = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
    edit = {
        f"{INFO}/METADATA": lambda data: data.replace(b"Python: >=3.13", b"Python: >=3.13,<3.14")
    }
    (cause,) = inspect(wheels.mutate(wheel, out, edit=edit), additional=True).causes
    assert (cause.name, cause.facts["python"]) == ("unsupported-python", "3.14")


def test_requires_python_of_an_additional_wheel_may_exclude_patch_releases(
    tmp_path: Path, out: Path
) -> None:
    wheel = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64")
    edit = {f"{INFO}/METADATA": lambda data: data.replace(b"Python: >=3.13", b"Python: >=3.14.1")}
    assert inspect(wheels.mutate(wheel, out, edit=edit), additional=True).causes == ()


# ---- platforms ----


@pytest.mark.parametrize("platform", ["linux_x86_64", "musllinux_1_2_x86_64", "win32"])
def test_tag_for_an_undeclared_platform_is_a_tag_mismatch(tmp_path: Path, platform: str) -> None:
    cause = only_cause(linux_wheel(tmp_path, tag=f"cp313-cp313-{platform}"))
    assert (cause.name, cause.facts) == ("tag-mismatch", {"platforms": (platform,)})


@pytest.mark.parametrize("other", ["win_amd64", "macosx_11_0_arm64", "manylinux_2_28_aarch64"])
def test_tag_for_a_second_platform_is_a_tag_mismatch(tmp_path: Path, other: str) -> None:
    causes = inspect(linux_wheel(tmp_path, tag=f"cp313-cp313-manylinux_2_28_x86_64.{other}")).causes
    facts = [cause.facts for cause in causes if cause.name == "tag-mismatch"]
    assert facts == [{"platforms": (other,)}]


def test_tag_for_a_newer_glibc_than_declared_is_reported(tmp_path: Path) -> None:
    wheel = linux_wheel(tmp_path, tag="cp313-cp313-manylinux_2_34_x86_64")
    cause = only_cause(wheel)
    assert (cause.name, cause.facts) == ("glibc-floor", {"tag": "manylinux_2_34_x86_64"})
    assert inspect(wheel, additional=True).causes == ()


def test_several_platform_tags_are_accepted_if_the_oldest_is(tmp_path: Path) -> None:
    for tag in (
        "cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64",
        "cp313-cp313-manylinux_2_28_x86_64.manylinux_2_34_x86_64",
    ):
        assert inspect(linux_wheel(tmp_path, tag=tag)).causes == ()


# ---- completeness ----


def test_missing_metadata_fields_are_one_note(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.2\nName: quiverdb\nVersion: 1.0.0\nRequires-Dist: cffi\n\n \n"
    cause = only_cause(linux_wheel(tmp_path, metadata=metadata))
    assert (cause.name, cause.severity) == ("metadata-incomplete", "note")
    assert cause.where == f"{INFO}/METADATA"
    fields = ("summary", "description", "licence", "classifiers", "Requires-Python")
    assert cause.facts == {"missing": (*fields, "project links")}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("Summary: A package for tests", "summary"),
        ("License-Expression: MIT", "licence"),
        ("Classifier: Programming Language :: Python :: 3.13", "classifiers"),
        ("Project-URL: Source, https://example.org/", "project links"),
        ("Requires-Python: >=3.13", "Requires-Python"),
    ],
)
def test_each_missing_metadata_field_is_reported(
    tmp_path: Path, out: Path, line: str, field: str
) -> None:
    cause = only_cause(replace(tmp_path, out, "METADATA", f"{line}\n", ""))
    assert (cause.name, cause.facts) == ("metadata-incomplete", {"missing": (field,)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("License-Expression: MIT", "License: MIT"),
        ("License-Expression: MIT", "Classifier: License :: OSI Approved :: MIT License"),
        ("License-Expression: MIT", "License-File: LICENSE"),
        ("Project-URL: Source, https://example.org/", "Home-page: https://example.org/"),
        ("\nA package for tests.\n", "Description: A package for tests.\n"),
    ],
)
def test_older_metadata_fields_are_accepted(tmp_path: Path, out: Path, old: str, new: str) -> None:
    assert inspect(replace(tmp_path, out, "METADATA", old, new)).causes == ()
