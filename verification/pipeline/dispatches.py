"""Check the workflows that the jobs of a release dispatch with `gh workflow run`.

The options are those of the documentation of `gh` ("gh workflow run").
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.workflow import BadWorkflow, Event, Workflow, WorkflowInput
from verification.pipeline.contexts import known_text
from verification.pipeline.evaluated_jobs import evaluate_jobs
from verification.pipeline.expressions import Context, UnknownValue, fill, with_env
from verification.pipeline.shell import commands
from verification.pipeline.tasks import step_tasks
from verification.pipeline.triggers import decide
from verification.pipeline.workflow_causes import cause

_FIELDS = frozenset(("-f", "--raw-field", "-F", "--field"))
_REPOSITORY = frozenset(("-R", "--repo"))
_REF = frozenset(("-r", "--ref"))
_WITH_VALUE = _FIELDS | _REPOSITORY | _REF
_DEFAULT_BRANCH = "refs/heads/main"
_VERSION_TAG = re.compile(r"[\w.+/@-]*\d+\.\d[\w.+-]*")
"""A ref that a dispatch names in the form of a version. Another one is a branch."""
_TAG_INPUTS = ("tag_name", "tag", "automatic_release_tag")
"""The inputs with which the actions for releases get the tag."""
_THIS_REPOSITORY = frozenset(("", "$GITHUB_REPOSITORY", "${GITHUB_REPOSITORY}"))


class DispatchCommand(Model):
    """A command that dispatches a workflow."""

    name: str
    """The name of the file or of the workflow."""
    repository: str
    """The repository; empty for that of the job."""
    ref: str
    """The branch or tag; empty for the default branch."""
    inputs: Mapping[str, str]


class ChainedWorkflow(NamedTuple):
    """A workflow that the event or a job of the release starts."""

    name: str
    """The name of its file."""
    event: Event
    workflow: Workflow | None
    """None if it cannot be read."""


def workflow_chain(
    name: str,
    event: Event,
    read: Callable[[str], Workflow | None],
    *,
    repository: str = "",
    tag: str = "",
) -> tuple[ChainedWorkflow, ...]:
    """Return the workflow that the event starts, and each that a job dispatches with `gh`.

    ``name`` is its file, and ``read`` reads the file of a workflow. ``tag`` is the tag of the
    release if no workflow names another one.
    """
    pending, started = [(name, event)], dict[str, ChainedWorkflow]()
    while pending:
        name, event = pending.pop(0)
        if name in started:
            continue
        workflow = read(name)
        started[name] = ChainedWorkflow(name, event, workflow)
        if workflow:
            with contextlib.suppress(BadWorkflow):  # the examination of the file reports it
                tag = _named_tag(workflow, event, repository) or tag
                pending += dispatched_events(workflow, event, repository, tag)
    return tuple(started.values())


def _named_tag(workflow: Workflow, event: Event, repository: str) -> str:
    """Return the tag of the release page that a workflow creates; empty if it is not known.

    Raises:
        BadWorkflow: a condition fails when it is evaluated.
    """
    for run in evaluate_jobs(workflow, event, repository):
        context = run.combination_contexts()[0]
        for step in run.job.steps if run.decided.runs else ():
            if "create-release" not in step_tasks(step):
                continue
            names = [step.with_[name] for name in _TAG_INPUTS if name in step.with_]
            script = _filled(step.run or "", with_env(context, step.env))
            for words in commands(script, step.shell):
                if words[:3] == ("gh", "release", "create"):
                    names += [word for word in words[3:4] if not word.startswith("-")]
            for name in names:
                text = known_text(name, with_env(context, step.env))
                if text and "$" not in text:
                    return text.removeprefix("refs/tags/")
    return ""


def dispatched_events(
    workflow: Workflow, event: Event, repository: str, tag: str
) -> Iterator[tuple[str, Event]]:
    """Yield the file and the event of each dispatch that starts another workflow.

    A value that only a run gives counts as ``tag``, the tag of the release. Without a ref, GitHub
    uses the default branch.

    Raises:
        BadWorkflow: a condition fails when it is evaluated.
    """
    files = {file.path.name for file in workflow.others}
    for _, dispatch in _commands(workflow, event, repository):
        name = dispatch.name.rpartition("/")[2]
        if name in files and not _fault(workflow, dispatch):
            inputs = {key: tag if "$" in value else value for key, value in dispatch.inputs.items()}
            ref = _full_ref(dispatch.ref, tag)
            yield name, Event(name="workflow_dispatch", ref=ref, inputs=inputs, by_workflow=True)


def _full_ref(ref: str, tag: str) -> str:
    if not ref:
        return _DEFAULT_BRANCH
    if "$" in ref:
        return f"refs/tags/{tag}"
    if ref.startswith("refs/"):
        return ref
    is_tag = ref == tag or _VERSION_TAG.fullmatch(ref)
    return f"refs/tags/{ref}" if is_tag else f"refs/heads/{ref}"


def check_dispatches(workflow: Workflow, event: Event, repository: str = "") -> Iterator[Cause]:
    """Yield a cause for each dispatch in a release that starts no workflow of this repository.

    Not judged are a dispatch to another repository, and one whose name only a run gives.
    """
    for where, dispatch in _commands(workflow, event, repository):
        if "$" not in dispatch.name and (fault := _fault(workflow, dispatch)):
            message = f"dispatches {dispatch.name}: {fault}"
            yield cause("workflow-not-triggered", where, message, workflow=dispatch.name)


def _commands(
    workflow: Workflow, event: Event, repository: str
) -> Iterator[tuple[str, DispatchCommand]]:
    """Yield each dispatch in this repository that can run for the event, and its location."""
    for run in evaluate_jobs(workflow, event, repository):
        context = run.combination_contexts()[0]
        for step, decided in run.steps():
            if decided.runs is False or run.decided.runs is False or step.run is None:
                continue
            script = _filled(step.run, with_env(context, step.env))
            for words in commands(script, step.shell):
                if words[:3] != ("gh", "workflow", "run"):
                    continue
                dispatch = _dispatch(words[3:])
                if dispatch.repository in _THIS_REPOSITORY | {repository}:
                    yield run.location(step), dispatch


def _filled(script: str, context: Context) -> str:
    """Return a script in which the known expressions of each line have their values."""
    lines = []
    for line in script.splitlines():
        try:
            lines.append(fill(line, context))
        except (ValueError, UnknownValue):
            lines.append(line)
    return "\n".join(lines)


def _dispatch(words: tuple[str, ...]) -> DispatchCommand:
    names: list[str] = []
    values: dict[str, list[str]] = {}
    pending = iter(words)
    for word in pending:
        option, has_value, value = word.partition("=")
        if option in _WITH_VALUE:
            values.setdefault(option, []).append(value if has_value else next(pending, ""))
        elif not word.startswith("-"):
            names.append(word)
    fields = [text.partition("=") for option in _FIELDS for text in values.get(option, [])]
    repositories = [text for option in _REPOSITORY for text in values.get(option, [])]
    refs = [text for option in _REF for text in values.get(option, [])]
    return DispatchCommand(
        name=names[0] if names else "$",
        repository=repositories[-1] if repositories else "",
        ref=refs[-1] if refs else "",
        inputs={name: value for name, _, value in fields},
    )


def _fault(workflow: Workflow, dispatch: DispatchCommand) -> str:
    """Return why a dispatch starts no workflow, or ""."""
    files = (workflow, *workflow.others)
    names = {file.path.name: file for file in files} | {file.name: file for file in files}
    target = names.get(dispatch.name.rpartition("/")[2]) or names.get(dispatch.name)
    if target is None:
        workflows = ", ".join(file.path.name for file in files)
        return f"the repository has no such workflow; its workflows are: {workflows}"
    trigger = target.on.get("workflow_dispatch")
    inputs = {
        name: _known(value, trigger.inputs.get(name) if trigger else None)
        for name, value in dispatch.inputs.items()
    }
    event = Event(name="workflow_dispatch", inputs=inputs, by_workflow=True)
    decision = decide(target, event)
    return "" if decision else decision.reason


def _known(value: str, declared: WorkflowInput | None) -> str:
    """Return the value of an input. Replace a value that only a run gives by an accepted one."""
    if "$" not in value or declared is None:
        return value
    if declared.type == "boolean":
        return "true"
    return declared.options[0] if declared.options else value
