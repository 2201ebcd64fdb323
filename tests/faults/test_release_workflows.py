"""Release workflows of different shapes: no false alarm, and each planted fault has its name."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import release_cases
from tests.helpers.release_cases import WORKFLOWS, Fault, ReleaseCase
from verification.models.cause import Cause, Severity
from verification.models.workflow_file import load as load_workflow

CASES = {name: release_cases.load(name) for name in release_cases.names()}
FAULTS = [
    pytest.param(case, fault, id=f"{case.name}: {fault.title}")
    for case in CASES.values()
    for fault in case.faults
]
ACTIONLINT = Path(sys.executable).with_name("actionlint")
OLD_RUNTIME = 'runtime "node20" is deprecated'
"""The only finding that actionlint may have: GitHub still runs such an action, with a warning."""

HealthyCauses = Callable[[ReleaseCase], tuple[Cause, ...]]

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_fault = pytest.mark.parametrize(("case", "fault"), FAULTS)


# ---- the cases themselves ----


def test_there_are_two_of_quiverdb_and_twelve_others() -> None:
    of_quiverdb = {name for name, case in CASES.items() if case.in_this_repository}
    assert of_quiverdb == {"dispatched", "seed"}
    assert len(CASES) == 14


@every_case
def test_case_is_complete(case: ReleaseCase) -> None:
    assert case.name == case.folder.name
    assert len(case.faults) >= 3
    assert len({fault.cause for fault in case.faults}) >= 3
    assert len({fault.title for fault in case.faults}) == len(case.faults)
    assert case.subject().platforms
    workflow = load_workflow(case.folder / WORKFLOWS / case.workflow)
    assert case.event.name in workflow.on


@every_fault
def test_edit_applies_once_and_leaves_yaml(case: ReleaseCase, fault: Fault, tmp_path: Path) -> None:
    root = release_cases.checkout(case, tmp_path, fault)

    assert (root / fault.file).read_text("utf-8") != (case.folder / fault.file).read_text("utf-8")
    for path in (root / WORKFLOWS).iterdir():
        load_workflow(path)


@every_case
def test_actionlint_accepts_the_healthy_case(case: ReleaseCase, tmp_path: Path) -> None:
    root = release_cases.checkout(case, tmp_path)
    (root / ".git").mkdir()  # actionlint looks for called workflows and local actions below it
    files = [str(path.relative_to(root)) for path in (root / WORKFLOWS).iterdir()]

    result = subprocess.run(
        [ACTIONLINT, "-ignore", OLD_RUNTIME, *files], cwd=root, capture_output=True, text=True
    )

    assert result.returncode == 0, result.stdout + result.stderr


# ---- the static examination ----


@pytest.fixture(scope="module")
def healthy_causes(tmp_path_factory: pytest.TempPathFactory) -> HealthyCauses:
    """Return a function that returns the causes of a healthy case, which it examines once."""

    @functools.cache
    def examine(name: str) -> tuple[Cause, ...]:
        case = CASES[name]
        return release_cases.causes(
            case, release_cases.checkout(case, tmp_path_factory.mktemp(name))
        )

    return lambda case: examine(case.name)


@every_case
def test_healthy_case_has_only_its_true_findings(
    case: ReleaseCase, tmp_path: Path, healthy_causes: HealthyCauses
) -> None:
    root = release_cases.checkout(case, tmp_path)
    found = (*healthy_causes(case), *release_cases.findings(case, root))

    broken = tuple(cause for cause in found if cause.severity is Severity.BROKEN)
    assert not broken, release_cases.listing(broken)
    assert release_cases.own_names(found) == case.expected, release_cases.listing(found)
    assert release_cases.linter_rules(found) == case.linter_rules
    assert release_cases.unverified_jobs(found) == case.unverified, release_cases.listing(found)


@every_fault
def test_fault_has_its_cause(
    case: ReleaseCase, fault: Fault, tmp_path: Path, healthy_causes: HealthyCauses
) -> None:
    """If the healthy case has the cause too, it is more severe or more frequent with the fault."""
    healthy = healthy_causes(case)
    found = release_cases.causes(case, release_cases.checkout(case, tmp_path, fault))

    def count(causes: tuple[Cause, ...]) -> int:
        return sum(
            cause.name == fault.cause and cause.severity is fault.severity for cause in causes
        )

    assert count(found) > 0, release_cases.listing(found)
    assert count(healthy) == 0, release_cases.listing(healthy)
