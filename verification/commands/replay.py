"""``./e2e replay``: run cells again from the recorded inputs of a run, and compare the verdicts."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import docker.errors
import requests

from containers import images, testbed
from containers.engine import Engine
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
from verification.models.verdict import Outcome, Verdict
from verification.scenarios import cells, machines
from verification.session import own_tests, replay_inputs
from verification.session.prepare import Host, PreparedRun, open_host, start_testbed
from verification.session.session import Session
from verification.subjects import subject as subjects


class ReplayResult(Model):
    """One cell, as it was recorded and as it is now."""

    id: str
    recorded: str
    """The recorded outcome and causes, as a person reads them."""
    now: str = ""
    """The same of this time; empty if it could not run again."""
    verdict: Verdict = Verdict.UNVERIFIED
    same: bool = False
    reason: str = ""
    """Why it could not run again."""

    def __str__(self) -> str:
        if self.reason:
            return f"· {self.id}: not run again: {self.reason}"
        if self.same:
            return f"✔ {self.id}: {self.now}, as recorded"
        return f"✘ {self.id}: recorded {self.recorded}; now {self.now}"

    @property
    def exit_code(self) -> ExitCode:
        """What it says of the whole replay."""
        if self.reason:
            return ExitCode.UNVERIFIED
        if self.same:
            return ExitCode.VERIFIED
        testbed_failed = self.verdict is Verdict.TESTBED
        return ExitCode.TESTBED_FAILED if testbed_failed else ExitCode.PACKAGE_FAILED


def compare_results(recorded: CellResult, now: CellResult) -> ReplayResult:
    """Compare two results of a cell by outcome and by the names of the causes."""
    return ReplayResult(
        id=recorded.id,
        recorded=_words(recorded),
        now=_words(now),
        verdict=now.verdict,
        same=recorded.outcome is now.outcome and _names(recorded) == _names(now),
    )


def _names(result: CellResult) -> set[tuple[str, str]]:
    return {(cause.name, str(cause.severity)) for cause in result.causes}


def _words(result: CellResult) -> str:
    names = ", ".join(dict.fromkeys(cause.name for cause in result.causes))
    return f"{result.outcome} ({names})" if names else str(result.outcome)


def exit_code(replayed: Iterable[ReplayResult]) -> ExitCode:
    """Return the code of the whole: another verdict outranks all else."""
    present = {one.exit_code for one in replayed}
    order = (ExitCode.PACKAGE_FAILED, ExitCode.TESTBED_FAILED, ExitCode.UNVERIFIED)
    return next((code for code in order if code in present), ExitCode.VERIFIED)


def cell_of(recorded: CellResult, subject: Subject) -> Cell:
    """Return the cell that was recorded.

    Raises:
        Unverified: it did not run, or its machine, installer or scenario no longer exists.
    """
    if recorded.outcome is Outcome.UNVERIFIED:
        raise Unverified(f"it did not run then: {recorded.reason}")
    spec = machines.load().get(recorded.machine)
    if spec is None:
        raise Unverified(f"machines.toml no longer has the machine {recorded.machine}")
    try:
        return cells.cell(spec, subject, recorded.installer, recorded.scenario)
    except KeyError as error:
        raise Unverified(f"there is no longer an installer or scenario {error}") from None


class RecordedImages:
    """The images of a recorded run on an engine; what is another one is in `differs`."""

    def __init__(self, engine: Engine, recorded: Mapping[str, ImageRecord]) -> None:
        self.engine = engine
        self.differs: list[str] = []
        self._recorded = recorded
        self._images: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """Return the image that was used; where it is gone, the one that its recipe makes now.

        Raises:
            ImageUnavailable, TestbedFailure: there is none, and none can be made.
        """
        if name not in self._images:
            self._images[name] = self._image(name)
        return self._images[name]

    def _image(self, name: str) -> Image:
        recorded = self._recorded.get(name)
        if recorded is None:
            self.differs.append(f"image {name}: the run did not record which it used")
            return images.ensure(self.engine, name)
        if (tag := self._tag(recorded)) is not None:
            return Image(name=name, tag=tag, id=recorded.id, created=recorded.created)
        image = images.ensure(self.engine, name)
        recipe = "the same" if image.tag == recorded.tag else "another"
        self.differs.append(
            f"image {name}: {recorded.tag} {recorded.id[:19]} of {recorded.created[:19]} is gone; "
            f"{image.tag} {image.id[:19]} of {image.created[:19]} is used, made from "
            f"{recipe} recipe"
        )
        return image

    def _tag(self, recorded: ImageRecord) -> str | None:
        """Return how the recorded image is named: its tag may be another image's by now."""
        with contextlib.closing(self.engine.client()) as client:
            try:
                image = client.images.get(recorded.id)
            except docker.errors.ImageNotFound:
                return None
            except (docker.errors.DockerException, requests.RequestException) as error:
                raise TestbedFailure("engine-unreachable", "engine", str(error)) from error
        return recorded.tag if recorded.tag in image.tags else recorded.id


class _ReplayTask(NamedTuple):
    recorded: CellResult
    cell: Cell
    tests: Path | None


class Replay:
    """The replay of one report: its cells run again on one testbed."""

    def __init__(self, report: Report, folder: Path) -> None:
        """`folder` takes the evidence."""
        self.report = report
        self.folder = folder
        self.subject = subjects.load()
        self.differs: list[str] = []
        """What differs from the recorded run."""

    def run(
        self, recorded: Sequence[CellResult], *, provision: bool = True, workers: int = 1
    ) -> list[ReplayResult]:
        """Run these cells again.

        Raises:
            Unverified: what the run used is gone.
            TestbedFailure: the testbed cannot be prepared.
        """
        replayed: dict[str, ReplayResult] = {}
        todo: list[_ReplayTask] = []
        for result in recorded:
            try:
                cell = cell_of(result, self.subject)
                todo.append(_ReplayTask(result, cell, self._tests(cell, result)))
            except Unverified as reason:
                replayed[result.id] = _not_run(result, str(reason))
        if todo:
            release = self._release()
            with contextlib.ExitStack() as stack:
                host = open_host(stack, provision=provision)
                session, missing = self._open(host, release, todo, stack)
                ready = [one for one in todo if one.recorded.id not in missing]
                replayed |= missing
                replayed |= {one.id: one for one in _run_all(host, session, ready, workers)}
        return [replayed[one.id] for one in recorded]

    def _tests(self, cell: Cell, recorded: CellResult) -> Path | None:
        """Return the folder of the package's own tests that the cell ran, if it ran any.

        Raises:
            Unverified: they are gone, or are not the same.
        """
        if not cell.runs_tests:
            return None
        folder = Path(self.report.selection.tests or "")
        tests = recorded.summary.tests if recorded.summary else None
        if tests is None or own_tests.digest(own_tests.files(folder)) != tests.sha256:
            raise Unverified(f"the package's own tests in {folder} are not those that it ran then")
        return folder

    def _release(self) -> Release:
        try:
            regained = replay_inputs.restore(self.report, self.subject)
        except WrongUse as error:
            raise Unverified(f"it cannot be replayed: {error}") from None
        if regained.gone:
            raise Unverified(f"it cannot be replayed: {'; '.join(regained.gone)}")
        self.differs += regained.differs
        return regained.release

    def _open(
        self, host: Host, release: Release, todo: Sequence[_ReplayTask], stack: contextlib.ExitStack
    ) -> tuple[Session, dict[str, ReplayResult]]:
        """Return a session with the recorded files and images, and the cells without an image."""
        recorded = RecordedImages(host.engine, self.report.images)
        index, publisher = recorded.image("index"), recorded.image("publisher")
        machines_: dict[str, Image] = {}
        missing: dict[str, ReplayResult] = {}
        for one in todo:
            try:
                machines_[one.cell.machine.name] = recorded.image(one.cell.machine.image)
            except images.ImageUnavailable as reason:
                missing[one.recorded.id] = _not_run(one.recorded, str(reason))
        self.differs += recorded.differs
        with step("index: starting it and publishing the recorded files"):
            network = stack.enter_context(testbed.prepare_network(host.engine, host.run, publisher))
            started = start_testbed(stack, network, index, release, self.subject)
        prepared = PreparedRun(
            testbed=started,
            release=release,
            machines=machines_,
            unavailable={},
            infrastructure=(index, publisher),
            seed=self.report.inputs.seed if self.report.inputs else 0,
        )
        strict = self.report.selection.strict
        return Session(prepared, self.subject, self.folder, strict=strict), missing


def _not_run(recorded: CellResult, reason: str) -> ReplayResult:
    return ReplayResult(id=recorded.id, recorded=_words(recorded), reason=reason)


def _run_all(
    host: Host, session: Session, todo: Sequence[_ReplayTask], workers: int
) -> list[ReplayResult]:
    def one_cell(one: _ReplayTask) -> ReplayResult:
        replayed = compare_results(one.recorded, session.run(one.cell, tests=one.tests).result)
        print(replayed, flush=True)
        return replayed

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(one_cell, one) for one in todo]
        replayed = [future.result() for future in futures]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        host.sweep()  # a cell ends with its machine
        raise
    pool.shutdown()
    return replayed


def run(options: argparse.Namespace) -> int:
    """Run the cells again; return the exit code."""
    folder, report = common.read_report(options.report)
    if options.all == bool(options.cell):
        known = ", ".join(cell.id for cell in report.cells)
        raise WrongUse(f"replay: name a cell, or --all; there are: {known}")
    if options.workers < 1:
        raise WrongUse("replay: -n must be 1 or more")
    recorded = common.cells_of(report, options.cell)
    replay = Replay(report, folder / "replay")
    if report.selection.subject != replay.subject.name:
        raise WrongUse(
            f"replay: the report is of {report.selection.subject}, whose description is not in it; "
            "run ./e2e gate --subject again"
        )
    replayed = replay.run(recorded, provision=not options.no_provision, workers=options.workers)
    for one in replayed:
        if one.reason:
            print(one)
    for line in replay.differs:
        print(f"differs: {line}")
    if replay.differs:
        print("The verdicts are of what differs as well: they prove nothing of the recorded run.")
    same = sum(one.same for one in replayed)
    print(f"{same} of {len(replayed)} cells have the verdict that was recorded")
    return exit_code(replayed)
