"""Check which wheels the workflow builds and how it passes them between jobs."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from verification.models.cause import Cause
from verification.models.subject import Platform, PlatformTarget, Subject
from verification.models.workflow import RunningJob, Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.expressions import replace_expressions
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import Project
from verification.pipeline.workflow_causes import cause, step_location

_DOWNLOAD = "actions/download-artifact"
_UPLOAD = "actions/upload-artifact"
_BUILD = "pypa/cibuildwheel"
_MERGE = "actions/upload-artifact/merge"
_PUBLISH = "pypa/gh-action-pypi-publish"
# The build identifiers that a wildcard in the selection of cibuildwheel can match.
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


def check_source(workflow: Workflow, plan: Plan) -> Iterator[Cause]:
    """Yield a cause for each step that builds or publishes another source than the tagged one."""
    for job in workflow.jobs.values():
        for step in job.steps:
            where = step_location(workflow, job, step)
            inputs = inputs_of(step)
            match step.action:
                case "actions/checkout":
                    for key in filter(inputs.is_set, ("ref", "repository")):
                        value = inputs.get(key)
                        message = f"checks out `{key}: {value}` instead of the tagged commit"
                        yield cause("wrong-source", where, message, input=key)
                case _ if step.action == _DOWNLOAD:
                    for key in filter(inputs.is_set, ("repository", "run-id")):
                        message = f"downloads artifacts of another run (`{key}`)"
                        yield cause("wrong-source", where, message, input=key)
                case _ if step.action == _BUILD:
                    yield from _build_causes(where, workflow, job, step, plan.package_dir)


def _build_causes(
    where: str, workflow: Workflow, job: WorkflowJob, step: WorkflowStep, package_dir: str
) -> Iterator[Cause]:
    inputs = inputs_of(step)
    folder = posixpath.normpath(inputs.get("package-dir"))
    if folder != package_dir:
        message = f"builds {folder}, not {package_dir}"
        yield cause("wrong-source", where, message, folder=folder)
    for key in filter(inputs.is_set, ("config-file", "only")):
        message = f"passes `{key}: {inputs.get(key)}` instead of the settings in pyproject.toml"
        yield cause("settings-bypassed", where, message, input=key)
    for name in {**workflow.env, **job.env, **step.env}:
        if name.startswith("CIBW_"):
            message = f"sets {name}, which overrides the settings in pyproject.toml"
            yield cause("settings-bypassed", where, message, variable=name)


def check_built_wheels(
    workflow: Workflow, plan: Plan, subject: Subject, project: Project
) -> Iterator[Cause]:
    """Yield causes for wheels that are untested, missing, built twice, or not in the release."""
    if not project.is_tested:
        where = f"{plan.package_dir}/pyproject.toml"
        message = "does not test every wheel after the build (test-command, test-skip)"
        yield cause("wheel-untested", where, message)
    build = workflow.jobs.get("build")
    if build is None:
        return
    where = step_location(workflow, build)
    selected = _identifiers(project)
    built: Counter[str] = Counter()
    for label in build.runs_on:
        identifiers = [identifier for identifier in selected if _runs(label, identifier, plan)]
        built.update(identifiers)
        if not identifiers:
            message = f"runs on {label}, but `[tool.cibuildwheel]` selects no wheel for it"
            yield cause("incomplete-release", where, message, label=label)
    required = {
        _identifier(platform, subject): platform
        for platform in subject.platforms
        if platform.required
    }
    for identifier, platform in required.items():
        if built[identifier] != 1:
            count = f"{built[identifier]} wheels" if built[identifier] else "no wheel"
            message = f"builds {count} for {platform.tag} on {', '.join(build.runs_on)}"
            yield cause("incomplete-release", where, message, platform=platform.tag)
    for identifier in built.keys() - required.keys():
        message = f"builds {identifier}, but this is not part of the release"
        yield cause("incomplete-release", where, message, identifier=identifier)


def check_transfer(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause for each step that would lose a wheel between the jobs."""
    build, merge = workflow.jobs.get("build"), workflow.jobs.get("merge")
    if build is None or merge is None:
        return
    names: list[str] = []
    for step in build.steps_with(_UPLOAD):
        names += _artifact_names(build, step)
        yield from _upload_causes(step_location(workflow, build, step), build, step, names)
    for step in merge.steps_with(_MERGE):
        where = step_location(workflow, merge, step)
        inputs = inputs_of(step)
        pattern = inputs.get("pattern")
        if lost := [name for name in names if not fnmatch.fnmatchcase(name, pattern)]:
            message = f"merges {pattern}, but this does not match {', '.join(lost)}"
            yield cause("artifact-lost", where, message, artifacts=tuple(lost))
        if inputs.switch("separate-directories") != "false":
            message = "merges into separate directories, but later steps read one directory"
            yield cause("artifact-lost", where, message)
        merged = inputs.get("name")
        for id_ in ("validate", "release", "publish"):
            for running in _with_wheels(workflow.running_jobs_of(id_)):
                yield from _download_causes(running.workflow, running.job, merged)
                yield from _publish_causes(running.workflow, running.job)


def _with_wheels(jobs: tuple[RunningJob, ...]) -> tuple[RunningJob, ...]:
    """Return the jobs that must download the wheels.

    If some jobs download artifacts, these are the jobs. Otherwise all jobs are. A call whose
    workflow cannot be read is left out.
    """
    readable = tuple(running for running in jobs if not running.job.uses)
    downloading = tuple(running for running in readable if running.job.steps_with(_DOWNLOAD))
    return downloading or readable


def wheels_folder(job: WorkflowJob) -> str | None:
    """Return the folder with the wheels of a job, or None if the job downloads no artifact."""
    for step in job.steps_with(_DOWNLOAD):
        return posixpath.normpath(inputs_of(step).get("path"))
    return None


def _artifact_names(build: WorkflowJob, step: WorkflowStep) -> Iterator[str]:
    """Yield the name of the artifact for each combination of the matrix."""
    for combination in build.combinations:
        values = {f"matrix.{key}": str(value) for key, value in combination.items()}
        yield replace_expressions(inputs_of(step).get("name"), values)


def _upload_causes(
    where: str, build: WorkflowJob, step: WorkflowStep, names: Iterable[str]
) -> Iterator[Cause]:
    outputs = [
        posixpath.normpath(inputs_of(built).get("output-dir")) for built in build.steps_with(_BUILD)
    ]
    paths = [posixpath.normpath(line) for line in inputs_of(step).get("path").split("\n") if line]
    for output in outputs:
        wheel = f"{output}/any.whl"
        if not any(fnmatch.fnmatchcase(wheel, path) or path == output for path in paths):
            message = f"uploads {', '.join(paths) or 'nothing'}, but the wheels are in {output}"
            yield cause("artifact-lost", where, message, folder=output)
    for name, count in Counter(names).items():
        if count > 1:
            message = f"uploads the artifact {name} in {count} jobs of the matrix; only one passes"
            yield cause("artifact-lost", where, message, artifacts=(name,))


def _download_causes(workflow: Workflow, job: WorkflowJob, merged: str) -> Iterator[Cause]:
    downloads = job.steps_with(_DOWNLOAD)
    if not downloads:
        yield cause("artifact-lost", step_location(workflow, job), "does not download the wheels")
    for step in downloads:
        if (name := inputs_of(step).get("name")) != merged:
            message = f"downloads {name or 'all artifacts'}, but the wheels are in {merged}"
            yield cause("artifact-lost", step_location(workflow, job, step), message)


def _publish_causes(workflow: Workflow, job: WorkflowJob) -> Iterator[Cause]:
    downloaded = wheels_folder(job)
    for step in job.steps_with(_PUBLISH):
        where = step_location(workflow, job, step)
        inputs = inputs_of(step)
        published = posixpath.normpath(inputs.get("packages-dir"))
        if downloaded is not None and published != downloaded:
            message = f"publishes {published}, but the wheels are in {downloaded}"
            yield cause("artifact-lost", where, message, folder=published)
        if inputs.switch("skip-existing") != "false":
            message = "skips files that the index already has, even if their content is different"
            yield cause("failure-ignored", where, message)


def _identifiers(project: Project) -> list[str]:
    """Return the build identifiers that the settings of cibuildwheel select."""
    known = [f"{python}-{system}" for python in _PYTHONS for system in _SYSTEMS]
    known += [pattern for pattern in project.build if not set(pattern) & set("*?[{")]
    return [
        identifier
        for identifier in dict.fromkeys(known)
        if _matches(identifier, project.build) and not _matches(identifier, project.skip)
    ]


def _matches(identifier: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(identifier, pattern) for pattern in patterns)


def _identifier(platform: Platform, subject: Subject) -> str:
    """Return the build identifier of a platform: its tag without the version of the system."""
    return f"{subject.python}-" + re.sub(r"(linux_|osx_)\d+_\d+_", r"\1", platform.tag)


def _runs(label: str, identifier: str, plan: Plan) -> bool:
    """Return whether a runner has the system and the processor of a build identifier."""
    system = next((plan.runners[name] for name in plan.runners if label.startswith(name)), None)
    if system is None:
        return False
    platform = identifier.partition("-")[2]
    arm = system == "macosx" or "-arm" in label
    if platform.startswith("win"):
        machine = PlatformTarget.of(platform).machine
    else:
        machine = platform.partition("_")[2].replace("arm64", "aarch64")
    if machine != ("aarch64" if arm else "x86_64"):
        return False
    return platform.replace("musllinux", "manylinux").startswith(system)
