"""Change the real publish.yml, and return the causes of the static rules for it."""

from __future__ import annotations

import re
from pathlib import Path

from verification.models.cause import Cause
from verification.models.publisher import TrustedPublisher
from verification.models.workflow import Event, WorkflowJob
from verification.pipeline import plan as plans
from verification.pipeline import policy, publishers
from verification.pipeline import repository_files as repositories
from verification.pipeline.repository_files import WORKFLOW_FOLDER, Project
from verification.pipeline.trials import Trial, Trials, trial_releases, version_check_job
from verification.pipeline.wheel_transfer import wheels_folder
from verification.session.version_trials import try_releases
from verification.subjects.subject import load as load_subject

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
PROJECT = ROOT / "bindings" / "python" / "pyproject.toml"
SUBJECT = load_subject()
assert SUBJECT.pipeline is not None
assert SUBJECT.publishers is not None
PLAN, PUBLISHERS = SUBJECT.pipeline, SUBJECT.publishers
PLANNED = plans.load(PLAN)
REGISTERED = publishers.load(PUBLISHERS)

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
PUBLISH = "pypa/gh-action-pypi-publish@cef221092ed1bacb1cc03d23a2d87d1d172e277b # v1.14.0"
PUBLISH_STEPS = next(
    match[0]
    for match in re.finditer(r"      id-token: write.*\n    steps:\n", WORKFLOW.read_text("utf-8"))
)


def repository(folder: Path, workflow: str | None = None, project: str | None = None) -> Path:
    """Write a repository with these texts of publish.yml and pyproject.toml.

    The default is the text of the real file.
    """
    root = folder / "repository"
    (root / WORKFLOW_FOLDER).mkdir(parents=True)
    package = root / "bindings" / "python"
    package.mkdir(parents=True)
    text = WORKFLOW.read_text("utf-8") if workflow is None else workflow
    (root / WORKFLOW_FOLDER / "publish.yml").write_text(text, encoding="utf-8")
    text = PROJECT.read_text("utf-8") if project is None else project
    (package / "pyproject.toml").write_text(text, encoding="utf-8")
    return root


def causes(
    root: Path, registered: tuple[TrustedPublisher, ...] = REGISTERED, event: Event | None = None
) -> tuple[Cause, ...]:
    """Run the trials of the version check in a repository, and return the causes of its files.

    The default event is the push of the tag of the project's version.
    """
    plan = PLANNED
    files = repositories.load(root, plan)
    job, version = version_check_job(files.workflow), files.project.written_version
    trials = _run_trials(job, files.project, version) if job and version else Trials()
    event = event or Event(ref=f"refs/tags/v{files.project.version}")
    return policy.check_files(files, plan, SUBJECT, trials, event=event, publishers=registered)


_TRIALS: dict[str, Trials] = {}


def _run_trials(job: WorkflowJob, project: Project, version: str) -> Trials:
    """Return the trials of a job, up to the first wrong result.

    Jobs with the same scripts share their trials, by version of the project.
    """
    scripts = [
        (step.id, step.run, step.shell, step.working_directory, step.env)
        for step in job.steps
        if step.run is not None
    ]
    key = repr((scripts, job.env, job.defaults, job.outputs, wheels_folder(job), version))
    if key not in _TRIALS:
        done: list[Trial] = []
        reason = ""
        for release in trial_releases(SUBJECT, version):
            trials = try_releases(job, [release], project, PLANNED.package_dir)
            done += trials.results
            reason = trials.not_tried_reason
            if reason or any(release.valid == bool(trial.exit_code) for trial in trials.results):
                break
        _TRIALS[key] = Trials(results=tuple(done), not_tried_reason=reason)
    return _TRIALS[key]


def cause_names(folder: Path, workflow: str | None = None, project: str | None = None) -> set[str]:
    """Return the names of the causes of a repository with these files."""
    return {cause.name for cause in causes(repository(folder, workflow, project))}


def edited(old: str, new: str, count: int = 1, *, of: Path = WORKFLOW) -> str:
    """Return the text of the real file after ``count`` replacements, which must change it."""
    text = of.read_text("utf-8")
    assert old in text, f"{of.name} no longer contains {old!r}: fix the mutant"
    mutant = text.replace(old, new, count)
    assert mutant != text
    return mutant


def in_job(job: str, old: str, new: str) -> str:
    """Return the real publish.yml with the first ``old`` after the head of a job replaced."""
    text = WORKFLOW.read_text("utf-8")
    start = text.index(f"\n  {job}:\n")
    assert old in text[start:], f"the job {job} no longer contains {old!r}: fix the mutant"
    return text[:start] + text[start:].replace(old, new, 1)


def calling(called: str = "upload.yml", job: str = "publish") -> dict[str, str]:
    """Return two workflow files by name: publish.yml, and ``called`` with the publishing job.

    publish.yml is the real file, but its publishing job calls the other workflow.

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
