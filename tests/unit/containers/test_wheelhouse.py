from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from containers import wheelhouse
from containers.images import NoMatchingFile
from containers.wheelhouse import from_files, from_folder, from_release
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release

LINUX = "quiverdb-1.2.0-cp313-cp313-manylinux_2_28_x86_64.whl"
WINDOWS = "quiverdb-1.2.0-cp313-cp313-win_amd64.whl"
LOCKS = (Path("dependencies.txt"),)


@pytest.fixture(autouse=True)
def no_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded: the dependencies are two names."""
    found = (Path("cffi-2.0.0-cp313-cp313-win_amd64.whl"), Path("Typing_Ext-4.1.tar.gz"))
    monkeypatch.setattr(wheelhouse, "dependencies", lambda _: found)


def _folder(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text(name)
    return folder


# ---- from a folder ----


def test_the_wheels_of_a_folder_are_a_release(tmp_path: Path) -> None:
    release = from_folder(_folder(tmp_path, WINDOWS, LINUX, "README.txt"), "quiverdb", LOCKS)
    assert (release.origin, release.location, release.version) == ("wheels", str(tmp_path), "1.2.0")
    assert [path.name for path in release.wheels] == [LINUX, WINDOWS]


def test_other_files_of_the_folder_are_additional(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    names = ("quiverdb-1.2.0.tar.gz", LINUX, "README.txt", ".hidden")
    found = from_folder(_folder(tmp_path, *names), "quiverdb", LOCKS).additional
    assert [path.name for path in found] == ["README.txt", "quiverdb-1.2.0.tar.gz"]
    assert from_files([tmp_path / LINUX], LOCKS, location="here").additional == ()


def test_the_projects_name_is_compared_as_the_index_compares_it(tmp_path: Path) -> None:
    release = from_folder(_folder(tmp_path, "Quiver_DB-1.2-py3-none-any.whl"), "quiver.db", LOCKS)
    assert release.version == "1.2"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"there is no \.whl file in it"),
        (("quiverdb-1.2.0.tar.gz",), r"there is no \.whl file in it"),
        (
            (LINUX, LINUX.replace("1.2", "1.10")),
            r"two versions in one folder \(1\.2\.0 and 1\.10\.0",
        ),
        ((LINUX, "cffi-2.0.0-py3-none-any.whl"), "cffi-2.0.0-py3-none-any.whl is not a wheel of"),
        (("quiverdb.whl",), "Invalid wheel filename"),
        (("quiverdb-1.2.0-cp313.whl",), "Invalid wheel filename"),
        (("quiverdb-one-cp313-cp313-any.whl",), "rename or remove it"),
    ],
    ids=["empty", "sdist", "two-versions", "other-project", "misnamed", "no-tags", "bad-version"],
)
def test_a_folder_that_is_no_release_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(WrongUse, match=message) as raised:
        from_folder(_folder(tmp_path, *names), "quiverdb", LOCKS)
    assert str(raised.value).startswith(f"--wheels {tmp_path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "told"), [("absent", "there is no such folder"), (LINUX, "is a file")]
)
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, told: str) -> None:
    _folder(tmp_path, LINUX)
    with pytest.raises(WrongUse, match=f"{told}; name the folder with the wheels"):
        from_folder(tmp_path / name, "quiverdb", LOCKS)


# ---- from files ----


def test_wheels_that_were_just_built_are_a_release_of_the_source(tmp_path: Path) -> None:
    wheel = _folder(tmp_path, LINUX) / LINUX
    release = from_files([wheel], LOCKS, location="bindings/python")
    assert (release.origin, release.location, release.version) == (
        "source",
        "bindings/python",
        "1.2.0",
    )
    assert release.wheel_paths == (wheel,)


def test_the_digests_are_those_of_the_files(tmp_path: Path) -> None:
    release = from_folder(_folder(tmp_path, LINUX, WINDOWS), "quiverdb", LOCKS)
    assert release.digests() == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in (LINUX, WINDOWS)
    }
    (tmp_path / LINUX).write_text("changed")
    changed = from_folder(tmp_path, "quiverdb", LOCKS)
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
def test_the_platforms_of_a_wheel_are_read_from_its_name(name: str, platforms: set[str]) -> None:
    assert wheelhouse.platforms(Path("folder") / name) == platforms


# ---- a published release ----

NONE = "ERROR: No matching distribution found for quiverdb==1.2.0\n"
KNOWN = f"ERROR: Could not find a version (from versions: 0.9, 1.0, 1.1)\n{NONE}"
UNKNOWN = f"ERROR: Could not find a version (from versions: none)\n{NONE}"
SILENT = f"WARNING: Retrying (Retry(total=0)) after: Connection refused\n{UNKNOWN}"


def _pip(
    monkeypatch: pytest.MonkeyPatch, *, linux: str = "", windows: str = ""
) -> list[Mapping[str, str]]:
    """Make pip fetch a platform's wheel or say why not; return what it will be asked."""
    asked: list[Mapping[str, str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        options = dict(part.split("=", 1) for part in command if part.startswith("--dest="))
        on_windows = "--platform=win_amd64" in command
        error, wheel = (windows, WINDOWS) if on_windows else (linux, LINUX)
        asked.append(options | {"project": command[-1]})
        if not error:
            (Path(options["--dest"]) / wheel).write_text(wheel)
        return subprocess.CompletedProcess(command, int(bool(error)), "", error)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def _names(release: Release) -> list[str]:
    return [path.name for path in release.wheels]


def test_a_release_is_fetched_for_each_system_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _pip(monkeypatch)
    first = from_release("1.2.0", "quiverdb", LOCKS)
    assert (first.origin, first.location, first.version) == ("release", "1.2.0", "1.2.0")
    assert _names(first) == [LINUX, WINDOWS]
    assert from_release("v1.2.0", "quiverdb", LOCKS) == first
    assert [told["project"] for told in asked] == ["quiverdb==1.2.0"] * 2


def test_a_release_for_one_system_only_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _pip(monkeypatch, windows=KNOWN)
    assert _names(from_release("1.2.0", "quiverdb", LOCKS)) == [LINUX]


@pytest.mark.parametrize(
    ("told", "message"),
    [(KNOWN, "the newest are: 0.9, 1.0, 1.1"), (UNKNOWN, "the newest are: none that pip told of")],
)
def test_an_unknown_release_is_answered_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, told: str, message: str
) -> None:
    _pip(monkeypatch, linux=told, windows=told)
    with pytest.raises(WrongUse, match=r"--release 1\.2\.0: quiverdb has no such") as raised:
        from_release("1.2.0", "quiverdb", LOCKS)
    assert str(raised.value).endswith(message)


@pytest.mark.parametrize("version", ["", "latest", "1.2.0 or so"])
def test_what_is_no_version_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    asked = _pip(monkeypatch)
    with pytest.raises(WrongUse, match="not a version; write one such as"):
        from_release(version, "quiverdb", LOCKS)
    assert asked == []


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("WARNING: x\nERROR: HTTP error 503\n", "linux: ERROR: HTTP error 503"),
        (SILENT, "Connection refused"),
        ("\n", "linux: no output"),
    ],
    ids=["503", "no-connection", "nothing"],
)
def test_an_index_that_does_not_answer_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, told: str, seen: str
) -> None:
    _pip(monkeypatch, linux=told, windows=told)
    with pytest.raises(TestbedFailure) as raised:
        from_release("1.2.0", "quiverdb", LOCKS)
    assert raised.value.cause == "index-unreachable"
    assert seen in raised.value.observed


def test_a_fetch_that_broke_off_leaves_nothing_and_is_done_again(
    monkeypatch: pytest.MonkeyPatch, isolated: Path
) -> None:
    _pip(monkeypatch, windows=SILENT)
    with pytest.raises(TestbedFailure):
        from_release("1.2.0", "quiverdb", LOCKS)
    assert list((isolated / "releases" / "quiverdb").iterdir()) == []
    _pip(monkeypatch)
    assert _names(from_release("1.2.0", "quiverdb", LOCKS)) == [LINUX, WINDOWS]
    assert [p.name for p in (isolated / "releases" / "quiverdb").iterdir()] == ["1.2.0"]


@pytest.mark.parametrize("content", [None, b"", b"other"], ids=["removed", "empty", "changed"])
def test_a_damaged_wheel_of_a_release_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    asked = _pip(monkeypatch)
    first = from_release("1.2.0", "quiverdb", LOCKS)
    path = first.wheels[0].path
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert from_release("1.2.0", "quiverdb", LOCKS) == first
    assert len(asked) == 4
    assert capsys.readouterr().err.count(f"{LINUX}: the cached copy is damaged") == 1


def test_a_damaged_wheel_that_cannot_be_fetched_again_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _pip(monkeypatch)
    from_release("1.2.0", "quiverdb", LOCKS).wheels[0].path.write_bytes(b"other")
    _pip(monkeypatch, linux=KNOWN, windows=KNOWN)
    with pytest.raises(TestbedFailure) as raised:
        from_release("1.2.0", "quiverdb", LOCKS)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", LINUX)


# ---- a certain pip ----


def test_a_damaged_pip_is_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[-1])
        (dest,) = (part.partition("=")[2] for part in command if part.startswith("--dest="))
        (Path(dest) / "pip-24.3-py3-none-any.whl").write_bytes(b"pip")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        path = wheelhouse.pip_wheel("24.3")
    path.write_bytes(b"")
    assert wheelhouse.pip_wheel("24.3").read_bytes() == b"pip"
    assert asked == ["pip==24.3"] * 2


# ---- the dependencies for another Python ----


@pytest.mark.parametrize("fits", [True, False])
def test_only_a_package_without_a_file_for_a_python_leaves_its_dependencies_out(
    monkeypatch: pytest.MonkeyPatch, *, fits: bool
) -> None:
    error = TestbedFailure("image-build-failed", "pip", "no answer")
    if not fits:
        error = NoMatchingFile("image-build-failed", "pip", "No matching distribution")

    def download(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(wheelhouse, "download_wheels", download)
    if fits:
        with pytest.raises(TestbedFailure):
            wheelhouse.dependencies_for(LOCKS[0], "3.15")
    else:
        assert wheelhouse.dependencies_for(LOCKS[0], "3.15") == ()
