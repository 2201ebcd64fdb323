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
from verification.pipeline.tasks import all_steps, command_task, step_tasks

PUBLISH_ACTION = "pypa/gh-action-pypi-publish"
_TOKEN_NAME = re.compile(
    r"(?:TWINE|UV_PUBLISH|FLIT|HATCH_INDEX|POETRY_PYPI_TOKEN|PDM_PUBLISH|MATURIN|PYPI)_?\w*"
    r"(?:TOKEN|PASSWORD|USERNAME|USER|AUTH|PYPI)|PYPI_TOKEN"
)
_TOKEN_OPTIONS = ("-p", "--password", "-t", "--token", "-a", "--auth", "-u", "--username", "--user")
_INDEX_OPTIONS = (
    *("-r", "--repository", "--repo", "--repository-url", "--publish-url", "--index"),
)
_INDEX_INPUTS = ("repository-url", "repository_url")
_INDEX_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "twine": ("TWINE_REPOSITORY_URL", "TWINE_REPOSITORY"),
    "uv": ("UV_PUBLISH_URL", "UV_PUBLISH_INDEX"),
    "hatch": ("HATCH_INDEX_REPO",),
    "flit": ("FLIT_INDEX_URL",),
    "maturin": ("MATURIN_REPOSITORY_URL", "MATURIN_REPOSITORY"),
    "pdm": ("PDM_PUBLISH_REPO",),
}
"""The variables with which a program gets its index, from the documentation of the programs."""
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
                context = with_env(known, step.env)
                publications_of_jobs += _by_commands(running, step, env, context)
    return tuple(publications_of_jobs)


def _by_action(running: RunningJob, step: WorkflowStep, context: Context) -> Publication:
    inputs = inputs_of(step)
    password = known_text(inputs.get("password"), context)
    folder = known_text(inputs.get("packages-dir"), context)
    attestations = known_text(inputs.switch("attestations"), context)
    return Publication(
        running=running,
        step=step,
        action=PUBLISH_ACTION,
        default_index=uses_default_index(running, step, context),
        # A secret has no known value. It counts as a token that is set.
        by_identity=password == "",
        folder=None if folder is None else posixpath.normpath(folder),
        attests=None if attestations is None else attestations != "false",
        skips_existing=inputs.switch("skip-existing") not in ("false", ""),
    )


def _by_commands(
    running: RunningJob, step: WorkflowStep, env: Mapping[str, str], context: Context
) -> Iterator[Publication]:
    script = step.run or ""
    for words in _publishing_commands(step, context):
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
            default_index=_is_default(_index_of(words, env), context),
            by_identity=identity,
            folder=_published_folder(words, step),
            skips_existing="--skip-existing" in words,
        )


def _publishing_commands(step: WorkflowStep, context: Context) -> Iterator[tuple[str, ...]]:
    """Yield the commands of a script that publish. Known values replace its expressions."""
    script = known_text(step.run or "", context) or step.run or ""
    return (w for w in commands(script, step.shell) if command_task(w) == "publish")


def uses_default_index(running: RunningJob, step: WorkflowStep, context: Context) -> bool | None:
    """Return whether a step that publishes uses the default index; None if this is not known.

    A step with several uploads uses it if one of them does.
    """
    env = {**running.workflow.env, **running.job.env, **step.env}
    if step.steps:
        inner = (part for part in step.steps if "publish" in step_tasks(part))
        uses = [uses_default_index(running, part, context) for part in inner]
    elif step.run is not None:
        publishing = _publishing_commands(step, context)
        uses = [_is_default(_index_of(words, env), context) for words in publishing]
    else:
        urls = (text for name, text in step.with_.items() if name.lower() in _INDEX_INPUTS)
        words = tuple(step.with_.get("args", "").split())
        uses = [_is_default(next(urls, _index_of(words, env)), context)]
    return next((use for use in (True, None) if use in uses), not uses)


def _index_of(words: tuple[str, ...], env: Mapping[str, str]) -> str:
    """Return the name or the address of the index of a command; empty if it names none.

    An option counts more than a variable.
    """
    if index := option(words, *_INDEX_OPTIONS):
        return index
    names = _INDEX_VARIABLES.get(words[0], ()) if words else ()
    return next((env[name] for name in names if env.get(name)), "")


def _is_default(index: str, context: Context) -> bool | None:
    text = known_text(index, context)
    return None if text is None or "$" in text else is_default_index(text)


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
