"""What a run has shown: the verdict on each item, and whatever else its report tells."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from containers import progress
from verification import verdict
from verification.commands.gate_progress import parameter
from verification.models.base import DataError
from verification.models.cause import Cause, in_order
from verification.models.cell import Cell
from verification.models.evidence import read_evidence
from verification.models.inspection import ReleaseInspection
from verification.models.report import (
    EngineRecord,
    ImageRecord,
    KeptMachine,
    MachineRecord,
    OutOfScope,
    PipelinePart,
    PublisherPart,
    ReplayInputs,
    Report,
    RunSelection,
)
from verification.models.results import CellResult as CellRecord
from verification.models.results import ItemResult
from verification.models.verdict import Outcome
from verification.pipeline.result import Piped, of_publisher
from verification.report import limits, summary
from verification.rules import agreement
from verification.rules.catalogue import catalogue
from verification.scenarios import machines
from verification.session import kept_machines as reproduction
from verification.session import prepare as gate
from verification.session.selection import Selection
from verification.session.suite import Suite, cell_from_dict, required
from verification.verdict import CellResult, Item, Verdict


class Account:
    """What went on in a run, as its controlling process keeps it, and what follows from it."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.failure: Cause | None = None
        """Why the set-up failed; None if it did not."""
        self.unexplained: list[str] = []
        """The tests that failed."""
        self.broken_tests: list[str] = []
        """The tests whose own code failed."""
        self.inputs: dict[str, Any] = {}
        """The files by which cells can be replayed."""
        self.not_kept = ""
        """Why there are none of these."""
        self.began = time.time()
        self.cells: list[CellResult] = []
        self.items: list[Item] = []
        self.unselected: list[str] = []
        """The items that no cell has shown anything of."""

    def judge(self, *, interrupted: bool) -> Verdict:
        """Judge the cells and the items by what there is now; return the verdict on the whole."""
        self.cells = self._cells(interrupted=interrupted)
        self.items = self._explained(self._items(self.cells))
        parts = [item.verdict for item in self.items]
        return verdict.worst([*parts, Verdict.UNVERIFIED] if interrupted else parts)

    def _explained(self, items: list[Item]) -> list[Item]:
        """Return the items; where a test failed and all are well, with what nobody explained."""
        if not self.unexplained or any(item.verdict is not Verdict.VERIFIED for item in items):
            return items
        seen = "failed, and every item is verified"
        causes = tuple(
            catalogue().cause("unclassified", where=name, seen=seen) for name in self.unexplained
        )
        return [dataclasses.replace(item, verdict=Verdict.FAILED, causes=causes) for item in items]

    def _required(self) -> set[str]:
        """Return the cells that were collected, whatever pytest was told; none before that."""
        return required(self.suite.report)

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
                found.append(cell_from_dict(json.loads(path.read_text("utf-8"))))
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
            cell.id,
            name,
            cell.installer.name,
            cell.scenario.name,
            Verdict.UNVERIFIED,
            (),
            0.0,
            reason,
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
        statics = {
            system: gate.static(self.suite.prepared, self.suite.subject, (system,))
            for system in self.suite.selection.systems
            if self.suite.prepared
        }
        across = self._across(statics.values())
        for system in self.suite.selection.systems:
            mine = {spec.name for spec in self.suite.selection.machines if spec.os == system}
            causes, unread = [*own, *refused, *across], []
            judged_here = [cell for cell in cells if cell.machine in mine]
            if self.suite.prepared:
                static = statics[system]
                causes += static.all_causes
                unread = [line for wheel in static.wheels for line in wheel.unread]
                unread += self._not_run_on(static, judged_here)
                unread += gate.lost(self.suite.prepared, self.suite.subject, system)
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
                # What was not read, or not run, was not checked against what the tag promises.
                item = dataclasses.replace(
                    item, verdict=Verdict.UNVERIFIED, reason="; ".join(unread)
                )
            if not judged_here and item.verdict is Verdict.VERIFIED:
                self.unselected.append(item.id)  # no machine has shown anything of it
                continue
            found.append(item)
        return found

    def _across(self, statics: Iterable[ReleaseInspection]) -> list[Cause]:
        """Return the causes that only the wheels of all systems together show."""
        if self.suite.prepared is None:
            return []
        told = {cause for static in statics for cause in static.causes}
        return [cause for cause in self.suite.static.causes if cause not in told]

    def _not_run_on(self, static: ReleaseInspection, cells: list[CellResult]) -> list[str]:
        """Return why what was promised was not seen to work: no machine was given its wheel.

        That is so where another wheel of the release fits every machine better.
        """
        refusing = {cell.id for cell in self.suite.cells if cell.refusal}
        given = {cell.wheel for cell in cells if cell.id not in refusing and cell.wheel}
        promised = {wheel.file for wheel in static.wheels if not wheel.additional}
        if not given or not promised or given & promised:
            return []
        return [f"no machine was given what is promised: {', '.join(sorted(promised))}"]

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
        anything += self.suite.static.all_causes if self.suite.prepared else ()
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

    def report(self, total: Verdict, *, interrupted: bool) -> Report:
        """Return the report of the run."""
        suite, prepared = self.suite, self.suite.prepared
        cells = {cell.id: cell for cell in suite.cells}
        report = Report(
            verdict=total,
            items=tuple(map(item_result, self.items)),
            cells=tuple(
                cell_result(cell, cells[cell.id], suite.report / "evidence" / f"{cell.id}.json")
                for cell in self.cells
            ),
            started=moment(self.began),
            seconds=round(time.time() - self.began, 1),
            selection=run_selection(suite.selection, suite.subject.name, self._narrowed()),
            interrupted=interrupted,
            out_of_scope=tuple(OutOfScope.model_validate(one) for one in self._out_of_scope()),
            machines=machine_records(),
            stand_ins=limits.stand_ins(),
            inputs=ReplayInputs.model_validate(self.inputs) if self.inputs else None,
            kept=tuple(KeptMachine.model_validate(one) for one in reproduction.told(suite.report)),
        )
        if prepared is None:
            return report
        piped = suite.piped
        return report.model_copy(
            update={
                **prepared_part(prepared),
                "notes": tuple(self.notes()),
                "static": suite.static,
                "not_inspected": tuple(self._not_inspected()),
                "not_installed": tuple(self._not_installed()),
                "pipeline": pipeline_part(piped, strict=suite.selection.strict) if piped else None,
                "publisher": publisher_part(piped) if piped else None,
            }
        )

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
        given = {cell.wheel for cell in self.cells}
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
            beside = self.suite.prepared.wheelhouse.additional
            found += [{"id": path.name, "reason": reason} for path in beside]
        for spec in selection.left_to_others:
            reason = f"only in the profile {' or '.join(spec.profiles)}"
            found.append({"id": spec.name, "reason": reason})
        reason = "none of its cells was selected"
        found += [{"id": name, "reason": reason} for name in self.unselected]
        reason = selection.no_tests
        return found + [{"id": cell.id, "reason": reason} for cell in self.suite.left_out]

    def notes(self) -> list[Cause]:
        """Return the causes that weigh nothing, and are worth knowing."""
        if self.suite.prepared is None:
            return []
        own = [cause for cause in self.suite.static.all_causes if cause.severity == "note"]
        return [*own, *agreement.cured(self.suite.selection.machines, self.cells)]

    def remarks(self) -> list[str]:
        """Return the lines below the causes: where the report is, and what is not in it."""
        notes = [f"report: {self.suite.report}"]
        if told := ", ".join(self._narrowed()):
            notes.append(f"The verdict is narrowed to what was selected: {told}")
        if self.suite.prepared and self.suite.prepared.no_history:
            told = self.suite.prepared.no_history
            notes.append(f"not verified with the earlier releases on the index: {told}")
        if self.suite.prepared:
            lost = self.suite.prepared.wheelhouse.not_fetched
            notes += [f"not verified: {name}: {why}" for name, why in lost.items()]
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


# ---- the report's models, from the values that a run has today ----


def moment(seconds: float) -> str:
    """Return a time, in seconds since 1970, as the report has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def item_result(item: Item) -> ItemResult:
    """Return an item as the report has it."""
    return ItemResult(
        id=item.id,
        title=item.title,
        verdict=item.verdict,
        causes=item.causes,
        reason=item.reason,
    )


def cell_result(result: CellResult, cell: Cell, evidence: Path) -> CellRecord:
    """Return a cell as the report has it; ``evidence`` is its file, if it ran."""
    try:
        found = read_evidence(evidence)
    except DataError:
        found = None
    installed = bool(found and found.install and found.install.code == 0)
    return CellRecord(
        id=result.id,
        machine=result.machine,
        installer=result.installer,
        scenario=result.scenario,
        expectation=cell.expectation,
        outcome=_outcome(result, refused=bool(cell.refusal) and not installed),
        verdict=result.verdict,
        causes=result.causes,
        seconds=result.seconds,
        reason=result.reason,
        wheel=result.wheel,
        summary=summary.summary(found) if found else None,
    )


def _outcome(result: CellResult, *, refused: bool) -> Outcome:
    severities = {cause.severity for cause in result.causes}
    if result.verdict is Verdict.UNVERIFIED:
        return Outcome.UNVERIFIED
    if result.verdict is Verdict.TESTBED:
        return Outcome.TESTBED
    if "broken" in severities:
        return Outcome.FAILS
    if refused:
        return Outcome.REFUSED
    if not result.wheel:
        return Outcome.FALLS_BACK
    return Outcome.WORKS_FLAWED if "flawed" in severities else Outcome.WORKS


def run_selection(selection: Selection, subject: str, narrowed: Iterable[str]) -> RunSelection:
    """Return what a run was asked for, as the report has it."""
    values = selection.to_dict() | {"subject": subject, "narrowed": list(narrowed)}
    return RunSelection.model_validate(values)


def machine_records() -> dict[str, MachineRecord]:
    """Return the machines as the report has them, by name."""
    fields = set(MachineRecord.model_fields)
    return {
        name: MachineRecord.model_validate(spec.model_dump(include=fields))
        for name, spec in machines.load().items()
    }


def prepared_part(prepared: gate.Prepared) -> dict[str, Any]:
    """Return the parts of a report that are known once the testbed is prepared."""
    house, engine = prepared.wheelhouse, prepared.testbed.engine
    return {
        "version": house.version,
        "wheels": house.digests(),
        "locked": house.locked(),
        "earlier": tuple(path.name for path in house.earlier),
        "no_history": prepared.no_history,
        "images": {
            name: ImageRecord.model_validate(image)
            for name, image in gate.images_of(prepared).items()
        },
        "engine": EngineRecord(version=engine.version, os=engine.os),
        "egress": prepared.testbed.egress,
    }


def pipeline_part(piped: Piped, *, strict: bool) -> PipelinePart:
    """Return the run of the release workflow as the report has it."""
    values = piped.to_dict(strict=strict)
    for link in values["links"]:
        link["source"], link["target"] = link.pop("from"), link.pop("to")
    for release in values["releases"]:
        release["assets"] = [
            {key: asset[key] for key in ("name", "size", "sha256")} for asset in release["assets"]
        ]
    values["actions"] = [
        {key: action[key] for key in action if key != "folder"} for action in values["actions"]
    ]
    return PipelinePart.model_validate(values)


def publisher_part(piped: Piped) -> PublisherPart:
    """Return the trusted publisher as the report has it."""
    values = piped.publisher()
    return PublisherPart.model_validate(values | {"live": values["live"] or None})
