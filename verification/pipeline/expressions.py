"""Evaluate the expressions of GitHub Actions with what is known before a run.

A value that only a run can give raises `UnknownValue`. The keys of the contexts are from GitHub's
documentation ("Contexts", "Webhook events and payloads", "Events that trigger workflows").
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import JsonValue

from verification.models.base import Model
from verification.models.expression_syntax import (
    STATUS_FUNCTIONS,
    BadExpression,
    Call,
    Operation,
    nodes,
    number,
    pieces,
    tree_of,
)
from verification.models.workflow import Event, Workflow, WorkflowInput
from verification.pipeline.expression_evaluation import Evaluation, Status
from verification.pipeline.expression_values import (
    Object,
    UnknownValue,
    Value,
    from_json,
    text_of,
    to_json,
)

__all__ = (
    "BadExpression",
    "Context",
    "UnknownValue",
    "evaluate",
    "evaluated",
    "event_context",
    "fill",
    "holds",
    "is_true",
    "typed_inputs",
    "uses_status",
    "with_env",
)

_PULL_REQUEST = frozenset(("action", "number", "pull_request"))
_COMMENT = frozenset(("action", "comment", "issue"))
_PAYLOADS: Mapping[str, frozenset[str]] = {
    "push": frozenset(
        ("after", "before", "commits", "created", "deleted", "forced", "head_commit", "pusher")
    ),
    "release": frozenset(("action", "release")),
    "workflow_dispatch": frozenset(("inputs",)),
    "repository_dispatch": frozenset(("action", "branch", "client_payload")),
    "pull_request": _PULL_REQUEST,
    "pull_request_target": _PULL_REQUEST,
    "issues": frozenset(("action", "issue")),
    "issue_comment": _COMMENT,
    "workflow_run": frozenset(("action", "workflow_run")),
    "schedule": frozenset(("schedule",)),
}
"""The keys of `github.event` that only some events have."""
_ALL_KEYS = frozenset[str]().union(*_PAYLOADS.values())


class Context(Model):
    """What is known when an expression is evaluated. A context that is missing is not known."""

    values: Mapping[str, JsonValue] = {}
    """The known contexts by name. A key that an object does not have is null, as on GitHub."""
    unknown: frozenset[str] = frozenset()
    """The objects of `values` of which only some keys are known, such as `github.event`. A key that
    such an object does not have is not known."""
    status: Status = "success"
    """The status of the earlier jobs or steps, for the functions `success`, `failure` and so on."""

    def extended(self, unknown: Iterable[str] = (), **values: JsonValue) -> Self:
        """Return a context with additional contexts, which replace those of the same name."""
        return self.model_copy(
            update={
                "values": {**self.values, **values},
                "unknown": self.unknown.union(unknown),
            }
        )


def evaluate(text: str, context: Context) -> JsonValue:
    """Return the value of an expression, written with or without `${{ }}`.

    Raises:
        BadExpression: GitHub refuses the expression.
        UnknownValue: it needs a value that is not known before the run.
    """
    return to_json(_evaluation(context).value(tree_of(text)))


def fill(text: str, context: Context) -> str:
    """Return a text with the values of its expressions (`${{ ... }}`).

    Raises:
        BadExpression: GitHub refuses an expression.
        UnknownValue: one needs a value that is not known before the run.
    """
    evaluation = _evaluation(context)
    return "".join(
        part if isinstance(part, str) else text_of(evaluation.value(part)) for part in pieces(text)
    )


def evaluated(value: JsonValue, context: Context) -> JsonValue:
    """Return data in which the values replace the expressions.

    Raises:
        BadExpression: GitHub refuses an expression.
        UnknownValue: one needs a value that is not known before the run.
    """
    match value:
        case dict():
            return {key: evaluated(item, context) for key, item in value.items()}
        case list():
            return [evaluated(item, context) for item in value]
        case str() if "${{" in value:
            return evaluate(value, context)
        case _:
            return value


def is_true(text: str, context: Context) -> bool:
    """Return whether an expression, written with or without `${{ }}`, counts as true.

    `unknown && false` is false, and `unknown || true` is true.

    Raises:
        BadExpression: GitHub refuses the expression.
        UnknownValue: it depends on a value that is not known before the run.
    """
    return _evaluation(context).truth(tree_of(text))


def holds(condition: str, context: Context) -> bool:
    """Return whether a job or step with this `if` runs.

    A condition without a status function implies `success()`.

    Raises:
        BadExpression: GitHub refuses the expression.
        UnknownValue: it depends on a value that is not known before the run.
    """
    tree = tree_of(condition)
    if not uses_status(condition):
        tree = Operation("&&", Call("success", ()), tree)
    return _evaluation(context).truth(tree)


def uses_status(condition: str) -> bool:
    """Return whether a condition has a status function, so that it does not imply `success()`.

    Raises:
        BadExpression: GitHub refuses the expression.
    """
    return any(
        isinstance(node, Call) and node.function in STATUS_FUNCTIONS
        for node in nodes(tree_of(condition))
    )


def _evaluation(context: Context) -> Evaluation:
    @functools.cache  # a context is equal to itself only
    def named(name: str) -> Value:
        if name not in context.values:
            return Object({}, name)  # of which no value is known
        return from_json(context.values[name], name, context.unknown)

    return Evaluation(named, context.status)


def event_context(event: Event, workflow: Workflow, repository: str) -> Context:
    """Return the contexts of a workflow that an event starts.

    ``repository`` is OWNER/NAME; empty if it is not known. What is missing in an event is not known
    either.
    """
    inputs = workflow.on[event.name].inputs if event.name in workflow.on else {}
    chosen = {name: event.inputs.get(name, item.default_text) for name, item in inputs.items()}
    github: dict[str, JsonValue] = {
        "event_name": event.name,
        "workflow": workflow.name,
        "event": _payload(event, chosen, repository),
        **_ref_values(event),
        **_repository_values(repository),
    }
    if repository and event.ref:
        github["workflow_ref"] = f"{repository}/.github/workflows/{workflow.path.name}@{event.ref}"
    context = Context(
        values={"github": github, "inputs": typed_inputs(inputs, chosen)},
        unknown=frozenset(
            (
                "github",
                "github.event",
                *(f"github.event.{key}" for key in (*_ALL_KEYS - {"inputs"}, "repository")),
                "github.event.repository.owner",
                "github.event.pull_request.base",
            )
        ),
    )
    return with_env(context, workflow.env)


def with_env(context: Context, env: Mapping[str, str]) -> Context:
    """Return a context with the variables of a workflow, a job or a step in addition.

    Steps can set other variables, so a variable without a value is not known.
    """
    outer = context.values.get("env")
    variables = dict(outer) if isinstance(outer, dict) else {}
    for name, text in env.items():
        try:
            variables[name] = fill(text, context)
        except (BadExpression, UnknownValue):
            variables.pop(name, None)
    return context.extended(("env",), env=variables)


def typed_inputs(
    declared: Mapping[str, WorkflowInput], chosen: Mapping[str, str]
) -> dict[str, JsonValue]:
    """Return the context `inputs`: booleans and numbers have their type, the others are texts."""
    return {name: _typed(item.type, chosen.get(name, "")) for name, item in declared.items()}


def _typed(kind: str, text: str) -> JsonValue:
    match kind:
        case "boolean":
            return text.strip().lower() == "true"
        case "number":
            return number(text)
        case _:
            return text


def _ref_values(event: Event) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {}
    if event.name.startswith("pull_request"):
        values["base_ref"] = event.base
    else:
        values |= {"base_ref": "", "head_ref": ""}
    if event.sha:
        values["sha"] = event.sha
    if event.ref:
        kind, _, name = event.ref.removeprefix("refs/").partition("/")
        values |= {
            "ref": event.ref,
            "ref_name": name,
            "ref_type": "tag" if kind == "tags" else "branch",
        }
    return values


def _repository_values(repository: str) -> dict[str, JsonValue]:
    if not repository:
        return {}
    return {"repository": repository, "repository_owner": repository.partition("/")[0]}


def _payload(event: Event, inputs: Mapping[str, str], repository: str) -> dict[str, JsonValue]:
    known_keys = _PAYLOADS.get(event.name)
    payload: dict[str, JsonValue] = {}
    if known_keys is not None:
        payload |= dict.fromkeys(_ALL_KEYS - known_keys)
    if event.type:
        payload["action"] = event.type
    if repository:
        owner, _, name = repository.partition("/")
        payload["repository"] = {"full_name": repository, "name": name, "owner": {"login": owner}}
    match event.name:
        case "push":
            payload |= {"ref": event.ref, "deleted": False}
            payload["head_commit"] = {"message": event.message}
        case "release":
            payload["release"] = _release(event)
        case "workflow_dispatch":
            payload["inputs"] = dict(inputs)
            payload |= {"ref": event.ref} if event.ref else {}
        case "pull_request" | "pull_request_target":
            payload["pull_request"] = {"base": {"ref": event.base}}
        case "workflow_run":
            payload["workflow_run"] = {"head_branch": event.base}
    return payload


def _release(event: Event) -> dict[str, JsonValue]:
    release: dict[str, JsonValue] = {"tag_name": event.ref.removeprefix("refs/tags/")}
    if event.type in ("published", "released", "prereleased"):
        release["draft"] = False
    if event.type in ("released", "prereleased"):
        release["prerelease"] = event.type == "prereleased"
    return release
