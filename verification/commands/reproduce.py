"""``./e2e reproduce``: reproduce a bug report on the most similar machine."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from containers import engine as engines
from containers import images, wheelhouse
from containers.progress import print_line
from verification import verdict
from verification.commands import common
from verification.commands.common import Unverified
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.evidence import CellEvidence
from verification.models.report import ReplayInputs, Report, Reproduction, ReproductionMachine
from verification.models.results import CellResult, ItemResult
from verification.models.verdict import EXIT_CODES
from verification.report import folder as folders
from verification.report import stand_in_limits, writer
from verification.scenarios import machines, similar_machine
from verification.scenarios.similar_machine import RankedMachine, minor_version
from verification.session import replay_inputs, reporting
from verification.session.prepare import PreparedRun, prepare
from verification.session.selection import Selection
from verification.session.session import CellRun, Session
from verification.subjects import subject as subjects

_OPTIONS = ("python", "os", "glibc", "pip", "installer", "scenario", "release")
_SHOWN = 3
"""How many machines are shown with their differences."""


def run(options: argparse.Namespace) -> int:
    """Reproduce what a bug report says; return the exit code of its verdict."""
    installer = _installer(options.pip, options.installer)
    if installer:
        common.installer_of(installer)
    asked = similar_machine.bug_report(
        python=options.python,
        os=options.os,
        glibc=options.glibc,
        installer=installer,
        scenario=options.scenario,
    )
    ranked = similar_machine.ranked_machines(asked, machines.load())
    subject = subjects.load()
    # What is wrong in the choices is reported before an image is made.
    common.select_for(options, ranked[0].spec)
    common.cell_on(ranked[0].spec, subject, installer or None, options.scenario or None)
    for one in ranked[:_SHOWN]:
        print_line(f"{'nearest' if one is ranked[0] else 'then   '} {one}")
    near, missed = _available(ranked, provision=not options.no_provision)
    cell = common.cell_on(near.spec, subject, installer or None, options.scenario or None)
    selection = common.select_for(options, near.spec)
    extra_files = [wheelhouse.pip_wheel(options.pip)] if options.pip else []
    folder = common.path_of(options.report) or common.ROOT / "reproduction"
    folders.check(folder)
    began = time.time()
    with contextlib.ExitStack() as stack:
        prepared = prepare(selection, subject, stack, extra_files=extra_files).prepared
        common.image_of(prepared, near.spec.name)
        writer.remove(folder)
        (folder / folders.MARK).touch()
        session = Session(prepared, subject, folder)
        ran = session.run(cell, tests=selection.tests)
        reproduction = Reproduction(
            asked={name: value for name in _OPTIONS if (value := getattr(options, name))},
            used=_used(prepared, cell, ran.evidence),
            differs=tuple(
                [line for line, _ in near.differences] + missed + _observed(asked, ran.evidence)
            ),
        )
        ended = _FinishedReproduction(folder, began, selection, session, ran, reproduction)
        _write(ended)
    print("\n".join(_lines(ended, cell)))
    return EXIT_CODES[ran.result.verdict]


def _used(prepared: PreparedRun, cell: Cell, evidence: CellEvidence) -> ReproductionMachine:
    return ReproductionMachine(
        machine=cell.machine.name,
        title=cell.machine.title,
        image=prepared.machines[cell.machine.name].tag,
        python=evidence.python or cell.machine.python,
        libc=" ".join(evidence.libc),
        installer=cell.installer.name,
        scenario=cell.scenario.name,
        version=prepared.release.version,
    )


def _available(
    ranked: Sequence[RankedMachine], *, provision: bool
) -> tuple[RankedMachine, list[str]]:
    """Return the most similar machine that can run here, and why more similar ones cannot.

    Raises:
        Unverified: there is none.
        TestbedFailure: there is no engine.
    """
    engine = engines.ensure(provision=provision)
    missed: list[str] = []
    for near in ranked:
        try:
            images.ensure(engine, near.spec.image)
        except images.ImageUnavailable as reason:
            missed.append(f"{near.spec.name} is more similar and cannot run here: {reason}")
            print_line(missed[-1])
        else:
            return near, missed
    raise Unverified("; ".join(missed))


def _installer(pip: str, installer: str) -> str:
    if not pip:
        return installer
    if installer not in ("", "pip"):
        raise WrongUse(f"--pip {pip} and --installer {installer} exclude one another; name one")
    try:
        return f"pip-{Version(pip)}"
    except InvalidVersion:
        raise WrongUse(f"--pip {pip}: not a version; write one such as 24.3") from None


def _observed(asked: similar_machine.BugReport, evidence: CellEvidence) -> list[str]:
    """Return the differences that only the machine itself shows."""
    differences = []
    # The report's 3.13 is any 3.13; its 3.13.2 is that one.
    if asked.python.count(".") == 2 and evidence.python and evidence.python != asked.python:
        differences.append(f"Python {evidence.python} for {asked.python}")
    if evidence.deviation:
        differences.append(f"the command is not the literal one: {evidence.deviation}")
    return differences


class _FinishedReproduction(NamedTuple):
    """A reproduction that ran."""

    folder: Path
    began: float
    selection: Selection
    session: Session
    ran: CellRun
    reproduction: Reproduction


def _report(ended: _FinishedReproduction) -> Report:
    result = ended.ran.result
    prepared, subject = ended.session.prepared, ended.session.subject
    (spec,) = ended.selection.machines
    item = ItemResult(
        id=f"{spec.os}-install",
        title=f"pip install {subject.name} on {ended.reproduction.used.title}",
        verdict=verdict.worst([result.verdict]),
        causes=result.causes,
        reason=result.reason,
    )
    report = Report(
        verdict=result.verdict,
        items=(item,),
        cells=(result,),
        started=reporting.timestamp(ended.began),
        seconds=round(time.time() - ended.began, 1),
        selection=ended.selection.to_report(subject=subject.name),
        machines=reporting.machine_records(),
        stand_ins=stand_in_limits.load(),
        inputs=_inputs(prepared, subject.name),
        reproduction=ended.reproduction,
    )
    return reporting.with_prepared(report, prepared)


def _inputs(prepared: PreparedRun, subject: str) -> ReplayInputs | None:
    try:
        return replay_inputs.keep(prepared.release, subject, prepared.seed)
    except OSError as error:
        print_line(f"it cannot be replayed: its files are not kept: {error}")
        return None


def _write(ended: _FinishedReproduction) -> None:
    try:
        remarks = writer.write(ended.folder, _report(ended))
    except OSError as error:
        raise WrongUse(
            f"--report {ended.folder}: it cannot be written to ({error.strerror or error})"
        ) from None
    for remark in remarks:
        print_line(remark)


def _lines(ended: _FinishedReproduction, cell: Cell) -> list[str]:
    reproduction, ran, folder = ended.reproduction, ended.ran, ended.folder
    package = ended.session.subject.name
    used, result = reproduction.used, ran.result
    asked = " ".join(f"--{name} {value}" for name, value in reproduction.asked.items())
    command = ran.evidence.install.command if ran.evidence.install else ()
    lines = [
        "",
        f"asked    {asked or 'nothing in particular'}",
        f"used     {used.machine} ({used.title}), Python {used.python}"
        + (f", {used.libc}" if re.search(r"\d", used.libc) else "")
        + f", {used.installer}, scenario {used.scenario}, {package} {used.version}",
        *(f"differs  {line}" for line in reproduction.differs or ["in nothing that was asked"]),
        f"command  {' '.join(command)}",
        verdict_line(result, reproduction, cell.refusal),
    ]
    for cause in result.causes:
        lines += _cause(cause)
    option = "" if folder == common.ROOT / "report" else f" --from {folder}"
    return [
        *lines,
        f"report   {folder}",
        f"again    ./e2e replay {cell.id}{option}",
        f"hand on  ./e2e bundle{option}",
    ]


def verdict_line(result: CellResult, reproduction: Reproduction, refusal: str) -> str:
    """Return the verdict in one line; `refusal` is the cause by which the cell must be refused."""
    python = reproduction.asked.get("python", "")
    # The report's 3.13 is any 3.13.
    same = minor_version(python) in (None, minor_version(reproduction.used.python))
    return (
        f"verdict  {result.verdict}: {result.outcome}"
        + (f" (it must be refused here, {refusal}: docs/machines.md)" if refusal else "")
        + ("" if same else f", with another Python than {python}")
    )


def _cause(cause: Cause) -> list[str]:
    return [
        f"cause    {cause.name} ({cause.severity}): {cause.where}: {cause.message}",
        f"remedy   {cause.remedy}",
    ]
