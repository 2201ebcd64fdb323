"""Check the release page that the workflow makes for each valid trial release.

The rules read the steps of the action softprops/action-gh-release. What other actions and `gh` put
on the page is known only during a run.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Mapping

from packaging.version import InvalidVersion, Version
from pydantic import JsonValue

from verification.models.cause import Cause
from verification.models.workflow import RunningJob, Workflow, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.contexts import Runs, job_contexts, known_text
from verification.pipeline.expressions import Context, with_env
from verification.pipeline.tasks import jobs_with
from verification.pipeline.trials import TrialRelease, Trials, version_check_job
from verification.pipeline.wheel_transfer import wheels_folder
from verification.pipeline.workflow_causes import (
    cause,
    not_evaluated,
    possible_cause,
    step_location,
)

_RELEASE = "softprops/action-gh-release"
_NOTES = ("body", "body_path")


def check_release_page(workflow: Workflow, trials: Trials, runs: Runs) -> Iterator[Cause]:
    """Yield the causes of the release page: another tag, no notes, missing or replaced files."""
    for running in jobs_with(workflow, "create-release"):
        known = job_contexts(running, runs)[0]
        for step in running.job.steps_with(_RELEASE):
            where = step_location(running.workflow, running.job, step)
            yield from _input_causes(where, step)
            yield from _tag_causes(where, step, with_env(known, step.env))
            for trial in trials.results:
                if trial.release.valid and not trial.exit_code:
                    trial_context = _of_trial(known, trial.release)
                    values = _with_outputs(trial_context, workflow, trial.outputs)
                    yield from _page_causes(where, running, step, trial.release, values)


def _input_causes(where: str, step: WorkflowStep) -> Iterator[Cause]:
    inputs = inputs_of(step)
    has_notes = any(map(inputs.is_set, _NOTES))
    if inputs.switch("generate_release_notes") == "false" and not has_notes:
        message = "makes a release without notes (`generate_release_notes` is not true)"
        yield possible_cause("release-missing", where, message, input="generate_release_notes")
    if inputs.switch("draft") == "true":
        message = "makes a draft; only maintainers can see it (`draft` is not false)"
        yield possible_cause("release-missing", where, message, input="draft")
    if not inputs.is_set("files"):
        yield cause("release-without-files", where, "attaches no file to the release page")
        return
    if inputs.switch("fail_on_unmatched_files") == "false":
        message = "does not fail if a wheel is missing (`fail_on_unmatched_files` is not true)"
        yield possible_cause("release-missing", where, message, input="fail_on_unmatched_files")
    if inputs.switch("overwrite_files") == "true":
        message = "may replace files that users have (`overwrite_files` is not false)"
        yield cause("release-replaced", where, message, input="overwrite_files")


def _tag_causes(where: str, step: WorkflowStep, context: Context) -> Iterator[Cause]:
    """Yield a cause if the page is for another tag than that of the event."""
    text = inputs_of(step).get("tag_name")
    expected = known_text("${{ github.ref }}", context) or ""
    if not text or not expected.startswith("refs/tags/"):
        return
    tag = known_text(text, context)
    if tag is None:
        yield not_evaluated(where, f"makes the release of the tag {text}")
    elif tag.removeprefix("refs/tags/") != expected.removeprefix("refs/tags/"):
        message = (
            f"makes the release of the tag {tag}, not of {expected.removeprefix('refs/tags/')}"
        )
        yield cause("release-missing", where, message, tag=tag)


def _of_trial(context: Context, release: TrialRelease) -> Context:
    """Return the context of a job in a run for the tag of a trial."""
    github = context.values.get("github")
    values = dict(github) if isinstance(github, dict) else {}
    values |= {"ref": f"refs/tags/{release.tag}", "ref_name": release.tag, "ref_type": "tag"}
    return context.extended(github=values)


def _with_outputs(context: Context, workflow: Workflow, outputs: Mapping[str, str]) -> Context:
    """Return a context with the outputs of the job that the trial ran."""
    job = version_check_job(workflow)
    if job is None:
        return context
    needs = context.values.get("needs")
    known: dict[str, JsonValue] = dict(needs) if isinstance(needs, dict) else {}
    known[job.id] = {"outputs": dict(outputs), "result": "success"}
    unknown = context.unknown - {f"needs.{job.id}.outputs".lower(), f"needs.{job.id}".lower()}
    return context.model_copy(
        update={"unknown": unknown, "values": {**context.values, "needs": known}}
    )


def _page_causes(
    where: str, running: RunningJob, step: WorkflowStep, release: TrialRelease, context: Context
) -> Iterator[Cause]:
    """Yield the causes of the release page for one trial."""
    inputs = inputs_of(step)
    prerelease = known_text(inputs.switch("prerelease"), context)
    if prerelease is not None and (prerelease == "true") != _is_prerelease(release.version):
        message = f"publishes {release.tag} with `prerelease: {prerelease or 'false'}`"
        yield possible_cause("release-missing", where, message, prerelease=prerelease)
    text = known_text(inputs.get("files"), context)
    if not inputs.is_set("files"):
        return
    if text is None:
        yield not_evaluated(where, f"attaches {' '.join(inputs.get('files').split())}")
        return
    folder = wheels_folder(running.job)
    if folder is None:
        return  # the job makes the files itself
    patterns = [posixpath.normpath(line.strip()) for line in text.split("\n") if line.strip()]
    files = [posixpath.normpath(f"{folder}/{name}") for name in release.files]
    for file in files:
        if not any(_matches(file, pattern) for pattern in patterns):
            message = f"does not attach {file}; it attaches {', '.join(patterns)}"
            yield possible_cause("release-missing", where, message, file=file)
    fails = inputs.switch("fail_on_unmatched_files") == "true"
    for pattern in patterns:
        if pattern.endswith(".whl") and not any(_matches(file, pattern) for file in files):
            message = f"attaches {pattern}, but no file matches it"
            report = cause if fails else possible_cause
            yield report("release-missing", where, message, pattern=pattern)


def _matches(file: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(file, pattern.replace("**/", "*"))


def _is_prerelease(version: str) -> bool:
    try:
        return Version(version).is_prerelease
    except InvalidVersion:
        return False
