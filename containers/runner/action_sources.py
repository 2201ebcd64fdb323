"""Where each GitHub action of the workflow comes from: the real action, or a stand-in action."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from containers.recipe import RECIPES
from verification.models.action import (
    ActionDefinition,
    ActionVersion,
    ActionVersions,
    is_commit,
    version_number,
)
from verification.models.base import DataError
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import ActionUse
from verification.models.workflow import Workflow, WorkflowStep

STAND_INS = RECIPES / "runner" / "actions"
IN_IMAGE = "/opt/runner/actions"
REAL = "/opt/real"
"""The folder of the real actions in the conductor."""


class StandInAction(ActionVersions):
    """A stand-in action: the action that it replaces, and the versions that it replaces."""

    @property
    def folder(self) -> Path:
        """Its folder. The name is that of the action, with a hyphen for the slash."""
        return STAND_INS / self.action.replace("/", "-")

    def version(self, step: WorkflowStep) -> ActionVersion | None:
        """Return the version that a step names, or None if the stand-in does not replace it."""
        name, _, ref = (step.uses or "").partition("@")
        version = self.find(ref, step.comment)
        first = self.folders.get("/".join(name.split("/")[2:]), "")
        is_older = version and version_number(version.version) < version_number(first)
        return None if is_older else version


def stand_in_actions() -> dict[str, StandInAction]:
    """Return the stand-ins, by the action that they replace."""
    folders = sorted(path.parent for path in STAND_INS.glob("*/stand-in.toml"))
    return {stand_in.action: stand_in for stand_in in map(StandInAction.load, folders)}


def versions_option(uses: Iterable[ActionUse]) -> str:
    """Return the option of act that informs the stand-ins about the versions that they replace.

    `stand_ins/toolkit.py` in the image of the runner reads the variable.
    """
    replaced = {}
    for use in uses:
        if use.kind == "stand-in":
            name, _, ref = use.uses.partition("@")
            repository = "/".join(name.split("/")[:2])
            replaced[f"{repository}@{ref}"] = replaced_version(STAND_INS / use.folder, use.version)
    return f"--env=E2E_ACTIONS={json.dumps(replaced)}"


def replaced_version(folder: Path, version: str) -> dict[str, str | dict[str, str]]:
    """Return how the inputs of a version differ from the newest, for the stand-in in ``folder``.

    An input has the same meaning in all subfolders.
    """
    absent: dict[str, str] = {}
    defaults: dict[str, str] = {}
    for path in folder.rglob("inputs.toml"):
        newest = ActionDefinition.load(path.parent).inputs
        definition = ActionDefinition.load(path.parent, version)
        absent |= definition.absent
        defaults |= {
            name: rule.default
            for name, rule in definition.inputs.items()
            if name in newest and rule.default != newest[name].default
        }
    return {"version": version, "absent": absent, "defaults": defaults}


@dataclasses.dataclass(frozen=True)
class ResolvedActions:
    """The GitHub actions of a workflow: real actions and stand-ins."""

    uses: tuple[ActionUse, ...]
    options: tuple[str, ...]
    """The options of act that name the folder of each action."""
    real: dict[str, Path]
    """The checkouts of real actions, by their folder in the conductor."""


def resolve(workflow: Workflow, folder: Path | None = None) -> ResolvedActions:
    """Return the GitHub actions of the workflow and of the workflows that it calls, with folders.

    The real action runs if ``folder`` has its checkout as ``OWNER/NAME@REF`` or ``OWNER/NAME``,
    otherwise a stand-in. ``folder`` must have the checkout of a called workflow of another
    repository.

    Raises:
        TestbedFailure: ``action-unavailable``: an action has neither a checkout nor a stand-in, or
            a called workflow has no checkout.
        WrongUse: the folder does not exist.
    """
    if folder and not folder.is_dir():
        raise WrongUse(f"{folder}: this folder of actions does not exist; correct the path")
    stand_ins = stand_in_actions()
    sources = [
        _source(step, running.workflow.location(step.line), stand_ins, folder)
        for running in workflow.running_jobs
        for step in running.job.steps
        # The clone contains the actions of the repository.
        if step.uses and not step.uses.startswith("./")
    ]
    calls = dict(_calls(workflow, folder))
    options = {f"{source.repository}@{source.ref}": source.target for source in sources}
    options |= {name: _real_target(name) for name in calls}
    return ResolvedActions(
        uses=tuple(source.use for source in sources),
        options=(
            versions_option(source.use for source in sources),
            *(f"--local-repository={name}={target}" for name, target in options.items()),
        ),
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
                where = running.workflow.location(job.line)
                raise _unavailable(
                    where,
                    f"{repository}@{ref}",
                    "the workflow calls a workflow of this repository, which has no checkout",
                )
            yield f"{repository}@{ref}", checkout


def _real_target(name: str) -> str:
    """Return the folder of the checkout of OWNER/NAME@REF in the conductor."""
    return f"{REAL}/{name.replace('/', '-')}"


@dataclasses.dataclass(frozen=True)
class _Source:
    """The GitHub action that one step of the workflow uses."""

    use: ActionUse
    repository: str
    ref: str
    target: str
    """Its folder in the conductor."""
    checkout: Path | None
    """The checkout of a real action. None for a stand-in."""


def _source(
    step: WorkflowStep, where: str, stand_ins: Mapping[str, StandInAction], folder: Path | None
) -> _Source:
    uses = step.uses or ""
    name, _, ref = uses.partition("@")
    if name.startswith("docker:") or not ref or name.count("/") < 1:
        raise _unavailable(where, uses, "an action in a separate image is not supported")
    repository = "/".join(name.split("/")[:2])
    path = name.removeprefix(repository).lstrip("/")
    stand_in = stand_ins.get(repository)
    checkout = find_checkout(folder, repository, ref)
    kind: Literal["real", "stand-in"]
    version = ActionVersion(named=ref, version=ref, confirmed=True)
    if checkout:
        kind, action = "real", checkout
        target, name = _real_target(f"{repository}@{ref}"), str(checkout)
    elif stand_in and (replaced := stand_in.version(step)):
        kind, version, action = "stand-in", replaced, stand_in.folder
        target, name = f"{IN_IMAGE}/{action.name}", action.name
    else:
        raise _unavailable(where, uses, _missing(stand_in, ref, stand_ins))
    use = ActionUse(
        uses=uses,
        where=where,
        kind=kind,
        version=version.version,
        named=version.named,
        confirmed=version.confirmed,
        folder=name,
        unknown=_unknown_inputs(step, where, action / path, version.version),
    )
    return _Source(use, repository, ref, target, checkout)


def _missing(
    stand_in: StandInAction | None, ref: str, stand_ins: Mapping[str, StandInAction]
) -> str:
    """Return why no stand-in replaces the action at ``ref``."""
    if stand_in is None:
        return f"stand-ins exist only for {', '.join(stand_ins)}"
    majors = ", ".join(f"v{major}" for major in stand_in.majors)
    message = f"the stand-in for {stand_in.action} replaces only {majors}"
    folders = [f"{folder} since v{first}" for folder, first in stand_in.folders.items()]
    if is_commit(ref):
        message += "; this commit is in none of their tags. A comment such as `# v1.2.3` names one"
    return f"{message}; it has {', '.join(folders)}" if folders else message


def _unknown_inputs(step: WorkflowStep, where: str, folder: Path, version: str) -> tuple[str, ...]:
    """Return the inputs of a step that the action in ``folder`` does not have in a version."""
    try:
        return tuple(ActionDefinition.load(folder, version).read(step.with_).unknown)
    except DataError as error:
        raise _unavailable(where, step.uses or "", str(error)) from None


def _unavailable(where: str, uses: str, message: str) -> TestbedFailure:
    return TestbedFailure(
        "action-unavailable",
        where,
        f"{uses} cannot run: {message}. Put its checkout at FOLDER/{uses} (actions_from)",
    )


def find_checkout(folder: Path | None, repository: str, ref: str) -> Path | None:
    """Return the checkout of a repository at a ref in a folder of checkouts, or None."""
    if folder is None:
        return None
    for checkout in (folder / f"{repository}@{ref}", folder / repository):
        if checkout.is_dir():
            return checkout
    return None
