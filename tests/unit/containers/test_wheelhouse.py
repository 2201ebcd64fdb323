from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from containers import wheelhouse
from containers.images import NoMatchingFile
from containers.wheelhouse import Target, from_files, from_folder, from_release
from verification.models import lock_file
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.lock_file import LockedRelease
from verification.models.release import Release

LINUX = "quiverdb-1.2.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS = "quiverdb-1.2.0-cp313-cp313-win_amd64.whl"


def _folder(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text(name)
    return folder


# ---- from a folder ----


def test_release_from_a_folder_has_its_wheels(tmp_path: Path) -> None:
    release = from_folder(_folder(tmp_path, WINDOWS, LINUX, "README.txt"), "quiverdb")
    assert (release.origin, release.location, release.version) == ("wheels", str(tmp_path), "1.2.0")
    assert [path.name for path in release.wheels] == [LINUX, WINDOWS]


def test_other_files_of_the_folder_are_additional(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    names = ("quiverdb-1.2.0.tar.gz", LINUX, "README.txt", ".hidden")
    additional = from_folder(_folder(tmp_path, *names), "quiverdb").additional
    assert [path.name for path in additional] == ["README.txt", "quiverdb-1.2.0.tar.gz"]
    assert from_files([tmp_path / LINUX], location="source").additional == ()


def test_project_names_are_normalized(tmp_path: Path) -> None:
    release = from_folder(_folder(tmp_path, "Quiver_DB-1.2-py3-none-any.whl"), "quiver.db")
    assert release.version == "1.2"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), [".whl"]),
        (("quiverdb-1.2.0.tar.gz",), [".whl"]),
        ((LINUX, LINUX.replace("1.2", "1.10")), ["1.2.0", "1.10.0"]),
        ((LINUX, "cffi-2.0.0-py3-none-any.whl"), ["cffi-2.0.0-py3-none-any.whl", "quiverdb"]),
        (("quiverdb.whl",), ["Invalid wheel filename", "'quiverdb'"]),
        (("quiverdb-1.2.0-cp313.whl",), ["Invalid wheel filename", "'quiverdb-1.2.0-cp313'"]),
        (("quiverdb-one-cp313-cp313-any.whl",), ["quiverdb-one-cp313-cp313-any"]),
    ],
    ids=[
        "empty",
        "source distribution",
        "two versions",
        "another project",
        "no version",
        "no tags",
        "invalid version",
    ],
)
def test_folder_without_a_release_is_wrong_use(
    tmp_path: Path, names: tuple[str, ...], expected: list[str]
) -> None:
    with pytest.raises(WrongUse) as raised:
        from_folder(_folder(tmp_path, *names), "quiverdb")
    option, _, reason = str(raised.value).partition(f"--wheels {tmp_path}: ")
    assert option == ""
    assert [fact for fact in expected if fact not in reason] == []
    assert "\n" not in reason


@pytest.mark.parametrize("name", ["absent", LINUX])
def test_path_that_is_not_a_folder_is_wrong_use(tmp_path: Path, name: str) -> None:
    _folder(tmp_path, LINUX)
    with pytest.raises(WrongUse, match=f"--wheels {tmp_path / name}"):
        from_folder(tmp_path / name, "quiverdb")


# ---- from files ----


def test_release_from_built_files_has_the_origin_source(tmp_path: Path) -> None:
    wheel = _folder(tmp_path, LINUX) / LINUX
    release = from_files([wheel], location="bindings/python")
    assert (release.origin, release.location, release.version) == (
        "source",
        "bindings/python",
        "1.2.0",
    )
    assert release.wheel_paths == (wheel,)


def test_digests_of_a_release_are_those_of_its_files(tmp_path: Path) -> None:
    release = from_folder(_folder(tmp_path, LINUX, WINDOWS), "quiverdb")
    assert release.digests() == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in (LINUX, WINDOWS)
    }
    (tmp_path / LINUX).write_text("changed")
    changed = from_folder(tmp_path, "quiverdb")
    assert changed.digests()[LINUX] == hashlib.sha256(b"changed").hexdigest()


@pytest.mark.parametrize(
    ("name", "platforms"),
    [
        (WINDOWS, {"win_amd64"}),
        ("x-1-py3-none-any.whl", {"any"}),
        (
            "x-1-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            {"manylinux2014_x86_64", "manylinux_2_17_x86_64"},
        ),
    ],
)
def test_platforms_of_a_wheel_are_read_from_its_name(name: str, platforms: set[str]) -> None:
    assert wheelhouse.platforms(Path("folder") / name) == platforms


# ---- a published release ----

NO_MATCH = "ERROR: No matching distribution found for quiverdb==1.2.0\n"
OTHER_VERSIONS = f"ERROR: Could not find a version (from versions: 0.9, 1.0, 1.1)\n{NO_MATCH}"
NO_VERSIONS = f"ERROR: Could not find a version (from versions: none)\n{NO_MATCH}"
NO_CONNECTION = f"WARNING: Retrying (Retry(total=0)) after: Connection refused\n{NO_VERSIONS}"


def _replace_pip(
    monkeypatch: pytest.MonkeyPatch, *, linux: str = "", windows: str = ""
) -> list[str]:
    """Replace pip by a fake. Return the requirements that it gets.

    For a system, the fake writes a wheel, or it fails with the error that is given here.
    """
    requirements: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (dest,) = (part.partition("=")[2] for part in command if part.startswith("--dest="))
        is_windows = "--platform=win_amd64" in command
        error, wheel = (windows, WINDOWS) if is_windows else (linux, LINUX)
        requirements.append(command[-1])
        if not error:
            (Path(dest) / wheel).write_text(wheel)
        return subprocess.CompletedProcess(command, int(bool(error)), "", error)

    monkeypatch.setattr(subprocess, "run", run)
    return requirements


def _names(release: Release) -> list[str]:
    return [path.name for path in release.wheels]


def test_release_is_downloaded_once_for_each_system(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = _replace_pip(monkeypatch)
    first = from_release("1.2.0", "quiverdb")
    assert (first.origin, first.location, first.version) == ("release", "1.2.0", "1.2.0")
    assert _names(first) == [LINUX, WINDOWS]
    assert from_release("v1.2.0", "quiverdb") == first
    assert requirements == ["quiverdb==1.2.0"] * 2


def test_release_can_have_wheels_for_one_system_only(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_pip(monkeypatch, windows=OTHER_VERSIONS)
    assert _names(from_release("1.2.0", "quiverdb")) == [LINUX]


@pytest.mark.parametrize(
    ("error", "versions"), [(OTHER_VERSIONS, "0.9, 1.0, 1.1"), (NO_VERSIONS, "")]
)
def test_unknown_release_is_wrong_use_that_lists_the_newest_versions(
    monkeypatch: pytest.MonkeyPatch, error: str, versions: str
) -> None:
    _replace_pip(monkeypatch, linux=error, windows=error)
    with pytest.raises(WrongUse, match=rf"(?=.*--release 1\.2\.0)(?=.*quiverdb)(?=.*{versions})"):
        from_release("1.2.0", "quiverdb")


@pytest.mark.parametrize("version", ["", "latest", "1.2.0 or so"])
def test_invalid_version_is_wrong_use(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    requirements = _replace_pip(monkeypatch)
    with pytest.raises(WrongUse, match=f"--release {version}"):
        from_release(version, "quiverdb")
    assert requirements == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("WARNING: x\nERROR: HTTP error 503\n", "linux: ERROR: HTTP error 503"),
        (NO_CONNECTION, "Connection refused"),
        ("\n", "linux: "),
    ],
    ids=["status 503", "no connection", "no output"],
)
def test_unreachable_index_is_a_testbed_failure_with_the_error_of_pip(
    monkeypatch: pytest.MonkeyPatch, error: str, reason: str
) -> None:
    _replace_pip(monkeypatch, linux=error, windows=error)
    with pytest.raises(TestbedFailure) as raised:
        from_release("1.2.0", "quiverdb")
    assert raised.value.cause == "index-unreachable"
    assert reason in raised.value.message


def test_incomplete_download_leaves_no_files_and_is_repeated(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    _replace_pip(monkeypatch, windows=NO_CONNECTION)
    with pytest.raises(TestbedFailure):
        from_release("1.2.0", "quiverdb")
    assert list((isolated / "releases" / "quiverdb").iterdir()) == []
    _replace_pip(monkeypatch)
    assert _names(from_release("1.2.0", "quiverdb")) == [LINUX, WINDOWS]
    assert [p.name for p in (isolated / "releases" / "quiverdb").iterdir()] == ["1.2.0"]


@pytest.mark.parametrize("content", [None, b"", b"other"], ids=["removed", "empty", "changed"])
def test_damaged_wheel_of_a_release_is_downloaded_again_and_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    requirements = _replace_pip(monkeypatch)
    first = from_release("1.2.0", "quiverdb")
    path = first.wheels[0].path
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert from_release("1.2.0", "quiverdb") == first
    assert len(requirements) == 4
    assert capsys.readouterr().out.count(f"{LINUX}: ") == 1


def test_damaged_wheel_that_cannot_be_downloaded_again_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _replace_pip(monkeypatch)
    from_release("1.2.0", "quiverdb").wheels[0].path.write_bytes(b"other")
    _replace_pip(monkeypatch, linux=OTHER_VERSIONS, windows=OTHER_VERSIONS)
    with pytest.raises(TestbedFailure) as raised:
        from_release("1.2.0", "quiverdb")
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", LINUX)


# ---- one version of pip ----


def test_damaged_pip_is_downloaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        requirements.append(command[-1])
        (dest,) = (part.partition("=")[2] for part in command if part.startswith("--dest="))
        (Path(dest) / "pip-24.3-py3-none-any.whl").write_bytes(b"pip")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        (path,) = wheelhouse.installer_wheels("pip", "24.3")
    path.write_bytes(b"")
    (path,) = wheelhouse.installer_wheels("pip", "24.3")
    assert path.read_bytes() == b"pip"
    assert requirements == ["pip==24.3"] * 2


def test_uv_is_downloaded_for_all_systems_of_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (dest,) = (part.partition("=")[2] for part in command if part.startswith("--dest="))
        (platform, *_rest) = (part[11:] for part in command if part.startswith("--platform="))
        (Path(dest) / f"uv-0.5.0-py3-none-{platform}.whl").write_bytes(b"uv")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    names = [path.name for path in wheelhouse.installer_wheels("uv", "0.5.0")]
    assert [part for part in ("musllinux", "manylinux", "win_amd64") if part in str(names)] != []
    assert len(names) == 3


@pytest.mark.parametrize("program", ["pip", "uv"])
def test_unknown_version_of_an_installer_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "(from versions: 1.0, 2.0)")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(WrongUse, match=rf"--{program} 99.*2\.0"):
        wheelhouse.installer_wheels(program, "99")
    with pytest.raises(WrongUse, match=f"--{program} new"):
        wheelhouse.installer_wheels(program, "new")


# ---- the locked dependencies ----

TARGET = Target("3.13", ("manylinux_2_28_x86_64",))


def _locked(name: str, version: str) -> LockedRelease:
    # pip would compare the marker with the Python of the host.
    marker = "python_version <= '3.1'"
    return LockedRelease(name=name, version=version, marker=marker, hashes=("0" * 64,))


class _Upstream:
    """A fake upstream index with these files, by requirement."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.downloads = 0

    def fetch(self, lock: Path, folder: Path, python: str, platforms: Iterable[str]) -> None:
        self.downloads += 1
        assert (python, tuple(platforms)) == TARGET
        requirements = [entry.requirement for entry in lock_file.read(lock)]
        if not set(requirements) <= set(self.files):
            raise NoMatchingFile("image-build-failed", "pip", "No matching distribution")
        for requirement in requirements:
            (folder / self.files[requirement]).touch()


def _dependencies(
    monkeypatch: pytest.MonkeyPatch, upstream: _Upstream, *releases: LockedRelease
) -> list[str]:
    monkeypatch.setattr(wheelhouse, "fetch_wheels", upstream.fetch)
    return [path.name for path in wheelhouse.dependencies(releases, TARGET)]


def test_newest_version_with_a_wheel_for_the_machine_is_mirrored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream = _Upstream({"a==9": "a-9-py3-none-any.whl", "b==1": "b-1-py3-none-any.whl"})
    releases = (_locked("a", "9"), _locked("a", "10"), _locked("b", "1"), _locked("c", "1"))
    names = ["a-9-py3-none-any.whl", "b-1-py3-none-any.whl"]
    assert _dependencies(monkeypatch, upstream, *releases) == names
    downloads = upstream.downloads
    assert _dependencies(monkeypatch, upstream, *releases) == names
    assert upstream.downloads == downloads, "also a missing wheel is asked for only once"


def test_target_without_any_wheel_has_no_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = _Upstream({})
    for _ in range(2):
        assert _dependencies(monkeypatch, upstream, _locked("a", "1")) == []
    assert _dependencies(monkeypatch, upstream) == []
    assert upstream.downloads == 2


def test_dependencies_that_cannot_be_downloaded_are_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise TestbedFailure("image-build-failed", "pip", "no answer")

    monkeypatch.setattr(wheelhouse, "fetch_wheels", fail)
    with pytest.raises(TestbedFailure):
        wheelhouse.dependencies([_locked("a", "1")], TARGET)
