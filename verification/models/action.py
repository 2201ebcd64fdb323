"""The inputs of a GitHub action: names, aliases, defaults, and the values that a step sets.

`action.yml` has the names and the defaults. A stand-in also has `inputs.toml`: the aliases, and how
the stand-in handles each input.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, JsonValue

from verification.models.base import DataError, Model, load_toml, validate

_LITERAL = re.compile(r"\$\{\{\s*(?:'([^']*)'|(true|false))\s*\}\}")

Switch = Literal["yaml", "any-case", "exact", "unless-false"]
"""How a GitHub action reads a boolean.

`images/runner/actions/actions-checkout/inputs.toml` describes the values.
"""


class ActionInput(Model):
    """One input of a GitHub action."""

    default: str = ""
    aliases: tuple[str, ...] = ()
    """Its other names. If a step sets several of them, the first one that is not empty counts."""
    switch: Switch | None = None
    """How the action reads a boolean input; None for other inputs."""
    only: tuple[str, ...] | None = None
    """The values that the stand-in supports, apart from the empty one; None for all."""
    without_effect: str = Field(default="", alias="without-effect")
    """Why the stand-in ignores the input; empty if it treats the input as the action does."""


class StepInputs:
    """The inputs that a step sets for a GitHub action, by the names in its definition."""

    def __init__(self, inputs: Mapping[str, ActionInput], step_inputs: Mapping[str, str]) -> None:
        """Compare ``step_inputs``, the step's `with`, with the inputs of the action.

        As on GitHub, names are compared without regard to case.
        """
        self._inputs = inputs
        self._values = {name.lower(): value.strip() for name, value in step_inputs.items()}
        names = {name: name for name in inputs} | {
            alias: name for name, rule in inputs.items() for alias in rule.aliases
        }
        self.unknown = {
            name: next(iter(difflib.get_close_matches(name.lower(), names, 1)), "")
            for name in sorted(step_inputs)
            if name.lower() not in names
        }
        """The names that the action does not have, each with the most similar known input."""

    def is_set(self, name: str) -> bool:
        """Return whether the step sets an input under any of its names."""
        return any(key in self._values for key in self._names(name))

    def get(self, name: str) -> str:
        """Return the value of an input: the value in the step, else the default."""
        values = [self._values[key] for key in self._names(name) if key in self._values]
        if values:
            return next((value for value in values if value), "")
        return self._inputs[name].default if name in self._inputs else ""

    def switch(self, name: str) -> str:
        """Return `true` or `false`: how the action reads the input.

        An expression is returned unchanged, and so is a word that the action refuses.
        """
        text = self.get(name)
        if literal := _LITERAL.fullmatch(text):
            text = literal[1] if literal[1] is not None else literal[2]
        elif "${{" in text:
            return text
        definition = self._inputs.get(name)
        match definition.switch if definition else None:
            case "exact":
                return str(text == "true").lower()
            case "any-case":
                return str(text.lower() == "true").lower()
            case "unless-false":
                return str(text.lower() != "false").lower()
            case _:
                is_word = text in ("true", "True", "TRUE", "false", "False", "FALSE")
                return text.lower() if is_word else text

    def _names(self, name: str) -> tuple[str, ...]:
        definition = self._inputs.get(name)
        return (name, *(definition.aliases if definition else ()))


class ActionDefinition(Model):
    """The inputs of an action, by their names in lower case."""

    inputs: Mapping[str, ActionInput]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the definition of the action in a folder.

        Raises:
            DataError: the folder has no readable action.yml, or `inputs.toml` and action.yml have
                different inputs.
        """
        defaults = _defaults(folder)
        rules = folder / "inputs.toml"
        if not rules.is_file():
            return cls(inputs={name: ActionInput(default=text) for name, text in defaults.items()})
        inputs = {
            name: _input(table, defaults, name, f"{folder.name}/{rules.name}: {name}")
            for name, table in load_toml(rules).items()
        }
        names = {key for name, rule in inputs.items() for key in (name, *rule.aliases)}
        if differing := names ^ defaults.keys():
            listed = ", ".join(sorted(differing))
            raise DataError(
                f"{folder.name}/{rules.name}: these inputs are not in both files, this one and "
                f"action.yml: {listed}"
            )
        return cls(inputs=inputs)

    def read(self, step_inputs: Mapping[str, str]) -> StepInputs:
        """Return the inputs of a step of the action; ``step_inputs`` is the step's `with`."""
        return StepInputs(self.inputs, step_inputs)


def _input(table: JsonValue, defaults: Mapping[str, str], name: str, origin: str) -> ActionInput:
    rule = validate(ActionInput, table, origin)
    texts = [defaults.get(key, "") for key in (name, *rule.aliases)]
    return rule.model_copy(update={"default": next((text for text in texts if text), "")})


def _defaults(folder: Path) -> dict[str, str]:
    """Return the default of each input in action.yml, by its name in lower case."""
    for file in (folder / "action.yml", folder / "action.yaml"):
        if not file.is_file():
            continue
        try:
            inputs = (yaml.safe_load(file.read_text("utf-8")) or {}).get("inputs") or {}
            return {
                str(name).lower(): _text((definition or {}).get("default"))
                for name, definition in inputs.items()
            }
        except (AttributeError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
    raise DataError(f"{folder} has no action.yml")


def _text(default: JsonValue) -> str:
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
