"""Read act's log: which job and step ran when, how it ended and what it said."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from verification.models.pipeline import JobRun, StepRun
from verification.models.workflow import Job, Workflow

_RESULTS = {"success": "success", "failure": "failure", "skipped": "skipped", "cancelled": "hung"}
_SET_UP = ("--setup-job", "--complete-job")
_OTHERS_OF_NAME = re.compile(r"[^a-zA-Z0-9]")


@dataclasses.dataclass
class _Step:
    started: float
    ended: float | None = None
    result: str | None = None
    lines: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Leg:
    """One combination of a job, as far as the log has told of it."""

    name: str
    matrix: dict[str, Any]
    started: float
    ended: float | None = None
    result: str | None = None
    steps: dict[str, _Step] = dataclasses.field(default_factory=dict)
    lines: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Container:
    id: str
    name: str
    address: str = ""


class Log:
    """What the conductor printed, line by line (``images/runner/conduct.py``)."""

    def __init__(self) -> None:
        self.others: list[str] = []
        """Lines of no job."""
        self.ended: int | None = None
        """Act's exit code."""
        self.unsupported: list[str] = []
        self._legs: dict[tuple[str, str], _Leg] = {}
        self._containers: dict[str, list[_Container]] = {}

    @property
    def began(self) -> bool:
        """Whether any job began."""
        return bool(self._legs)

    def add(self, told: Mapping[str, Any]) -> str | None:
        """Take one line in; return what a program said, if it is that."""
        if "ended" in told:
            self.ended = int(told["ended"])
        elif "act" in told:
            return self._act(told["act"], float(told["at"]))
        elif "text" in told:
            self.others.append(str(told["text"]))
        return None

    def container(self, job: str, id: str, name: str, address: str) -> None:  # noqa: A002
        """Say which container is the job's."""
        self._containers.setdefault(job, []).append(_Container(id, name, address))

    def _act(self, line: dict[str, Any], at: float) -> str | None:
        said = str(line.get("msg", "")).rstrip("\n")
        job = line.get("jobID")
        if not job:
            self.others.append(said)
            return None
        matrix = line.get("matrix") or {}
        key = (str(job), json.dumps(matrix, sort_keys=True))
        leg = self._legs.setdefault(key, _Leg(str(line.get("job", "")).strip(), matrix, at))
        if result := line.get("jobResult"):
            leg.result, leg.ended = _RESULTS.get(str(result), str(result)), at
        if said.startswith("LocalRepositoryCache "):
            return None
        ids = line.get("stepID")
        if not ids or ids[0] in _SET_UP:
            leg.lines.append(said.strip())
            return None
        step = leg.steps.setdefault(str(ids[0]), _Step(at))
        raw = bool(line.get("raw_output"))
        step.lines.append(said if raw else said.strip())
        if len(ids) == 1 and (result := line.get("stepResult")):
            ended = _RESULTS.get(str(result), str(result))
            # The steps of an action before and after the main one count where they fail.
            if line.get("stage") == "Main" or ended == "failure":
                step.ended = at
                step.result = "failure" if "failure" in (step.result, ended) else ended
        if raw and said.startswith("e2e-unsupported "):
            self.unsupported.append(f"{job}: {json.loads(said.partition(' ')[2])['why']}")
        return said if raw else None

    def jobs(self, workflow: Workflow, *, hung: bool = False) -> tuple[JobRun, ...]:
        """Return every job of the workflow in its order, also those that never ran.

        ``hung`` says that the run was ended because it took too long.
        """
        runs: list[JobRun] = []
        for job in workflow.jobs.values():
            legs = [leg for (id_, _), leg in self._legs.items() if id_ == job.id]
            combinations = job.combinations or ({},)
            for number, matrix in enumerate(combinations):
                label = job.runs_on[min(number, len(job.runs_on) - 1)] if job.runs_on else ""
                leg = next((leg for leg in legs if same(leg.matrix, matrix)), None)
                runs.append(self._job(job, dict(matrix), label, leg, runs, hung=hung))
        return tuple(runs)

    def _job(
        self,
        job: Job,
        matrix: dict[str, Any],
        label: str,
        leg: _Leg | None,
        before: list[JobRun],
        *,
        hung: bool,
    ) -> JobRun:
        container = self._container_of(job.id, leg)
        result, reason = "not run", ""
        if leg is None:
            failed = [run.id for run in before if run.id in job.needs and run.result != "success"]
            if failed:
                reason = f"needs {', '.join(dict.fromkeys(failed))}, which did not succeed"
            elif hung:
                reason = "the run was ended before its turn came"
            else:
                reason = (
                    f"act did not start it (if: {job.condition})"
                    if job.condition
                    else ("act did not start it")
                )
        elif leg.result is None and not leg.steps:
            result = "skipped" if any("Skipping" in line for line in leg.lines) else "not run"
            reason = " ".join(leg.lines[-1:])
        elif leg.result is None:
            result = "hung" if hung else "failure"
            reason = "it did not end" if hung else "act ended before the job did"
        elif leg.result == "failure" and len(job.combinations) > 1 and _passed(job, leg):
            # act 0.2.89 has one result for all combinations: that of the one that failed.
            result = "success"
        else:
            result = leg.result
        return JobRun(
            id=job.id,
            name=_name(leg) if leg else job.name,
            matrix=matrix,
            label=label,
            needs=job.needs,
            result=result,
            reason=reason,
            started=leg.started if leg else None,
            ended=leg.ended if leg else None,
            container=container.id if container else "",
            address=container.address if container else "",
            steps=_steps(job, leg, hung=result == "hung"),
            log=tuple(leg.lines) if leg else (),
        )

    def _container_of(self, job: str, leg: _Leg | None) -> _Container | None:
        found = self._containers.get(job, [])
        if leg is None or not found:
            return None
        # Act names a container after the job, with every other character a hyphen, and a hash.
        wanted = f"act-{_OTHERS_OF_NAME.sub('-', leg.name)}"
        for container in found:
            name = container.name[max(container.name.find("act-"), 0) :].rpartition("-")[0]
            if name and (wanted == name or (wanted.startswith(name) and len(found) == 1)):
                return container
        return found[0] if len(found) == 1 else None


def _name(leg: _Leg) -> str:
    """Return the job's name with its expressions filled in; act numbers the combinations."""
    name = leg.name.partition("/")[2]
    return re.sub(r"-\d+$", "", name) if leg.matrix else name


def same(told: Mapping[str, Any], matrix: Mapping[str, Any]) -> bool:
    """Say whether act's matrix is this combination."""
    return {key: str(value) for key, value in told.items()} == {
        key: str(value) for key, value in matrix.items()
    }


def _steps(job: Job, leg: _Leg | None, *, hung: bool) -> tuple[StepRun, ...]:
    found = leg.steps if leg else {}
    last = max(
        (at for at, step in enumerate(job.steps) if (step.id or str(at)) in found), default=-1
    )
    runs = []
    for at, step in enumerate(job.steps):
        seen = found.get(step.id or str(at))
        if seen is None or (seen.result is None and not _ran(seen)):
            result = "skipped" if leg and leg.result and at < last else "not run"
        else:
            result = seen.result or ("hung" if hung else "not run")
        runs.append(
            StepRun(
                name=step.name or step.uses or (step.run or "").split("\n")[0],
                uses=step.uses,
                line=step.line,
                result=result,
                started=seen.started if seen else None,
                ended=seen.ended if seen else None,
                log=tuple(seen.lines) if seen else (),
            )
        )
    return tuple(runs)


def _passed(job: Job, leg: _Leg) -> bool:
    """Say whether every step of a combination passed or was skipped."""
    return (
        bool(leg.steps)
        and not any("\N{CROSS MARK}" in line for line in leg.lines)
        and all(step.result in ("success", "skipped") for step in leg.steps.values())
        and _steps(job, leg, hung=False)[-1].result in ("success", "skipped")
    )


def _ran(step: _Step) -> bool:
    return any("Run Main " in line for line in step.lines)
