"""Try the job that checks the version on releases that it must accept or refuse.

The rules do not interpret the script of the job. The session runs the script for each release, in
a new folder with the files of this release (`verification.session.version_trials`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.models.workflow import Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import RepositoryFiles
from verification.pipeline.shell import commands
from verification.pipeline.tasks import jobs_with, step_tasks
from verification.pipeline.workflow_causes import (
    cause,
    not_evaluated,
    possible_cause,
    step_location,
)

_NOT_FOUND = re.compile(
    r"No such file|not found|No module named|cannot (?:open|access)|does not exist|not a git repo"
)
"""The output of a script that needs something that the folder of a trial does not have."""
_MISSING_PROJECT = re.compile(r"(?:^|['\" ])([\w./-]*pyproject\.toml)")
_READING = frozenset(
    {
        *("echo", "printf", "ls", "cat", "pwd", "test", "[", "[[", "true", "false", "exit", "set"),
        *("export", "cd", "grep", "sed", "awk", "cut", "tr", "sort", "head", "tail", "wc", "find"),
        *("diff", "cmp", "sha256sum", "date", "python", "python3", "jq", "basename", "dirname"),
        *("fi", "done", "esac", "for", "case", "read", "mapfile", "local", "shopt", "return"),
    }
)
"""The programs that a script of a trial may start."""
_PLAIN_VERSION = re.compile(r"\d+\.\d+\.\d+")


class TrialRelease(Model):
    """The input of the job in one trial."""

    title: str
    tag: str
    version: str
    files: tuple[str, ...]
    """The names of the wheels that the job downloads."""
    valid: bool
    """True if the job must accept the release."""
    needs_files: bool = False
    """True if only a job that reads the files can refuse the release."""
    this: bool = False
    """True if it is the release of the project's own version."""


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


def version_check_job(workflow: Workflow | None) -> WorkflowJob | None:
    """Return the job that checks the version, if its scripts only read files; else None.

    The scripts run on this host, so a job that also installs, builds or publishes is not tried.
    """
    if workflow is None:
        return None
    for running in jobs_with(workflow, "check-version"):
        scripts = [step for step in running.job.steps if step.run is not None]
        if scripts and all(map(_only_reads, scripts)):
            return running.job
    return None


def _only_reads(step: WorkflowStep) -> bool:
    programs = {words[0] for words in commands(step.run or "", step.shell)}
    return programs <= _READING and step_tasks(step) <= {"check-version"}


def wheel_names(subject: Subject, version: str) -> tuple[str, ...]:
    """Return the exact file names of the wheels of a release; none if they are not declared."""
    python = subject.python
    return tuple(
        f"{subject.name}-{version}-{python}-{python}-{platform.tag}.whl"
        for platform in subject.platforms
        if platform.required
    )


def trial_releases(
    subject: Subject, version: str, *, prefix: str = "v"
) -> tuple[TrialRelease, ...]:
    """Return valid releases of this version, and releases with one fault each.

    ``prefix`` is what a tag has before the version.
    """
    this = version
    if plain := _PLAIN_VERSION.match(version):
        version = plain[0]  # without a suffix such as rc1
    valid = _valid_releases(subject, version, prefix, this)
    return (*valid, *_invalid_releases(subject, version, prefix))


def _valid_releases(
    subject: Subject, version: str, prefix: str, this: str
) -> Iterator[TrialRelease]:
    for title, number in (("the release", version), ("a pre-release", f"{version}rc1")):
        yield TrialRelease(
            title=title,
            tag=f"{prefix}{number}",
            version=number,
            files=wheel_names(subject, number),
            valid=True,
            this=number == this,
        )


def _invalid_releases(subject: Subject, version: str, prefix: str) -> Iterator[TrialRelease]:
    def invalid(title: str, *files: str, tag: str = "") -> TrialRelease:
        return TrialRelease(
            title=title,
            tag=tag or f"{prefix}{version}",
            version=version,
            files=files,
            valid=False,
            needs_files=not tag,
        )

    names = wheel_names(subject, version)
    others = wheel_names(subject, "9.99.999")
    python = subject.python
    yield invalid("a tag of another version", *names, tag=f"{prefix}9.99.999")
    yield invalid("a tag with an additional part", *names, tag=f"{prefix}{version}.1")
    for missing in names:
        yield invalid(f"no {missing}", *(name for name in names if name != missing))
    yield invalid("no wheels")
    extra = f"{subject.name}-{version}-{python}-{python}-macosx_11_0_arm64.whl"
    yield invalid("an additional wheel", *names, extra)
    yield invalid("wheels of another version", *others)
    if len(names) > 1:
        yield invalid("wheels of two versions", names[0], *others[1:])
        second = names[0].replace(f"-{version}-", f"-{version}-1-")
        yield invalid("two wheels for one platform", names[0], second, *names[2:])


def check_trials(
    workflow: Workflow, files: RepositoryFiles, plan: Plan, trials: Trials
) -> Iterator[Cause]:
    """Yield a cause for each release that the check of the version wrongly accepts or refuses."""
    project = files.project
    job = version_check_job(workflow)
    if job is None:
        for running in jobs_with(workflow, "check-version")[:1]:
            where = step_location(running.workflow, running.job)
            yield not_evaluated(where, "checks the version with a script that was not tried")
        return
    where = step_location(workflow, job)
    if project.written_version is None:
        yield not_evaluated(where, f"{plan.package_dir}/pyproject.toml has no line with a version")
    if trials.not_tried_reason:
        yield not_evaluated(where, trials.not_tried_reason)
    refused = [trial for trial in trials.results if trial.release.valid and trial.exit_code]
    if any(_NOT_FOUND.search(trial.output) for trial in refused):
        if other := _other_project(job, refused[0], files):
            message = f"compares the tag with the version in {other}, not in {plan.package_dir}"
            yield cause("validation-wrong", where, message, file=other)
            return
        reason = f"needs more than the files of a trial: {_last_line(refused[0].output)}"
        yield not_evaluated(where, reason)
        return
    reads_files = _reads_files(job)
    knows_files = any(trial.release.files for trial in trials.results if trial.release.valid)
    if refused and reads_files and not knows_files:
        reason = "looks at the wheels of the release, whose names are unknown before a run"
        yield not_evaluated(where, reason)
        refused = []
    for trial in refused:
        release = trial.release
        message = f"refuses a valid release, {release.tag}: {_last_line(trial.output)}"
        report = cause if release.this else possible_cause
        yield report("validation-wrong", where, message, release=release.title)
    for trial in trials.results:
        release = trial.release
        if release.valid or trial.exit_code:
            continue
        if release.needs_files and not (reads_files and knows_files):
            continue
        message = f"accepts an invalid release with {release.title} (tag {release.tag})"
        yield possible_cause("validation-wrong", where, message, release=release.title)


def _other_project(job: WorkflowJob, trial: Trial, files: RepositoryFiles) -> str:
    """Return the path of another pyproject.toml that the script reads instead; empty if none.

    It is no fault if the repository has that file, with the same version as the package.
    """
    scripts = [step for step in job.steps if step.run is not None]
    if any(step.working_directory or "cd " in (step.run or "") for step in scripts):
        return ""
    if match := _MISSING_PROJECT.search(_last_line(trial.output)):
        path = posixpath.normpath(match[1])
        return path if files.versions.get(path, "") != files.project.version else ""
    return ""


def _reads_files(job: WorkflowJob) -> bool:
    """Return whether a job looks at the files of the release."""
    return bool(job.steps_with("actions/download-artifact"))


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
