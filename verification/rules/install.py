"""Check the installer and the other commands of the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from verification.models.cause import Cause, FactValue
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding
from verification.rules.index_requests import installer_requests
from verification.rules.install_error import nothing_fits
from verification.rules.process_exit import crash, is_illegal_instruction, last_error


def failed_setup(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield a testbed failure for the first command of the set-up that failed."""
    for run in evidence.setup:
        if run.code:
            command, error = " ".join(run.command), last_error(run.output)
            fault = finding("machine-lost", "set-up", command=command, code=run.code, error=error)
            yield fault.at(evidence, "set-up")
            return


def failed_commands(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for each command of the user, except the installation, that failed."""
    for location, runs in (
        ("first", evidence.first),
        ("after_install", evidence.after_install),
        ("before_uninstall", evidence.before_uninstall),
    ):
        for run in runs:
            if run.code:
                yield _failed_command(evidence, expectation, run).at(evidence, location)


def no_earlier_release(evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the earlier release that the scenario needs cannot be installed.

    Its dependencies can be missing on the index, for example. If the release under test is
    installed, only an installer that finds no file for the earlier one says nothing about it.
    """
    version = re.compile(rf"{re.escape(expectation.project)}==(.+)", re.IGNORECASE)
    for number, run in enumerate(evidence.first):
        match = version.fullmatch(run.command[-1])
        if match and run.code and paths.is_other_version(match[1], expectation.version):
            return number == 0 or nothing_fits(run.output)
    return False


def _failed_command(evidence: CellEvidence, expectation: Expectation, run: CommandRun) -> Finding:
    if is_illegal_instruction(run.code):
        return crash(run.code, None, evidence)
    error = last_error(run.output)
    if fault := loader_messages.explain(error, evidence, expectation.libraries):
        return fault
    command = " ".join(run.command[:4])[:100]
    fault = finding("use-not-supported", "command", command=command, code=run.code, error=error)
    return replace(fault, name=expectation.conditions.failed_command)


def index_asked_offline(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause for the first request to the index if the installer must make none."""
    if expectation.conditions.offline and (requests := installer_requests(evidence)):
        fault = finding("use-not-supported", "offline", path=requests[0].path)
        yield fault.at(evidence, "install")


def second_install_causes(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield causes if a second installation failed or changed something."""
    run = evidence.again
    if run is None:
        return
    if run.code:
        error = last_error(run.output)
        fault = finding("use-not-supported", "again", code=run.code, error=error)
        yield fault.at(evidence, "installed again")
    kind = paths.path_type(evidence)
    changed = [
        path
        for names in run.difference.by_kind().values()
        for path in names
        if not paths.is_cache(kind(path))
    ]
    if changed:
        facts: dict[str, FactValue] = {"count": len(changed), "path": changed[0]}
        fault = finding("use-not-supported", "again-changed", **facts)
        yield fault.at(evidence, "installed again")


def other_release(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield a cause if another release than the published one is installed."""
    version = paths.installed_version(evidence, expectation.project)
    if not version or not paths.is_other_version(version, expectation.version):
        return
    facts: dict[str, FactValue] = {"installed": version, "published": expectation.version}
    if reason := expectation.refused_upload:
        fault = finding("upload-refused", "older", **facts, reason=reason)
    elif dependencies := expectation.unpublished:
        fault = finding("missing-dependency", "older", **facts, dependencies=dependencies)
    else:
        fault = finding("silent-fallback", "installed", **facts)
    yield fault.at(evidence, "installed")
