"""``./e2e reproduce``: answer whether a release works on the machine of a bug report."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from containers import engine as engines
from containers import images, wheelhouse
from containers.progress import print_line
from verification.commands import common
from verification.commands.common import Unverified
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.evidence import CellEvidence
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.release import Release
from verification.models.report import ReplayInputs, Report, Reproduction, ReproductionMachine
from verification.models.results import ItemResult
from verification.models.subject import Subject
from verification.models.verdict import EXIT_CODES, Verdict
from verification.report import folder as folders
from verification.report import stand_in_limits, writer
from verification.scenarios import machines, reproduction_answer, scenarios, similar_machine
from verification.scenarios.release_files import FilesAnswer, files_answer
from verification.scenarios.reproduction_answer import Answer, MachineRun
from verification.scenarios.similar_machine import BugReport, RankedMachine
from verification.session import replay_inputs, reporting
from verification.session.prepare import PreparedRun, prepare, prepare_files
from verification.session.published_files import published_files
from verification.session.selection import Selection
from verification.session.session import CellRun, Session
from verification.subjects import subject as subjects

_OPTIONS = ("python", "os", "arch", "glibc", "pip", "installer", "scenario", "release")
_SHOWN = 3
"""How many machines are shown with their differences."""


class _Question(NamedTuple):
    """What is asked, and where the report goes."""

    report: BugReport
    asked: Mapping[str, str]
    """The options, by name."""
    options: argparse.Namespace
    subject: Subject
    folder: Path
    began: float


class _Answered(NamedTuple):
    """The answer and its basis; `session`, `cell` and `cell_run` are None if no machine ran."""

    selection: Selection
    release: Release
    reproduction: Reproduction
    verdict: Verdict
    session: Session | None = None
    cell: Cell | None = None
    cell_run: CellRun | None = None


def run(options: argparse.Namespace) -> int:
    """Answer whether the release works on the machine of a bug report; return the exit code."""
    question = _question(options)
    ranked = similar_machine.ranked_machines(question.report, machines.load())
    # Wrong choices are reported before an image is built.
    selection = common.select_for(options, _machine_for_build(question.report))
    _check_choices(question, ranked)
    folders.check(question.folder)
    for machine in ranked[:_SHOWN]:
        print_line(f"{'nearest' if machine is ranked[0] else 'then   '} {machine}")
    unfinished = reporting.unfinished_report(selection, question.subject.name, question.began)
    with writer.begin_or_restore(question.folder, unfinished), contextlib.ExitStack() as stack:
        nearest, unavailable = _available(ranked, provision=not options.no_provision)
        if nearest:
            answered = _run_on(nearest, unavailable, question, stack)
        else:
            answered = _read_files(unavailable, question, stack)
    _write(question, answered)
    print("\n".join(_lines(question, answered)))
    return EXIT_CODES[answered.verdict]


def _question(options: argparse.Namespace) -> _Question:
    installer = _installer(options.pip, options.installer)
    if installer:
        common.installer_of(installer)
    report = similar_machine.bug_report(
        python=options.python,
        os=options.os,
        arch=options.arch,
        glibc=options.glibc,
        installer=installer,
        scenario=options.scenario,
    )
    return _Question(
        report=report,
        asked={name: value for name in _OPTIONS if (value := getattr(options, name))},
        options=options,
        subject=subjects.load(),
        folder=common.path_of(options.report) or common.ROOT / "reproduction",
        began=time.time(),
    )


def _machine_for_build(report: BugReport) -> MachineSpec:
    """Return a machine of the system of the report, for which wheels are built."""
    specs = machines.load().values()
    return next((spec for spec in specs if spec.os == report.os), next(iter(specs)))


def _check_choices(question: _Question, ranked: Sequence[RankedMachine]) -> None:
    report = question.report
    if ranked:
        _cell(question, ranked[0])
        return
    known = {name for of_system in scenarios.load().values() for name in of_system}
    if report.scenario and report.scenario not in known:
        names = ", ".join(sorted(known))
        raise WrongUse(f"--scenario {report.scenario}: there is none; there are: {names}")


def _cell(question: _Question, machine: RankedMachine) -> Cell:
    report = question.report
    return common.cell_on(
        machine.spec, question.subject, report.installer or None, report.scenario or None
    )


def _run_on(
    machine: RankedMachine,
    unavailable: tuple[str, ...],
    question: _Question,
    stack: contextlib.ExitStack,
) -> _Answered:
    """Run the cell on a machine and return the answer."""
    options, subject = question.options, question.subject
    cell, selection = _cell(question, machine), common.select_for(options, machine.spec)
    extra_files = [wheelhouse.pip_wheel(options.pip)] if options.pip else []
    setup = prepare(selection, subject, stack, extra_files=extra_files)
    prepared = setup.prepared
    common.image_of(prepared, machine.spec.name)
    session = Session(prepared, subject, question.folder)
    cell_run = session.run(cell, tests=selection.tests)
    files = _files_answer(question, selection, prepared.release, setup.inspection)
    machine_run = MachineRun(machine, cell_run.evidence, cell_run.result, setup.inspection)
    answer = reproduction_answer.answer(question.report, files, machine_run, unavailable)
    return _Answered(
        selection=selection,
        release=prepared.release,
        reproduction=_reproduction(question, answer, _used(prepared, cell, cell_run.evidence)),
        verdict=answer.verdict,
        session=session,
        cell=cell,
        cell_run=cell_run,
    )


def _read_files(
    unavailable: tuple[str, ...], question: _Question, stack: contextlib.ExitStack
) -> _Answered:
    """Answer from the files of the release: no machine with what was asked can run.

    Raises:
        Unverified: no wheel for such a machine is built here.
    """
    selection = common.select_for(question.options, _machine_for_build(question.report))
    if selection.source and not similar_machine.is_built_here(question.report):
        raise Unverified(
            f"no wheel for {question.report.title} is built here, and no machine like it runs "
            "here; name --wheels or --release"
        )
    release, inspection = prepare_files(selection, question.subject, stack)
    files = _files_answer(question, selection, release, inspection)
    answer = reproduction_answer.answer(question.report, files, None, unavailable)
    return _Answered(
        selection=selection.model_copy(update={"machines": ()}),
        release=release,
        reproduction=_reproduction(question, answer, None),
        verdict=answer.verdict,
    )


def _files_answer(
    question: _Question, selection: Selection, release: Release, inspection: ReleaseInspection
) -> FilesAnswer:
    files = published_files(
        release, inspection, question.subject.name, earlier=selection.history == "all"
    )
    return files_answer(question.report, files)


def _reproduction(
    question: _Question, answer: Answer, used: ReproductionMachine | None
) -> Reproduction:
    return Reproduction(
        asked=question.asked,
        used=used,
        differs=answer.differences,
        kind=answer.kind,
        answer=answer.text,
    )


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
) -> tuple[RankedMachine | None, tuple[str, ...]]:
    """Return the most similar machine that can run here, and why more similar ones cannot.

    Raises:
        TestbedFailure: there is no engine.
    """
    unavailable: list[str] = []
    engine = engines.ensure(provision=provision) if ranked else None
    for machine in ranked:
        assert engine
        try:
            images.ensure(engine, machine.spec.image)
        except images.ImageUnavailable as reason:
            line = f"{machine.spec.name} is more similar and cannot run here: {reason}"
            unavailable.append(line)
            print_line(line)
        else:
            return machine, tuple(unavailable)
    return None, tuple(unavailable)


def _installer(pip: str, installer: str) -> str:
    if not pip:
        return installer
    if installer not in ("", "pip"):
        raise WrongUse(f"--pip {pip} and --installer {installer} exclude one another; name one")
    try:
        return f"pip-{Version(pip)}"
    except InvalidVersion:
        raise WrongUse(f"--pip {pip}: not a version; write one such as 24.3") from None


def _report(question: _Question, answered: _Answered) -> Report:
    prepared = answered.session.prepared if answered.session else None
    cell_run, used = answered.cell_run, answered.reproduction.used
    item = ItemResult(
        id=f"{question.report.os}-install",
        title=f"pip install {question.subject.name} on "
        + (used.title if used else question.report.title),
        verdict=answered.verdict,
        causes=cell_run.result.causes if cell_run else (),
        reason=answered.reproduction.answer,
    )
    report = Report(
        verdict=answered.verdict,
        items=(item,),
        cells=(cell_run.result,) if cell_run else (),
        started=reporting.timestamp(question.began),
        seconds=round(time.time() - question.began, 1),
        selection=answered.selection.to_report(subject=question.subject.name),
        version=answered.release.version,
        wheels=answered.release.digests(),
        machines=reporting.machine_records(),
        stand_ins=stand_in_limits.load(),
        inputs=_inputs(answered.release, question.subject.name, prepared.seed if prepared else 0),
        reproduction=answered.reproduction,
    )
    return reporting.with_prepared(report, prepared) if prepared else report


def _inputs(release: Release, subject: str, seed: int) -> ReplayInputs | None:
    try:
        return replay_inputs.keep(release, subject, seed)
    except OSError as error:
        print_line(f"this run cannot be replayed: its files are not kept: {error}")
        return None


def _write(question: _Question, answered: _Answered) -> None:
    folder = question.folder
    try:
        remarks = writer.write(folder, _report(question, answered))
    except OSError as error:
        raise folders.unusable(folder, error) from None
    for remark in remarks:
        print_line(remark)


def _lines(question: _Question, answered: _Answered) -> list[str]:
    reproduction, folder = answered.reproduction, question.folder
    asked = " ".join(f"--{name} {value}" for name, value in reproduction.asked.items())
    option = "" if folder == common.ROOT / "report" else f" --from {folder}"
    lines = ["", f"asked    {asked or 'nothing in particular'}"]
    if answered.cell_run and answered.cell:
        lines += _cell_lines(question, reproduction, answered.cell_run, answered.cell)
        lines += [f"again    ./e2e replay {answered.cell.id}{option}"]
    return [
        *lines,
        f"report   {folder}",
        f"hand on  ./e2e bundle{option}",
        answer_line(reproduction, answered.verdict),
    ]


def _cell_lines(
    question: _Question, reproduction: Reproduction, cell_run: CellRun, cell: Cell
) -> list[str]:
    used, result = reproduction.used, cell_run.result
    assert used
    install = cell_run.evidence.install
    command = install.command if install else ()
    refused = (
        f" (it must be refused here, {cell.refusal}: docs/reference/machines.md)"
        if cell.refusal
        else ""
    )
    lines = [
        f"used     {used.machine} ({used.title}), Python {used.python}"
        + (f", {used.libc}" if re.search(r"\d", used.libc) else "")
        + f", {used.installer}, scenario {used.scenario}, {question.subject.name} {used.version}",
        *(f"differs  {line}" for line in reproduction.differs or ["in nothing that was asked"]),
        f"command  {' '.join(command)}",
        f"cell     {result.verdict}: {result.outcome}{refused}",
    ]
    for cause in result.causes:
        lines += _cause(cause)
    return lines


def answer_line(reproduction: Reproduction, verdict: Verdict) -> str:
    """Return the last line: the verdict, its basis, the reason and the differences."""
    differs = f"; differs: {'; '.join(reproduction.differs)}" if reproduction.differs else ""
    return f"answer   {verdict} ({reproduction.kind}): {reproduction.answer}{differs}"


def _cause(cause: Cause) -> list[str]:
    return [
        f"cause    {cause.name} ({cause.severity}): {cause.where}: {cause.message}",
        f"remedy   {cause.remedy}",
    ]
