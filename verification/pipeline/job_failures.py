"""Decide what a job knows after the failure of a job before it.

A job can check the results of the jobs that it needs, and fail with them: with re-actors/alls-green
(its documentation has the inputs), or with a script that reads `needs`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from verification.models.workflow import Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.evaluated_jobs import EvaluatedJob, in_order
from verification.pipeline.expressions import (
    BadExpression,
    Context,
    UnknownValue,
    fill,
    holds,
    with_env,
)

_ALLS_GREEN = "re-actors/alls-green"
_RESULTS = re.compile(
    r"\bneeds\.(?P<name>\*|[\w-]+)\.result\b|\btoJSON\(\s*needs\s*\)", re.IGNORECASE
)
"""An expression that reads the result of one needed job, or of all."""
_FAILS = re.compile(
    r"\bexit\s+[1-9]|\bexit\(|^\s*false\b|\[\s|\btest\s|\bjq\s.*-e|\bgrep\b"
    r"|\braise\b|\bassert\b|\bsetFailed\b|\bthrow\b",
    re.MULTILINE,
)
"""A command that can end a script with a failure."""


def context_after(run: EvaluatedJob, failed: str) -> Context:
    """Return the context of a job after the failure of a job before it, with the id ``failed``.

    The jobs between them run if their conditions hold.
    """
    workflow, results = run.running.workflow, dict[str, str | None]()
    before = workflow.jobs_before(run.job.id)
    for job in in_order(workflow):
        if job.id in before:
            known = _with_results(run.context, workflow, job, results)
            results[job.id] = "failure" if job.id == failed else _result(job, known)
    return _with_results(run.context, workflow, run.job, results)


def checks_results(steps: Iterable[WorkflowStep], context: Context) -> bool:
    """Return whether one of the steps fails because of the results in `needs`.

    A script that reads them counts if it has a command for a failure.
    """
    started = context.model_copy(update={"status": "success"})
    return any(_checks(step, with_env(started, step.env)) for step in steps)


def _result(job: WorkflowJob, context: Context) -> str | None:
    """Return the result of a job that does not fail itself; None if it is not known."""
    try:
        if not holds("success()" if job.condition is None else job.condition, context):
            return "skipped"
    except (BadExpression, UnknownValue):
        return None
    is_ignored = job.continue_on_error not in (None, "false")
    known = with_env(context, job.env)
    return "failure" if not is_ignored and checks_results(job.steps, known) else "success"


def _with_results(
    context: Context, workflow: Workflow, job: WorkflowJob, results: Mapping[str, str | None]
) -> Context:
    """Return the context of a job with the results of the jobs before it."""
    before = {results.get(name) for name in workflow.jobs_before(job.id)}
    needs: dict[str, JsonValue] = {
        name: {"result": result, "outputs": {}} if (result := results.get(name)) else {}
        for name in job.needs
    }
    unknown = {
        f"needs.{name}.outputs" if results.get(name) else f"needs.{name}" for name in job.needs
    }
    status = next((status for status in ("failure", "skipped") if status in before), "success")
    known = context.extended(map(str.lower, unknown), needs=needs)
    return known.model_copy(update={"status": status})


def _checks(step: WorkflowStep, context: Context) -> bool:
    condition = "success()" if step.condition is None else step.condition
    try:
        if step.continue_on_error not in (None, "false") or not holds(condition, context):
            return False
        results = _results(context)
        if step.action == _ALLS_GREEN:
            return not _are_green(step, results, context)
    except (BadExpression, UnknownValue):
        return False
    script = step.run or step.with_.get("script", "")
    read = "\n".join((condition, script, *step.env.values()))
    return bool(_FAILS.search(script)) and any(
        _is_unsuccessful(match["name"], results) for match in _RESULTS.finditer(read)
    )


def _is_unsuccessful(name: str | None, results: Mapping[str, str]) -> bool:
    """Return whether a needed job, or one of all, has no success."""
    chosen = results.values() if name in (None, "*") else [results.get(name or "", "success")]
    return any(result != "success" for result in chosen)


def _results(context: Context) -> dict[str, str]:
    """Return the results in `needs`.

    Raises:
        UnknownValue: one is not known.
    """
    needs = context.values.get("needs")
    names = needs if isinstance(needs, dict) else {}
    return {name: fill(f"${{{{ needs.{name}.result }}}}", context) for name in names}


def _are_green(step: WorkflowStep, results: Mapping[str, str], context: Context) -> bool:
    failures, skips = (
        _names(fill(step.with_.get(name, ""), context))
        for name in ("allowed-failures", "allowed-skips")
    )
    return all(
        result == "success" or name in failures or (name in skips and result == "skipped")
        for name, result in results.items()
    )


def _names(text: str) -> frozenset[str]:
    """Return the names of a list that is JSON or separated by commas."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = text.split(",")
    return (
        frozenset(str(item).strip() for item in items) if isinstance(items, list) else frozenset()
    )
