"""Replace expressions that are only a name: `${{ matrix.os }}`, `${{ github.ref_name }}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from pydantic import JsonValue

from verification.models.base import Model
from verification.models.workflow import Event, Workflow

_NAME = re.compile(r"\$\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


def replace_expressions(text: str, values: Mapping[str, str]) -> str:
    """Replace the expressions whose name has a value. Other expressions do not change."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1], match[0])

    return _NAME.sub(value, text)


def has_no_expression(text: str) -> bool:
    """Return whether a text has no expression."""
    return "${{" not in text


class UnknownValue(Exception):
    """An expression needs a value that only a run has."""


class Context(Model):
    """The known contexts by name."""

    values: Mapping[str, JsonValue] = {}

    def extended(self, **values: JsonValue) -> Self:
        """Return a context with additional contexts."""
        return self.model_copy(update={"values": {**self.values, **values}})


def event_context(event: Event, workflow: Workflow, repository: str) -> Context:
    """Return the contexts of a run that an event starts."""
    github: JsonValue = {
        "event_name": event.name,
        "ref": event.ref,
        "repository": repository,
        "workflow": workflow.name,
    }
    return Context(values={"github": github, "inputs": {**event.inputs}})


def fill(text: str, context: Context) -> str:
    """Return a text with the values of its expressions.

    Raises:
        UnknownValue: a value is not known.
    """
    values = {
        f"{name}.{key}": str(value)
        for name, keys in context.values.items()
        for key, value in (keys.items() if isinstance(keys, dict) else ())
    }
    filled = replace_expressions(text, values)
    if not has_no_expression(filled):
        raise UnknownValue(filled)
    return filled
