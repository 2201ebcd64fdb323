"""A dependency that is not on the run's index is reported before a machine starts."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence, Set
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag

from containers import upstream_releases
from containers.upstream_releases import UpstreamUnavailable
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.inspection import ReleaseInspection, WheelInspection
from verification.models.machine import MachineSpec
from verification.models.release import Release
from verification.models.subject import Subject
from verification.scenarios import machines
from verification.session import required_files
from verification.session.selection import Options, Selection, select
from verification.wheel.tags import parse_tags

LINUX = "cp313-cp313-manylinux_2_28_x86_64"
WINDOWS = "cp313-cp313-win_amd64"
MACHINES = machines.load()
DEBIAN = MACHINES["debian-13"]
WINE = MACHINES["windows-wine"]


def _inspection(
    *requires: str, tags: Sequence[str] = (LINUX, WINDOWS), python: str | None = None
) -> ReleaseInspection:
    wheels = tuple(
        WheelInspection(
            file=f"quiverdb-1.0-{tag}.whl",
            sha256="0" * 64,
            size=1,
            name="quiverdb",
            version="1.0",
            tags=tuple(map(str, parse_tags([tag]))),
            platform=None,
            requires=requires,
            requires_python=python,
        )
        for tag in tags
    )
    return ReleaseInspection(wheels=wheels)


def _wheel(folder: Path, name: str, *requires: str, tag: str = "py3-none-any") -> Path:
    """Make a wheel with these requirements in its metadata. `name` is PROJECT-VERSION."""
    project, _, version = name.partition("-")
    lines = [f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    path = folder / f"{name}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{project}/vendored-1.dist-info/METADATA", "Requires-Dist: vendored")
        archive.writestr(f"{name}.dist-info/METADATA", "\n".join(lines))
    return path


def _unserved(
    *requires: str, files: tuple[Path, ...] = (), machine: MachineSpec = DEBIAN
) -> list[str]:
    unserved = required_files.unserved_requirements(_inspection(*requires), files, machine)
    return [str(item.requirement) for item in unserved]


@pytest.fixture
def cffi(tmp_path: Path) -> Path:
    return _wheel(tmp_path, "cffi-2.1.1", tag=LINUX)


@pytest.mark.parametrize(
    "requirement",
    [
        "cffi",
        "CFFI >= 2.0",
        'cffi; sys_platform == "linux" and python_version >= "3.13"',
        'numpy; sys_platform == "win32"',
        'numpy; extra == "fast"',
        'numpy; python_version < "3.13"',
        "quiverdb[fast]",
        "cffi @ https://index.example/cffi.whl",
        "no requirement at all",
    ],
)
def test_requirement_that_is_served_or_not_needed_is_not_reported(
    requirement: str, cffi: Path
) -> None:
    assert _unserved(requirement, files=(cffi,)) == []


@pytest.mark.parametrize(
    ("requirement", "machine"),
    [
        ("numpy", DEBIAN),
        ("cffi>=99", DEBIAN),
        ("cffi", WINE),  # the only file is for Linux
        ('numpy; sys_platform == "win32"', WINE),
    ],
)
def test_requirement_without_a_file_for_the_machine_is_reported(
    requirement: str, machine: MachineSpec, cffi: Path
) -> None:
    assert _unserved(requirement, files=(cffi,), machine=machine) == [requirement]


def test_source_distribution_fits_every_machine(tmp_path: Path) -> None:
    assert _unserved("cffi", files=(tmp_path / "cffi-2.1.1.tar.gz",), machine=WINE) == []


def test_file_whose_requires_python_excludes_the_machine_does_not_fit(tmp_path: Path) -> None:
    newer = _wheel(tmp_path, "cffi-2.1.1")
    with zipfile.ZipFile(newer, "w") as archive:
        archive.writestr("cffi-2.1.1.dist-info/METADATA", "Requires-Python: >=3.14\n")
    assert _unserved("cffi", files=(newer,)) == ["cffi"]


def test_requirements_of_a_dependency_are_checked_with_its_extras(tmp_path: Path) -> None:
    newest = _wheel(tmp_path, "cffi-2.1.1", "pycparser", 'ply; extra == "yacc"')
    older = _wheel(tmp_path, "cffi-1.0", "six")
    assert _unserved("cffi", files=(older, newest)) == ["pycparser"]
    assert _unserved("cffi[yacc]", files=(newest,)) == ["pycparser", 'ply; extra == "yacc"']
    circular = _wheel(tmp_path, "pycparser-3.0", "cffi")
    assert _unserved("cffi", files=(newest, circular)) == []


# ---- the fault: the lock file, the package or the testbed ----


@dataclasses.dataclass
class _Upstream:
    """A fake upstream index with wheels or sources of projects, or one that gives no answer."""

    projects: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    answers: bool = True

    def file_kinds(self, requirement: Requirement, _tags: Set[Tag], _python: str) -> Set[str]:
        if not self.answers:
            raise UpstreamUnavailable("no answer")
        kinds = {"wheel": self.projects, "source": self.sources}
        return {kind for kind, names in kinds.items() if requirement.name in names}


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> _Upstream:
    index = _Upstream()
    monkeypatch.setattr(upstream_releases, "file_kinds", index.file_kinds)
    return index


def _selection(tmp_path: Path, *names: str, subject: str = "") -> Selection:
    (tmp_path / "wheels").mkdir(exist_ok=True)
    options = Options(wheels=tmp_path / "wheels", machines=names, subject=subject)
    return select(options, tmp_path, SUBJECT.platforms)


def _check(selection: Selection, *requires: str, subject: Subject = SUBJECT) -> Release:
    release = Release(origin="wheels", location="x", version="1.0", wheels=())
    return required_files.check(release, _inspection(*requires), subject, selection)


@pytest.mark.parametrize(("subject", "prefix"), [("", "quiverdb-1.0-"), ("quiverdb", "--subject")])
def test_published_dependency_that_is_not_in_the_lock_file_is_wrong_use(
    tmp_path: Path, upstream: _Upstream, subject: str, prefix: str
) -> None:
    upstream.projects = ("numpy",)
    with pytest.raises(WrongUse, match="numpy>=2") as raised:
        _check(_selection(tmp_path, "debian-13", subject=subject), "numpy>=2")
    assert str(raised.value).startswith(prefix)
    assert str(SUBJECT.dependencies) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_command_that_locks_the_dependency_is_named(tmp_path: Path, upstream: _Upstream) -> None:
    upstream.projects = ("numpy",)
    description = tmp_path / "subject.toml"
    unlocked = SUBJECT.model_copy(update={"dependencies": None, "file": description})
    with pytest.raises(WrongUse, match="numpy") as raised:
        _check(_selection(tmp_path, "debian-13", subject="x"), "numpy", subject=unlocked)
    command = f"./e2e lock --subject {description} --wheels {tmp_path / 'wheels'}"
    assert str(raised.value).endswith(command)


def test_dependency_without_a_wheel_leaves_the_cells_of_the_machine_unverified(
    tmp_path: Path, upstream: _Upstream
) -> None:
    upstream.sources = ("docopt",)
    requirement = 'docopt>=0.6; sys_platform == "win32"'
    release = _check(_selection(tmp_path, "debian-13", "windows-wine"), requirement)
    assert (release.unpublished, list(release.without_wheel)) == ((), ["windows-wine"])
    assert "docopt" in release.without_wheel["windows-wine"]
    assert _check(_selection(tmp_path, "debian-13"), requirement).without_wheel == {}


def test_dependency_that_no_index_has_is_recorded_as_unpublished(
    tmp_path: Path, upstream: _Upstream
) -> None:
    upstream.projects = ("cffi",)
    selection = _selection(tmp_path, "debian-13", "windows-wine")
    assert _check(selection, "Num_Py>=2").unpublished == ("num-py",)
    assert _check(selection).unpublished == ()


def test_upstream_index_without_an_answer_is_a_testbed_failure(
    tmp_path: Path, upstream: _Upstream
) -> None:
    upstream.answers = False
    with pytest.raises(TestbedFailure) as raised:
        _check(_selection(tmp_path, "debian-13"), "numpy")
    assert raised.value.cause == "dependency-not-served"


def test_machine_on_which_the_release_need_not_work_is_not_checked(
    tmp_path: Path, upstream: _Upstream
) -> None:
    upstream.projects = ("numpy",)
    selection = _selection(tmp_path, "debian-forky-python-3.14", "debian-13-musl")
    assert _check(selection, "numpy").unpublished == ()


# ---- machines that only an additional wheel fits ----

OTHERS = ("debian-11-python-3.9", "debian-12-python-3.11", "debian-12-python-3.13t")
ABI3 = "cp39-abi3-manylinux_2_17_x86_64"


@pytest.mark.parametrize(
    ("tags", "python", "names"),
    [
        ((LINUX,), None, ()),
        ((ABI3,), None, OTHERS[:2]),
        ((ABI3,), ">=3.10", OTHERS[1:2]),
        ((LINUX, "cp311-cp311-manylinux_2_28_x86_64"), None, OTHERS[1:2]),
        ((LINUX, "cp313-cp313t-manylinux_2_28_x86_64"), None, OTHERS[2:]),
        (("py3-none-any",), None, OTHERS),
    ],
)
def test_release_must_work_where_one_of_its_wheels_fits(
    tmp_path: Path, tags: tuple[str, ...], python: str | None, names: tuple[str, ...]
) -> None:
    release = Release(origin="wheels", location="x", version="1.0", wheels=())
    inspection = _inspection(tags=tags, python=python)
    selection = _selection(tmp_path, "debian-13", *OTHERS)
    additional = required_files.additional_machines(release, inspection, SUBJECT, selection)
    assert additional == names


def test_release_need_not_work_where_a_dependency_has_no_file(tmp_path: Path, cffi: Path) -> None:
    release = Release(origin="wheels", location="x", version="1.0", wheels=(), dependencies=(cffi,))
    inspection = _inspection("cffi", tags=(ABI3,))
    selection = _selection(tmp_path, *OTHERS)
    assert not required_files.additional_machines(release, inspection, SUBJECT, selection)
    pure = _wheel(tmp_path, "cffi-2.1.1")
    release = release.model_copy(update={"dependencies": (pure,)})
    additional = required_files.additional_machines(release, inspection, SUBJECT, selection)
    assert additional == OTHERS[:2]
