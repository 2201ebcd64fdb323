"""The files of a repository that decide how a release is made: the workflow and the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from verification.models.base import Model
from verification.models.errors import WrongUse
from verification.models.workflow import BadWorkflow, Workflow
from verification.models.workflow_call import with_called
from verification.models.workflow_file import load as load_workflow
from verification.pipeline.plan import Plan

WORKFLOW_FOLDER = Path(".github/workflows")
_VERSION_LINE = re.compile(r'^version\s*=\s*"([^"]+)"', re.MULTILINE)


class Project(Model):
    """The package's pyproject.toml, as far as a release depends on it."""

    text: str
    version: str
    build: tuple[str, ...]
    """The build identifiers that cibuildwheel selects, as patterns."""
    skip: tuple[str, ...]
    """Those that it leaves out, as patterns."""
    is_tested: bool
    """Whether cibuildwheel tests every wheel that it builds."""

    @property
    def written_version(self) -> str | None:
        """The version in the first line of the file that sets one."""
        match = _VERSION_LINE.search(self.text)
        return match[1] if match else None

    def with_version(self, version: str) -> str:
        """Return the text of the file with another version."""
        return _VERSION_LINE.sub(f'version = "{version}"', self.text, count=1)


class RepositoryFiles(Model):
    """What a repository says about its releases."""

    workflows: tuple[str, ...]
    """The names of its workflow files."""
    workflow: Workflow | None
    """The workflow that is registered; None if it is not there or cannot be used."""
    fault: str
    """Why the workflow cannot be used; empty if it can, or is not there."""
    project: Project


def load(repository: Path, plan: Plan) -> RepositoryFiles:
    """Read the workflow and the project of a repository's work tree.

    Raises:
        WrongUse: the folder has no pyproject.toml of the package that can be read.
    """
    project = _project(repository / plan.package_dir / "pyproject.toml")
    folder = repository / WORKFLOW_FOLDER
    names = sorted(file.name for file in folder.glob("*.y*ml"))
    workflow, fault = None, ""
    if (folder / plan.workflow).is_file():
        try:
            workflow = with_called(load_workflow(folder / plan.workflow), repository)
        except BadWorkflow as error:
            fault = str(error).removeprefix(f"{folder}/")
    return RepositoryFiles(workflows=tuple(names), workflow=workflow, fault=fault, project=project)


def _project(path: Path) -> Project:
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read: {error}") from None
    table = data.get("project")
    if not isinstance(table, dict) or not isinstance(table.get("version"), str):
        raise WrongUse(f"{path}: has no `version` under [project]; the tag is compared with it")
    settings = data.get("tool", {}).get("cibuildwheel", {})
    return Project(
        text=text,
        version=table["version"],
        build=_words(settings.get("build", "*")),
        skip=_words(settings.get("skip", "")),
        is_tested=bool(settings.get("test-command")) and not settings.get("test-skip"),
    )


def _words(selection: str | list[str]) -> tuple[str, ...]:
    """Return a selection of cibuildwheel, which is a text or a list."""
    return tuple(selection.split() if isinstance(selection, str) else selection)
