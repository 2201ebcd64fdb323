"""Find the secrets that the publishing steps of a workflow use as upload token or as user name.

The variables and options are from the documentation of the programs that upload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from verification.models.expression_syntax import (
    Access,
    BadExpression,
    Literal,
    Name,
    nodes,
    tree_of,
)
from verification.models.workflow import RunningJob, Workflow, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.publishing import PUBLISH_ACTION
from verification.pipeline.shell import commands, option
from verification.pipeline.tasks import command_task, step_tasks

_TOKEN_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "twine": ("TWINE_PASSWORD",),
    "uv": ("UV_PUBLISH_TOKEN", "UV_PUBLISH_PASSWORD"),
    "flit": ("FLIT_PASSWORD",),
    "hatch": ("HATCH_INDEX_AUTH",),
    "poetry": ("POETRY_PYPI_TOKEN_PYPI", "POETRY_HTTP_BASIC_PYPI_PASSWORD"),
    "pdm": ("PDM_PUBLISH_PASSWORD",),
    "maturin": ("MATURIN_PYPI_TOKEN", "MATURIN_PASSWORD"),
}
"""The variables from which a program reads its token."""
_USER_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "twine": ("TWINE_USERNAME",),
    "uv": ("UV_PUBLISH_USERNAME",),
    "flit": ("FLIT_USERNAME",),
    "hatch": ("HATCH_INDEX_USER",),
    "poetry": ("POETRY_HTTP_BASIC_PYPI_USERNAME",),
    "pdm": ("PDM_PUBLISH_USERNAME",),
    "maturin": ("MATURIN_USERNAME",),
}
_TOKEN_OPTIONS = ("-p", "--password", "-t", "--token", "-a", "--auth")
_USER_OPTIONS = ("-u", "--username", "--user")
_TOKEN_INPUTS = ("password", "token", "api-token", "pypi-token", "pypi_token")
_USER_INPUTS = ("user", "username")
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+)|env:(\w+))")
"""A variable in a script."""
_MAX_DEPTH = 5


class UploadSecrets(NamedTuple):
    """The names of secrets, in upper case, because GitHub ignores the case."""

    tokens: frozenset[str]
    """The secrets that a step uses as upload token."""
    users: frozenset[str]
    """The secrets that a step uses as user name."""


def upload_secrets(workflows: Iterable[Workflow]) -> UploadSecrets:
    """Return the secrets of the publishing steps of workflows."""
    tokens, users = set[str](), set[str]()
    for workflow in workflows:
        for running in workflow.running_jobs:
            env = {**running.workflow.env, **running.job.env}
            for secrets in _of_steps(running.job.steps, env):
                names = {_repository_secret(name, running) for name in secrets.names}
                # The forge gives each job this secret.
                (users if secrets.is_user else tokens).update(names - {"", "GITHUB_TOKEN"})
    return UploadSecrets(frozenset(tokens), frozenset(users - tokens))


class _CredentialSecrets(NamedTuple):
    names: frozenset[str]
    is_user: bool


def _of_steps(
    steps: Iterable[WorkflowStep], env: Mapping[str, str]
) -> Iterator[_CredentialSecrets]:
    for step in steps:
        known = {**env, **step.env}
        yield from _of_steps(step.steps, known)
        if not step.steps and "publish" in step_tasks(step):
            for text, is_user in _credentials(step, known):
                yield _CredentialSecrets(frozenset(_secrets_in(text, known, 0)), is_user)


def _credentials(step: WorkflowStep, env: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield each text from which a step gets its token, and each that is its user name."""
    if step.run is None:
        inputs = inputs_of(step)
        is_known = step.action == PUBLISH_ACTION
        tokens, users = (("password",), ("user",)) if is_known else (_TOKEN_INPUTS, _USER_INPUTS)
        yield from ((inputs.get(name), False) for name in tokens)
        yield from ((inputs.get(name), True) for name in users)
        is_maturin = (step.action or "").lower().endswith("/maturin-action")
        scripts = [("maturin", *step.with_.get("args", "").split())] if is_maturin else []
    else:
        scripts = list(commands(step.run, step.shell))
    for command in scripts:
        program = command[0]
        if command_task(command) == "publish" or program == "maturin":
            yield option(command, *_TOKEN_OPTIONS), False
            yield option(command, *_USER_OPTIONS), True
            variables = ((_TOKEN_VARIABLES, False), (_USER_VARIABLES, True))
            for table, is_user in variables:
                for name in table.get(program, ()):
                    yield env.get(name, ""), is_user
                    yield _assigned(name, step.run or ""), is_user
        elif command[:2] == ("poetry", "config") and "pypi-token" in " ".join(command):
            yield command[-1], False


def _assigned(name: str, script: str) -> str:
    """Return the value that a script assigns to a variable; empty if there is none."""
    match = re.search(rf"\b{name}[ ]?=[ ]?[\"']?(\$\{{\{{.*?\}}\}}|[^\s\"']+)", script)
    return match[1] if match else ""


def _secrets_in(text: str, env: Mapping[str, str], depth: int) -> Iterator[str]:
    """Yield the secrets of a text, also through variables."""
    if depth > _MAX_DEPTH:
        return
    accesses = list(_accesses(text))
    yield from (name.upper() for context, name in accesses if context == "secrets")
    variables = [name for context, name in accesses if context == "env"]
    variables += [name for match in _REFERENCE.finditer(text) for name in match.groups() if name]
    for name in variables:
        yield from _secrets_in(env.get(name, ""), env, depth + 1)


def _accesses(text: str) -> Iterator[tuple[str, str]]:
    """Yield the context and the key of each access in the expressions of a text."""
    try:
        tree = tree_of(text) if "${{" in text else Literal("")
    except BadExpression:
        return
    for node in nodes(tree):
        match node:
            case Access(Name(context), Literal(str(key))):
                yield context, key
            case _:
                pass


def _repository_secret(name: str, running: RunningJob) -> str:
    """Return the secret of the repository that a job of a called workflow gets as ``name``.

    It is empty if a calling job does not pass it on.
    """
    for caller in reversed(running.callers):
        if caller.secrets is None:
            continue
        secrets = {key.upper(): text for key, text in caller.secrets.items()}
        accesses = _accesses(secrets.get(name, ""))
        name = next((key.upper() for context, key in accesses if context == "secrets"), "")
    return name
