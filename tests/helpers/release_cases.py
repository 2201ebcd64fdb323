"""The release workflows of tests/faults/release_workflows, and their static examination.

Each folder is a small repository with a release workflow and a `case.toml`, which this module
reads. A case is healthy: its workflow releases the package. Each of its faults is one edit.
"""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

from pydantic import Field

from verification.models.base import Model, read_toml
from verification.models.cause import Cause, Severity
from verification.models.publisher import TrustedPublisher
from verification.models.subject import Platform, Subject
from verification.models.workflow import Event
from verification.pipeline import publishers
from verification.pipeline.plan import Plan
from verification.session import release_pipeline

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "faults" / "release_workflows"
WORKFLOWS = Path(".github/workflows")
LINTERS = {"actionlint-finding", "zizmor-finding"}
"""The causes of the findings of linters."""


class Fault(Model):
    """One edit of a case after which the release does not reach its users, or is wrong."""

    title: str
    file: str
    """The edited file, relative to the folder of the case."""
    old: str = Field(min_length=1)
    new: str
    cause: str
    """The name of the cause that must report the fault."""
    severity: Severity
    harm: str
    """What a user notices."""

    def apply(self, folder: Path) -> None:
        """Edit the file in a copy of the case. The old text must be there exactly once."""
        path = folder / self.file
        text = path.read_text("utf-8")
        assert text.count(self.old) == 1, f"{self.title}: {text.count(self.old)} places"
        path.write_text(text.replace(self.old, self.new), "utf-8")


class ReleaseCase(Model):
    """A repository whose workflow releases a package."""

    name: str
    """The name of its folder."""
    title: str
    workflow: str
    """The name of the file that the event starts."""
    in_this_repository: bool = False
    """True if the checkout is this repository with the workflows of the case."""
    package_dir: str = "."
    python: str
    platforms: tuple[str, ...]
    """The tags of the platforms for which the workflow builds wheels."""
    event: Event
    """The event that starts the release."""
    expected: frozenset[str]
    """The names of the causes of the healthy case, except those of linters and notes."""
    linter_rules: frozenset[str]
    """The rules of linters that have findings in the healthy case."""
    unverified: frozenset[str] = frozenset()
    """The jobs of the healthy case of which a part cannot be evaluated before a run."""
    faults: tuple[Fault, ...]

    @property
    def folder(self) -> Path:
        """The folder of the case."""
        return FOLDER / self.name

    def subject(self) -> Subject:
        """Return the description of the released package."""
        registered = self.publishers(self.folder)
        name = registered[0].project if registered else f"{self.name}-case"
        return Subject(
            name=name,
            import_package=name.replace("-", "_"),
            python=self.python,
            platforms=tuple(Platform(tag=tag) for tag in self.platforms),
            exercise=Path("smoke.py"),
        )

    def publishers(self, folder: Path) -> tuple[TrustedPublisher, ...]:
        """Return the registrations in a copy of the case; none if it has no such file."""
        path = folder / "publishers.toml"
        return publishers.load(path) if path.is_file() else ()


def load(name: str) -> ReleaseCase:
    """Read the case in the folder with this name."""
    return read_toml(ReleaseCase, FOLDER / name / "case.toml")


def names() -> list[str]:
    """Return the names of all cases, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob("*/case.toml"))


def checkout(case: ReleaseCase, folder: Path, fault: Fault | None = None) -> Path:
    """Write the repository of a case below ``folder``, with a fault if there is one."""
    root = folder / "repository"
    shutil.copytree(case.folder, root, ignore=shutil.ignore_patterns("case.toml", "__pycache__"))
    if case.in_this_repository:
        for name in ("pyproject.toml", f"{case.package_dir}/pyproject.toml"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    if fault:
        fault.apply(root)
    return root


def causes(case: ReleaseCase, root: Path) -> tuple[Cause, ...]:
    """Return the causes of the static examination for a checkout of a case."""
    plan = Plan(workflow=case.workflow, package_dir=case.package_dir)
    registered = case.publishers(root)
    started = release_pipeline.started_workflows(root, plan, case.event, registered)
    return release_pipeline.examine(started, case.subject(), registered)


def findings(case: ReleaseCase, root: Path) -> tuple[Cause, ...]:
    """Return the findings of the linters for a checkout of a case."""
    plan = Plan(workflow=case.workflow, package_dir=case.package_dir)
    started = release_pipeline.started_workflows(root, plan, case.event, case.publishers(root))
    return release_pipeline.lint(root, started).causes


def own_names(found: tuple[Cause, ...]) -> set[str]:
    """Return the names of the causes of the suite's rules, without those of linters and notes."""
    return {c.name for c in found if c.name not in LINTERS and c.severity is not Severity.NOTE}


def linter_rules(found: tuple[Cause, ...]) -> set[str]:
    """Return the rules of the findings of linters."""
    return {str(c.facts["rule"]) for c in found if c.name in LINTERS}


def unverified_jobs(found: tuple[Cause, ...]) -> set[str]:
    """Return the jobs that have a part which cannot be evaluated before a run."""
    locations = (c.where for c in found if c.name == "not-evaluated" and c.where.endswith(")"))
    return {where.rpartition("(")[2].removesuffix(")") for where in locations}


def listing(found: tuple[Cause, ...]) -> str:
    """Return the causes with one line each, for the message of a failed test."""
    return "\n" + textwrap.indent("\n".join(f"{c.severity}: {c}" for c in found), "  ")
