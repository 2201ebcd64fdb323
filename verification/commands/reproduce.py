"""``./e2e reproduce``: answer whether a release works on the machine of a bug report."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from containers import engine as engines
from containers import images, wheelhouse
from containers.progress import print_line
from containers.state import default_folder
from verification import suite
from verification.commands import common, standard_input
from verification.commands.common import Unverified
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.evidence import CellEvidence
from verification.models.inspection import ReleaseInspection
from verification.models.machine import MachineSpec
from verification.models.release import Release
from verification.models.report import (
    ReplayInputs,
    Report,
    ReportedFact,
    Reproduction,
    ReproductionMachine,
)
from verification.models.results import ItemResult
from verification.models.subject import Subject
from verification.models.verdict import EXIT_CODES, Verdict
from verification.report import folder as folders
from verification.report import reply_md, stand_in_limits, writer
from verification.reproduction import answer as reproduction_answer
from verification.reproduction import pasted_report, similar_machine, substitutes
from verification.reproduction.answer import Answer, MachineRun
from verification.reproduction.release_files import FilesAnswer, files_answer
from verification.reproduction.similar_machine import BugReport, RankedMachine
from verification.scenarios import installers, machines, scenarios
from verification.session import replay_inputs, reporting
from verification.session.prepare import PreparedRun, prepare, prepare_files
from verification.session.published_files import published_files
from verification.session.selection import Selection
from verification.session.session import CellRun, Session
from verification.suggestions import unknown

_INSTALLER_OPTIONS = ("pip", "uv", "installer")
_MACHINE_OPTIONS = ("python", "os", "arch", "glibc")
_OPTIONS = (*_MACHINE_OPTIONS, *_INSTALLER_OPTIONS, "scenario", "release")
_ORIGINS = ("release", "wheels", "source")
_MAX_PRINTED = 3
"""The number of machines that are printed with their distances."""


class _Request(NamedTuple):
    """The bug report, the options, and the folder of the report."""

    bug_report: BugReport
    words: Mapping[str, str]
    """The options and the values of the pasted text that describe the bug report, by name."""
    reported: tuple[ReportedFact, ...]
    """The values of the pasted text that are used, and the reported error."""
    options: argparse.Namespace
    subject: Subject
    folder: Path
    started_at: float

    @property
    def error(self) -> str:
        """The error in the pasted text; empty if there is none."""
        return next((fact.value for fact in self.reported if fact.name == "error"), "")


class _Result(NamedTuple):
    """The answer to the bug report, and its basis.

    `session`, `cell` and `cell_run` are None if no machine ran.
    """

    selection: Selection
    release: Release
    reproduction: Reproduction
    verdict: Verdict
    session: Session | None = None
    cell: Cell | None = None
    cell_run: CellRun | None = None


def run(options: argparse.Namespace) -> int:
    """Print whether the release works on the machine of a bug report; return the exit code."""
    request = _request(options)
    options = request.options
    ranked = similar_machine.ranked_machines(request.bug_report, machines.load())
    # Report wrong choices before an image is built.
    selection = common.select_for(options, _machine_for_build(request.bug_report), request.subject)
    _check_choices(request, ranked)
    folders.check(request.folder)
    for machine in ranked[:_MAX_PRINTED]:
        print_line(f"{'nearest' if machine is ranked[0] else 'next'} machine {machine}")
    unfinished = reporting.unfinished_report(selection, request.subject.name, request.started_at)
    with writer.begin_or_restore(request.folder, unfinished), contextlib.ExitStack() as stack:
        (request.folder / reply_md.NAME).unlink(missing_ok=True)
        nearest, unavailable = _available(ranked, provision=not options.no_provision)
        if nearest:
            result = _run_on(nearest, unavailable, request, stack)
        else:
            result = _read_files(unavailable, request, stack)
    report = _report(request, result)
    _write(request, report)
    if result.reproduction.conclusion:
        print(f"\n{reply_md.text(report)}")
    print("\n".join(_lines(request, result)))
    return EXIT_CODES[result.verdict]


def _request(options: argparse.Namespace) -> _Request:
    subject = common.subject_of(options)
    reported = _reported(options, subject.name)
    options = argparse.Namespace(
        **vars(options) | {fact.name: fact.value for fact in reported if fact.name != "error"}
    )
    installer = _installer(options)
    if installer and not substitutes.named(installer):
        common.installer_of(installer)
    bug_report = similar_machine.bug_report(
        python=options.python,
        os=options.os,
        arch=options.arch,
        glibc=options.glibc,
        installer=installer,
        scenario=options.scenario,
    )
    return _Request(
        bug_report=bug_report,
        words={name: value for name in _OPTIONS if (value := getattr(options, name))},
        reported=reported,
        options=options,
        subject=subject,
        folder=common.path_of(options.report) or default_folder(common.ROOT, "reproduction"),
        started_at=time.time(),
    )


def _reported(options: argparse.Namespace, project: str) -> tuple[ReportedFact, ...]:
    """Print and return what the pasted text contains and no option names.

    Raises:
        WrongUse: there is a text, and neither it nor the options name a system or a Python.
    """
    text = standard_input.pasted_text()
    if not text.strip():
        return ()
    named_options = {name for name in (*_OPTIONS, *_ORIGINS) if getattr(options, name)}
    facts = pasted_report.read(text, project)
    used = [fact for name, fact in facts.items() if name not in _excluded(named_options)]
    for fact in used:
        print(_line("understood", _fact_line(fact)))
    if not named_options & {*_MACHINE_OPTIONS} and not {"os", "python"} & {
        fact.name for fact in used
    }:
        lines = len(text.splitlines())
        raise WrongUse(
            f"standard input: no system and no version of Python in {lines} lines; add a line such "
            "as `Windows 11, Python 3.13` to the text, or use --os and --python"
        )
    return tuple(used)


def _fact_line(fact: ReportedFact) -> str:
    if fact.value.startswith(fact.text):
        return f"{fact.name} in line {fact.line}: {fact.text}"
    return f"{fact.name} {fact.value}, from line {fact.line}: {fact.text}"


def _excluded(named_options: set[str]) -> set[str]:
    """Return the values of a pasted text that the named options replace."""
    excluded = set(named_options)
    if named_options & {*_INSTALLER_OPTIONS}:
        excluded |= {*_INSTALLER_OPTIONS}
    if named_options & {*_ORIGINS}:
        excluded.add("release")
    if "os" in named_options:  # the other values belong to the system of the text
        excluded |= {"arch", "glibc", "scenario"}
    return excluded


def _machine_for_build(bug_report: BugReport) -> MachineSpec:
    """Return any machine with the operating system of the bug report.

    The machine decides for which systems wheels are built."""
    specs = machines.load().values()
    return next((spec for spec in specs if spec.os == bug_report.os), next(iter(specs)))


def _check_choices(request: _Request, ranked: Sequence[RankedMachine]) -> None:
    """Check the installer and the scenario of the bug report.

    Raises:
        WrongUse: one of them does not exist, or the nearest machine cannot use it.
    """
    if ranked:
        _cell(request, ranked[0])
        return
    scenario = request.bug_report.scenario
    names = {name for system_scenarios in scenarios.load().values() for name in system_scenarios}
    if scenario and scenario not in names:
        raise WrongUse(f"--scenario {unknown('scenario', scenario, sorted(names))}")


def _cell(request: _Request, machine: RankedMachine) -> Cell:
    bug_report = request.bug_report
    return common.cell_on(
        machine.spec, request.subject, bug_report.installer or None, bug_report.scenario or None
    )


def _run_on(
    machine: RankedMachine,
    unavailable: tuple[str, ...],
    request: _Request,
    stack: contextlib.ExitStack,
) -> _Result:
    """Run the cell on a machine and return the answer.

    Raises:
        Unverified: it is not proved that the machine has no egress.
    """
    options, subject = request.options, request.subject
    bug_report, extra_files, differences = _installer_files(request)
    request = request._replace(bug_report=bug_report)
    cell, selection = _cell(request, machine), common.select_for(options, machine.spec, subject)
    setup = prepare(selection, subject, stack, extra_files=extra_files)
    prepared = setup.prepared
    common.check_egress(prepared.testbed.egress)
    cell = prepared.with_expectation(cell)
    common.image_of(prepared, machine.spec.name)
    session = Session(prepared, subject, request.folder)
    cell_run = session.run(cell, tests=selection.tests)
    files = _files_answer(request, selection, prepared.release, setup.inspection)
    machine_run = MachineRun(machine, cell_run.evidence, cell_run.result, setup.inspection)
    reasons = (*unavailable, *differences)
    answer = reproduction_answer.answer(bug_report, files, machine_run, reasons)
    used = _used(prepared, cell, cell_run.evidence)
    return _Result(
        selection=selection,
        release=prepared.release,
        reproduction=_reproduction(
            request, answer, files, machine_run, used=used, version=prepared.release.version
        ),
        verdict=answer.verdict,
        session=session,
        cell=cell,
        cell_run=cell_run,
    )


def _read_files(
    unavailable: tuple[str, ...], request: _Request, stack: contextlib.ExitStack
) -> _Result:
    """Answer from the files of the release, because no machine can run.

    Raises:
        Unverified: no wheel is named, and the suite cannot build one for the machine of the bug
            report, or nothing can replace its installer.
    """
    bug_report = request.bug_report
    selection = common.select_for(request.options, _machine_for_build(bug_report), request.subject)
    if selection.source and not bug_report.can_run:
        reasons = [item.difference for item in bug_report.substitutes if not item.runs]
        workarounds = reproduction_answer.workarounds(
            bug_report, None, None, project=request.subject.name, version=""
        )
        raise Unverified("; ".join((*reasons, *workarounds)))
    if selection.source and not similar_machine.can_be_built(bug_report):
        raise Unverified(
            f"{bug_report.title}: the suite has no such machine and cannot build a wheel for it; "
            "name existing wheels with --wheels or --release"
        )
    release, inspection = prepare_files(selection, request.subject, stack)
    files = _files_answer(request, selection, release, inspection)
    answer = reproduction_answer.answer(bug_report, files, None, unavailable)
    return _Result(
        selection=selection.model_copy(update={"machines": ()}),
        release=release,
        reproduction=_reproduction(
            request, answer, files, None, used=None, version=release.version
        ),
        verdict=answer.verdict,
    )


def _files_answer(
    request: _Request, selection: Selection, release: Release, inspection: ReleaseInspection
) -> FilesAnswer:
    files = published_files(
        release, inspection, request.subject.name, earlier=selection.history == "all"
    )
    return files_answer(request.bug_report, files)


def _reproduction(
    request: _Request,
    answer: Answer,
    files: FilesAnswer,
    run: MachineRun | None,
    *,
    used: ReproductionMachine | None,
    version: str,
) -> Reproduction:
    conclusion = None
    if request.reported:
        conclusion = reproduction_answer.conclusion(request.error, answer, run)
    return Reproduction(
        asked=request.words,
        used=used,
        differs=answer.differences,
        kind=answer.kind,
        answer=answer.text,
        reported=request.reported,
        conclusion=conclusion,
        workarounds=reproduction_answer.workarounds(
            request.bug_report, files, run, project=request.subject.name, version=version
        ),
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
    """Return the nearest machine that can run on this host, and why nearer ones cannot.

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
            line = f"{machine.spec.name} is nearer, but cannot run on this host: {reason}"
            unavailable.append(line)
            print_line(line)
        else:
            return machine, tuple(unavailable)
    return None, tuple(unavailable)


def _installer(options: argparse.Namespace) -> str:
    """Return the name of the installer that the options name; empty if they name none."""
    installer: str = options.installer
    versions = {name: value for name in ("pip", "uv") if (value := getattr(options, name))}
    named = [f"--{name} {version}" for name, version in versions.items()]
    if installer and installer not in versions:
        named.append(f"--installer {installer}")
    if versions and len(named) > 1:
        raise WrongUse(f"{' and '.join(named)} cannot be combined; use one")
    for name, version in versions.items():
        try:
            return f"{name}-{Version(version)}"
        except InvalidVersion:
            line = f"--{name} {version}: not a version; write a version such as 24.3"
            raise WrongUse(line) from None
    return installer


def _installer_files(request: _Request) -> tuple[BugReport, list[Path], tuple[str, ...]]:
    """Return the bug report, the wheels of its installer, and a difference if there are none.

    Raises:
        WrongUse: an option names a version that the upstream index does not have.
    """
    bug_report = request.bug_report
    program = installers.program_of(bug_report.installer)
    version = request.words.get(program, "") if program in ("pip", "uv") else ""
    if not version:
        return bug_report, [], ()
    try:
        return bug_report, list(wheelhouse.installer_wheels(program, version)), ()
    except WrongUse:
        if program not in {fact.name for fact in request.reported}:
            raise
    text = f"{program} of the machine instead of {program} {version}, which the index does not have"
    return bug_report.model_copy(update={"installer": program}), [], (text,)


def _report(request: _Request, result: _Result) -> Report:
    prepared = result.session.prepared if result.session else None
    cell_run, used = result.cell_run, result.reproduction.used
    item = ItemResult(
        id=f"{request.bug_report.os}-install",
        title=f"pip install {request.subject.name} on "
        + (used.title if used else request.bug_report.title),
        verdict=result.verdict,
        causes=cell_run.result.causes if cell_run else (),
        reason=result.reproduction.answer,
    )
    report = Report(
        verdict=result.verdict,
        items=(item,),
        cells=(cell_run.result,) if cell_run else (),
        suite_version=suite.version(),
        suite_commit=suite.commit(),
        started=reporting.timestamp(request.started_at),
        seconds=round(time.time() - request.started_at, 1),
        selection=result.selection.to_report(subject=request.subject.name),
        version=result.release.version,
        wheels=result.release.digests(),
        machines=reporting.machine_records(),
        stand_ins=stand_in_limits.load(),
        inputs=_inputs(result.release, request.subject, prepared.seed if prepared else 0),
        reproduction=result.reproduction,
    )
    report = reporting.with_prepared(report, prepared) if prepared else report
    return reporting.with_basis(report, result.release)


def _inputs(release: Release, subject: Subject, seed: int) -> ReplayInputs | None:
    try:
        return replay_inputs.keep(release, subject, seed)
    except OSError as error:
        print_line(f"this run cannot be replayed: its files cannot be stored: {error}")
        return None


def _write(request: _Request, report: Report) -> None:
    folder = request.folder
    try:
        remarks = writer.write(folder, report)
        reply_md.write(folder / reply_md.NAME, report)
    except OSError as error:
        raise folders.unusable(folder, error) from None
    for remark in remarks:
        print_line(remark)


def _lines(request: _Request, result: _Result) -> list[str]:
    reproduction, folder = result.reproduction, request.folder
    words = " ".join(f"--{name} {shlex.quote(value)}" for name, value in reproduction.asked.items())
    option = "" if folder == default_folder(common.ROOT, "report") else f" --from {folder}"
    lines = ["", _line("request", words or "no options")]
    if result.cell_run and result.cell:
        lines += _cell_lines(request, reproduction, result.cell_run, result.cell)
        lines += [_line("replay", f"./e2e replay {result.cell.id}{option}")]
    return [
        *lines,
        *(_line("workaround", text) for text in reproduction.workarounds),
        _line("report", str(folder)),
        _line("reply", str(folder / reply_md.NAME)),
        _line("bundle", f"./e2e bundle{option}"),
        answer_line(reproduction, result.verdict),
        *([_line("conclusion", reproduction.conclusion)] if reproduction.conclusion else []),
    ]


def _line(label: str, text: str) -> str:
    return f"{label:<12}{text}"


def _cell_lines(
    request: _Request, reproduction: Reproduction, cell_run: CellRun, cell: Cell
) -> list[str]:
    used, result = reproduction.used, cell_run.result
    assert used
    install = cell_run.evidence.install
    command = install.command if install else ()
    libc = f", {used.libc}" if re.search(r"\d", used.libc) else ""
    machine = f"{used.machine} ({used.title}), Python {used.python}{libc}, {used.installer}"
    release = f"scenario {used.scenario}, {request.subject.name} {used.version}"
    refusal = ""
    if cell.refusal:
        page = "docs/reference/scenarios.md#a-machine-that-must-refuse"
        refusal = f" (the installer must refuse: {cell.refusal}, see {page})"
    lines = [
        _line("machine", f"{machine}, {release}"),
        *(_line("difference", text) for text in reproduction.differs or ["none"]),
        _line("command", " ".join(command)),
        _line("cell", f"{result.verdict}: {result.outcome}{refusal}"),
    ]
    for cause in result.causes:
        lines += [
            _line("cause", f"{cause.name} ({cause.severity}): {cause.where}: {cause.message}"),
            _line("remedy", cause.remedy),
        ]
    return lines


def answer_line(reproduction: Reproduction, verdict: Verdict) -> str:
    """Return the line with the verdict, its basis, the reason and the differences.

    Only the conclusion about a pasted bug report follows it.
    """
    differences = "; ".join(reproduction.differs)
    text = f"{verdict} ({reproduction.kind}): {reproduction.answer}"
    return _line("answer", text + (f"; differences: {differences}" if differences else ""))
