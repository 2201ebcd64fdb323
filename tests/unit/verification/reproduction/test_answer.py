from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.helpers.sample_run import LINUX_WHEEL, cell, crash, evidence, inspection
from verification.models.evidence import CellEvidence
from verification.models.inspection import ReleaseInspection
from verification.models.report import AnswerKind, Conclusion
from verification.models.verdict import EXIT_CODES, Outcome
from verification.reproduction import similar_machine
from verification.reproduction.answer import MachineRun, answer, conclusion, workarounds
from verification.reproduction.release_files import FilesAnswer
from verification.reproduction.similar_machine import BugReport, ranked_machines
from verification.rules.catalogue import catalogue
from verification.scenarios import machines

MACHINES = machines.load()
FITS = FilesAnswer(works=None, text="a wheel fits")
NO_WHEEL = FilesAnswer(works=False, text="no wheel fits")
EXECUTED, FILES = AnswerKind.EXECUTED, AnswerKind.FILES
SIMILAR, NOT_RUN = AnswerKind.SIMILAR_MACHINE, AnswerKind.NOT_RUN


def _evidence(machine: str, changes: Mapping[str, object]) -> CellEvidence:
    spec = MACHINES[machine]
    values: dict[str, object] = {
        "python": f"{spec.python.removesuffix('t')}.5",
        "abiflags": "t" * spec.free_threaded,
        "libc": ("glibc", spec.glibc) if spec.glibc else ("", ""),
        "machine": "x86_64" if spec.os == "linux" else "AMD64",
        **changes,
    }
    return evidence().model_copy(update=values)


def _run(
    report: BugReport, machine: str, outcome: Outcome, changes: Mapping[str, object] | None = None
) -> MachineRun:
    ranking = ranked_machines(report, MACHINES)
    ranked = next(item for item in ranking if item.spec.name == machine)
    causes = (crash(),) if outcome is Outcome.FAILS else ()
    result = cell(f"{machine}-pip-venv", *causes, outcome=outcome)
    return MachineRun(ranked, _evidence(machine, changes or {}), result, ReleaseInspection())


class Case(NamedTuple):
    """A bug report, the machine that ran, its outcome, and the expected answer."""

    options: dict[str, str]
    machine: str
    outcome: Outcome
    files: FilesAnswer
    code: int
    kind: AnswerKind


UBUNTU = {"os": "Ubuntu 24.04", "python": "3.13"}
WORKS, FAILS = Outcome.WORKS, Outcome.FAILS
CASES = {
    "the same machine": Case({"os": "debian-13"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "no options": Case({}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "with a flaw": Case({}, "debian-13", Outcome.WORKS_FLAWED, FITS, 0, EXECUTED),
    "another patch release": Case({"python": "3.13.1"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "the same glibc": Case({"glibc": "2.41"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "another system with the same glibc": Case(
        {"os": "fedora-42"}, "debian-13", WORKS, FITS, 0, EXECUTED
    ),
    "the same processor": Case({"arch": "amd64"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "free-threaded": Case({"python": "3.13t"}, "debian-12-python-3.13t", WORKS, FITS, 0, EXECUTED),
    "musl": Case({"os": "alpine"}, "debian-13-musl", WORKS, FITS, 0, EXECUTED),
    "a point release": Case({"os": "Debian 13.1"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "a rebuild": Case({"os": "RHEL 8.9"}, "almalinux-8", WORKS, FITS, 0, EXECUTED),
    "any Linux": Case({"os": "linux", "glibc": "2.41"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "WSL": Case({"os": "WSL2 Debian 13"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "pipx": Case({"installer": "pipx"}, "debian-13", WORKS, FITS, 0, EXECUTED),
    "Poetry": Case({"installer": "poetry"}, "debian-13", WORKS, FITS, 5, SIMILAR),
    "a proxy": Case({"scenario": "tls-proxy"}, "debian-13", FAILS, FITS, 5, SIMILAR),
    "Store Python": Case({"scenario": "store-python"}, "windows-wine", WORKS, FITS, 5, SIMILAR),
    "Arch": Case({"os": "Arch"}, "debian-13", WORKS, FITS, 5, SIMILAR),
    "an unknown version": Case({"os": "Ubuntu 23.10"}, "ubuntu-22.04", WORKS, FITS, 5, SIMILAR),
    "AWS Lambda": Case({"os": "AWS Lambda"}, "debian-11", WORKS, FITS, 5, SIMILAR),
    "any Windows": Case({"os": "windows"}, "windows-wine", WORKS, FITS, 0, EXECUTED),
    "a failure": Case({"os": "debian-13"}, "debian-13", FAILS, FITS, 1, EXECUTED),
    "a refusal": Case(
        {"python": "3.11"}, "debian-12-python-3.11", Outcome.REFUSED, NO_WHEEL, 1, EXECUTED
    ),
    "an older release": Case(
        {"python": "3.14"}, "debian-forky-python-3.14", Outcome.FALLS_BACK, NO_WHEEL, 1, EXECUTED
    ),
    "a newer glibc": Case(UBUNTU, "debian-13", WORKS, FITS, 5, SIMILAR),
    "an older glibc": Case(UBUNTU, "debian-12", WORKS, FITS, 5, SIMILAR),
    "a failure on a similar machine": Case(UBUNTU, "debian-13", FAILS, FITS, 5, SIMILAR),
    "a refusal on a similar machine": Case(UBUNTU, "debian-13", Outcome.REFUSED, FITS, 5, SIMILAR),
    "a newer glibc, and no wheel fits": Case(UBUNTU, "debian-13", WORKS, NO_WHEEL, 1, FILES),
    "a simulated glibc": Case({"os": "centos-7"}, "debian-13-glibc-2.17", WORKS, FITS, 5, SIMILAR),
    "an emulated processor": Case(
        {"os": "debian-13"}, "debian-13-x86-64-v1", WORKS, FITS, 5, SIMILAR
    ),
    "without a library": Case({"os": "debian-13"}, "debian-13-minimal", FAILS, FITS, 5, SIMILAR),
    "a version of Windows": Case({"os": "Windows 11"}, "windows-wine", WORKS, FITS, 5, SIMILAR),
    "with a redistributable": Case(
        {"os": "windows"}, "windows-wine-vcredist", WORKS, FITS, 5, SIMILAR
    ),
    "the testbed failed": Case({}, "debian-13", Outcome.TESTBED, FITS, 3, NOT_RUN),
    "the testbed failed, and no wheel fits": Case(
        {}, "debian-13", Outcome.TESTBED, NO_WHEEL, 1, FILES
    ),
    "not judged": Case({}, "debian-13", Outcome.UNVERIFIED, FITS, 5, NOT_RUN),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_answer_follows_from_the_machine_its_outcome_and_the_files(case: Case) -> None:
    report = similar_machine.bug_report(**case.options)
    result = answer(report, case.files, _run(report, case.machine, case.outcome))
    assert (EXIT_CODES[result.verdict], result.kind) == (case.code, case.kind)
    if case.kind is SIMILAR:
        assert result.differences


@pytest.mark.parametrize(("files", "code"), [(FITS, 5), (NO_WHEEL, 1)])
def test_without_a_machine_the_files_decide_the_answer(files: FilesAnswer, code: int) -> None:
    report = similar_machine.bug_report(os="macos", python="3.13")
    result = answer(report, files, None, ("x cannot run",))
    assert (EXIT_CODES[result.verdict], result.kind) == (code, FILES)
    assert "x cannot run" in result.differences


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"python": "3.13"}, {"python": "3.12.1"}),
        ({"python": "3.13"}, {"abiflags": "t"}),
        ({"python": "3.13.5"}, {"abiflags": "t"}),
        ({"glibc": "2.41"}, {"libc": ("glibc", "2.40")}),
        ({"arch": "x86_64"}, {"machine": "aarch64"}),
    ],
)
def test_a_difference_in_the_evidence_of_the_machine_counts(
    options: dict[str, str], changes: dict[str, object]
) -> None:
    report = similar_machine.bug_report(**options)
    result = answer(report, FITS, _run(report, "debian-13", Outcome.WORKS, changes))
    assert (EXIT_CODES[result.verdict], result.kind) == (5, SIMILAR)


@pytest.mark.parametrize(
    ("wheel", "cause", "code"),
    [
        (LINUX_WHEEL, "crash", 1),
        (LINUX_WHEEL, "hang", 5),
        ("other-1-py3-none-any.whl", "crash", 5),
    ],
)
def test_a_failure_on_a_similar_machine_counts_if_the_inspection_has_the_same_cause(
    wheel: str, cause: str, code: int
) -> None:
    report = similar_machine.bug_report(**UBUNTU)
    run = _run(report, "debian-13", Outcome.FAILS)
    inspected_cause = crash().model_copy(update={"name": cause})
    inspected = inspection(LINUX_WHEEL, "a" * 64).model_copy(update={"causes": (inspected_cause,)})
    run = run._replace(
        result=run.result.model_copy(update={"wheel": wheel}),
        inspection=ReleaseInspection(wheels=(inspected,)),
    )
    assert EXIT_CODES[answer(report, FITS, run).verdict] == code


def test_conda_is_not_answered_with_a_machine() -> None:
    report = similar_machine.bug_report(installer="conda")
    result = answer(report, NO_WHEEL, None)
    assert (EXIT_CODES[result.verdict], result.kind) == (5, FILES)
    assert "conda" in result.text
    assert workarounds(report, NO_WHEEL, None, project="x", version="1.0")


# ---- the conclusion about a pasted report ----

REFUSAL = "ERROR: No matching distribution found for quiverdb"
NO_ERROR = ""


@pytest.mark.parametrize(
    ("options", "machine", "outcome", "error", "files", "expected"),
    [
        ({}, "debian-13", FAILS, "Segmentation fault", FITS, Conclusion.REPRODUCED),
        ({}, "debian-13", FAILS, NO_ERROR, FITS, Conclusion.REPRODUCED),
        ({}, "debian-13", FAILS, REFUSAL, FITS, Conclusion.NOT_REPRODUCED),
        ({}, "debian-13", FAILS, "ValueError: x", FITS, Conclusion.NOT_REPRODUCED),
        ({}, "debian-13", WORKS, "Segmentation fault", FITS, Conclusion.NOT_REPRODUCED),
        ({}, "debian-13", WORKS, NO_ERROR, FITS, Conclusion.NOT_REPRODUCED),
        (UBUNTU, "debian-13", WORKS, REFUSAL, NO_WHEEL, Conclusion.ANSWERED_FROM_FILES),
        (UBUNTU, "debian-13", FAILS, "Segmentation fault", FITS, Conclusion.REPRODUCED),
        ({}, "debian-13", Outcome.REFUSED, REFUSAL, NO_WHEEL, Conclusion.REPRODUCED),
        ({}, "debian-13", Outcome.TESTBED, REFUSAL, FITS, Conclusion.NOT_JUDGED),
        ({}, "debian-13", Outcome.TESTBED, REFUSAL, NO_WHEEL, Conclusion.ANSWERED_FROM_FILES),
    ],
)
def test_the_conclusion_compares_the_reported_error_with_the_cell(
    options: dict[str, str],
    machine: str,
    outcome: Outcome,
    error: str,
    files: FilesAnswer,
    expected: Conclusion,
) -> None:
    report = similar_machine.bug_report(**options)
    run = _run(report, machine, outcome)
    assert conclusion(error, answer(report, files, run), run) is expected


def test_without_a_machine_the_conclusion_is_from_the_files() -> None:
    report = similar_machine.bug_report(os="macos")
    assert conclusion(REFUSAL, answer(report, FITS, None), None) is Conclusion.ANSWERED_FROM_FILES


# ---- workarounds ----


def test_workarounds_follow_from_the_causes_and_the_system() -> None:
    report = similar_machine.bug_report(os="win11")
    cause = catalogue().cause("missing-runtime-library", "x", "y", library="MSVCP140.dll")
    run = _run(report, "windows-wine", Outcome.FAILS)
    run = run._replace(result=run.result.model_copy(update={"causes": (cause,)}))
    (text,) = workarounds(report, FITS, run, project="x", version="1.0")
    assert "redistributable" in text


@pytest.mark.parametrize(
    ("outcome", "count"), [(Outcome.REFUSED, 1), (Outcome.WORKS, 0), (Outcome.FAILS, 1)]
)
def test_workarounds_follow_from_the_files_unless_the_release_works(
    outcome: Outcome, count: int
) -> None:
    report = similar_machine.bug_report(python="3.13")
    files = FilesAnswer(works=False, text="x", cause="unsupported-python")
    run = _run(report, "debian-13", outcome)
    assert len(workarounds(report, files, run, project="x", version="1.0")) == count
    assert len(workarounds(report, files, None, project="x", version="1.0")) == 1


def test_workarounds_name_the_project_and_the_version() -> None:
    report = similar_machine.bug_report(installer="conda")
    files = FilesAnswer(works=False, text="x", cause="silent-fallback")
    environment, cause = workarounds(report, files, None, project="quiver-x", version="9.8.7")
    assert "pip install quiver-x`" in environment
    assert "quiver-x==9.8.7" in cause


def test_without_a_release_workarounds_are_for_the_user_environment() -> None:
    report = similar_machine.bug_report(installer="conda")
    (text,) = workarounds(report, None, None, project="quiver-x", version="")
    assert "pip install quiver-x`" in text
