"""The validate job's script, tried on releases that are right and on releases that are wrong.

What a script does is not read out of its text: it runs, in an empty folder that holds what the job
would have, and must let the right release pass and refuse every wrong one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verification.models.cause import Cause
from verification.models.subject import Subject
from verification.models.workflow import Job, Step, Workflow
from verification.pipeline import wheel_transfer as wheels
from verification.pipeline.expressions import fill, is_filled
from verification.pipeline.plan import Plan
from verification.rules.catalogue import catalogue

_SECONDS = 30
_SHELLS: dict[str | None, list[str]] = {
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
    "python": [sys.executable],
}
"""What GitHub starts for each `shell`, on Linux."""
_PLAIN_VERSION = re.compile(r"\d+\.\d+\.\d+")
_VERSION_LINE = re.compile(r'^version\s*=\s*"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """A release as the validate job finds it."""

    title: str
    tag: str
    version: str
    files: tuple[str, ...]
    right: bool


@dataclass(frozen=True)
class Ended:
    """How the script ended, and the outputs of its job."""

    code: int
    output: str
    outputs: dict[str, str]


def wheel_names(subject: Subject, version: str) -> tuple[str, ...]:
    """Return the exact names of the wheels that make a release."""
    python = subject.python
    return tuple(
        f"{subject.name}-{version}-{python}-{python}-{platform.tag}.whl"
        for platform in subject.platforms
        if platform.required
    )


def releases(subject: Subject, version: str) -> Iterator[Release]:
    """Yield releases of this version: right ones, and wrong in one way each."""
    if plain := _PLAIN_VERSION.match(version):
        version = plain[0]  # the pre-release is made of it
    names = wheel_names(subject, version)
    early = f"{version}rc1"
    tag = f"v{version}"
    extra = f"{subject.name}-{version}-{subject.python}-{subject.python}-macosx_11_0_arm64.whl"
    yield Release("the release", tag, version, names, right=True)
    yield Release("a pre-release", f"v{early}", early, wheel_names(subject, early), right=True)
    yield Release("a tag of another version", "v9.99.999", version, names, right=False)
    yield Release("a tag without its v", version, version, names, right=False)
    yield Release("a tag that only begins so", f"{tag}.1", version, names, right=False)
    for missing in names:
        rest = tuple(name for name in names if name != missing)
        yield Release(f"no {missing}", tag, version, rest, right=False)
    yield Release("no wheels", tag, version, (), right=False)
    yield Release("a third wheel", tag, version, (*names, extra), right=False)
    yield Release(
        "a source distribution",
        tag,
        version,
        (*names, f"{subject.name}-{version}.tar.gz"),
        right=False,
    )
    others = wheel_names(subject, "9.99.999")
    yield Release("wheels of another version", tag, version, others, right=False)
    yield Release("wheels of two versions", tag, version, (names[0], *others[1:]), right=False)
    twice = (names[0], names[0].replace(f"-{version}-", f"-{version}-1-"))
    yield Release("one platform twice", tag, version, twice, right=False)


@dataclass(frozen=True)
class Rehearsal:
    """What came of every release that was tried."""

    ended: tuple[tuple[Release, Ended], ...]
    causes: tuple[Cause, ...]


def rehearse_all(workflow: Workflow, repository: Path, plan: Plan, subject: Subject) -> Rehearsal:
    """Try the validate job on right and on wrong releases; what it judges wrongly is a cause."""
    job = workflow.jobs.get("validate")
    if job is None or all(step.run is None for step in job.steps):
        return Rehearsal((), ())  # told elsewhere: the job, or its step, is missing
    where = f"{workflow.at(job.line)} (validate)"
    project = (repository / plan.package_dir / "pyproject.toml").read_text(encoding="utf-8")
    match = _VERSION_LINE.search(project)
    if match is None:
        seen = f"finds no version in {plan.package_dir}/pyproject.toml"
        return Rehearsal((), (catalogue().cause("validation-wrong", where=where, seen=seen),))
    ended, causes = [], []
    for release in releases(subject, match[1]):
        try:
            end = rehearse(job, release, project, plan)
        except _NotRehearsed as error:
            causes.append(catalogue().cause("validation-wrong", where=where, seen=str(error)))
            break
        ended.append((release, end))
        if release.right and end.code:
            seen = f"refuses {release.title} ({release.tag}): {_last(end.output)}"
            causes.append(catalogue().cause("validation-wrong", where=where, seen=seen))
        elif not release.right and not end.code:
            seen = f"lets a release pass with {release.title} (tag {release.tag})"
            causes.append(catalogue().cause("validation-wrong", where=where, seen=seen))
    return Rehearsal(tuple(ended), tuple(causes))


def rehearse(job: Job, release: Release, project: str, plan: Plan) -> Ended:
    """Run the scripts of the validate job on a release, in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-rehearsal-") as scratch:
        root = Path(scratch) / "work"
        package = root / plan.package_dir
        package.mkdir(parents=True)
        text = _VERSION_LINE.sub(f'version = "{release.version}"', project, count=1)
        (package / "pyproject.toml").write_text(text, encoding="utf-8")
        dist = root / (wheels.folder(job) or "dist")
        dist.mkdir(parents=True, exist_ok=True)
        for name in release.files:
            (dist / name).write_bytes(b"")
        environment = _environment(Path(scratch), root, release)
        known = {f"github.{key}": environment[f"GITHUB_{key.upper()}"] for key in _CONTEXT}
        said, code = [], 0
        for number, step in enumerate(step for step in job.steps if step.run is not None):
            output = Path(scratch) / f"output-{number}"
            output.touch()
            done = _run(job, step, root, {**environment, "GITHUB_OUTPUT": str(output)}, known)
            said.append(done.stdout)
            if code := done.returncode:
                break
            if step.id:
                found = _outputs(output.read_text(encoding="utf-8"))
                known |= {f"steps.{step.id}.outputs.{key}": value for key, value in found.items()}
        outputs = {key: fill(value, known) for key, value in job.outputs.items()}
        return Ended(code, "\n".join(said), outputs)


_CONTEXT = ("ref", "ref_name", "ref_type", "event_name", "repository", "workspace")


class _NotRehearsed(Exception):
    """The script needs something that only a run has."""


def _environment(scratch: Path, root: Path, release: Release) -> dict[str, str]:
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
    job: Job, step: Step, root: Path, environment: dict[str, str], known: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    named = step.shell or job.defaults.get("shell")
    shell = _SHELLS.get(named)
    if shell is None:
        raise _NotRehearsed(f"runs its script in {named}, which is not tried here")
    folder = root / (step.working_directory or job.defaults.get("working-directory", "."))
    if not folder.is_dir():
        raise _NotRehearsed(f"runs its script in {folder.name}/, which is not there")
    script = root.parent / "script"
    script.write_text(_filled(step.run or "", known), encoding="utf-8")
    own = {name: _filled(value, known) for name, value in {**job.env, **step.env}.items()}
    try:
        return subprocess.run(
            [*shell, str(script)],
            cwd=folder,
            env=environment | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _NotRehearsed(f"does not end within {_SECONDS} seconds") from None


def _filled(text: str, known: dict[str, str]) -> str:
    filled = fill(text, known)
    if not is_filled(filled):
        rest = " ".join(filled[filled.index("${{") :].split("}}")[0].split())
        raise _NotRehearsed(f"uses {rest} }}}}, which is not known before a run")
    return filled


def _outputs(text: str) -> dict[str, str]:
    """Read a file of outputs: `name=value`, or `name<<END`, lines, `END`."""
    found = {}
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"([^=<]+)<<(.+)", line):
            found[match[1]] = "\n".join(iter(lines.__next__, match[2]))
        elif "=" in line:
            name, _, value = line.partition("=")
            found[name] = value
    return found


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"
