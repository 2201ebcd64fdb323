from __future__ import annotations

import pytest
from packaging.tags import Tag, parse_tag

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import SUBJECT
from verification.wheel import tags

LINUX, WINDOWS = SUBJECT.platforms[:2]


def test_parse_tags_leaves_out_invalid_lines() -> None:
    lines = ["cp313-cp313-win_amd64", "py2.py3-none-any", "broken", "a-b-c-d", "--", "cp313-cp313-"]
    assert tags.parse_tags(lines) == {
        Tag("cp313", "cp313", "win_amd64"),
        Tag("py2", "none", "any"),
        Tag("py3", "none", "any"),
    }
    assert tags.parse_tags([]) == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("py3-none-any", True), ("py2.py3-none-any", True), ("py3-none", False), ("a-b-c-d", False)],
)
def test_tag_has_three_parts(text: str, *, expected: bool) -> None:
    assert tags.is_tag(text) == expected


@pytest.mark.parametrize(
    ("platforms", "oldest"),
    [
        ("manylinux_2_28_x86_64.manylinux2014_x86_64", "manylinux2014_x86_64"),
        ("manylinux_2_28_x86_64.manylinux_2_5_x86_64", "manylinux_2_5_x86_64"),
        ("manylinux_2_28_x86_64.musllinux_1_2_x86_64", "musllinux_1_2_x86_64"),
        ("any.manylinux_2_28_x86_64", "manylinux_2_28_x86_64"),
        ("win_amd64.win32", "win32"),
    ],
)
def test_oldest_platform_tag_needs_the_oldest_c_library(platforms: str, oldest: str) -> None:
    assert tags.oldest_platform_tag(parse_tag(f"cp313-cp313-{platforms}")) == oldest


def test_oldest_platform_tag_without_tags_is_unknown() -> None:
    assert tags.oldest_platform_tag([]) == "unknown"


def test_python_tags_are_the_tags_of_the_subjects_python() -> None:
    supported = tags.python_tags(SUBJECT, {"win_amd64", "any"})
    for tag in ("cp313-cp313-win_amd64", "cp39-abi3-win_amd64", "py3-none-any", "cp313-none-any"):
        assert parse_tag(tag) <= supported, tag
    for tag in ("cp314-cp314-win_amd64", "cp313-cp313t-win_amd64", "cp313-cp313-win32"):
        assert not parse_tag(tag) & supported, tag


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (wheels.LINUX_TAG, True),
        ("cp314-cp314-manylinux_2_34_x86_64", True),
        ("cp313-cp313-musllinux_1_2_x86_64", True),
        ("py3-none-any", True),
        ("cp313-cp313-win_amd64.manylinux_2_28_x86_64", True),
        ("pp311-pypy311_pp73-manylinux_2_28_x86_64", False),
        ("graalpy312-graalpy250_312_native-manylinux_2_28_x86_64", False),
        ("cp313-cp313-win_amd64", False),
        ("cp313-cp313-macosx_11_0_arm64", False),
        ("cp313-cp313-manylinux_2_28_aarch64", False),
    ],
)
def test_wheel_can_fit_only_the_platforms_of_its_tags(tag: str, *, expected: bool) -> None:
    assert tags.may_fit(parse_tag(tag), [LINUX]) == expected


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        ("manylinux_2_34_x86_64", LINUX),
        ("manylinux2014_x86_64", LINUX),
        ("musllinux_1_2_x86_64", LINUX),
        ("win_amd64", WINDOWS),
        ("win32", None),
        ("musllinux_1_2_s390x", None),
        ("any", None),
    ],
)
def test_matching_platform_has_the_system_and_processor_of_the_tag(
    tag: str, platform: object
) -> None:
    assert tags.matching_platform(tag, SUBJECT.platforms) == platform


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        (wheels.LINUX_TAG, LINUX),
        (wheels.WINDOWS_TAG, WINDOWS),
        ("cp39-abi3-manylinux2014_x86_64", LINUX),
        ("cp313-cp313-manylinux_2_27_x86_64.manylinux_2_29_x86_64", LINUX),
        ("cp314-cp314-win_amd64", None),
        ("cp313-cp313t-win_amd64", None),
        ("cp313-cp313-manylinux_2_29_x86_64", None),
        ("cp313-cp313-musllinux_1_2_x86_64", None),
        ("py3-none-any", None),
    ],
)
def test_declared_platform_depends_on_python_and_c_library(tag: str, platform: object) -> None:
    assert tags.declared_platform(f"quiverdb-1.0.0-{tag}.whl", SUBJECT) == platform


def test_file_with_an_invalid_name_has_no_declared_platform() -> None:
    assert tags.declared_platform("quiverdb.whl", SUBJECT) is None


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("manylinux_2_29_x86_64", True),
        ("manylinux_3_0_x86_64", True),
        ("manylinux_2_28_x86_64", False),
        ("manylinux_2_5_x86_64", False),
        ("win_amd64", False),
    ],
)
def test_tag_with_a_newer_c_library_than_declared_is_newer(tag: str, *, expected: bool) -> None:
    assert tags.is_newer(tag, LINUX) == expected
    assert not tags.is_newer(tag, WINDOWS)


NAMES = ("_x.cpython-313-x86_64-linux-gnu.so", "_x.cp313-win_amd64.pyd")
EXTENSIONS = SUBJECT.model_copy(
    update={
        "platforms": tuple(
            platform.model_copy(update={"libraries": (name, "libx.so")})
            for platform, name in zip((LINUX, WINDOWS), NAMES, strict=True)
        )
    }
)


@pytest.mark.parametrize(
    ("tag", "python", "library"),
    [
        (wheels.LINUX_TAG, "cp313", NAMES[0]),
        ("cp39-abi3-manylinux_2_34_x86_64", "cp313", NAMES[0]),
        ("cp314-cp314-manylinux_2_28_x86_64", "cp314", "_x.cpython-314-x86_64-linux-gnu.so"),
        ("cp314-cp314t-manylinux_2_28_x86_64", "cp314", "_x.cpython-314t-x86_64-linux-gnu.so"),
        ("cp314-none-manylinux_2_28_x86_64", "cp314", "_x.cpython-314-x86_64-linux-gnu.so"),
        ("cp313-cp313-musllinux_1_2_x86_64", "cp313", "_x.cpython-313-x86_64-linux-musl.so"),
        ("cp311-cp311-musllinux_1_2_x86_64", "cp311", "_x.cpython-311-x86_64-linux-musl.so"),
        ("cp310-cp310-musllinux_1_2_x86_64", "cp310", "_x.cpython-310-x86_64-linux-gnu.so"),
        ("cp312-cp312-win_amd64", "cp312", "_x.cp312-win_amd64.pyd"),
        ("cp315.cp314-cp314-win_amd64", "cp314", "_x.cp314-win_amd64.pyd"),
        ("pp311-pypy311_pp73-win_amd64", "cp313", "_x.cp313-win_amd64.pyd"),
    ],
)
def test_subject_for_wheel_has_the_python_and_libraries_of_the_tag(
    tag: str, python: str, library: str
) -> None:
    subject = tags.subject_for_wheel(f"quiverdb-1.0.0-{tag}.whl", EXTENSIONS)
    platform = subject.platform_for(tag.rpartition("-")[2])
    assert subject.python == python
    assert platform is not None
    assert platform.libraries == (library, "libx.so")


def test_subject_for_a_musl_wheel_has_an_additional_platform() -> None:
    name = "quiverdb-1.0.0-cp313-cp313-musllinux_1_2_x86_64.whl"
    musl = LINUX.model_copy(update={"tag": "musllinux_1_2_x86_64"})
    subject = tags.subject_for_wheel(name, SUBJECT)
    assert subject == SUBJECT.model_copy(update={"platforms": (musl, *SUBJECT.platforms)})


@pytest.mark.parametrize("tag", ["musllinux_1_2_s390x", "win32", "macosx_12_0_x86_64"])
def test_subject_for_a_wheel_of_an_undeclared_platform_has_that_platform(tag: str) -> None:
    subject = tags.subject_for_wheel(f"quiverdb-1.0.0-cp313-cp313-{tag}.whl", SUBJECT)
    platform = subject.platform_for(tag)
    assert platform is not None
    assert (platform.tag, platform.libraries) == (tag, ())
    assert (platform.required, platform.execute) == (False, False)


@pytest.mark.parametrize("tag", ["linux_s390x", "any", "win32.any", "win_amd64.win32"])
def test_subject_for_a_wheel_of_an_unknown_system_is_unchanged(tag: str) -> None:
    assert tags.subject_for_wheel(f"quiverdb-1.0.0-cp313-cp313-{tag}.whl", SUBJECT) == SUBJECT
