"""Trials of the validate job: releases that it must accept, and releases that it must refuse.

The rules do not interpret the job's script. The session runs the script on each release, in an
empty folder with the files that the job would have (`verification.session.validate_job`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.models.workflow import Workflow, WorkflowJob
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import Project
from verification.pipeline.workflow_causes import cause, step_location

_PLAIN_VERSION = re.compile(r"\d+\.\d+\.\d+")


class TrialRelease(Model):
    """A release as the validate job finds it."""

    title: str
    tag: str
    version: str
    files: tuple[str, ...]
    valid: bool


class Trial(Model):
    """How the job's script ended on a release, and the outputs of its job."""

    release: TrialRelease
    code: int
    output: str
    outputs: Mapping[str, str]


class Trials(Model):
    """What came of every release that was tried."""

    done: tuple[Trial, ...] = ()
    not_tried_reason: str = ""
    """Why the script cannot be tried; empty if it can."""


def validate_job(workflow: Workflow | None) -> WorkflowJob | None:
    """Return the job whose script can be tried, or None."""
    job = workflow.jobs.get("validate") if workflow else None
    return job if job and any(step.run is not None for step in job.steps) else None


def wheel_names(subject: Subject, version: str) -> tuple[str, ...]:
    """Return the exact names of the wheels that make a release."""
    python = subject.python
    return tuple(
        f"{subject.name}-{version}-{python}-{python}-{platform.tag}.whl"
        for platform in subject.platforms
        if platform.required
    )


def trial_releases(subject: Subject, version: str) -> tuple[TrialRelease, ...]:
    """Return releases of this version: valid ones, and invalid in one way each."""
    if plain := _PLAIN_VERSION.match(version):
        version = plain[0]  # the pre-release is made of it
    return (*_valid_releases(subject, version), *_invalid_releases(subject, version))


def _valid_releases(subject: Subject, version: str) -> Iterator[TrialRelease]:
    for title, number in (("the release", version), ("a pre-release", f"{version}rc1")):
        names = wheel_names(subject, number)
        yield TrialRelease(title=title, tag=f"v{number}", version=number, files=names, valid=True)


def _invalid_releases(subject: Subject, version: str) -> Iterator[TrialRelease]:
    def invalid(title: str, *files: str, tag: str = f"v{version}") -> TrialRelease:
        return TrialRelease(title=title, tag=tag, version=version, files=files, valid=False)

    names = wheel_names(subject, version)
    others = wheel_names(subject, "9.99.999")
    python = subject.python
    yield invalid("a tag of another version", *names, tag="v9.99.999")
    yield invalid("a tag without its v", *names, tag=version)
    yield invalid("a tag that only begins so", *names, tag=f"v{version}.1")
    for missing in names:
        yield invalid(f"no {missing}", *(name for name in names if name != missing))
    yield invalid("no wheels")
    extra = f"{subject.name}-{version}-{python}-{python}-macosx_11_0_arm64.whl"
    yield invalid("a third wheel", *names, extra)
    yield invalid("a source distribution", *names, f"{subject.name}-{version}.tar.gz")
    yield invalid("wheels of another version", *others)
    yield invalid("wheels of two versions", names[0], *others[1:])
    second = names[0].replace(f"-{version}-", f"-{version}-1-")
    yield invalid("one platform twice", names[0], second)


def check_trials(
    workflow: Workflow, project: Project, plan: Plan, trials: Trials
) -> Iterator[Cause]:
    """Yield every release that the validate job judges wrongly."""
    job = validate_job(workflow)
    if job is None:
        return  # the job, or its step, is missing: other rules report it
    where = step_location(workflow, job)
    if project.written_version is None:
        observed = f"finds no version in {plan.package_dir}/pyproject.toml"
        yield cause("validation-wrong", where, observed)
    for trial in trials.done:
        release = trial.release
        if release.valid and trial.code:
            observed = f"refuses {release.title} ({release.tag}): {_last(trial.output)}"
            yield cause("validation-wrong", where, observed, release=release.title)
        elif not release.valid and not trial.code:
            observed = f"lets a release pass with {release.title} (tag {release.tag})"
            yield cause("validation-wrong", where, observed, release=release.title)
    if trials.not_tried_reason:
        yield cause("validation-wrong", where, trials.not_tried_reason)


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"
