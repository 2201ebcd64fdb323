"""The files of a run are stored by content and restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers import file_store, upstream_releases
from containers.state import state_folder
from tests.helpers.sample_run import report
from tests.helpers.sample_wheels import SUBJECT
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.release import Release, ReleaseFile, file_sha256
from verification.models.report import Report
from verification.session import dependencies, replay_inputs
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
    """Return the report of a run whose files are stored."""
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
    inputs = replay_inputs.keep(release, SUBJECT, 7)
    selection = report().selection.model_copy(update={"source": None, "machines": ()})
    return report().model_copy(update={"version": "1.0", "inputs": inputs, "selection": selection})


def _changed(run: Report, **inputs: str) -> Report:
    """Return the report with other values in its inputs."""
    assert run.inputs
    return run.model_copy(update={"inputs": run.inputs.model_copy(update=inputs)})


def _restore(run: Report) -> RestoredInputs:
    return replay_inputs.restore(run, SUBJECT)


def _remove(run: Report, kind: InputKind) -> None:
    assert run.inputs
    for file in getattr(run.inputs, kind):
        path = file_store.find(file.sha256, file.name)
        assert path is not None
        path.unlink()


def test_files_of_each_kind_are_recorded_by_content(run: Report, tmp_path: Path) -> None:
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


def test_stored_files_are_restored(run: Report) -> None:
    restored = _restore(run)
    assert restored.missing == restored.differences == ()
    release = restored.release
    paths = (*release.wheel_paths, *release.dependencies, *release.tools)
    assert [path.read_bytes() for path in paths] == [b"wheel", b"cffi", b"pytest"]
    assert (release.version, release.previous, release.origin) == ("1.0", "0.9", "wheels")
    assert release.yanked == {OLD_WHEEL: "broken"}


def test_changed_description_is_a_difference(run: Report, tmp_path: Path) -> None:
    assert run.inputs
    smoke = _file(tmp_path, "smoke.py", b"first")
    subject = SUBJECT.model_copy(update={"exercise": smoke})
    recorded = _changed(run, description=replay_inputs.description_hash(subject))
    assert replay_inputs.restore(recorded, subject).differences == ()
    smoke.write_bytes(b"second")
    (line,) = replay_inputs.restore(recorded, subject).differences
    assert str(subject.file) in line
    assert replay_inputs.restore(_changed(run, description=""), subject).differences == ()


def test_missing_wheel_is_named(run: Report) -> None:
    _remove(run, "wheels")
    (line,) = _restore(run).missing
    assert line.startswith(f"{WHEEL} (sha256 ")


def test_missing_wheel_is_restored_from_its_folder_only_if_it_is_the_same(
    run: Report, tmp_path: Path
) -> None:
    _remove(run, "wheels")
    folder = str(tmp_path / "wheels")
    selection = run.selection.model_copy(update={"wheels": folder})
    run = run.model_copy(update={"selection": selection})
    assert _restore(run).missing == ()
    _file(tmp_path / "wheels", WHEEL, b"built anew")
    assert len(_restore(run).missing) == 1


def test_missing_wheel_is_restored_from_the_built_wheels(run: Report) -> None:
    _remove(run, "wheels")
    _file(state_folder() / "wheels" / "0123", WHEEL, b"wheel")
    assert _restore(run).missing == ()


def _release_of(*wheels: Path) -> Release:
    files = tuple(map(ReleaseFile.read, wheels))
    return Release(origin="release", location="1.0", version="1.0", wheels=files)


def test_missing_release_is_fetched_again_and_recognized_by_its_hash(
    run: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remove(run, "wheels")
    fetched = _file(tmp_path / "fetched", WHEEL, b"wheel")
    monkeypatch.setattr(upstream_releases, "release", lambda *_, **__: _release_of(fetched))
    assert _restore(run).missing  # the wheels of a folder are not fetched from an index
    restored = _restore(_changed(run, origin="release"))
    assert restored.missing == ()
    assert [file.sha256 for file in restored.release.wheels] == [file_sha256(fetched)]


def test_release_with_other_content_is_not_the_recorded_one(
    run: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remove(run, "wheels")
    fetched = _file(tmp_path / "fetched", WHEEL, b"other")
    monkeypatch.setattr(upstream_releases, "release", lambda *_, **__: _release_of(fetched))
    assert len(_restore(_changed(run, origin="release")).missing) == 1


def _damage(run: Report, kind: InputKind) -> None:
    assert run.inputs
    for file in getattr(run.inputs, kind):
        path = file_store.find(file.sha256, file.name)
        assert path is not None
        path.write_bytes(b"damaged")


def test_damaged_copy_is_restored_from_its_source(run: Report, tmp_path: Path) -> None:
    _damage(run, "wheels")
    selection = run.selection.model_copy(update={"wheels": str(tmp_path / "wheels")})
    restored = _restore(run.model_copy(update={"selection": selection}))
    assert (restored.missing, [path.name for path in restored.release.wheels]) == ((), [WHEEL])


def test_damaged_copy_without_another_source_is_a_testbed_failure(run: Report) -> None:
    _damage(run, "wheels")
    with pytest.raises(TestbedFailure) as raised:
        _restore(run)
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", WHEEL)


def _unreachable(*_: object) -> None:
    raise TestbedFailure("index-unreachable", "upstream index", "no answer")


def test_missing_dependency_is_named_with_the_reason(
    run: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remove(run, "dependencies")
    monkeypatch.setattr(dependencies, "files", _unreachable)
    (line,) = _restore(run).missing
    assert "cffi-2.0" in line
    assert "no answer" in line


def test_missing_dependency_is_fetched_again(
    run: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remove(run, "dependencies")
    fetched = _file(tmp_path / "fetched", "cffi-2.0-py3-none-any.whl", b"cffi")
    monkeypatch.setattr(dependencies, "files", lambda *_: (fetched,))
    restored = _restore(run)
    assert restored.missing == ()
    assert restored.release.dependencies == (fetched,)


def test_missing_earlier_release_is_a_difference_with_its_reason(
    run: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_releases, "earlier_releases", _unreachable)
    _remove(run, "earlier")
    restored = _restore(run)
    assert restored.missing == ()
    (line,) = restored.differences
    assert "quiverdb-0.9" in line
    assert "no answer" in line


def test_changed_suite_is_a_difference(run: Report) -> None:
    (line,) = _restore(_changed(run, suite="0" * 16)).differences
    assert "0" * 16 in line
    assert replay_inputs.suite_hash() in line


def test_report_without_inputs_cannot_be_replayed(run: Report) -> None:
    with pytest.raises(WrongUse):
        _restore(run.model_copy(update={"inputs": None}))
