"""Run one gate for each release of a list."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from verification.models.base import DataError, read_json
from verification.models.cause import Cause
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.report import Report
from verification.models.subject import Subject
from verification.models.survey import PinnedRelease, PlatformOutcome, SurveyResult
from verification.models.verdict import Verdict
from verification.report import card, cause_groups
from verification.scenarios import machines
from verification.session import crash, new_subject
from verification.wheel.errors import BadWheel

ROOT = Path(__file__).parents[2]
WORST_FIRST = (Verdict.FAILED, Verdict.TESTBED, Verdict.UNVERIFIED, Verdict.VERIFIED)
NOT_RUN = "not run: the survey was interrupted"
_SECONDS = 3600
"""The time limit of the gate of one release, in seconds."""
_ENDING_SECONDS = 120
"""The time limit of an interrupted gate, which removes what it started."""


class GateOptions(NamedTuple):
    """The options of the gate of each release."""

    machines: tuple[str, ...] = ()
    """Machines with an operating system for which a release has no wheel are left out."""
    arguments: tuple[str, ...] = ()
    """Other options of the command line."""


# ---- the list ----


def read_list(path: Path) -> tuple[PinnedRelease, ...]:
    """Return the releases of a list, without duplicates. Each line is ``name==version``.

    Raises:
        WrongUse: the file cannot be read, lists no release, or has a line of another form.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"survey: {path} cannot be read: {error}; correct the path") from None
    releases: dict[PinnedRelease, None] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            releases[_pinned(text)] = None
        except ValueError as error:
            faults.append(f"line {number}: {text[:60]}: {error}")
    if faults:
        others = f" (and {len(faults) - 1} more lines)" if len(faults) > 1 else ""
        raise WrongUse(f"survey: {path}: {faults[0]}; write name==version{others}")
    if not releases:
        raise WrongUse(f"survey: {path} lists no release; write one name==version on each line")
    return tuple(releases)


def _pinned(text: str) -> PinnedRelease:
    """Return the release of a line.

    Raises:
        ValueError: the line has another form. The message says what is not supported.
    """
    if text.startswith("-") or "--hash" in text or text.endswith("\\"):
        raise ValueError("options and hashes are not supported")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError("this names no release") from None
    if requirement.marker or requirement.extras or requirement.url:
        raise ValueError("markers, extras and addresses are not supported")
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        raise ValueError("one version with == is needed")
    try:
        version = str(Version(specifiers[0].version))
    except InvalidVersion:
        raise ValueError(f"{specifiers[0].version} is not a version") from None
    return PinnedRelease(name=canonicalize_name(requirement.name), version=version)


# ---- one release ----


def run(release: PinnedRelease, folder: Path, options: GateOptions) -> SurveyResult:
    """Describe a release, run its gate, and return the result. A failure is part of the result.

    ``folder`` is emptied first. It gets the folders ``subject`` and ``report``, and the ``log``.
    """
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        subject, _ = new_subject.of_release(release.name, release.version, folder / "subject")
        code = _run_gate(release, subject, folder, options)
        result = _result(release, folder, code)
    except TestbedFailure as error:
        result = _without_report(release, Verdict.TESTBED, str(error))
    except (WrongUse, DataError, BadWheel) as error:
        result = _without_report(release, Verdict.UNVERIFIED, str(error))
    except Exception as error:  # noqa: BLE001  (each release has a result)
        result = _without_report(release, Verdict.TESTBED, crash.line(error))
    return result.model_copy(update={"seconds": round(time.monotonic() - began, 1)})


def _without_report(release: PinnedRelease, verdict: Verdict, reason: str) -> SurveyResult:
    return SurveyResult(release=release, verdict=verdict, reason=" ".join(reason.split()))


def not_run(release: PinnedRelease) -> SurveyResult:
    """Return the result of a release that an interrupted survey did not reach."""
    return _without_report(release, Verdict.UNVERIFIED, NOT_RUN)


def _run_gate(release: PinnedRelease, subject: Subject, folder: Path, options: GateOptions) -> int:
    """Run the gate and return its exit code. An interrupt ends the gate first.

    Raises:
        WrongUse: no wheel is for the operating system of a selected machine.
        TestbedFailure: the gate did not end in time.
    """
    command = [sys.executable, "-m", "verification.commands", "gate", f"--subject={subject.file}"]
    command += [f"--release={release.version}", f"--report={folder / 'report'}"]
    command += ["--history=none", *options.arguments]
    command += [f"--machine={name}" for name in _fitting_machines(options, subject)]
    environment = {**os.environ, "QUIVERDB_E2E_HISTORY": ""}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            return process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            raise TestbedFailure("machine-lost", str(release), f"no end in {_SECONDS} s") from None
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a gate that still runs. It removes what it started."""
    process.terminate()
    try:
        process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _fitting_machines(options: GateOptions, subject: Subject) -> Sequence[str]:
    """Return the selected machines with the operating system of a wheel of the subject.

    If no machine is selected, the result is empty, and the gate uses the machines of the profile.

    Raises:
        WrongUse: machines are selected, and none of them fits.
    """
    systems = {platform.target.machine_system for platform in subject.platforms}
    specs = machines.load()
    fitting = [name for name in options.machines if specs[name].os in systems]
    if options.machines and not fitting:
        raise WrongUse(
            f"no wheel is for the operating system of {', '.join(options.machines)}; select "
            "another machine with --machine"
        )
    return fitting


def _result(release: PinnedRelease, folder: Path, code: int) -> SurveyResult:
    """Return the result of a gate that ended with this exit code."""
    path = folder / "report" / "results.json"
    report = read_json(Report, path) if path.is_file() else None
    if report is None or not report.finished:
        is_refused = code == ExitCode.WRONG_USE
        verdict = Verdict.UNVERIFIED if is_refused else Verdict.TESTBED
        return _without_report(release, verdict, _last_line(folder / "log"))
    return SurveyResult(
        release=release,
        verdict=report.verdict,
        reason="; ".join(_reasons(report)),
        platforms=tuple(
            PlatformOutcome(name=entry.name, outcome=entry.outcome, text=entry.text)
            for entry in card.entries(report)
        ),
        causes=cause_groups.cause_names(_causes(report)),
        report=f"{folder.name}/report",
    )


def _causes(report: Report) -> Iterator[Cause]:
    for item in report.items:
        yield from item.causes
    for platform in report.platforms:
        yield from platform.causes


def _reasons(report: Report) -> Iterator[str]:
    """Yield the reasons of items that are not verified and have no cause."""
    items = (item for item in report.items if item.verdict is not Verdict.VERIFIED)
    yield from (item.reason for item in items if item.reason and not item.causes)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines() or ["no output"]
    return lines[-1][:300]


def worst(results: Sequence[SurveyResult]) -> Verdict:
    """Return the verdict of a survey."""
    return min((result.verdict for result in results), key=WORST_FIRST.index)
