"""Check the validate job by trials: releases that it must accept, and releases that it must refuse.

The rules do not interpret the script of the job. The session runs the script for each release, in
a new folder with the files of this release (`verification.session.validate_job`).
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
    """The input of the validate job in one trial."""

    title: str
    tag: str
    version: str
    files: tuple[str, ...]
    """The names of the wheels that the job downloads."""
    valid: bool
    """True if the job must accept the release."""


class Trial(Model):
    """The result of the job's script for one release."""

    release: TrialRelease
    exit_code: int
    """The exit code of the script."""
    output: str
    """The text that the script printed."""
    outputs: Mapping[str, str]
    """The outputs of the job."""


class Trials(Model):
    """The results of all trials."""

    results: tuple[Trial, ...] = ()
    not_tried_reason: str = ""
    """The reason why the suite cannot run the script; empty if it can."""


def validate_job(workflow: Workflow | None) -> WorkflowJob | None:
    """Return the validate job if it has a script, else None."""
    job = workflow.jobs.get("validate") if workflow else None
    return job if job and any(step.run is not None for step in job.steps) else None


def wheel_names(subject: Subject, version: str) -> tuple[str, ...]:
    """Return the exact file names of the wheels of a release."""
    python = subject.python
    return tuple(
        f"{subject.name}-{version}-{python}-{python}-{platform.tag}.whl"
        for platform in subject.platforms
        if platform.required
    )


def trial_releases(subject: Subject, version: str) -> tuple[TrialRelease, ...]:
    """Return valid releases of this version, and releases with one fault each."""
    if plain := _PLAIN_VERSION.match(version):
        version = plain[0]  # without a suffix such as rc1
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
    yield invalid("a tag without v", *names, tag=version)
    yield invalid("a tag with an additional part", *names, tag=f"v{version}.1")
    for missing in names:
        yield invalid(f"no {missing}", *(name for name in names if name != missing))
    yield invalid("no wheels")
    extra = f"{subject.name}-{version}-{python}-{python}-macosx_11_0_arm64.whl"
    yield invalid("an additional wheel", *names, extra)
    yield invalid("a source distribution", *names, f"{subject.name}-{version}.tar.gz")
    yield invalid("wheels of another version", *others)
    yield invalid("wheels of two versions", names[0], *others[1:])
    second = names[0].replace(f"-{version}-", f"-{version}-1-")
    yield invalid("two wheels for one platform", names[0], second)


def check_trials(
    workflow: Workflow, project: Project, plan: Plan, trials: Trials
) -> Iterator[Cause]:
    """Yield a cause for each release that the validate job wrongly accepts or refuses."""
    job = validate_job(workflow)
    if job is None:
        return  # other rules report the missing job or step
    where = step_location(workflow, job)
    if project.written_version is None:
        message = f"cannot be tried: {plan.package_dir}/pyproject.toml has no line with a version"
        yield cause("validation-wrong", where, message)
    for trial in trials.results:
        release = trial.release
        if release.valid and trial.exit_code:
            message = f"refuses a valid release, {release.tag}: {_last_line(trial.output)}"
            yield cause("validation-wrong", where, message, release=release.title)
        elif not release.valid and not trial.exit_code:
            message = f"accepts an invalid release with {release.title} (tag {release.tag})"
            yield cause("validation-wrong", where, message, release=release.title)
    if trials.not_tried_reason:
        yield cause("validation-wrong", where, trials.not_tried_reason)


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
