"""The source of each action that the workflow uses: the real action, or a stand-in of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from containers.recipe import RECIPES
from verification.models.action import ActionDefinition
from verification.models.base import DataError, Model, read_toml
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
    """Return the source of each action of the workflow, and of the workflows that it calls.

    With ``folder`` the real action is run wherever ``folder/OWNER/NAME@REF`` or
    ``folder/OWNER/NAME`` is. A called workflow of another repository must be there.

    Raises:
        TestbedFailure: ``action-unavailable``: there is neither a real one nor a stand-in, or no
            checkout of a called workflow.
        WrongUse: the folder is none.
    """
    if folder and not folder.is_dir():
        raise WrongUse(f"{folder}: there is no such folder of actions")
    known = stand_in_actions()
    sources = [
        _source(step, running.workflow.at(step.line), known, folder)
        for running in workflow.running_jobs
        for step in running.job.steps
        # An action of the repository itself is in the clone.
        if step.uses and not step.uses.startswith("./")
    ]
    calls = dict(_calls(workflow, folder))
    options = {f"{source.repository}@{source.ref}": source.target for source in sources}
    options |= {name: _real_target(name) for name in calls}
    return ResolvedActions(
        uses=tuple(source.use for source in sources),
        options=tuple(f"--local-repository={name}={target}" for name, target in options.items()),
        real={source.target: source.checkout for source in sources if source.checkout}
        | {_real_target(name): checkout for name, checkout in calls.items()},
    )


def _calls(workflow: Workflow, folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Yield OWNER/NAME@REF of each other repository whose workflow is called, and its checkout."""
    for running in workflow.running_jobs:
        for job in (*running.callers, running.job):
            if job.uses is None or job.uses.startswith("./"):
                continue
            name, _, ref = job.uses.partition("@")
            repository = "/".join(name.split("/")[:2])
            checkout = find_checkout(folder, repository, ref)
            if checkout is None:
                where = running.workflow.at(job.line)
                raise _unavailable(
                    where,
                    f"{repository}@{ref}",
                    "it has a workflow that is called, and there is no checkout of it",
                )
            yield f"{repository}@{ref}", checkout


def _real_target(name: str) -> str:
    """Return where act finds the checkout of OWNER/NAME@REF."""
    return f"{REAL}/{name.replace('/', '-')}"


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
    checkout = find_checkout(folder, repository, ref)
    kind: Literal["real", "stand-in"]
    if checkout:
        kind, version, action = "real", ref, checkout
        target, shown = _real_target(f"{repository}@{ref}"), str(checkout)
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
    try:
        return tuple(ActionDefinition.load(folder).read(step.with_).unknown)
    except DataError as error:
        raise _unavailable(where, step.uses or "", str(error)) from None


def _unavailable(where: str, uses: str, observed: str) -> TestbedFailure:
    return TestbedFailure(
        "action-unavailable",
        where,
        f"{uses} cannot be run here: {observed}; give its checkout as FOLDER/{uses} (actions_from)",
    )


def find_checkout(folder: Path | None, repository: str, ref: str) -> Path | None:
    """Return the checkout of a repository at a ref in a folder of checkouts, or None."""
    if folder is None:
        return None
    for checkout in (folder / f"{repository}@{ref}", folder / repository):
        if checkout.is_dir():
            return checkout
    return None
