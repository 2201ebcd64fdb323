"""Merge the reports of the shards of one run into one report, with one verdict.

The verdict is computed again from the results of all shards. A merge detects a report that was
edited or damaged, but it does not prove who wrote a report.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from verification.models.base import DataError, read_json
from verification.models.cause import Cause
from verification.models.errors import WrongUse
from verification.models.release import file_sha256
from verification.models.report import OutOfScope, Report
from verification.models.results import CellResult
from verification.models.run import RunResult, RunVerdict, ShardRecord
from verification.report import results_json
from verification.rules import agreement
from verification.scenarios import machines
from verification.session.basis import basis
from verification.session.file_results import with_cells
from verification.session.gate_run import CONTENTS, PIPELINE, SHARD
from verification.session.reporting import (
    NO_CELL,
    NO_TESTS_CELL,
    OTHER_SHARD,
    as_reported,
    span_of,
    timestamp,
)
from verification.session.session import EVIDENCE
from verification.verdict import judge

_MAX_PACKAGES = 5
"""The number of differing packages that a message names."""
_Compared = Callable[["ShardReport"], object]


class ShardReport(NamedTuple):
    """The report of one shard."""

    folder: Path
    report: Report
    record: ShardRecord
    judged: RunVerdict
    """The verdict, computed again from the record."""

    @property
    def number(self) -> int:
        """The number of the shard."""
        return self.record.shard.number


def read(folder: Path) -> ShardReport:
    """Read the report of a shard, and check that nobody changed it.

    Raises:
        WrongUse: the folder has no report of a shard, or a part of it is missing or was changed.
    """
    path = folder / results_json.NAME
    try:
        report = results_json.read(path)
    except DataError as error:
        raise WrongUse(f"merge: {folder}: not the report of a run: {error}") from None
    if report.selection.shard is None:
        raise WrongUse(f"merge: {folder}: not the report of a shard; run the gate with --shard")
    if not report.finished:
        raise WrongUse(
            f"merge: {folder}: shard {report.selection.shard} did not finish; run it again"
        )
    try:
        record = read_json(ShardRecord, folder / SHARD)
    except DataError as error:
        raise WrongUse(f"merge: {folder}: {error}; run the shard again") from None
    judged = judge(record.run)
    is_same = str(record.shard) == report.selection.shard and (
        tuple(map(as_reported, judged.items)) == report.items
        and tuple(map(as_reported, judged.cells)) == report.cells
        and tuple(map(as_reported, judged.platforms)) == report.platforms
    )
    if record.results != file_sha256(path) or not is_same or judged.verdict is not report.verdict:
        raise WrongUse(
            f"merge: {folder}: its report was changed after the run; run the shard again"
        )
    for cell in report.cells:
        _check_evidence(folder, cell)
    return ShardReport(folder, report, record, judged)


def _check_evidence(folder: Path, cell: CellResult) -> None:
    if not cell.evidence:
        return
    path = folder / EVIDENCE / f"{cell.evidence}.json"
    if not path.is_file() or file_sha256(path) != cell.evidence:
        raise WrongUse(
            f"merge: {folder}: the evidence of {cell.id} is missing or was changed; run the shard "
            "again"
        )


def merge(folders: Sequence[Path]) -> tuple[Report, tuple[ShardReport, ...]]:
    """Return the report of the whole run, and the reports of its shards.

    Raises:
        WrongUse: a report cannot be used, a shard is missing or given twice, or the shards are of
            different runs.
    """
    shards = sorted(map(read, folders), key=lambda shard: shard.number)
    _check_numbers(shards)
    prepared = [shard for shard in shards if shard.record.run.prepared] or shards
    _check_same(prepared)
    first = prepared[0]
    run = _merged_run(first, shards)
    judged = judge(run)
    return _merged_report(first, shards, judged), tuple(shards)


# ---- the checks ----


def _check_numbers(shards: Sequence[ShardReport]) -> None:
    """Check that the reports are those of all shards of a run.

    Raises:
        WrongUse: one is missing or double, or the runs have another number of shards.
    """
    total = shards[0].record.shard.total
    by_number: dict[int, ShardReport] = {}
    for shard in shards:
        if shard.record.shard.total != total:
            raise WrongUse(
                f"merge: {shard.folder}: shard {shard.record.shard} is of another run than shard "
                f"{shards[0].record.shard}"
            )
        if other := by_number.get(shard.number):
            raise WrongUse(
                f"merge: {other.folder} and {shard.folder} are both shard {shard.record.shard}; "
                "name one of them"
            )
        by_number[shard.number] = shard
    if missing := sorted(set(range(1, total + 1)) - by_number.keys()):
        names = ", ".join(f"{number}/{total}" for number in missing)
        raise WrongUse(f"merge: the report of shard {names} is missing; name all {total} reports")


def _options(shard: ShardReport) -> object:
    """Return the options that all shards must have. The wheels themselves are compared instead."""
    selection = shard.report.selection
    narrowed = [text for text in selection.narrowed if not text.startswith("--shard ")]
    differing = {"shard", "narrowed", "pipeline", "wheels", "source"}
    return {**selection.model_dump(exclude=differing), "narrowed": narrowed}


def _suite(shard: ShardReport) -> object:
    report = shard.report
    code = report.inputs.suite if report.inputs else ""
    return {"version": report.suite_version, "commit": report.suite_commit, "code": code}


def _index(shard: ShardReport) -> object:
    inputs = shard.report.inputs
    kinds = {"dependencies", "earlier", "tools", "yanked", "description", "seed"}
    return inputs.model_dump(include=kinds) if inputs else None


def _inspection(shard: ShardReport) -> object:
    run = shard.record.run
    return {
        "systems": run.systems,
        "platforms": run.platforms,
        "release": run.release_causes,
    }


_COMPARED: Mapping[str, _Compared] = {
    "suite": _suite,
    "options": _options,
    "wheels": lambda shard: {"version": shard.report.version, **shard.report.wheels},
    "other files on the index": _index,
    "inspection": _inspection,
    "cells": lambda shard: shard.record.cells,
}
"""What all shards must have in common, with its name for a message."""


def _check_same(shards: Sequence[ShardReport]) -> None:
    """Check that the shards are parts of the same run.

    Raises:
        WrongUse: they differ, or a cell ran in no shard or in two.
    """
    first, *others = shards
    for shard in others:
        for name, compared in _COMPARED.items():
            mine, theirs = compared(first), compared(shard)
            if mine != theirs:
                raise WrongUse(
                    f"merge: {first.folder} and {shard.folder} have different {name}"
                    f"{_difference(mine, theirs)}; run all shards in the same way"
                )
        for image, record in shard.report.images.items():
            mine_image = first.report.images.get(image, record)
            if not mine_image.is_equal(record):
                packages = _differing_packages(image, first, shard)
                versions = f"{mine_image.tag} {mine_image.id[:19]}, {record.tag} {record.id[:19]}"
                raise WrongUse(
                    f"merge: {first.folder} and {shard.folder} have different images {image} "
                    f"({packages or versions}); use images of the same registry"
                )
    _check_cells(shards)


def _differing_packages(image: str, first: ShardReport, second: ShardReport) -> str:
    """Return the packages of two builds of an image that differ, with both versions."""
    mine, theirs = (
        dict(package.split("=", 1) for package in shard.record.packages.get(image, ()))
        for shard in (first, second)
    )
    if not mine or not theirs:
        return ""
    names = [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]
    texts = [f"{name} {mine.get(name, '-')}, {theirs.get(name, '-')}" for name in names]
    more = len(texts) - _MAX_PACKAGES
    return "; ".join([*texts[:_MAX_PACKAGES], *([f"{more} more"] if more > 0 else [])])


def _difference(mine: object, theirs: object) -> str:
    """Return the first key whose values differ, or an empty string."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key) != theirs.get(key):
                return f" ({key}: {mine.get(key)}, {theirs.get(key)})"[:200]
    return ""


def _check_cells(shards: Sequence[ShardReport]) -> None:
    all_cells = [cell.id for cell in shards[0].record.cells]
    owners: dict[str, ShardReport] = {}
    for shard in shards:
        for planned in shard.record.run.planned:
            if other := owners.get(planned.id):
                raise WrongUse(
                    f"merge: {other.folder} and {shard.folder} both ran the cell {planned.id}"
                )
            owners[planned.id] = shard
    is_whole = len(shards) == shards[0].record.shard.total
    missing = [cell_id for cell_id in all_cells if cell_id not in owners]
    if is_whole and missing:
        raise WrongUse(f"merge: no shard ran the cell {missing[0]} ({len(missing)} are missing)")
    if foreign := sorted(owners.keys() - set(all_cells)):
        raise WrongUse(f"merge: {owners[foreign[0]].folder}: the run has no cell {foreign[0]}")


# ---- the result ----


def _merged_run(first: ShardReport, shards: Sequence[ShardReport]) -> RunResult:
    runs = [shard.record.run for shard in shards]
    results = {cell.id: cell for run in runs for cell in run.cells}
    with_workflow = next((run for run in runs if run.pipeline), None)
    return first.record.run.model_copy(
        update={
            "prepared": all(run.prepared for run in runs),
            "closure_not_proved": next(filter(None, (run.closure_not_proved for run in runs)), ""),
            "setup_failure": next(filter(None, (run.setup_failure for run in runs)), None),
            "interrupted": any(run.interrupted for run in runs),
            "planned": first.record.cells,
            "cells": tuple(results[cell.id] for cell in first.record.cells if cell.id in results),
            "upload_refused": next(filter(None, (run.upload_refused for run in runs)), None),
            "pipeline": with_workflow.pipeline if with_workflow else None,
            "failed_tests": tuple(dict.fromkeys(test for run in runs for test in run.failed_tests)),
        }
    )


def _merged_report(first: ShardReport, shards: Sequence[ShardReport], judged: RunVerdict) -> Report:
    reports = [shard.report for shard in shards]
    own = first.report
    spans = list(map(span_of, reports))
    began = min(span.started_at for span in spans)
    specs = [spec for name, spec in machines.load().items() if name in own.selection.machines]

    def agreement_notes(cells: Sequence[CellResult]) -> list[Cause]:
        return agreement.works_only_with_extras(specs, cells)

    images = {name: image for report in reports for name, image in report.images.items()}
    selection = own.selection.model_copy(
        update={
            "shard": None,
            "pipeline": any(report.selection.pipeline for report in reports),
            "narrowed": tuple(t for t in own.selection.narrowed if not t.startswith("--shard ")),
        }
    )
    compilers = tuple(entry for entry in own.basis if entry.name == "compiler")
    report = own.model_copy(
        update={
            "verdict": judged.verdict,
            "items": judged.items,
            "cells": judged.cells,
            "platforms": judged.platforms,
            "started": timestamp(began),
            "seconds": round(max(span.ended for span in spans) - began, 1),
            "selection": selection,
            "interrupted": any(report.interrupted for report in reports),
            "out_of_scope": tuple(_out_of_scope(first, judged)),
            "notes": (
                *(note for note in own.notes if note not in agreement_notes(own.cells)),
                *agreement_notes(judged.cells),
            ),
            "own_tests_not_run": _own_tests_not_run(reports),
            "not_installed": tuple(
                name
                for name in own.not_installed
                if all(name in report.not_installed for report in reports)
            ),
            "images": dict(sorted(images.items())),
            "limits": tuple(dict.fromkeys(limit for r in reports for limit in r.limits)),
            "engine_retries": sum(report.engine_retries for report in reports),
            "egress": next(
                (r.egress for r in reports if r.egress and r.egress.not_proved), own.egress
            ),
            "kept": tuple(machine for report in reports for machine in report.kept),
            "changes": None,
        }
    )
    report = report.model_copy(update={"files": with_cells(report)})
    entries = basis(report, None)
    position = 1 if entries and entries[0].name in ("source", "origin") else 0
    return report.model_copy(
        update={"basis": (*entries[:position], *compilers, *entries[position:])}
    )


def _out_of_scope(first: ShardReport, judged: RunVerdict) -> Iterator[OutOfScope]:
    """Yield what no shard verifies."""
    not_selected = {*first.judged.not_selected, *judged.not_selected}
    for entry in first.report.out_of_scope:
        if entry.id not in not_selected and entry.reason != OTHER_SHARD:
            yield entry
    yield from (OutOfScope(id=name, reason=NO_CELL) for name in judged.not_selected)


def _own_tests_not_run(reports: Sequence[Report]) -> str:
    """Return why none of the package's own tests ran; empty if some ran in a shard."""
    reasons = dict.fromkeys(report.own_tests_not_run for report in reports)
    if "" in reasons:
        return ""
    return next((reason for reason in reasons if reason != NO_TESTS_CELL), NO_TESTS_CELL)


def copy_evidence(shards: Iterable[ShardReport], folder: Path) -> None:
    """Copy the evidence of all shards into the folder of the merged report.

    Raises:
        OSError: a file cannot be copied.
    """
    (folder / EVIDENCE).mkdir(parents=True, exist_ok=True)
    for shard in shards:
        for path in sorted((shard.folder / EVIDENCE).glob("*.json")):
            shutil.copyfile(path, folder / EVIDENCE / path.name)
        for name in (PIPELINE, CONTENTS):
            if (shard.folder / name).is_file():
                shutil.copyfile(shard.folder / name, folder / name)
