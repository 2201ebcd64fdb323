"""Check how the workflow passes the built files between its jobs.

The rules follow the artifacts from the jobs that build to the jobs that publish. What a script or
an unknown action does to the files is not known. A cause is then a note.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator

from verification.models.base import Model
from verification.models.cause import Cause
from verification.models.workflow import RunningJob, Task, Workflow, WorkflowJob, WorkflowStep
from verification.pipeline.action_inputs import inputs_of
from verification.pipeline.contexts import Runs, job_contexts, known_text
from verification.pipeline.expressions import Context, with_env
from verification.pipeline.publishing import Publication, publications
from verification.pipeline.shell import commands, option
from verification.pipeline.tasks import (
    all_steps,
    builds_only_sdist,
    command_task,
    ends_before,
    is_understood,
    step_tasks,
    tasks_of,
)
from verification.pipeline.workflow_causes import (
    cause,
    not_evaluated,
    possible_cause,
    step_location,
)

_DOWNLOAD = "actions/download-artifact"
_UPLOAD = "actions/upload-artifact"
_BUILD = "pypa/cibuildwheel"
_INSPECT = "hynek/build-and-inspect-python-package"
_MERGE = "actions/upload-artifact/merge"
_MOVING = frozenset({"mv", "cp", "cd", "Move-Item", "Copy-Item", "rsync", "pushd"})
"""Commands that move files, or after which a path names another folder."""
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_MAJOR = re.compile(r"v?(\d+)")
_PASSING: frozenset[Task] = frozenset(("create-release", "merge", "publish"))
"""The tasks of the jobs from which users get the files, directly or through another job."""
_MERGES_NAMES = 4
"""The first version of the artifact actions in which a name of an artifact is unique in a run."""


class Artifact(Model):
    """An artifact that a job uploads, in one combination of its matrix."""

    name: str | None
    """The name; None if it is not known before a run."""
    shape: str = ""
    """The name as a pattern, with `*` for each value that is not known."""
    running: RunningJob
    step: WorkflowStep
    number: int = 0
    """The number of the combination of the matrix."""
    built: bool
    """True if the job builds files, so that the artifact can have files of the release."""
    parts: tuple[str, ...] = ()
    """The names of the artifacts that a merge puts together."""
    nested: bool = False
    """True if its files are in a folder for each merged artifact."""

    @property
    def origins(self) -> tuple[str, ...]:
        """The names of the artifacts that have its files first."""
        return self.parts or ((self.name,) if self.name else ())


def wheels_folder(job: WorkflowJob) -> str | None:
    """Return the folder of the first download of a job, or None if it downloads no artifact."""
    for step in job.steps_with(_DOWNLOAD):
        return posixpath.normpath(inputs_of(step).get("path"))
    return None


def check_transfer(workflow: Workflow, runs: Runs) -> Iterator[Cause]:
    """Yield a cause for each step that loses files of the release between the jobs."""
    artifacts = artifacts_of(workflow, runs)
    yield from _repeated_names(artifacts)
    for running in workflow.running_jobs:
        yield from _upload_causes(running, runs)
        for step in all_steps(running.job.steps):
            if step.action in (_DOWNLOAD, _MERGE):
                yield from _selection_causes(workflow, running, step, artifacts, runs)
    for publication in publications(workflow, runs):
        yield from _publication_causes(workflow, publication, artifacts, runs)


# ---- uploads ----


def artifacts_of(workflow: Workflow, runs: Runs) -> tuple[Artifact, ...]:
    """Return the artifacts of a run. A merge comes after the artifacts that it merges."""
    artifacts: list[Artifact] = []
    merges: list[tuple[RunningJob, WorkflowStep, Context]] = []
    for running in workflow.running_jobs:
        built = "build" in tasks_of(running.job)
        for number, known in enumerate(job_contexts(running, runs)):
            for step in all_steps(running.job.steps):
                inner = with_env(known, step.env)
                if step.action in (_UPLOAD, _INSPECT):
                    text = _name_of(step)
                    artifacts.append(
                        Artifact(
                            name=known_text(text, inner),
                            shape=_EXPRESSION.sub("*", text),
                            running=running,
                            step=step,
                            number=number,
                            built=built,
                        )
                    )
                elif step.action == _MERGE:
                    merges.append((running, step, inner))
    for running, step, known in merges:
        inputs = inputs_of(step)
        merged = _matching(artifacts, inputs.get("pattern") or "*", known)
        artifacts.append(
            Artifact(
                name=known_text(inputs.get("name") or "merged-artifacts", known),
                running=running,
                step=step,
                built=any(artifact.built for artifact in merged),
                parts=tuple(name for artifact in merged for name in artifact.origins),
                nested=inputs.switch("separate-directories") == "true",
            )
        )
    return tuple(artifacts)


def _name_of(step: WorkflowStep) -> str:
    """Return the name of the artifact that a step uploads, with its expressions."""
    if step.action == _INSPECT:
        return f"Packages{step.with_.get('upload-name-suffix', '')}"
    return inputs_of(step).get("name") or "artifact"


def _matching(artifacts: Iterable[Artifact], pattern: str, context: Context) -> list[Artifact]:
    """Return the artifacts whose name a pattern matches, or may match."""
    text = known_text(pattern, context)
    return [artifact for artifact in artifacts if text is None or _may_match(artifact, text)]


def _may_match(artifact: Artifact, pattern: str) -> bool:
    """Return whether a pattern matches the name of an artifact, or may match it."""
    if artifact.name is not None:
        return _matches(artifact.name, pattern)
    return any(_are_compatible(artifact.shape, text) for text in expanded(pattern))


def _are_compatible(first: str, second: str) -> bool:
    """Return whether the beginnings and the ends of two patterns with `*` fit together."""
    starts = (first.partition("*")[0], second.partition("*")[0])
    ends = (first.rpartition("*")[2], second.rpartition("*")[2])
    is_start = starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])
    return is_start and (ends[0].endswith(ends[1]) or ends[1].endswith(ends[0]))


def _matches(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, text) for text in expanded(pattern))


def expanded(pattern: str) -> Iterator[str]:
    """Yield the patterns that a pattern with braces, such as `{a,b}*`, stands for."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        yield pattern
        return
    for part in match[1].split(","):
        yield from expanded(pattern[: match.start()] + part + pattern[match.end() :])


def _major(step: WorkflowStep) -> int | None:
    """Return the major version of an action from its ref, or from the comment after its commit."""
    ref = (step.uses or "").partition("@")[2]
    match = _MAJOR.fullmatch(ref.partition(".")[0]) or _MAJOR.match(step.comment)
    return int(match[1]) if match else None


def _repeated_names(artifacts: Iterable[Artifact]) -> Iterator[Cause]:
    """Yield a cause for each name with which several uploads of a run fail."""
    by_name: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        major = _major(artifact.step)
        if artifact.name is not None and (major is None or major >= _MERGES_NAMES):
            by_name.setdefault(artifact.name, []).append(artifact)
    for name, group in by_name.items():
        if len(group) > 1 and _collide(group):
            first = group[0]
            where = step_location(first.running.workflow, first.running.job, first.step)
            message = f"{len(group)} jobs of the run upload the artifact {name}; only one passes"
            yield cause("artifact-lost", where, message, artifacts=(name,))


def _collide(group: list[Artifact]) -> bool:
    """Return whether uploads of one name certainly collide.

    Conditions may exclude each other, and a later job may replace an artifact on purpose.
    """
    if any(artifact.step.condition is not None for artifact in group):
        return False
    if all(artifact.running == group[0].running for artifact in group):
        return True
    return not any(
        artifact.running.job.condition is not None
        or inputs_of(artifact.step).switch("overwrite") == "true"
        for artifact in group
    )


def _upload_causes(running: RunningJob, runs: Runs) -> Iterator[Cause]:
    """Yield a cause if no upload of a job has the folder into which it builds."""
    steps = list(all_steps(running.job.steps))
    uploads = [step for step in steps if step.action == _UPLOAD]
    first = next((n for n, step in enumerate(steps) if "build" in step_tasks(step)), len(steps))
    if not uploads or not all(map(_keeps_files, steps[first:])):
        return
    for known in job_contexts(running, runs):
        outputs = [folder for step in steps for folder in _outputs(step, known)]
        paths = [_paths(step, with_env(known, step.env)) for step in uploads]
        if None in outputs or None in paths:
            continue
        patterns = [pattern for listed in paths if listed for pattern in listed]
        for output in outputs:
            if output is not None and not any(_has_files(pattern, output) for pattern in patterns):
                message = f"uploads {', '.join(patterns)}, but the files are in {output}"
                where = step_location(running.workflow, running.job, uploads[0])
                yield cause("artifact-lost", where, message, folder=output)
                return


def _keeps_files(step: WorkflowStep) -> bool:
    """Return whether a step is known to leave the built files in their folder."""
    if step.run is None:
        return is_understood(step)
    return is_understood(step) and not any(map(_moves_files, commands(step.run, step.shell)))


def _moves_files(words: tuple[str, ...]) -> bool:
    """Return whether a command can move files. `unzip -t` and `tar -t` only read an archive."""
    options = {letter for word in words[1:] if word.startswith("-") for letter in word[1:]}
    match words[0]:
        case "unzip":
            return not options & set("tlvZ")
        case "tar":
            return "t" not in options | set("".join(words[1:2]).partition("=")[0])
        case program:
            return program in _MOVING


def _outputs(step: WorkflowStep, context: Context) -> Iterator[str | None]:
    """Yield the folders into which a step builds; None for one that is not known."""
    known = with_env(context, step.env)
    if step.action == _BUILD:
        text = known_text(inputs_of(step).get("output-dir"), known)
        yield None if text is None else posixpath.normpath(text)
        return
    if step.run is None:
        if "build" in step_tasks(step) and step.action != _INSPECT and not step.steps:
            yield _maturin_output(step, known)
        return
    for words in commands(step.run, step.shell):
        if command_task(words) == "build":
            yield _command_output(step, words)


def _maturin_output(step: WorkflowStep, context: Context) -> str | None:
    """Return the folder into which maturin builds; None if it is not known."""
    arguments = known_text(step.with_.get("args", ""), context)
    is_maturin = (step.action or "").lower().endswith("/maturin-action")
    if arguments is None or not is_maturin or "working-directory" in step.with_:
        return None
    folder = option(tuple(arguments.split()), "-o", "--out")
    return posixpath.normpath(folder) if folder and "$" not in folder else None


def _command_output(step: WorkflowStep, words: tuple[str, ...]) -> str | None:
    names = [word for word in words[1:] if not word.startswith("-")]
    folder = option(words, "-o", "--outdir", "--out-dir", "--output-dir", "-w", "--wheel-dir")
    if "$" in folder or step.working_directory:
        return None
    if words[0] == "cibuildwheel":
        return posixpath.normpath(folder or "wheelhouse")
    if words[0] not in ("build", "pyproject-build") and words[:2] != ("uv", "build"):
        return None
    names = names[1:] if words[0] == "uv" else names
    if not folder:
        sources = [name for name in names if name != folder]
        return "dist" if not sources or sources == ["."] else None
    return posixpath.normpath(folder)


def _paths(step: WorkflowStep, context: Context) -> tuple[str, ...] | None:
    text = known_text(inputs_of(step).get("path"), context)
    if text is None:
        return None
    lines = (line.strip() for line in text.split("\n"))
    return tuple(posixpath.normpath(line) for line in lines if line and not line.startswith("!"))


def _has_files(pattern: str, folder: str) -> bool:
    """Return whether the path of an upload has files of a folder."""
    if pattern in (".", folder) or folder.startswith(f"{pattern}/"):
        return True
    names = (f"{folder}/any.whl", f"{folder}/any.tar.gz")
    patterns = [text.replace("**/", "*") for text in expanded(pattern)]
    return any(fnmatch.fnmatchcase(name, text) for name in names for text in patterns)


# ---- downloads ----


def _available(
    workflow: Workflow, running: RunningJob, artifacts: Iterable[Artifact]
) -> list[Artifact]:
    """Return the artifacts that exist when a job starts, or that the job itself uploads."""
    return [
        artifact
        for artifact in artifacts
        if artifact.running == running or ends_before(workflow, artifact.running, running)
    ]


def _selected(
    step: WorkflowStep, artifacts: Iterable[Artifact], context: Context
) -> list[Artifact] | None:
    """Return the artifacts that a download step selects, or None if this is not known."""
    inputs = inputs_of(step)
    if any(inputs.is_set(key) for key in ("run-id", "repository", "artifact-ids")):
        return None
    pattern, name = inputs.get("pattern"), known_text(inputs.get("name"), context)
    if name is None or known_text(pattern, context) is None:
        return None
    if name:
        return [
            artifact
            for artifact in artifacts
            if artifact.name == name or (artifact.name is None and _may_match(artifact, name))
        ]
    return _matching(artifacts, pattern or "*", context)


def _selection_causes(
    workflow: Workflow,
    running: RunningJob,
    step: WorkflowStep,
    artifacts: tuple[Artifact, ...],
    runs: Runs,
) -> Iterator[Cause]:
    """Yield a cause if a download or a merge selects an artifact that does not exist (yet).

    A merge that lacks an artifact is always *broken*. Users may not need the files of a download.
    """
    where = step_location(running.workflow, running.job, step)
    known = with_env(job_contexts(running, runs)[0], step.env)
    inputs, is_merge = inputs_of(step), step.action == _MERGE
    what = inputs.get("pattern")
    if is_merge:
        artifacts = tuple(artifact for artifact in artifacts if artifact.step.action != _MERGE)
        selected: list[Artifact] | None = _matching(artifacts, what or "*", known)
    else:
        what = inputs.get("name") or what
        selected = _selected(step, artifacts, known)
    if selected is None:
        return
    verb = f"{'merges' if is_merge else 'downloads'} {what or 'all artifacts'}"
    available = _available(workflow, running, artifacts)
    lost = early = [artifact for artifact in selected if artifact not in available]
    is_broken = is_certain = True
    if not is_merge:
        lost = _lost_by_order(running, selected, early)
        is_broken = lost == selected or any(map(_has_wheels, lost))
        # An artifact whose name is not known may be another one than that of the download.
        is_certain = all(artifact.name is not None for artifact in early) or early == selected
    if lost and is_certain:
        others = tuple(dict.fromkeys(artifact.running.id for artifact in lost))
        message = f"{verb}, but does not wait for {', '.join(others)}"
        make = cause if is_broken else possible_cause
        yield make("job-order", where, message, job=running.id, other=others)
    elif not selected:
        names = ", ".join(artifact.name or "?" for artifact in artifacts) or "none"
        message = f"{verb}, but no job uploads it; the artifacts are: {names}"
        if _is_complete(workflow, running):
            yield cause("artifact-lost", where, message, artifacts=(what or "all artifacts",))
        else:
            yield not_evaluated(where, f"{message}; an action with an unknown effect may")


def _lost_by_order(
    running: RunningJob, selected: list[Artifact], early: list[Artifact]
) -> list[Artifact]:
    """Return the artifacts of a download that the release lacks if they do not exist yet.

    If others exist, only the built files of a job that passes them on are missing for users.
    """
    if early == selected:
        return early
    if not tasks_of(running.job) & _PASSING:
        return []
    return [artifact for artifact in early if artifact.built]


def _has_wheels(artifact: Artifact) -> bool:
    """Return whether the job of an artifact builds wheels, or may build them."""
    steps = all_steps(artifact.running.job.steps)
    builds = [step for step in steps if "build" in step_tasks(step) and not step.steps]
    return not builds or not all(map(builds_only_sdist, builds))


def _is_complete(workflow: Workflow, running: RunningJob) -> bool:
    """Return whether all artifacts that a job can get are known.

    No action or called workflow is unknown in the job and the jobs that end before it.
    """
    return not any(
        other.job.uses
        or any(not is_understood(step) for step in other.job.steps if step.run is None)
        for other in workflow.running_jobs
        if other == running or ends_before(workflow, other, running)
    )


# ---- the publishing jobs ----


def _publication_causes(
    workflow: Workflow, publication: Publication, artifacts: tuple[Artifact, ...], runs: Runs
) -> Iterator[Cause]:
    running, step = publication.running, publication.step
    where = step_location(running.workflow, running.job, step)
    if publication.skips_existing and publication.default_index is not False:
        message = "skips files that the index already has, even if their content is different"
        yield possible_cause("failure-ignored", where, message)
    steps = list(all_steps(running.job.steps))
    before = steps[: steps.index(step)]
    is_known = all(map(_keeps_files, before)) and (not step.run or _keeps_files(step))
    if publication.folder is None:
        if publication.action and is_known:
            yield not_evaluated(where, f"publishes {inputs_of(step).get('packages-dir')}")
        return
    known = job_contexts(running, runs)[0]
    folders = _folders(workflow, running, before, artifacts, known)
    if folders is None:
        return
    if any(fnmatch.fnmatchcase(folder, publication.folder) for folder in folders):
        return
    message = "has no files to publish: it neither builds nor downloads"
    if folders:
        message = f"publishes {publication.folder}, but the files are in {', '.join(folders)}"
    if is_known:
        yield cause("artifact-lost", where, message, folder=publication.folder)
    else:
        yield not_evaluated(where, f"{message}; a step with an unknown effect may change this")


def _merges(step: WorkflowStep) -> bool:
    return inputs_of(step).switch("merge-multiple") == "true"


def _folders(
    workflow: Workflow,
    running: RunningJob,
    steps: Iterable[WorkflowStep],
    artifacts: tuple[Artifact, ...],
    context: Context,
) -> tuple[str, ...] | None:
    """Return the folders that have files after these steps, or None if this is not known."""
    folders: list[str] = []
    available = _available(workflow, running, artifacts)
    for step in steps:
        folders_of_build = list(_outputs(step, context))
        if None in folders_of_build:
            return None
        folders += [folder for folder in folders_of_build if folder is not None]
        if step.action != _DOWNLOAD:
            continue
        known = with_env(context, step.env)
        path = known_text(inputs_of(step).get("path") or ".", known)
        selected = _selected(step, available, known)
        if path is None:
            return None
        root = posixpath.normpath(path)
        if selected is None:
            if not (inputs_of(step).get("name") or _merges(step)):
                return None
            folders.append(root)
            continue
        if nested := [item for item in selected if item.nested]:
            folders += [posixpath.join(root, part) for item in nested for part in item.parts]
            continue
        is_flat = bool(inputs_of(step).get("name")) or _merges(step)
        # With one match, the versions of the action differ.
        if is_flat or len(selected) <= 1:
            folders.append(root)
        if not is_flat:
            folders += [posixpath.normpath(f"{root}/{item.name}") for item in selected if item.name]
    return tuple(dict.fromkeys(folders))


def published_artifacts(
    workflow: Workflow, artifacts: tuple[Artifact, ...], runs: Runs
) -> frozenset[str] | None:
    """Return the names of the uploaded artifacts whose files are published.

    It is None if this is not known, or if no publishing job downloads an artifact.
    """
    published: set[str] = set()
    for publication in publications(workflow, runs):
        running = publication.running
        available = _available(workflow, running, artifacts)
        known = job_contexts(running, runs)[0]
        for step in all_steps(running.job.steps):
            if step.action == _DOWNLOAD:
                inner = with_env(known, step.env)
                selected = _selected(step, available, inner)
                if selected is None or any(artifact.name is None for artifact in selected):
                    return None
                downloaded = _downloaded(publication, step, selected, inner)
                published |= {name for artifact in downloaded for name in artifact.origins}
    return frozenset(published) or None


def _downloaded(
    publication: Publication, step: WorkflowStep, selected: list[Artifact], context: Context
) -> list[Artifact]:
    """Return the artifacts of a download whose folders the publication reads."""
    folder = publication.folder
    path = known_text(inputs_of(step).get("path") or ".", context)
    is_flat = bool(inputs_of(step).get("name")) or _merges(step)
    if folder is None or path is None or is_flat or len(selected) <= 1:
        return selected
    return [
        artifact
        for artifact in selected
        if fnmatch.fnmatchcase(posixpath.normpath(f"{path}/{artifact.name}"), folder)
    ]
