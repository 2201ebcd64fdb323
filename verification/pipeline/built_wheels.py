"""Check from which source the workflow builds, and for which platforms.

A cause is *broken* only if the evaluation is certain. What depends on a value of the run is a note.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator

from verification.models.cause import Cause
from verification.models.subject import Platform, PlatformTarget, Subject
from verification.models.workflow import Event, RunningJob, Workflow, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.contexts import (
    Runs,
    job_combinations,
    job_contexts,
    known_label,
    known_text,
)
from verification.pipeline.evaluated_jobs import EvaluatedJob
from verification.pipeline.expressions import Context, with_env
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import Project
from verification.pipeline.shell import commands, option
from verification.pipeline.tasks import (
    all_steps,
    builds_only_sdist,
    command_task,
    is_sdist_command,
    is_understood,
    jobs_with,
    step_tasks,
    tasks_of,
)
from verification.pipeline.wheel_transfer import (
    Artifact,
    artifacts_of,
    expanded,
    published_artifacts,
)
from verification.pipeline.workflow_causes import cause, not_evaluated, step_location

_BUILD = "pypa/cibuildwheel"
_REF_INPUT = re.compile(r"(?:^|[-_])(?:tag|ref|commit|sha)(?:$|[-_])", re.IGNORECASE)
_RUN_OF = re.compile(r"\$\{\{\s*github\.run_id\s*\}\}")
_REPOSITORY = re.compile(r"\$\{\{\s*github\.repository\s*\}\}")
_COMMIT = re.compile(r"\$\{\{\s*github\.(?:sha|workflow_sha)\s*\}\}")
_SYSTEMS = {"ubuntu": "linux", "windows": "windows", "macos": "macos"}
"""The system of a runner by the first part of its label."""
_NATIVE = {"auto", "auto64", "auto32", "native"}
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "x86": "i686"}
_SELECTIONS = ("CIBW_BUILD", "CIBW_SKIP", "CIBW_ARCHS", "CIBW_PLATFORM")


def check_source(workflow: Workflow, event: Event, runs: Runs) -> Iterator[Cause]:
    """Yield a cause for each job that builds or publishes another source than the released one."""
    released = _released_refs(workflow, event)
    for running in workflow.running_jobs:
        if not tasks_of(running.job) & {"build", "publish", "check-version", "merge"}:
            continue
        known = job_contexts(running, runs)[0]
        for step in all_steps(running.job.steps):
            where = step_location(running.workflow, running.job, step)
            if step.action == "actions/checkout":
                yield from _checkout_causes(where, step, event, released, with_env(known, step.env))
            elif step.action == "actions/download-artifact":
                yield from _other_run(where, step)


def _checkout_causes(
    where: str, step: WorkflowStep, event: Event, released: frozenset[str], context: Context
) -> Iterator[Cause]:
    inputs = inputs_of(step)
    repository, repository_of_run = inputs.get("repository"), _own_repository(context)
    is_other = inputs.is_set("repository") and not _REPOSITORY.fullmatch(repository)
    if is_other and known_text(repository, context) != repository_of_run:
        if inputs.is_set("path"):
            return  # an additional checkout next to the source
        if repository_of_run and known_text(repository, context) is not None:
            message = f"checks out `repository: {repository}` instead of the released commit"
            yield cause("wrong-source", where, message, input="repository")
        else:
            yield not_evaluated(where, f"checks out `repository: {repository}`")
        return
    ref = inputs.get("ref") if inputs.is_set("ref") else ""
    value = known_text(ref, context)
    if not value and (not ref or _COMMIT.fullmatch(ref)):
        value = event.ref
    if value is None:
        yield not_evaluated(where, f"checks out `ref: {ref}`")
    elif value not in released:
        what = f"`ref: {ref}`" if ref else event.ref
        message = f"checks out {what} instead of the released commit"
        yield cause("wrong-source", where, message, input="ref")


def _own_repository(context: Context) -> str:
    return known_text("${{ github.repository }}", context) or ""


def _released_refs(workflow: Workflow, event: Event) -> frozenset[str]:
    """Return the names of the released commit.

    It is the commit of the event. If the workflow does not create the tag itself, an input of a
    dispatch, such as `tag`, can name the commit too.
    """
    name = event.ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
    of_event = {event.ref, name, event.sha, f"tags/{name}", *event.inputs.values()}
    named = {text for key, text in event.inputs.items() if _REF_INPUT.search(key) and text}
    if not named or _creates_tags(workflow):
        return frozenset(of_event)
    return frozenset({*named, *(f"refs/tags/{text}" for text in named)})


def _creates_tags(workflow: Workflow) -> bool:
    return bool(jobs_with(workflow, "create-release")) or any(
        words[:2] in (("git", "tag"), ("git", "push"), ("gh", "api"))
        for running in workflow.running_jobs
        for step in all_steps(running.job.steps)
        for words in commands(step.run or "", step.shell)
    )


def _other_run(where: str, step: WorkflowStep) -> Iterator[Cause]:
    inputs = inputs_of(step)
    for key in filter(inputs.is_set, ("repository", "run-id")):
        value = inputs.get(key)
        if _RUN_OF.fullmatch(value) or (key == "repository" and "github.repository" in value):
            continue
        if "${{" in value:
            yield not_evaluated(where, f"downloads artifacts by `{key}: {value}`")
        else:
            message = f"downloads artifacts of another run (`{key}`)"
            yield cause("wrong-source", where, message, input=key)


def check_package(workflow: Workflow, plan: Plan, runs: Runs) -> Iterator[Cause]:
    """Yield a cause if the workflow builds other folders, but not the folder of the package."""
    expected = posixpath.normpath(plan.package_dir)
    others: list[Cause] = []
    for running in jobs_with(workflow, "build"):
        for known in job_contexts(running, runs):
            for step in all_steps(running.job.steps):
                if "build" not in step_tasks(step) or step.steps:
                    continue
                folder = _package_folder(step, with_env(known, step.env))
                if folder is None or folder == expected or folder.endswith(".tar.gz"):
                    return
                where = step_location(running.workflow, running.job, step)
                message = f"builds {folder}, not {expected}"
                others.append(cause("wrong-source", where, message, folder=folder))
    yield from others[:1]


def package_folders(workflow: Workflow) -> frozenset[str]:
    """Return the folders in the repository that cibuildwheel builds, as far as the file names them.

    An expression whose value only a run knows is left out.
    """
    steps = (
        step
        for running in jobs_with(workflow, "build")
        for step in all_steps(running.job.steps)
        if not step.steps
    )
    folders = (_package_folder(step, Context()) for step in steps)
    return frozenset(folder for folder in folders if folder is not None)


def _package_folder(step: WorkflowStep, context: Context) -> str | None:
    """Return the folder that a step builds, or None if this is not known."""
    if step.action != _BUILD:
        return None
    text = known_text(inputs_of(step).get("package-dir") or ".", context)
    return None if text is None else posixpath.normpath(text)


def check_settings(workflow: Workflow) -> Iterator[Cause]:
    """Yield a note for each setting of cibuildwheel in the workflow. The suite does not use it."""
    for running in jobs_with(workflow, "build"):
        for step in all_steps(running.job.steps):
            if step.action != _BUILD:
                continue
            where = step_location(running.workflow, running.job, step)
            inputs = inputs_of(step)
            for key in filter(inputs.is_set, ("config-file", "only")):
                message = f"passes `{key}: {inputs.get(key)}`, which a build from pyproject.toml"
                yield cause("settings-bypassed", where, f"{message} does not use", input=key)
            for name in {**running.workflow.env, **running.job.env, **step.env}:
                if name.startswith("CIBW_"):
                    message = f"sets {name}, which a build from pyproject.toml does not use"
                    yield cause("settings-bypassed", where, message, variable=name)


def check_built_wheels(
    workflow: Workflow, plan: Plan, subject: Subject, project: Project, runs: Runs
) -> Iterator[Cause]:
    """Yield a cause for each platform that no job builds, and for untested wheels."""
    yield from _untested(workflow, plan, project)
    builds = jobs_with(workflow, "build")
    if not builds:
        yield from _no_build(workflow)
        return
    is_certain = all(
        not running.job.uses and all(is_understood(step) or step.run for step in running.job.steps)
        for running in workflow.running_jobs
    )
    artifacts = artifacts_of(workflow, runs)
    published = published_artifacts(workflow, artifacts, runs)
    where = step_location(builds[0].workflow, builds[0].job)
    labels = ", ".join(
        dict.fromkeys(label for running in builds for label, _ in job_combinations(running, runs))
    )
    for platform in filter(lambda candidate: candidate.required, subject.platforms):
        builders = _builders(builds, runs, subject, project, platform)
        if builders:
            yield from _lost(builders, artifacts, published, platform)
        elif is_certain:
            message = f"builds no wheel for {platform.tag} on {labels}"
            yield cause("incomplete-release", where, message, platform=platform.tag)
        else:
            yield not_evaluated(where, f"may build no wheel for {platform.tag}")


def platforms_of(
    run: EvaluatedJob, number: int, subject: Subject, project: Project
) -> frozenset[str]:
    """Return the tags of the required platforms that a combination of a job may build.

    ``number`` is the number of the combination; the first is 0.
    """
    context = run.combination_contexts()[number]
    label = known_label(run.job, number, context)
    return frozenset(
        platform.tag
        for platform in subject.platforms
        if platform.required
        for step in all_steps(run.job.steps)
        if _Builder(label, with_env(context, step.env), subject, project).may_build(
            run.running, step, platform
        )
    )


def _builders(
    builds: Iterable[RunningJob], runs: Runs, subject: Subject, project: Project, platform: Platform
) -> list[tuple[RunningJob, int]]:
    """Return the jobs that may build a platform, with the number of their combination."""
    return [
        (running, number)
        for running in builds
        for number, (label, known) in enumerate(job_combinations(running, runs))
        if any(
            _Builder(label, with_env(known, step.env), subject, project).may_build(
                running, step, platform
            )
            for step in all_steps(running.job.steps)
        )
    ]


def _lost(
    builders: list[tuple[RunningJob, int]],
    artifacts: tuple[Artifact, ...],
    published: frozenset[str] | None,
    platform: Platform,
) -> Iterator[Cause]:
    """Yield a cause if no artifact that may have the wheel of a platform is published.

    ``published`` has the names of the published artifacts; None if they are not known.
    """
    if any("publish" in tasks_of(running.job) for running, _ in builders):
        return
    sources = [
        artifact
        for artifact in artifacts
        if not artifact.parts and (artifact.running, artifact.number) in builders
    ]
    steps = [step for running, _ in builders for step in running.job.steps]
    if not sources and all(map(is_understood, steps)):
        where = step_location(builders[0][0].workflow, builders[0][0].job)
        message = f"builds the wheel for {platform.tag}, but neither uploads nor publishes it"
        yield cause("artifact-lost", where, message, platform=platform.tag)
    if published is None:
        return
    names = tuple(artifact.name for artifact in sources if artifact.name is not None)
    if not sources or len(names) < len(sources) or set(names) & published:
        return
    first = sources[0]
    where = step_location(first.running.workflow, first.running.job, first.step)
    message = f"uploads the wheel for {platform.tag} in {', '.join(names)}, but no publishing job"
    message += " gets this artifact"
    yield cause("artifact-lost", where, message, artifacts=names, platform=platform.tag)


def _untested(workflow: Workflow, plan: Plan, project: Project) -> Iterator[Cause]:
    for running in jobs_with(workflow, "build"):
        for step in running.job.steps_with(_BUILD):
            env = {**running.workflow.env, **running.job.env, **step.env}
            if not project.is_tested and not any(name.startswith("CIBW_TEST_") for name in env):
                where = f"{plan.package_dir}/pyproject.toml"
                message = "does not test every wheel after the build (test-command, test-skip)"
                yield cause("wheel-untested", where, message)
                return


def _no_build(workflow: Workflow) -> Iterator[Cause]:
    if jobs_with(workflow, "publish"):
        yield from missing_task(workflow, "builds the files of the release")


def check_publishes(workflow: Workflow) -> Iterator[Cause]:
    """Yield a cause if no job publishes to an index, and none starts another workflow."""
    if not jobs_with(workflow, "publish") and not jobs_with(workflow, "dispatch"):
        yield from missing_task(workflow, "publishes the release")


def missing_task(workflow: Workflow, what: str) -> Iterator[Cause]:
    """Yield the cause that no job has a task. It is a note if a step can have an unknown effect."""
    jobs = workflow.running_jobs
    if any(running.job.uses for running in jobs) or any(
        not is_understood(step) for running in jobs for step in running.job.steps
    ):
        yield not_evaluated(workflow.path.name, f"may have no job that {what}")
    else:
        yield cause("step-missing", workflow.path.name, f"has no job that {what}")


class _Builder:
    """Decides which wheels a step can build on a runner."""

    def __init__(self, label: str, context: Context, subject: Subject, project: Project) -> None:
        self._system = next((_SYSTEMS[k] for k in _SYSTEMS if label.startswith(k)), "")
        self._arm = "-arm" in label
        self._context = context
        self._subject = subject
        self._project = project

    def may_build(self, running: RunningJob, step: WorkflowStep, platform: Platform) -> bool:
        """Return False only if the step certainly builds no wheel for a platform."""
        if "build" not in step_tasks(step) or step.steps:
            return False
        env = {**running.workflow.env, **running.job.env, **step.env}
        if step.action == _BUILD:
            return self._cibuildwheel(step, env.keys(), platform)
        if step.run is None:
            return self._action(step, platform)
        builds = [w for w in commands(step.run, step.shell) if command_task(w) == "build"]
        return any(self._command(words, env.keys(), platform) for words in builds)

    def _action(self, step: WorkflowStep, platform: Platform) -> bool:
        """Return whether an action that is not cibuildwheel may build a platform."""
        if builds_only_sdist(step):
            return False
        target = known_text(step.with_.get("target", ""), self._context)
        is_cross = target is None or re.search(r"windows|darwin|apple|linux|musl", target)
        return bool(is_cross) or self._is_system(platform.target)

    def _command(
        self, words: tuple[str, ...], variables: Iterable[str], platform: Platform
    ) -> bool:
        if words[0] == "cibuildwheel":
            return (
                True
                if option(words, "--only", "--platform", "--archs")
                else (self._selects(self._variables(variables), platform))
            )
        if option(words, "--target", "--platform", "--plat-name"):
            return True
        if is_sdist_command(words):
            return False
        return self._is_system(platform.target)

    def _cibuildwheel(
        self, step: WorkflowStep, variables: Iterable[str], platform: Platform
    ) -> bool:
        inputs = inputs_of(step)
        if inputs.is_set("only"):
            only = known_text(inputs.get("only"), self._context)
            return only in (None, "", _identifier(platform, self._subject))
        if inputs.is_set("config-file"):
            return True
        return self._selects(self._variables(variables), platform)

    def _variables(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return the values of cibuildwheel's variables; None for a value that is not known."""
        return {
            name: known_text(f"${{{{ env.{name} }}}}", self._context)
            for name in names
            if name.startswith(_SELECTIONS)
        }

    def _selects(self, variables: dict[str, str | None], platform: Platform) -> bool:
        if None in variables.values() or "CIBW_PLATFORM" in variables:
            return True
        if not self._is_system(platform.target):
            return False
        texts = {name: (value or "").split() for name, value in variables.items()}
        suffix = f"_{self._system.upper()}"
        build = _first(texts, "CIBW_BUILD", suffix) or self._project.build
        skip = _first(texts, "CIBW_SKIP", suffix) or self._project.skip
        identifier = _identifier(platform, self._subject)
        if not _matches(identifier, build) or _matches(identifier, skip):
            return False
        chosen = _first(texts, "CIBW_ARCHS", suffix) or self._project.archs
        return self._has_architecture(platform.target.machine, chosen)

    def _has_architecture(self, machine: str, chosen: Iterable[str]) -> bool:
        names = {name for text in chosen for name in text.replace(",", " ").split()} or {"auto"}
        machines = {_ARCHITECTURES.get(name.lower(), name) for name in names}
        if machine in machines or "all" in machines or "universal2" in machines:
            return True
        if not machines & _NATIVE:
            return False
        if not self._system or self._system == "macos":
            return True
        return (machine == "aarch64") == self._arm

    def _is_system(self, target: PlatformTarget) -> bool:
        """Return whether the runner can build for a system. An unknown runner can."""
        system = "linux" if target.system == "musl" else target.system
        return self._system in ("", system)


def _first(texts: dict[str, list[str]], name: str, suffix: str) -> tuple[str, ...]:
    return tuple(texts.get(f"{name}{suffix}") or texts.get(name) or ())


def _matches(identifier: str, patterns: Iterable[str]) -> bool:
    texts = (text for pattern in patterns for text in expanded(pattern))
    return any(fnmatch.fnmatchcase(identifier, text) for text in texts)


def _identifier(platform: Platform, subject: Subject) -> str:
    """Return the build identifier of a platform: its tag without the version of the system."""
    return f"{subject.python}-" + re.sub(r"(linux_|osx_)\d+_\d+_", r"\1", platform.tag)
