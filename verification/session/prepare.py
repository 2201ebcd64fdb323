"""Prepare a run before its first cell: engine, images, the files of the release, the index.

The controller prepares the run once. It passes the same values to its workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from packaging.utils import parse_wheel_filename

from containers import engine as engines
from containers import images, testbed, upstream_releases, wheelhouse
from containers.engine import Engine, Run
from containers.index import IndexContents
from containers.progress import PROGRESS, print_line, step
from containers.recipe import MUSL_PLATFORMS
from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.pipeline import PipelineOutcome
from verification.models.release import Release
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.rules import install_paths, upload
from verification.rules.install_paths import is_other_version
from verification.scenarios.conditions import conditions
from verification.scenarios.expectation import declared_refusal
from verification.session import origin, required_files
from verification.session.selection import Selection
from verification.subjects import chosen_values, database
from verification.wheel.errors import BadWheel
from verification.wheel.modules import top_level_modules
from verification.wheel.release_inspection import inspect_release
from verification.wheel.tags import declared_platform, parse_tags, subject_for_wheel

INFRASTRUCTURE = ("index", "publisher")


class PreparedRun(Model):
    """Everything that the cells need."""

    testbed: testbed.Testbed
    release: Release
    machines: Mapping[str, Image]
    """The image of each machine that can run, by the machine's name."""
    unavailable: Mapping[str, str]
    """Why a machine cannot run here, by the machine's name."""
    infrastructure: tuple[Image, ...]
    seed: int = 0
    """The seed of the smoke test's values."""
    no_history: str = ""
    """Why the index is without the earlier releases; empty if it has them, or should have none."""

    def reason_not_run(self, cell: Cell, selection: Selection) -> str:
        """Return why a cell cannot run in this run; empty if it can."""
        if reason := self.unavailable.get(cell.machine.name):
            return reason
        if selection.subject and cell.scenario.package_specific:
            return f"{selection.subject} has no actions for the scenario {cell.scenario.name}"
        if self.no_history and cell.refusal and not cell.scenario.pinned:
            return f"the release that it falls back to is unknown: {self.no_history}"
        if cell.scenario.needs_previous and not self.release.previous:
            why = self.no_history or f"--history {selection.history}"
            return f"there is no earlier release on the index ({why})"
        return ""

    def served_wheel(self, evidence: CellEvidence) -> str:
        """Return which wheel of the release the machine was served; empty if that is unknown.

        The index's log says it; without an index, the tags of what is installed.
        """
        known = [file.name for file in self.release.wheels]
        for request in evidence.requests:
            if request.is_served and request.file in known:
                return request.file
        record = evidence.steps.record
        tags = parse_tags(record.value.tags if record and record.value else ())
        installed = install_paths.distributions(evidence)
        same = []
        for file in known:
            name, version, _, own = parse_wheel_filename(file)
            there = installed.get(name)
            if there and own == tags and not is_other_version(there.version, str(version)):
                same.append(file)
        return same[0] if len(same) == 1 else ""

    def refused_upload(self) -> str:
        """Return who refused the upload of the release and why; empty if all of it was accepted."""
        return next(filter(None, map(upload.refusal, self.testbed.uploads)), "")

    def expectation(self, subject: Subject, cell: Cell, evidence: CellEvidence) -> Expectation:
        """Return what a cell must show."""
        return Expectation(
            kind=cell.expectation,
            refusal=cell.refusal,
            project=subject.name,
            version=self.release.version,
            package=subject.import_package,
            digests=self.release.digests(),
            locked=self.release.locked(),
            unpublished=self.release.unpublished,
            libraries=libraries_of(subject, cell, self.served_wheel(evidence)),
            refused_upload=self.refused_upload(),
            conditions=conditions(cell),
        )


def libraries_of(subject: Subject, cell: Cell, served: str) -> tuple[str, ...]:
    """Return the libraries of a cell's platform; none if the subject does not declare it.

    `served` is the wheel that the machine was served, if known. The names of the libraries of a
    wheel for another Python, or for musl, differ.
    """
    declared = [p for p in subject.platforms if p.target.machine_system == cell.machine.os]
    if served and not declared_platform(served, subject):
        wheel_subject = subject_for_wheel(served, subject)
        tags = sorted(tag.platform for tag in parse_wheel_filename(served)[3])
        declared = [*filter(None, map(wheel_subject.platform_for, tags)), *declared]
    return declared[0].libraries if declared else ()


class RunSetup(NamedTuple):
    """What a controller has once everything is prepared."""

    prepared: PreparedRun
    inspection: ReleaseInspection
    pipeline: PipelineOutcome | None = None
    """What the release workflow showed; None if it did not run."""


@dataclass(frozen=True)
class Host:
    """The engine of a run; what the run starts on it carries the run's label."""

    engine: Engine
    run: Run

    def sweep(self) -> None:
        """Remove what the run started."""
        with contextlib.closing(self.engine.client()) as client:
            engines.sweep(client, run=self.run.id)


def open_host(stack: contextlib.ExitStack, *, provision: bool) -> Host:
    """Find or start an engine, remove what dead runs left, and begin a run on it.

    What the run leaves is removed when `stack` closes.

    Raises:
        TestbedFailure: there is no engine.
    """
    found = engines.ensure(provision=provision)
    client = found.client()
    stack.callback(client.close)
    if swept := engines.sweep(client):
        print_line(f"removed {swept} containers, networks and volumes that earlier runs left")
    run = Run.new()
    stack.callback(engines.sweep, client, run=run.id)
    return Host(found, run)


def prepare(
    selection: Selection,
    subject: Subject,
    stack: contextlib.ExitStack,
    *,
    extra_files: Sequence[Path] = (),
) -> RunSetup:
    """Do all set-up; what must be undone at the end is put on `stack`.

    `extra_files` are further files that the index has.

    Raises:
        WrongUse: the wheels, the release or this Python cannot be used; before an engine is needed.
        TestbedFailure: the testbed cannot be prepared.
        BuildFailed: the source does not build.
    """
    database.check()
    release = origin.existing_release(selection, subject)
    inspection = _inspect(release, subject) if release else None
    if release and inspection:
        release = required_files.check(release, inspection, subject, selection)
    host = open_host(stack, provision=selection.provision)
    made = _make(host, selection, subject, release, stack)
    release = made.release
    if inspection is None:
        inspection = _inspect(release, subject)
        release = required_files.check(release, inspection, subject, selection)
    release = release.with_dependencies(*extra_files, *_for_other_pythons(selection, subject))
    release, no_history = _with_history(release, subject, selection)
    if selection.tests:
        release = release.model_copy(update={"tools": wheelhouse.tools()})
    with step("index: starting it and publishing the release"):
        started = start_testbed(stack, made.network, made.index, release, subject)
    prepared = PreparedRun(
        testbed=started,
        release=release,
        machines=made.machines,
        unavailable=made.unavailable,
        infrastructure=(made.index, made.publisher),
        seed=chosen_values.new_seed(),
        no_history=no_history,
    )
    return RunSetup(prepared, inspection, made.pipeline)


def prepare_files(
    selection: Selection, subject: Subject, stack: contextlib.ExitStack
) -> tuple[Release, ReleaseInspection]:
    """Get or build the wheels and inspect them, without an index and without a machine.

    Raises:
        WrongUse: the wheels, the release or this Python cannot be used.
        TestbedFailure: the upstream index does not answer, or there is no engine to build on.
        BuildFailed: the source does not build.
    """
    release = origin.existing_release(selection, subject)
    if release is None:
        host = open_host(stack, provision=selection.provision)
        release, _ = origin.make_release(host, selection, subject, stack)
    return release, _inspect(release, subject)


def start_testbed(
    stack: contextlib.ExitStack,
    network: testbed.PreparedNetwork,
    index: Image,
    release: Release,
    subject: Subject,
) -> testbed.Testbed:
    """Start the index and publish the release on it; both end when ``stack`` closes.

    Raises:
        TestbedFailure: the index does not start, or the upload failed without a refusal.
    """
    contents = IndexContents(project=subject.name, files=release.stored, yanked=release.yanked)
    started = stack.enter_context(testbed.start(network, index, contents, release.wheel_paths))
    if observed := next(filter(None, map(upload.failure, started.uploads)), ""):
        raise TestbedFailure("index-unreachable", "publisher", observed)
    return started


def _inspect(release: Release, subject: Subject) -> ReleaseInspection:
    """Inspect each wheel once.

    Raises:
        WrongUse: a file that the user names is no wheel.
        BuildFailed: a file that was published or built is no wheel.
    """
    modules = top_level_modules(release.dependencies)
    try:
        return inspect_release(release.wheel_paths, subject, modules)
    except BadWheel as error:
        if release.origin == "wheels":
            message = f"--wheels {release.location}: {error}; give a complete .whl file"
            raise WrongUse(message) from None
        raise BuildFailed(f"{release.origin} {release.location}", str(error), "") from None


@dataclass(frozen=True)
class _RunParts:
    release: Release
    pipeline: PipelineOutcome | None
    machines: dict[str, Image]
    unavailable: dict[str, str]
    index: Image
    publisher: Image
    network: testbed.PreparedNetwork


def _make(
    host: Host,
    selection: Selection,
    subject: Subject,
    release: Release | None,
    stack: contextlib.ExitStack,
) -> _RunParts:
    """Make every image; meanwhile make the wheels, where there is no `release`."""
    machine_images = [spec.image for spec in selection.machines]
    wheels_need = () if release else origin.required_recipes(selection)
    needed = [*INFRASTRUCTURE, *machine_images, *wheels_need]
    PROGRESS.expect("image", len(images.missing_images(host.engine, needed)))
    with ThreadPoolExecutor(4) as pool:
        try:
            making = None
            if not release:
                making = pool.submit(origin.make_release, host, selection, subject, stack)
            futures = {
                name: pool.submit(images.ensure, host.engine, name)
                for name in dict.fromkeys((*INFRASTRUCTURE, *machine_images))
            }
            machines, unavailable = _machine_images(selection.machines, futures)
            index, publisher = (futures[name].result() for name in INFRASTRUCTURE)
            network = stack.enter_context(testbed.prepare_network(host.engine, host.run, publisher))
            pipeline = None
            if making:
                release, pipeline = making.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            host.sweep()  # a build ends with its container
            raise
    assert release is not None
    return _RunParts(release, pipeline, machines, unavailable, index, publisher, network)


def _machine_images(
    specs: Iterable[MachineSpec], futures: Mapping[str, Future[Image]]
) -> tuple[dict[str, Image], dict[str, str]]:
    """Return the image of each machine, and why a machine has none; by the machine's name."""
    machines: dict[str, Image] = {}
    unavailable: dict[str, str] = {}
    for spec in specs:
        try:
            machines[spec.name] = futures[spec.image].result()
        except images.ImageUnavailable as reason:
            unavailable[spec.name] = str(reason)
    return machines, unavailable


def _with_history(release: Release, subject: Subject, selection: Selection) -> tuple[Release, str]:
    """Return the release with the earlier ones for the index; else with why they are missing."""
    if selection.history != "all":
        return release, ""
    try:
        earlier = upstream_releases.earlier(subject.name, release.version)
    except images.ImageUnavailable as reason:
        print_line(f"the index is without the earlier releases: {reason}")
        return release, str(reason)
    if any(declared_refusal(subject, spec) for spec in selection.machines):
        # Where no wheel of it fits, an installer builds a dependency from its source.
        release = release.with_dependencies(*_sources(subject))
    return release.model_copy(update={"earlier": earlier.files, "yanked": earlier.yanked}), ""


def _for_other_pythons(selection: Selection, subject: Subject) -> list[Path]:
    """Return the dependencies for machines that the subject declares no wheel for.

    The live index has them: an older release, or a wheel that is not declared, finds them there.
    """
    pythons = {spec.python for spec in selection.machines if spec.os == "linux"} - {"3.13"}
    lock = subject.dependencies
    with ThreadPoolExecutor() as pool:
        futures = [
            pool.submit(wheelhouse.dependencies_for, lock, python) for python in sorted(pythons)
        ]
        if any(spec.musl for spec in selection.machines):
            futures.append(pool.submit(wheelhouse.dependencies_for, lock, "3.13", MUSL_PLATFORMS))
    return [path for future in futures for path in future.result()]


def _sources(subject: Subject) -> tuple[Path, ...]:
    try:
        return upstream_releases.sources(wheelhouse.locked_versions(subject.dependencies))
    except images.ImageUnavailable as reason:
        print_line(f"the index is without the source of the dependencies: {reason}")
        return ()
