"""Check the release page that the release job makes for each valid trial release."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Mapping

from verification.models.cause import Cause
from verification.models.workflow import Workflow, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.expressions import replace_expressions
from verification.pipeline.trials import TrialRelease, Trials
from verification.pipeline.wheel_transfer import wheels_folder
from verification.pipeline.workflow_causes import cause, step_location

_RELEASE = "softprops/action-gh-release"
# An input of the action, its required value, the cause for another value, and the message.
_INPUTS = (
    ("generate_release_notes", "true", "release-missing", "makes a release without notes"),
    ("fail_on_unmatched_files", "true", "release-missing", "does not fail if a wheel is missing"),
    ("draft", "false", "release-missing", "makes a draft; only maintainers can see it"),
    ("overwrite_files", "false", "release-replaced", "may replace files that users have"),
)


def check_release_page(workflow: Workflow, trials: Trials) -> Iterator[Cause]:
    """Yield the causes of the release page: no page, no notes, missing or replaced wheels."""
    job = workflow.jobs.get("release")
    step = next(iter(job.steps_with(_RELEASE)), None) if job else None
    if job is None or step is None:
        return  # other rules report the missing job or step
    where = step_location(workflow, job, step)
    inputs = inputs_of(step)
    for name, required, cause_name, problem in _INPUTS:
        if inputs.switch(name) != required:
            message = f"{problem} (`{name}` is not {required})"
            yield cause(cause_name, where, message, input=name)
    folder = wheels_folder(job) or "."
    for trial in trials.results:
        release = trial.release
        if not release.valid or trial.exit_code:
            continue
        values = {f"needs.validate.outputs.{key}": value for key, value in trial.outputs.items()}
        values |= {"github.ref_name": release.tag, "github.ref": f"refs/tags/{release.tag}"}
        yield from _page_causes(step, where, release, folder, values)


def _page_causes(
    step: WorkflowStep, where: str, release: TrialRelease, folder: str, values: Mapping[str, str]
) -> Iterator[Cause]:
    """Yield the causes of one release page. ``values`` are the values of expressions, by name."""
    inputs = inputs_of(step)
    tag = replace_expressions(inputs.get("tag_name") or release.tag, values).removeprefix(
        "refs/tags/"
    )
    if tag != release.tag:
        message = f"makes the release of the tag {tag}, not of {release.tag}"
        yield cause("release-missing", where, message, tag=tag)
    prerelease = replace_expressions(inputs.switch("prerelease"), values)
    if prerelease != str(release.version.endswith("rc1")).lower():
        message = f"publishes {release.tag} with `prerelease: {prerelease}`"
        yield cause("release-missing", where, message, prerelease=prerelease)
    lines = [replace_expressions(line.strip(), values) for line in inputs.get("files").split("\n")]
    patterns = [posixpath.normpath(line) for line in lines if line]
    files = [posixpath.normpath(f"{folder}/{name}") for name in release.files]
    for file in files:
        if not any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns):
            attached = ", ".join(patterns) or "nothing"
            message = f"does not attach {file}; it attaches {attached}"
            yield cause("release-missing", where, message, file=file)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(file, pattern) for file in files):
            message = f"attaches {pattern}, but no file matches it"
            yield cause("release-missing", where, message, pattern=pattern)
