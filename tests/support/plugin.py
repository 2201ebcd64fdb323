"""The pytest side of a run: the controlling process owns what is shared, the report is the end."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.expression import Expression
from xdist.workermanage import WorkerController

from containers import progress
from containers.errors import BuildFailed, ExitCode, TestbedFailure, WrongUse
from containers.state import held_if_free
from tests.support import agreement, folders, gate, verdict
from tests.support import selection as selections
from tests.support.causes import Cause, catalogue, in_order
from tests.support.cell import Cell, cells
from tests.support.inspection import SetInspection
from tests.support.pipeline.verification import Piped, of_publisher
from tests.support.report import forms, results, terminal
from tests.support.reproduction import inputs
from tests.support.reproduction import kept as reproduction
from tests.support.scenarios import SCENARIOS
from tests.support.subject import Subject, SubjectError
from tests.support.subject import load as load_subject
from tests.support.tally import Tally, parameter
from tests.support.verdict import CellResult, Item, Verdict

_KEY = "quiverdb_e2e"


class Suite:
    """One process's view of a run. ``prepared`` is None until the testbed stands."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.subject: Subject = _subject(config.getoption("subject"))
        self.report = _folder(config.getoption("report")) or config.rootpath / "report"
        self.selection = selections.select(
            root=config.rootpath,
            source=_folder(config.getoption("source")),
            wheels=_folder(config.getoption("wheels")),
            release=config.getoption("release"),
            profile=config.getoption("profile"),
            history=config.getoption("history"),
            tests=_folder(config.getoption("tests")),
            names=config.getoption("machine"),
            keyword=config.getoption("keyword"),
            left_out=config.getoption("deselect") or (),
            strict=_strict(config),
            provision=not config.getoption("no_provision"),
            pipeline=not config.getoption("no_pipeline"),
            actions_from=_folder(config.getoption("actions_from")),
            subject=self.subject.name if config.getoption("subject") else "",
        )
        if config.getoption("tests") and not any(cell.place.tests for cell in self.cells):
            told = "no cell of this profile and these machines runs the package's own tests"
            raise WrongUse(f"--tests: {told}; leave it out or choose others")
        _check_keyword(config.getoption("keyword"))
        _try_to_write(self.report)
        self.prepared: gate.Prepared | None = None
        self._static: SetInspection | None = None

    @property
    def cells(self) -> list[Cell]:
        """The cells of the selected machines."""
        found = cells(self.selection.machines, self.selection.profile)
        return [cell for cell in found if self.selection.tests or not cell.place.tests]

    @property
    def left_out(self) -> list[Cell]:
        """The cells that would run the package's own tests, where there are none to run."""
        found = cells(self.selection.machines, self.selection.profile)
        return [cell for cell in found if cell.place.tests and not self.selection.tests]

    def missing(self, cell: Cell) -> str:
        """Return why this cell cannot run in this run; empty if it can."""
        prepared = self.prepared
        if prepared is None:
            return ""
        if reason := prepared.unavailable.get(cell.machine.name):
            return reason
        if self.selection.subject and is_quiverdbs(cell.scenario):
            return "the scenario uses the package in a way of quiverdb's own"
        if prepared.no_history and cell.machine.refuses and not cell.place.pinned:
            return f"what it falls back to was not seen: {prepared.no_history}"
        if not cell.place.needs_previous or prepared.wheelhouse.previous:
            return ""
        why = prepared.no_history or f"--history {self.selection.history}"
        return f"there is no earlier release on the index ({why})"

    @property
    def piped(self) -> Piped | None:
        """What the release workflow showed, if it ran to an end."""
        told = self.prepared.pipeline if self.prepared else None
        return gate.piped(told) if told and "evidence" in told else None

    @property
    def no_pipeline(self) -> str:
        """Return why there is nothing of the release workflow to judge."""
        if not self.selection.pipeline:
            return f"out of scope: {self.selection.no_pipeline}"
        told = self.prepared.pipeline if self.prepared else None
        failed = (told or {}).get("testbed", {"name": "the release workflow was not run"})
        return f"unverified: {failed['name']}"

    @property
    def static(self) -> SetInspection:
        """What the static layer says of the wheels for the selected machines."""
        assert self.prepared is not None
        if self._static is None:
            self._static = gate.static(self.prepared, self.subject, self.selection.systems)
        return self._static

    def keep(self, cell: Cell, evidence: dict[str, Any], causes: tuple[Cause, ...]) -> CellResult:
        """Write down the evidence and the verdict of a cell that ran; return the verdict."""
        assert self.prepared is not None
        judged = verdict.judge(causes, strict=self.selection.strict)
        result = CellResult(
            cell.id,
            cell.machine.name,
            cell.installer,
            cell.scenario,
            judged,
            causes,
            evidence["wall_seconds"],
            wheel=self.prepared.given(evidence),
        )
        results.write_json(self.report / "evidence" / f"{cell.id}.json", evidence)
        results.write_json(self.report / "cells" / f"{cell.id}.json", results.cell_to_dict(result))
        return result


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one cell showed: its evidence, the causes in it and the verdict on it."""

    evidence: dict[str, Any]
    causes: tuple[Cause, ...]
    result: CellResult


class Controller:
    """Prepares the run, hands it to the workers, and writes the report."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.stack = contextlib.ExitStack()
        self.failure: Cause | None = None
        self.unexplained: list[str] = []
        self.broken_tests: list[str] = []
        self.cells_told: list[CellResult] = []
        self.unselected: list[str] = []
        self.inputs: dict[str, Any] = {}
        self.not_kept = ""
        self.began = time.time()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> Iterator[None]:
        """Set everything up before the workers start and before anything is collected.

        pytest ends a session that is interrupted in here without a word to anyone; so the report is
        written here.
        """
        if session.config.option.collectonly:
            return (yield)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            self._set_up()
            return (yield)  # the workers start in here
        except KeyboardInterrupt:
            _no_more_interrupts()
            code = self._write(interrupted=True)
            pytest.exit("interrupted while everything was set up", returncode=code)

    def _set_up(self) -> None:
        mine = hashlib.sha256(os.fsencode(self.suite.report.resolve())).hexdigest()[:16]
        if not self.stack.enter_context(held_if_free(f"report-{mine}")):
            raise pytest.UsageError(
                f"--report {self.suite.report}: another run is writing its report there; "
                "wait for its end or name another folder"
            )
        for name in ("evidence", "cells", "required", "kept", "replay"):
            shutil.rmtree(self.suite.report / name, ignore_errors=True)
        (self.suite.report / "pipeline.json").unlink(missing_ok=True)
        forms.remove(self.suite.report)
        try:
            with progress.group("Set-up: engine, images, wheels and index"):
                self.suite.prepared = gate.prepare(
                    self.suite.selection, self.suite.subject, self.stack
                )
        except WrongUse as error:
            raise pytest.UsageError(str(error)) from None
        except TestbedFailure as error:
            self.failure = catalogue().cause(error.cause, where=error.where, seen=error.seen)
        except BuildFailed as error:
            self.failure = catalogue().cause("build-failed", where=error.where, seen=error.seen)
        if self.suite.prepared:
            self._keep_inputs(self.suite.prepared)
        if self.suite.prepared and self.suite.prepared.pipeline:
            results.write_json(self.suite.report / "pipeline.json", self.suite.prepared.pipeline)
        if self.failure:
            code = self._write()
            pytest.exit(
                f"{self.failure.name}: {self.failure.where}: {self.failure.message}. "
                f"{self.failure.remedy}",
                returncode=code,
            )

    def pytest_report_header(self) -> list[str]:
        """Say what is verified, with what."""
        prepared = self.suite.prepared
        if prepared is None:
            return []
        engine = prepared.testbed.engine
        lines = [f"engine: {engine.version} at {engine.url} ({engine.origin})"]
        lines += [
            f"image: {image.tag} {image.id[:19]} of {image.created[:19]}"
            for image in (*prepared.infrastructure, *prepared.machines.values())
        ]
        lines += [
            f"wheel: {name} sha256 {digest[:16]}"
            for name, digest in prepared.wheelhouse.digests().items()
        ]
        versions = " ".join(f"{k} {v}" for k, v in sorted(prepared.wheelhouse.locked().items()))
        return [*lines, f"locked: {versions}"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand a worker what was prepared."""
        node.workerinput[f"{_KEY}_strict"] = self.suite.selection.strict
        if self.suite.prepared:
            node.workerinput[_KEY] = json.dumps(self.suite.prepared.to_dict())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember each test that failed: its cause must be found, or it is unclassified."""
        if report.failed:
            found = self.unexplained if report.when == "call" else self.broken_tests
            found.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report; the exit code of the run is that of its verdict."""
        if self.suite.prepared is None or session.config.option.collectonly:
            return
        wrong = exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR)
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        _no_more_interrupts()
        code = self._write(interrupted=interrupted or wrong)
        session.exitstatus = ExitCode.WRONG_USE if exitstatus == 4 else code

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the verdict."""
        if getattr(self, "text", None):
            terminalreporter.write_line("")
            terminalreporter.write(self.text)

    def pytest_unconfigure(self) -> None:
        """Remove everything that was started."""
        self.stack.close()

    def _keep_inputs(self, prepared: gate.Prepared) -> None:
        try:
            self.inputs = inputs.keep(prepared.wheelhouse, self.suite.subject.name)
        except OSError as error:
            self.not_kept = f"no cell can be replayed: the files are not kept: {error}"

    # ---- the report ----

    def _write(self, *, interrupted: bool = False) -> ExitCode:
        cells = self._cells(interrupted=interrupted)
        self.cells_told = cells
        items = self._items(cells)
        parts = [item.verdict for item in items]
        total = verdict.worst([*parts, Verdict.UNVERIFIED] if interrupted else parts)
        details = self._details(interrupted=interrupted)
        unwritten = forms.write(
            self.suite.report,
            verdict=total,
            items=items,
            cells=cells,
            details=details,
            junit_file=Path(self.suite.config.option.xmlpath),
        )
        self.text = terminal.render(
            total,
            items,
            cells,
            self._notes(),
            [*self._remarks(), *unwritten],
            width=110,
            colour=_colour(self.suite.config),
        )
        return verdict.EXIT_CODES[total]

    def _required(self) -> set[str]:
        """Return the cells that were collected, whatever pytest was told; none before that."""
        return results.required(self.suite.report)

    def _narrowed(self) -> list[str]:
        """Return what narrows the verdict: the options for it, and what else left cells out."""
        told = list(self.suite.selection.narrowed)
        required, every = self._required(), {cell.id for cell in self.suite.cells}
        if required and (some := every & required) != every:
            told.append(f"{len(some)} of {len(every)} cells")
        return told

    def _cells(self, *, interrupted: bool) -> list[CellResult]:
        folder, required = self.suite.report, self._required()
        found = []
        for cell in self.suite.cells:
            path = folder / "cells" / f"{cell.id}.json"
            if path.exists():
                found.append(results.cell_from_dict(json.loads(path.read_text("utf-8"))))
            elif cell.id in required or not required:
                found.append(self._not_run(cell, interrupted=interrupted))
        return found

    def _not_run(self, cell: Cell, *, interrupted: bool) -> CellResult:
        prepared = self.suite.prepared
        name = cell.machine.name
        reason = f"{cell.id}: it was required and did not run"
        if self.failure:
            reason = f"{cell.id}: not run: {self.failure.name}"
        elif interrupted:
            reason = f"{cell.id}: the run was interrupted before it"
        elif missing := self.suite.missing(cell):
            reason = f"{name if prepared and name in prepared.unavailable else cell.id}: {missing}"
        return CellResult(
            cell.id, name, cell.installer, cell.scenario, Verdict.UNVERIFIED, (), 0.0, reason
        )

    def _items(self, cells: list[CellResult]) -> list[Item]:
        self.unselected = []
        strict = self.suite.selection.strict
        found: list[Item] = []
        own: list[Cause] = [self.failure] if self.failure else []
        found += self._pipeline_items(own)
        refused = self._refused(cells)
        if self.suite.selection.source:
            built = [cause for cause in own if cause.name == "build-failed"]
            judged = verdict.judge(built, strict=strict)
            if self.suite.prepared is None and not built:
                judged = Verdict.UNVERIFIED
            title = "bindings/python builds into wheels"
            found.append(Item("source-build", title, judged, tuple(built)))
        for system in self.suite.selection.systems:
            mine = {spec.name for spec in self.suite.selection.machines if spec.os == system}
            causes, unread = [*own, *refused], []
            judged_here = [cell for cell in cells if cell.machine in mine]
            if self.suite.prepared:
                static = gate.static(self.suite.prepared, self.suite.subject, (system,))
                causes += static.causes
                unread = [line for wheel in static.wheels for line in wheel.unread]
                comparable = {c.id for c in self.suite.cells if agreement.is_comparable(c)}
                causes += agreement.checked(
                    static, [cell for cell in judged_here if cell.id in comparable]
                )
            causes += self._unexplained(cells, judged_here)
            name = self.suite.subject.name
            title = f"pip install {name} works on a clean {system.capitalize()} machine"
            item = verdict.item(
                f"{system}-install", title, causes=causes, cells=judged_here, strict=strict
            )
            if unread and item.verdict is Verdict.VERIFIED:
                # What could not be read was not checked against what the tag promises.
                item = dataclasses.replace(
                    item, verdict=Verdict.UNVERIFIED, reason="; ".join(unread)
                )
            if not judged_here and item.verdict is Verdict.VERIFIED:
                self.unselected.append(item.id)  # no machine has shown anything of it
                continue
            found.append(item)
        return found

    def _refused(self, cells: list[CellResult]) -> list[Cause]:
        """Return a cause for a refused upload that no cell came upon: its files were others'."""
        prepared = self.suite.prepared
        seen = prepared.refused() if prepared else ""
        if not seen or any(c.name == "upload-refused" for cell in cells for c in cell.causes):
            return []
        return [catalogue().cause("upload-refused", where="publisher", seen=seen)]

    def _pipeline_items(self, own: list[Cause]) -> list[Item]:
        """Return the items of the release workflow and of the publisher that it presents."""
        if not self.suite.selection.pipeline:
            return []
        strict = self.suite.selection.strict
        prepared, piped = self.suite.prepared, self.suite.piped
        causes, reason = list(own), ""
        if prepared is None or prepared.pipeline is None:
            reason = "the release workflow was not run"
        elif failed := prepared.pipeline.get("testbed"):
            causes.append(
                catalogue().cause(failed["name"], where=failed["where"], seen=failed["seen"])
            )
        elif piped:
            causes += piped.causes
        exchanged = piped is not None and bool(piped.publisher()["proved"])
        found = []
        for ident, title, mine in (
            ("pipeline", "A pushed version tag builds, validates, releases and publishes", causes),
            (
                "publisher",
                "The registered trusted publisher fits the workflow",
                [*own, *of_publisher(causes)],
            ),
        ):
            judged = verdict.judge(mine, strict=strict)
            if judged is Verdict.VERIFIED and (reason or not exchanged):
                judged = Verdict.UNVERIFIED
                reason = reason or "the workflow did not get to the exchange of its identity"
            kept = tuple(c for c in in_order(mine) if c.severity != "note")
            told = reason if judged is Verdict.UNVERIFIED else ""
            found.append(Item(ident, title, judged, kept, told))
        return found

    def _unexplained(self, cells: list[CellResult], here: list[CellResult]) -> list[Cause]:
        """Return a cause for each test that failed where no cause explains why.

        A test of a cell is explained by that cell alone, and told of where the cell is ``here``;
        any other by whatever is known to have failed.
        """
        found = [
            catalogue().cause("testbed-defect", where=name, seen="the suite's own code failed")
            for name in self.broken_tests
        ]
        strict = self.suite.selection.strict
        anything = [cause for cell in cells for cause in cell.causes]
        anything += self.suite.static.causes if self.suite.prepared else ()
        anything += self.suite.piped.causes if self.suite.piped else ()
        causes = {cell.id: list(cell.causes) for cell in cells}
        for name in self.unexplained:
            ident = parameter(name)
            elsewhere = ident in causes and ident not in {cell.id for cell in here}
            judged = verdict.judge(causes.get(ident, anything), strict=strict)
            if judged is Verdict.VERIFIED and not elsewhere:
                seen = "failed, and no cause was found"
                found.append(catalogue().cause("unclassified", where=name, seen=seen))
        return found

    def _details(self, *, interrupted: bool) -> dict[str, Any]:
        prepared = self.suite.prepared
        details: dict[str, Any] = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "seconds": round(time.time() - self.began, 1),
            "selection": self.suite.selection.to_dict() | {"narrowed": self._narrowed()},
            "interrupted": interrupted,
            "out_of_scope": self._out_of_scope(),
        }
        if prepared:
            details["wheels"] = prepared.wheelhouse.digests()
            details["version"] = prepared.wheelhouse.version
            details["locked"] = prepared.wheelhouse.locked()
            details["notes"] = [cause.to_dict() for cause in self._notes()]
            details["static"] = self.suite.static.to_dict()
            details["not_inspected"] = self._not_inspected()
            details["not_installed"] = self._not_installed()
            details["egress"] = prepared.testbed.egress
            if piped := self.suite.piped:
                details["pipeline"] = piped.to_dict(strict=self.suite.selection.strict)
                details["publisher"] = piped.publisher()
            details["earlier"] = [path.name for path in prepared.wheelhouse.earlier]
            details["no_history"] = prepared.no_history
            details["images"] = gate.images_of(prepared)
            engine = prepared.testbed.engine
            details["engine"] = {"version": engine.version, "os": engine.os}
            if self.inputs:
                details["inputs"] = self.inputs
            if kept := reproduction.told(self.suite.report):
                details["kept"] = kept
        return details

    def _not_inspected(self) -> list[str]:
        """Return the wheels of the release that are for none of the selected machines."""
        if self.suite.prepared is None:
            return []
        inspected = {wheel.file for wheel in self.suite.static.wheels}
        return sorted(set(self.suite.prepared.wheelhouse.digests()) - inspected)

    def _not_installed(self) -> list[str]:
        """Return the wheels that were inspected, and that no machine of this run was given."""
        if self.suite.prepared is None:
            return []
        given = {cell.wheel for cell in self.cells_told}
        return sorted({wheel.file for wheel in self.suite.static.wheels} - given)

    def _out_of_scope(self) -> list[dict[str, str]]:
        selection = self.suite.selection
        found = []
        if not selection.source:
            reason = "the wheels came from elsewhere: their source was not given"
            found.append({"id": "source-build", "reason": reason})
        if not selection.pipeline:
            found += [
                {"id": name, "reason": selection.no_pipeline} for name in ("pipeline", "publisher")
            ]
        if self.suite.prepared:
            reason = "not verified, since only wheels are"
            beside = self.suite.prepared.wheelhouse.beside
            found += [{"id": path.name, "reason": reason} for path in beside]
        for spec in selection.left_to_others:
            reason = f"only in the profile {' or '.join(spec.profiles)}"
            found.append({"id": spec.name, "reason": reason})
        reason = "none of its cells was selected"
        found += [{"id": name, "reason": reason} for name in self.unselected]
        reason = selection.no_tests
        return found + [{"id": cell.id, "reason": reason} for cell in self.suite.left_out]

    def _notes(self) -> list[Cause]:
        if self.suite.prepared is None:
            return []
        own = [cause for cause in self.suite.static.causes if cause.severity == "note"]
        return [*own, *agreement.cured(self.suite.selection.machines, self.cells_told)]

    def _remarks(self) -> list[str]:
        notes = [f"report: {self.suite.report}"]
        if told := ", ".join(self._narrowed()):
            notes.append(f"The verdict is narrowed to what was selected: {told}")
        if self.suite.prepared and self.suite.prepared.no_history:
            told = self.suite.prepared.no_history
            notes.append(f"not verified with the earlier releases on the index: {told}")
        notes += [self.not_kept] if self.not_kept else []
        notes += reproduction.remarks(reproduction.told(self.suite.report))
        if strange := self._not_inspected():
            notes.append(f"not verified, for none of these machines: {', '.join(strange)}")
        if alone := self._not_installed():
            notes.append(f"inspected, and installed on no machine: {', '.join(alone)}")
        out: dict[str, list[str]] = {}
        for one in self._out_of_scope():
            out.setdefault(one["reason"], []).append(one["id"])
        notes += [f"out of scope: {', '.join(names)}: {reason}" for reason, names in out.items()]
        timed = [(step.subject, step.seconds) for step in progress.PROGRESS.ended]
        return [*notes, *([f"slowest: {told}"] if (told := progress.slowest(timed)) else [])]


class Worker:
    """Runs cells with what the controlling process prepared."""

    def __init__(self, suite: Suite, told: str) -> None:
        suite.prepared = gate.Prepared.from_dict(json.loads(told))
        self.suite = suite


class Required:
    """Writes down which cells this process was asked for, after all selection."""

    def __init__(self, suite: Suite, name: str) -> None:
        self.suite = suite
        self.name = name

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell which cells the collected tests need."""
        calls = [getattr(item, "callspec", None) for item in session.items]
        params = [call.params for call in calls if call is not None]
        wanted = {told["cell"].id for told in params if "cell" in told}
        results.write_json(self.suite.report / "required" / f"{self.name}.json", sorted(wanted))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _no_more_interrupts() -> None:
    """Let the report be written whole, and what was started be removed: both take seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _folder(option: str | None) -> Path | None:
    """Return the folder of an option; a relative one counts from where the user typed it."""
    if option is None:
        return None
    if not option:
        raise WrongUse("an option for a folder is empty; name the folder or leave the option out")
    return folders.typed(option)


def is_quiverdbs(name: str) -> bool:
    """Return whether a scenario uses the package beyond the exercise, as only quiverdb can be."""
    scenario = SCENARIOS[name]
    return bool(scenario.uses or scenario.first or scenario.name == "decoy")


def _subject(option: str | None) -> Subject:
    """Return the package under test.

    Raises:
        WrongUse: its description cannot be used.
    """
    path = _folder(option)
    try:
        return load_subject(path) if path else load_subject()
    except SubjectError as error:
        raise WrongUse(f"--subject: {error}") from None


def _check_keyword(told: str) -> None:
    """Find out now whether -k can be read: the workers would find out after all set-up.

    Raises:
        WrongUse: it cannot.
    """
    try:
        Expression.compile(told) if told else None
    except SyntaxError as error:
        raise WrongUse(f"-k {told}: {error.msg}") from None


def _try_to_write(folder: Path) -> None:
    """Find out now, not after ten minutes, whether a report can be written.

    Raises:
        WrongUse: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        reason = error.strerror or str(error)
        raise WrongUse(
            f"--report {folder}: it cannot be written to ({reason}); name another folder"
        ) from None


def _strict(config: pytest.Config) -> bool:
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        return bool(worker[f"{_KEY}_strict"])
    return bool(config.getini("strict"))  # pytest's own --strict sets this


def _colour(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return bool(reporter and reporter.hasmarkup)


SUITE = pytest.StashKey[Suite]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the choices; take the controller's part, or a worker's."""
    if config.getoption("profile") is None:
        return
    try:
        suite = Suite(config)
    except WrongUse as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SUITE] = suite
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        if _KEY in worker:
            config.pluginmanager.register(Worker(suite, worker[_KEY]), "e2e-worker")
    else:
        config.pluginmanager.register(Controller(suite), "e2e-controller")
        workers = len(getattr(config.option, "tx", None) or ())
        config.pluginmanager.register(Tally(suite.report, workers), "e2e-tally")
        if not config.option.xmlpath:
            config.option.xmlpath = str(suite.report / "junit.xml")
    name = worker["workerid"] if worker is not None else "main"
    config.pluginmanager.register(Required(suite, name), "e2e-required")


def workers() -> int:
    """Return half as many workers again as there are processors: each waits now and then."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_xdist_auto_num_workers() -> int | None:
    """Return what ``-n auto`` stands for, where the environment does not say it."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else workers()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell of the selected machines."""
    if "cell" in metafunc.fixturenames and SUITE in metafunc.config.stash:
        # Where the installer must refuse there is nothing to use: other tests judge these cells.
        marked = {mark.name for mark in metafunc.definition.iter_markers()}
        found = [
            cell
            for cell in metafunc.config.stash[SUITE].cells
            if bool(cell.refuses) == ("refusal" in marked)
            if cell.place.tests or "own_tests" not in marked
        ]
        # What takes long goes first: at the end no worker is left alone with it.
        found.sort(key=lambda cell: (cell.machine.runs_on != "wine", "pip" not in cell.installer))
        metafunc.parametrize(
            "cell",
            [pytest.param(c, id=c.id, marks=pytest.mark.xdist_group(c.id)) for c in found],
            scope="session",
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests of cells where no cell is of their kind: they would test nothing."""
    if SUITE not in config.stash:
        return
    empty = [
        item
        for item in items
        if (call := getattr(item, "callspec", None))
        and not isinstance(call.params.get("cell", None), Cell)
        and "cell" in call.params
    ]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]
