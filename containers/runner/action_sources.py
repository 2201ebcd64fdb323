"""What plays each action that the workflow names: a real one, or a stand-in of ours."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import yaml

from containers.images import RECIPES
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.pipeline import ActionUse
from verification.models.workflow import Step, Workflow

STAND_INS = RECIPES / "runner" / "actions"
IN_IMAGE = "/opt/runner/actions"
REAL = "/opt/real"
"""Where real actions are put for act."""


@dataclasses.dataclass(frozen=True)
class StandIn:
    """A stand-in action: what it plays, and each version that it stands for."""

    action: str
    folder: Path
    versions: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Version, commit and the names by which it is asked for."""

    def version(self, ref: str) -> str | None:
        """Return the version that ``ref`` means, if it stands for that."""
        for version, commit, names in self.versions:
            if ref == commit or ref in names:
                return version
        return None


def stand_ins(top: Path = STAND_INS) -> dict[str, StandIn]:
    """Return the stand-ins, by the action that they play."""
    found = {}
    for path in sorted(top.glob("*/stand-in.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        found[data["action"]] = StandIn(
            data["action"],
            path.parent,
            tuple(
                (line["version"], line["commit"], tuple(line["refs"]))
                for line in data["stands-for"]
            ),
        )
    return found


@dataclasses.dataclass(frozen=True)
class Actions:
    """The actions of a workflow, resolved."""

    uses: tuple[ActionUse, ...]
    options: tuple[str, ...]
    """Act's options that say where each is."""
    real: dict[str, Path]
    """Folders of real actions, by where act is to find them."""


def resolve(workflow: Workflow, folder: Path | None = None) -> Actions:
    """Say what plays each action of the workflow.

    With ``folder`` the real action is run wherever ``folder/OWNER/NAME@REF`` or
    ``folder/OWNER/NAME`` is.

    Raises:
        TestbedFailure: ``action-unavailable``: there is neither a real one nor a stand-in.
        WrongUse: the folder is none.
    """
    if folder and not folder.is_dir():
        raise WrongUse(f"{folder}: there is no such folder of actions")
    ours = stand_ins()
    uses: list[ActionUse] = []
    options: dict[str, str] = {}
    real: dict[str, Path] = {}
    for job in workflow.jobs.values():
        for step in job.steps:
            if not step.uses or step.uses.startswith("./"):
                continue  # an action of the repository itself is in the clone
            name, _, ref = step.uses.partition("@")
            where = workflow.at(step.line)
            if name.startswith("docker:") or not ref or name.count("/") < 1:
                raise _unavailable(where, step.uses, "an action in an image of its own")
            repository = "/".join(name.split("/")[:2])
            path = name.removeprefix(repository).lstrip("/")
            if folder and (have := _checkout(folder, repository, ref)):
                place = f"{REAL}/{repository.replace('/', '-')}@{ref}"
                real[place] = have
                use = _use(step, where, "real", ref, have, path)
            elif (stand_in := ours.get(repository)) and (version := stand_in.version(ref)):
                place = f"{IN_IMAGE}/{stand_in.folder.name}"
                use = _use(step, where, "stand-in", version, stand_in.folder, path)
            else:
                versions = [version for version, _, _ in stand_in.versions] if stand_in else ours
                offered = f"there are stand-ins for {', '.join(versions)} only"
                raise _unavailable(where, step.uses, offered)
            uses.append(use)
            options[f"{repository}@{ref}"] = place
    return Actions(
        tuple(uses),
        tuple(f"--local-repository={name}={place}" for name, place in options.items()),
        real,
    )


def _unavailable(where: str, uses: str, seen: str) -> TestbedFailure:
    return TestbedFailure(
        "action-unavailable",
        where,
        f"{uses} cannot be run here: {seen}; give its checkout as FOLDER/{uses} (actions_from)",
    )


def _checkout(folder: Path, repository: str, ref: str) -> Path | None:
    for have in (folder / f"{repository}@{ref}", folder / repository):
        if have.is_dir():
            return have
    return None


def _use(step: Step, where: str, kind: str, version: str, folder: Path, path: str) -> ActionUse:
    for name in ("action.yml", "action.yaml"):
        file = folder / path / name
        if file.is_file():
            known = (yaml.safe_load(file.read_text("utf-8")) or {}).get("inputs") or {}
            break
    else:
        raise _unavailable(where, str(step.uses), f"{folder / path} has no action.yml")
    lower = {str(key).lower() for key in known}
    return ActionUse(
        uses=str(step.uses),
        where=where,
        kind=kind,
        version=version,
        folder=folder.name if kind == "stand-in" else str(folder),
        unknown=tuple(sorted(key for key in step.with_ if key.lower() not in lower)),
    )
