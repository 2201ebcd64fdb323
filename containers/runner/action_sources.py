"""Where each GitHub action of the workflow comes from: the real action, or a stand-in action."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from containers.recipe import RECIPES
from containers.runner.action_identity import ActionIdentity, identify, pinned_commit
from containers.runner.action_runs import DOCKER_IMAGE, ActionRuns, read_runs
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
_LOCAL = "./"


class StandInAction(ActionVersions):
    """A stand-in action: the action that it replaces, and the versions that it replaces."""

    @property
    def folder(self) -> Path:
        """Its folder. The name is that of the action, with a hyphen for the slash."""
        return STAND_INS / self.action.replace("/", "-")

    def version(self, uses: str, comment: str) -> ActionVersion | None:
        """Return the version that a step names, or None if the stand-in does not replace it.

        ``comment`` is the comment after ``uses``.
        """
        name, _, ref = uses.partition("@")
        version = self.find(ref, comment)
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


FindImage = Callable[[str], str | None]
"""A function that returns the id of an image of the engine by its name, or None."""


@dataclasses.dataclass(frozen=True)
class ResolvedActions:
    """The GitHub actions of a workflow: real actions and stand-ins."""

    uses: tuple[ActionUse, ...]
    options: tuple[str, ...]
    """The options of act that name the folder of each action."""
    real: dict[str, Path]
    """The checkouts of real actions, by their folder in the conductor."""
    dockerfiles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The step that needs each Dockerfile of an action, by the path in the conductor or in the
    repository."""


def resolve(
    workflow: Workflow,
    folder: Path | None = None,
    *,
    root: Path | None = None,
    find_image: FindImage = lambda _: None,
) -> ResolvedActions:
    """Return the GitHub actions of the workflow and of the workflows that it calls, with folders.

    The actions that a composite action uses are included, also those of the actions of the
    repository, whose files are in ``root``. The real action runs if ``folder`` has its checkout as
    ``OWNER/NAME@REF`` or ``OWNER/NAME``, otherwise a stand-in. ``folder`` must have the checkout of
    a called workflow of another repository.

    Raises:
        TestbedFailure: ``action-unavailable``: an action has neither a checkout nor a stand-in, a
            called workflow has no checkout, or the engine does not have the image of an action.
        WrongUse: the folder does not exist.
    """
    if folder and not folder.is_dir():
        raise WrongUse(f"{folder}: this folder of actions does not exist; correct the path")
    resolver = _Resolver(folder, root, find_image)
    for running in workflow.running_jobs:
        for step in running.job.steps:
            if step.uses:
                resolver.add(step.uses, running.workflow.location(step.line), step=step)
    for running in workflow.running_jobs:
        for job in (*running.callers, running.job):
            if job.uses and not job.uses.startswith(_LOCAL):
                resolver.add_call(job.uses, running.workflow.location(job.line))
    return resolver.result()


class _Resolver:
    """Collects the actions of a workflow, and the actions that they use."""

    def __init__(self, folder: Path | None, root: Path | None, find_image: FindImage) -> None:
        self._folder = folder
        self._root = root
        self._find_image = find_image
        self._stand_ins = stand_in_actions()
        self._uses: dict[tuple[str, str, tuple[str, ...]], ActionUse] = {}
        self._targets: dict[str, str] = {}
        """The folder in the conductor of each OWNER/NAME@REF."""
        self._real: dict[str, Path] = {}
        self._dockerfiles: dict[str, str] = {}
        self._identities: dict[Path, ActionIdentity] = {}

    def result(self) -> ResolvedActions:
        """Return the actions that were added."""
        targets = self._targets.items()
        return ResolvedActions(
            uses=tuple(self._uses.values()),
            options=(
                versions_option(self._uses.values()),
                *(f"--local-repository={name}={target}" for name, target in targets),
            ),
            real=self._real,
            dockerfiles=self._dockerfiles,
        )

    def add(
        self,
        uses: str,
        where: str,
        chain: tuple[str, ...] = (),
        step: WorkflowStep | None = None,
    ) -> None:
        """Add the action of a step. ``chain`` has the actions that use it, the first one first.

        ``step`` is a step of the workflow; None for a step of an action.
        """
        if uses in chain:
            return  # act reports the circle
        if uses.startswith(DOCKER_IMAGE):
            image = self._image(uses, where, chain)
            self._keep(_real_use(uses, where, chain, identity=f"image {image}"))
        elif uses.startswith(_LOCAL):
            # A folder that the repository does not have can be made by an earlier step.
            if self._root and (runs := self._runs(self._root / uses, uses, where, chain)):
                self._add_runs(runs, uses.removeprefix(_LOCAL), where, (*chain, uses))
        else:
            self._add_remote(uses, where, chain, step)

    def add_call(self, uses: str, where: str) -> None:
        """Add the repository of a called workflow."""
        name, _, ref = uses.partition("@")
        repository = "/".join(name.split("/")[:2])
        checkout = find_checkout(self._folder, repository, ref)
        if checkout is None:
            reason = "the workflow calls a workflow of this repository, which has no checkout"
            raise _unavailable(where, (), f"{repository}@{ref}", reason)
        self._add_checkout(f"{repository}@{ref}", checkout)
        self._keep(self._checkout_use(uses, where, (), checkout, ref))

    def _add_remote(
        self, uses: str, where: str, chain: tuple[str, ...], step: WorkflowStep | None
    ) -> None:
        name, _, ref = uses.partition("@")
        if not ref or name.count("/") < 1:
            raise _unavailable(where, chain, uses, "it must have the form OWNER/NAME@REF")
        repository = "/".join(name.split("/")[:2])
        path = name.removeprefix(repository).lstrip("/")
        checkout = find_checkout(self._folder, repository, ref)
        stand_in = self._stand_ins.get(repository)
        if checkout:
            use, action = self._checkout_use(uses, where, chain, checkout, ref), checkout
            target = self._add_checkout(f"{repository}@{ref}", checkout)
        elif stand_in and (replaced := stand_in.version(uses, step.comment if step else "")):
            action = stand_in.folder
            use = ActionUse(
                uses=uses,
                where=where,
                kind="stand-in",
                version=replaced.version,
                named=replaced.named,
                confirmed=replaced.confirmed,
                folder=action.name,
                used_by=chain,
            )
            target = self._targets[f"{repository}@{ref}"] = f"{IN_IMAGE}/{action.name}"
        else:
            raise _unavailable(where, chain, uses, _missing(stand_in, ref, self._stand_ins))
        runs = self._runs(action / path, uses, where, chain)
        if runs is None:
            raise _unavailable(where, chain, uses, f"{action / path} has no action.yml")
        if step:
            unknown = _unknown_inputs(step, where, action / path, use.version)
            use = use.model_copy(update={"inputs": step.with_, "unknown": unknown})
        self._keep(use)
        self._add_runs(runs, f"{target}/{path}".rstrip("/"), where, (*chain, uses))

    def _add_runs(self, runs: ActionRuns, target: str, where: str, chain: tuple[str, ...]) -> None:
        """Add what an action needs. ``target`` is its folder in the conductor or the repository."""
        for uses in runs.uses:
            self.add(uses, where, chain)
        if runs.dockerfile:
            dockerfile = posixpath.normpath(posixpath.join(target, runs.dockerfile))
            self._dockerfiles.setdefault(dockerfile, f"{where}: {' > '.join(chain)}")
        elif runs.image:
            self._image(runs.image, where, chain)

    def _image(self, name: str, where: str, chain: tuple[str, ...]) -> str:
        """Return the id of an image of the engine. ``name`` has the prefix ``docker://``."""
        image = self._find_image(name.removeprefix(DOCKER_IMAGE))
        if image is None:
            message = (
                f"{name} cannot run{_used_by(chain)}: the engine does not have this image. Load it "
                "under this name (docker load, docker tag)"
            )
            raise TestbedFailure("action-unavailable", where, message)
        return image

    def _runs(
        self, folder: Path, uses: str, where: str, chain: tuple[str, ...]
    ) -> ActionRuns | None:
        try:
            return read_runs(folder)
        except DataError as error:
            raise _unavailable(where, chain, uses, str(error)) from None

    def _keep(self, use: ActionUse) -> None:
        self._uses.setdefault((use.uses, use.where, use.used_by), use)

    def _add_checkout(self, name: str, checkout: Path) -> str:
        """Add the checkout of OWNER/NAME@REF. Return its folder in the conductor."""
        target = f"{REAL}/{name.replace('/', '-')}"
        self._targets[name] = target
        self._real[target] = checkout
        return target

    def _checkout_use(
        self, uses: str, where: str, chain: tuple[str, ...], checkout: Path, ref: str
    ) -> ActionUse:
        if checkout not in self._identities:
            self._identities[checkout] = identify(checkout)
        identity = self._identities[checkout]
        use = _real_use(uses, where, chain, identity=identity.text)
        update = {
            "version": identity.version,
            "folder": str(checkout),
            "pinned": pinned_commit(checkout, ref),
        }
        return use.model_copy(update=update)


def _real_use(uses: str, where: str, chain: tuple[str, ...], *, identity: str) -> ActionUse:
    return ActionUse(
        uses=uses,
        where=where,
        kind="real",
        version="",
        folder="",
        identity=identity,
        used_by=chain,
    )


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
    if not any((folder / name).is_file() for name in ("action.yml", "action.yaml")):
        return ()  # only a Dockerfile
    try:
        return tuple(ActionDefinition.load(folder, version).read(step.with_).unknown)
    except DataError as error:
        raise _unavailable(where, (), step.uses or "", str(error)) from None


def _unavailable(where: str, chain: tuple[str, ...], uses: str, message: str) -> TestbedFailure:
    return TestbedFailure(
        "action-unavailable",
        where,
        f"{uses} cannot run{_used_by(chain)}: {message}. Put its checkout at FOLDER/{uses} "
        "(actions_from)",
    )


def _used_by(chain: tuple[str, ...]) -> str:
    return f" (used by {' > '.join(chain)})" if chain else ""


def find_checkout(folder: Path | None, repository: str, ref: str) -> Path | None:
    """Return the checkout of a repository at a ref in a folder of checkouts, or None."""
    if folder is None:
        return None
    for checkout in (folder / f"{repository}@{ref}", folder / repository):
        if checkout.is_dir():
            return checkout
    return None
