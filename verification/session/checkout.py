"""The checkout of ``--repository``: its release workflow, event, package, version and publisher."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from containers import wheelhouse
from containers.runner.git_repository import git_output
from containers.workflow_testbed import EventKind, StartingEvent
from verification.models.base import Model
from verification.models.dispatch import complete_inputs, dispatch_targets
from verification.models.errors import WrongUse
from verification.models.publisher import TrustedPublisher
from verification.models.subject import Platform, PlatformTarget, Subject
from verification.models.workflow import BadWorkflow, Event, Workflow
from verification.models.workflow_call import load_with_called
from verification.pipeline import plan as plans
from verification.pipeline import publishers
from verification.pipeline.built_wheels import package_folders
from verification.pipeline.conditions import skipping_input
from verification.pipeline.contexts import known_text
from verification.pipeline.dispatches import ChainedWorkflow, workflow_chain
from verification.pipeline.evaluated_jobs import EvaluatedJob, evaluate_jobs
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import WORKFLOW_FOLDER
from verification.pipeline.tasks import release_workflows, tasks_of
from verification.pipeline.triggers import decide

EVENT_KINDS: tuple[EventKind, ...] = ("tag", "release", "workflow_dispatch", "branch")
"""The events that can start a release workflow, in the order in which the default is searched."""
_NAMES: Mapping[EventKind, str] = {
    "tag": "push",
    "release": "release",
    "workflow_dispatch": "workflow_dispatch",
    "branch": "push",
}
"""The name of each event in `on` of a workflow."""
_SKIPPED = {"node_modules", "vendor", "third_party", "tests", "test", "examples", "docs", "build"}
"""The folders that are not searched for the package."""
_DEPTH = 3
_REMOTE = re.compile(r"github\.com[:/]([^/]+)/(.+?)(?:\.git)?/?$")
_PUBLISHERS = "publishers.toml"
_ANY_PLATFORM = "manylinux_2_28_x86_64"
"""The platform of a minimal subject without wheels. A subject has at least one."""
_NO_SMOKE_TEST = Path("smoke.py")
"""The smoke test of a minimal subject. No machine runs it, so the file does not exist."""
_VERSION_IN_TAG = re.compile(r"\d[\w.+!-]*$")


class CheckoutOptions(Model):
    """The options about the checkout, as the user typed them. Paths are absolute."""

    root: Path
    workflow: str = ""
    event: EventKind | None = None
    inputs: tuple[str, ...] = ()
    """The inputs of a dispatch, each as NAME=VALUE."""
    tag: str = ""
    package_dir: str = ""
    publisher: Path | None = None
    index_files: Path | None = None
    wheels: Path | None = None
    project: str = ""
    """The normalised name of the package if a subject describes it, else empty."""


class Checkout(Model):
    """The release workflow of a checkout, and what a run of it needs."""

    event: StartingEvent
    plan: Plan
    project: str
    """The normalised name of the package."""
    version: str
    publishers: tuple[TrustedPublisher, ...]
    """The registrations; without one, a registration that is made from the workflow."""
    registered: bool = True
    """False if there is no registration."""
    publishers_file: str = ""
    """The name of the file with the registrations; empty if there is none."""
    index_files: tuple[Path, ...] = ()
    """The wheels of other packages on the index of the workflow."""
    tag: str = ""
    """The tag of the release: that of the event, of ``--tag`` or in the form of the newest tag."""


def read_checkout(options: CheckoutOptions, subject_publishers: Path | None = None) -> Checkout:
    """Find the release workflow of a checkout, the event that starts it, and the package.

    ``subject_publishers`` is the registration of the subject, for a checkout without one.

    Raises:
        WrongUse: something cannot be found, or it is ambiguous. The message names the option.
    """
    root = options.root
    if not (root / WORKFLOW_FOLDER).is_dir():
        raise WrongUse(
            f"--repository {root}: it has no {WORKFLOW_FOLDER}; name the root of a checkout"
        )
    workflow = _workflow(options)
    package_dir, table = _package(options, workflow)
    wheels = tuple(sorted(options.wheels.glob("*.whl"))) if options.wheels else ()
    project = _project(table, wheels, root)
    version = _version(options, table, wheels)
    if options.wheels:
        built = wheelhouse.from_folder(options.wheels, project).version
        if Version(built) != Version(version):
            raise WrongUse(
                f"--wheels {options.wheels}: their version is {built}, but that of the checkout is "
                f"{version}; build the wheels from the checkout"
            )
    tag = options.tag or _tag(root, workflow, project, version)
    event = _event(options, workflow, tag, version)
    started = workflow_chain(workflow.path.name, to_event(event), _reader(workflow, root), tag=tag)
    plan = plans.for_workflows(
        [of.workflow for of in started if of.workflow],
        package_dir,
        version_from_tag=not isinstance(table.get("version"), str),
    )
    file = _publishers_file(options, package_dir) or subject_publishers
    registrations = _registrations(file, project) if file else ()
    return Checkout(
        event=event,
        plan=plan,
        project=project,
        version=version,
        publishers=registrations or (_stand_in_publisher(started, project, root),),
        registered=bool(registrations),
        publishers_file=file.name if file else "",
        index_files=_index_files(options, project),
        tag=tag,
    )


def _reader(workflow: Workflow, root: Path) -> Callable[[str], Workflow | None]:
    """Return a function that reads a workflow file of the checkout. ``workflow`` is known."""

    def read(name: str) -> Workflow | None:
        if name == workflow.path.name:
            return workflow
        try:
            return load_with_called(root / WORKFLOW_FOLDER / name, root)
        except BadWorkflow:
            return None

    return read


# ---- the workflow ----


def _workflow(options: CheckoutOptions) -> Workflow:
    folder = options.root / WORKFLOW_FOLDER
    name = options.workflow
    if not name:
        names = release_workflows(folder)
        if len(names) > 1:
            raise WrongUse(
                f"--repository {options.root}: several workflows publish: {', '.join(names)}; "
                "name one with --workflow"
            )
        if not names:
            every = ", ".join(sorted(path.name for path in folder.glob("*.y*ml"))) or "none"
            raise WrongUse(
                f"--repository {options.root}: no workflow publishes; name one with --workflow; "
                f"the workflows are: {every}"
            )
        (name,) = names
    if not (folder / name).is_file():
        every = ", ".join(sorted(path.name for path in folder.glob("*.y*ml"))) or "none"
        raise WrongUse(f"--workflow {name}: no such file; the workflows are: {every}")
    workflow = load_with_called(folder / name, options.root)
    if set(workflow.on) == {"workflow_call"}:
        raise WrongUse(f"--workflow {name}: no event starts it; name the workflow that calls it")
    return workflow


# ---- the package ----


def _package(options: CheckoutOptions, workflow: Workflow) -> tuple[str, Mapping[str, Any]]:
    """Return the folder of the package, and the table ``project`` of its pyproject.toml.

    The folder is that of ``--package-dir``, else the only one that the workflow or the other
    workflows build, else the one of the subject, else the root, else the only one.

    Raises:
        WrongUse: there is no package or more than one.
    """
    root = options.root
    if options.package_dir:
        table = _project_table(root / options.package_dir)
        if table is None:
            raise WrongUse(
                f"--package-dir {options.package_dir}: the checkout has no pyproject.toml with "
                "[project] in this folder"
            )
        return options.package_dir, table
    # A workflow that builds nothing can dispatch another one that builds.
    folders = package_folders(workflow) or frozenset().union(*map(package_folders, workflow.others))
    built = {folder: _project_table(root / folder) for folder in folders}
    match list(built.items()):
        case [(folder, dict(table))]:
            return folder, table
    table = _project_table(root)
    packages = {".": table} if table is not None else {}
    if table is None or options.project not in ("", _name(table)):
        packages |= {str(path.relative_to(root)): of for path, of in _packages(root, _DEPTH)}
    named = {path: of for path, of in packages.items() if options.project == _name(of)}
    packages = named or ({".": table} if table is not None else packages)
    if len(packages) > 1:
        raise WrongUse(
            f"--repository {root}: several folders have a pyproject.toml with [project]: "
            f"{', '.join(packages)}; name one with --package-dir"
        )
    if not packages and not options.wheels:
        raise WrongUse(
            f"--repository {root}: no pyproject.toml with [project]; name its folder with "
            "--package-dir, or the wheels with --wheels"
        )
    return next(iter(packages.items()), (".", {}))


def _name(table: Mapping[str, Any]) -> str:
    return canonicalize_name(str(table.get("name", "")))


def _packages(folder: Path, depth: int) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in sorted(folder.iterdir()) if depth else ():
        if path.is_symlink() or not path.is_dir() or path.name.startswith("."):
            continue
        if path.name in _SKIPPED:
            continue
        if (table := _project_table(path)) is not None:
            yield path, table
        else:
            yield from _packages(path, depth - 1)


def _project_table(folder: Path) -> Mapping[str, Any] | None:
    path = folder / "pyproject.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise WrongUse(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    table = data.get("project")
    return table if isinstance(table, dict) else None


def _wheel(option: str, path: Path) -> tuple[NormalizedName, Version]:
    """Return the package and the version in the name of a wheel of an option.

    Raises:
        WrongUse: it is not the name of a wheel.
    """
    try:
        return parse_wheel_filename(path.name)[:2]
    except InvalidWheelFilename as error:
        raise WrongUse(f"{option}: {error}; rename or remove the file") from None


def _project(table: Mapping[str, Any], wheels: Iterable[Path], root: Path) -> str:
    name = table.get("name")
    if isinstance(name, str):
        return canonicalize_name(name)
    for wheel in wheels:
        return _wheel("--wheels", wheel)[0]
    raise WrongUse(f"--repository {root}: the package has no name; name the wheels with --wheels")


def _version(options: CheckoutOptions, table: Mapping[str, Any], wheels: Iterable[Path]) -> str:
    """Return the version of the package: of pyproject.toml, else of the wheels, else of a tag.

    Raises:
        WrongUse: none of them has a valid version.
    """
    static = table.get("version")
    if isinstance(static, str):
        return _checked(static, f"{options.root}: the version of [project]")
    for wheel in wheels:
        return str(_wheel("--wheels", wheel)[1])
    tag = options.tag or _newest_tag(options.root)
    match = _VERSION_IN_TAG.search(tag)
    if not match:
        raise WrongUse(
            f"--repository {options.root}: the version of the package is not in pyproject.toml, "
            "and no tag has one; name a tag with --tag"
        )
    return _checked(match[0], f"the tag {tag}")


def _checked(version: str, what: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion:
        raise WrongUse(f"{what}: {version!r} is not a version; correct it") from None


def _newest_tag(root: Path) -> str:
    tags = git_output(root, "tag", "--sort=-version:refname") or ""
    return next(iter(tags.splitlines()), "")


# ---- the event ----


def _event(options: CheckoutOptions, workflow: Workflow, tag: str, version: str) -> StartingEvent:
    """Return the event of ``--event``, or the first one that starts the workflow.

    Raises:
        WrongUse: an input is wrong.
    """
    kinds = (options.event,) if options.event else EVENT_KINDS
    kind = next((kind for kind in kinds if _starts(workflow, kind, tag)), kinds[0])
    if not options.event and workflow.on.keys().isdisjoint(_NAMES.values()):
        raise WrongUse(
            f"{workflow.path.name}: only {', '.join(workflow.on)} starts it, which is not an event "
            "of a release; name another workflow with --workflow, or the event with --event"
        )
    inputs = _inputs(options, kind, workflow)
    prerelease = Version(version).is_prerelease
    needs_tag = kind in ("tag", "release") or (kind == "workflow_dispatch" and options.tag)
    event = StartingEvent(
        root=options.root,
        kind=kind,
        tags=(tag,) if needs_tag else (),
        inputs=inputs,
        prerelease=prerelease,
        release_type=_release_type(workflow, prerelease=prerelease),
    )
    if kind == "workflow_dispatch" and not options.inputs:
        _check_default_inputs(workflow, to_event(event))
    return event


def _check_default_inputs(workflow: Workflow, event: Event) -> None:
    """Check that the default inputs of a dispatch let a job publish.

    Raises:
        WrongUse: a condition on an input skips each job and step that publishes.
    """
    if condition := skipping_input(workflow, event):
        raise WrongUse(
            f"{workflow.path.name}: with its default inputs it publishes nothing, because "
            f"`if: {condition}` is false; write --input NAME=VALUE"
        )


def _release_type(workflow: Workflow, *, prerelease: bool) -> str:
    """Return the type of the event with which a published release starts the workflow.

    GitHub sends one event for each type ("Events that trigger workflows", release).
    """
    types = ("published", "prereleased" if prerelease else "released", "created")
    if not (trigger := workflow.on.get("release")):
        return types[0]
    included = {pattern.text for pattern in trigger.filters.get("types", ())}
    return next((name for name in types if name in included), types[0])


def to_event(event: StartingEvent) -> Event:
    """Return the event in the form of the static rules."""
    ref = f"refs/tags/{event.tags[0]}" if event.tags else "refs/heads/main"
    return Event(
        name=_NAMES[event.kind],
        ref=ref,
        inputs=event.inputs,
        type=event.release_type if event.kind == "release" else "",
    )


def _starts(workflow: Workflow, kind: EventKind, tag: str) -> bool:
    """Return True if an event starts the workflow. Missing inputs of a dispatch do not count."""
    if kind == "workflow_dispatch":
        return kind in workflow.on
    tags = (tag,) if kind in ("tag", "release") else ()
    # A published version is not a pre-release here; its other types are the same.
    release_type = _release_type(workflow, prerelease=False)
    started = StartingEvent(root=workflow.path, kind=kind, tags=tags, release_type=release_type)
    event = to_event(started)
    return bool(decide(workflow, event))


def _tag(root: Path, workflow: Workflow, project: str, version: str) -> str:
    """Return a tag of the version that starts the workflow. The form of the newest tag is first.

    If no form starts the workflow, the result has the form of the newest tag, or begins with `v`.
    """
    candidates = [
        f"v{version}",
        version,
        f"{project}-v{version}",
        f"{project}-{version}",
        f"{project}/v{version}",
        f"{project}@{version}",
        f"release-{version}",
        f"release/{version}",
        f"release-v{version}",
    ]
    newest = _newest_tag(root)
    if match := _VERSION_IN_TAG.search(newest):
        candidates.insert(0, f"{newest[: match.start()]}{version}")
    return next((tag for tag in candidates if _starts(workflow, "tag", tag)), candidates[0])


def _inputs(options: CheckoutOptions, kind: EventKind, workflow: Workflow) -> dict[str, str]:
    """Return the complete inputs of a dispatch.

    Raises:
        WrongUse: the event has no inputs, or an input is missing or wrong.
    """
    pairs = [text.partition("=") for text in options.inputs]
    for text, (name, is_assigned, _) in zip(options.inputs, pairs, strict=True):
        if not name or not is_assigned:
            raise WrongUse(f"--input {text}: write NAME=VALUE")
    if kind != "workflow_dispatch":
        if pairs:
            raise WrongUse(
                f"--input: the event {kind} has no inputs; add --event workflow_dispatch, or "
                "remove --input"
            )
        return {}
    path = workflow.path.relative_to(options.root)
    target = next(target for target in dispatch_targets(options.root) if target.path == str(path))
    inputs, refusal = complete_inputs(target.inputs, {name: value for name, _, value in pairs})
    if refusal:
        raise WrongUse(f"{workflow.path.name}: {refusal}; write --input NAME=VALUE")
    return inputs


# ---- the publisher ----


def _index_files(options: CheckoutOptions, project: str) -> tuple[Path, ...]:
    """Return the wheels of ``--index-files``.

    Raises:
        WrongUse: the folder has no wheel, a name is not that of a wheel, or a wheel is of the
            package itself.
    """
    folder = options.index_files
    if folder is None:
        return ()
    wheels = tuple(sorted(folder.glob("*.whl")))
    if not wheels:
        raise WrongUse(f"--index-files {folder}: it has no wheel; name a folder with wheels")
    for wheel in wheels:
        if _wheel("--index-files", wheel)[0] == project:
            raise WrongUse(
                f"--index-files {folder}: {wheel.name} is a wheel of the package itself; remove it"
            )
    return wheels


def _publishers_file(options: CheckoutOptions, package_dir: str) -> Path | None:
    """Return the file of ``--publisher``, else that of the checkout, else None.

    Raises:
        WrongUse: the file of ``--publisher`` does not exist.
    """
    if options.publisher:
        if not options.publisher.is_file():
            raise WrongUse(
                f"--publisher {options.publisher}: this file does not exist; correct the path"
            )
        return options.publisher
    folders = dict.fromkeys((options.root, options.root / package_dir))
    files = (folder / _PUBLISHERS for folder in folders)
    return next((path for path in files if path.is_file()), None)


def _registrations(file: Path, project: str) -> tuple[TrustedPublisher, ...]:
    """Return all registrations in a file. Those of the project come first.

    Raises:
        WrongUse: the file is not valid, or has no registration of the project.
    """
    of_project_first = sorted(publishers.load(file), key=lambda of: of.project != project)
    if of_project_first[0].project != project:
        names = ", ".join(dict.fromkeys(of.project for of in of_project_first))
        raise WrongUse(
            f"{file}: no registration of {project}, only of {names}; add one, or name another "
            "file with --publisher"
        )
    return tuple(of_project_first)


def _stand_in_publisher(
    started: Iterable[ChainedWorkflow], project: str, root: Path
) -> TrustedPublisher:
    """Return the registration that fits the run that publishes, for a run without a registration.

    Its environment is empty, which fits every job, if it is not known before the run.
    """
    match = _REMOTE.search(git_output(root, "remote", "get-url", "origin") or "")
    owner, repository = match.groups() if match else ("owner", root.resolve().name)
    slug = f"{owner}/{repository}"
    file, environment = next(_publishing_jobs(started, slug), ("", ""))
    file = file or next(of.name for of in started)
    return TrustedPublisher(
        project=project,
        owner=re.sub(r"[^A-Za-z0-9-]", "-", owner).lstrip("-") or "owner",
        owner_id="1",
        repository=re.sub(r"[^A-Za-z0-9-_.]", "-", repository) or "repository",
        workflow=file,
        environment=environment,
        pending=False,
        stand_in_owner=True,
    )


def _publishing_jobs(started: Iterable[ChainedWorkflow], slug: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the environment of each job that publishes. Jobs that run come first."""
    skipped = []
    for of in started:
        jobs: tuple[EvaluatedJob, ...] = ()
        with contextlib.suppress(BadWorkflow):  # the examination of the file reports it
            jobs = evaluate_jobs(of.workflow, of.event, slug) if of.workflow else ()
        for job in jobs:
            if "publish" in tasks_of(job.job):
                context = job.combination_contexts()[0]
                environment = known_text(job.job.environment or "", context) or ""
                result = (job.running.workflow.path.name, environment)
                if job.decided.runs is False:
                    skipped.append(result)
                else:
                    yield result
    yield from skipped


def fields_to_register(publisher: TrustedPublisher) -> str:
    """Return the fields of the registration form of the index, for a message."""
    fields = {
        "owner": publisher.owner,
        "repository": publisher.repository,
        "workflow": publisher.workflow,
        "environment": publisher.environment or "(any)",
    }
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def minimal_subject(checkout: Checkout, wheels: Path | None) -> Subject:
    """Return the subject of a run that verifies only the release workflow.

    Its platforms are those of the wheels. No machine runs them.
    """
    names = [path.name for path in wheels.glob("*.whl")] if wheels else []
    tags = {tag.platform for name in names for tag in parse_wheel_filename(name)[3]}
    known = sorted(tag for tag in tags if PlatformTarget.of(tag).system not in ("any", "unknown"))
    return Subject(
        name=checkout.project,
        import_package=checkout.project.replace("-", "_"),
        python=wheelhouse.DEFAULT_PYTHON,
        platforms=tuple(
            Platform(tag=tag, required=False, execute=False) for tag in known or [_ANY_PLATFORM]
        ),
        exercise=_NO_SMOKE_TEST,
    )
