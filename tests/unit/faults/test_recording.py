"""Evidence that is read from a recording has the same diagnosis as the recorded evidence."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults import recording
from tests.faults.recording import Machines, Observations, ObservedCell, Recording
from tests.helpers.release_workflow import PLANNED
from tests.helpers.sample_evidence import Change, Fields, evidence
from tests.helpers.sample_expectation import EXPECTATION
from tests.helpers.sample_pipeline import PUBLISH, with_failed
from tests.helpers.sample_pipeline import evidence as pipeline_evidence
from verification.models.testbed import IndexHosts
from verification.pipeline.execution import diagnose_pipeline
from verification.rules import diagnose

HOSTS = IndexHosts(index="i.test", files="f.test", upload="u.i.test")


def observations(*changes: Change) -> Observations:
    return Observations({"venv": ObservedCell(evidence(*changes), EXPECTATION)}, HOSTS)


def write_recording(folder: Path, *calls: Observations) -> Path:
    path = folder / "test_x" / "y.json.gz"
    recording.write(path, calls)
    return path


def unused_run() -> Observations:
    raise AssertionError("a test of a recording runs no cell")


def failure(source: Recording, *names: str) -> str:
    with pytest.raises(pytest.fail.Exception) as raised:
        source.observe(names, unused_run)
    return str(raised.value)


def test_recorded_evidence_has_the_same_diagnosis(tmp_path: Path) -> None:
    original = observations()
    cells: Mapping[str, ObservedCell] = Recording(write_recording(tmp_path, original)).observe(
        ["venv"], unused_run
    )
    assert cells["venv"].evidence == original.cells["venv"].evidence
    assert diagnose(*cells["venv"]) == diagnose(*original.cells["venv"])


def test_host_names_of_the_index_are_not_recorded(tmp_path: Path) -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stdout"] = "at https://u.i.test/x https://i.test https://f.test/y"

    path = write_recording(tmp_path, observations(change))
    assert b".test" not in gzip.decompress(path.read_bytes()).replace(b"test_", b"")


def test_calls_are_returned_in_their_order(tmp_path: Path) -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stdout"] = "second"

    source = Recording(write_recording(tmp_path, observations(), observations(change)))
    outputs = []
    for _ in range(2):
        install = source.observe(["venv"], unused_run)["venv"].evidence.install
        assert install is not None
        outputs.append(install.stdout)
    source.check_complete()
    assert outputs[1] == "second"
    assert outputs[0] != "second"


def test_recording_of_other_cells_fails_with_the_command_to_record(tmp_path: Path) -> None:
    path = write_recording(tmp_path, observations())
    assert recording.RECORD_COMMAND in failure(Recording(path), "venv", "root")
    with pytest.raises(pytest.fail.Exception):
        Recording(tmp_path / "missing.json.gz")


def test_recording_with_unused_cells_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Recording(write_recording(tmp_path, observations())).check_complete()


def test_machines_store_the_cells_for_a_recording() -> None:
    source = Machines()
    assert source.observe(["venv"], observations) == source.calls[0].cells


def test_recorded_workflow_run_has_the_same_diagnosis(tmp_path: Path) -> None:
    original = with_failed(
        pipeline_evidence(), "publish", "twine requested https://u.i.test/legacy/"
    )
    path = tmp_path / "test_x" / "y.json.gz"
    recording.write_pipeline(path, original, HOSTS)
    recorded = recording.read_pipeline(path)
    names = [
        [
            cause.name
            for cause in diagnose_pipeline(
                run, {run.run.workflow: PUBLISH}, PLANNED, version="1.2.0"
            )
        ]
        for run in (original, recorded)
    ]
    assert names[0] == names[1] != []
    assert b".test" not in gzip.decompress(path.read_bytes())
    logs = {step.result: step.log for job in recorded.run.jobs for step in job.steps}
    assert logs["success"] == ()
    assert logs["failure"]
    with pytest.raises(pytest.fail.Exception):
        recording.read_pipeline(tmp_path / "missing.json.gz")
