"""Check the events that start a release workflow, its conditions, and what can interrupt it.

Expressions are evaluated with the event of the release, as if every job that runs passes. What only
a run can decide is the cause `not-evaluated`.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from pydantic import JsonValue

from verification.models.cause import Cause
from verification.models.workflow import (
    BadWorkflow,
    Concurrency,
    Event,
    Pattern,
    Task,
    Trigger,
    Workflow,
    WorkflowJob,
    WorkflowStep,
)
from verification.pipeline.evaluated_jobs import (
    Condition,
    Decided,
    EvaluatedJob,
    both,
    evaluate_jobs,
    runner_labels,
)
from verification.pipeline.expressions import (
    BadExpression,
    Context,
    UnknownValue,
    event_context,
    fill,
    holds,
    uses_status,
    with_env,
)
from verification.pipeline.job_failures import checks_results, context_after
from verification.pipeline.publishing import uses_default_index
from verification.pipeline.tasks import step_tasks, tasks_of
from verification.pipeline.triggers import decide
from verification.pipeline.workflow_causes import cause, possible_cause

_NEEDED: tuple[Task, ...] = ("build", "merge", "publish", "dispatch")
"""The tasks without which a release does not reach its users. A skipped one is *broken*."""
_OTHERS: tuple[Task, ...] = ("check-version", "create-release", "attest")
_CHECKED: frozenset[Task] = frozenset(("build", "check-version", "merge", "publish"))
"""The tasks whose failure must end the release."""
_FOREIGN = frozenset(
    (
        "discussion",
        "discussion_comment",
        "fork",
        "issue_comment",
        "issues",
        "pull_request_review",
        "pull_request_review_comment",
        "pull_request_target",
        "watch",
    )
)
"""Events that everyone can cause, and whose jobs have the token of the repository."""
_UNREVIEWED = frozenset(("create", "delete", "merge_group", "schedule", "workflow_run"))
"""Other events that start a release without a decision to release."""
_FOREIGN_CODE = re.compile(
    r"pull_request\.(?:head|number)|\bhead_ref\b|refs/pull/|event\.(?:number|issue\.number)"
    r"|\bgh\s+pr\s+checkout\b"
)
"""A checkout of the code of a pull request."""
_TRANSFERS = ("actions/checkout", "actions/download-artifact", "actions/upload-artifact")
_PUBLISHING: frozenset[Task] = frozenset(("create-release", "publish"))
_OTHER_TAG = "refs/tags/not-a-version"
_BRANCH = re.compile(r"refs/heads/|\bgithub\.ref_name\b")
"""A condition that compares the branch."""
_INPUT = re.compile(r"\binputs[.\[]")


_Part: TypeAlias = tuple[Task, tuple[str, ...]]
"""A task of the whole release, or of one job, which the key names."""


Built: TypeAlias = Callable[[EvaluatedJob, int], frozenset[str]]
"""The required platforms that a combination of a job may build, by its number."""
_ONE_PLATFORM = frozenset(("",))
"""One platform of any name, which each build may build."""


class _Work(NamedTuple):
    """A step or a job with tasks."""

    run: EvaluatedJob
    tasks: frozenset[Task]
    decided: Decided
    is_elsewhere: bool
    """Whether it publishes to another index than the default one."""


def check_triggers(workflow: Workflow, event: Event, repository: str = "") -> Iterator[Cause]:
    """Yield a cause if the event of the release starts no run, and for each other that publishes.

    ``repository`` is OWNER/NAME; empty if it is not known.

    Raises:
        BadWorkflow: a filter is not a valid pattern of GitHub, or a condition fails.
    """
    if not (decision := decide(workflow, event)):
        where = workflow.location(workflow.lines["on"])
        what = f"{event.name} {event.ref}".strip()
        message = f"{what} does not start the workflow: {decision.reason}"
        yield cause("workflow-not-triggered", where, message, event=event.name, ref=event.ref)
    for file in workflow.files:
        for trigger in file.on.values():
            for other in _other_events(trigger, event):
                if decide(file, other):
                    yield from _trigger_causes(file, trigger, other, repository)


def _other_events(trigger: Trigger, event: Event) -> Iterator[Event]:
    """Yield an example of each event that is not the release and that could publish."""
    base = _example(trigger, "branches")
    changed = (_example(trigger, "paths"),)
    if trigger.event.startswith("pull_request"):
        yield Event(name=trigger.event, ref="refs/pull/1/merge", base=base, changed=changed)
    elif trigger.event == "push":
        if event.name != "push" or not event.ref.startswith("refs/heads/"):
            yield Event(ref=f"refs/heads/{base}", changed=changed)
        yield Event(ref=_OTHER_TAG)
    elif trigger.event in _FOREIGN | _UNREVIEWED and trigger.event != event.name:
        yield Event(name=trigger.event, ref="refs/heads/main", base=base)


def _example(trigger: Trigger, kind: str) -> str:
    """Return a name that a filter includes; `main` if it has none."""
    patterns = trigger.filters.get(kind, (Pattern(text="main", line=0),))
    included = (pattern.text for pattern in patterns if not pattern.text.startswith("!"))
    # A class becomes its first character, and a wildcard becomes a letter.
    text = re.sub(r"\[(.)[^\]]*\]", r"\1", next(included, "main"))
    return re.sub(r"\*+", "x", text).translate({ord("+"): None, ord("?"): None})


def _trigger_causes(
    file: Workflow, trigger: Trigger, event: Event, repository: str
) -> Iterator[Cause]:
    where = file.location(trigger.line)
    runs = evaluate_jobs(file, event, repository)
    works = list(_works(runs))
    publishing = [
        work.decided for work in works if "publish" in work.tasks and not work.is_elsewhere
    ]
    checks = _performers(works, "check-version")
    if event.ref == _OTHER_TAG and any(decided.runs for decided in checks):
        return
    if any(decided.runs for decided in publishing):
        what = f"a push of {event.ref}" if event.name == "push" else f"the event {event.name}"
        message = f"{what} reaches the job that publishes"
        make = cause if event.name in _FOREIGN and _runs_foreign_code(runs) else possible_cause
        yield make("untrusted-trigger", where, message, event=event.name, ref=event.ref)
    elif event.name in _FOREIGN:
        for condition in dict.fromkeys(c for decided in publishing for c in decided.because):
            if condition.unknown:
                text = f"if: {condition.text}"
                yield _not_evaluated(condition.where, text, condition.unknown)


def _runs_foreign_code(runs: Iterable[EvaluatedJob]) -> bool:
    """Return whether a job of the release checks out the code of a pull request."""
    return any(
        _FOREIGN_CODE.search(text)
        for run in _relevant(runs)
        for step in run.job.steps
        for text in (step.run or "", *(step.with_.values() if step.uses else ()))
    )


def check_conditions(
    workflow: Workflow, event: Event, repository: str = "", built: Built = lambda *_: _ONE_PLATFORM
) -> Iterator[Cause]:
    """Yield a cause for each task that a condition skips, and each failure that does not stop it.

    Only the jobs with a task for the release and the jobs that they need count. ``built`` returns
    the tags of the required platforms that a combination of a job may build, by its number.

    Raises:
        BadWorkflow: a condition fails when it is evaluated.
    """
    runs = evaluate_jobs(workflow, event, repository)
    causes = [*_skipped(runs, event)]
    relevant = _relevant(runs)
    lost = _lost_platforms(relevant, built)
    for run in relevant:
        causes += [*_runner_causes(run), *_ignored(run, built, lost), *_after_failure(run, runs)]
    # A called workflow runs once for each combination of the calling job.
    yield from {(cause.name, cause.where, cause.message): cause for cause in causes}.values()


def _relevant(runs: Iterable[EvaluatedJob]) -> list[EvaluatedJob]:
    """Return the jobs that run for the event and have a task, and the jobs before them."""
    running = [run for run in runs if run.decided.runs is not False]
    working = [run for run in running if _tasks(run)]
    needed = {run.key for run in working}.union(*(run.before for run in working))
    return [run for run in running if any(run.key[: len(key)] == key for key in needed)]


def _tasks(run: EvaluatedJob) -> frozenset[Task]:
    """Return the tasks of a job, without uploads to another index than the default one."""
    tasks = set(tasks_of(run.job))
    if all(
        _is_elsewhere(step, run) for step in run.job.steps if "publish" in _step_tasks(step, run)
    ):
        tasks.discard("publish")
    return frozenset(tasks)


def _is_elsewhere(step: WorkflowStep, run: EvaluatedJob) -> bool:
    """Return whether a step that publishes uses another index than the default one."""
    context = with_env(run.combination_contexts()[0], step.env)
    return uses_default_index(run.running, step, context) is False


def _step_tasks(step: WorkflowStep, run: EvaluatedJob) -> frozenset[Task]:
    return step_tasks(step, run.job.env)


def _works(runs: Iterable[EvaluatedJob]) -> Iterator[_Work]:
    """Yield each step with a task, and each job with a task that no step shows."""
    for run in runs:
        rest = tasks_of(run.job)
        for step, decided in run.steps() if rest else ():
            if tasks := _step_tasks(step, run):
                is_elsewhere = "publish" in tasks and _is_elsewhere(step, run)
                yield _Work(run, tasks, both(run.decided, decided), is_elsewhere)
                rest -= tasks
        if rest:
            yield _Work(run, rest, run.decided, is_elsewhere=False)


def skipping_input(workflow: Workflow, event: Event) -> str:
    """Return the condition on an input of a dispatch that skips all publishing, or "".

    Raises:
        BadWorkflow: a condition fails when it is evaluated.
    """
    decisions = _performers(list(_works(evaluate_jobs(workflow, event))), "publish")
    if any(decided.runs is not False for decided in decisions):
        return ""
    false = (condition.text for decided in decisions for condition in decided.because)
    return next((text for text in false if _INPUT.search(text)), "")


def _performers(works: Iterable[_Work], task: Task) -> list[Decided]:
    """Return whether each step and job with a task runs.

    Uploads to another index than the default one count only if there are no others.
    """
    performing = [work for work in works if task in work.tasks]
    default = [work.decided for work in performing if not work.is_elsewhere]
    return default or [work.decided for work in performing]


def _skipped(runs: tuple[EvaluatedJob, ...], event: Event) -> Iterator[Cause]:
    """Yield a cause for each condition that keeps a task of the release from running."""
    works = list(_works(runs))
    performed: dict[_Part, list[Decided]] = {
        (task, ()): _performers(works, task) for task in (*_NEEDED, *_OTHERS)
    }
    if event.name == "release":
        del performed["create-release", ()]
    if performed["publish", ()]:
        del performed["dispatch", ()]
    performed |= _separate_uploads(works)
    causes: dict[Condition, Cause] = {}
    for (task, _), decisions in performed.items():
        if any(decided.runs for decided in decisions):
            continue
        is_unknown = any(decided.runs is None for decided in decisions)
        # The person who starts a dispatch chooses its branch. The release may be on another one.
        is_certain = event.name != "workflow_dispatch" or not any(
            _BRANCH.search(condition.text) for decided in decisions for condition in decided.because
        )
        for condition in (
            condition
            for decided in decisions
            for condition in decided.because
            if bool(condition.unknown) == is_unknown
        ):
            causes.setdefault(condition, _skip_cause(condition, task, is_certain=is_certain))
    yield from causes.values()


def _separate_uploads(works: Iterable[_Work]) -> dict[_Part, list[Decided]]:
    """Return whether the uploads of each job run that alone can publish the files it builds."""
    uploads = [work for work in works if "publish" in work.tasks and not work.is_elsewhere]
    builders = {
        work.run.key: work.run for work in works if "build" in work.tasks and work.decided.runs
    }
    collected = frozenset[tuple[str, ...]]().union(
        *(work.run.before for work in uploads if work.decided.runs)
    )
    decisions: dict[_Part, list[Decided]] = {}
    for work in uploads:
        if work.run.key in builders.keys() - collected:
            decisions.setdefault(("publish", work.run.key), []).append(work.decided)
    return decisions


def _skip_cause(condition: Condition, task: Task, *, is_certain: bool) -> Cause:
    if condition.unknown:
        return _not_evaluated(condition.where, f"if: {condition.text}", condition.unknown)
    message = f"`if: {condition.text}` is false for the event of the release, so no {task} runs"
    make = cause if task in _NEEDED and is_certain else possible_cause
    return make("job-skipped", condition.where, message, condition=condition.text, task=task)


def _not_evaluated(where: str, text: str, unknown: str) -> Cause:
    message = f"`{text}` needs {unknown}, which only a run gives"
    return cause("not-evaluated", where, message, expression=text, unknown=unknown)


def _runner_causes(run: EvaluatedJob) -> Iterator[Cause]:
    """Yield a cause if the runner of a job is not known before the run."""
    try:
        for number, context in enumerate(run.combination_contexts()):
            runner_labels(run.job, number, context)
    except UnknownValue as error:
        yield _not_evaluated(run.location(), f"runs-on: {run.job.runs_on[0]}", error.name)
    except BadExpression as error:
        raise BadWorkflow(f"{run.location().partition(' ')[0]}: `runs-on`: {error}") from None


def _lost_platforms(runs: Iterable[EvaluatedJob], built: Built) -> frozenset[str]:
    """Return the platforms without a wheel if each build fails whose failure is ignored."""
    lost, kept = set[str](), set[str]()
    for run in runs:
        builds = [step for step in run.job.steps if "build" in _step_tasks(step, run)]
        for number, context in enumerate(run.combination_contexts() if builds else ()):
            is_ignored = _is_ignored(run.job, context) or any(
                _is_ignored(step, context) for step in builds
            )
            (lost if is_ignored else kept).update(built(run, number))
    return frozenset(lost - kept)


def _is_ignored(part: WorkflowJob | WorkflowStep, context: Context) -> bool:
    try:
        return _switch(part.continue_on_error or "", with_env(context, part.env))
    except (BadExpression, UnknownValue):
        return False


def _ignored(run: EvaluatedJob, built: Built, lost: frozenset[str]) -> Iterator[Cause]:
    """Yield a cause for each failure of a job or a step that does not end the release."""
    contexts = run.combination_contexts()
    needed = [bool(built(run, number) & lost) for number in range(len(contexts))]
    yield from _ignored_causes(run.job, run.location(), contexts, _tasks(run), needed)
    for step in run.job.steps:
        work = _step_tasks(step, run)
        if work == {"publish"} and _is_elsewhere(step, run):
            continue
        if work or step.run is not None or step.action in _TRANSFERS:
            where = run.location(step)
            yield from _ignored_causes(step, where, contexts, work, needed)


def _ignored_causes(
    part: WorkflowJob | WorkflowStep,
    where: str,
    contexts: Iterable[Context],
    work: frozenset[Task],
    needed: Iterable[bool],
) -> Iterator[Cause]:
    """Yield a cause if the failure of a job or a step is ignored.

    ``needed`` has for each context whether it builds a platform that no other build gives.
    """
    text = part.continue_on_error
    if text is None:
        return
    try:
        ignored = [_switch(text, with_env(context, part.env)) for context in contexts]
    except UnknownValue as error:
        yield _not_evaluated(where, f"continue-on-error: {text}", error.name)
        return
    except BadExpression as error:
        raise BadWorkflow(f"{where.partition(' ')[0]}: `continue-on-error`: {error}") from None
    if any(ignored):
        message = f"may fail without a failed run: `continue-on-error: {text}`"
        loses = "build" in work and any(map(operator.and_, ignored, needed))
        hides = work & (_CHECKED - {"build"}) and all(ignored)
        yield (cause if loses or hides else possible_cause)("failure-ignored", where, message)


def _switch(text: str, context: Context) -> bool:
    return fill(text, context).strip().lower() == "true"


def _after_failure(run: EvaluatedJob, runs: Iterable[EvaluatedJob]) -> Iterator[Cause]:
    """Yield a cause if a job or step publishes or makes the release page after a failure.

    The release can then be incomplete or wrong if the failed part builds or checks it.
    """
    if not _tasks(run) & _PUBLISHING:
        return
    condition = run.job.condition
    if condition is not None and uses_status(condition):
        ignored = [
            name
            for name in sorted(run.running.workflow.jobs_before(run.job.id))
            if _can_fail((*run.key[:-1], name), runs) and _publishes_after(run, condition, name)
        ]
        checked = {name for name in ignored if _is_checked((*run.key[:-1], name), runs)}
        for name in sorted(ignored, key=lambda name: name not in checked)[:1]:
            message = f"runs after a failure of {name}: `if: {condition}`"
            facts = {"condition": condition, "job": run.job.id, "other": name}
            make = cause if checked else possible_cause
            yield make("job-order", run.location(), message, **facts)
    yield from _steps_after_failure(run)


def _steps_after_failure(run: EvaluatedJob) -> Iterator[Cause]:
    failed = run.context.model_copy(update={"status": "failure"})
    earlier: frozenset[Task] = frozenset()
    for number, (step, decided) in enumerate(run.steps()):
        work, condition = _step_tasks(step, run), step.condition or "success()"
        publishes = number and work & _PUBLISHING and decided.runs is not False
        if publishes and uses_status(condition) and _is_true_after(condition, failed):
            message = f"runs after a failed step: `if: {condition}`"
            facts = {"condition": condition, "job": run.job.id}
            make = cause if earlier & _CHECKED else possible_cause
            yield make("job-order", run.location(step), message, **facts)
        earlier |= work


def _publishes_after(run: EvaluatedJob, condition: str, failed: str) -> bool:
    """Return whether a job runs and reaches its publishing step after a job before it failed."""
    context = context_after(run, failed)
    earlier = list(
        itertools.takewhile(lambda step: not _step_tasks(step, run) & _PUBLISHING, run.job.steps)
    )
    known = with_env(context, run.job.env)
    return _is_true_after(condition, context) and not checks_results(earlier, known)


def _can_fail(key: tuple[str, ...], runs: Iterable[EvaluatedJob]) -> bool:
    """Return whether a job, or a job of the workflow that it calls, can run."""
    return any(run.decided.runs is not False for run in runs if run.key[: len(key)] == key)


def _is_checked(key: tuple[str, ...], runs: Iterable[EvaluatedJob]) -> bool:
    """Return whether a job, or a job of the workflow that it calls, builds or checks."""
    return any(_tasks(run) & _CHECKED for run in runs if run.key[: len(key)] == key)


def _is_true_after(condition: str, context: Context) -> bool:
    try:
        return holds(condition, context)
    except (BadExpression, UnknownValue):
        return False


def check_interruption(workflow: Workflow, event: Event, repository: str = "") -> Iterator[Cause]:
    """Yield a cause for each concurrency group in which a later release ends this one.

    GitHub keeps one running and one waiting run of a group, unless it has `queue: max`.

    Raises:
        BadWorkflow: a condition or a group fails when it is evaluated.
    """
    runs = _relevant(evaluate_jobs(workflow, event, repository))
    context = event_context(event, workflow, repository)
    yield from _group_causes(workflow, workflow.concurrency, context)
    for run in runs:
        yield from _group_causes(run.running.workflow, run.job.concurrency, run.context)


def _group_causes(
    workflow: Workflow, group: Concurrency | None, context: Context
) -> Iterator[Cause]:
    if group is None:
        return
    where = workflow.location(group.line)
    cancels = group.cancel_in_progress
    try:
        first, second = (fill(group.group, _of_release(context, name)) for name in ("1", "2"))
        if first != second:
            return
        if _switch(cancels, context):
            message = f"has `cancel-in-progress: {cancels}`, so a later release ends this one"
        elif group.queue == "max":
            return
        else:
            message = f"has one group for all releases ({group.group}), and GitHub keeps only one"
            message += " waiting run of a group"
        yield cause("release-interrupted", where, message, group=group.group)
    except UnknownValue as error:
        yield _not_evaluated(where, f"concurrency: {group.group}", error.name)
    except BadExpression as error:
        raise BadWorkflow(f"{where}: `concurrency`: {error}") from None


def _of_release(context: Context, name: str) -> Context:
    """Return the context of a release with another tag, commit and number of the run.

    A release that is started from a branch has the same ref as the next one.
    """
    github = context.values.get("github")
    values = dict(github) if isinstance(github, dict) else {}
    changed: dict[str, JsonValue] = {"sha": name, "run_id": name, "run_number": name}
    ref = str(values.get("ref", ""))
    if ref.startswith("refs/tags/"):
        changed |= {"ref": f"refs/tags/{name}", "ref_name": name}
        changed["event"] = _replaced(
            values.get("event"), {ref: f"refs/tags/{name}", ref.removeprefix("refs/tags/"): name}
        )
    return context.extended(github={**values, **changed})


def _replaced(value: JsonValue, texts: Mapping[str, str]) -> JsonValue:
    """Return data in which the texts are replaced that are equal to a key of ``texts``."""
    match value:
        case dict():
            return {key: _replaced(item, texts) for key, item in value.items()}
        case str():
            return texts.get(value, value)
        case _:
            return value
