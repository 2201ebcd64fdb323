"""The inputs of `on.workflow_dispatch`, and a dispatch that a job requested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from verification.models.base import Model


class DispatchInput(Model):
    """One input of `on.workflow_dispatch`, with the keys of the workflow file."""

    name: str
    type: str = "string"
    """string, boolean, choice, number or environment."""
    required: bool = False
    default: str = ""
    options: tuple[str, ...] = ()
    """The allowed values of a choice."""

    def refuses(self, value: str) -> bool:
        """Return True if the input does not allow a value."""
        match self.type:
            case "choice":
                return value not in self.options
            case "boolean":
                return value not in ("true", "false")
            case _:
                return False


class DispatchTarget(Model):
    """A workflow file of the repository, as the forge knows it for dispatches."""

    path: str
    """The path in the repository."""
    name: str
    dispatchable: bool
    """True if the file has `on.workflow_dispatch`."""
    inputs: tuple[DispatchInput, ...] = ()


class Dispatch(Model):
    """A dispatch that the forge accepted from a job. Other runs start from it."""

    path: str
    """The workflow file, relative to the repository."""
    ref: str
    """The full name of the branch or tag."""
    inputs: Mapping[str, str] = {}
    """The inputs with the defaults of the workflow."""
    job: str = ""
    """The job that requested it."""


def dispatch_targets(folder: Path, root: Path) -> tuple[DispatchTarget, ...]:
    """Return the workflow files in a folder of the repository at ``root``.

    A file that is not a workflow is left out.
    """
    files = sorted((*folder.glob("*.yml"), *folder.glob("*.yaml")))
    return tuple(filter(None, (_target(path, root) for path in files)))


def _target(path: Path, root: Path) -> DispatchTarget | None:
    try:
        # BaseLoader reads all values as text, so `on` and `true` are not converted.
        document = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506
    except (OSError, ValueError, yaml.YAMLError):
        return None
    events = document.get("on") if isinstance(document, dict) else None
    if events is None:
        return None
    names = [events] if isinstance(events, str) else list(events)
    trigger = events.get("workflow_dispatch") if isinstance(events, dict) else None
    return DispatchTarget(
        path=str(path.relative_to(root)),
        name=str(document.get("name") or path.relative_to(root)),
        dispatchable="workflow_dispatch" in names,
        inputs=tuple(_inputs(trigger)),
    )


def _inputs(trigger: Any) -> Iterator[DispatchInput]:
    declared = trigger.get("inputs") if isinstance(trigger, dict) else None
    for name, values in (declared or {}).items() if isinstance(declared, dict) else ():
        keys = values if isinstance(values, dict) else {}
        type_ = str(keys.get("type") or "string")
        options = keys.get("options")
        yield DispatchInput(
            name=name,
            type=type_,
            required=str(keys.get("required", "")).lower() == "true",
            default=str(keys.get("default") or ("false" if type_ == "boolean" else "")),
            options=tuple(map(str, options)) if isinstance(options, list) else (),
        )


def complete_inputs(
    target: DispatchTarget, inputs: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Return the inputs of a dispatch with the defaults, and why they are refused, or "".

    The rules are those of GitHub's API: no unknown input, no missing required input, no value that
    a choice or a boolean does not have. A choice without a default has its first option.
    """
    known = {declared.name: declared for declared in target.inputs}
    if unknown := [name for name in inputs if name not in known]:
        names = ", ".join(known) or "none"
        return {}, f"unknown input {unknown[0]!r}; the inputs are: {names}"
    complete = {}
    for name, declared in known.items():
        default = declared.default
        if not default and declared.type == "choice" and declared.options:
            default = declared.options[0]
        value = inputs.get(name, default)
        if declared.required and not value:
            return {}, f"the required input {name!r} is missing"
        if value and declared.refuses(value):
            allowed = ", ".join(declared.options or ("true", "false"))
            return {}, f"the input {name} cannot be {value!r}; the values are: {allowed}"
        complete[name] = value
    return complete, ""
