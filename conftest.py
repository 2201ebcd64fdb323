"""Options and fixtures; the run itself is in verification/commands/gate_plugin.py."""

from __future__ import annotations

from typing import get_args

import pytest

from containers.machine import Machine
from verification.commands.gate_plugin import (
    SUITE,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_generate_tests,
    pytest_xdist_auto_num_workers,
)
from verification.models.cell import Cell
from verification.models.inspection import ReleaseInspection
from verification.pipeline.result import Piped
from verification.rules import diagnose
from verification.scenarios import profiles
from verification.session import cell as cells
from verification.session import kept_machines as kept
from verification.session.suite import Seen, Suite

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_xdist_auto_num_workers",
]  # hooks: pytest finds them here


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the options of a run. ``--strict-verdict`` is ``--strict`` of the command line."""
    group = parser.getgroup("quiverdb-e2e")
    group.addoption(
        "--profile",
        choices=sorted(profiles.load()),
        help="verify a release on the cells of this profile; without it no engine is touched",
    )
    group.addoption(
        "--history",
        choices=get_args(profiles.History),
        help="the earlier releases that are on the index as well (default: the profile's)",
    )
    group.addoption(
        "--source", metavar="DIR", help="build the wheels from DIR (default: bindings/python)"
    )
    group.addoption("--wheels", metavar="DIR", help="verify the wheels in DIR")
    group.addoption(
        "--subject", metavar="FILE", help="verify another package, described in FILE (TOML)"
    )
    group.addoption("--release", metavar="VERSION", help="verify a published release")
    group.addoption(
        "--machine", action="append", metavar="NAME", help="only this machine; may be repeated"
    )
    group.addoption(
        "--tests",
        metavar="DIR",
        help="the package's own tests, run on machines (default: the source's tests)",
    )
    group.addoption("--no-pipeline", action="store_true", help="do not run the release workflow")
    group.addoption(
        "--actions-from",
        metavar="DIR",
        help="run the workflow's real actions, from checkouts DIR/owner/name[@ref]",
    )
    group.addoption("--no-provision", action="store_true", help="never install or start an engine")
    group.addoption("--strict-verdict", action="store_true", help="flawed fails as well")
    group.addoption(
        "--keep-failed", action="store_true", help="leave the machines of failed cells up"
    )
    group.addoption("--report", metavar="DIR", help="where the report goes (default: report)")


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> Suite:
    """Return this process's view of the run."""
    found = request.config.stash.get(SUITE, None)
    if found is None:
        pytest.fail("this test verifies a release: run it with `./e2e gate` (or --profile gate)")
    return found


@pytest.fixture(scope="session")
def pipeline(suite: Suite) -> Piped:
    """Return what the release workflow showed when it ran."""
    if suite.piped is None:
        pytest.skip(suite.no_pipeline)
    return suite.piped


@pytest.fixture(scope="session")
def static(suite: Suite) -> ReleaseInspection:
    """Return what the static layer says of the wheels for the selected machines."""
    return suite.static


@pytest.fixture(scope="session")
def seen(suite: Suite, cell: Cell) -> Seen:
    """Run the cell, once for all tests that read its evidence."""
    prepared = suite.prepared
    assert prepared is not None
    if reason := prepared.unavailable.get(cell.machine.name):
        pytest.skip(f"unverified: {reason}")
    if reason := suite.missing(cell):
        pytest.skip(f"unverified: {reason}")
    held: list[Machine] | None = [] if suite.config.getoption("keep_failed") else None
    evidence = cells.run(
        prepared.testbed,
        cell,
        prepared.machines[cell.machine.name],
        subject=suite.subject,
        house=prepared.wheelhouse,
        tests=suite.selection.tests,
        held=held,
    )
    causes = diagnose(evidence, prepared.expected(suite.subject, cell.machine.os, evidence))
    result = suite.keep(cell, evidence, causes)
    if held:
        kept.settle(suite.report, prepared.testbed, result, evidence, held)
    return Seen(evidence, causes, result)
