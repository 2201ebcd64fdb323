"""``./e2e replay``: run cells again from what their run recorded, and compare the verdicts."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker.errors
import requests

from containers import engine as engines
from containers import images, testbed
from containers.engine import Engine, Run
from containers.index import IndexContents
from containers.progress import say, step
from verification import verdict
from verification.commands import common as session
from verification.commands.common import Unverified
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.release import Release
from verification.models.testbed import Image
from verification.report import results
from verification.rules import diagnose, own_tests
from verification.scenarios import cells as plan
from verification.scenarios import installers, machines, scenarios
from verification.session import cell as cells
from verification.session import prepare as gate
from verification.session import replay_inputs as inputs
from verification.subjects.subject import load as load_subject
from verification.verdict import Verdict


@dataclasses.dataclass(frozen=True)
class Replayed:
    """One cell, as it was recorded and as it is now."""

    ident: str
    was: str
    """The recorded verdict and causes, as a person reads them."""
    now: str
    """The same of this time; empty if it could not be run again."""
    verdict: Verdict
    same: bool
    reason: str = ""
    """Why it could not be run again."""

    def __str__(self) -> str:
        if self.reason:
            return f"· {self.ident}: not run again: {self.reason}"
        if self.same:
            return f"✔ {self.ident}: {self.now}, as recorded"
        return f"✘ {self.ident}: recorded {self.was}; now {self.now}"

    @property
    def exit_code(self) -> ExitCode:
        """What it says of the whole replay."""
        if self.reason:
            return ExitCode.UNVERIFIED
        if self.same:
            return ExitCode.VERIFIED
        testbed_failed = self.verdict is Verdict.TESTBED
        return ExitCode.TESTBED_FAILED if testbed_failed else ExitCode.PACKAGE_FAILED


def compare(recorded: Mapping[str, Any], now: Verdict, causes: Iterable[Cause]) -> Replayed:
    """Hold a cell's verdict and the names of its causes against those recorded."""
    before = [(cause["name"], cause["severity"]) for cause in recorded["causes"]]
    after = [(cause.name, cause.severity) for cause in causes]
    return Replayed(
        recorded["id"],
        _words(recorded["verdict"], before),
        _words(str(now), after),
        now,
        recorded["verdict"] == now and set(before) == set(after),
    )


def _words(judged: str, causes: Iterable[tuple[str, str]]) -> str:
    names = ", ".join(dict.fromkeys(name for name, _ in causes))
    return f"{judged} ({names})" if names else judged


def exit_code(replayed: Iterable[Replayed]) -> ExitCode:
    """Return the code of the whole: another verdict is told before all else."""
    found = {one.exit_code for one in replayed}
    order = (ExitCode.PACKAGE_FAILED, ExitCode.TESTBED_FAILED, ExitCode.UNVERIFIED)
    return next((code for code in order if code in found), ExitCode.VERIFIED)


def cell_of(recorded: Mapping[str, Any]) -> Cell:
    """Return the cell that was recorded.

    Raises:
        Unverified: it did not run, or its machine, installer or scenario is there no more.
    """
    if recorded["verdict"] == "unverified":
        raise Unverified(f"it did not run then: {recorded['reason']}")
    spec = machines.load().get(recorded["machine"])
    if spec is None:
        raise Unverified(f"machines.toml has no machine {recorded['machine']} any more")
    try:
        installers.named(recorded["installer"])
    except KeyError:
        raise Unverified(f"there is no installer {recorded['installer']} any more") from None
    if recorded["scenario"] not in scenarios.load()[spec.os]:
        raise Unverified(f"there is no scenario {recorded['scenario']} any more")
    return plan.cell(spec, recorded["installer"], recorded["scenario"])


def _tests(cell: Cell, told: Mapping[str, Any]) -> Path | None:
    """Return the folder of the package's own tests that the cell ran, if it ran any.

    Raises:
        Unverified: they are not there any more, or are not the same.
    """
    if not cell.runs_tests:
        return None
    folder = Path(told["selection"]["tests"])
    if own_tests.digest(own_tests.files(folder)) != _tests_digest(told, cell):
        raise Unverified(f"the package's own tests in {folder} are not those that it ran then")
    return folder


def _tests_digest(told: Mapping[str, Any], cell: Cell) -> str:
    (summary,) = (one["summary"] for one in told["cells"] if one["id"] == cell.id)
    return str(summary["tests"]["sha256"])


class Bench:
    """The engine with the images of a recorded run; what is another one is in ``differs``."""

    def __init__(self, engine: Engine, told: Mapping[str, Any]) -> None:
        self.engine = engine
        self.told = told
        self.differs: list[str] = []
        self._found: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """Return the image that was used; where it is gone, the one that its recipe makes now.

        Raises:
            Unavailable, TestbedFailure: there is none, and none can be made.
        """
        if name not in self._found:
            self._found[name] = self._image(name)
        return self._found[name]

    def _image(self, name: str) -> Image:
        told = self.told.get(name)
        if told is None:
            self.differs.append(f"image {name}: the run did not record which it used")
            return images.ensure(self.engine, name)
        if (tag := self._tag(told)) is not None:
            return Image(name=name, tag=tag, id=told["id"], created=told["created"])
        found = images.ensure(self.engine, name)
        self.differs.append(
            f"image {name}: {told['tag']} {told['id'][:19]} of {told['created'][:19]} is gone; "
            f"{found.tag} {found.id[:19]} of {found.created[:19]} is used, made from "
            f"{'the same' if found.tag == told['tag'] else 'another'} recipe"
        )
        return found

    def _tag(self, told: Mapping[str, str]) -> str | None:
        """Return how the recorded image is asked for: its tag may be another's by now."""
        client = self.engine.client()
        try:
            image = client.images.get(told["id"])
        except docker.errors.ImageNotFound:
            return None
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise TestbedFailure("engine-unreachable", "engine", str(error)) from error
        finally:
            client.close()
        return told["tag"] if told["tag"] in image.tags else told["id"]


def again(
    told: Mapping[str, Any],
    recorded: Sequence[Mapping[str, Any]],
    kept: Path,
    *,
    provision: bool = True,
    workers: int = 1,
) -> tuple[list[Replayed], list[str]]:
    """Run these cells again on one testbed; return each and what differs from the recorded run.

    Their evidence goes to ``kept``.

    Raises:
        Unverified: what the run used is gone.
        TestbedFailure: the testbed cannot be had.
    """
    found: dict[str, Replayed] = {}
    todo: list[tuple[Mapping[str, Any], Cell, Path | None]] = []
    for one in recorded:
        try:
            cell = cell_of(one)
            todo.append((one, cell, _tests(cell, told)))
        except Unverified as reason:
            found[one["id"]] = _not_run(one, str(reason))
    differs: list[str] = []
    if todo:
        try:
            regained = inputs.regain(told)
        except WrongUse as error:
            raise Unverified(f"it cannot be replayed: {error}") from None
        if regained.gone:
            raise Unverified(f"it cannot be replayed: {'; '.join(regained.gone)}")
        differs += regained.differs
        engine = engines.ensure(provision=provision)
        bench = Bench(engine, told.get("images", {}))
        for result in _run(bench, regained.release, todo, told, kept, workers):
            found[result.ident] = result
        differs += bench.differs
    return [found[one["id"]] for one in recorded], differs


def _not_run(recorded: Mapping[str, Any], reason: str) -> Replayed:
    return Replayed(recorded["id"], recorded["verdict"], "", Verdict.UNVERIFIED, False, reason)


def _run(
    bench: Bench,
    house: Release,
    todo: Sequence[tuple[Mapping[str, Any], Cell, Path | None]],
    told: Mapping[str, Any],
    kept: Path,
    workers: int,
) -> list[Replayed]:
    subject = load_subject()
    client = bench.engine.client()
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        if swept := engines.sweep(client):
            say(f"removed {swept} containers, networks and volumes that earlier runs left")
        run = Run.new()
        stack.callback(engines.sweep, client, run=run.id)
        index, publisher = bench.image("index"), bench.image("publisher")
        ready: list[tuple[Mapping[str, Any], Cell, Path | None, Image]] = []
        found: list[Replayed] = []
        for one, cell, tests in todo:
            try:
                ready.append((one, cell, tests, bench.image(cell.machine.image)))
            except images.Unavailable as reason:
                found.append(_not_run(one, str(reason)))
        with step("index: starting it and publishing the recorded files"):
            network = stack.enter_context(testbed.prepare_network(bench.engine, run, publisher))
            contents = IndexContents(
                project=subject.name,
                files=house.stored,
                yanked=house.yanked,
            )
            bed = stack.enter_context(testbed.start(network, index, contents, house.wheel_paths))
        prepared = gate.Prepared(bed, house, {}, {}, ())
        strict = told["selection"]["strict"]

        def one_cell(
            recorded: Mapping[str, Any], cell: Cell, tests: Path | None, image: Image
        ) -> Replayed:
            evidence = cells.run(bed, cell, image, subject=subject, house=house, tests=tests)
            results.write_json(kept / f"{cell.id}.json", evidence)
            causes = diagnose(evidence, prepared.expected(subject, cell.machine.os, evidence))
            replayed = compare(recorded, verdict.judge(causes, strict=strict), causes)
            print(replayed, flush=True)
            return replayed

        pool = concurrent.futures.ThreadPoolExecutor(workers)
        try:
            started = [pool.submit(one_cell, *one) for one in ready]
            found += [future.result() for future in started]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            engines.sweep(client, run=run.id)  # a cell ends with its machine
            raise
        pool.shutdown()
    return found


def run(asked: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    place, report = session.load(asked.report)
    told = report.model_dump(mode="json", by_alias=True)
    if asked.all == bool(asked.cell):
        known = ", ".join(cell["id"] for cell in told["cells"])
        raise WrongUse(f"replay: name a cell, or --all; there are: {known}")
    if asked.workers < 1:
        raise WrongUse("replay: -n must be 1 or more")
    recorded = [cell.model_dump(mode="json") for cell in session.chosen(report, asked.cell)]
    other = report.inputs.subject if report.inputs else report.selection.subject
    if other != load_subject().name:
        raise WrongUse(
            f"replay: the report is of {other}, whose description is not in it; run "
            "./e2e gate --subject again"
        )
    replayed, differs = again(
        told,
        recorded,
        place / "replay",
        provision=not asked.no_provision,
        workers=asked.workers,
    )
    for one in replayed:
        if one.reason:
            print(one)
    for line in differs:
        print(f"differs: {line}")
    if differs:
        print("The verdicts are of what differs as well: they are no proof about the recorded run.")
    same = sum(one.same for one in replayed)
    print(f"{same} of {len(replayed)} cells have the verdict that was recorded")
    return exit_code(replayed)
