"""Read the files of a repository that define a release: the workflow and the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from verification.models.base import Model
from verification.models.errors import WrongUse
from verification.models.workflow import BadWorkflow, Workflow
from verification.models.workflow_call import with_called_workflows
from verification.models.workflow_file import load as load_workflow
from verification.pipeline.plan import Plan

WORKFLOW_FOLDER = Path(".github/workflows")
_VERSION_LINE = re.compile(r'^version\s*=\s*"([^"]+)"', re.MULTILINE)


class Project(Model):
    """The values in the package's pyproject.toml on which a release depends."""

    text: str
    version: str
    build: tuple[str, ...]
    """The patterns of the build identifiers that cibuildwheel builds."""
    skip: tuple[str, ...]
    """The patterns of the build identifiers that cibuildwheel skips."""
    is_tested: bool
    """True if cibuildwheel tests every wheel that it builds."""

    @property
    def written_version(self) -> str | None:
        """The version in the first line of the file that sets a version, or None."""
        match = _VERSION_LINE.search(self.text)
        return match[1] if match else None

    def with_version(self, version: str) -> str:
        """Return the text of the file with another version."""
        return _VERSION_LINE.sub(f'version = "{version}"', self.text, count=1)


class RepositoryFiles(Model):
    """The files of a repository that define a release."""

    workflows: tuple[str, ...]
    """The names of the workflow files."""
    workflow: Workflow | None
    """The registered workflow; None if the file does not exist or is invalid."""
    fault: str
    """The reason why the workflow is invalid; empty if it is valid or does not exist."""
    project: Project


def load(repository: Path, plan: Plan) -> RepositoryFiles:
    """Read the workflow and the project in the work tree of a repository.

    Raises:
        WrongUse: the package has no readable pyproject.toml, or it has no version.
    """
    project = _project(repository / plan.package_dir / "pyproject.toml")
    folder = repository / WORKFLOW_FOLDER
    names = sorted(file.name for file in folder.glob("*.y*ml"))
    workflow, fault = None, ""
    if (folder / plan.workflow).is_file():
        try:
            workflow = with_called_workflows(load_workflow(folder / plan.workflow), repository)
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
        raise WrongUse(f"{path}: [project] has no `version`; the suite compares it with the tag")
    settings = data.get("tool", {}).get("cibuildwheel", {})
    return Project(
        text=text,
        version=table["version"],
        build=_words(settings.get("build", "*")),
        skip=_words(settings.get("skip", "")),
        is_tested=bool(settings.get("test-command")) and not settings.get("test-skip"),
    )


def _words(selection: str | list[str]) -> tuple[str, ...]:
    """Return the patterns of a cibuildwheel option, which is a string or a list."""
    return tuple(selection.split() if isinstance(selection, str) else selection)
