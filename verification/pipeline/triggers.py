"""Decide whether an event starts a workflow, by GitHub's documented rules for `on`.

Act starts every workflow for every event; GitHub does not. The rules are those of "Workflow syntax
for GitHub Actions" (`on`, "Filter pattern cheat sheet"), "Events that trigger workflows" and
"Skipping workflow runs", as published in 2026.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from verification.models.workflow import (
    BadWorkflow,
    Decision,
    Event,
    Pattern,
    Trigger,
    Workflow,
)

MOST_TAGS = 3
"""A push of more tags at once makes no event for any of them."""

_TAG = "refs/tags/"
_BRANCH = "refs/heads/"
_PULL_REQUESTS = {"pull_request", "pull_request_target"}
_PULL_REQUEST_TYPES = ("opened", "synchronize", "reopened")
_SKIP = re.compile(r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE)
_SKIP_TRAILER = re.compile(r"\n\n\s*(?:.+\n)*skip-checks: ?true\s*\Z", re.IGNORECASE)
_RANGE = re.compile(r"[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]")


def decide(workflow: Workflow, event: Event) -> Decision:
    """Say whether the event starts the workflow.

    Raises:
        BadWorkflow: if a filter of the event is none that GitHub takes.
    """
    trigger = workflow.on.get(event.name)
    if trigger is None:
        events = ", ".join(workflow.on) or "nothing"
        return _no(f"the workflow is started by {events}, not by {event.name}")
    for text in trigger.filters.values():
        for pattern in text:
            compiled(workflow, pattern)
    if event.by_workflow and event.name not in ("workflow_dispatch", "repository_dispatch"):
        return _no("what a job does with its own GITHUB_TOKEN starts no workflow")
    match event.name:
        case "push":
            return _push(workflow, trigger, event)
        case name if name in _PULL_REQUESTS or name == "workflow_run":
            return _base(workflow, trigger, event)
        case name:
            return _yes(f"the workflow is started by every {name}")


def decide_patterns(workflow: Workflow, patterns: Iterable[Pattern], name: str) -> bool:
    """Say whether a list of patterns lets a name in: the last pattern that matches decides."""
    found = False
    for pattern in patterns:
        if compiled(workflow, pattern).fullmatch(name):
            found = not pattern.text.startswith("!")
    return found


def compiled(workflow: Workflow, pattern: Pattern) -> re.Pattern[str]:
    """Return a pattern as a regular expression for the whole name, without its `!`.

    Raises:
        BadWorkflow: if it is no pattern, with the line.
    """
    try:
        return compile_pattern(pattern.text.removeprefix("!"))
    except ValueError as error:
        where = f"{workflow.path}:{pattern.line}"
        raise BadWorkflow(f"{where}: the pattern {pattern.text!r} {error}") from None


@functools.cache
def compile_pattern(text: str) -> re.Pattern[str]:
    r"""Return a filter pattern as a regular expression.

    `*` any characters but a slash, `**` any characters, `?` the character before it or nothing,
    `+` the character before it once or more, `[...]` one letter or digit of those, `\` takes the
    next character as it is. A `**` between slashes stands for no folder as well.

    Raises:
        ValueError: if the text is no pattern; the message completes "the pattern ...".
    """
    if not text:
        raise ValueError("is empty")
    return re.compile("".join(_pieces(text)), re.DOTALL)


def _pieces(text: str) -> Iterator[str]:
    at = 0
    repeatable = False  # whether there is one character for + or ? to repeat
    while at < len(text):
        char = text[at]
        match char:
            case "*" if text.startswith("**/", at) and (at == 0 or text[at - 1] == "/"):
                yield "(?:.*/)?"
                at, repeatable = at + 3, False
                continue
            case "*" if text.startswith("**", at):
                yield ".*"
                at, repeatable = at + 2, False
                continue
            case "*":
                yield "[^/]*"
                repeatable = False
            case "?" | "+":
                if not repeatable:
                    raise ValueError(f"has a {char} after no character that it could repeat")
                yield char
                repeatable = False
            case "[":
                end = text.find("]", at)
                if end < 0:
                    raise ValueError("has a [ without its ]")
                yield _one_of(text[at + 1 : end])
                at, repeatable = end, True
            case "\\":
                at += 1
                if at == len(text):
                    raise ValueError("ends with a \\ that takes no character")
                yield re.escape(text[at])
                repeatable = True
            case _:
                yield re.escape(char)
                repeatable = True
        at += 1


def _one_of(listed: str) -> str:
    rest = _RANGE.sub("", listed)
    if not listed or not re.fullmatch(r"[A-Za-z0-9]*", rest):
        raise ValueError(
            f"has [{listed}]; between [ and ] stand letters and digits, or ranges of them"
        )
    backwards = [found for found in _RANGE.findall(listed) if found[0] > found[2]]
    if backwards:
        raise ValueError(f"has the range {backwards[0]}, which runs backwards")
    return f"[{listed}]"


def _push(workflow: Workflow, trigger: Trigger, event: Event) -> Decision:
    if _skipped(event.message):
        return _no("the commit's message asks for no workflows")
    filters = trigger.filters
    refs = {key for key in filters if key.startswith(("branches", "tags"))}
    if event.ref.startswith(_TAG):
        if event.tags > MOST_TAGS:
            return _no(f"{event.tags} tags pushed at once make no event")
        kind, name = "tags", event.ref.removeprefix(_TAG)
    elif event.ref.startswith(_BRANCH):
        kind, name = "branches", event.ref.removeprefix(_BRANCH)
    else:
        return _no(f"{event.ref!r} is neither a branch nor a tag")
    if refs and not refs & {kind, f"{kind}-ignore"}:
        given = ", ".join(sorted(refs))
        return _no(f"`on.push` names {given} only, and {name} is one of the {kind}")
    decision = _filtered(workflow, trigger, kind, name)
    if decision and kind == "branches":  # paths are not looked at when a tag is pushed
        return _paths(workflow, trigger, event, decision)
    return decision


def _base(workflow: Workflow, trigger: Trigger, event: Event) -> Decision:
    if event.name == "pull_request" and _skipped(event.message):
        return _no("the commit's message asks for no workflows")
    types = [pattern.text for pattern in trigger.filters.get("types", ())]
    if not types and event.name in _PULL_REQUESTS:
        types = list(_PULL_REQUEST_TYPES)
    if types and event.type and event.type not in types:
        return _no(f"`types` has {', '.join(types)}, not {event.type}")
    decision = _filtered(workflow, trigger, "branches", event.base)
    return _paths(workflow, trigger, event, decision) if decision else decision


def _filtered(workflow: Workflow, trigger: Trigger, kind: str, name: str) -> Decision:
    where = f"`on.{trigger.event}.{kind}"
    if ignored := trigger.filters.get(f"{kind}-ignore"):
        if decide_patterns(workflow, ignored, name):
            return _no(f"{where}-ignore` leaves {name} out")
        return _yes(f"{where}-ignore` does not leave {name} out")
    if kind not in trigger.filters:
        return _yes(f"`on.{trigger.event}` has no filter for {kind}")
    patterns = trigger.filters[kind]
    listed = ", ".join(pattern.text for pattern in patterns)
    if decide_patterns(workflow, patterns, name):
        return _yes(f"{where}` ({listed}) lets {name} in")
    return _no(f"{where}` ({listed}) does not let {name} in")


def _paths(workflow: Workflow, trigger: Trigger, event: Event, so_far: Decision) -> Decision:
    if ignored := trigger.filters.get("paths-ignore"):
        if all(decide_patterns(workflow, ignored, path) for path in event.changed):
            return _no(f"`on.{event.name}.paths-ignore` leaves every changed file out")
        return so_far
    patterns = trigger.filters.get("paths")
    if patterns and not any(decide_patterns(workflow, patterns, path) for path in event.changed):
        return _no(f"`on.{event.name}.paths` lets no changed file in")
    return so_far


def _yes(reason: str) -> Decision:
    return Decision(triggered=True, reason=reason)


def _no(reason: str) -> Decision:
    return Decision(triggered=False, reason=reason)


def _skipped(message: str) -> bool:
    return bool(_SKIP.search(message) or _SKIP_TRAILER.search(message))
