"""The source of each action that the workflow uses: the real action, or a stand-in of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from containers.recipe import RECIPES
from verification.models.base import Model, read_toml
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import ActionUse
from verification.models.workflow import Workflow, WorkflowStep

STAND_INS = RECIPES / "runner" / "actions"
IN_IMAGE = "/opt/runner/actions"
REAL = "/opt/real"
"""Where real actions are put for act."""


class ActionVersion(Model):
    """A version that a stand-in stands for, its commit, and the names by which it is asked for."""

    version: str
    commit: str
    refs: tuple[str, ...]


class StandInAction(Model):
    """A stand-in action: what it plays, and each version that it stands for."""

    action: str
    versions: tuple[ActionVersion, ...] = Field(alias="stands-for")

    @property
    def folder(self) -> Path:
        """Its folder, which is named as the action."""
        return STAND_INS / self.action.replace("/", "-")

    def version(self, ref: str) -> str | None:
        """Return the version that ``ref`` means, if it stands for that."""
        for known in self.versions:
            if ref == known.commit or ref in known.refs:
                return known.version
        return None


def stand_in_actions() -> dict[str, StandInAction]:
    """Return the stand-ins, by the action that they play."""
    read = (read_toml(StandInAction, path) for path in sorted(STAND_INS.glob("*/stand-in.toml")))
    return {stand_in.action: stand_in for stand_in in read}


@dataclasses.dataclass(frozen=True)
class ResolvedActions:
    """The actions of a workflow, resolved."""

    uses: tuple[ActionUse, ...]
    options: tuple[str, ...]
    """Act's options that say where each is."""
    real: dict[str, Path]
    """Folders of real actions, by where act is to find them."""


def resolve(workflow: Workflow, folder: Path | None = None) -> ResolvedActions:
    """Return what plays each action of the workflow.

    With ``folder`` the real action is run wherever ``folder/OWNER/NAME@REF`` or
    ``folder/OWNER/NAME`` is.

    Raises:
        TestbedFailure: ``action-unavailable``: there is neither a real one nor a stand-in.
        WrongUse: the folder is none.
    """
    if folder and not folder.is_dir():
        raise WrongUse(f"{folder}: there is no such folder of actions")
    known = stand_in_actions()
    sources = [
        _source(step, workflow.at(step.line), known, folder)
        for job in workflow.jobs.values()
        for step in job.steps
        # An action of the repository itself is in the clone.
        if step.uses and not step.uses.startswith("./")
    ]
    options = {f"{source.repository}@{source.ref}": source.target for source in sources}
    return ResolvedActions(
        uses=tuple(source.use for source in sources),
        options=tuple(f"--local-repository={name}={target}" for name, target in options.items()),
        real={source.target: source.checkout for source in sources if source.checkout},
    )


@dataclasses.dataclass(frozen=True)
class _Source:
    """What plays the action of one step."""

    use: ActionUse
    repository: str
    ref: str
    target: str
    """Where act is to find it."""
    checkout: Path | None
    """The folder of a real action; None for a stand-in."""


def _source(
    step: WorkflowStep, where: str, known: Mapping[str, StandInAction], folder: Path | None
) -> _Source:
    uses = step.uses or ""
    name, _, ref = uses.partition("@")
    if name.startswith("docker:") or not ref or name.count("/") < 1:
        raise _unavailable(where, uses, "an action in an image of its own")
    repository = "/".join(name.split("/")[:2])
    path = name.removeprefix(repository).lstrip("/")
    stand_in = known.get(repository)
    checkout = _checkout(folder, repository, ref) if folder else None
    kind: Literal["real", "stand-in"]
    if checkout:
        kind, version, action = "real", ref, checkout
        target, shown = f"{REAL}/{repository.replace('/', '-')}@{ref}", str(checkout)
    elif stand_in and (own := stand_in.version(ref)):
        kind, version, action = "stand-in", own, stand_in.folder
        target, shown = f"{IN_IMAGE}/{action.name}", action.name
    else:
        offered = [one.version for one in stand_in.versions] if stand_in else known
        raise _unavailable(where, uses, f"there are stand-ins for {', '.join(offered)} only")
    use = ActionUse(
        uses=uses,
        where=where,
        kind=kind,
        version=version,
        folder=shown,
        unknown=_unknown_inputs(step, where, action / path),
    )
    return _Source(use, repository, ref, target, checkout)


def _unknown_inputs(step: WorkflowStep, where: str, folder: Path) -> tuple[str, ...]:
    """Return the inputs that a step gives and the action in a folder does not have."""
    for file in (folder / "action.yml", folder / "action.yaml"):
        if file.is_file():
            inputs = (yaml.safe_load(file.read_text("utf-8")) or {}).get("inputs") or {}
            known = {str(key).lower() for key in inputs}
            return tuple(sorted(key for key in step.with_ if key.lower() not in known))
    raise _unavailable(where, step.uses or "", f"{folder} has no action.yml")


def _unavailable(where: str, uses: str, observed: str) -> TestbedFailure:
    return TestbedFailure(
        "action-unavailable",
        where,
        f"{uses} cannot be run here: {observed}; give its checkout as FOLDER/{uses} (actions_from)",
    )


def _checkout(folder: Path, repository: str, ref: str) -> Path | None:
    for checkout in (folder / f"{repository}@{ref}", folder / repository):
        if checkout.is_dir():
            return checkout
    return None
