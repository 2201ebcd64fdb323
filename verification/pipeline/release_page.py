"""Check what the release job publishes on the release page, for each valid trial release."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Mapping

from verification.models.cause import Cause
from verification.models.workflow import Workflow, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.expressions import fill
from verification.pipeline.trials import TrialRelease, Trials
from verification.pipeline.wheel_transfer import wheels_folder
from verification.pipeline.workflow_causes import cause, step_location

_RELEASE = "softprops/action-gh-release"
# An input of the action, the value that it must have, and what goes wrong otherwise.
_INPUTS = (
    ("generate_release_notes", "true", "release-missing", "makes a release without notes"),
    (
        "fail_on_unmatched_files",
        "true",
        "release-missing",
        "passes where a wheel is not there to attach",
    ),
    (
        "draft",
        "false",
        "release-missing",
        "leaves the release a draft, which only maintainers see",
    ),
    (
        "overwrite_files",
        "false",
        "release-replaced",
        "replaces files of a release that users may have",
    ),
)


def check_release_page(workflow: Workflow, trials: Trials) -> Iterator[Cause]:
    """Yield what the release page would lack: itself, its notes, a wheel."""
    job = workflow.jobs.get("release")
    step = next(iter(job.steps_with(_RELEASE)), None) if job else None
    if job is None or step is None:
        return  # the job, or its step, is missing: other rules report it
    where = step_location(workflow, job, step)
    inputs = inputs_of(step)
    for name, required, fault, observed in _INPUTS:
        if inputs.switch(name) != required:
            yield cause(fault, where, f"{observed} ({name})", input=name)
    folder = wheels_folder(job) or "."
    for trial in trials.done:
        release = trial.release
        if not release.valid or trial.code:
            continue
        known = {f"needs.validate.outputs.{key}": value for key, value in trial.outputs.items()}
        known |= {"github.ref_name": release.tag, "github.ref": f"refs/tags/{release.tag}"}
        yield from _page_faults(step, where, release, folder, known)


def _page_faults(
    step: WorkflowStep, where: str, release: TrialRelease, folder: str, known: Mapping[str, str]
) -> Iterator[Cause]:
    inputs = inputs_of(step)
    tag = fill(inputs.get("tag_name") or release.tag, known).removeprefix("refs/tags/")
    if tag != release.tag:
        observed = f"makes the release of the tag {tag}, not of {release.tag}"
        yield cause("release-missing", where, observed, tag=tag)
    prerelease = fill(inputs.switch("prerelease"), known)
    if prerelease != str(release.version.endswith("rc1")).lower():
        observed = f"marks {release.tag} with `prerelease: {prerelease}`"
        yield cause("release-missing", where, observed, prerelease=prerelease)
    lines = [fill(line.strip(), known) for line in inputs.get("files").split("\n")]
    patterns = [posixpath.normpath(line) for line in lines if line]
    files = [posixpath.normpath(f"{folder}/{name}") for name in release.files]
    for file in files:
        if not any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns):
            observed = f"does not attach {file} ({', '.join(patterns) or 'no files'})"
            yield cause("release-missing", where, observed, file=file)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(file, pattern) for file in files):
            observed = f"attaches {pattern}, which is not there"
            yield cause("release-missing", where, observed, pattern=pattern)
