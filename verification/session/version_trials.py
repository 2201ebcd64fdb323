"""Run the scripts of the job that checks the version on trial releases.

Each trial runs in an empty folder on this host.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from verification.models.workflow import WorkflowJob, WorkflowStep
from verification.pipeline.contexts import known_text
from verification.pipeline.expressions import BadExpression, Context, UnknownValue, fill
from verification.pipeline.repository_files import Project
from verification.pipeline.trials import Trial, TrialRelease, Trials
from verification.pipeline.wheel_transfer import wheels_folder

_SECONDS = 30
_SHELLS: dict[str | None, list[str]] = {
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
    "python": [sys.executable],
}
"""The command that a Linux runner of GitHub starts for each `shell`."""
_CONTEXT = ("ref", "ref_name", "ref_type", "event_name", "repository", "workspace")


class _NotTried(Exception):
    """The script needs something that only a run has. The message completes "the job ..."."""


def try_releases(
    job: WorkflowJob, releases: Iterable[TrialRelease], project: Project, package_dir: str
) -> Trials:
    """Run the scripts of a job on each release, until a release cannot be tried.

    ``package_dir`` is the folder of the package in the repository.
    """
    trials: list[Trial] = []
    try:
        for release in releases:
            text = project.with_version(release.version)
            trials.append(_try(job, release, Path(package_dir, "pyproject.toml"), text))
    except _NotTried as error:
        return Trials(results=tuple(trials), not_tried_reason=str(error))
    return Trials(results=tuple(trials))


def _try(job: WorkflowJob, release: TrialRelease, project: Path, text: str) -> Trial:
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-trial-") as scratch:
        root = Path(scratch) / "work"
        (root / project).parent.mkdir(parents=True)
        (root / project).write_text(text, encoding="utf-8")
        dist = root / (wheels_folder(job) or "dist")
        dist.mkdir(parents=True, exist_ok=True)
        for name in release.files:
            (dist / name).write_bytes(b"")
        environment = _environment(Path(scratch), root, release)
        outputs: dict[str, dict[str, str]] = {}
        texts, code = [], 0
        for number, step in enumerate(step for step in job.steps if step.run is not None):
            output = Path(scratch) / f"output-{number}"
            output.touch()
            variables = {**environment, "GITHUB_OUTPUT": str(output)}
            process = _run(job, step, root, variables, _context(environment, outputs))
            texts.append(process.stdout)
            if code := process.returncode:
                break
            if step.id:
                outputs[step.id] = _outputs(output.read_text(encoding="utf-8"))
        context = _context(environment, outputs)
        return Trial(
            release=release,
            exit_code=code,
            output="\n".join(texts),
            outputs={key: _known_or_same(text, context) for key, text in job.outputs.items()},
        )


def _context(environment: Mapping[str, str], outputs: Mapping[str, Mapping[str, str]]) -> Context:
    """Return what the expressions of the job can use. ``outputs`` are those of each step."""
    return Context(
        values={
            "github": {key: environment[f"GITHUB_{key.upper()}"] for key in _CONTEXT},
            "steps": {id_: {"outputs": dict(values)} for id_, values in outputs.items()},
        },
        unknown=frozenset(
            name
            for id_ in outputs
            for name in (f"steps.{id_}".lower(), f"steps.{id_}.outputs".lower())
        )
        | {"github", "steps"},
    )


def _known_or_same(text: str, context: Context) -> str:
    """Return a text with the values of its expressions, or the same text if one is not known."""
    value = known_text(text, context)
    return text if value is None else value


def _environment(scratch: Path, root: Path, release: TrialRelease) -> dict[str, str]:
    summary = scratch / "summary"
    summary.touch()
    # The scripts need an interpreter with tomllib, which the one on PATH may not have.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": f"refs/tags/{release.tag}",
        "GITHUB_REF_NAME": release.tag,
        "GITHUB_REF_TYPE": "tag",
        "GITHUB_REPOSITORY": "owner/repository",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_WORKSPACE": str(root),
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "PATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _run(
    job: WorkflowJob,
    step: WorkflowStep,
    root: Path,
    environment: Mapping[str, str],
    context: Context,
) -> subprocess.CompletedProcess[str]:
    name = step.shell or job.defaults.get("shell")
    shell = _SHELLS.get(name)
    if shell is None:
        raise _NotTried(f"uses the shell {name}, which this host cannot try")
    folder = root / (step.working_directory or job.defaults.get("working-directory", "."))
    if not folder.is_dir():
        raise _NotTried(f"runs its script in {folder.name}/, which does not exist before a run")
    script = root.parent / "script"
    script.write_text(_fill_in(step.run or "", context), encoding="utf-8")
    variables = {name: _fill_in(value, context) for name, value in {**job.env, **step.env}.items()}
    try:
        return subprocess.run(
            [*shell, str(script)],
            cwd=folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _NotTried(f"does not end within {_SECONDS} seconds") from None


def _fill_in(text: str, context: Context) -> str:
    """Return the text with the values of its expressions.

    Raises:
        _NotTried: the value of an expression is unknown, or GitHub refuses the expression.
    """
    try:
        return fill(text, context)
    except UnknownValue as error:
        expression = f"${{{{ {error.name} }}}}"
        raise _NotTried(f"uses {expression}, whose value is unknown before a run") from None
    except BadExpression as error:
        raise _NotTried(f"has a wrong expression: {error}") from None


def _outputs(text: str) -> dict[str, str]:
    """Parse a file of step outputs: `name=value`, or `name<<END`, lines, `END`."""
    outputs = {}
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"([^=<]+)<<(.+)", line):
            outputs[match[1]] = "\n".join(iter(lines.__next__, match[2]))
        elif "=" in line:
            name, _, value = line.partition("=")
            outputs[name] = value
    return outputs
