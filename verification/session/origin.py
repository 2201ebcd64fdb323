"""Get the wheels of a run from a folder, the upstream index, a build or the release workflow."""

from __future__ import annotations

import contextlib
import os
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from containers import builder, upstream_releases, wheelhouse
from containers.workflow_testbed import StartingEvent
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.pipeline import PipelineOutcome
from verification.models.release import Release
from verification.models.subject import PlatformTarget, Subject
from verification.session import dependencies, release_pipeline
from verification.session.release_pipeline import ReleaseRequest
from verification.session.selection import DEFAULT_SOURCE, Selection

if TYPE_CHECKING:
    from verification.session.hosts import Host

ROOT = Path(__file__).parents[2]


def existing_release(selection: Selection, subject: Subject) -> Release | None:
    """Return the release of ``--wheels`` or ``--release``, or None if the wheels must be built.

    Raises:
        WrongUse: the folder or the release cannot be used.
        TestbedFailure: the upstream index does not answer.
    """
    if selection.checkout:
        return None  # the workflow makes the release
    if selection.source and subject.python != builder.PYTHON and not _manylinux_image():
        raise WrongUse(
            f"--source: {subject.file} names {subject.python}, but the builder has only "
            f"{builder.PYTHON}; name an image with it in QUIVERDB_E2E_MANYLINUX, or existing "
            "wheels with --wheels"
        )
    release = existing_wheels(selection, subject)
    return release and _with_dependencies(release, selection, subject)


def existing_wheels(selection: Selection, subject: Subject) -> Release | None:
    """Return the release of ``--wheels`` or ``--release`` without its dependencies, or None.

    Raises:
        WrongUse: the folder or the release cannot be used.
        TestbedFailure: the upstream index does not answer.
    """
    if selection.wheels:
        return wheelhouse.from_folder(selection.wheels, subject.name)
    if selection.release:
        return upstream_releases.release(
            selection.release, subject.name, subject.platforms, python=subject.python
        )
    return None


def required_recipes(selection: Selection) -> tuple[str, ...]:
    """Return the names of the images that are needed to make the wheels."""
    if not selection.pipeline:
        return tuple(builder.recipes(selection.systems))
    return release_pipeline.WITHOUT_BUILDS if selection.wheels else release_pipeline.IMAGES


def make_release(
    host: Host, selection: Selection, subject: Subject, stack: contextlib.ExitStack
) -> tuple[Release, PipelineOutcome | None]:
    """Make the wheels from the source, with the release workflow if it is part of the run.

    Raises:
        BuildFailed: the source does not build.
        TestbedFailure: an image or the builder failed.
    """
    if selection.pipeline:
        release, outcome = _released(host, selection, subject, stack)
        return _with_dependencies(release, selection, subject), outcome
    return _with_dependencies(_built(host, selection, subject), selection, subject), None


def _with_dependencies(release: Release, selection: Selection, subject: Subject) -> Release:
    return release.with_dependencies(*dependencies.files(subject, selection.machines))


def _manylinux_image() -> str | None:
    """Return the image that replaces the builder's image for Linux, or None."""
    return os.environ.get("QUIVERDB_E2E_MANYLINUX") or None


def _built(host: Host, selection: Selection, subject: Subject) -> Release:
    assert selection.source is not None
    image = _manylinux_image()
    try:
        wheels = [
            builder.build(
                host.engine,
                selection.source,
                host.run,
                platform=system,
                python=subject.python,
                manylinux_image=image,
            )
            for system in selection.systems
        ]
    except BuildFailed as error:
        if not selection.subject or image:
            raise
        # The image lacks most build tools and libraries, and its compiler is not GCC.
        raise TestbedFailure(
            "image-build-failed",
            error.where,
            f"{error.message}. The builder is a stand-in for manylinux, so this proves nothing "
            "about the package. Use --wheels, or name an image of manylinux in "
            f"QUIVERDB_E2E_MANYLINUX (log: {error.log})",
        ) from None
    release = wheelhouse.from_files(wheels, location=str(selection.source))
    return _with_compilers(release, image)


def _released(
    host: Host, selection: Selection, subject: Subject, stack: contextlib.ExitStack
) -> tuple[Release, PipelineOutcome]:
    """Start the release workflow, and return the wheels that it published.

    If the workflow published no wheel, build the wheels without it. The machines and the workflow
    then have separate verdicts.
    """
    request = release_request(selection, subject)
    published = release_pipeline.run(host.engine, host.run, subject, request)
    if not any(name.endswith(".whl") for name in published.files):
        if selection.wheels:
            return wheelhouse.from_folder(selection.wheels, subject.name), published.outcome
        return _built(host, selection, subject), published.outcome
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quiverdb-e2e-")))
    for name, content in published.files.items():
        (folder / name).write_bytes(content)
    wheels = sorted(folder.glob("*.whl"))
    release = wheelhouse.from_files(wheels, location="the pipeline")
    if selection.wheels:
        return release, published.outcome  # the compilers of existing wheels are unknown
    # The builds of the workflow do not use the named image.
    return _with_compilers(release, None), published.outcome


def release_request(selection: Selection, subject: Subject) -> ReleaseRequest:
    """Return what the run of the release workflow needs.

    Raises:
        WrongUse: the source has no version, or the subject names no plan or no registration.
        DataError: the plan is not valid.
    """
    checkout = selection.checkout
    if checkout is None:
        assert selection.source is not None
        is_default = selection.source.resolve() == (ROOT / DEFAULT_SOURCE).resolve()
        overlays = {} if is_default else {str(DEFAULT_SOURCE): selection.source}
        tag = f"v{_version(selection.source)}"
        event = StartingEvent(root=ROOT, tags=(tag,), overlays=overlays)
        request = release_pipeline.default_request(subject, event)
    else:
        request = ReleaseRequest(
            event=checkout.event,
            plan=checkout.plan,
            publishers=checkout.publishers,
            registered=checkout.registered,
            version=checkout.version,
            index_files=checkout.index_files,
            tag=checkout.tag,
        )
    existing = existing_files(selection.wheels) if selection.wheels else None
    return request.model_copy(update={"actions_from": selection.actions_from, "existing": existing})


def existing_files(folder: Path) -> tuple[Path, ...]:
    """Return the wheels and the source distributions in a folder."""
    return tuple(sorted((*folder.glob("*.whl"), *folder.glob("*.tar.gz"))))


def _with_compilers(release: Release, manylinux_image: str | None) -> Release:
    """Return the release with the compilers of its wheels."""
    names = (path.name for path in release.wheel_paths)
    targets = [
        PlatformTarget.of(tag.platform) for name in names for tag in parse_wheel_filename(name)[3]
    ]
    systems = {system for target in targets if (system := target.machine_system)}
    compilers = tuple(builder.compiler(system, manylinux_image) for system in sorted(systems))
    return release.model_copy(update={"compilers": compilers})


def _version(source: Path) -> str:
    """Return the version that the pyproject.toml of a source declares.

    Raises:
        WrongUse: it declares no valid version.
    """
    path = source / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        return str(Version(project["version"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WrongUse(f"{path}: [project] has no version that can be read: {error}") from None
