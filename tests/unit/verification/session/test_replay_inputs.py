"""The files of a run are stored by content and restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import file_store, upstream_releases, wheelhouse
from containers.state import state_folder
from tests.helpers.sample_run import report
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release, ReleaseFile, file_sha256
from verification.models.report import Report
from verification.session import replay_inputs
from verification.session.replay_inputs import KINDS, InputKind, RestoredInputs

WHEEL = "quiverdb-1.0-py3-none-any.whl"
OLD_WHEEL = "quiverdb-0.9-py3-none-any.whl"


def _file(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Report:
    """Return the report of a run whose files are kept."""
    folder = tmp_path / "wheels"
    release = Release(
        origin="wheels",
        location=str(folder),
        version="1.0",
        wheels=(ReleaseFile.read(_file(folder, WHEEL, b"wheel")),),
        dependencies=(_file(folder, "cffi-2.0-py3-none-any.whl", b"cffi"),),
        earlier=(_file(folder, OLD_WHEEL, b"old"),),
        tools=(_file(folder, "pytest-9.0-py3-none-any.whl", b"pytest"),),
        yanked={OLD_WHEEL: "broken"},
        unpublished=("numpy",),
    )
    inputs = replay_inputs.keep(release, "quiverdb", 7)
    selection = report().selection.model_copy(update={"source": None, "machines": ()})
    return report().model_copy(update={"version": "1.0", "inputs": inputs, "selection": selection})


def _changed(run: Report, **inputs: str) -> Report:
    """Return the report with other values in its inputs."""
    assert run.inputs
    return run.model_copy(update={"inputs": run.inputs.model_copy(update=inputs)})


def _regain(run: Report) -> RestoredInputs:
    return replay_inputs.restore(run, SUBJECT)


def _forget(run: Report, kind: InputKind) -> None:
    assert run.inputs
    for file in getattr(run.inputs, kind):
        found = file_store.find(file.sha256, file.name)
        assert found is not None
        found.unlink()


def test_the_files_of_each_kind_are_recorded_by_content(run: Report, tmp_path: Path) -> None:
    assert run.inputs
    recorded = {kind: [file.name for file in getattr(run.inputs, kind)] for kind in KINDS}
    assert recorded == {
        "wheels": [WHEEL],
        "dependencies": ["cffi-2.0-py3-none-any.whl"],
        "earlier": [OLD_WHEEL],
        "tools": ["pytest-9.0-py3-none-any.whl"],
    }
    (wheel,) = run.inputs.wheels
    assert (wheel.sha256, wheel.size) == (file_sha256(tmp_path / "wheels" / WHEEL), 5)
    assert (run.inputs.subject, run.inputs.origin) == ("quiverdb", "wheels")
    assert (run.inputs.suite, run.inputs.seed) == (replay_inputs.suite_hash(), 7)


def test_what_a_run_used_is_found_again(run: Report) -> None:
    regained = _regain(run)
    assert regained.gone == regained.differs == ()
    release = regained.release
    paths = (*release.wheel_paths, *release.dependencies, *release.tools)
    assert [path.read_bytes() for path in paths] == [b"wheel", b"cffi", b"pytest"]
    assert (release.version, release.previous, release.origin) == ("1.0", "0.9", "wheels")
    assert release.yanked == {OLD_WHEEL: "broken"}


def test_a_wheel_that_is_gone_is_named(run: Report) -> None:
    _forget(run, "wheels")
    (line,) = _regain(run).gone
    assert line.startswith(f"{WHEEL} (sha256 ")


def test_a_wheel_that_is_gone_is_taken_again_from_its_folder_if_it_is_the_same(
    run: Report, tmp_path: Path
) -> None:
    _forget(run, "wheels")
    folder = str(tmp_path / "wheels")
    selection = run.selection.model_copy(update={"wheels": folder})
    run = run.model_copy(update={"selection": selection})
    # What is linked to what was forgotten is still whole there.
    assert _regain(run).gone == ()
    _file(tmp_path / "wheels", WHEEL, b"built anew")
    assert len(_regain(run).gone) == 1


def test_a_wheel_that_is_gone_is_found_among_those_that_were_built(run: Report) -> None:
    _forget(run, "wheels")
    _file(state_folder() / "wheels" / "0123", WHEEL, b"wheel")
    assert _regain(run).gone == ()


def _release_of(*wheels: Path) -> Release:
    files = tuple(map(ReleaseFile.read, wheels))
    return Release(origin="release", location="1.0", version="1.0", wheels=files)


def test_a_release_that_is_gone_is_fetched_again_by_its_digest(
    run: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(run, "wheels")
    fetched = _file(tmp_path / "fetched", WHEEL, b"wheel")
    monkeypatch.setattr(upstream_releases, "release", lambda *_: _release_of(fetched))
    assert _regain(run).gone, "wheels that the user named are fetched from nowhere"
    regained = _regain(_changed(run, origin="release"))
    assert regained.gone == ()
    assert [file.sha256 for file in regained.release.wheels] == [file_sha256(fetched)]


def test_a_release_that_was_published_anew_is_not_what_was_recorded(
    run: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(run, "wheels")
    fetched = _file(tmp_path / "fetched", WHEEL, b"other")
    monkeypatch.setattr(upstream_releases, "release", lambda *_: _release_of(fetched))
    assert len(_regain(_changed(run, origin="release")).gone) == 1


def _damage(run: Report, kind: InputKind) -> None:
    assert run.inputs
    for file in getattr(run.inputs, kind):
        kept = file_store.find(file.sha256, file.name)
        assert kept is not None
        kept.write_bytes(b"damaged")


def test_a_damaged_copy_is_fetched_again(run: Report, tmp_path: Path) -> None:
    _damage(run, "wheels")
    selection = run.selection.model_copy(update={"wheels": str(tmp_path / "wheels")})
    regained = _regain(run.model_copy(update={"selection": selection}))
    assert (regained.gone, [path.name for path in regained.release.wheels]) == ((), [WHEEL])


def test_a_damaged_copy_that_cannot_be_fetched_again_is_the_testbeds_failure(run: Report) -> None:
    _damage(run, "wheels")
    with pytest.raises(TestbedFailure) as raised:
        _regain(run)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", WHEEL)


def _unreachable(*_: object) -> None:
    raise TestbedFailure("index-unreachable", "upstream index", "no answer")


def test_a_dependency_that_is_gone_and_cannot_be_fetched_is_gone_with_the_reason(
    run: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(run, "dependencies")
    monkeypatch.setattr(wheelhouse, "dependencies", _unreachable)
    (line,) = _regain(run).gone
    assert "cffi-2.0" in line
    assert "no answer" in line


def test_a_dependency_that_is_gone_is_fetched_again(
    run: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(run, "dependencies")
    fetched = _file(tmp_path / "fetched", "cffi-2.0-py3-none-any.whl", b"cffi")
    monkeypatch.setattr(wheelhouse, "dependencies", lambda _locks: (fetched,))
    regained = _regain(run)
    assert regained.gone == ()
    assert regained.release.dependencies == (fetched,)


def test_an_earlier_release_that_is_gone_is_a_difference_with_its_reason(
    run: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_releases, "earlier", _unreachable)
    _forget(run, "earlier")
    regained = _regain(run)
    assert regained.gone == ()
    (line,) = regained.differs
    assert "quiverdb-0.9" in line
    assert "no answer" in line


def test_another_suite_is_a_difference(run: Report) -> None:
    (line,) = _regain(_changed(run, suite="0" * 16)).differs
    assert "0" * 16 in line
    assert replay_inputs.suite_hash() in line


def test_a_report_without_the_files_of_its_run_cannot_be_replayed(run: Report) -> None:
    with pytest.raises(WrongUse, match="does not say what the run used"):
        _regain(run.model_copy(update={"inputs": None}))
