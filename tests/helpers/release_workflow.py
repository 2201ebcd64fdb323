"""The real publish.yml with one edit, and what the static rules say of it."""

from __future__ import annotations

import re
from pathlib import Path

from verification.models.cause import Cause
from verification.models.workflow import WorkflowJob
from verification.pipeline import plan as plans
from verification.pipeline import policy
from verification.pipeline import repository_files as repositories
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import WORKFLOW_FOLDER, Project
from verification.pipeline.trials import Trials, trial_releases, validate_job
from verification.session.validate_job import try_releases
from verification.subjects.subject import load as load_subject

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
PROJECT = ROOT / "bindings" / "python" / "pyproject.toml"
SUBJECT = load_subject()
assert SUBJECT.pipeline is not None
assert SUBJECT.publishers is not None
PLAN, PUBLISHERS = SUBJECT.pipeline, SUBJECT.publishers
PLANNED = plans.load(PLAN)

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
PUBLISH = "pypa/gh-action-pypi-publish@cef221092ed1bacb1cc03d23a2d87d1d172e277b # v1.14.0"
PUBLISH_STEPS = next(
    match[0]
    for match in re.finditer(r"      id-token: write.*\n    steps:\n", WORKFLOW.read_text("utf-8"))
)


def repository(folder: Path, workflow: str | None = None, project: str | None = None) -> Path:
    """Write a repository with a workflow and a project, the real ones where none is given."""
    root = folder / "repository"
    (root / WORKFLOW_FOLDER).mkdir(parents=True)
    package = root / "bindings" / "python"
    package.mkdir(parents=True)
    text = WORKFLOW.read_text("utf-8") if workflow is None else workflow
    (root / WORKFLOW_FOLDER / "publish.yml").write_text(text, encoding="utf-8")
    text = PROJECT.read_text("utf-8") if project is None else project
    (package / "pyproject.toml").write_text(text, encoding="utf-8")
    return root


def causes(root: Path, plan: Plan = PLANNED) -> tuple[Cause, ...]:
    """Return the causes of a repository. Jobs that are the same run their trials once."""
    files = repositories.load(root, plan)
    job, version = validate_job(files.workflow), files.project.written_version
    trials = Trials()
    if job and version:
        trials = _tried(job, files.project, version)
    return policy.check_files(files, plan, SUBJECT, trials)


_TRIALS: dict[str, Trials] = {}


def _tried(job: WorkflowJob, project: Project, version: str) -> Trials:
    steps = tuple(step.model_copy(update={"line": 0}) for step in job.steps)
    same = job.model_copy(update={"line": 0, "needs": (), "steps": steps})
    key = same.model_dump_json() + project.model_dump_json()
    if key not in _TRIALS:
        releases = trial_releases(SUBJECT, version)
        _TRIALS[key] = try_releases(job, releases, project, PLANNED.package_dir)
    return _TRIALS[key]


def names(folder: Path, workflow: str | None = None, project: str | None = None) -> set[str]:
    """Return the names of the causes of a repository with these texts."""
    return {cause.name for cause in causes(repository(folder, workflow, project))}


def edited(old: str, new: str, count: int = 1, *, of: Path = WORKFLOW) -> str:
    """Return the real file with one edit; an edit that changes nothing is a mistake of the test."""
    text = of.read_text("utf-8")
    assert old in text, f"the file has no {old!r} any more: fix the mutant"
    mutant = text.replace(old, new, count)
    assert mutant != text
    return mutant


def after(marker: str, old: str, new: str) -> str:
    """Return the real file with one edit behind a marker, such as the beginning of a job."""
    text = WORKFLOW.read_text("utf-8")
    at = text.index(marker)
    assert old in text[at:], f"there is no {old!r} behind {marker!r} any more: fix the mutant"
    return text[:at] + text[at:].replace(old, new, 1)


def in_job(job: str, old: str, new: str) -> str:
    """Return the real file with one edit in a job."""
    return after(f"\n  {job}:\n", old, new)


def calling(called: str = "upload.yml", job: str = "publish") -> dict[str, str]:
    """Return the real file with its publishing job in a workflow that it calls, by file name.

    ``job`` is the id of the job in the called workflow.
    """
    text = WORKFLOW.read_text("utf-8")
    before, marker, publish = text.partition("\n  publish:\n")
    needs = "    needs: validate\n"
    assert needs in publish
    call = (
        f"{marker}{needs}    permissions:\n      id-token: write\n"
        f"    uses: ./{WORKFLOW_FOLDER}/{called}\n"
    )
    inner = f"on: workflow_call\njobs:\n  {job}:\n{publish.replace(needs, '')}"
    return {"publish.yml": before + call, called: inner}


def without_job(job: str) -> str:
    """Return the real file without a job."""
    text = WORKFLOW.read_text("utf-8")
    return re.sub(rf"\n  {job}:\n(?:(?:    .*)?\n)*", "\n", text, count=1)
