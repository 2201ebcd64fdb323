"""Recordings of evidence: what is written is what is judged, and nothing else is."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults import recording
from tests.faults.recording import Machines, Observations, Observed, Recording
from tests.helpers.release_workflow import PLANNED
from tests.helpers.sample_evidence import Change, Fields, evidence
from tests.helpers.sample_expectation import EXPECTATION
from tests.helpers.sample_pipeline import evidence as pipeline_evidence
from tests.helpers.sample_pipeline import with_failed
from verification.models.testbed import IndexHosts
from verification.pipeline.execution import diagnose_pipeline
from verification.rules import diagnose

HOSTS = IndexHosts(index="i.test", files="f.test", upload="u.i.test")


def observations(*changes: Change) -> Observations:
    return Observations({"venv": Observed(evidence(*changes), EXPECTATION)}, HOSTS)


def written(folder: Path, *calls: Observations) -> Path:
    path = folder / "test_x" / "y.json.gz"
    recording.write(path, calls)
    return path


def not_run() -> Observations:
    raise AssertionError("a recorded test runs no cell")


def failure(source: Recording, *names: str) -> str:
    with pytest.raises(pytest.fail.Exception) as raised:
        source.observe(names, not_run)
    return str(raised.value)


def test_recorded_evidence_is_judged_as_the_machines(tmp_path: Path) -> None:
    original = observations()
    cells: Mapping[str, Observed] = Recording(written(tmp_path, original)).observe(
        ["venv"], not_run
    )
    assert cells["venv"].evidence == original.cells["venv"].evidence
    assert diagnose(*cells["venv"]) == diagnose(*original.cells["venv"])


def test_the_hosts_of_the_index_are_not_recorded(tmp_path: Path) -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stdout"] = "at https://u.i.test/x https://i.test https://f.test/y"

    path = written(tmp_path, observations(change))
    assert b".test" not in gzip.decompress(path.read_bytes()).replace(b"test_", b"")


def test_calls_are_given_in_their_order(tmp_path: Path) -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stdout"] = "second"

    source = Recording(written(tmp_path, observations(), observations(change)))
    outputs = []
    for _ in range(2):
        install = source.observe(["venv"], not_run)["venv"].evidence.install
        assert install is not None
        outputs.append(install.stdout)
    source.check_complete()
    assert outputs[1] == "second"
    assert outputs[0] != "second"


def test_a_recording_of_other_cells_fails_and_says_how_to_record(tmp_path: Path) -> None:
    path = written(tmp_path, observations())
    assert recording.RECORD_AGAIN in failure(Recording(path), "venv", "root")
    with pytest.raises(pytest.fail.Exception):
        Recording(tmp_path / "missing.json.gz")


def test_a_recording_that_is_not_used_up_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Recording(written(tmp_path, observations())).check_complete()


def test_machines_keep_what_is_recorded() -> None:
    source = Machines()
    assert source.observe(["venv"], observations) == source.calls[0].cells


def test_a_recorded_run_of_the_workflow_is_judged_as_the_run(tmp_path: Path) -> None:
    shown = with_failed(pipeline_evidence(), "publish", "twine asked https://u.i.test/legacy/")
    path = tmp_path / "test_x" / "y.json.gz"
    recording.write_pipeline(path, shown, HOSTS)
    recorded = recording.read_pipeline(path)
    names = [
        [cause.name for cause in diagnose_pipeline(one, PLANNED, version="1.2.0")]
        for one in (shown, recorded)
    ]
    assert names[0] == names[1] != []
    assert b".test" not in gzip.decompress(path.read_bytes())
    logs = {step.result: step.log for job in recorded.run.jobs for step in job.steps}
    assert logs["success"] == ()
    assert logs["failure"]
    with pytest.raises(pytest.fail.Exception):
        recording.read_pipeline(tmp_path / "missing.json.gz")
