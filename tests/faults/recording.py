"""The sources of evidence of planted faults: machines and recordings, and the file format.

pytest makes two tests of a test that is marked `recorded`. One judges the recorded evidence. The
other is marked `long` and runs the machines. `./e2e test -m long --record-evidence` writes the
recordings.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
RECORD_COMMAND = "record it: ./e2e test -m long --record-evidence"


class ObservedCell(NamedTuple):
    """The evidence of a cell and its expectation."""

    evidence: CellEvidence
    expectation: Expectation


class Observations(NamedTuple):
    """Observed cells by name, and the host names of the index that the cells used."""

    cells: Mapping[str, ObservedCell]
    hosts: IndexHosts


RunCells = Callable[[], Observations]
"""A function that runs the cells of a test on machines."""


class EvidenceSource(Protocol):
    """Where a test gets the evidence of its cells: `Machines` or a `Recording`."""

    def observe(self, names: Sequence[str], run_cells: RunCells) -> Mapping[str, ObservedCell]:
        """Return the cells with these names.

        `Machines` call ``run_cells`` to get them. A recording reads them from its file.
        """


class Machines:
    """Gets evidence by running cells on machines. Keeps all results for a recording."""

    def __init__(self) -> None:
        self.calls: list[Observations] = []

    def observe(self, names: Sequence[str], run_cells: RunCells) -> Mapping[str, ObservedCell]:
        """Run the cells and return them."""
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
    """The recorded evidence of one test, read from a file.

    The file has one group of cells for each call of `observe`, in the order of the calls.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            pytest.fail(f"{path.name} is not recorded; {RECORD_COMMAND}")
        self._path = path
        self._calls = _CALLS.validate_json(gzip.decompress(path.read_bytes()))

    def observe(self, names: Sequence[str], _run_cells: RunCells) -> Mapping[str, ObservedCell]:
        """Return the next group of cells. Fail the test if their names are others."""
        call = self._calls.pop(0) if self._calls else {}
        if set(call) != set(names):
            pytest.fail(f"{self._path.name} has other cells than the test; {RECORD_COMMAND}")
        return {name: ObservedCell(cell.evidence, cell.expectation) for name, cell in call.items()}

    def cells(self) -> Iterator[ObservedCell]:
        """Yield the cells of all groups that no call of `observe` returned."""
        for call in self._calls:
            yield from (ObservedCell(cell.evidence, cell.expectation) for cell in call.values())

    def check_complete(self) -> None:
        """Fail if the test did not use all cells of the recording."""
        assert not self._calls, f"{self._path.name} has more cells than the test; {RECORD_COMMAND}"


def read_cells(path: Path) -> tuple[ObservedCell, ...]:
    """Return all cells of a recording."""
    calls = _CALLS.validate_json(gzip.decompress(path.read_bytes()))
    cells = (cell for call in calls for cell in call.values())
    return tuple(ObservedCell(cell.evidence, cell.expectation) for cell in cells)


def path_of(node: pytest.Item) -> Path:
    """Return the path of the recording of a test."""
    # The source of the evidence is a parameter, but not part of the name.
    words = [word for word in node.name.rstrip("]").replace("[", "-").split("-") if word]
    name = re.sub(r"[^\w.-]", "_", "-".join(word for word in words if word not in SOURCES))
    return FOLDER / node.path.stem / f"{name}.json.gz"


def write(path: Path, calls: Sequence[Observations]) -> None:
    """Write a recording. Replace the host names of the default index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([_serialized(call) for call in calls], sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_pipeline(path: Path) -> PipelineEvidence:
    """Return the evidence of a recorded run of the release workflow."""
    if not path.is_file():
        pytest.fail(f"{path.name} is not recorded; {RECORD_COMMAND}")
    return PipelineEvidence.model_validate_json(gzip.decompress(path.read_bytes()))


def write_pipeline(path: Path, evidence: PipelineEvidence, hosts: IndexHosts) -> None:
    """Write the evidence of a run, without the logs of the steps that passed."""
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
    """Return the text with the host names of the default index replaced."""
    for host, replacement in (
        (hosts.files, "files.index.example"),
        (hosts.upload, "upload.index.example"),  # before the next name, which it contains
        (hosts.index, "index.example"),
    ):
        text = text.replace(host, replacement)
    return text
