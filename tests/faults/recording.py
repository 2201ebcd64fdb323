"""Where a planted fault's evidence comes from: a machine, or a recording of an earlier machine.

A test marked `recorded` is two tests: one judges the recorded evidence, and one, marked `long`,
runs the machines. `./e2e test -m long --record-evidence` writes the recordings anew.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pydantic
import pytest
from pydantic import JsonValue

from verification.models.base import Model
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.pipeline import PipelineEvidence
from verification.models.testbed import IndexHosts

FOLDER = Path(__file__).with_name("recorded")
SOURCES = ("recorded", "machines")
RECORD_AGAIN = "record it: ./e2e test -m long --record-evidence"


class Observed(NamedTuple):
    """What a cell shows, and what it must show."""

    evidence: CellEvidence
    expectation: Expectation


class Observations(NamedTuple):
    """What cells show, by their names, and the hosts of the index that they ask."""

    cells: Mapping[str, Observed]
    hosts: IndexHosts


RunCells = Callable[[], Observations]
"""Runs cells on machines."""


class EvidenceSource(Protocol):
    """Gives the evidence of cells."""

    def observe(self, names: Sequence[str], run_cells: RunCells) -> Mapping[str, Observed]:
        """Return what the cells of these names show."""


class Machines:
    """The evidence of machines."""

    def __init__(self) -> None:
        self.calls: list[Observations] = []

    def observe(self, names: Sequence[str], run_cells: RunCells) -> Mapping[str, Observed]:
        """Run the cells."""
        observations = run_cells()
        assert set(observations.cells) == set(names)
        self.calls.append(observations)
        return observations.cells


class _RecordedCell(Model):
    """One cell of a recording."""

    evidence: CellEvidence
    expectation: Expectation


_CALLS = pydantic.TypeAdapter(list[dict[str, _RecordedCell]])


class Recording:
    """The evidence that a test's cells once showed, in the order in which the test asks for it."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            pytest.fail(f"{path.name} is not recorded; {RECORD_AGAIN}")
        self._path = path
        self._calls = _CALLS.validate_json(gzip.decompress(path.read_bytes()))

    def observe(self, names: Sequence[str], _run_cells: RunCells) -> Mapping[str, Observed]:
        """Return the next cells of the recording."""
        call = self._calls.pop(0) if self._calls else {}
        if set(call) != set(names):
            pytest.fail(f"{self._path.name} has other cells than the test; {RECORD_AGAIN}")
        return {name: Observed(cell.evidence, cell.expectation) for name, cell in call.items()}

    def check_complete(self) -> None:
        """Fail if the test did not use all cells of the recording."""
        assert not self._calls, f"{self._path.name} has more cells than the test; {RECORD_AGAIN}"


def path_of(node: pytest.Item) -> Path:
    """Return the recording of a test."""
    # The source is one of the parameters, and the recording is of the others.
    words = [word for word in node.name.rstrip("]").replace("[", "-").split("-") if word]
    name = re.sub(r"[^\w.-]", "_", "-".join(word for word in words if word not in SOURCES))
    return FOLDER / node.path.stem / f"{name}.json.gz"


def write(path: Path, calls: Sequence[Observations]) -> None:
    """Write a recording. The host names of the default index are replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([_serialized(call) for call in calls], sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_pipeline(path: Path) -> PipelineEvidence:
    """Return the evidence of a recorded run of the release workflow."""
    if not path.is_file():
        pytest.fail(f"{path.name} is not recorded; {RECORD_AGAIN}")
    return PipelineEvidence.model_validate_json(gzip.decompress(path.read_bytes()))


def write_pipeline(path: Path, evidence: PipelineEvidence, hosts: IndexHosts) -> None:
    """Write the evidence of a run. The logs of the steps that passed are left out."""
    jobs = tuple(
        job.model_copy(
            update={
                "log": (),
                "steps": tuple(
                    step.model_copy(update={"log": ()}) if step.result == "success" else step
                    for step in job.steps
                ),
            }
        )
        for job in evidence.run.jobs
    )
    run = evidence.run.model_copy(update={"jobs": jobs, "log": ()})
    recorded = evidence.model_copy(update={"run": run})
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _without_hosts(recorded.model_dump_json(by_alias=True), hosts)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _serialized(call: Observations) -> JsonValue:
    cells: JsonValue = {
        name: {
            "evidence": json.loads(cell.evidence.to_json()),
            "expectation": cell.expectation.model_dump(mode="json", by_alias=True),
        }
        for name, cell in call.cells.items()
    }
    serialized: JsonValue = json.loads(_without_hosts(json.dumps(cells), call.hosts))
    return serialized


def _without_hosts(text: str, hosts: IndexHosts) -> str:
    """Return a text with other names for the hosts of the default index."""
    for host, replacement in (
        (hosts.files, "files.index.example"),
        (hosts.upload, "upload.index.example"),  # it contains the name of the next
        (hosts.index, "index.example"),
    ):
        text = text.replace(host, replacement)
    return text
