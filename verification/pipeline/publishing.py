"""Find the steps that publish to a package index, and how they do it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from verification.models.base import Model
from verification.models.workflow import RunningJob, Workflow, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.contexts import Runs, job_contexts, known_text
from verification.pipeline.expressions import Context, with_env
from verification.pipeline.shell import commands, option
from verification.pipeline.tasks import all_steps, command_task

PUBLISH_ACTION = "pypa/gh-action-pypi-publish"
_TOKEN_NAME = re.compile(
    r"(?:TWINE|UV_PUBLISH|FLIT|HATCH_INDEX|POETRY_PYPI_TOKEN|PDM_PUBLISH|MATURIN|PYPI)_?\w*"
    r"(?:TOKEN|PASSWORD|USERNAME|USER|AUTH|PYPI)|PYPI_TOKEN"
)
_TOKEN_OPTIONS = ("-p", "--password", "-t", "--token", "-a", "--auth", "-u", "--username", "--user")
_INDEX_OPTIONS = (
    *("-r", "--repository", "--repo", "--repository-url", "--publish-url", "--index"),
)
_DEFAULT_NAMES = ("", "pypi", "main")
_IDENTITY_PROGRAMS = ("uv",)
"""Programs that exchange the identity token of the job if they get no upload token."""


class Publication(Model):
    """A step that publishes, in one combination of the matrix of its job."""

    running: RunningJob
    step: WorkflowStep
    action: str
    """The publish action; empty for a command."""
    default_index: bool | None
    """Whether it publishes to the default index; None if this is not known."""
    by_identity: bool | None
    """Whether it uses the identity of the job and no stored token; None if this is not known."""
    folder: str | None
    """The folder with the files, or None if it is not known."""
    attests: bool | None = False
    """Whether it publishes attestations; None if this is not known."""
    skips_existing: bool = False
    """True if it skips a file that the index has."""


def is_credential(name: str) -> bool:
    """Return whether a variable has a token or a password for a package index."""
    return bool(_TOKEN_NAME.fullmatch(name.upper()))


def publications(workflow: Workflow, runs: Runs) -> tuple[Publication, ...]:
    """Return the publications of the part of a workflow that can run."""
    publications_of_jobs = []
    for running in workflow.running_jobs:
        known = job_contexts(running, runs)[0]
        for step in all_steps(running.job.steps):
            env = {**running.workflow.env, **running.job.env, **step.env}
            if step.action == PUBLISH_ACTION:
                publications_of_jobs.append(_by_action(running, step, with_env(known, step.env)))
            elif step.run is not None:
                publications_of_jobs += _by_commands(running, step, env)
    return tuple(publications_of_jobs)


def _by_action(running: RunningJob, step: WorkflowStep, context: Context) -> Publication:
    inputs = inputs_of(step)
    url = known_text(inputs.get("repository-url"), context)
    password = known_text(inputs.get("password"), context)
    folder = known_text(inputs.get("packages-dir"), context)
    attestations = known_text(inputs.switch("attestations"), context)
    return Publication(
        running=running,
        step=step,
        action=PUBLISH_ACTION,
        default_index=None if url is None else is_default_index(url),
        # A secret has no known value. It counts as a token that is set.
        by_identity=password == "",
        folder=None if folder is None else posixpath.normpath(folder),
        attests=None if attestations is None else attestations != "false",
        skips_existing=inputs.switch("skip-existing") not in ("false", ""),
    )


def _by_commands(
    running: RunningJob, step: WorkflowStep, env: Mapping[str, str]
) -> Iterator[Publication]:
    script = step.run or ""
    for words in commands(script, step.shell):
        if command_task(words) != "publish":
            continue
        index = option(words, *_INDEX_OPTIONS)
        has_token = any(map(is_credential, env)) or any(
            word.partition("=")[0] in _TOKEN_OPTIONS for word in words
        )
        has_token = has_token or bool(re.search(r"\b(?:TWINE|UV_PUBLISH|FLIT)_\w+=", script))
        identity: bool | None = None
        if has_token:
            identity = False
        elif words[0] in _IDENTITY_PROGRAMS and "--keyring-provider" not in script:
            identity = True
        yield Publication(
            running=running,
            step=step,
            action="",
            default_index=None if "$" in index else is_default_index(index),
            by_identity=identity,
            folder=_published_folder(words, step),
            skips_existing="--skip-existing" in words,
        )


def _published_folder(words: tuple[str, ...], step: WorkflowStep) -> str | None:
    """Return the folder of the files that a command publishes, or None if it is not known.

    `uv publish` without a name publishes `dist`.
    """
    if step.working_directory or words[0] not in ("twine", "uv"):
        return None
    names = [
        word for word in words[1:] if "/" in word and "://" not in word and not word.startswith("-")
    ]
    if not names and words[0] == "uv":
        names = ["dist/*"]
    folders = {posixpath.dirname(posixpath.normpath(name)) for name in names}
    return folders.pop() if len(folders) == 1 and "$" not in "".join(names) else None


def is_default_index(index: str) -> bool:
    """Return whether the name or the address of an index is that of the default index.

    The default index accepts uploads on a host whose name begins with `upload.`.
    """
    if "://" not in index:
        return index in _DEFAULT_NAMES
    return (urlsplit(index).hostname or "").startswith("upload.")
