"""What is wrong with the release pipeline, seen without running it on GitHub or on act.

Gathers all faults and never stops at the first.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verification.models.cause import Cause, in_order
from verification.models.errors import WrongUse
from verification.models.subject import Subject
from verification.models.workflow import BadWorkflow, Workflow, load
from verification.pipeline import action_pins as actions
from verification.pipeline import job_order as course
from verification.pipeline import permissions as grants
from verification.pipeline import release_page as page
from verification.pipeline import validate_script as rehearsal
from verification.pipeline import wheel_transfer as wheels
from verification.pipeline.plan import Plan, plan
from verification.rules.catalogue import catalogue

FOLDER = Path(".github/workflows")


@dataclass(frozen=True)
class Examination:
    """The pipeline of a repository, and everything that is wrong with it."""

    workflow: Workflow | None
    rehearsal: rehearsal.Rehearsal
    causes: tuple[Cause, ...]

    def names(self) -> frozenset[str]:
        """Return the names of the causes."""
        return frozenset(cause.name for cause in self.causes)


def examine(repository: Path, *, subject: Subject, held_to: Plan | None = None) -> Examination:
    """Examine the release pipeline of a repository's work tree.

    The validate job's own script is run, in an empty folder; nothing else is.

    Raises:
        WrongUse: if the folder has no pyproject.toml of the package that can be read.
    """
    wanted = held_to or plan()
    project = _project(repository, wanted)
    settings = project.get("tool", {}).get("cibuildwheel", {})
    nothing = rehearsal.Rehearsal((), ())
    path = repository / FOLDER / wanted.workflow
    if not path.is_file():
        others = sorted(file.name for file in (repository / FOLDER).glob("*.y*ml"))
        told = ", ".join(others) or "none"
        seen = f"is not there, and it is the workflow that is registered; the workflows are: {told}"
        cause = catalogue().cause("publisher-mismatch", where=str(FOLDER / path.name), seen=seen)
        return Examination(None, nothing, (cause,))
    try:
        workflow = load(path)
        causes = [
            *course.start(workflow, wanted, f"v{project['project']['version']}"),
            *course.order(workflow, wanted),
            *course.conditions(workflow),
            *course.interruption(workflow),
        ]
    except BadWorkflow as error:
        where, _, seen = str(error).partition(": ")
        where = where.removeprefix(f"{path.parent}/")
        cause = catalogue().cause("workflow-invalid", where=where, seen=seen)
        return Examination(None, nothing, (cause,))
    causes += grants.permissions(workflow, wanted)
    causes += grants.publisher(workflow, wanted)
    causes += grants.tokens(workflow)
    causes += grants.credentials(workflow)
    causes += actions.known(workflow, wanted)
    causes += actions.pinned(workflow, wanted)
    causes += actions.installs(workflow)
    causes += actions.runners(workflow, wanted)
    causes += wheels.source(workflow, wanted)
    causes += wheels.built(workflow, wanted, subject, settings)
    causes += wheels.carried(workflow)
    tried = rehearsal.rehearse_all(workflow, repository, wanted, subject)
    causes += tried.causes
    causes += page.faults(workflow, tried)
    return Examination(workflow, tried, in_order(causes))


def _project(repository: Path, wanted: Plan) -> dict[str, Any]:
    path = repository / wanted.package_dir / "pyproject.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read: {error}") from None
    table = data.get("project")
    if not isinstance(table, dict) or not isinstance(table.get("version"), str):
        raise WrongUse(f"{path}: has no `version` under [project]; the tag is compared with it")
    return data
