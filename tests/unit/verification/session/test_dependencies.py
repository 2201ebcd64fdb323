"""The locked dependencies for the machines of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from containers import wheelhouse
from containers.wheelhouse import Target
from tests.helpers import wheel_builder
from tests.helpers.sample_wheels import SUBJECT
from verification.models import lock_file
from verification.models.lock_file import LockedRelease
from verification.models.subject import Subject
from verification.scenarios import machines
from verification.session import dependencies

MACHINES = machines.load()
PIP = Path("pip-26.0-py3-none-any.whl")
ENTRIES = (
    LockedRelease(name="a", version="1", marker="sys_platform == 'linux'", hashes=("0",)),
    LockedRelease(name="a", version="2", marker="python_version >= '3.14'", hashes=("0",)),
    LockedRelease(name="b", version="1", hashes=("0",)),
)
Requests = dict[Target, list[str]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """Replace the downloads. Return the versions that are requested for each target."""
    requested: Requests = {}

    def download(releases: Sequence[LockedRelease], target: Target) -> tuple[Path, ...]:
        requested[target] = [f"{entry.name} {entry.version}" for entry in releases]
        return (Path(f"{target.python}-{target.platforms[0]}"), PIP)

    monkeypatch.setattr(wheelhouse, "dependencies", download)
    monkeypatch.setattr(wheelhouse, "installers", lambda: (PIP,))
    return requested


def _subject(folder: Path) -> Subject:
    lock = folder / "lock.txt"
    lock.write_text(lock_file.format_text(ENTRIES), "utf-8")
    return SUBJECT.model_copy(update={"dependencies": lock, "older_dependencies": ()})


def test_versions_are_those_of_each_machine_and_of_each_system(
    tmp_path: Path, requests: Requests
) -> None:
    newer = MACHINES["debian-forky-python-3.14"]
    files = dependencies.files(_subject(tmp_path), [newer, newer])
    windows = dependencies.target(MACHINES["windows-wine"])
    assert requests == {
        dependencies.target(newer): ["a 1", "a 2", "b 1"],
        windows: ["b 1"],  # the inspection reads the dependencies of each system
    }
    assert len(files) == 3
    assert files.count(PIP) == 1


def test_machines_with_the_same_python_and_platform_share_their_files(
    tmp_path: Path, requests: Requests
) -> None:
    names = ("debian-13", "debian-13-minimal", "windows-wine", "windows-wine-vcredist")
    dependencies.files(_subject(tmp_path), [MACHINES[name] for name in names])
    assert len(requests) == 2


def test_subject_without_a_lock_gets_only_the_installers(requests: Requests) -> None:
    unlocked = SUBJECT.model_copy(update={"dependencies": None, "older_dependencies": ()})
    assert dependencies.files(unlocked, ()) == (PIP,)
    assert dependencies.locked_versions(unlocked) == []
    assert requests == {}


@pytest.mark.parametrize(
    ("machine", "version"),
    [
        ("debian-13", "3"),
        ("debian-13-glibc-2.17", "2"),
        ("windows-wine", "1"),
        ("debian-12-python-3.11", "1"),
    ],
)
def test_newest_version_is_the_one_that_the_machine_can_install(
    tmp_path: Path, machine: str, version: str
) -> None:
    for number, tag, python in (
        ("1", "py3-none-any", ">=3.9"),
        ("2", "cp313-cp313-manylinux2014_x86_64", ">=3.9"),
        ("3", wheel_builder.LINUX_TAG, ">=3.9"),
        ("4", "py3-none-any", "<3.9"),
        ("5", "py3-none-any", ">=3.15"),
    ):
        metadata = f"Metadata-Version: 2.1\nName: a\nVersion: {number}\n"
        metadata += f"Requires-Python: {python}\n"
        options = {"name": "a", "version": number, "tag": tag, "metadata": metadata}
        wheel_builder.build(tmp_path, {}, **options)
    paths = sorted(tmp_path.glob("*.whl"))
    assert dependencies.fitting_versions(paths, MACHINES[machine]) == {"a": version}


def test_targets_have_the_best_platform_first() -> None:
    assert dependencies.target(MACHINES["windows-wine"]) == Target("3.13", ("win_amd64",))
    python, platforms = dependencies.target(MACHINES["debian-13-glibc-2.17"])
    assert python == "3.13"
    assert platforms[:2] == ("manylinux_2_17_x86_64", "manylinux2014_x86_64")
