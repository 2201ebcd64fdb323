from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from containers import file_store as files
from containers import releases, wheelhouse
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release, ReleaseFile, sha256
from verification.session import replay_inputs as inputs

WHEEL = "quiverdb-1.0-py3-none-any.whl"


def _file(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_kept_file_outlives_the_one_it_was_taken_from(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = files.keep([path])[path]
    path.unlink()
    found = files.find(digest, "x.whl")
    assert found is not None
    assert found.read_bytes() == b"content"
    assert files.find("0" * 64, "x.whl") is None


def test_one_content_is_kept_once_and_found_under_each_of_its_names(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = files.keep([path])[path]
    found = files.find(digest, "y.whl")
    assert found is not None
    assert found.name == "y.whl"


def test_a_file_that_was_changed_meanwhile_is_not_given(tmp_path: Path) -> None:
    path = _file(tmp_path / "a", "x.whl", b"content")
    digest = files.keep([path])[path]
    kept = files.find(digest, "x.whl")
    assert kept is not None
    kept.write_bytes(b"other")
    assert files.find(digest, "x.whl") is None


def test_the_least_recently_used_goes_first_and_the_runs_own_stay(tmp_path: Path) -> None:
    paths = [_file(tmp_path / "a", f"{n}.whl", bytes([n]) * 100) for n in range(4)]
    digests = files.keep(paths[:3])
    for age, path in enumerate(paths[:3]):
        kept = files.find(digests[path], path.name)
        assert kept is not None
        os.utime(kept, (1000 + age, 1000 + age))
    last = files.keep([paths[3]], most=250)[paths[3]]
    there = [files.find(digests[path], path.name) is not None for path in paths[:3]]
    assert there == [False, False, True]
    assert files.find(last, "3.whl") is not None
    files.keep(paths, most=1)
    assert files.find(last, "3.whl") is not None, "what a run uses stays, whatever its size"


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    """Return the results of a run whose files are kept."""
    folder = tmp_path / "wheels"
    house = Release(
        origin="wheels",
        location=str(folder),
        version="1.0",
        wheels=(ReleaseFile.read(_file(folder, WHEEL, b"wheel")),),
        dependencies=(_file(folder, "cffi-2.0-py3-none-any.whl", b"cffi"),),
        earlier=(_file(folder, "quiverdb-0.9-py3-none-any.whl", b"old"),),
        yanked={"quiverdb-0.9-py3-none-any.whl": "broken"},
    )
    return {
        "version": "1.0",
        "inputs": inputs.keep(house, "quiverdb"),
        "selection": {"wheels": None, "machines": []},
    }


def _forget(run: dict[str, Any], kind: str) -> None:
    for file in run["inputs"][kind]:
        found = files.find(file["sha256"], file["name"])
        assert found is not None
        found.unlink()


def test_what_a_run_used_is_had_again(run: dict[str, Any]) -> None:
    regained = inputs.regain(run)
    assert regained.gone == regained.differs == ()
    house = regained.release
    assert [path.read_bytes() for path in (*house.wheel_paths, *house.dependencies)] == [
        b"wheel",
        b"cffi",
    ]
    assert house.previous == "0.9"
    assert house.yanked == {"quiverdb-0.9-py3-none-any.whl": "broken"}


def test_a_wheel_that_is_gone_is_told_by_name(run: dict[str, Any]) -> None:
    _forget(run, "wheels")
    (line,) = inputs.regain(run).gone
    assert line.startswith(f"{WHEEL} (sha256 ")


def test_a_wheel_that_is_gone_is_taken_again_where_it_came_from_if_it_is_the_same(
    run: dict[str, Any], tmp_path: Path
) -> None:
    _forget(run, "wheels")
    run["selection"]["wheels"] = str(tmp_path / "wheels")
    # What is linked to what was forgotten is still whole there.
    assert inputs.regain(run).gone == ()
    _file(tmp_path / "wheels", WHEEL, b"built anew")
    assert len(inputs.regain(run).gone) == 1


def test_a_release_that_is_gone_is_fetched_again_by_its_digest(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(run, "wheels")
    run["inputs"]["origin"] = "release"
    fetched = _file(tmp_path / "fetched", WHEEL, b"wheel")
    house = Release(
        origin="release", location="1.0", version="1.0", wheels=(ReleaseFile.read(fetched),)
    )
    monkeypatch.setattr(wheelhouse, "from_release", lambda *_: house)
    regained = inputs.regain(run)
    assert regained.gone == ()
    assert [file.sha256 for file in regained.release.wheels] == [sha256(fetched)]


def test_an_earlier_release_that_is_gone_is_a_difference_with_its_reason(
    run: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise TestbedFailure("index-unreachable", "upstream index", "no answer")

    monkeypatch.setattr(releases, "earlier", unreachable)
    _forget(run, "earlier")
    regained = inputs.regain(run)
    assert regained.gone == ()
    (line,) = regained.differs
    assert "quiverdb-0.9" in line
    assert "no answer" in line


def test_another_suite_is_a_difference(run: dict[str, Any]) -> None:
    run["inputs"]["suite"] = "0" * 16
    (line,) = inputs.regain(run).differs
    assert line.startswith("the suite's own code is ")


def test_results_that_tell_of_no_files_cannot_be_gone_back_to() -> None:
    with pytest.raises(WrongUse, match="does not tell what the run used"):
        inputs.regain({"cells": []})
