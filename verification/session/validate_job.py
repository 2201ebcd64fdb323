"""Run the validate job's scripts on trial releases, each in an empty folder on this host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from verification.models.workflow import WorkflowJob, WorkflowStep
from verification.pipeline.expressions import fill, is_filled
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
"""What GitHub starts for each `shell`, on Linux."""
_CONTEXT = ("ref", "ref_name", "ref_type", "event_name", "repository", "workspace")


class _NotTried(Exception):
    """The script needs something that only a run has; the message completes "the job ..."."""


def try_releases(
    job: WorkflowJob, releases: Iterable[TrialRelease], project: Project, package_dir: str
) -> Trials:
    """Run the job's scripts on each release, until one cannot be tried.

    ``package_dir`` is the folder of the package in the repository.
    """
    done: list[Trial] = []
    try:
        for release in releases:
            text = project.with_version(release.version)
            done.append(_try(job, release, Path(package_dir, "pyproject.toml"), text))
    except _NotTried as error:
        return Trials(done=tuple(done), not_tried_reason=str(error))
    return Trials(done=tuple(done))


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
        known = {f"github.{key}": environment[f"GITHUB_{key.upper()}"] for key in _CONTEXT}
        printed, code = [], 0
        for number, step in enumerate(step for step in job.steps if step.run is not None):
            output = Path(scratch) / f"output-{number}"
            output.touch()
            done = _run(job, step, root, {**environment, "GITHUB_OUTPUT": str(output)}, known)
            printed.append(done.stdout)
            if code := done.returncode:
                break
            if step.id:
                outputs = _outputs(output.read_text(encoding="utf-8"))
                known |= {f"steps.{step.id}.outputs.{key}": value for key, value in outputs.items()}
        return Trial(
            release=release,
            code=code,
            output="\n".join(printed),
            outputs={key: fill(value, known) for key, value in job.outputs.items()},
        )


def _environment(scratch: Path, root: Path, release: TrialRelease) -> dict[str, str]:
    summary = scratch / "summary"
    summary.touch()
    # The interpreter that runs this comes first: it knows tomllib, as the runner's does.
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
    known: Mapping[str, str],
) -> subprocess.CompletedProcess[str]:
    name = step.shell or job.defaults.get("shell")
    shell = _SHELLS.get(name)
    if shell is None:
        raise _NotTried(f"runs its script in {name}, which is not tried here")
    folder = root / (step.working_directory or job.defaults.get("working-directory", "."))
    if not folder.is_dir():
        raise _NotTried(f"runs its script in {folder.name}/, which is not there")
    script = root.parent / "script"
    script.write_text(_filled(step.run or "", known), encoding="utf-8")
    variables = {name: _filled(value, known) for name, value in {**job.env, **step.env}.items()}
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


def _filled(text: str, known: Mapping[str, str]) -> str:
    filled = fill(text, known)
    if not is_filled(filled):
        rest = " ".join(filled[filled.index("${{") :].split("}}")[0].split())
        raise _NotTried(f"uses {rest} }}}}, which is not known before a run")
    return filled


def _outputs(text: str) -> dict[str, str]:
    """Read a file of outputs: `name=value`, or `name<<END`, lines, `END`."""
    outputs = {}
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"([^=<]+)<<(.+)", line):
            outputs[match[1]] = "\n".join(iter(lines.__next__, match[2]))
        elif "=" in line:
            name, _, value = line.partition("=")
            outputs[name] = value
    return outputs
