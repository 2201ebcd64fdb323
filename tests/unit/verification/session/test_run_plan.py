"""The state of a run before its first cell."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_pipeline import evidence, with_index
from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL, cell
from tests.helpers.sample_testbed import REFUSED, TESTBED, prepared_run, release, run_setup
from tests.helpers.sample_wheels import (
    LINUX_API,
    LINUX_CORE,
    SUBJECT,
    WINDOWS_CORE,
    inspect,
    linux_api,
    linux_core,
    linux_wheel,
    windows_core,
    windows_wheel,
)
from verification.models.cause import Severity
from verification.models.inspection import LibrarySummary
from verification.models.machine import MachineSpec
from verification.models.pipeline import PipelineFailure, PipelineOutcome
from verification.models.release import Release, ReleaseFile
from verification.models.results import Coverage, PlatformResult
from verification.models.run import PipelineSummary
from verification.models.subject import Subject
from verification.models.testbed import EgressProof, TestbedFailureRecord
from verification.models.verdict import ExpectationKind, Verdict
from verification.rules.catalogue import catalogue
from verification.scenarios import cells, machines
from verification.session import run_plan
from verification.session.gate_run import GateRequest
from verification.session.prepare import RunSetup
from verification.session.selection import Options, select
from verification.verdict import judge
from verification.wheel.release_inspection import inspect_release

MACHINES = ("debian-13", "windows-wine")
LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"


@pytest.fixture
def request_(tmp_path: Path) -> GateRequest:
    """Return a request for two cells, with existing wheels."""
    return _request(tmp_path, Options(wheels=tmp_path, profile="quick"))


def _request(folder: Path, options: Options) -> GateRequest:
    return GateRequest(select(options, Path.cwd(), SUBJECT.platforms), SUBJECT, folder / "report")


# ---- before the set-up ----


def test_facts_before_the_set_up_have_the_plan_and_verify_nothing(
    request_: GateRequest,
) -> None:
    result = run_plan.before_setup(request_)
    assert (result.subject, result.strict, result.prepared) == ("quiverdb", False, False)
    assert not result.from_source
    assert result.pipeline is None
    assert [system.system for system in result.systems] == ["linux", "windows"]
    assert [cell.id for cell in result.planned] == [LINUX, WINDOWS]
    assert judge(result).verdict is Verdict.UNVERIFIED


def test_state_of_a_source_run_includes_its_build_and_its_workflow(tmp_path: Path) -> None:
    result = run_plan.before_setup(_request(tmp_path, Options(strict=True)))
    assert (result.from_source, result.strict) == (True, True)
    assert result.pipeline is not None
    assert result.pipeline.not_run
    items = {item.id: item.verdict for item in judge(result).items}
    assert items["pipeline"] is items["source-build"] is Verdict.UNVERIFIED


def test_planned_cells_have_their_expectation() -> None:
    specs = machines.load()
    planned = list(
        run_plan.planned(
            [
                cells.cell(specs["debian-13"], SUBJECT, "pip", "venv"),
                cells.cell(specs["debian-12-python-3.11"], SUBJECT, "uv", "venv"),
                cells.cell(specs["windows-wine"], SUBJECT, "pip", "system"),
            ],
            SUBJECT,
        )
    )
    assert [(cell.id, cell.machine, cell.installer, cell.scenario) for cell in planned] == [
        ("debian-13-pip-venv", "debian-13", "pip", "venv"),
        ("debian-12-python-3.11-uv-venv", "debian-12-python-3.11", "uv", "venv"),
        ("windows-wine-pip-system", "windows-wine", "pip", "system"),
    ]
    assert [(cell.system, cell.expectation, cell.comparable) for cell in planned] == [
        ("linux", ExpectationKind.WORKS, True),
        ("linux", ExpectationKind.REFUSES, False),
        ("windows", ExpectationKind.WORKS, True),
    ]


@pytest.mark.parametrize(
    ("machine", "comparable"),
    [
        (sample_machine(), True),
        (sample_machine(additional_software=("a library",)), False),
        (sample_machine().model_copy(update={"missing_software": ("a library",)}), False),
        (sample_machine().model_copy(update={"python": "3.14"}), False),
    ],
    ids=["clean", "with a library", "without a library", "refuses"],
)
def test_only_a_clean_machine_is_compared_with_the_inspection(
    machine: MachineSpec, *, comparable: bool
) -> None:
    assert run_plan.is_comparable(cells.cell(machine, SUBJECT, "pip", "venv")) == comparable


# ---- after the set-up ----


def test_facts_after_the_set_up_have_the_wheel_of_each_system(request_: GateRequest) -> None:
    result = run_plan.after_setup(request_, run_setup())
    assert result.prepared
    assert {s.system: [wheel.file for wheel in s.wheels] for s in result.systems} == {
        "linux": [LINUX_WHEEL],
        "windows": [WINDOWS_WHEEL],
    }
    assert result.release_causes == ()
    assert result.upload_refused is None
    assert result.planned == run_plan.before_setup(request_).planned
    assert result.closure_not_proved == ""


def test_network_closure_that_is_not_proved_is_in_the_state_of_the_run(
    request_: GateRequest,
) -> None:
    setup = run_setup()
    proof = EgressProof(not_proved="the engine refuses")
    testbed = setup.prepared.testbed.model_copy(update={"egress": proof})
    prepared = setup.prepared.model_copy(update={"testbed": testbed})
    result = run_plan.after_setup(request_, setup._replace(prepared=prepared))
    assert result.closure_not_proved == proof.not_proved


def test_missing_wheel_is_a_cause_of_its_system(request_: GateRequest) -> None:
    result = run_plan.after_setup(request_, run_setup(prepared_run(release(LINUX_WHEEL))))
    names = {s.system: [cause.name for cause in s.causes] for s in result.systems}
    assert names == {"linux": [], "windows": ["incomplete-release"]}


def test_refused_upload_is_a_cause(request_: GateRequest) -> None:
    testbed = TESTBED.model_copy(update={"uploads": (REFUSED,)})
    cause = run_plan.after_setup(request_, run_setup(prepared_run(testbed=testbed))).upload_refused
    assert cause is not None
    assert (cause.name, cause.where) == ("upload-refused", "publisher")
    assert "400 Bad Request" in cause.message


def test_summary_of_a_wheel_comes_from_its_inspection(tmp_path: Path) -> None:
    unread = LibrarySummary(
        format="elf", paths=("a.so",), sha256="0", size=1, imports=0, exports=0, interposable=0,
        unread="no section",
    )  # fmt: skip
    cause = catalogue().cause("glibc-floor", "a.so", "x")
    wheel = inspect(linux_wheel(tmp_path)).model_copy(
        update={"libraries": (unread,), "causes": (cause,), "additional": True}
    )
    inspection = inspect_release([], SUBJECT).model_copy(update={"wheels": (wheel,)})
    (summary,) = run_plan.wheel_summaries(inspection)
    assert (summary.file, summary.causes) == (wheel.file, (cause,))
    assert summary.additional
    assert summary.unread == ("a.so: no section",)


MUSL = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_x86_64.whl"
NEWER = "quiverdb-0.5.0-cp314-cp314-win_amd64.whl"
PYPY = "quiverdb-0.5.0-pp311-none-win_amd64.whl"


def test_wheel_that_was_not_fetched_counts_for_its_system(request_: GateRequest) -> None:
    missing = dict.fromkeys((NEWER, MUSL, PYPY, "the other wheels"), "404")
    files = release().model_copy(update={"not_fetched": missing})
    result = run_plan.after_setup(request_, run_setup(prepared_run(files)))
    assert {s.system: s.not_fetched for s in result.systems} == {
        "linux": (f"{MUSL}: 404", "the other wheels: 404"),
        "windows": (f"{NEWER}: 404", "the other wheels: 404"),
    }


def test_cause_of_the_wheels_of_two_systems_together_is_in_both_items(
    tmp_path: Path, request_: GateRequest
) -> None:
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path, version="1.0.1"))
    files = Release(
        origin="wheels",
        location="x",
        version="1.0.0",
        wheels=tuple(map(ReleaseFile.read, wheels)),
    )
    ready = RunSetup(prepared_run(files), inspect_release(wheels, SUBJECT))
    result = run_plan.after_setup(request_, ready)
    assert [system.causes for system in result.systems] == [(), ()]
    judged = judge(
        result.model_copy(
            update={
                "cells": tuple(
                    cell(planned.id).model_copy(update={"wheel": wheel.name})
                    for planned, wheel in zip(result.planned, wheels, strict=True)
                )
            }
        )
    )
    assert {item.id: item.verdict for item in judged.items} == {
        "linux-install": Verdict.FAILED,
        "windows-install": Verdict.FAILED,
    }
    assert [[cause.name for cause in item.causes] for item in judged.items] == [
        ["version-mismatch"],
        ["version-mismatch"],
    ]


def test_wheels_of_a_system_that_is_not_selected_are_not_in_the_plan(
    tmp_path: Path,
) -> None:
    request = _request(tmp_path, Options(wheels=tmp_path, machines=("debian-13",)))
    result = run_plan.after_setup(request, run_setup(prepared_run(release(LINUX_WHEEL))))
    assert [system.system for system in result.systems] == ["linux"]
    assert result.release_causes == ()
    inspection = run_plan.installed_wheels(run_setup(), request)
    assert [wheel.file for wheel in inspection.wheels] == [LINUX_WHEEL]


# ---- the platforms without a machine ----

ARM_TAG = "cp313-cp313-manylinux_2_28_aarch64"


def _arm_wheel(folder: Path, machine: str) -> Path:
    libraries = {
        LINUX_CORE: linux_core(machine=machine, needed=["libc.so.6"], imports=[]),
        LINUX_API: linux_api(machine=machine, needed=["libquiver.so", "libc.so.6"], imports=[]),
    }
    return linux_wheel(folder, libraries, tag=ARM_TAG)


def _judged(
    folder: Path, subject: Subject, *wheels: Path, machines: tuple[str, ...] = ()
) -> Judged:
    """Judge a run of these wheels. Each cell executes the wheel that is served to its system."""
    options = Options(wheels=folder, profile="quick", machines=machines)
    request = GateRequest(
        select(options, Path.cwd(), subject.platforms), subject, folder / "report"
    )
    files = tuple(map(ReleaseFile.read, wheels))
    wheel_release = Release(origin="wheels", location="x", version="1.0.0", wheels=files)
    setup = RunSetup(prepared_run(wheel_release), inspect_release(wheels, subject))
    result = run_plan.after_setup(request, setup)
    served = {s.system: wheel.file for s in result.systems for wheel in s.wheels}
    cells = tuple(
        cell(planned.id).model_copy(update={"wheel": served[planned.system]})
        for planned in result.planned
    )
    judged = judge(result.model_copy(update={"cells": cells}))
    causes = {item.id: {cause.name for cause in item.causes} for item in judged.items}
    return Judged(judged.verdict, causes, {p.tag: p for p in judged.platforms})


class Judged(NamedTuple):
    """The verdict, the names of the causes by item, and the platforms by tag."""

    verdict: Verdict
    causes: dict[str, set[str]]
    platforms: dict[str, PlatformResult]


def _requires_arm(*, execute: bool) -> Subject:
    platforms = tuple(
        p.model_copy(update={"required": True, "execute": execute})
        if p.target.machine == "aarch64" and p.target.system == "linux"
        else p
        for p in SUBJECT.platforms
    )
    return SUBJECT.model_copy(update={"platforms": platforms})


ARM = "manylinux_2_28_aarch64"


def test_wheel_with_code_for_another_processor_fails_without_a_machine(
    tmp_path: Path,
) -> None:
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path), _arm_wheel(tmp_path, "armv7l"))
    for machine_names in ((), ("debian-13",)):
        judged = _judged(tmp_path, SUBJECT, *wheels, machines=machine_names)
        assert judged.verdict is Verdict.FAILED
        assert judged.causes[f"wheel-{ARM}"] == {"wrong-architecture"}


def test_good_wheel_without_a_machine_is_inspected_only(tmp_path: Path) -> None:
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path), _arm_wheel(tmp_path, "aarch64"))
    judged = _judged(tmp_path, SUBJECT, *wheels)
    assert judged.verdict is Verdict.VERIFIED
    assert f"wheel-{ARM}" not in judged.causes
    assert judged.platforms[ARM].coverage is Coverage.INSPECTED_ONLY
    assert judged.platforms[ARM].wheels == (wheels[2].name,)
    assert judged.platforms["win_amd64"].coverage is Coverage.MACHINES


@pytest.mark.parametrize(
    ("execute", "with_wheel", "verdict", "causes"),
    [
        (True, True, Verdict.UNVERIFIED, set()),
        (False, True, Verdict.VERIFIED, None),
        (True, False, Verdict.FAILED, {"incomplete-release"}),
        (False, False, Verdict.FAILED, {"incomplete-release"}),
    ],
)
def test_required_platform_without_a_machine_is_unverified_and_needs_its_wheel(
    tmp_path: Path,
    *,
    execute: bool,
    with_wheel: bool,
    verdict: Verdict,
    causes: set[str] | None,
) -> None:
    wheels = [linux_wheel(tmp_path), windows_wheel(tmp_path)]
    if with_wheel:
        wheels.append(_arm_wheel(tmp_path, "aarch64"))
    judged = _judged(tmp_path, _requires_arm(execute=execute), *wheels)
    assert judged.verdict is verdict
    assert judged.causes.get(f"wheel-{ARM}") == causes


def test_broken_wheel_of_a_deselected_platform_is_reported_and_does_not_count(
    tmp_path: Path,
) -> None:
    broken = windows_wheel(tmp_path, {WINDOWS_CORE: windows_core(machine="i686")})
    judged = _judged(tmp_path, SUBJECT, linux_wheel(tmp_path), broken, machines=("debian-13",))
    assert judged.verdict is Verdict.VERIFIED
    windows = judged.platforms["win_amd64"]
    assert windows.coverage is Coverage.NOT_SELECTED
    assert "wrong-architecture" in {cause.name for cause in windows.causes}


def test_wheel_of_another_source_is_a_cause_of_its_platform(
    tmp_path: Path,
) -> None:
    undeclared = linux_wheel(tmp_path, {"quiverdb/more.py": "x = 1\n"}, tag="cp313-cp313-win32")
    arm = linux_wheel(
        tmp_path,
        {
            "quiverdb/_loader.py": "import cffi\n",
            LINUX_CORE: linux_core(machine="aarch64", needed=["libc.so.6"], imports=[]),
            LINUX_API: linux_api(machine="aarch64", needed=["libquiver.so"], imports=[]),
        },
        tag=ARM_TAG,
    )
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path), arm, undeclared)
    judged = _judged(tmp_path, SUBJECT, *wheels)
    assert judged.verdict is Verdict.VERIFIED  # the cause is a flaw
    assert judged.causes == {"linux-install": set(), "windows-install": set()}
    assert [cause.name for cause in judged.platforms[ARM].causes] == ["wheels-differ"]
    assert judged.platforms["win32"].coverage is Coverage.UNDECLARED


def test_wheel_that_was_not_fetched_is_not_a_missing_wheel(request_: GateRequest) -> None:
    missing = {f"quiverdb-0.5.0-{ARM_TAG}.whl": "404"}
    files = release().model_copy(update={"not_fetched": missing, "undeclared": (MUSL_S390X,)})
    request_.subject = _requires_arm(execute=False)
    result = run_plan.after_setup(request_, run_setup(prepared_run(files)))
    arm = {platform.tag: platform for platform in result.platforms}[ARM]
    assert (arm.causes, len(arm.not_fetched)) == ((), 1)
    assert result.platforms[-1].wheels == (MUSL_S390X,)
    assert judge(result).verdict is Verdict.UNVERIFIED


MUSL_S390X = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_s390x.whl"


def test_source_that_is_built_for_one_system_has_no_missing_wheel(tmp_path: Path) -> None:
    request = _request(tmp_path, Options(machines=("debian-13",)))
    result = run_plan.after_setup(request, run_setup(prepared_run(release(LINUX_WHEEL))))
    windows = {platform.tag: platform for platform in result.platforms}["win_amd64"]
    assert (windows.coverage, windows.causes) == (Coverage.NOT_SELECTED, ())


# ---- the release workflow ----


def _pipeline_summary(folder: Path, outcome: PipelineOutcome | None) -> PipelineSummary:
    request = _request(folder, Options())
    pipeline = run_plan.after_setup(request, run_setup()._replace(pipeline=outcome)).pipeline
    assert pipeline is not None
    return pipeline


def test_successful_workflow_exchanged_its_identity(tmp_path: Path) -> None:
    pipeline = _pipeline_summary(tmp_path, pipeline_result())
    assert (pipeline.not_run, pipeline.identity_exchanged) == ("", True)
    assert pipeline.causes == pipeline.publisher_causes == ()


def test_workflow_without_an_exchange_exchanged_no_identity(tmp_path: Path) -> None:
    outcome = pipeline_result(evidence=with_index(evidence(), uploads=(), exchanges=()))
    assert not _pipeline_summary(tmp_path, outcome).identity_exchanged


@pytest.mark.parametrize("reason", ["", "the engine refuses"])
def test_workflow_has_the_reason_why_network_closure_of_its_jobs_is_not_proved(
    tmp_path: Path, reason: str
) -> None:
    proved = evidence().model_copy(update={"egress": EgressProof(not_proved=reason)})
    pipeline = _pipeline_summary(tmp_path, pipeline_result(evidence=proved))
    assert pipeline.closure_not_proved == reason


def test_publisher_has_only_the_causes_of_the_publisher(tmp_path: Path) -> None:
    mismatch = catalogue().cause("publisher-mismatch", "publish.yml", "x")
    failed_job = catalogue().cause("job-failed", "publish.yml", "x")
    pipeline = _pipeline_summary(tmp_path, pipeline_result(dynamic=(mismatch, failed_job)))
    assert pipeline.causes == (mismatch, failed_job)
    assert pipeline.publisher_causes == (mismatch,)


def test_testbed_failure_is_the_cause_of_both_items(tmp_path: Path) -> None:
    fault = TestbedFailureRecord(cause="machine-lost", where="runner", observed="no answer")
    outcome = PipelineFailure(static=(), testbed=fault)
    pipeline = _pipeline_summary(tmp_path, outcome)
    assert pipeline.causes == pipeline.publisher_causes
    (cause,) = pipeline.causes
    assert (cause.name, cause.where, cause.severity) == ("machine-lost", "runner", Severity.TESTBED)
    assert run_plan.pipeline_result(outcome) is None


def test_workflow_that_did_not_run_has_a_reason(tmp_path: Path) -> None:
    assert _pipeline_summary(tmp_path, None).not_run
    assert run_plan.pipeline_result(None) is None
    assert run_plan.pipeline_result(pipeline_result()) == pipeline_result()


def test_workflow_out_of_scope_is_not_in_the_plan(request_: GateRequest) -> None:
    result = run_plan.after_setup(request_, run_setup()._replace(pipeline=pipeline_result()))
    assert result.pipeline is None


def test_wheel_for_any_platform_belongs_to_both_systems(request_: GateRequest) -> None:
    name = "quiverdb-0.5.0-py3-none-any.whl"
    result = run_plan.after_setup(request_, run_setup(prepared_run(release(name))))
    assert [[wheel.file for wheel in system.wheels] for system in result.systems] == [[name]] * 2
