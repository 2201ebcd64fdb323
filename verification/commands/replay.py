"""``./e2e replay``: run cells again with the recorded inputs of a run, and compare the results."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import docker.errors

from containers import images, testbed
from containers.engine import Engine
from containers.engine_client import ENGINE_ERRORS
from containers.progress import step
from verification.commands import common
from verification.commands.common import Unverified
from verification.models.base import Model
from verification.models.cell import Cell
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.release import Release
from verification.models.report import Report
from verification.models.results import CellResult
from verification.models.subject import Subject
from verification.models.testbed import Image, ImageRecord
from verification.models.verdict import ExpectationKind, Outcome, Verdict
from verification.scenarios import cells, machines
from verification.session import own_tests, replay_inputs
from verification.session.hosts import Host, open_host
from verification.session.prepare import PreparedRun, start_testbed
from verification.session.release_pipeline import registrations_of
from verification.session.session import Session
from verification.subjects import subject as subjects
from verification.wheel.release_inspection import top_level_names


class ReplayResult(Model):
    """The recorded result of a cell and the result of its replay."""

    id: str
    recorded: str
    """The recorded outcome and the names of its causes."""
    replayed: str = ""
    """The outcome of the replay and the names of its causes; empty if the cell did not run."""
    verdict: Verdict = Verdict.UNVERIFIED
    is_equal: bool = False
    reason: str = ""
    """The reason why the cell did not run, or empty."""

    def __str__(self) -> str:
        if self.reason:
            return f"· {self.id}: not replayed: {self.reason}"
        if self.is_equal:
            return f"✔ {self.id}: {self.replayed}, as recorded"
        return f"✘ {self.id}: recorded {self.recorded}; now {self.replayed}"

    @property
    def exit_code(self) -> ExitCode:
        """The exit code for this cell."""
        if self.reason:
            return ExitCode.UNVERIFIED
        if self.is_equal:
            return ExitCode.VERIFIED
        testbed_failed = self.verdict is Verdict.TESTBED
        return ExitCode.TESTBED_FAILED if testbed_failed else ExitCode.PACKAGE_FAILED


def compare_results(recorded: CellResult, replayed: CellResult) -> ReplayResult:
    """Compare two results of a cell by their outcomes and the names of their causes."""
    return ReplayResult(
        id=recorded.id,
        recorded=_outcome_text(recorded),
        replayed=_outcome_text(replayed),
        verdict=replayed.verdict,
        is_equal=recorded.outcome is replayed.outcome and _names(recorded) == _names(replayed),
    )


def _names(result: CellResult) -> set[tuple[str, str]]:
    return {(cause.name, str(cause.severity)) for cause in result.causes}


def _outcome_text(result: CellResult) -> str:
    names = ", ".join(dict.fromkeys(cause.name for cause in result.causes))
    return f"{result.outcome} ({names})" if names else str(result.outcome)


def exit_code(replayed: Iterable[ReplayResult]) -> ExitCode:
    """Return the exit code for all cells. A different result outranks everything else."""
    codes = {result.exit_code for result in replayed}
    order = (ExitCode.PACKAGE_FAILED, ExitCode.TESTBED_FAILED, ExitCode.UNVERIFIED)
    return next((code for code in order if code in codes), ExitCode.VERIFIED)


def cell_of(recorded: CellResult, subject: Subject) -> Cell:
    """Return the cell of a recorded result.

    Raises:
        Unverified: the cell did not run, or its machine, installer or scenario no longer exists.
    """
    if recorded.outcome is Outcome.UNVERIFIED:
        raise Unverified(f"the recorded run did not run this cell: {recorded.reason}")
    spec = machines.load().get(recorded.machine)
    if spec is None:
        raise Unverified(f"machines.toml no longer has the machine {recorded.machine}")
    try:
        cell = cells.cell(spec, subject, recorded.installer, recorded.scenario)
    except KeyError as error:
        raise Unverified(f"the installer or scenario {error} no longer exists") from None
    if recorded.expectation is ExpectationKind.WORKS:
        return cell.model_copy(update={"refusal": ""})  # an additional wheel fitted the machine
    return cell


class RecordedImages:
    """Finds the images of a recorded run on an engine, or makes them again from their recipes.

    `differences` describes each image that was made again.
    """

    def __init__(self, engine: Engine, recorded: Mapping[str, ImageRecord]) -> None:
        self.engine = engine
        self.differences: list[str] = []
        self._recorded = recorded
        self._images: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """Return the recorded image. If it no longer exists, make the image from its recipe.

        Raises:
            ImageUnavailable, TestbedFailure: the image cannot be made.
        """
        if name not in self._images:
            self._images[name] = self._image(name)
        return self._images[name]

    def _image(self, name: str) -> Image:
        recorded = self._recorded.get(name)
        if recorded is None:
            self.differences.append(f"image {name}: the report does not record this image")
            return images.ensure(self.engine, name)
        if (tag := self._tag(recorded)) is not None:
            return Image(name=name, tag=tag, id=recorded.id, created=recorded.created)
        image = images.ensure(self.engine, name)
        recipe = "the same" if image.tag == recorded.tag else "a different"
        self.differences.append(
            f"image {name}: {recorded.tag} {recorded.id[:19]} of {recorded.created[:19]} no longer "
            f"exists; this run uses {image.tag} {image.id[:19]} of {image.created[:19]}, made from "
            f"{recipe} recipe"
        )
        return image

    def _tag(self, recorded: ImageRecord) -> str | None:
        """Return a name of the recorded image, or None if the image no longer exists.

        The recorded tag may now belong to another image. Then the name is the id.
        """
        with contextlib.closing(self.engine.client()) as client:
            try:
                image = client.images.get(recorded.id)
            except docker.errors.ImageNotFound:
                return None
            except ENGINE_ERRORS as error:
                raise TestbedFailure("engine-unreachable", "engine", str(error)) from error
        return recorded.tag if recorded.tag in image.tags else recorded.id


class _ReplayTask(NamedTuple):
    recorded: CellResult
    cell: Cell
    tests: Path | None


class Replay:
    """The replay of one report: its cells run again on one testbed."""

    def __init__(self, report: Report, folder: Path, subject: Subject) -> None:
        """`folder` is the folder for the evidence."""
        self.report = report
        self.folder = folder
        self.subject = subject
        self.differences: list[str] = []
        """The differences from the recorded run."""

    def run(
        self, recorded: Sequence[CellResult], *, provision: bool = True, workers: int = 1
    ) -> list[ReplayResult]:
        """Run these cells again.

        Raises:
            Unverified: an input of the recorded run is no longer available, or it is not proved
                that the machines have no egress.
            TestbedFailure: the testbed cannot be prepared.
        """
        results: dict[str, ReplayResult] = {}
        tasks: list[_ReplayTask] = []
        for result in recorded:
            try:
                cell = cell_of(result, self.subject)
                tasks.append(_ReplayTask(result, cell, self._tests(cell, result)))
            except Unverified as reason:
                results[result.id] = _not_run(result, str(reason))
        if tasks:
            release = self._release()
            with contextlib.ExitStack() as stack:
                host = open_host(stack, provision=provision, limits=self.report.selection.limits)
                session, missing = self._open(host, release, tasks, stack)
                ready = [task for task in tasks if task.recorded.id not in missing]
                results |= missing
                results |= {r.id: r for r in _run_all(host, session, ready, workers)}
        return [results[result.id] for result in recorded]

    def _tests(self, cell: Cell, recorded: CellResult) -> Path | None:
        """Return the folder of the package's own tests, or None if the cell runs none.

        Raises:
            Unverified: the tests are no longer there, or they changed.
        """
        if not cell.runs_tests:
            return None
        folder = Path(self.report.selection.tests or "")
        tests = recorded.summary.tests if recorded.summary else None
        if tests is None:
            raise Unverified("the report records no tests of the package for this cell")
        modules = {self.subject.import_package, *top_level_names(self.report.static)}
        if own_tests.digest(own_tests.collect(folder, modules).contents) != tests.sha256:
            raise Unverified(
                f"the package's own tests in {folder} or the files around them have changed; "
                "check out the version that the report records"
            )
        return folder

    def _release(self) -> Release:
        try:
            restored = replay_inputs.restore(self.report, self.subject)
        except WrongUse as error:
            raise Unverified(f"this run cannot be replayed: {error}") from None
        if restored.missing:
            raise Unverified(f"this run cannot be replayed: {'; '.join(restored.missing)}")
        self.differences += restored.differences
        return restored.release

    def _open(
        self,
        host: Host,
        release: Release,
        tasks: Sequence[_ReplayTask],
        stack: contextlib.ExitStack,
    ) -> tuple[Session, dict[str, ReplayResult]]:
        """Return a session with the recorded files and images, and results of cells without image.

        The results are by cell id. They say why the image is not available.
        """
        recorded = RecordedImages(host.engine, self.report.images)
        index, publisher = recorded.image("index"), recorded.image("publisher")
        machine_images: dict[str, Image] = {}
        missing: dict[str, ReplayResult] = {}
        for task in tasks:
            machine = task.cell.machine
            try:
                machine_images[machine.name] = recorded.image(machine.image)
            except images.ImageUnavailable as reason:
                missing[task.recorded.id] = _not_run(task.recorded, str(reason))
        self.differences += recorded.differences
        with step("index: starting the index and publishing the recorded files"):
            network = stack.enter_context(testbed.prepare_network(host.engine, host.run, publisher))
            registered = registrations_of(None, self.subject)
            running_testbed = start_testbed(
                stack, network, index, release, self.subject, registered
            )
        common.check_egress(running_testbed.egress)
        prepared = PreparedRun(
            testbed=running_testbed,
            release=release,
            machines=machine_images,
            unavailable={},
            infrastructure=(index, publisher),
            modules=top_level_names(self.report.static),
            seed=self.report.inputs.seed if self.report.inputs else 0,
        )
        strict = self.report.selection.strict
        return Session(prepared, self.subject, self.folder, strict=strict), missing


def _not_run(recorded: CellResult, reason: str) -> ReplayResult:
    return ReplayResult(id=recorded.id, recorded=_outcome_text(recorded), reason=reason)


def _run_all(
    host: Host, session: Session, tasks: Sequence[_ReplayTask], workers: int
) -> list[ReplayResult]:
    def run_task(task: _ReplayTask) -> ReplayResult:
        result = session.run(task.cell, tests=task.tests).result
        comparison = compare_results(task.recorded, result)
        print(comparison, flush=True)
        return comparison

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(run_task, task) for task in tasks]
        results = [future.result() for future in futures]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        host.sweep()  # removing its machine ends a cell
        raise
    pool.shutdown()
    return results


def recorded_subject(report: Report, file: str | None) -> Subject:
    """Return the subject of a recorded run, from a named file or from the one that the run used.

    Raises:
        WrongUse: the file no longer exists, or it describes another package.
        DataError: the description cannot be used.
    """
    recorded = report.selection
    path = common.path_of(file) or (recorded.subject_file and Path(recorded.subject_file))
    if path and not file and not path.is_file():
        raise WrongUse(
            f"replay: {path}: the description of {recorded.subject} no longer exists; name it with "
            "--subject"
        )
    subject = subjects.load(path) if path else subjects.load()
    if subject.name != recorded.subject:
        raise WrongUse(
            f"replay: the report is about {recorded.subject}, but {path or 'the default subject'} "
            f"describes {subject.name}; name the description with --subject"
        )
    return subject


def run(options: argparse.Namespace) -> int:
    """Run the cells again and return the exit code."""
    folder, report = common.read_report(options.report)
    if options.all == bool(options.cell):
        names = ", ".join(cell.id for cell in report.cells)
        raise WrongUse(f"replay: name cells, or use --all; the cells are {names}")
    if options.workers < 1:
        raise WrongUse(f"replay: -n {options.workers}: the number must be 1 or more")
    recorded = common.cells_of(report, options.cell)
    replay = Replay(report, folder / "replay", recorded_subject(report, options.subject))
    results = replay.run(recorded, provision=not options.no_provision, workers=options.workers)
    for result in results:
        if result.reason:
            print(result)
    for difference in replay.differences:
        print(f"difference: {difference}")
    if replay.differences:
        print("Because of these differences, the results prove nothing about the recorded run.")
    equal = sum(result.is_equal for result in results)
    print(f"{equal} of {len(results)} cells have the recorded outcome and causes")
    return exit_code(results)
