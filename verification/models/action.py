"""The inputs and the versions of a GitHub action.

The inputs of a real action are in `action.yml`. A stand-in has them in `inputs.toml`: the names,
aliases and defaults, the versions that have an input, and how the stand-in handles it. The versions
that a stand-in replaces are in `stand-in.toml` and `versions.txt`.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, JsonValue

from verification.models.base import DataError, Model, load_toml, validate

_LITERAL = re.compile(r"\$\{\{\s*(?:'([^']*)'|(true|false))\s*\}\}")
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

Switch = Literal["yaml", "any-case", "exact", "unless-false"]
"""How a GitHub action reads a boolean.

`images/runner/actions/actions-checkout/inputs.toml` describes the values.
"""


def version_number(text: str) -> tuple[int, ...]:
    """Return the numbers of a version such as v4.2.1, v4.2 or 4; empty for any other text."""
    match = _VERSION.fullmatch(text)
    return tuple(int(part) for part in match.groups() if part) if match else ()


def is_commit(ref: str) -> bool:
    """Return whether the ref of an action is a full commit hash."""
    return _COMMIT.fullmatch(ref) is not None


class EarlierDefault(Model):
    """The default of an input in earlier versions of the action."""

    before: str
    """The first version without it."""
    default: str


class ActionInput(Model):
    """One input of a GitHub action."""

    default: str = ""
    since: tuple[str, ...] = ()
    """The versions that added the input, one for each major version that got it later than its
    first release. Empty if all versions have it."""
    until: str = ""
    """The version that removed the input; empty if it is not removed."""
    earlier: EarlierDefault | None = None
    """The default of earlier versions. A version without the input behaves as with this value."""
    aliases: tuple[str, ...] = ()
    """Its other names. If a step sets several of them, the first one that is not empty counts."""
    switch: Switch | None = None
    """How the action reads a boolean input; None for other inputs."""
    only: tuple[str, ...] | None = None
    """The values that the stand-in supports, apart from the empty one; None for all."""
    without_effect: str = Field(default="", alias="without-effect")
    """Why the stand-in ignores the input; empty if it treats the input as the action does."""

    def is_in(self, version: tuple[int, ...]) -> bool:
        """Return whether a version of the action has the input."""
        added = sorted(map(version_number, self.since))
        same_major = [number for number in added if number[0] == version[0]]
        first = (same_major or added[-1:] or [()])[0]
        return first <= version and not (self.until and version >= version_number(self.until))

    def default_in(self, version: tuple[int, ...]) -> str:
        """Return the default in a version of the action."""
        if self.earlier and version < version_number(self.earlier.before):
            return self.earlier.default
        return self.default


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
        *_, last = names = self._names(name)
        values = [self._values.get(key, "") for key in names]
        if last not in self._values and name in self._inputs:
            values.append(self._inputs[name].default)  # action.yml has the default at this name
        return next((value for value in values if value), "")

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
    absent: Mapping[str, str] = Field(default_factory=dict)
    """The inputs that this version of the action lacks, with the value as which it behaves."""

    @classmethod
    def load(cls, folder: Path, version: str = "") -> Self:
        """Read the definition of the action in a folder.

        ``version`` is the version that a stand-in replaces; empty for the newest.

        Raises:
            DataError: the folder has no readable action.yml, or action.yml of a stand-in has an
                input that `inputs.toml` lacks or has with another default.
        """
        defaults = _defaults(folder)
        rules = folder / "inputs.toml"
        if not rules.is_file():
            return cls(inputs={name: ActionInput(default=text) for name, text in defaults.items()})
        inputs = {
            name: validate(ActionInput, table, f"{folder.name}/{rules.name}: {name}")
            for name, table in load_toml(rules).items()
        }
        for name, default in defaults.items():
            if name not in inputs or inputs[name].default != default:
                raise DataError(f"{folder.name}/{rules.name}: {name} is not as in action.yml")
        number = version_number(version) or (sys.maxsize,)
        return cls(
            inputs={
                name: rule.model_copy(update={"default": rule.default_in(number)})
                for name, rule in inputs.items()
                if rule.is_in(number)
            },
            absent={
                name: rule.default_in(number)
                for name, rule in inputs.items()
                if not rule.is_in(number)
            },
        )

    def read(self, step_inputs: Mapping[str, str]) -> StepInputs:
        """Return the inputs of a step of the action; ``step_inputs`` is the step's `with`."""
        return StepInputs(self.inputs, step_inputs)


class ActionVersion(Model):
    """A version of an action that a workflow names, and the version that the stand-in replaces."""

    named: str
    """The tag, the branch or the version of the commit that the workflow names."""
    version: str
    """The nearest version in the table of the stand-in."""
    confirmed: bool
    """Whether the table has the named tag, branch or commit."""


class ActionVersions(Model):
    """The versions of an action that a stand-in replaces."""

    action: str
    majors: tuple[int, ...]
    """The major versions."""
    branches: Mapping[str, int] = Field(default_factory=dict)
    """The major version of each release branch."""
    folders: Mapping[str, str] = Field(default_factory=dict)
    """The first version that has the action in a subfolder, by the name of the subfolder."""
    tags: Mapping[str, str] = Field(default_factory=dict)
    """The commit of each tag of these major versions."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `stand-in.toml` and `versions.txt` in the folder of a stand-in.

        Raises:
            DataError: a file cannot be used.
        """
        path = folder / "versions.txt"
        try:
            lines = path.read_text("utf-8").splitlines() if path.is_file() else []
            tags = dict(line.split(" ") for line in lines)
        except ValueError as error:
            raise DataError(f"{path}: each line is a tag, a space and a commit: {error}") from None
        table = load_toml(folder / "stand-in.toml")
        table["tags"] = {**tags}
        return validate(cls, table, f"{folder.name}/stand-in.toml", "tags")

    def find(self, ref: str, comment: str = "") -> ActionVersion | None:
        """Return the version that ``ref`` names; None if the stand-in does not replace it.

        ``ref`` is a tag, a branch or a commit. ``comment`` is the comment of the workflow after
        an unknown commit. If it names a version, the result has this version, not confirmed.
        """
        if is_commit(ref):
            names = [tag for tag, commit in self.tags.items() if commit == ref]
            if names:
                named = max(names, key=lambda tag: len(version_number(tag)))
                return self._nearest(named, version_number(named), confirmed=True)
            ref = comment.partition(" ")[0]
            return self._nearest(ref, version_number(ref), confirmed=False)
        if ref in self.branches:
            return self._nearest(ref, (self.branches[ref],), confirmed=True)
        return self._nearest(ref, version_number(ref), confirmed=ref in self.tags)

    def _nearest(
        self, named: str, number: tuple[int, ...], *, confirmed: bool
    ) -> ActionVersion | None:
        """Return the newest known version that is not newer than a version or its prefix."""
        known = [
            tag
            for tag in sorted(self.tags, key=version_number)
            if len(version_number(tag)) == 3 and version_number(tag)[:1] == number[:1]
        ]
        if not known:
            return None
        older = [tag for tag in known if version_number(tag)[: len(number)] <= number]
        version = older[-1] if older else known[0]
        return ActionVersion(named=named, version=version, confirmed=confirmed)


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
