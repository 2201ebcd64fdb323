"""``./e2e reproduce``: what a bug report says, on the machine that comes nearest to it."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from containers import engine as engines
from containers import images, wheelhouse
from containers.progress import say
from verification import run_account as account
from verification import verdict
from verification.commands import common as session
from verification.commands.common import Unverified
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.release import Release
from verification.models.report import ReplayInputs, Report, Reproduction
from verification.report import folder as folders
from verification.report import limits, results
from verification.report import writer as forms
from verification.rules import diagnose
from verification.scenarios import machines
from verification.scenarios import similar_machine as nearest
from verification.scenarios.similar_machine import Near, minor_version
from verification.session import cell as cells
from verification.session import prepare as gate
from verification.session import replay_inputs as inputs
from verification.session.selection import Selection
from verification.subjects.subject import load as load_subject
from verification.verdict import CellResult

_OPTIONS = ("python", "os", "glibc", "pip", "installer", "scenario", "release")
_SHOWN = 3
"""How many machines are shown with their distances."""


def run(asked: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    installer = _installer(asked.pip, asked.installer)
    if installer:
        session.installer_of(installer)
    wanted = nearest.asked(
        python=asked.python,
        os=asked.os,
        glibc=asked.glibc,
        installer=installer,
        scenario=asked.scenario,
    )
    every = nearest.ranked(wanted, machines.load())
    # What is wrong in the choices is told before an image is made.
    session.select(asked, every[0].spec)
    session.cell(every[0].spec, installer or None, asked.scenario or None)
    for one in every[:_SHOWN]:
        say(f"{'nearest' if one is every[0] else 'then   '} {one}")
    near, missed = _to_be_had(every, provision=not asked.no_provision)
    cell = session.cell(near.spec, installer or None, asked.scenario or None)
    selection = session.select(asked, near.spec)
    beside = [wheelhouse.pip(asked.pip)] if asked.pip else []
    report = session.folder(asked.report) or session.ROOT / "reproduction"
    folders.check(report)
    began = time.time()
    with contextlib.ExitStack() as stack:
        subject = load_subject()
        prepared = gate.prepare(selection, subject, stack, beside=beside)
        image = session.image_of(prepared, near.spec.name)
        house = prepared.wheelhouse
        evidence = cells.run(
            prepared.testbed,
            cell,
            image,
            subject=subject,
            house=house,
            tests=selection.tests,
        )
        causes = diagnose(evidence, prepared.expected(subject, near.spec.os, evidence))
        judged = verdict.judge(causes, strict=False)
        result = CellResult(
            cell.id,
            near.spec.name,
            cell.installer.name,
            cell.scenario.name,
            judged,
            causes,
            evidence["wall_seconds"],
        )
        given = {name: getattr(asked, name) for name in _OPTIONS if getattr(asked, name)}
        differs = [line for line, _ in near.differences]
        differs += [*missed, *_seen_to_differ(wanted, evidence)]
        told = {
            "asked": given,
            "used": {
                "machine": near.spec.name,
                "title": near.spec.title,
                "image": image.tag,
                "python": str(evidence.get("python", near.spec.python)),
                "libc": " ".join(evidence.get("libc", ())),
                "installer": cell.installer.name,
                "scenario": cell.scenario.name,
                "version": house.version,
            },
            "differs": differs,
        }
        _write(report, began, selection, prepared, cell, result, evidence, told)
    print("\n".join(_lines(told, cell.id, evidence, result, cell.refusal, report)))
    return verdict.EXIT_CODES[judged]


def _to_be_had(every: Sequence[Near], *, provision: bool) -> tuple[Near, list[str]]:
    """Return the nearest machine whose image there is, and why not those that come nearer.

    Raises:
        Unverified: there is none.
        TestbedFailure: there is no engine.
    """
    engine = engines.ensure(provision=provision)
    missed: list[str] = []
    for near in every:
        try:
            images.ensure(engine, near.spec.image)
        except images.Unavailable as reason:
            missed.append(f"{near.spec.name} comes nearer, and cannot be had here: {reason}")
            say(missed[-1])
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


def _seen_to_differ(wanted: nearest.Asked, evidence: Mapping[str, Any]) -> list[str]:
    """Return what only the machine itself could tell."""
    found = []
    python = str(evidence.get("python", ""))
    # The report's 3.13 is any 3.13; its 3.13.2 is that one.
    if wanted.python.count(".") == 2 and python and python != wanted.python:
        found.append(f"Python {python} for {wanted.python}")
    if deviation := evidence.get("deviation"):
        found.append(f"the command is not the literal one: {deviation}")
    return found


def _write(
    report: Path,
    began: float,
    selection: Selection,
    prepared: gate.Prepared,
    cell: Cell,
    result: CellResult,
    evidence: Mapping[str, Any],
    told: Mapping[str, Any],
) -> None:
    try:
        report.mkdir(parents=True, exist_ok=True)
        (report / folders.MARK).touch()
        forms.remove(report)
        path = report / "evidence" / f"{result.id}.json"
        results.write_json(path, dict(evidence))
        system = next(spec.os for spec in selection.machines)
        subject = load_subject().name
        title = f"pip install {subject} on {told['used']['title']}"
        item = verdict.item(f"{system}-install", title, causes=(), cells=[result], strict=False)
        remarks = forms.write(
            report,
            Report(
                verdict=result.verdict,
                items=(account.item_result(item),),
                cells=(account.cell_result(result, cell, path),),
                started=account.moment(began),
                seconds=round(time.time() - began, 1),
                selection=account.run_selection(selection, subject, selection.narrowed),
                machines=account.machine_records(),
                stand_ins=limits.stand_ins(),
                inputs=_kept(prepared.wheelhouse, subject),
                reproduction=Reproduction.model_validate(told),
            ).model_copy(update=account.prepared_part(prepared)),
        )
    except OSError as error:
        raise WrongUse(
            f"--report {report}: it cannot be written to ({error.strerror or error})"
        ) from None
    for remark in remarks:
        say(remark)


def _kept(house: Release, subject: str) -> ReplayInputs | None:
    try:
        return ReplayInputs.model_validate(inputs.keep(house, subject))
    except OSError as error:
        say(f"it cannot be replayed: its files are not kept: {error}")
        return None


def _lines(
    told: Mapping[str, Any],
    ident: str,
    evidence: Mapping[str, Any],
    result: CellResult,
    refuses: str,
    report: Path,
) -> list[str]:
    used = told["used"]
    wanted = told["asked"].get("python", "")
    # The report's 3.13 is any 3.13.
    same = minor_version(wanted) in (None, minor_version(used["python"]))
    other = "" if same else wanted
    asked = " ".join(f"--{name} {value}" for name, value in told["asked"].items())
    lines = [
        "",
        f"asked    {asked or 'nothing in particular'}",
        f"used     {used['machine']} ({used['title']}), Python {used['python']}"
        + (f", {used['libc']}" if re.search(r"\d", used["libc"]) else "")
        + f", {used['installer']}, scenario {used['scenario']}, quiverdb {used['version']}",
        *(f"differs  {line}" for line in told["differs"] or ["in nothing that was asked"]),
        f"command  {' '.join(evidence.get('install', {}).get('command', ()))}",
        f"verdict  {result.verdict}"
        + (f" (it must be refused here, {refuses}: docs/machines.md)" if refuses else "")
        + (f", with another Python than {other}" if other else ""),
    ]
    for cause in result.causes:
        lines += _cause(cause)
    where = "" if report == session.ROOT / "report" else f" --from {report}"
    return [
        *lines,
        f"report   {report}",
        f"again    ./e2e replay {ident}{where}",
        f"hand on  ./e2e bundle{where}",
    ]


def _cause(cause: Cause) -> list[str]:
    return [
        f"cause    {cause.name} ({cause.severity}): {cause.where}: {cause.message}",
        f"remedy   {cause.remedy}",
    ]
