"""Decide which jobs and steps of a workflow run for an event, if every job that runs passes.

The rules are from GitHub's documentation ("Using conditions to control job execution", "Using jobs
in a workflow", "Contexts").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import JsonValue

from verification.models.base import Model
from verification.models.hosted_runners import hosted_runner
from verification.models.workflow import (
    BadWorkflow,
    Combination,
    Event,
    RunningJob,
    Workflow,
    WorkflowJob,
    WorkflowStep,
)
from verification.models.workflow_file import combinations_of
from verification.pipeline.expressions import (
    BadExpression,
    Context,
    UnknownValue,
    evaluated,
    event_context,
    fill,
    holds,
    typed_inputs,
    with_env,
)
from verification.pipeline.workflow_causes import step_location


class Condition(Model):
    """An `if` that decides whether something runs."""

    where: str
    """The job or step with the `if`, as `file:line (job)`."""
    text: str
    unknown: str = ""
    """The value that is not known before the run; empty if the condition is false."""


class Decided(Model):
    """Whether a job or step runs."""

    runs: bool | None
    """None if it depends on a value that only a run gives."""
    because: tuple[Condition, ...] = ()
    """The conditions that are false or not known; empty if it runs."""


class EvaluatedJob(Model):
    """A job of a run, with the contexts of its expressions."""

    running: RunningJob
    decided: Decided
    context: Context
    """The contexts without those of its matrix and its steps."""
    before: frozenset[tuple[str, ...]]
    """The keys of the jobs that end before it starts."""

    @property
    def key(self) -> tuple[str, ...]:
        """The ids of the jobs that call its workflow, and its own id."""
        return (*(caller.id for caller in self.running.callers), self.job.id)

    @property
    def job(self) -> WorkflowJob:
        """The job."""
        return self.running.job

    def location(self, step: WorkflowStep | None = None) -> str:
        """Return the start of the job or of one of its steps."""
        return step_location(self.running.workflow, self.job, step)

    def combination_contexts(self) -> tuple[Context, ...]:
        """Return the contexts of each combination of its matrix.

        A combination that is not known gives one context in which `matrix` is not known.
        """
        combinations = known_combinations(self.job, self.context)
        if combinations is None:
            return (self.context,)
        total = len(combinations)
        contexts = []
        for number, combination in enumerate(combinations):
            strategy: JsonValue = {"job-index": number, "job-total": total}
            known = self.context.extended(
                ("strategy",), matrix=dict(combination), strategy=strategy
            )
            contexts.append(with_env(_with_runner(self.job, number, known), self.job.env))
        return tuple(contexts)

    def steps(self) -> Iterator[tuple[WorkflowStep, Decided]]:
        """Yield each step, and whether it runs in a combination of the matrix."""
        contexts = [context.extended(steps={}) for context in self.combination_contexts()]
        for step in self.job.steps:
            where = self.location(step)
            decisions = [
                decide_condition(step.condition, with_env(context, step.env), where)
                for context in contexts
            ]
            yield step, _any_of(decisions)
            if step.id:
                contexts = [
                    _with_step(context, step.id, decision)
                    for context, decision in zip(contexts, decisions, strict=True)
                ]


def evaluate_jobs(
    workflow: Workflow, event: Event, repository: str = ""
) -> tuple[EvaluatedJob, ...]:
    """Return the jobs of a run that an event starts, in an order in which they can run.

    The jobs of a called workflow replace the call, once for each combination of the matrix of the
    calling job. ``repository`` is OWNER/NAME, if it is known.

    Raises:
        BadWorkflow: a condition fails when it is evaluated.
    """
    context = event_context(event, workflow, repository)
    return tuple(_evaluate_jobs(workflow, context, (), _Caller(Decided(runs=True), frozenset())))


def known_combinations(job: WorkflowJob, context: Context) -> tuple[Combination, ...] | None:
    """Return the combinations of a job's matrix; None if they are not known before the run."""
    if job.matrix is None:
        return job.combinations
    try:
        return combinations_of(evaluated(job.matrix, context))
    except (BadExpression, UnknownValue, ValueError):
        return None


def runner_labels(job: WorkflowJob, number: int, context: Context) -> str:
    """Return the labels of the runner for a combination of the matrix, separated by commas.

    Raises:
        BadExpression: GitHub refuses the expression.
        UnknownValue: it depends on a value that is not known before the run.
    """
    if not job.runs_on:
        return ""
    labels = evaluated(job.runs_on[min(number, len(job.runs_on) - 1)], context)
    if isinstance(labels, dict):
        labels = labels.get("labels") or labels.get("group")
    return ", ".join(map(str, labels)) if isinstance(labels, list) else str(labels)


def decide_condition(condition: str | None, context: Context, where: str) -> Decided:
    """Decide whether a job or step with this `if` runs.

    Raises:
        BadWorkflow: the condition fails when it is evaluated.
    """
    text = "success()" if condition is None else condition
    try:
        if holds(text, context):
            return Decided(runs=True)
        return Decided(runs=False, because=(Condition(where=where, text=text),))
    except UnknownValue as error:
        unknown = Condition(where=where, text=text, unknown=error.name)
        return Decided(runs=None, because=(unknown,))
    except BadExpression as error:
        location = where.partition(" ")[0]
        raise BadWorkflow(f"{location}: `if: {text}` fails: {error}") from None


class _Caller(NamedTuple):
    """What a called workflow inherits from the job that calls it."""

    decided: Decided
    before: frozenset[tuple[str, ...]]


def _evaluate_jobs(
    workflow: Workflow, context: Context, callers: tuple[WorkflowJob, ...], caller: _Caller
) -> Iterator[EvaluatedJob]:
    ids = tuple(job.id for job in callers)
    decisions: dict[str, Decided] = {}
    for job in in_order(workflow):
        known = _with_needs(context, workflow, job, decisions)
        decision = _decide_job(workflow, job, decisions, known)
        decisions[job.id] = decision
        decided = both(caller.decided, decision)
        before = caller.before.union((*ids, name) for name in workflow.jobs_before(job.id))
        running = RunningJob(job=job, workflow=workflow, callers=callers)
        run = EvaluatedJob(running=running, decided=decided, context=known, before=before)
        if inner := workflow.called.get(job.id):
            for combination in run.combination_contexts():
                called = _of_call(combination, job, inner)
                yield from _evaluate_jobs(inner, called, (*callers, job), _Caller(decided, before))
        else:
            yield run


def in_order(workflow: Workflow) -> Iterator[WorkflowJob]:
    """Yield the jobs of a file, each after the jobs that it needs."""
    waiting = dict(workflow.jobs)
    while waiting:
        ready = [job for job in waiting.values() if not waiting.keys() & set(job.needs)]
        for job in ready:
            yield waiting.pop(job.id)


def _decide_job(
    workflow: Workflow, job: WorkflowJob, decisions: Mapping[str, Decided], context: Context
) -> Decided:
    """Decide whether a job runs. ``decisions`` has those of the jobs before it.

    A job without a status function in its condition is skipped with any job before it.
    """
    before = [decisions[name] for name in sorted(workflow.jobs_before(job.id))]
    skipped = [decision for decision in before if decision.runs is False]
    unknown = [decision for decision in before if decision.runs is None]
    where = step_location(workflow, job)
    decided = decide_condition(job.condition, context, where)
    after_skip = decide_condition(
        job.condition, context.model_copy(update={"status": "skipped"}), where
    )
    if skipped and after_skip.runs is False and decided.runs is not False:
        return Decided(runs=False, because=_conditions(skipped))
    if skipped:
        return after_skip
    if unknown and decided.runs and after_skip.runs is not True:
        return Decided(runs=None, because=_conditions(unknown))
    return decided


def _conditions(decisions: Iterable[Decided]) -> tuple[Condition, ...]:
    conditions = (condition for decision in decisions for condition in decision.because)
    return tuple(dict.fromkeys(conditions))


def both(first: Decided, second: Decided) -> Decided:
    """Return whether something runs that needs both decisions."""
    for decision in (first, second):
        if decision.runs is False:
            return decision
    if first.runs and second.runs:
        return first
    return Decided(runs=None, because=_conditions((first, second)))


def _any_of(decisions: Iterable[Decided]) -> Decided:
    """Return whether something runs in at least one case."""
    cases = list(decisions)
    for runs in (True, None):
        if matching := [decision for decision in cases if decision.runs is runs]:
            return matching[0]
    return cases[0]


def _with_needs(
    context: Context, workflow: Workflow, job: WorkflowJob, decisions: Mapping[str, Decided]
) -> Context:
    """Return the context of a job: `github.job`, `needs` and `env`."""
    needs: dict[str, JsonValue] = {}
    unknown = []
    for name in job.needs:
        decision = decisions[name]
        unknown.append(f"needs.{name}.outputs" if decision.runs is not None else f"needs.{name}")
        results: dict[bool | None, dict[str, JsonValue]] = {
            True: {"result": "success", "outputs": {}},
            False: {"result": "skipped", "outputs": {}},
            None: {},
        }
        needs[name] = results[decision.runs]
    github = context.values.get("github")
    known = context.extended(
        (name.lower() for name in unknown),
        needs=needs,
        github={**(github if isinstance(github, dict) else {}), "job": job.id},
    )
    return with_env(known, workflow.env)


def _of_call(context: Context, job: WorkflowJob, called: Workflow) -> Context:
    """Return the context of a workflow that a job calls, with the inputs of the call."""
    declared = called.on["workflow_call"].inputs if "workflow_call" in called.on else {}
    passed = {name.lower(): text for name, text in job.with_.items()}
    chosen: dict[str, str] = {}
    unknown: set[str] = set()
    for name, item in declared.items():
        try:
            chosen[name] = fill(passed.get(name.lower(), item.default_text), context)
        except (BadExpression, UnknownValue):
            unknown.add(name)
    inputs = typed_inputs(declared, chosen)
    known = {name: value for name, value in inputs.items() if name not in unknown}
    values = {name: context.values[name] for name in ("github",) if name in context.values}
    return Context(
        values={**values, "inputs": known},
        unknown=frozenset({*context.unknown, *(["inputs"] if unknown else [])}),
    )


def _with_runner(job: WorkflowJob, number: int, context: Context) -> Context:
    try:
        label = runner_labels(job, number, context)
    except (BadExpression, UnknownValue):
        return context
    runner = hosted_runner(label)
    return context.extended(("runner",), runner={**runner.context} if runner else {})


def _with_step(context: Context, id_: str, decided: Decided) -> Context:
    """Return a context in which the result of a step is known, as far as it is."""
    earlier = context.values.get("steps")
    steps = dict(earlier) if isinstance(earlier, dict) else {}
    name = f"steps.{id_}".lower()
    if decided.runs is None:
        return context.extended((name,), steps={**steps, id_: {}})
    result = "success" if decided.runs else "skipped"
    values: JsonValue = {"outcome": result, "conclusion": result, "outputs": {}}
    return context.extended((f"{name}.outputs",), steps={**steps, id_: values})
