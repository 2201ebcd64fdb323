"""The dependencies of a release are resolved by uv, from a folder of wheels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from containers import upstream_releases, wheelhouse
from tests.helpers import wheel_builder
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.lock_file import LockedRelease
from verification.models.release import Release, ReleaseFile
from verification.scenarios import machines
from verification.session import dependencies, lock
from verification.session.lock import Resolution

MACHINES = machines.load()
DEBIAN, WINE = "debian-13", "windows-wine"
OLD_GLIBC, FREE_THREADED, MUSL = "debian-13-glibc-2.17", "debian-12-python-3.13t", "debian-13-musl"
OLD_PYTHON, NEW_PYTHON = "debian-12-python-3.11", "debian-forky-python-3.14"
ANY, LINUX_2_17 = "py3-none-any", "cp313-cp313-manylinux2014_x86_64"
LINUX, WINDOWS = wheel_builder.LINUX_TAG, wheel_builder.WINDOWS_TAG


def wheel(
    folder: Path, name: str, tag: str = ANY, *, requires: Iterable[str] = (), python: str = ">=3.9"
) -> Path:
    """Make a wheel. ``name`` is PROJECT-VERSION."""
    project, _, version = name.partition("-")
    lines = [f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}"]
    lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {text}" for text in requires)]
    metadata = "\n".join(lines) + "\n"
    files = {f"{project}.py": ""}
    return wheel_builder.build(
        folder, files, name=project, version=version, tag=tag, metadata=metadata
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[Path]:
    """Return the folder that pip is set to use instead of an index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    upstream_releases._pip_settings.cache_clear()
    yield folder
    upstream_releases._pip_settings.cache_clear()


@pytest.fixture
def select_machines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that selects the machines of machines.toml."""

    def select(*names: str) -> None:
        specs = [MACHINES[name] for name in names]
        monkeypatch.setattr(dependencies, "machines_of", lambda _: specs)

    return select


def release_of(folder: Path, *requires: str) -> Release:
    """Return a release with a wheel for each system, with these requirements."""
    folder.mkdir()
    files = [wheel(folder, "quiverdb-1.0", tag, requires=requires) for tag in (LINUX, WINDOWS)]
    return wheelhouse.from_files(files, location="a test")


def resolve(tmp_path: Path, *requires: str) -> Resolution:
    return lock.resolve(release_of(tmp_path / "dist", *requires), SUBJECT)


def applicable(resolution: Resolution, machine: str) -> list[str]:
    """Return the exact requirements for a machine."""
    entries = dependencies.applicable(resolution.releases, MACHINES[machine])
    return [f"{entry.name}=={entry.version}" for entry in entries]


def test_each_machine_gets_the_newest_versions_that_it_can_install(
    index: Path, tmp_path: Path, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN, WINE, OLD_PYTHON)
    wheel(index, "alpha-1.0", requires=["beta<3", 'gamma; sys_platform == "win32"'])
    wheel(
        index, "alpha-2.0", requires=["beta<3", 'gamma; sys_platform == "win32"'], python=">=3.13"
    )
    for name in ("beta-1.0", "beta-2.0", "beta-3.0", "gamma-1.0"):
        wheel(index, name)
    resolution = resolve(tmp_path, "alpha>=1", 'delta; extra == "fast"')

    assert applicable(resolution, DEBIAN) == ["alpha==2.0", "beta==2.0"]
    assert applicable(resolution, OLD_PYTHON) == ["alpha==1.0", "beta==2.0"]
    assert applicable(resolution, WINE) == ["alpha==2.0", "beta==2.0", "gamma==1.0"]
    assert resolution.refusals == {}
    assert set(resolution.machines) == {DEBIAN, WINE, OLD_PYTHON}


def test_newest_version_for_all_machines_has_no_marker_and_all_hashes(
    index: Path, tmp_path: Path, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN, WINE)
    files = [wheel(index, "alpha-1.0", tag) for tag in (LINUX, WINDOWS)]
    hashes = tuple(sorted(ReleaseFile.read(path).sha256 for path in files))
    resolution = resolve(tmp_path, "alpha")
    assert resolution.releases == (LockedRelease(name="alpha", version="1.0", hashes=hashes),)


def test_platform_decides_which_version_a_machine_can_install(
    index: Path, tmp_path: Path, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN, OLD_GLIBC, FREE_THREADED, MUSL)
    wheel(index, "alpha-5.0", WINDOWS)
    wheel(index, "alpha-4.0", LINUX)
    wheel(index, "alpha-3.0", LINUX_2_17)
    wheel(index, "alpha-2.0", "cp313-cp313-musllinux_1_2_x86_64")
    for tag in (LINUX, "cp313-cp313t-manylinux_2_28_x86_64"):
        wheel(index, "alpha-1.0", tag)
    resolution = resolve(tmp_path, "alpha")

    versions = [entry.version for entry in resolution.releases]
    assert versions == ["1.0", "2.0", "3.0", "4.0"]
    mirrored = {
        name: [
            path.name.split("-")[1]
            for path in wheelhouse.dependencies(
                dependencies.applicable(resolution.releases, MACHINES[name]),
                dependencies.target(MACHINES[name]),
            )
        ]
        for name in (DEBIAN, OLD_GLIBC, FREE_THREADED, MUSL)
    }
    expected = {DEBIAN: ["4.0"], OLD_GLIBC: ["3.0"], FREE_THREADED: ["1.0"], MUSL: ["2.0"]}
    assert mirrored == expected


def test_machine_whose_python_a_dependency_does_not_support_has_no_entry(
    index: Path, tmp_path: Path, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN, NEW_PYTHON, OLD_PYTHON, WINE)
    wheel(index, "alpha-1.0", python=">=3.11,<3.14")
    wheel(index, "beta-1.0")
    resolution = resolve(tmp_path, "alpha", "beta")
    assert applicable(resolution, NEW_PYTHON) == []
    assert applicable(resolution, OLD_PYTHON) == ["alpha==1.0", "beta==1.0"]
    ((reason, names),) = resolution.refusals.items()
    assert names == (NEW_PYTHON,)
    assert "alpha" in reason
    assert "\n" not in reason


@pytest.mark.usefixtures("index")
def test_release_without_dependencies_has_no_entries(
    tmp_path: Path, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN, WINE)
    resolution = resolve(tmp_path, 'alpha; extra == "fast"', "quiverdb[fast]")
    assert (resolution.releases, resolution.machines) == ((), (DEBIAN, WINE))


@pytest.mark.parametrize("requirement", ["absent", "alpha>=2", "sdist-only"])
def test_dependency_without_a_solution_on_any_machine_is_wrong_use(
    index: Path, tmp_path: Path, select_machines: Callable[..., None], requirement: str
) -> None:
    select_machines(DEBIAN, WINE)
    wheel(index, "alpha-1.0")
    (index / "sdist_only-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(WrongUse, match=requirement.split(">")[0]) as raised:
        resolve(tmp_path, requirement)
    assert "\n" not in str(raised.value)


def test_index_that_does_not_answer_is_a_testbed_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN)
    monkeypatch.setattr(upstream_releases, "pip_setting", lambda _: "")
    monkeypatch.setattr(upstream_releases, "index_url", lambda: "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(TestbedFailure) as raised:
        resolve(tmp_path, "alpha")
    assert raised.value.cause == "index-unreachable"
    assert "\n" not in raised.value.message


@pytest.mark.usefixtures("index")
def test_wheel_without_metadata_is_wrong_use(
    tmp_path: Path, select_machines: Callable[..., None]
) -> None:
    select_machines(DEBIAN)
    release = release_of(tmp_path / "dist")
    release.wheel_paths[0].write_bytes(b"no archive")
    with pytest.raises(WrongUse, match=release.wheel_paths[0].name):
        lock.resolve(release, SUBJECT)


@pytest.mark.parametrize("name", MACHINES)
def test_each_machine_has_a_platform_of_uv(name: str) -> None:
    platform = lock._platform(MACHINES[name])
    assert ("windows" in platform) is (MACHINES[name].os == "windows")
    assert ("musl" in platform) is bool(MACHINES[name].musl)


def test_written_file_is_complete_or_absent(tmp_path: Path) -> None:
    resolution = Resolution((LockedRelease(name="a", version="1", hashes=("0",)),), (), {})
    path = tmp_path / "lock.txt"
    lock.write(path, resolution, SUBJECT, "1.0")
    content = path.read_bytes()
    lock.write(path, resolution, SUBJECT, "1.0")
    assert path.read_bytes() == content
    with pytest.raises(WrongUse, match="absent"):
        lock.write(tmp_path / "absent" / "lock.txt", resolution, SUBJECT, "1.0")
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["lock.txt"]
