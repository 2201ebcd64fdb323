"""How a GitHub action runs: the key `runs` of its action.yml, or its Dockerfile."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import JsonValue

from verification.models.base import DataError, Model

DOCKER_IMAGE = "docker://"
"""The prefix of `uses` and of `runs.image` that names an image."""


class ActionRuns(Model):
    """How an action runs."""

    using: str
    """composite, docker, or node with its version."""
    image: str = ""
    """For docker: an image with its prefix, or the Dockerfile relative to the action's folder."""
    uses: tuple[str, ...] = ()
    """The actions that the steps of a composite action use."""

    @property
    def dockerfile(self) -> str:
        """The Dockerfile of the action, relative to its folder. Empty if it builds no image."""
        is_built = self.using == "docker" and not self.image.startswith(DOCKER_IMAGE)
        return self.image if is_built else ""


def read_runs(folder: Path) -> ActionRuns | None:
    """Return how the action in a folder runs, or None if the folder has no action.

    Raises:
        DataError: action.yml is not a description of an action.
    """
    for path in (folder / "action.yml", folder / "action.yaml"):
        if path.is_file():
            return _parse(path)
    is_docker = (folder / "Dockerfile").is_file()
    return ActionRuns(using="docker", image="Dockerfile") if is_docker else None


def _parse(path: Path) -> ActionRuns:
    try:
        runs: dict[str, JsonValue] = (yaml.safe_load(path.read_text("utf-8")) or {})["runs"]
        steps = runs.get("steps") or []
        uses = [step.get("uses") for step in steps]  # type: ignore[union-attr]
        return ActionRuns(
            using=str(runs["using"]),
            image=str(runs.get("image") or ""),
            uses=tuple(str(name) for name in uses if name),
        )
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: `runs` cannot be read: {' '.join(str(error).split())}") from None
