"""Decide whether an event starts a workflow, by GitHub's documented rules for `on`.

act starts each workflow for each event, but GitHub does not. The sources are "Workflow syntax for
GitHub Actions" (`on`, "Filter pattern cheat sheet"), "Events that trigger workflows" and "Skipping
workflow runs", as published in 2026.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from verification.models.dispatch import complete_inputs
from verification.models.workflow import (
    BadWorkflow,
    Decision,
    Event,
    Pattern,
    Trigger,
    Workflow,
)

_MAX_TAGS_PER_PUSH = 3
"""The largest number of tags in one push for which GitHub creates events."""

_TAG = "refs/tags/"
_BRANCH = "refs/heads/"
_PULL_REQUESTS = {"pull_request", "pull_request_target"}
_WITH_BASE = {*_PULL_REQUESTS, "merge_group", "workflow_run"}
_FROM_DEFAULT_BRANCH = {"repository_dispatch", "schedule", "workflow_dispatch", "workflow_run"}
"""The events for which GitHub reads `on` from the file of the default branch (its documentation,
"Events that trigger workflows")."""
_PATTERN_FILTERS = {
    f"{kind}{suffix}" for kind in ("branches", "tags", "paths") for suffix in ("", "-ignore")
} | {"workflows"}
_PULL_REQUEST_TYPES = ("opened", "synchronize", "reopened")
_SKIP = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE)
_SKIP_TRAILER = re.compile(r"\n\n\s*(?:.+\n)*skip-checks: ?true\s*\Z", re.IGNORECASE)
_RANGE = re.compile(r"[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]")


def decide(workflow: Workflow, event: Event) -> Decision:
    """Decide whether an event starts a workflow, whose file is the one at the event's ref.

    Raises:
        BadWorkflow: a filter of the event has an invalid pattern.
    """
    trigger = workflow.on.get(event.name)
    if trigger is None:
        events = ", ".join(workflow.on) or "no event"
        return _no(f"`on` has {events}, not {event.name}")
    for key in _PATTERN_FILTERS & trigger.filters.keys():
        for pattern in trigger.filters[key]:
            compiled(workflow, pattern)
    if event.by_workflow and event.name not in ("workflow_dispatch", "repository_dispatch"):
        return _no("events that a job causes with GITHUB_TOKEN start no workflow")
    if event.name in _FROM_DEFAULT_BRANCH and not event.on_default_branch:
        return _no(
            f"GitHub reads `on.{event.name}` from the default branch, which has no such file"
        )
    match event.name:
        case "push":
            return _decide_push(workflow, trigger, event)
        case "workflow_call":
            return _no("only a job that calls the workflow starts it")
        case "workflow_dispatch":
            return _decide_dispatch(trigger, event)
        case _:
            return _decide_type(workflow, trigger, event)


def decide_patterns(workflow: Workflow, patterns: Iterable[Pattern], name: str) -> bool:
    """Return whether a list of patterns includes a name. The last matching pattern decides."""
    included = False
    for pattern in patterns:
        if compiled(workflow, pattern).fullmatch(name):
            included = not pattern.text.startswith("!")
    return included


def compiled(workflow: Workflow, pattern: Pattern) -> re.Pattern[str]:
    """Return a pattern, without its `!`, as a regular expression for the complete name.

    Raises:
        BadWorkflow: the pattern is invalid. The message has file and line.
    """
    try:
        return compile_pattern(pattern.text.removeprefix("!"))
    except ValueError as error:
        where = f"{workflow.path}:{pattern.line}"
        raise BadWorkflow(f"{where}: the pattern {pattern.text!r} {error}") from None


@functools.cache
def compile_pattern(text: str) -> re.Pattern[str]:
    r"""Return a filter pattern as a regular expression.

    - `*` matches any characters except a slash, `**` matches any characters.
    - `?` matches the previous character or nothing, `+` matches it once or more often.
    - `[...]` matches one of the letters or digits in it.
    - `\` makes the next character literal.
    - `**/` at the start or after a slash also matches no folder.

    Raises:
        ValueError: the text is not a pattern. The message completes "the pattern ...".
    """
    if not text:
        raise ValueError("is empty")
    return re.compile("".join(_pieces(text)), re.DOTALL)


def _pieces(text: str) -> Iterator[str]:
    position = 0
    repeatable = False  # True after a character that + or ? can repeat
    while position < len(text):
        char = text[position]
        match char:
            case "*" if text.startswith("**/", position) and text[:position][-1:] in ("", "/"):
                yield "(?:.*/)?"
                position, repeatable = position + 3, False
                continue
            case "*" if text.startswith("**", position):
                yield ".*"
                position, repeatable = position + 2, False
                continue
            case "*":
                yield "[^/]*"
                repeatable = False
            case "?" | "+":
                if not repeatable:
                    raise ValueError(f"has a {char} that does not follow a character to repeat")
                yield char
                repeatable = False
            case "[":
                end = text.find("]", position)
                if end < 0:
                    raise ValueError("has a [ without a ]")
                yield _character_class(text[position + 1 : end])
                position, repeatable = end, True
            case "\\":
                position += 1
                if position == len(text):
                    raise ValueError("has a \\ at its end, without a character to escape")
                yield re.escape(text[position])
                repeatable = True
            case _:
                yield re.escape(char)
                repeatable = True
        position += 1


def _character_class(characters: str) -> str:
    without_ranges = _RANGE.sub("", characters)
    if not characters or not re.fullmatch(r"[A-Za-z0-9]*", without_ranges):
        raise ValueError(f"has [{characters}], but only letters, digits and ranges are allowed")
    descending = [span for span in _RANGE.findall(characters) if span[0] > span[2]]
    if descending:
        raise ValueError(f"has the range {descending[0]}, but its start is after its end")
    return f"[{characters}]"


def _decide_push(workflow: Workflow, trigger: Trigger, event: Event) -> Decision:
    """Decide for a push by its ref and its changed files."""
    if _skipped(event.message):
        return _no("the commit message skips workflows")
    filters = {key for key in trigger.filters if key.startswith(("branches", "tags"))}
    if event.ref.startswith(_TAG):
        if event.tags > _MAX_TAGS_PER_PUSH:
            return _no(f"GitHub creates no event for {event.tags} tags in one push")
        kind, name = "tags", event.ref.removeprefix(_TAG)
    elif event.ref.startswith(_BRANCH):
        kind, name = "branches", event.ref.removeprefix(_BRANCH)
    else:
        return _no(f"{event.ref!r} is neither a branch nor a tag")
    if filters and not filters & {kind, f"{kind}-ignore"}:
        keys = ", ".join(sorted(filters))
        return _no(f"`on.push` has filters only for {keys}, but {name} is one of the {kind}")
    decision = _decide_name(workflow, trigger, kind, name)
    if decision and kind == "branches":  # GitHub ignores the path filters for tags
        return _decide_paths(workflow, trigger, event, decision)
    return decision


def _decide_dispatch(trigger: Trigger, event: Event) -> Decision:
    """Decide for `workflow_dispatch` by its ref and its inputs, as the API of GitHub does."""
    if event.ref and not event.ref.startswith((_TAG, _BRANCH)):
        return _no(f"{event.ref!r} is neither a branch nor a tag")
    _, refusal = complete_inputs(trigger.inputs, event.inputs)
    return _no(refusal) if refusal else _yes("`on.workflow_dispatch` accepts these inputs")


def _decide_type(workflow: Workflow, trigger: Trigger, event: Event) -> Decision:
    """Decide for the other events by their type, base branch, changed files and earlier workflow.

    An event without a type fits every filter of types.
    """
    if event.name == "pull_request" and _skipped(event.message):
        return _no("the commit message skips workflows")
    types = [pattern.text for pattern in trigger.filters.get("types", ())]
    if not types and event.name in _PULL_REQUESTS:
        types = list(_PULL_REQUEST_TYPES)
    if types and event.type and event.type not in types:
        return _no(f"`on.{event.name}.types` has {', '.join(types)}, not {event.type}")
    workflows = trigger.filters.get("workflows", ())
    if event.workflow and workflows and not decide_patterns(workflow, workflows, event.workflow):
        return _no(f"`on.{event.name}.workflows` does not include {event.workflow}")
    if event.name in _WITH_BASE:
        decision = _decide_name(workflow, trigger, "branches", event.base)
        return _decide_paths(workflow, trigger, event, decision) if decision else decision
    if types and event.type:
        return _yes(f"`on.{event.name}.types` includes {event.type}")
    return _yes(f"every {event.name} starts the workflow")


def _decide_name(workflow: Workflow, trigger: Trigger, kind: str, name: str) -> Decision:
    """Decide by the filters for ``kind``, which is `branches` or `tags`."""
    where = f"`on.{trigger.event}.{kind}"
    if ignored := trigger.filters.get(f"{kind}-ignore"):
        if decide_patterns(workflow, ignored, name):
            return _no(f"{where}-ignore` excludes {name}")
        return _yes(f"{where}-ignore` does not exclude {name}")
    if kind not in trigger.filters:
        return _yes(f"`on.{trigger.event}` has no filter for {kind}")
    patterns = trigger.filters[kind]
    texts = ", ".join(pattern.text for pattern in patterns)
    if decide_patterns(workflow, patterns, name):
        return _yes(f"{where}` ({texts}) includes {name}")
    return _no(f"{where}` ({texts}) does not include {name}")


def _decide_paths(
    workflow: Workflow, trigger: Trigger, event: Event, decision: Decision
) -> Decision:
    """Return ``decision`` unless the path filters exclude the changed files."""
    if ignored := trigger.filters.get("paths-ignore"):
        if all(decide_patterns(workflow, ignored, path) for path in event.changed):
            return _no(f"`on.{event.name}.paths-ignore` excludes all changed files")
        return decision
    patterns = trigger.filters.get("paths")
    if patterns and not any(decide_patterns(workflow, patterns, path) for path in event.changed):
        return _no(f"`on.{event.name}.paths` includes no changed file")
    return decision


def _yes(reason: str) -> Decision:
    return Decision(triggered=True, reason=reason)


def _no(reason: str) -> Decision:
    return Decision(triggered=False, reason=reason)


def _skipped(message: str) -> bool:
    return bool(_SKIP.search(message) or _SKIP_TRAILER.search(message))
