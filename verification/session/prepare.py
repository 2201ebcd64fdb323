"""Prepare a run before its first cell: engine, images, the files of the release, the index.

The controller prepares the run once. It passes the same values to its workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

from packaging.utils import canonicalize_name, parse_wheel_filename
from pydantic import Field

from containers import engine as engines
from containers import images, testbed, upstream_releases, wheelhouse
from containers.endpoint import DEFAULT_CONTEXT
from containers.engine import Engine
from containers.engine_client import failing_as
from containers.index import IndexContents
from containers.progress import PROGRESS, print_line, step
from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.errors import BuildFailed, TestbedFailure, WheelRefused, WrongUse
from verification.models.evidence import CellEvidence
from verification.models.expectation import Expectation
from verification.models.inspection import BundledLibraries, ReleaseInspection
from verification.models.machine import MachineSpec, Refusal
from verification.models.pipeline import PipelineOutcome
from verification.models.publisher import TrustedPublisher
from verification.models.release import Release
from verification.models.subject import Subject
from verification.models.testbed import Image
from verification.rules import install_paths, upload
from verification.rules.install_paths import is_other_version
from verification.scenarios.conditions import conditions
from verification.scenarios.expectation import declared_refusal, supported_tags
from verification.session import dependencies, origin, release_pipeline, required_files
from verification.session.hosts import OpenHost, open_hosts
from verification.session.selection import Selection
from verification.subjects import chosen_values, database
from verification.wheel.contained import InspectionFailed
from verification.wheel.errors import BadWheel, WheelTooLarge
from verification.wheel.modules import read_distributions
from verification.wheel.release_inspection import (
    bundled_libraries,
    inspect_release,
    top_level_names,
    with_changes,
)
from verification.wheel.tags import declared_platform, parse_tags, subject_for_wheel

INFRASTRUCTURE = ("index", "publisher")


class EngineTestbed(Model):
    """What cells need on one engine of a run."""

    testbed: testbed.Testbed
    machines: Mapping[str, Image]
    """The image of each machine that can run, by the machine's name."""
    unavailable: Mapping[str, str]
    """The reason why a machine cannot run on this engine, by the machine's name."""


class PreparedRun(Model):
    """Everything that the cells need."""

    testbed: testbed.Testbed
    release: Release
    machines: Mapping[str, Image]
    """The image of each machine that can run, by the machine's name."""
    unavailable: Mapping[str, str]
    """The reason why a machine cannot run on this host, by the machine's name."""
    infrastructure: tuple[Image, ...]
    bundled: BundledLibraries = Field(default_factory=dict)
    """The native libraries of the release that are no extension modules."""
    modules: tuple[str, ...] = ()
    """The names of the top-level modules and folders that the release installs."""
    seed: int = 0
    """The seed of the smoke test's values."""
    no_history: str = ""
    """Why the index does not have the earlier releases that it should have, or empty."""
    additional_machines: tuple[str, ...] = ()
    """The machines that no declared wheel fits, and on which another wheel must work."""
    others: Mapping[str, EngineTestbed] = Field(default_factory=dict)
    """What cells need on the other engines of the run, by the name of the engine."""

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of the engines of the run. The first one has built the images."""
        return (self.testbed.engine.name, *self.others)

    def on(self, engine: str) -> PreparedRun:
        """Return what the cells need that run on the engine with this name."""
        if engine not in self.others:
            return self
        return self.model_copy(update=dict(self.others[engine]))

    def engines_with(self, machine: str) -> tuple[str, ...]:
        """Return the engines on which a machine can run, or all if it can run on none."""
        names = tuple(name for name in self.engines if machine in self.on(name).machines)
        return names or self.engines

    @property
    def closure_not_proved(self) -> str:
        """Why it is not proved that the networks of the machines are closed, or empty."""
        testbeds = (self.on(name).testbed for name in self.engines)
        proofs = (running.egress for running in testbeds)
        return next((proof.not_proved for proof in proofs if proof and proof.not_proved), "")

    @property
    def images(self) -> tuple[Image, ...]:
        """All images that the report names."""
        return (*self.infrastructure, *self.machines.values())

    def with_expectation(self, cell: Cell) -> Cell:
        """Return the cell with the expectation that follows from the wheels of the release.

        Before the wheels are known, a cell has the expectation of the declared wheels.
        """
        if cell.machine.name in self.additional_machines and cell.refusal in get_args(Refusal):
            return cell.model_copy(update={"refusal": ""})
        return cell

    def reason_not_run(self, cell: Cell, selection: Selection) -> str:
        """Return why a cell cannot run in this run, or an empty string."""
        if reason := self.unavailable.get(cell.machine.name):
            return reason
        if self.no_history and cell.refusal and not cell.scenario.pinned:
            return f"the installer falls back to an unknown earlier release: {self.no_history}"
        if reason := self.release.without_wheel.get(cell.machine.name):
            return reason
        if cell.scenario.needs_previous and not self.previous(cell.machine):
            reason = self.no_history or f"--history {selection.history}"
            return f"the index has no earlier release for the machine ({reason})"
        return ""

    def previous(self, machine: MachineSpec) -> str:
        """Return the newest earlier release with a wheel that fits the machine, or an empty string.

        A release can require another Python than its tags say. Its installation then fails.
        """
        wheels = [
            parse_wheel_filename(path.name)
            for path in self.release.earlier
            if path.suffix == ".whl"
        ]
        fitting = [version for _, version, _, tags in wheels if tags & supported_tags(machine)]
        return str(max(fitting)) if fitting else ""

    def served_wheel(self, evidence: CellEvidence) -> str:
        """Return the file name of the release's wheel that the machine got, or an empty string.

        The log of the index shows it. Without an index request, the tags of the installed
        distribution identify the wheel.
        """
        names = [file.name for file in self.release.wheels]
        for request in evidence.requests:
            if request.is_served and request.file in names:
                return request.file
        record = evidence.steps.record
        installed_tags = parse_tags(record.value.tags if record and record.value else ())
        distributions = install_paths.distributions(evidence)
        matching = []
        for file in names:
            name, version, _, tags = parse_wheel_filename(file)
            installed = distributions.get(name)
            if not installed or tags != installed_tags:
                continue
            if not is_other_version(installed.version, str(version)):
                matching.append(file)
        return matching[0] if len(matching) == 1 else ""

    def refused_upload(self) -> str:
        """Return who refused the upload of the release and why, or an empty string."""
        return next(filter(None, map(upload.refusal, self.testbed.uploads)), "")

    def expectation(self, subject: Subject, cell: Cell, evidence: CellEvidence) -> Expectation:
        """Return the expectation of a cell."""
        served = self.served_wheel(evidence)
        expected = expectation(subject, cell, self.release, served)
        return expected.model_copy(update={"refused_upload": self.refused_upload()})


def expectation(subject: Subject, cell: Cell, release: Release, served: str) -> Expectation:
    """Return the expectation of a cell if the index accepted the release.

    `served` is the file name of the wheel that the machine was served, or empty.
    """
    return Expectation(
        kind=cell.expectation,
        refusal=cell.refusal,
        project=subject.name,
        version=release.version,
        package=subject.import_package,
        digests=release.digests(),
        locked=dependencies.fitting_versions(release.dependencies, cell.machine),
        unpublished=release.unpublished,
        libraries=_libraries_of(subject, cell, served),
        conditions=conditions(cell),
    )


def _libraries_of(subject: Subject, cell: Cell, served: str) -> tuple[str, ...]:
    """Return the libraries of a cell's platform, or none if the subject does not declare it.

    `served` is the file name of the wheel that the machine was served, or empty. A wheel for
    another Python or for musl has libraries with other names.
    """
    declared = [p for p in subject.platforms if p.target.machine_system == cell.machine.os]
    if served and not declared_platform(served, subject):
        wheel_subject = subject_for_wheel(served, subject)
        tags = sorted(tag.platform for tag in parse_wheel_filename(served)[3])
        declared = [*filter(None, map(wheel_subject.platform_for, tags)), *declared]
    return declared[0].libraries if declared else ()


class RunSetup(NamedTuple):
    """The result of the set-up, for the controller."""

    prepared: PreparedRun
    inspection: ReleaseInspection
    pipeline: PipelineOutcome | None = None
    """The outcome of the release workflow; None if it did not run."""


def _open_selected(
    selection: Selection, stack: contextlib.ExitStack
) -> tuple[OpenHost, tuple[OpenHost, ...]]:
    """Return the host that builds, and the others. Raise what `open_hosts` raises."""
    first, *others = open_hosts(
        stack,
        selection.engines,
        selection.registry,
        provision=selection.provision,
        limits=selection.limits,
    )
    return first, tuple(others)


@failing_as("engine-unreachable", "set-up")
def prepare(
    selection: Selection,
    subject: Subject,
    stack: contextlib.ExitStack,
    *,
    extra_files: Sequence[Path] = (),
) -> RunSetup:
    """Prepare the run. Closing `stack` removes everything that this function starts.

    `extra_files` are additional files for the index.

    Raises:
        WrongUse: the wheels, the release or this Python cannot be used. An engine is not needed to
            detect this.
        TestbedFailure: the testbed cannot be prepared.
        BuildFailed: the source does not build.
    """
    database.check()
    release = origin.existing_release(selection, subject)
    inspection = _inspect(release, subject) if release else None
    if release and inspection:
        release = required_files.check(release, inspection, subject, selection)
    engine = _first_engine(selection)
    _expect_steps(engine, selection)
    PROGRESS.print_estimate()
    first, others = _open_selected(selection, stack)
    if engine is None:
        _expect_steps(first.host.engine, selection)
    parts = _make(first, others, selection, subject, release)
    release = parts.release
    if inspection is None:
        inspection = _inspect(release, subject)
        release = required_files.check(release, inspection, subject, selection)
    release = release.with_dependencies(*extra_files)
    release, no_history = _with_history(release, subject, selection)
    earlier = (path for path in release.earlier if path.name not in release.yanked)
    inspection = with_changes(inspection, earlier, subject)
    if selection.tests:
        release = release.model_copy(update={"tools": wheelhouse.tools()})
    with step("index: starting the index and publishing the release"):
        registered = release_pipeline.registrations_of(selection.checkout, subject)
        running, *running_elsewhere = _start_testbeds(parts.engines, release, subject, registered)
    PROGRESS.forget_expected()
    own = parts.engines[0]
    prepared = PreparedRun(
        **dict(running),
        others={other.testbed.engine.name: other for other in running_elsewhere},
        release=release,
        infrastructure=(own.index, own.publisher),
        bundled=bundled_libraries(inspection, subject),
        modules=top_level_names(inspection),
        seed=chosen_values.shared_seed(release.digests())
        if selection.shard
        else chosen_values.new_seed(),
        no_history=no_history,
        additional_machines=required_files.additional_machines(
            release, inspection, subject, selection
        ),
    )
    return RunSetup(prepared, inspection, parts.pipeline)


@failing_as("engine-unreachable", "set-up")
def run_workflow(
    selection: Selection, subject: Subject, stack: contextlib.ExitStack
) -> PipelineOutcome:
    """Run only the release workflow of a checkout. Closing `stack` removes what it starts.

    Raises:
        WrongUse: the files of the release cannot be used.
        TestbedFailure: there is no engine, or an image fails.
    """
    request = origin.release_request(selection, subject)
    engine = _first_engine(selection)
    _expect_steps(engine, selection)
    PROGRESS.print_estimate()
    host = _open_selected(selection, stack)[0].host
    outcome = release_pipeline.run(host.engine, host.run, subject, request).outcome
    PROGRESS.forget_expected()
    return outcome


@failing_as("engine-unreachable", "set-up")
def prepare_files(
    selection: Selection, subject: Subject, stack: contextlib.ExitStack
) -> tuple[Release, ReleaseInspection]:
    """Get or build the wheels and inspect them. This needs no index and no machine.

    Raises:
        WrongUse: the wheels, the release or this Python cannot be used.
        TestbedFailure: the upstream index does not answer, or there is no engine to build on.
        BuildFailed: the source does not build.
    """
    release = origin.existing_release(selection, subject)
    if release is None:
        host = _open_selected(selection, stack)[0].host
        release, _ = origin.make_release(host, selection, subject, stack)
    return release, _inspect(release, subject)


def start_testbed(
    stack: contextlib.ExitStack,
    network: testbed.PreparedNetwork,
    index: Image,
    release: Release,
    subject: Subject,
    registered: Iterable[TrustedPublisher],
) -> testbed.Testbed:
    """Start the index and publish the release on it. Closing ``stack`` removes both.

    ``registered`` are the registrations of trusted publishers. The project exists on the live index
    if one of them is for it and is not pending.

    Raises:
        TestbedFailure: the index does not start, or the upload failed without a refusal.
    """
    contents = IndexContents(
        project=subject.name,
        files=release.stored,
        exists=any(
            not publisher.pending and publisher.project == canonicalize_name(subject.name)
            for publisher in registered
        ),
        yanked=release.yanked,
    )
    running = stack.enter_context(testbed.start(network, index, contents, release.uploads))
    if message := next(filter(None, map(upload.failure, running.uploads)), ""):
        raise TestbedFailure("index-unreachable", "publisher", message)
    return running


def _inspect(release: Release, subject: Subject) -> ReleaseInspection:
    """Inspect each wheel once.

    Raises:
        WrongUse: a file in the folder of --wheels is not a wheel.
        BuildFailed: a published or built file is not a wheel.
        WheelRefused: a wheel unpacks to more than a limit. No machine gets it.
        TestbedFailure: ``inspection-failed``: the inspection of a wheel crashed, or met a limit.
    """
    distributions = read_distributions(release.dependencies)
    try:
        published = release.origin == "release"
        return inspect_release(release.wheel_paths, subject, distributions, published=published)
    except WheelTooLarge as error:
        raise WheelRefused(error.file, str(error), error.facts) from None
    except InspectionFailed as error:
        raise TestbedFailure("inspection-failed", error.file, error.reason) from None
    except BadWheel as error:
        if release.origin == "wheels":
            message = f"--wheels {release.location}: {error}; give a complete .whl file"
            raise WrongUse(message) from None
        raise BuildFailed(f"{release.origin} {release.location}", str(error), "") from None


@dataclass(frozen=True)
class _EngineParts:
    """What is made on one engine before the release is known."""

    machines: dict[str, Image]
    unavailable: dict[str, str]
    index: Image
    publisher: Image
    network: testbed.PreparedNetwork
    stack: contextlib.ExitStack
    """What is removed on the engine at the end of the run."""


@dataclass(frozen=True)
class _RunParts:
    release: Release
    pipeline: PipelineOutcome | None
    engines: tuple[_EngineParts, ...]
    """The first one has built the images."""


def _first_engine(selection: Selection) -> Engine | None:
    """Return the engine that builds; None if the set-up must start it.

    Raises:
        WrongUse: there is no such context.
        TestbedFailure: the selected engine does not answer.
    """
    if selection.engines and selection.engines[0].name != DEFAULT_CONTEXT:
        return engines.named(selection.engines[0].name, provision=False)
    return engines.find()[0]


def _expect_steps(engine: Engine | None, selection: Selection) -> None:
    """Set the steps of the set-up that take time.

    Without an engine, all images are expected, because it is not known which ones exist.
    """
    needed = [*INFRASTRUCTURE, *(spec.image for spec in selection.prepared_machines)]
    if selection.source or selection.checkout:
        needed += origin.required_recipes(selection)
        if selection.pipeline:
            PROGRESS.expect("workflow", [""])
        else:
            PROGRESS.expect("wheel", [f"for {system}" for system in selection.systems])
    PROGRESS.expect("image", images.missing_images(engine, needed))
    PROGRESS.expect("index", [""])


def _make(
    first: OpenHost,
    others: Sequence[OpenHost],
    selection: Selection,
    subject: Subject,
    release: Release | None,
) -> _RunParts:
    """Make all images, and at the same time the wheels if there is no `release`.

    The first engine builds. The others get copies of its images.
    """
    host = first.host
    needed = (*INFRASTRUCTURE, *(spec.image for spec in selection.prepared_machines))
    pipeline = None
    # While the workflow waits for its own images, at most two other images take processor time.
    pool = ThreadPoolExecutor(3 if release is None else 4)
    with pool, ThreadPoolExecutor(max(1, 2 * len(others))) as copies:
        try:
            future = None
            if not release:
                future = pool.submit(origin.make_release, host, selection, subject, first.stack)
            built = {
                name: pool.submit(images.ensure, host.engine, name)
                for name in dict.fromkeys(needed)
            }
            copied = [_copied(other, host.engine, built, copies) for other in others]
            parts = [
                _parts_on(opened, selection.prepared_machines, futures)
                for opened, futures in zip((first, *others), (built, *copied), strict=True)
            ]
            if future:
                release, pipeline = future.result()
        except BaseException:
            for threads in (copies, pool):
                threads.shutdown(wait=False, cancel_futures=True)
            host.sweep()  # removing its container ends a build
            raise
    assert release is not None
    return _RunParts(release, pipeline, tuple(parts))


def _copied(
    other: OpenHost, source: Engine, built: Mapping[str, Future[Image]], pool: ThreadPoolExecutor
) -> dict[str, Future[Image]]:
    """Return the images on another engine: from the registry, or copies of those of the first."""

    def copy(future: Future[Image]) -> Image:
        image, engine = future.result(), other.host.engine
        if engine.registry and engine.registry.reference(image.tag):
            images.ensure(engine, image.name)
        return images.copy(image, source, engine)

    return {name: pool.submit(copy, future) for name, future in built.items()}


def _parts_on(
    opened: OpenHost, specs: Iterable[MachineSpec], futures: Mapping[str, Future[Image]]
) -> _EngineParts:
    """Prepare the network of an engine when its images are there. Raise the errors of both."""
    machines, unavailable = _machine_images(specs, futures)
    index, publisher = (futures[name].result() for name in INFRASTRUCTURE)
    with _naming(opened.host.engine):
        network = opened.stack.enter_context(
            testbed.prepare_network(opened.host.engine, opened.host.run, publisher)
        )
    return _EngineParts(machines, unavailable, index, publisher, network, opened.stack)


@contextlib.contextmanager
def _naming(engine: Engine) -> Iterator[None]:
    """Name the engine in a failure of the block, if the user selected the engine by a name."""
    try:
        yield
    except TestbedFailure as failure:
        if not engine.name:
            raise
        where = f"{failure.where} on engine {engine.name}"
        raise TestbedFailure(failure.cause, where, failure.message, failure.facts) from None


def _start_testbeds(
    engines: Sequence[_EngineParts],
    release: Release,
    subject: Subject,
    registered: Iterable[TrustedPublisher],
) -> list[EngineTestbed]:
    """Start an index with the release on each engine at the same time.

    Raises:
        TestbedFailure: what `start_testbed` raises.
    """

    def start(parts: _EngineParts) -> EngineTestbed:
        with _naming(parts.network.closed.engine):
            running = start_testbed(
                parts.stack, parts.network, parts.index, release, subject, registered
            )
        return EngineTestbed(
            testbed=running, machines=parts.machines, unavailable=parts.unavailable
        )

    with ThreadPoolExecutor(len(engines)) as pool:
        return list(pool.map(start, engines))


def _machine_images(
    specs: Iterable[MachineSpec], futures: Mapping[str, Future[Image]]
) -> tuple[dict[str, Image], dict[str, str]]:
    """Return the image of each machine, and the reasons for missing images, by machine name."""
    machines: dict[str, Image] = {}
    unavailable: dict[str, str] = {}
    for spec in specs:
        try:
            machines[spec.name] = futures[spec.image].result()
        except images.ImageUnavailable as reason:
            unavailable[spec.name] = str(reason)
    return machines, unavailable


def _with_history(release: Release, subject: Subject, selection: Selection) -> tuple[Release, str]:
    """Return the release with the earlier releases, and the reason if they are not available."""
    if selection.history != "all":
        return release, ""
    try:
        earlier = upstream_releases.earlier_releases(subject.name, release.version)
    except upstream_releases.UpstreamUnavailable as reason:
        print_line(f"the index of this run has no earlier releases: {reason}")
        return release, str(reason)
    if any(declared_refusal(subject, spec) for spec in selection.machines):
        # An installer builds a dependency from source if none of its wheels fits.
        release = release.with_dependencies(*_sources(subject))
    return release.model_copy(update={"earlier": earlier.files, "yanked": earlier.yanked}), ""


def _sources(subject: Subject) -> tuple[Path, ...]:
    try:
        return upstream_releases.sources(dependencies.locked_versions(subject))
    except upstream_releases.UpstreamUnavailable as reason:
        print_line(f"the index of this run has no sources of the dependencies: {reason}")
        return ()
