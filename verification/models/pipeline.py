"""What a run of the workflow showed, as plain data."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

# A workflow command of a step, behind act's own sign for it.
_ERROR = re.compile(r"^\W*::error(?: [^:]*)?::(.*)")


@dataclasses.dataclass(frozen=True)
class Push:
    """The event: a tag that was pushed."""

    tag: str
    annotated: bool
    sha: str
    """The commit."""
    object: str
    """The tag object of an annotated tag; else the commit once more."""
    source: str
    """What the commit holds: the repository's own commit, or one with the working files."""
    differs: tuple[str, ...] = ()
    """The files in which it differs from the repository's own commit."""

    @property
    def ref(self) -> str:
        """The full name of the tag."""
        return f"refs/tags/{self.tag}"


@dataclasses.dataclass(frozen=True)
class StepRun:
    """One step of a job that ran, or did not."""

    name: str
    uses: str | None
    line: int
    result: str
    """``success``, ``failure``, ``skipped`` or ``not run``."""
    started: float | None
    ended: float | None
    log: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class JobRun:
    """One job, or one combination of its matrix."""

    id: str
    name: str
    matrix: dict[str, Any]
    label: str
    """What it runs on."""
    needs: tuple[str, ...]
    result: str
    """``success``, ``failure``, ``skipped``, ``hung`` or ``not run``."""
    reason: str
    """Why, where it is neither a success nor told by a step."""
    started: float | None
    ended: float | None
    container: str
    """The engine's id of its container; empty if it had none."""
    address: str
    """The container's address on the closed network."""
    steps: tuple[StepRun, ...]
    log: tuple[str, ...]
    """What belongs to no step."""

    @property
    def failing(self) -> StepRun | None:
        """The step at which it failed."""
        return next((step for step in self.steps if step.result == "failure"), None)

    @property
    def errors(self) -> tuple[str, ...]:
        """The error messages that its steps gave."""
        found = (_ERROR.search(line) for step in self.steps for line in step.log)
        return tuple(
            match[1].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
            for match in found
            if match
        )


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An artifact that the run has at its end: its files and their SHA-256."""

    name: str
    files: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A wheel that the builder made for a job."""

    name: str
    sha256: str
    platform: str
    reused: bool
    """Whether it was built before, from these very files; else it was built for this run."""
    seconds: float


@dataclasses.dataclass(frozen=True)
class ActionUse:
    """An action that the workflow names, and what played it."""

    uses: str
    where: str
    """The line of the workflow."""
    kind: str
    """``real`` or ``stand-in``."""
    version: str
    """The version that was run or that the stand-in stands for."""
    folder: str
    unknown: tuple[str, ...] = ()
    """Inputs that the workflow gives and the action does not have: GitHub warns and goes on."""


@dataclasses.dataclass(frozen=True)
class PipelineRun:
    """One run of the workflow."""

    push: Push
    run_id: int
    attempt: int
    triggered: bool
    decision: str
    """Why the event starts the workflow, or does not."""
    result: str
    """``success``, ``failure``, ``hung`` or ``not triggered``."""
    jobs: tuple[JobRun, ...]
    artifacts: tuple[Artifact, ...]
    wheels: tuple[Wheel, ...]
    actions: tuple[ActionUse, ...]
    unsupported: tuple[str, ...]
    """What a stand-in could not do: nothing is verified by this run where there is any."""
    stand_ins: tuple[str, ...]
    """How the surroundings of the jobs differ from GitHub's."""
    seconds: float
    act: str
    """Act's version."""
    log: tuple[str, ...] = ()
    """What act said of no job."""

    def job(self, id: str) -> tuple[JobRun, ...]:  # noqa: A002  (the workflow's own word)
        """Return the runs of one job: as many as its matrix has combinations."""
        return tuple(run for run in self.jobs if run.id == id)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as data for JSON."""
        return dataclasses.asdict(self)
