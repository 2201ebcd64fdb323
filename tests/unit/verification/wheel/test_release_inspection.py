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
from verification.wheel.release_inspection import (
    bundled_libraries,
    inspect_release,
    narrow,
    release_causes,
)

METADATA = "quiverdb-1.0.0.dist-info/METADATA"
ADDITIONAL_TAGS = (
    "cp314-cp314-manylinux_2_28_x86_64",
    "cp313-cp313t-manylinux_2_28_x86_64",
    "cp313-cp313-manylinux_2_34_x86_64",
    "cp313-cp313d-manylinux_2_28_x86_64",
    "cp39-abi3-manylinux_2_31_x86_64",
    "cp27-cp27mu-manylinux_2_28_x86_64",
    "pp311-pypy311_pp73-manylinux_2_28_x86_64",
)
"""Tags of wheels that the subject does not declare. They are valid next to a declared wheel."""


def inspect(*wheels: Path, subject: Subject = SUBJECT) -> ReleaseInspection:
    return inspect_release(wheels, subject)


def for_systems(*systems: str) -> Subject:
    """Return the subject with only the required platforms of these systems."""
    platforms = [
        platform
        for platform in SUBJECT.platforms
        if platform.target.system in systems and platform.required
    ]
    return SUBJECT.model_copy(update={"platforms": tuple(platforms)})


def only(causes: Sequence[Cause]) -> Cause:
    (cause,) = causes
    return cause


# ---- a complete release ----


def test_good_wheel_for_each_platform_is_a_good_release(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path))
    assert release.all_causes == ()
    assert [wheel.platform for wheel in release.wheels] == ["manylinux_2_28_x86_64", "win_amd64"]


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadWheel, match="absent"):
        inspect(linux_wheel(tmp_path), tmp_path / "absent.whl")


def test_missing_platform_is_reported(tmp_path: Path) -> None:
    cause = only(inspect(linux_wheel(tmp_path)).causes)
    assert (cause.name, cause.facts) == ("incomplete-release", {"missing": "win_amd64"})


def test_release_without_wheels_misses_each_required_platform() -> None:
    causes = inspect().causes
    missing = [cause.facts["missing"] for cause in causes]
    assert missing == ["manylinux_2_28_x86_64", "win_amd64"]


def test_wheel_for_an_optional_platform_may_be_missing(tmp_path: Path) -> None:
    platforms = tuple(
        platform.model_copy(update={"required": platform.tag == "win_amd64"})
        for platform in SUBJECT.platforms
    )
    subject = SUBJECT.model_copy(update={"platforms": platforms})
    windows = windows_wheel(tmp_path)
    assert inspect(windows, subject=subject).causes == ()
    assert inspect(windows, linux_wheel(tmp_path), subject=subject).causes == ()


@pytest.mark.parametrize("tag", [wheels.LINUX_TAG, "cp313-cp313-musllinux_1_2_x86_64"])
def test_two_wheels_with_one_tag_are_reported(tmp_path: Path, tag: str) -> None:
    good, first = linux_wheel(tmp_path), linux_wheel(tmp_path, tag=tag)
    second = tmp_path / first.name.replace("-cp313-cp313-", "-2-cp313-cp313-")
    second.write_bytes(first.read_bytes())
    release = inspect(*{good, first, second, windows_wheel(tmp_path)})
    cause = only(release.causes)
    assert cause.name == "incomplete-release"
    assert cause.facts == {"tag": tag, "files": (second.name, first.name)}


def test_two_wheels_of_which_one_has_more_tags_are_a_note(tmp_path: Path) -> None:
    first = linux_wheel(tmp_path)
    second = linux_wheel(tmp_path, tag=f"{wheels.LINUX_TAG}.manylinux_2_34_x86_64")
    cause = only(inspect(first, second, windows_wheel(tmp_path)).causes)
    assert (cause.name, cause.severity) == ("incomplete-release", "note")


def test_wheels_with_several_common_tags_are_one_cause_for_each_platform(tmp_path: Path) -> None:
    tag = "cp313-cp313-manylinux_2_17_x86_64.manylinux_2_28_x86_64"
    first, windows = linux_wheel(tmp_path, tag=tag), windows_wheel(tmp_path)
    copies = []
    for wheel in (first, windows):
        copies.append(tmp_path / wheel.name.replace("-cp313-cp313-", "-2-cp313-cp313-"))
        copies[-1].write_bytes(wheel.read_bytes())
    causes = inspect(first, windows, *copies).causes
    assert [cause.name for cause in causes] == ["incomplete-release"] * 2


def test_wheel_for_an_unknown_system_is_reported(tmp_path: Path) -> None:
    other = linux_wheel(tmp_path, tag="cp313-cp313-linux_s390x")
    cause = only(inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path)).causes)
    assert (cause.name, cause.where) == ("incomplete-release", other.name)


@pytest.mark.parametrize(
    "tag", ["cp313-cp313-manylinux_2_28_ppc64le", "cp314-cp314-musllinux_1_2_s390x"]
)
def test_wheel_for_an_undeclared_platform_is_inspected_by_its_own_tags(
    tmp_path: Path, tag: str
) -> None:
    other = linux_wheel(tmp_path, tag=tag)
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert release.causes == ()
    (inspection,) = [wheel for wheel in release.wheels if wheel.file == other.name]
    assert (inspection.platform, inspection.additional) == (tag.rpartition("-")[2], True)
    # The samples contain code for x86_64.
    assert inspection.cause_names() == {"wrong-architecture"}


def test_causes_of_the_release_do_not_contain_the_causes_of_its_wheels(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path, {"lib64/liba.a": b"!<arch>"}))
    assert [cause.name for cause in release.all_causes] == ["incomplete-release", "stray-top-level"]
    assert only(release.causes).name == "incomplete-release"


# ---- additional wheels ----


@pytest.mark.parametrize("tag", ADDITIONAL_TAGS)
def test_additional_wheel_is_accepted(tmp_path: Path, tag: str) -> None:
    other = linux_wheel(tmp_path, tag=tag)
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert release.all_causes == ()
    assert [wheel.additional for wheel in release.wheels] == [False, True, False]


@pytest.mark.parametrize("tag", ADDITIONAL_TAGS)
def test_additional_wheel_is_inspected(tmp_path: Path, out: Path, tag: str) -> None:
    other = wheels.mutate(linux_wheel(tmp_path, tag=tag), out, remove=[LINUX_CORE])
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    cause = only(release.all_causes)
    assert (cause.name, cause.where) == (
        "missing-bundled-library",
        f"{other.name}: {LINUX_CORE}",
    )


@pytest.mark.parametrize("tag", ["cp313-cp312", "cp314-cp313", "cp312-cp313t"])
def test_tag_that_no_python_supports_is_reported(tmp_path: Path, tag: str) -> None:
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
def test_undeclared_wheel_without_a_declared_one_is_not_additional(
    tmp_path: Path, tag: str, name: str
) -> None:
    release = inspect(linux_wheel(tmp_path, tag=tag), windows_wheel(tmp_path))
    assert name in {cause.name for cause in release.all_causes}
    assert not any(wheel.additional for wheel in release.wheels)


def additional(*paths: Path) -> list[bool]:
    return [wheel.additional for wheel in inspect(*paths).wheels]


def test_wheel_for_two_platforms_is_additional_if_both_have_a_declared_wheel(
    tmp_path: Path,
) -> None:
    other = linux_wheel(tmp_path, tag="cp314-cp314-manylinux_2_28_x86_64.win_amd64")
    linux, windows = linux_wheel(tmp_path), windows_wheel(tmp_path)
    assert additional(linux, other) == [False, False]
    assert additional(linux, windows, other) == [False, False, True]


@pytest.mark.parametrize(
    ("libraries", "with_windows", "causes"),
    [
        (False, True, set()),
        (True, True, {"incomplete-release", "missing-bundled-library"}),
        (False, False, {"incomplete-release", "missing-bundled-library"}),
    ],
)
def test_wheel_without_native_code_is_additional_if_no_library_is_declared(
    tmp_path: Path, libraries: bool, with_windows: bool, causes: set[str]
) -> None:
    platforms = [
        p.model_copy(update={} if libraries else {"libraries": ()}) for p in SUBJECT.platforms
    ]
    subject = SUBJECT.model_copy(update={"platforms": tuple(platforms), "libs_dir": ""})
    pure = wheels.build(tmp_path, {"quiverdb/__init__.py": "import cffi\n"}, tag="py3-none-any")
    paths = [linux_wheel(tmp_path), pure, *([windows_wheel(tmp_path)] if with_windows else [])]
    release = inspect(*paths, subject=subject)
    of_pure = {cause.name for cause in release.all_causes if cause.where == pure.name}
    assert of_pure == causes
    assert release.wheels[1].additional is (not causes)


def test_file_with_an_invalid_name_is_not_additional(tmp_path: Path) -> None:
    good = linux_wheel(tmp_path)
    other = wheels.mutate(good, tmp_path, rename="quiverdb.whl")
    assert additional(good, other) == [False, False]


def test_extension_module_for_another_python_is_missing(tmp_path: Path) -> None:
    files: Files = {
        "quiverdb/__init__.py": "from quiverdb import _speed\n",
        "quiverdb/_speed.cpython-313-x86_64-linux-gnu.so": linux_core(exports=["PyInit__speed"]),
    }
    cause_names = {}
    for tag in ("cp314-cp314", "cp313-cp313t", "cp39-abi3"):
        other = linux_wheel(tmp_path, files, tag=f"{tag}-manylinux_2_34_x86_64")
        good = linux_wheel(tmp_path, files)
        (first, wheel) = inspect(good, other).wheels
        assert first.causes == ()
        cause_names[tag] = set(wheel.cause_names())
    assert cause_names == {
        "cp314-cp314": {"missing-dependency", "abi-mismatch"},
        "cp313-cp313t": {"missing-dependency", "abi-mismatch"},
        "cp39-abi3": {"abi-mismatch"},
    }


def test_wheel_for_musl_is_inspected_for_musl(tmp_path: Path) -> None:
    other = linux_wheel(tmp_path, tag="cp313-cp313-musllinux_1_2_x86_64")
    release = inspect(linux_wheel(tmp_path), other, windows_wheel(tmp_path))
    assert {cause.name for cause in release.all_causes} == {"missing-runtime-library"}
    assert "libc.so.6" in {cause.facts["library"] for cause in release.all_causes}
    assert release.wheels[1].platform == "musllinux_1_2_x86_64"


def test_requires_python_of_an_additional_wheel_must_include_its_python(
    tmp_path: Path, out: Path
) -> None:
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
    assert cause.facts["python"] == "3.14"


# ---- one source ----


def test_wheels_of_different_versions_are_a_version_mismatch(tmp_path: Path) -> None:
    others = {"quiverdb/other.py": ""}
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path, others, version="1.0.1"))
    cause = only(release.causes)
    assert (cause.name, cause.where) == ("version-mismatch", "release of quiverdb")
    assert cause.facts == {"versions": ("1.0.0", "1.0.1")}


@pytest.mark.parametrize(
    ("requires", "values"),
    [
        (["cffi>=2.0.0", "numpy"], ("numpy",)),
        (["cffi>=2.0.1"], ("cffi>=2.0.0", "cffi>=2.0.1")),
    ],
)
def test_different_requirements_are_flawed(
    tmp_path: Path, requires: list[str], values: tuple[str, ...]
) -> None:
    first, other = linux_wheel(tmp_path), windows_wheel(tmp_path, requires=requires)
    cause = only(inspect(first, other).causes)
    assert (cause.name, cause.severity) == ("wheels-differ", "flawed")
    assert cause.where == other.name
    assert cause.facts == {"part": "Requires-Dist", "values": values}


@pytest.mark.parametrize(
    ("linux", "windows"),
    [
        ("cffi>=2.0.0", "CFFI >= 2.0.0"),
        ("cffi>=2.0.0", "cffi (>=2.0.0)"),
        ("x_y; extra == 'a_b'", 'x-y; extra == "a-b"'),
    ],
)
def test_requirement_in_another_form_is_no_difference(
    tmp_path: Path, linux: str, windows: str
) -> None:
    cffi = "cffi>=2.0.0"
    first = linux_wheel(tmp_path, requires=[cffi, linux])
    assert inspect(first, windows_wheel(tmp_path, requires=[cffi, windows])).causes == ()


@pytest.mark.parametrize(
    ("linux", "windows", "part"),
    [
        ({}, {"quiverdb/_loader.py": "import cffi\n"}, "changed modules"),
        ({}, {"quiverdb/export.py": ""}, "added modules"),
        ({"quiverdb/export.py": ""}, {}, "missing modules"),
    ],
)
def test_different_code_is_reported(
    tmp_path: Path, linux: Files, windows: Files, part: str
) -> None:
    first, other = linux_wheel(tmp_path, linux), windows_wheel(tmp_path, windows)
    cause = only(inspect(first, other).causes)
    assert (cause.name, cause.where) == ("wheels-differ", other.name)
    assert cause.facts == {"part": part, "values": tuple(linux | windows)}


@pytest.mark.parametrize(
    ("old", "new", "part", "values"),
    [
        ("Python: >=3.13", "Python: >=3.12", "Requires-Python", (">=3.12", ">=3.13")),
        ("Requires-Python: >=3.13\n", "", "Requires-Python", (">=3.13", "nothing")),
        ("\n\n", "\nProvides-Extra: x\n\n", "Provides-Extra", ("x",)),
    ],
)
def test_different_metadata_is_reported(
    tmp_path: Path, out: Path, old: str, new: str, part: str, values: tuple[str, ...]
) -> None:
    edit = {METADATA: lambda data: data.replace(old.encode(), new.encode(), 1)}
    first, windows = linux_wheel(tmp_path), wheels.mutate(windows_wheel(tmp_path), out, edit=edit)
    cause = only(inspect(first, windows).causes)
    assert (cause.name, cause.facts) == ("wheels-differ", {"part": part, "values": values})


def test_additional_wheel_is_compared_with_the_declared_one(tmp_path: Path) -> None:
    other = linux_wheel(
        tmp_path,
        {"quiverdb/__init__.py": "from quiverdb._loader import load\nstale = 1\n"},
        tag="cp310-cp310-manylinux_2_28_x86_64",
    )
    release = inspect(other, linux_wheel(tmp_path), windows_wheel(tmp_path))
    differing = [cause.where for cause in release.causes if cause.name == "wheels-differ"]
    assert differing == [other.name]


def test_wheel_for_an_unknown_system_is_not_compared(tmp_path: Path) -> None:
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
        (  # for a module without a docstring
            "quiverdb/more.py",
            '"""""" # start delvewheel patch\nx = 1\n# end delvewheel patch\n\nimport cffi\n',
        ),
    ],
)
def test_generated_or_system_specific_module_is_not_a_difference(
    tmp_path: Path, path: str, code: str
) -> None:
    files = {"quiverdb/more.py": "import cffi\n"}
    windows = windows_wheel(tmp_path, {**files, path: code})
    assert inspect(linux_wheel(tmp_path, files), windows).causes == ()
    assert inspect(windows, linux_wheel(tmp_path, files)).causes == ()


@pytest.mark.parametrize(
    ("linux_form", "windows_form"),
    [("cffi>=2.0.0", "cffi (>= 2.0.0)"), ("x; extra == 'e'", 'x ; extra=="e"')],
)
def test_equivalent_requirements_are_not_a_difference(
    tmp_path: Path, linux_form: str, windows_form: str
) -> None:
    linux = linux_wheel(tmp_path, requires=["cffi", linux_form])
    windows = windows_wheel(tmp_path, requires=["cffi", windows_form])
    assert inspect(linux, windows).causes == ()


# ---- fewer platforms ----


def test_narrowing_a_release_does_not_read_a_wheel_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"

    def record_open(path: Path) -> Archive:
        with opened.open("a") as log:  # a child process reads the wheels
            log.write(f"{path.name}\n")
        return open_wheel(path)

    monkeypatch.setattr(releases, "open_wheel", record_open)
    files = [linux_wheel(tmp_path), windows_wheel(tmp_path)]
    release = inspect(*files)
    for path in files:
        path.unlink()
    assert opened.read_text().splitlines() == [path.name for path in files]
    for system, path in zip(("linux", "windows"), files, strict=True):
        narrowed = narrow(release, for_systems(system))
        assert ([wheel.file for wheel in narrowed.wheels], narrowed.causes) == ([path.name], ())


def test_narrowed_release_has_only_the_causes_of_its_platforms(tmp_path: Path) -> None:
    linux = linux_wheel(tmp_path, {"lib64/liba.a": b"!<arch>"})
    windows = windows_wheel(tmp_path, version="1.0.1")
    release = inspect(linux, windows)
    assert [cause.name for cause in release.causes] == ["version-mismatch"]
    assert narrow(release, for_systems("windows")).all_causes == ()
    narrowed = narrow(release, for_systems("linux"))
    assert [cause.name for cause in narrowed.all_causes] == ["stray-top-level"]
    assert narrow(release, for_systems("linux", "windows")) == release


def test_narrowed_release_misses_its_required_platform(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path))
    narrowed = narrow(release, for_systems("windows"))
    assert narrowed.wheels == ()
    assert only(narrowed.causes).facts == {"missing": "win_amd64"}


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
def test_narrowed_release_has_the_wheels_that_fit_its_systems(
    tmp_path: Path, tag: str, systems: set[str]
) -> None:
    other = linux_wheel(tmp_path, tag=tag)
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path), other)
    assert {
        system
        for system in ("linux", "windows")
        if other.name in {wheel.file for wheel in narrow(release, for_systems(system)).wheels}
    } == systems


def test_causes_of_a_release_depend_only_on_the_inspections(tmp_path: Path) -> None:
    release = inspect(linux_wheel(tmp_path), windows_wheel(tmp_path))
    first, second = release.wheels
    other = second.model_copy(update={"version": "2.0"})
    assert release_causes(release.wheels, SUBJECT) == ()
    assert only(release_causes([first, other], SUBJECT)).name == "version-mismatch"


# ---- the libraries that a program could confuse ----


def undeclared(*systems: str, libraries: tuple[str, ...] = ()) -> Subject:
    """Return the subject with these systems, whose platforms declare only these libraries."""
    subject = for_systems(*systems)
    platforms = [p.model_copy(update={"libraries": libraries}) for p in subject.platforms]
    return subject.model_copy(update={"platforms": tuple(platforms)})


def test_declared_libraries_are_known_without_a_wheel() -> None:
    assert bundled_libraries(ReleaseInspection(), SUBJECT) == {
        "linux": ("libquiver.so", "libquiver_c.so"),
        "windows": ("libquiver.dll", "libquiver_c.dll"),
    }


@pytest.mark.parametrize("declared", [(), ("_x.cpython-313-x86_64-linux-gnu.so",)])
def test_undeclared_libraries_are_those_of_the_wheels(
    tmp_path: Path, declared: tuple[str, ...]
) -> None:
    subject = undeclared("linux", libraries=declared)
    release = inspect(linux_wheel(tmp_path), subject=subject)
    assert bundled_libraries(release, subject) == {
        "linux": ("libquiver.so", "libquiver_c.so"),
        "windows": (),
    }


@pytest.mark.parametrize(
    ("path", "soname", "is_library"),
    [
        ("quiverdb/libx.so", None, True),
        ("quiverdb.libs/libx.so.1", "libx.so.1", True),
        ("quiverdb/x.so", "x.so", True),
        ("quiverdb/_x.so", None, False),
        ("quiverdb/_x.abi3.so", None, False),
        ("quiverdb/_x.cpython-313-x86_64-linux-gnu.so", None, False),
        ("quiverdb.libs/libx-0a1b2c3d.so.1", "libx-0a1b2c3d.so.1", False),
    ],
)
def test_extension_modules_and_names_with_a_hash_cannot_be_confused(
    tmp_path: Path, path: str, soname: str | None, is_library: bool
) -> None:
    subject = undeclared("linux")
    wheel = inspect(linux_wheel(tmp_path), subject=subject).wheels[0]
    library = wheel.libraries[0].model_copy(update={"paths": (path,), "soname": soname})
    release = ReleaseInspection(wheels=(wheel.model_copy(update={"libraries": (library,)}),))
    names = bundled_libraries(release, subject)["linux"]
    assert names == ((path.rpartition("/")[2],) if is_library else ())


def test_top_level_names_are_those_that_python_can_import(tmp_path: Path) -> None:
    files: Files = {"_second.abi3.so": linux_core(), "third.py": "", "quiverdb.libs/a.so": ""}
    inspection = inspect(linux_wheel(tmp_path, files))
    assert releases.top_level_names(inspection) == ("_second", "quiverdb", "third")
