"""``./e2e init``: the files of a new subject, the gate to run next, and wrong use."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from containers import upstream_releases, wheelhouse
from containers.upstream_releases import IndexFile, NoSuchProject, UpstreamUnavailable
from tests.helpers import wheel_builder
from tests.helpers.binaries import elf
from verification.commands import init
from verification.commands.parser import parse
from verification.models.base import DataError
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.lock_file import LockedRelease
from verification.models.release import Release
from verification.scenarios import machines
from verification.session import lock
from verification.session.lock import Resolution
from verification.subjects.subject import load

LINUX, WINDOWS, MAC = "manylinux_2_28_x86_64", "win_amd64", "macosx_11_0_arm64"
NATIVE = ("cp313-cp313-" + LINUX, "cp313-cp313-" + WINDOWS, "cp313-cp313-" + MAC)
ALPHA = LockedRelease(name="alpha", version="1.0", hashes=("0" * 64,))


def file(
    tag: str, version: str = "1.0", *, requires: str = "", yanked: str | None = None
) -> IndexFile:
    """Return a file of the project thing. The tag of a source distribution is ``sdist``."""
    name = f"thing-{version}.tar.gz" if tag == "sdist" else f"thing-{version}-{tag}.whl"
    return IndexFile(
        name=name, version=version, url="", sha256="", fits=(tag, requires), yanked=yanked
    )


def build(folder: Path, tag: str, version: str = "1.0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files: Mapping[str, bytes | str] = {
        "thing/__init__.py": "",
        "thing/_x.abi3.so": elf(exports=["PyInit__x"]),
    }
    return wheel_builder.build(folder, files, name="thing", version=version, tag=tag, requires=())


class Index:
    """The upstream index. ``files`` are its files of the project thing."""

    def __init__(self, folder: Path) -> None:
        self.files: Sequence[IndexFile] = tuple(map(file, NATIVE))
        self.error: Exception | None = None
        self._folder = folder

    def listing(self, project: str) -> tuple[IndexFile, ...]:
        if self.error or project != "thing":
            raise self.error or NoSuchProject(f"no project {project}")
        return tuple(self.files)

    def from_release(self, version: str, project: str, python: str) -> Release:
        """Return the wheels for a Python and the systems of machines."""
        folder = self._folder / "downloads" / version
        for tag in (f"{python}-{python}-{LINUX}", f"{python}-{python}-{WINDOWS}"):
            if any(tag in each.name for each in self.files):
                build(folder, tag, version)
        return wheelhouse.from_folder(folder, project, origin="release", location=version)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    fake = Index(tmp_path)
    monkeypatch.setattr(upstream_releases, "listing", fake.listing)
    monkeypatch.setattr(wheelhouse, "from_release", fake.from_release)
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("QUIVERDB_E2E_FOLDER", str(tmp_path / "user"))
    return fake


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """Return the folder in which the user types the command."""
    return tmp_path / "user"


def run(*words: str) -> int:
    return init.run(parse(["init", *words])[0])


def next_command(output: str) -> list[str]:
    """Return the words of the gate in the last line."""
    label, _, command = output.strip().splitlines()[-1].partition(": ")
    assert label == "next"
    return shlex.split(command)


def test_description_smoke_test_and_next_gate_are_made_from_the_name(
    index: Index, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("Thing") == ExitCode.VERIFIED
    output = capsys.readouterr().out
    subject = load(user / "thing" / "subject.toml")
    assert (subject.name, subject.import_package, subject.python) == ("thing", "thing", "cp313")
    assert {p.tag: p.execute for p in subject.platforms} == {LINUX: True, WINDOWS: True, MAC: False}
    assert '"thing._x"' in subject.exercise.read_text("utf-8")
    assert subject.dependencies is None
    (mac,) = (line for line in output.splitlines() if line.startswith(MAC))
    assert "execute = false" in mac
    assert all("execute = false" not in line for line in output.splitlines() if line != mac)
    command = next_command(output)
    assert command[:2] == ["./e2e", "gate"]
    options, pytest_words = parse(command[1:])
    assert (options.subject, options.release) == ("thing/subject.toml", "1.0")
    assert (options.profile, options.machine, pytest_words) == ("quick", None, [])
    assert index.files


@pytest.mark.usefixtures("index")
def test_output_names_the_folder_which_may_exist_and_be_empty(
    user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (user / "other").mkdir()
    run("thing", "--output", "other")
    assert load(user / "other" / "subject.toml").name == "thing"
    assert "other/subject.toml" in next_command(capsys.readouterr().out)
    assert not (user / "thing").exists()


def test_release_is_the_newest_stable_one_with_wheels(
    index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    index.files = [
        *(file(NATIVE[0], version) for version in ("0.9", "1.7", "2.0rc1")),
        file(NATIVE[0], "1.9", yanked=""),
        file("sdist", "1.8"),
    ]
    run("thing")
    assert "1.7" in next_command(capsys.readouterr().out)
    run("thing", "--release", "v2.0rc1", "--output", "candidate")
    assert "2.0rc1" in next_command(capsys.readouterr().out)


def test_wheels_of_a_folder_need_no_index(
    index: Index, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.error = UpstreamUnavailable("no answer")
    for tag in (NATIVE[0], NATIVE[2]):
        build(user / "dist", tag)
    run("thing", "--wheels", "dist")
    assert [p.tag for p in load(user / "thing" / "subject.toml").platforms] == [MAC, LINUX]
    options, _ = parse(next_command(capsys.readouterr().out)[1:])
    assert (options.wheels, options.release) == ("dist", None)


@pytest.mark.parametrize(
    ("files", "python", "systems"),
    [
        ([file(f"cp312-cp312-{tag}") for tag in (LINUX, WINDOWS)], "cp312", {"linux", "windows"}),
        # No machine has this Python on Windows.
        ([file(f"cp314-cp314-{LINUX}"), file(f"cp314-cp314-{WINDOWS}")], "cp314", {"linux"}),
        ([file(f"cp314-cp314-{WINDOWS}"), file(f"cp311-cp311-{WINDOWS}")], "cp311", {"windows"}),
        ([file(NATIVE[0], requires="<3.13"), file(f"cp312-cp312-{LINUX}")], "cp312", {"linux"}),
    ],
    ids=["other python", "python of one system", "python of the system", "requires python"],
)  # fmt: skip
def test_python_is_one_that_a_wheel_and_a_machine_have(
    index: Index,
    user: Path,
    capsys: pytest.CaptureFixture[str],
    files: Sequence[IndexFile],
    python: str,
    systems: set[str],
) -> None:
    index.files = files
    run("thing")
    output = capsys.readouterr().out
    subject = load(user / "thing" / "subject.toml")
    assert subject.python == python
    assert python in output.splitlines()[0]
    executed = {p.target.machine_system for p in subject.platforms if p.execute}
    assert executed == systems
    selected = [machines.load()[name] for name in parse(next_command(output)[1:])[0].machine]
    assert {spec.os for spec in selected} == systems
    assert {spec.python_version for spec in selected} == {subject.python_version}


def test_dependencies_are_locked_and_named(
    index: Index, user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    solved = Resolution((ALPHA,), ("debian-13",), {"no wheel": ("windows-wine",)})
    monkeypatch.setattr(lock, "resolve", lambda *_: solved)
    run("thing")
    subject = load(user / "thing" / "subject.toml")
    assert subject.dependencies == user / "thing" / "dependencies.txt"
    assert "alpha==1.0" in subject.dependencies.read_text("utf-8")
    assert "windows-wine: no wheel" in capsys.readouterr().out
    assert index.files


# ---- nothing is written ----


def other_name(_index: Index, _user: Path) -> list[str]:
    return ["absent-thing"]


def invalid_name(_index: Index, _user: Path) -> list[str]:
    return ["thing==1.0"]


def files_of(*files: IndexFile) -> Callable[[Index, Path], list[str]]:
    def change(index: Index, _user: Path) -> list[str]:
        index.files = files
        return ["thing"]

    return change


def words(*options: str) -> Callable[[Index, Path], list[str]]:
    return lambda _index, _user: ["thing", *options]


def pure_folder(_index: Index, user: Path) -> list[str]:
    (user / "dist").mkdir()
    wheel_builder.build(user / "dist", {"thing.py": ""}, name="thing", tag="py3-none-any")
    return ["thing", "--wheels", "dist"]


def damaged_folder(_index: Index, user: Path) -> list[str]:
    (user / "dist").mkdir()
    (user / "dist" / f"thing-1.0-{NATIVE[0]}.whl").write_bytes(b"no wheel")
    return ["thing", "--wheels", "dist"]


WRONG: Mapping[str, tuple[Callable[[Index, Path], list[str]], str]] = {
    "unknown name": (other_name, "absent-thing"),
    "invalid name": (invalid_name, "thing==1.0"),
    "unknown version": (words("--release", "7"), "7.*1.0"),
    "invalid version": (words("--release", "newest"), "newest"),
    "two origins": (words("--release", "1.0", "--wheels", "dist"), "--wheels and --release"),
    "no folder": (words("--wheels", "dist"), "dist"),
    "no release": (files_of(), "thing"),
    "only a pre-release": (files_of(file(NATIVE[0], "2.0b1")), "2.0b1"),
    "pure wheels": (files_of(file("py3-none-any")), "native code"),
    "pure folder": (pure_folder, "native code"),
    "damaged wheel": (damaged_folder, NATIVE[0]),
    "only a source": (files_of(file("sdist")), "source distribution"),
    "no machine": (files_of(file(NATIVE[2]), file(f"pp311-pypy311_pp73-{LINUX}")), "x86-64"),
    "other python": (files_of(file(f"cp38-cp38-{LINUX}")), "cp313"),
}


@pytest.mark.parametrize(("change", "part"), WRONG.values(), ids=WRONG)
def test_package_that_cannot_be_described_is_wrong_use_and_nothing_is_written(
    index: Index,
    user: Path,
    change: Callable[[Index, Path], list[str]],
    part: str,
) -> None:
    options = change(index, user)
    with pytest.raises((WrongUse, DataError), match=part) as raised:
        run(*options)
    assert "\n" not in str(raised.value)
    assert [path.name for path in user.iterdir() if path.name != "dist"] == []


def test_index_without_an_answer_is_a_testbed_failure_and_nothing_is_written(
    index: Index, user: Path
) -> None:
    index.error = UpstreamUnavailable("no answer")
    with pytest.raises(TestbedFailure) as raised:
        run("thing")
    assert raised.value.cause == "index-unreachable"
    assert [*user.iterdir()] == []


@pytest.mark.parametrize("error", [WrongUse("no solution"), KeyboardInterrupt()], ids=type)
@pytest.mark.usefixtures("index")
def test_failed_lock_leaves_nothing(
    user: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def resolve(*_: object) -> Resolution:
        raise error

    monkeypatch.setattr(lock, "resolve", resolve)
    with pytest.raises(type(error)):
        run("thing")
    assert [*user.iterdir()] == []


@pytest.mark.parametrize("kind", ["folder with a file", "file"])
@pytest.mark.usefixtures("index")
def test_existing_files_are_never_replaced(user: Path, kind: str) -> None:
    path = user / "thing"
    if kind != "file":
        path.mkdir()
        path /= "notes.txt"
    path.write_text("mine", "utf-8")
    with pytest.raises(WrongUse, match="--output"):
        run("thing")
    assert path.read_text("utf-8") == "mine"
    assert len([*user.rglob("*")]) == (1 if kind == "file" else 2)


@pytest.mark.usefixtures("index")
def test_folder_that_cannot_be_written_is_wrong_use(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.copyfile

    def copyfile(source: Path, target: Path) -> None:
        if target.name == "subject.toml":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(WrongUse, match="No space left"):
        run("thing")
    assert [*user.iterdir()] == []
