"""Read act's log: the times, the results and the output of all jobs and steps."""

from __future__ import annotations

import contextlib
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
_MAX_NAME_LENGTH = 63 - len("act-")
"""The maximum length of a job's name in the name of its container, before the hash."""
_EXIT_CODE = re.compile(
    r"\W*(?:exitcode '(\d+)': (?:failure|command not found)|exit with `FAILURE`: (\d+))"
)
"""The line that act prints after a command of a step, or the program of a Docker action, failed."""
_UNKNOWN_ACTION = re.compile(
    r"LocalRepositoryCache not matched https?://[^/ ]+/(\S+) with Ref (\S+)"
)
"""The line that act prints before it downloads an action, which is impossible here."""


class ActLine(Model):
    """A line of act's log, without the fields that are not used."""

    model_config = pydantic.ConfigDict(extra="ignore")

    msg: str = ""
    job: str = ""
    """The names of the workflow and of the job."""
    job_id: str = Field(default="", alias="jobID")
    """Empty for a line without a job."""
    matrix: Combination | None = None
    step_id: tuple[str, ...] | None = Field(default=None, alias="stepID")
    """The id of the step, followed by the ids of nested steps."""
    stage: str = ""
    step_result: str = Field(default="", alias="stepResult")
    job_result: str = Field(default="", alias="jobResult")
    raw_output: bool = False
    """True for the output of a program, False for a message of act."""

    @property
    def program_output(self) -> str | None:
        """The line that a program printed. None for a message of act."""
        return self.msg.rstrip("\n") if self.raw_output else None


class JobContainer(Model):
    """The container of a job."""

    id: str
    """The job's id."""
    container: str
    """The engine's id of the container."""
    name: str
    """The name that act gave to the container."""


class RemovedContainer(Model):
    """A container that act removes."""

    container: str
    """The engine's id of the container."""
    state: ContainerState


class UnavailableImage(Model):
    """An image that a job needs and cannot get."""

    image: str
    """Its name, or the path of its Dockerfile."""
    why: str


class UnsupportedRequest(Model):
    """A request that a stand-in action does not support."""

    why: str


class StandInFailure(Model):
    """A failure of the testbed that a stand-in action reports."""

    cause: Literal["index-unreachable", "forge-unreachable", "machine-lost", "testbed-defect"]
    why: str


class ConductorLine(Model):
    """A line of the conductor (``images/runner/conductor``). It has one of the optional values."""

    at: float
    """The time of the line, in seconds since the epoch."""
    act: ActLine | None = None
    job: JobContainer | None = None
    removed: RemovedContainer | None = None
    unavailable: UnavailableImage | None = None
    unsupported: str | None = None
    """What a job requests from the engine and the testbed does not support."""
    text: str | None = None
    """A line of act that is not in the format of its log."""
    ended: int | None = None
    """Act's exit code."""


@dataclasses.dataclass
class _StepLog:
    started_at: float
    ended: float | None = None
    result: JobOutcome | None = None
    exit_code: int | None = None
    lines: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _JobLog:
    """The log of one matrix combination of a job."""

    name: str
    matrix: Combination
    started_at: float
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
    """The output of the conductor. `add` reads one line."""

    def __init__(self) -> None:
        self.other_lines: list[str] = []
        """The lines that belong to no job."""
        self.exit_code: int | None = None
        """Act's exit code. None while act runs."""
        self.unsupported: list[str] = []
        """The requests that a stand-in action or the relay does not support."""
        self._jobs: dict[tuple[str, str, str], _JobLog] = {}
        """The logs by name of the job, id of the job and combination."""
        self._containers: dict[str, list[_Container]] = {}
        """The containers by id of the job."""
        self._states: dict[str, ContainerState] = {}
        """The states by id of the container."""

    @property
    def has_jobs(self) -> bool:
        """True if at least one job started."""
        return bool(self._jobs)

    def add(self, line: ConductorLine) -> None:
        """Add one line."""
        if line.act and line.act.job_id:
            self._add(line.act, line.at)
        elif line.act:
            self.other_lines.append(line.act.msg.rstrip("\n"))
        elif line.removed:
            self.set_state(line.removed.container, line.removed.state)
        elif line.unsupported:
            self.unsupported.append(line.unsupported)
        elif line.ended is not None:
            self.exit_code = line.ended
        elif line.text is not None:
            self.other_lines.append(line.text)

    def add_container(self, job: str, id: str, name: str, address: str) -> None:  # noqa: A002
        """Add the container of a job."""
        self._containers.setdefault(job, []).append(_Container(id, name, address))

    def set_state(self, container: str, state: ContainerState) -> None:
        """Set the state of the container with this id. Later states are ignored."""
        self._states.setdefault(container, state)

    def lost_containers(self) -> Iterator[tuple[str, ContainerState]]:
        """Yield the id and the state of each container that had failed before act removed it."""
        for container, state in self._states.items():
            if state.failure:
                yield container, state

    def _add(self, line: ActLine, time: float) -> None:
        matrix = line.matrix or {}
        name = line.job.strip()
        key = (name, line.job_id, json.dumps(matrix, sort_keys=True))
        job = self._jobs.setdefault(key, _JobLog(name, matrix, time))
        if line.job_result:
            job.result, job.ended = _outcome(line.job_result), time
        text = line.msg.rstrip("\n")
        if text.startswith("LocalRepositoryCache "):
            if match := _UNKNOWN_ACTION.match(text):
                job.failures.append(_unknown_action(line.job_id, f"{match[1]}@{match[2]}"))
            return
        if not line.step_id or line.step_id[0] in _SET_UP:
            job.lines.append(text.strip())
            return
        step = job.steps.setdefault(line.step_id[0], _StepLog(time))
        step.lines.append(text if line.raw_output else text.strip())
        if len(line.step_id) == 1 and line.step_result:
            result = _outcome(line.step_result)
            # The pre and post steps of an action change the result only if they fail.
            if line.stage == "Main" or result == "failure":
                step.ended = time
                step.result = "failure" if "failure" in (step.result, result) else result
        if line.raw_output:
            self._report(job, line.job_id, text)
        elif match := _EXIT_CODE.match(text):
            step.exit_code = int(match[1] or match[2])

    def _report(self, job: _JobLog, name: str, text: str) -> None:
        """Read a line that a stand-in action prints for the host.

        A step can print a line that starts in the same way. Without a valid report it is no such
        line.
        """
        marker, _, report = text.partition(" ")
        with contextlib.suppress(pydantic.ValidationError):
            if marker == "e2e-unsupported":
                unsupported = UnsupportedRequest.model_validate_json(report)
                self.unsupported.append(f"{name}: {unsupported.why}")
            elif marker == "e2e-failure":
                failure = StandInFailure.model_validate_json(report)
                job.failures.append(
                    TestbedFailureRecord(
                        cause=failure.cause, where=f"job {name}", observed=failure.why
                    )
                )

    def jobs(self, workflow: Workflow, *, hung: bool = False) -> tuple[JobRun, ...]:
        """Return all jobs of the workflow in its order, also those that did not run.

        The jobs of a called workflow have the id of the job that calls it. ``hung`` is true if the
        run reached its time limit.
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
                        started=log.started_at if log else None,
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
        """Return the logs of a job. If it did not start, return those of the calling job."""
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
        # The name that act gives to a container contains the job's name and a hash. A hyphen
        # replaces each other character.
        expected = f"act-{_NOT_IN_CONTAINER_NAME.sub('-', log.name)}"
        for container in containers:
            name = container.name[max(container.name.find("act-"), 0) :].rpartition("-")[0]
            if name and (expected == name or (expected.startswith(name) and len(containers) == 1)):
                return container
        return containers[0] if len(containers) == 1 else None


def _unknown_action(job: str, uses: str) -> TestbedFailureRecord:
    return TestbedFailureRecord(
        cause="action-unavailable",
        where=f"job {job}",
        observed=f"{uses} cannot run: an action that a step made uses it, and it has no checkout. "
        f"Put its checkout at FOLDER/{uses} (actions_from)",
    )


def _outcome(result: str) -> JobOutcome:
    return _OUTCOMES.get(result, "failure")


def _result(
    job: WorkflowJob, log: _JobLog | None, before: Iterable[JobRun], *, hung: bool
) -> tuple[JobOutcome, str]:
    """Return the result of a matrix combination of a job, and the reason if no step shows it."""
    if log is None:
        return "not run", _why_not_run(job, before, hung=hung)
    if log.result is None and not log.steps:
        skipped = any("Skipping" in line for line in log.lines)
        return "skipped" if skipped else "not run", " ".join(log.lines[-1:])
    if log.result is None:
        return ("hung", "not finished") if hung else ("failure", "act ended before the job")
    if log.result == "failure" and len(job.combinations) > 1 and _passed(job, log):
        # If one combination fails, act 0.2.89 reports a failure of all combinations.
        return "success", ""
    return log.result, ""


def _why_not_run(job: WorkflowJob, before: Iterable[JobRun], *, hung: bool) -> str:
    failed = [run.id for run in before if run.id in job.needs and run.result != "success"]
    if failed:
        return f"needs {', '.join(dict.fromkeys(failed))}, which did not succeed"
    if hung:
        return "the run ended before this job"
    condition = f" (if: {job.condition})" if job.condition else ""
    return f"act did not start it{condition}"


def find_running(jobs: Iterable[RunningJob], id: str, name: str) -> RunningJob | None:  # noqa: A002
    """Return the job with this id and name. None if no job or more than one matches.

    ``name`` is the name of the job's container, or the job's name in act's log. It is compared only
    if several jobs have the id, for example with called workflows. It begins with the names of the
    calling job, the workflow and the job.
    """
    matching = [running for running in jobs if running.job.id == id]
    if len(matching) > 1:
        plain = _plain(name if "/" in name else name.partition("-act-")[2])
        matching = [running for running in matching if _begins(plain, running)]
    return matching[0] if len(matching) == 1 else None


def _begins(name: str, running: RunningJob) -> bool:
    """Return True if the plain name of a container begins with the name of a job.

    The names are compared up to the length to which act shortens them.
    """
    parts = [job.name for job in running.callers[-1:]] + [running.workflow.name, running.job.name]
    # The values of expressions are unknown.
    prefix = _plain("/".join(parts).partition("${{")[0])
    length = min(len(prefix), _MAX_NAME_LENGTH)
    return name[:length] == prefix[:length]


def _plain(name: str) -> str:
    """Return a name in the form that act uses in the name of a container."""
    return _NOT_IN_CONTAINER_NAME.sub("-", name).replace("--", "-")


def _name(running: RunningJob, log: _JobLog | None) -> str:
    """Return the job's name with the values of its expressions."""
    if running.callers:
        return " / ".join(job.name for job in (*running.callers, running.job))
    if log is None:
        return running.job.name
    name = log.name.partition("/")[2]
    # act appends a number to the name of each combination.
    return re.sub(r"-\d+$", "", name) if log.matrix else name


def is_same_combination(first: Combination, second: Combination) -> bool:
    """Return True if two combinations have the same values. act may print a number as text."""
    return {key: str(value) for key, value in first.items()} == {
        key: str(value) for key, value in second.items()
    }


def _steps(job: WorkflowJob, log: _JobLog | None, *, hung: bool) -> tuple[StepRun, ...]:
    logs = log.steps if log else {}
    keys = [step.id or str(number) for number, step in enumerate(job.steps)]
    last = max((number for number, key in enumerate(keys) if key in logs), default=-1)
    runs = []
    for number, step in enumerate(job.steps):
        step_log = logs.get(keys[number])
        result: JobOutcome
        if step_log is None or (step_log.result is None and not _ran(step_log)):
            result = "skipped" if log and log.result and number < last else "not run"
        else:
            result = step_log.result or ("hung" if hung else "not run")
        runs.append(
            StepRun(
                name=step.name or step.uses or (step.run or "").split("\n")[0],
                uses=step.uses,
                line=step.line,
                result=result,
                started=step_log.started_at if step_log else None,
                ended=step_log.ended if step_log else None,
                exit_code=step_log.exit_code if step_log and result == "failure" else None,
                log=tuple(step_log.lines) if step_log else (),
            )
        )
    return tuple(runs)


def _passed(job: WorkflowJob, log: _JobLog) -> bool:
    """Return True if all steps of a combination succeeded or were skipped."""
    return (
        bool(log.steps)
        and not any("\N{CROSS MARK}" in line for line in log.lines)
        and all(step.result in ("success", "skipped") for step in log.steps.values())
        and _steps(job, log, hung=False)[-1].result in ("success", "skipped")
    )


def _ran(step: _StepLog) -> bool:
    return any("Run Main " in line for line in step.lines)
