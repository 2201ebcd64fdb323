"""Read the files of a repository that define a release: the workflow and the project."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from verification.models.base import Model
from verification.models.errors import WrongUse
from verification.models.workflow import BadWorkflow, Workflow
from verification.models.workflow_call import load_with_called, with_local_actions
from verification.pipeline.plan import Plan

WORKFLOW_FOLDER = Path(".github/workflows")
_VERSION_LINE = re.compile(r'^version\s*=\s*"([^"]+)"', re.MULTILINE)


class Project(Model):
    """The values in the package's pyproject.toml on which a release depends."""

    text: str
    version: str
    """The version; empty if the build computes it."""
    version_from_tag: bool = False
    """True if the build reads the version from the tag."""
    build: tuple[str, ...]
    """The patterns of the build identifiers that cibuildwheel builds."""
    skip: tuple[str, ...]
    """The patterns of the build identifiers that cibuildwheel skips."""
    archs: tuple[str, ...] = ()
    """The processors for which cibuildwheel builds; empty for its default."""
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
    """The release workflow; None if the file does not exist or is invalid."""
    fault: str
    """The reason why the workflow is invalid; empty if it is valid or does not exist."""
    project: Project
    versions: Mapping[str, str] = {}
    """The version in each pyproject.toml at or near the root of the repository, by its path."""


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
            read = load_with_called(folder / plan.workflow, repository)
            workflow = _with_names(with_local_actions(read, repository))
        except BadWorkflow as error:
            fault = str(error).removeprefix(f"{folder}/")
    return RepositoryFiles(
        workflows=tuple(names),
        workflow=workflow,
        fault=fault,
        project=project,
        versions=dict(_versions(repository)),
    )


def _versions(repository: Path) -> Iterator[tuple[str, str]]:
    for pattern in ("pyproject.toml", "*/pyproject.toml", "*/*/pyproject.toml"):
        for path in repository.glob(pattern):
            try:
                version = _version(tomllib.loads(path.read_text("utf-8")))
            except (OSError, ValueError, RecursionError):
                continue
            yield path.relative_to(repository).as_posix(), version or ""


def _with_names(workflow: Workflow) -> Workflow:
    """Return a workflow whose paths are only the names of the files."""
    called = {job: _with_names(inner) for job, inner in workflow.called.items()}
    return workflow.model_copy(update={"path": Path(workflow.path.name), "called": called})


def _project(path: Path) -> Project:
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise WrongUse(f"{path}: cannot be read: {error}") from None
    version, from_tag = _version(data), _is_from_tag(data)
    is_missing = version is None and "version" not in _table(data, "project", "dynamic")
    if is_missing and "project" in data and not from_tag:
        raise WrongUse(f"{path}: [project] has no `version`; the suite compares it with the tag")
    settings = _table(data, "tool", "cibuildwheel")
    systems = [settings[name] for name in ("linux", "windows", "macos") if name in settings]
    archs = [_words(table.get("archs", "")) for table in (settings, *systems)]
    return Project(
        text=text,
        version=version or "",
        version_from_tag=from_tag,
        build=_words(settings.get("build", "*")),
        skip=_words(settings.get("skip", "")),
        archs=tuple(word for words in archs for word in words),
        is_tested=bool(settings.get("test-command")) and not settings.get("test-skip"),
    )


def _table(data: Any, *keys: str) -> Any:
    """Return the value under these keys; an empty table if there is none."""
    for key in keys:
        data = data.get(key, {}) if isinstance(data, dict) else {}
    return data


def _version(data: dict[str, Any]) -> str | None:
    """Return the version in pyproject.toml, or None if another file or the tag has it."""
    for value in (_table(data, "project", "version"), _table(data, "tool", "poetry", "version")):
        if isinstance(value, str):
            return value
    return None


def _is_from_tag(data: dict[str, Any]) -> bool:
    """Return whether a build back end reads the version from the tag."""
    tools = _table(data, "tool")
    requires = " ".join(map(str, _table(data, "build-system", "requires") or ()))
    source = _table(data, "tool", "hatch", "version", "source")
    scm = _table(data, "tool", "pdm", "version", "source")
    return (
        bool({"setuptools_scm", "setuptools-git-versioning", "versioningit"} & tools.keys())
        or bool(re.search(r"setuptools[_-]scm|versioningit|dynamic-versioning", requires))
        or source == "vcs"
        or scm == "scm"
    )


def _words(selection: str | list[str]) -> tuple[str, ...]:
    """Return the patterns of a cibuildwheel option, which is a string or a list."""
    return tuple(selection.split() if isinstance(selection, str) else selection)
