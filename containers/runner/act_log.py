"""Read act's log: when each job and step ran, its result and its output."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from typing import Literal

import pydantic
from pydantic import Field

from verification.models.base import Model
from verification.models.pipeline import JobOutcome, JobRun, StepRun
from verification.models.testbed import ContainerState, TestbedFailureRecord
from verification.models.workflow import Combination, RunningJob, Workflow, WorkflowJob

_OUTCOMES: dict[str, JobOutcome] = {
    "success": "success",
    "failure": "failure",
    "skipped": "skipped",
    "cancelled": "hung",
}
_SET_UP = ("--setup-job", "--complete-job")
_NOT_IN_CONTAINER_NAME = re.compile(r"[^a-zA-Z0-9]")
_MOST_NAME = 63 - len("act-")
"""The maximum length of a name within a container's name, before the hash."""
_EXIT_CODE = re.compile(r"\W*exitcode '(\d+)': failure")
"""What act prints after a command of a step failed."""


class ActLine(Model):
    """A line of act's log, as far as it is read here."""

    model_config = pydantic.ConfigDict(extra="ignore")

    msg: str = ""
    job: str = ""
    """The name of the workflow and of the job."""
    job_id: str = Field(default="", alias="jobID")
    """Empty for a line of no job."""
    matrix: Combination | None = None
    step_id: tuple[str, ...] | None = Field(default=None, alias="stepID")
    """The step, and the steps within it."""
    stage: str = ""
    step_result: str = Field(default="", alias="stepResult")
    job_result: str = Field(default="", alias="jobResult")
    raw_output: bool = False
    """Whether a program printed it, and not act."""

    @property
    def printed(self) -> str | None:
        """What a program printed; None for a line of act's own."""
        return self.msg.rstrip("\n") if self.raw_output else None


class JobContainer(Model):
    """The container of a job."""

    id: str
    """The job's id."""
    container: str
    """The engine's id of the container."""
    name: str
    """The container's name, as act gave it."""


class RemovedContainer(Model):
    """A container that act removes."""

    container: str
    """The engine's id of the container."""
    state: ContainerState


class StandInFailure(Model):
    """A failure of the testbed that a stand-in action reports."""

    cause: Literal["index-unreachable", "forge-unreachable", "machine-lost", "testbed-defect"]
    why: str


class ConductorLine(Model):
    """A line of the conductor (``images/runner/conductor``); it has one of the optional values."""

    at: float
    act: ActLine | None = None
    job: JobContainer | None = None
    removed: RemovedContainer | None = None
    text: str | None = None
    """What act printed and is not of its log."""
    ended: int | None = None
    """Act's exit code."""


@dataclasses.dataclass
class _StepLog:
    started: float
    ended: float | None = None
    result: JobOutcome | None = None
    exit_code: int | None = None
    lines: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _JobLog:
    """One combination of a job, as far as the log shows it."""

    name: str
    matrix: Combination
    started: float
    ended: float | None = None
    result: JobOutcome | None = None
    steps: dict[str, _StepLog] = dataclasses.field(default_factory=dict)
    lines: list[str] = dataclasses.field(default_factory=list)
    failures: list[TestbedFailureRecord] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Container:
    id: str
    name: str
    address: str = ""


class ActLog:
    """What the conductor printed, line by line."""

    def __init__(self) -> None:
        self.others: list[str] = []
        """Lines of no job."""
        self.ended: int | None = None
        """Act's exit code."""
        self.unsupported: list[str] = []
        self._jobs: dict[tuple[str, str, str], _JobLog] = {}
        """By the name and the id of the job, and its combination."""
        self._containers: dict[str, list[_Container]] = {}
        self._states: dict[str, ContainerState] = {}

    @property
    def began(self) -> bool:
        """Whether any job began."""
        return bool(self._jobs)

    def add(self, line: ConductorLine) -> None:
        """Add one line."""
        if line.act and line.act.job_id:
            self._add(line.act, line.at)
        elif line.act:
            self.others.append(line.act.msg.rstrip("\n"))
        elif line.removed:
            self.set_state(line.removed.container, line.removed.state)
        elif line.ended is not None:
            self.ended = line.ended
        elif line.text is not None:
            self.others.append(line.text)

    def container(self, job: str, id: str, name: str, address: str) -> None:  # noqa: A002
        """Add a container of a job."""
        self._containers.setdefault(job, []).append(_Container(id, name, address))

    def set_state(self, container: str, state: ContainerState) -> None:
        """Set the state of a container with this id; the first one counts."""
        self._states.setdefault(container, state)

    def lost_containers(self) -> Iterator[tuple[str, str]]:
        """Yield the id of each container that did not run when act removed it, and its state."""
        for container, state in self._states.items():
            if state.failure:
                yield container, state.failure

    def _add(self, line: ActLine, at: float) -> None:
        matrix = line.matrix or {}
        name = line.job.strip()
        key = (name, line.job_id, json.dumps(matrix, sort_keys=True))
        job = self._jobs.setdefault(key, _JobLog(name, matrix, at))
        if line.job_result:
            job.result, job.ended = _outcome(line.job_result), at
        text = line.msg.rstrip("\n")
        if text.startswith("LocalRepositoryCache "):
            return
        if not line.step_id or line.step_id[0] in _SET_UP:
            job.lines.append(text.strip())
            return
        step = job.steps.setdefault(line.step_id[0], _StepLog(at))
        step.lines.append(text if line.raw_output else text.strip())
        if len(line.step_id) == 1 and line.step_result:
            result = _outcome(line.step_result)
            # The steps of an action before and after the main one count where they fail.
            if line.stage == "Main" or result == "failure":
                step.ended = at
                step.result = "failure" if "failure" in (step.result, result) else result
        if line.raw_output:
            self._report(job, line.job_id, text)
        elif match := _EXIT_CODE.match(text):
            step.exit_code = int(match[1])

    def _report(self, job: _JobLog, name: str, text: str) -> None:
        """Read what a stand-in action prints for the host."""
        marker, _, report = text.partition(" ")
        if marker == "e2e-unsupported":
            self.unsupported.append(f"{name}: {json.loads(report)['why']}")
        elif marker == "e2e-failure":
            failure = StandInFailure.model_validate_json(report)
            job.failures.append(
                TestbedFailureRecord(cause=failure.cause, where=f"job {name}", observed=failure.why)
            )

    def jobs(self, workflow: Workflow, *, hung: bool = False) -> tuple[JobRun, ...]:
        """Return every job that the workflow runs, in its order, also those that never ran.

        The jobs of a called workflow have the id of the job that calls it. ``hung`` says that the
        run was ended because it took too long.
        """
        runs: list[JobRun] = []
        running_jobs = workflow.running_jobs
        for running in running_jobs:
            job = running.job
            logs = self._logs_of(running, running_jobs)
            for number, matrix in enumerate(job.combinations or ({},)):
                log = next((log for log in logs if is_same_combination(log.matrix, matrix)), None)
                result, reason = _result(job, log, runs, hung=hung)
                container = self._container_of(job.id, log)
                runs.append(
                    JobRun(
                        id=running.id,
                        name=_name(running, log),
                        matrix=matrix,
                        label=job.runs_on[min(number, len(job.runs_on) - 1)] if job.runs_on else "",
                        needs=(*running.callers, job)[0].needs,
                        result=result,
                        reason=reason,
                        started=log.started if log else None,
                        ended=log.ended if log else None,
                        container=container.id if container else "",
                        address=container.address if container else "",
                        container_state=self._states.get(container.id) if container else None,
                        permissions=job.permissions,
                        failures=tuple(log.failures) if log else (),
                        steps=_steps(job, log, hung=result == "hung"),
                        log=tuple(log.lines) if log else (),
                    )
                )
        return tuple(runs)

    def _logs_of(self, running: RunningJob, jobs: Iterable[RunningJob]) -> list[_JobLog]:
        """Return the logs of a job, or those of the calling job if it never began."""
        logs = [
            log
            for (name, id_, _), log in self._jobs.items()
            if id_ == running.job.id and find_running(jobs, id_, name) is running
        ]
        if running.callers and not logs:
            logs = [log for (_, id_, _), log in self._jobs.items() if id_ == running.id]
        return sorted(logs, key=lambda log: not log.steps)

    def _container_of(self, job: str, log: _JobLog | None) -> _Container | None:
        containers = self._containers.get(job, [])
        if log is None or not containers:
            return None
        # Act names a container after the job, with every other character a hyphen, and a hash.
        expected = f"act-{_NOT_IN_CONTAINER_NAME.sub('-', log.name)}"
        for container in containers:
            name = container.name[max(container.name.find("act-"), 0) :].rpartition("-")[0]
            if name and (expected == name or (expected.startswith(name) and len(containers) == 1)):
                return container
        return containers[0] if len(containers) == 1 else None


def _outcome(result: str) -> JobOutcome:
    return _OUTCOMES.get(result, "failure")


def _result(
    job: WorkflowJob, log: _JobLog | None, before: Iterable[JobRun], *, hung: bool
) -> tuple[JobOutcome, str]:
    """Return how a combination of a job ended, and why if no step shows it."""
    if log is None:
        return "not run", _why_not_run(job, before, hung=hung)
    if log.result is None and not log.steps:
        skipped = any("Skipping" in line for line in log.lines)
        return "skipped" if skipped else "not run", " ".join(log.lines[-1:])
    if log.result is None:
        return ("hung", "it did not end") if hung else ("failure", "act ended before the job did")
    if log.result == "failure" and len(job.combinations) > 1 and _passed(job, log):
        # act 0.2.89 has one result for all combinations: that of the one that failed.
        return "success", ""
    return log.result, ""


def _why_not_run(job: WorkflowJob, before: Iterable[JobRun], *, hung: bool) -> str:
    failed = [run.id for run in before if run.id in job.needs and run.result != "success"]
    if failed:
        return f"needs {', '.join(dict.fromkeys(failed))}, which did not succeed"
    if hung:
        return "the run was ended before its turn came"
    condition = f" (if: {job.condition})" if job.condition else ""
    return f"act did not start it{condition}"


def find_running(jobs: Iterable[RunningJob], id: str, name: str) -> RunningJob | None:  # noqa: A002
    """Return the job with an id that act gives a name; None if there is none, or several.

    ``name`` is the name of its container, or its name in act's log. It is compared only if several
    jobs have the id, as with called workflows: it begins with the names of the calling job, of the
    workflow and of the job.
    """
    matching = [running for running in jobs if running.job.id == id]
    if len(matching) > 1:
        plain = _plain(name if "/" in name else name.partition("-act-")[2])
        matching = [running for running in matching if _begins(plain, running)]
    return matching[0] if len(matching) == 1 else None


def _begins(name: str, running: RunningJob) -> bool:
    """Return whether the plain name of a container begins like that of a job.

    Only the length that act keeps is compared.
    """
    parts = [job.name for job in running.callers[-1:]] + [running.workflow.name, running.job.name]
    # A job's expressions are not known here.
    known = _plain("/".join(parts).partition("${{")[0])
    length = min(len(known), _MOST_NAME)
    return name[:length] == known[:length]


def _plain(name: str) -> str:
    """Return a name in the form that act uses within a container's name."""
    return _NOT_IN_CONTAINER_NAME.sub("-", name).replace("--", "-")


def _name(running: RunningJob, log: _JobLog | None) -> str:
    """Return the job's name with its expressions filled in; act numbers the combinations."""
    if running.callers:
        return " / ".join(job.name for job in (*running.callers, running.job))
    if log is None:
        return running.job.name
    name = log.name.partition("/")[2]
    return re.sub(r"-\d+$", "", name) if log.matrix else name


def is_same_combination(first: Combination, second: Combination) -> bool:
    """Return whether two combinations have the same values; act may print a value as text."""
    return {key: str(value) for key, value in first.items()} == {
        key: str(value) for key, value in second.items()
    }


def _steps(job: WorkflowJob, log: _JobLog | None, *, hung: bool) -> tuple[StepRun, ...]:
    logs = log.steps if log else {}
    keys = [step.id or str(number) for number, step in enumerate(job.steps)]
    last = max((number for number, key in enumerate(keys) if key in logs), default=-1)
    runs = []
    for number, step in enumerate(job.steps):
        own = logs.get(keys[number])
        result: JobOutcome
        if own is None or (own.result is None and not _ran(own)):
            result = "skipped" if log and log.result and number < last else "not run"
        else:
            result = own.result or ("hung" if hung else "not run")
        runs.append(
            StepRun(
                name=step.name or step.uses or (step.run or "").split("\n")[0],
                uses=step.uses,
                line=step.line,
                result=result,
                started=own.started if own else None,
                ended=own.ended if own else None,
                exit_code=own.exit_code if own and result == "failure" else None,
                log=tuple(own.lines) if own else (),
            )
        )
    return tuple(runs)


def _passed(job: WorkflowJob, log: _JobLog) -> bool:
    """Return whether every step of a combination passed or was skipped."""
    return (
        bool(log.steps)
        and not any("\N{CROSS MARK}" in line for line in log.lines)
        and all(step.result in ("success", "skipped") for step in log.steps.values())
        and _steps(job, log, hung=False)[-1].result in ("success", "skipped")
    )


def _ran(step: _StepLog) -> bool:
    return any("Run Main " in line for line in step.lines)
