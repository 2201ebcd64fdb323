from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import wheel_builder as wheels
from tests.helpers.sample_wheels import (
    LINUX_CORE,
    SUBJECT,
    Files,
    linux_core,
    linux_wheel,
    windows_wheel,
)
from verification.models.cause import Cause
from verification.models.inspection import ReleaseInspection
from verification.models.subject import Subject
from verification.wheel import release_inspection as releases
from verification.wheel.archive import Archive, open_wheel
from verification.wheel.errors import BadWheel
from verification.wheel.release_inspection import inspect_release, narrow, release_causes

METADATA = "quiverdb-1.0.0.dist-info/METADATA"
BEYOND = (
    "cp314-cp314-manylinux_2_28_x86_64",
    "cp313-cp313t-manylinux_2_28_x86_64",
    "cp313-cp313-manylinux_2_34_x86_64",
    "cp313-cp313d-manylinux_2_28_x86_64",
    "cp39-abi3-manylinux_2_31_x86_64",
    "cp27-cp27mu-manylinux_2_28_x86_64",
    "pp311-pypy311_pp73-manylinux_2_28_x86_64",
)
"""Tags of wheels that the subject does not declare, and that are good beside one that it does."""


def inspect(*wheels: Path, subject: Subject = SUBJECT) -> ReleaseInspection:
    return inspect_release(wheels, subject)


def for_systems(*systems: str) -> Subject:
    """Return the subject with its required platforms for these systems alone."""
    platforms = [one for one in SUBJECT.platforms if one.target.system in systems and one.required]
    return SUBJECT.model_copy(update={"platforms": tuple(platforms)})


def only(causes: Sequence[Cause]) -> Cause:
    (cause,) = causes
    return cause


# ---- a complete release ----


def test_one_good_wheel_for_each_platform_is_a_good_release(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path))
    assert release.all_causes == ()
    assert [wheel.platform for wheel in release.wheels] == ["manylinux_2_28_x86_64", "win_amd64"]


def test_a_file_that_is_no_wheel_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadWheel, match="absent"):
        inspect(linux_wheel(tmp_path), tmp_path / "absent.whl")


def test_a_missing_platform_is_named(tmp_path: Path) -> None:
    cause = only(inspect(linux_wheel(tmp_path)).causes)
    assert (cause.name, cause.where) == ("incomplete-release", "release of quiverdb")
    assert cause.message.startswith("holds no wheel for win_amd64;")


def test_no_wheels_at_all_lack_every_required_platform() -> None:
    causes = inspect().causes
    assert [cause.message.partition(";")[0] for cause in causes] == [
        "holds no wheel for manylinux_2_28_x86_64",
        "holds no wheel for win_amd64",
    ]


def test_a_platform_that_is_not_required_may_be_absent_or_there(tmp_path: Path) -> None:
    platforms = tuple(
        platform.model_copy(update={"required": platform.tag == "win_amd64"})
        for platform in SUBJECT.platforms
    )
    subject = SUBJECT.model_copy(update={"platforms": platforms})
    windows = windows_wheel(tmp_path)
    assert inspect(windows, subject=subject).causes == ()
    assert inspect(windows, linux_wheel(tmp_path), subject=subject).causes == ()


@pytest.mark.parametrize("tag", [wheels.LINUX_TAG, "cp313-cp313-musllinux_1_2_x86_64"])
def test_two_wheels_with_one_tag_are_one_too_many(tmp_path: Path, tag: str) -> None:
    good, first = linux_wheel(tmp_path), linux_wheel(tmp_path, tag=tag)
    again = tmp_path / first.name.replace("-cp313-cp313-", "-2-cp313-cp313-")
    again.write_bytes(first.read_bytes())
    release = inspect(*{good, first, again, windows_wheel(tmp_path)})
    cause = only(release.causes)
    assert (cause.name, cause.where) == ("incomplete-release", "release of quiverdb")
    assert cause.message.startswith(f"holds 2 wheels for {tag}: {again.name}, {first.name};")


def test_wheels_that_share_several_tags_are_one_cause_for_each_platform(tmp_path: Path) -> None:
    tag = "cp313-cp313-manylinux_2_17_x86_64.manylinux_2_28_x86_64"
    first, windows = linux_wheel(tmp_path, tag=tag), windows_wheel(tmp_path)
    copies = []
    for wheel in (first, windows):
        copies.append(tmp_path / wheel.name.replace("-cp313-cp313-", "-2-cp313-cp313-"))
        copies[-1].write_bytes(wheel.read_bytes())
    causes = inspect(first, windows, *copies).causes
    assert [cause.name for cause in causes] == ["incomplete-release"] * 2


def test_a_wheel_for_no_known_system_is_one_too_many(tmp_path: Path) -> None:
    other = linux_wheel(tmp_path, tag="cp313-cp313-linux_s390x")
    cause = only(inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path)).causes)
    assert (cause.name, cause.where) == ("incomplete-release", other.name)


@pytest.mark.parametrize(
    "tag", ["cp313-cp313-manylinux_2_28_ppc64le", "cp314-cp314-musllinux_1_2_s390x"]
)
def test_a_wheel_for_an_undeclared_platform_is_judged_by_its_own_tags(
    tmp_path: Path, tag: str
) -> None:
    other = linux_wheel(tmp_path, tag=tag)
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert release.causes == ()
    (found,) = [wheel for wheel in release.wheels if wheel.file == other.name]
    assert (found.platform, found.additional) == (tag.rpartition("-")[2], True)
    # The samples hold code for x86_64.
    assert found.cause_names() == {"wrong-architecture"}


def test_the_causes_of_the_set_and_of_its_wheels_are_apart(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path, {"lib64/liba.a": b"!<arch>"}))
    assert [one.name for one in release.all_causes] == ["incomplete-release", "stray-top-level"]
    assert only(release.causes).name == "incomplete-release"


# ---- additional wheels ----


@pytest.mark.parametrize("tag", BEYOND)
def test_a_wheel_beyond_what_is_declared_is_welcome(tmp_path: Path, tag: str) -> None:
    other = linux_wheel(tmp_path, tag=tag)
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert release.all_causes == ()
    assert [wheel.additional for wheel in release.wheels] == [False, True, False]


@pytest.mark.parametrize("tag", BEYOND)
def test_a_wheel_beyond_what_is_declared_is_inspected(tmp_path: Path, out: Path, tag: str) -> None:
    other = wheels.mutate(linux_wheel(tmp_path, tag=tag), out, remove=[LINUX_CORE])
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    cause = only(release.all_causes)
    assert (cause.name, cause.where) == (
        "missing-bundled-library",
        f"{other.name}: {LINUX_CORE}",
    )


@pytest.mark.parametrize("tag", ["cp313-cp312", "cp314-cp313", "cp312-cp313t"])
def test_a_tag_that_no_python_takes_is_named(tmp_path: Path, tag: str) -> None:
    other = linux_wheel(tmp_path, tag=f"{tag}-manylinux_2_28_x86_64")
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert "unsupported-python" in {cause.name for cause in release.all_causes}


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("cp314-cp314-manylinux_2_28_x86_64", "unsupported-python"),
        ("cp313-cp313t-manylinux_2_28_x86_64", "unsupported-python"),
        ("cp313-cp313-manylinux_2_34_x86_64", "glibc-floor"),
        ("cp313-cp313-musllinux_1_2_x86_64", "incomplete-release"),
    ],
)
def test_alone_it_is_not_what_was_declared(tmp_path: Path, tag: str, name: str) -> None:
    release = inspect(linux_wheel(tmp_path, tag=tag), windows_wheel(tmp_path))
    assert name in {cause.name for cause in release.all_causes}
    assert not any(wheel.additional for wheel in release.wheels)


def test_a_wheel_for_two_platforms_is_additional_where_both_have_their_wheel(
    tmp_path: Path,
) -> None:
    other = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64.win_amd64")
    linux, windows = linux_wheel(tmp_path), windows_wheel(tmp_path)
    assert [one.additional for one in inspect(linux, other).wheels] == [False, False]
    assert [one.additional for one in inspect(linux, windows, other).wheels] == [False, False, True]


def test_a_file_with_another_name_is_not_additional(tmp_path: Path) -> None:
    good = linux_wheel(tmp_path)
    other = wheels.mutate(good, tmp_path, rename="quiverdb.whl")
    assert [one.additional for one in inspect(good, other).wheels] == [False, False]


def test_a_module_for_another_python_is_not_the_wheels(tmp_path: Path) -> None:
    files: Files = {
        "quiverdb/__init__.py": "from quiverdb import _speed\n",
        "quiverdb/_speed.cpython-313-x86_64-linux-gnu.so": linux_core(exports=["PyInit__speed"]),
    }
    found = {}
    for tag in ("cp314-cp314", "cp313-cp313t", "cp39-abi3"):
        other = linux_wheel(tmp_path, files, tag=f"{tag}-manylinux_2_34_x86_64")
        good = linux_wheel(tmp_path, files)
        (first, wheel) = inspect(good, other).wheels
        assert first.causes == ()
        found[tag] = set(wheel.cause_names())
    assert found == {
        "cp314-cp314": {"missing-dependency"},
        "cp313-cp313t": {"missing-dependency"},
        "cp39-abi3": set(),
    }


def test_a_wheel_for_musl_is_inspected_as_one(tmp_path: Path) -> None:
    other = linux_wheel(tmp_path, tag="cp313-cp313-musllinux_1_2_x86_64")
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert {cause.name for cause in release.all_causes} == {"missing-runtime-library"}
    assert any("libc.so.6" in cause.message for cause in release.all_causes)
    assert release.wheels[1].platform == "musllinux_1_2_x86_64"


def test_a_wheel_for_another_python_requires_that_python(tmp_path: Path, out: Path) -> None:
    edit = {METADATA: lambda data: data.replace(b"Python: >=3.13", b"Python: >=3.13,<3.14")}
    release = [
        wheels.mutate(wheel, out, edit=edit)
        for wheel in (
            linux_wheel(tmp_path),
            linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64"),
            windows_wheel(tmp_path),
        )
    ]
    cause = only(inspect(*release).all_causes)
    assert (cause.name, cause.where) == ("unsupported-python", release[1].name)
    assert "which Python 3.14 does not meet" in cause.message


# ---- one source ----


def test_wheels_of_different_versions_do_not_make_a_release(tmp_path: Path) -> None:
    others = {"quiverdb/other.py": ""}
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path, others, version="1.0.1"))
    cause = only(release.causes)
    assert (cause.name, cause.where) == ("version-mismatch", "release of quiverdb")
    assert cause.message.startswith("holds wheels of 2 versions: 1.0.0, 1.0.1;")


@pytest.mark.parametrize(
    ("requires", "observed"),
    [
        (["cffi>=2.0.0", "numpy"], "has another Requires-Dist than {first} (numpy);"),
        (["cffi>=2.0.1"], "has another Requires-Dist than {first} (cffi>=2.0.0, cffi>=2.0.1);"),
    ],
)
def test_another_dependency_is_named(tmp_path: Path, requires: list[str], observed: str) -> None:
    first, other = linux_wheel(tmp_path), windows_wheel(tmp_path, requires=requires)
    cause = only(inspect(first, other).causes)
    assert (cause.name, cause.severity) == ("wheels-differ", "flawed")
    assert cause.where == other.name
    assert cause.message.startswith(observed.format(first=first.name))


@pytest.mark.parametrize(
    ("path", "code", "observed"),
    [
        ("quiverdb/_loader.py", "import cffi\n", "has other code than {first} in {path};"),
        ("quiverdb/export.py", "", "has {path}, which {first} has not;"),
    ],
)
def test_other_code_is_named(tmp_path: Path, path: str, code: str, observed: str) -> None:
    first, other = linux_wheel(tmp_path), windows_wheel(tmp_path, {path: code})
    cause = only(inspect(first, other).causes)
    assert cause.name == "wheels-differ"
    assert cause.message.startswith(observed.format(first=first.name, path=path))


def test_an_absent_module_is_named(tmp_path: Path) -> None:
    first, other = linux_wheel(tmp_path, {"quiverdb/export.py": ""}), windows_wheel(tmp_path)
    cause = only(inspect(first, other).causes)
    assert cause.message.startswith(f"has no quiverdb/export.py, which {first.name} has;")


@pytest.mark.parametrize(
    ("old", "new", "observed"),
    [
        (
            "Python: >=3.13",
            "Python: >=3.12",
            "has another Requires-Python than {} (>=3.12, >=3.13)",
        ),
        ("Requires-Python: >=3.13\n", "", "has another Requires-Python than {} (>=3.13, nothing)"),
        ("\n\n", "\nProvides-Extra: x\n\n", "has another Provides-Extra than {} (x)"),
    ],
)
def test_other_metadata_of_one_wheel_is_named(
    tmp_path: Path, out: Path, old: str, new: str, observed: str
) -> None:
    edit = {METADATA: lambda data: data.replace(old.encode(), new.encode(), 1)}
    first, windows = linux_wheel(tmp_path), wheels.mutate(windows_wheel(tmp_path), out, edit=edit)
    cause = only(inspect(first, windows).causes)
    assert cause.name == "wheels-differ"
    assert cause.message.startswith(observed.format(first.name))


def test_an_additional_wheel_is_what_differs_and_not_the_declared_one(tmp_path: Path) -> None:
    other = linux_wheel(
        tmp_path,
        {"quiverdb/__init__.py": "from quiverdb._loader import load\nstale = 1\n"},
        tag="cp310-cp310-manylinux_2_28_x86_64",
    )
    release = inspect(other, linux_wheel(tmp_path), windows_wheel(tmp_path))
    differing = [cause.where for cause in release.causes if cause.name == "wheels-differ"]
    assert differing == [other.name]


def test_a_wheel_for_no_known_system_is_not_compared(tmp_path: Path) -> None:
    code = {"quiverdb/_loader.py": "import cffi\n"}
    other = linux_wheel(tmp_path, code, tag="cp313-cp313-linux_s390x")
    release = inspect(other, linux_wheel(tmp_path), windows_wheel(tmp_path))
    assert {cause.name for cause in release.causes} == {"incomplete-release"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("quiverdb/__config__.py", "compiler = 'cl'\n"),
        ("quiverdb/_version.py", "built = 2\n"),
        ("quiverdb/_windows_only.py", ""),
        ("quiverdb/winapi32/win32.py", ""),
        (
            "quiverdb/more.py",
            "# start delvewheel patch\r\nx = 1\r\n# end delvewheel patch\r\n\r\nimport cffi\r\n",
        ),
        (  # where the module has no docstring of its own
            "quiverdb/more.py",
            '"""""" # start delvewheel patch\nx = 1\n# end delvewheel patch\n\nimport cffi\n',
        ),
    ],
)
def test_what_is_written_for_one_wheel_alone_is_no_difference(
    tmp_path: Path, path: str, code: str
) -> None:
    files = {"quiverdb/more.py": "import cffi\n"}
    windows = windows_wheel(tmp_path, {**files, path: code})
    assert inspect(linux_wheel(tmp_path, files), windows).causes == ()
    assert inspect(windows, linux_wheel(tmp_path, files)).causes == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [("cffi>=2.0.0", "cffi (>= 2.0.0)"), ("x; extra == 'e'", 'x ; extra=="e"')],
)
def test_requirements_may_be_written_otherwise(tmp_path: Path, one: str, other: str) -> None:
    linux = linux_wheel(tmp_path, requires=["cffi", one])
    windows = windows_wheel(tmp_path, requires=["cffi", other])
    assert inspect(linux, windows).causes == ()


# ---- fewer platforms ----


def test_each_wheel_is_read_once_for_the_whole_release_and_for_each_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def count(path: Path) -> Archive:
        read.append(path.name)
        return open_wheel(path)

    monkeypatch.setattr(releases, "open_wheel", count)
    files = [linux_wheel(tmp_path), windows_wheel(tmp_path)]
    release = inspect(*files)
    for path in files:
        path.unlink()  # whatever reads one again fails
    assert read == [path.name for path in files]
    for system, path in zip(("linux", "windows"), files, strict=True):
        found = narrow(release, for_systems(system))
        assert ([wheel.file for wheel in found.wheels], found.causes) == ([path.name], ())


def test_a_narrowed_release_is_judged_by_its_own_platforms(tmp_path: Path) -> None:
    linux = linux_wheel(tmp_path, {"lib64/liba.a": b"!<arch>"})
    windows = windows_wheel(tmp_path, version="1.0.1")
    release = inspect(linux, windows)
    assert [cause.name for cause in release.causes] == ["version-mismatch"]
    assert narrow(release, for_systems("windows")).all_causes == ()
    found = narrow(release, for_systems("linux"))
    assert [cause.name for cause in found.all_causes] == ["stray-top-level"]
    assert narrow(release, for_systems("linux", "windows")) == release


def test_a_narrowed_release_lacks_what_it_must_have(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path))
    found = narrow(release, for_systems("windows"))
    assert found.wheels == ()
    assert "holds no wheel for win_amd64" in only(found.causes).message


@pytest.mark.parametrize(
    ("tag", "systems"),
    [
        ("py3-none-any", {"linux", "windows"}),
        ("cp313-cp313-musllinux_1_2_x86_64", {"linux"}),
        ("cp313-cp313-manylinux_2_28_x86_64.win_amd64", {"linux", "windows"}),
        ("pp311-pypy311_pp73-manylinux_2_28_x86_64", set()),
        ("cp313-cp313-macosx_11_0_arm64", set()),
    ],
)
def test_a_wheel_is_judged_for_each_system_that_it_is_for(
    tmp_path: Path, tag: str, systems: set[str]
) -> None:
    other = linux_wheel(tmp_path, tag=tag)
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path), other)
    assert {
        system
        for system in ("linux", "windows")
        if other.name in {wheel.file for wheel in narrow(release, for_systems(system)).wheels}
    } == systems


def test_the_causes_of_a_release_depend_on_its_inspections_alone(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path))
    first, second = release.wheels
    other = second.model_copy(update={"version": "2.0"})
    assert release_causes(release.wheels, SUBJECT) == ()
    assert only(release_causes([first, other], SUBJECT)).name == "version-mismatch"
