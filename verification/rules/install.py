"""Check the installer and the user's other commands."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, CommandRun
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding
from verification.rules.index_requests import installer_requests
from verification.rules.process_exit import crash, is_illegal_instruction, last_error


def failed_setup(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield the command before the first snapshot that failed: the testbed's failure."""
    for run in evidence.setup:
        if run.code:
            observed = f"{' '.join(run.command)} ended with {run.code}: {last_error(run.output)}"
            yield finding("machine-lost", observed, code=run.code).at(evidence, "set-up")
            return


def failed_commands(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the user's other commands that failed."""
    for place, runs in (
        ("first", evidence.first),
        ("after_install", evidence.after_install),
        ("before_uninstall", evidence.before_uninstall),
    ):
        for run in runs:
            if run.code:
                yield _failed_command(evidence, expectation, run).at(evidence, place)


def _failed_command(evidence: CellEvidence, expectation: Expectation, run: CommandRun) -> Finding:
    if is_illegal_instruction(run.code):
        return crash(run.code, None, evidence)
    message = last_error(run.output)
    command = " ".join(run.command[:4])[:100]
    observed = f"{command} ended with {run.code}: {message}"
    return loader_messages.explain(message, evidence, expectation.libraries) or finding(
        expectation.conditions.failed_command, observed, command=command, code=run.code
    )


def index_asked_offline(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield the first request to an index where the installer must make none."""
    if expectation.conditions.offline and (requests := installer_requests(evidence)):
        path = requests[0].path
        observed = f"the installer was to ask no index, and asked for {path}"
        yield finding("use-not-supported", observed, path=path).at(evidence, "install")


def second_install_faults(evidence: CellEvidence) -> Iterator[Cause]:
    """Yield what a second installation changed, and its failure."""
    run = evidence.again
    if run is None:
        return
    if run.code:
        observed = f"ended with {run.code}: {last_error(run.output)}"
        fault = finding("use-not-supported", observed, code=run.code)
        yield fault.at(evidence, "installed again")
    kind = paths.path_type(evidence)
    changed = [
        path
        for names in run.difference.by_kind().values()
        for path in names
        if not paths.is_cache(kind(path))
    ]
    if changed:
        observed = f"{len(changed)} paths were changed, first {changed[0]}"
        fault = finding("use-not-supported", observed, count=len(changed), path=changed[0])
        yield fault.at(evidence, "installed again")


def other_release(evidence: CellEvidence, expectation: Expectation) -> Iterator[Cause]:
    """Yield that another release was installed than the published one."""
    version = paths.installed_version(evidence, expectation.project)
    if not version or not paths.is_other_version(version, expectation.version):
        return
    facts = {"installed": version, "published": expectation.version}
    if expectation.refused_upload:
        observed = f"{expectation.refused_upload}, and the installer took {version}"
        yield finding("upload-refused", observed, **facts).at(evidence, "installed")
        return
    if names := expectation.unpublished:
        observed = f"the release requires {', '.join(names)}, which no package index has; "
        observed += f"the installer installed {version}"
        yield finding("missing-dependency", observed, **facts).at(evidence, "installed")
        return
    observed = f"{version} was installed, published was {expectation.version}"
    yield finding("silent-fallback", observed, **facts).at(evidence, "installed")
