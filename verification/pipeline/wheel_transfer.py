"""The wheels on their way: which are built, and how they get from job to job."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from verification.models.cause import Cause
from verification.models.subject import Platform, Subject, Target
from verification.models.workflow import Job, Step, Workflow
from verification.pipeline.expressions import fill
from verification.pipeline.plan import Plan
from verification.rules.catalogue import catalogue

_DOWNLOAD = "actions/download-artifact"
_UPLOAD = "actions/upload-artifact"
_BUILD = "pypa/cibuildwheel"
_MERGE = "actions/upload-artifact/merge"
_PUBLISH = "pypa/gh-action-pypi-publish"
# What cibuildwheel could build where its selection has a wildcard.
_PYTHONS = ("cp312", "cp313", "cp314")
_SYSTEMS = (
    "manylinux_x86_64",
    "manylinux_aarch64",
    "manylinux_i686",
    "musllinux_x86_64",
    "win_amd64",
    "win_arm64",
    "win32",
    "macosx_x86_64",
    "macosx_arm64",
)


def source(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield what makes the workflow build, or publish, something else than the tagged source."""
    for job in workflow.jobs.values():
        for step in job.steps:
            where = f"{workflow.at(step.line)} ({job.id})"
            if step.action == "actions/checkout":
                for key in sorted({"ref", "repository"} & step.with_.keys()):
                    seen = f"checks out with `{key}: {step.with_[key]}`, not what was tagged"
                    yield catalogue().cause("wrong-source", where=where, seen=seen)
            if step.action == _DOWNLOAD:
                for key in sorted({"run-id", "repository"} & step.with_.keys()):
                    seen = f"fetches artifacts with `{key}`, which may be those of another run"
                    yield catalogue().cause("wrong-source", where=where, seen=seen)
            if step.action == _BUILD:
                folder = posixpath.normpath(step.with_.get("package-dir", "."))
                if folder != plan.package_dir:
                    seen = f"builds {folder}, not {plan.package_dir}"
                    yield catalogue().cause("wrong-source", where=where, seen=seen)
                yield from _settings(workflow, job, step)


def built(
    workflow: Workflow, plan: Plan, subject: Subject, settings: dict[str, Any]
) -> Iterator[Cause]:
    """Yield where the wheels built are not the release's: one for each required platform."""
    where = plan.package_dir + "/pyproject.toml"
    if not settings.get("test-command") or settings.get("test-skip"):
        seen = "does not have every wheel tested after it is built (test-command, test-skip)"
        yield catalogue().cause("wheel-untested", where=where, seen=seen)
    build = workflow.jobs.get("build")
    if build is None:
        return
    where = f"{workflow.at(build.line)} (build)"
    identifiers = _identifiers(settings.get("build", "*"), settings.get("skip", ""))
    made: Counter[str] = Counter()
    for label in build.runs_on:
        found = [one for one in identifiers if _runs(label, one, plan)]
        made.update(found)
        if not found:
            seen = f"has a job on {label}, for which `[tool.cibuildwheel]` selects no wheel"
            yield catalogue().cause("incomplete-release", where=where, seen=seen)
    wanted: dict[str, Platform] = {
        one: platform
        for platform in subject.platforms
        if platform.required
        for one in [_identifier(platform, subject)]
    }
    for one, platform in wanted.items():
        if made[one] != 1:
            told = "no wheel" if not made[one] else f"{made[one]} wheels"
            seen = f"builds {told} for {platform.tag} ({', '.join(build.runs_on)})"
            yield catalogue().cause("incomplete-release", where=where, seen=seen)
    for one in made.keys() - wanted.keys():
        seen = f"builds {one} as well, which is not part of the release"
        yield catalogue().cause("incomplete-release", where=where, seen=seen)


def carried(workflow: Workflow) -> Iterator[Cause]:
    """Yield where a wheel would be lost between the jobs."""
    build, merge = workflow.jobs.get("build"), workflow.jobs.get("merge")
    if build is None or merge is None:
        return
    names: list[str] = []
    for step in _steps(build, _UPLOAD):
        where = f"{workflow.at(step.line)} (build)"
        for combination in build.combinations:
            values = {f"matrix.{key}": str(value) for key, value in combination.items()}
            names.append(fill(step.with_.get("name", "artifact"), values))
        yield from _uploaded(build, step, where)
        for name, count in Counter(names).items():
            if count > 1:
                seen = f"gives {count} jobs of the matrix one artifact, {name}: all but one fail"
                yield catalogue().cause("artifact-lost", where=where, seen=seen)
    for step in _steps(merge, _MERGE):
        where = f"{workflow.at(step.line)} (merge)"
        pattern = step.with_.get("pattern", "*")
        if lost := [name for name in names if not fnmatch.fnmatchcase(name, pattern)]:
            seen = f"merges {pattern}, which leaves {', '.join(lost)} out"
            yield catalogue().cause("artifact-lost", where=where, seen=seen)
        if step.with_.get("separate-directories", "false") != "false":
            seen = "merges into separate directories, where no later step looks"
            yield catalogue().cause("artifact-lost", where=where, seen=seen)
        merged = step.with_.get("name", "merged-artifacts")
        for id_ in ("validate", "release", "publish"):
            if job := workflow.jobs.get(id_):
                yield from _fetched(workflow, job, merged)


def folder(job: Job) -> str | None:
    """Return where a job has the wheels, or None if it fetches none."""
    for step in _steps(job, _DOWNLOAD):
        return posixpath.normpath(step.with_.get("path", "."))
    return None


def _settings(workflow: Workflow, job: Job, step: Step) -> Iterator[Cause]:
    where = f"{workflow.at(step.line)} ({job.id})"
    for key in sorted({"config-file", "only"} & step.with_.keys()):
        seen = f"gives cibuildwheel `{key}: {step.with_[key]}`"
        yield catalogue().cause("settings-bypassed", where=where, seen=seen)
    for name in {**workflow.env, **job.env, **step.env}:
        if name.startswith("CIBW_"):
            seen = f"sets {name}"
            yield catalogue().cause("settings-bypassed", where=where, seen=seen)


def _uploaded(build: Job, step: Step, where: str) -> Iterator[Cause]:
    outputs = [
        posixpath.normpath(cibw.with_.get("output-dir", "wheelhouse"))
        for cibw in _steps(build, _BUILD)
    ]
    paths = [posixpath.normpath(line) for line in step.with_.get("path", "").split("\n") if line]
    for output in outputs:
        wheel = f"{output}/any.whl"
        if not any(fnmatch.fnmatchcase(wheel, path) or path == output for path in paths):
            seen = f"keeps {', '.join(paths) or 'nothing'}, and the wheels are in {output}"
            yield catalogue().cause("artifact-lost", where=where, seen=seen)


def _fetched(workflow: Workflow, job: Job, merged: str) -> Iterator[Cause]:
    fetches = list(_steps(job, _DOWNLOAD))
    if not fetches:
        seen = "does not fetch the wheels"
        yield catalogue().cause(
            "artifact-lost", where=f"{workflow.at(job.line)} ({job.id})", seen=seen
        )
    for step in fetches:
        where = f"{workflow.at(step.line)} ({job.id})"
        if (name := step.with_.get("name")) != merged:
            seen = f"fetches {name or 'every artifact'}, and the wheels are in {merged}"
            yield catalogue().cause("artifact-lost", where=where, seen=seen)
    for step in _steps(job, _PUBLISH):
        where = f"{workflow.at(step.line)} ({job.id})"
        published = posixpath.normpath(step.with_.get("packages-dir", "dist"))
        if fetches and published != folder(job):
            seen = f"publishes {published}, and the wheels are in {folder(job)}"
            yield catalogue().cause("artifact-lost", where=where, seen=seen)
        if step.with_.get("skip-existing", "false") != "false":
            seen = "passes over files that the index has already, were they another build's"
            yield catalogue().cause("failure-ignored", where=where, seen=seen)


def _steps(job: Job, action: str) -> Iterator[Step]:
    return (step for step in job.steps if step.action == action)


def _identifiers(selected: str | list[str], skipped: str | list[str]) -> list[str]:
    wanted, unwanted = _words(selected), _words(skipped)
    every = [f"{python}-{system}" for python in _PYTHONS for system in _SYSTEMS]
    every += [word for word in wanted if not set(word) & set("*?[{")]
    return [
        one
        for one in dict.fromkeys(every)
        if any(fnmatch.fnmatchcase(one, word) for word in wanted)
        and not any(fnmatch.fnmatchcase(one, word) for word in unwanted)
    ]


def _words(selection: str | list[str]) -> list[str]:
    return selection.split() if isinstance(selection, str) else list(selection)


def _identifier(platform: Platform, subject: Subject) -> str:
    return f"{subject.python}-" + re.sub(r"linux_\d+_\d+_|osx_\d+_\d+_", _plain, platform.tag)


def _plain(match: re.Match[str]) -> str:
    return re.sub(r"\d+_", "", match[0])


def _runs(label: str, identifier: str, plan: Plan) -> bool:
    """Tell whether cibuildwheel builds the wheel on that runner: its system, its processor."""
    system = next((plan.runners[name] for name in plan.runners if label.startswith(name)), None)
    if system is None:
        return False
    built = identifier.partition("-")[2]
    arm = system == "macosx" or "-arm" in label
    machine = "aarch64" if arm else "x86_64"
    if built.startswith("win"):
        found = Target.of(built).machine
    else:
        found = built.partition("_")[2].replace("arm64", "aarch64")
    return built.replace("musllinux", "manylinux").startswith(system) and found == machine
