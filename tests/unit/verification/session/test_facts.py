"""The facts of a run before its first cell."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.sample_machines import sample_machine
from tests.helpers.sample_pipeline import evidence, with_index
from tests.helpers.sample_pipeline import result as pipeline_result
from tests.helpers.sample_run import LINUX_WHEEL, WINDOWS_WHEEL, cell
from tests.helpers.sample_testbed import REFUSED, TESTBED, prepared, release, set_up
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
from verification.models.run import RunResult
from verification.models.subject import Subject
from verification.models.testbed import TestbedFailureRecord
from verification.models.verdict import ExpectationKind, Verdict
from verification.rules.catalogue import catalogue
from verification.scenarios import cells, machines
from verification.session import facts
from verification.session.gate_run import GateRequest
from verification.session.prepare import RunSetup
from verification.session.selection import Options, select
from verification.verdict import judge
from verification.wheel.release_inspection import inspect_release

MACHINES = ("debian-13", "windows-wine")
LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"


@pytest.fixture
def request_(tmp_path: Path) -> GateRequest:
    """Return a request for two cells, with wheels that exist."""
    return _request(tmp_path, Options(wheels=tmp_path, profile="quick"))


def _request(folder: Path, options: Options) -> GateRequest:
    return GateRequest(select(options, Path.cwd(), SUBJECT.platforms), SUBJECT, folder / "report")


# ---- before the set-up ----


def test_before_the_set_up_the_plan_is_known_and_nothing_is_verified(
    request_: GateRequest,
) -> None:
    known = facts.before_setup(request_)
    assert (known.subject, known.strict, known.prepared) == ("quiverdb", False, False)
    assert not known.from_source
    assert known.pipeline is None
    assert [one.system for one in known.systems] == ["linux", "windows"]
    assert [one.id for one in known.planned] == [LINUX, WINDOWS]
    assert judge(known).verdict is Verdict.UNVERIFIED


def test_a_source_is_built_and_released_by_its_workflow(tmp_path: Path) -> None:
    known = facts.before_setup(_request(tmp_path, Options(strict=True)))
    assert (known.from_source, known.strict) == (True, True)
    assert known.pipeline is not None
    assert known.pipeline.not_run
    items = {item.id: item.verdict for item in judge(known).items}
    assert items["pipeline"] is items["source-build"] is Verdict.UNVERIFIED


def test_the_cells_are_planned_with_what_they_must_show() -> None:
    known = machines.load()
    of = [
        cells.cell(known["debian-13"], SUBJECT, "pip", "venv"),
        cells.cell(known["debian-12-python-3.11"], SUBJECT, "uv", "venv"),
        cells.cell(known["windows-wine"], SUBJECT, "pip", "system"),
    ]
    found = list(facts.planned(of))
    assert [(one.id, one.machine, one.installer, one.scenario) for one in found] == [
        ("debian-13-pip-venv", "debian-13", "pip", "venv"),
        ("debian-12-python-3.11-uv-venv", "debian-12-python-3.11", "uv", "venv"),
        ("windows-wine-pip-system", "windows-wine", "pip", "system"),
    ]
    assert [(one.system, one.expectation, one.comparable) for one in found] == [
        ("linux", ExpectationKind.WORKS, True),
        ("linux", ExpectationKind.REFUSES, False),
        ("windows", ExpectationKind.WORKS, True),
    ]


@pytest.mark.parametrize(
    ("machine", "comparable"),
    [
        (sample_machine(), True),
        (sample_machine(has=("more",)), False),
        (sample_machine().model_copy(update={"lacks": ("less",)}), False),
        (sample_machine().model_copy(update={"python": "3.14"}), False),
    ],
)
def test_a_machine_that_has_more_or_less_than_others_is_not_compared(
    machine: MachineSpec, *, comparable: bool
) -> None:
    assert facts.is_comparable(cells.cell(machine, SUBJECT, "pip", "venv")) == comparable


# ---- after the set-up ----


def test_after_the_set_up_each_system_has_its_wheel(request_: GateRequest) -> None:
    known = facts.after_setup(request_, set_up())
    assert known.prepared
    assert [(one.system, [wheel.file for wheel in one.wheels]) for one in known.systems] == [
        ("linux", [LINUX_WHEEL]),
        ("windows", [WINDOWS_WHEEL]),
    ]
    assert known.release_causes == ()
    assert known.upload_refused is None
    assert known.planned == facts.before_setup(request_).planned


def test_a_missing_wheel_is_a_cause_of_its_system(request_: GateRequest) -> None:
    known = facts.after_setup(request_, set_up(prepared(release(LINUX_WHEEL))))
    names = {one.system: [cause.name for cause in one.causes] for one in known.systems}
    assert names == {"linux": [], "windows": ["incomplete-release"]}


def test_a_refused_upload_is_a_cause(request_: GateRequest) -> None:
    testbed = TESTBED.model_copy(update={"uploads": (REFUSED,)})
    cause = facts.after_setup(request_, set_up(prepared(testbed=testbed))).upload_refused
    assert cause is not None
    assert (cause.name, cause.where) == ("upload-refused", "publisher")
    assert "400 Bad Request" in cause.message


def test_the_facts_of_a_wheel_are_those_of_its_inspection(tmp_path: Path) -> None:
    unread = LibrarySummary(
        format="elf", paths=("a.so",), sha256="0", size=1, imports=0, exports=0, interposable=0,
        unread="no section",
    )  # fmt: skip
    cause = catalogue().cause("glibc-floor", where="a.so", observed="x")
    wheel = inspect(linux_wheel(tmp_path)).model_copy(
        update={"libraries": (unread,), "causes": (cause,), "additional": True}
    )
    (found,) = facts.wheel_facts(
        inspect_release([], SUBJECT).model_copy(update={"wheels": (wheel,)})
    )
    assert (found.file, found.causes, found.additional) == (wheel.file, (cause,), True)
    assert found.unread == ("a.so: no section",)


MUSL = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_x86_64.whl"
NEWER = "quiverdb-0.5.0-cp314-cp314-win_amd64.whl"
PYPY = "quiverdb-0.5.0-pp311-none-win_amd64.whl"


def test_what_was_not_fetched_counts_for_its_own_system(request_: GateRequest) -> None:
    missing = dict.fromkeys((NEWER, MUSL, PYPY, "its other wheels"), "404")
    files = release().model_copy(update={"not_fetched": missing})
    known = facts.after_setup(request_, set_up(prepared(files)))
    assert {one.system: one.not_fetched for one in known.systems} == {
        "linux": (f"{MUSL}: 404", "its other wheels: 404"),
        "windows": (f"{NEWER}: 404", "its other wheels: 404"),
    }


def test_what_the_wheels_of_two_systems_show_together_is_in_both_items(
    tmp_path: Path, request_: GateRequest
) -> None:
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path, version="1.0.1"))
    files = Release(
        origin="wheels",
        location="x",
        version="1.0.0",
        wheels=tuple(map(ReleaseFile.read, wheels)),
    )
    ready = RunSetup(prepared(files), inspect_release(wheels, SUBJECT))
    known = facts.after_setup(request_, ready)
    assert [one.causes for one in known.systems] == [(), ()]
    judged = judge(
        known.model_copy(
            update={
                "cells": tuple(
                    cell(one.id).model_copy(update={"wheel": wheel.name})
                    for one, wheel in zip(known.planned, wheels, strict=True)
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


def test_the_wheels_of_a_system_that_is_not_selected_are_no_part_of_the_facts(
    tmp_path: Path,
) -> None:
    asked = _request(tmp_path, Options(wheels=tmp_path, machines=("debian-13",)))
    known = facts.after_setup(asked, set_up(prepared(release(LINUX_WHEEL))))
    assert [one.system for one in known.systems] == ["linux"]
    assert known.release_causes == ()
    inspection = facts.installed_wheels(set_up(), asked)
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
    """Judge wheels of which each machine executed the one that it was served."""
    options = Options(wheels=folder, profile="quick", machines=machines)
    asked = GateRequest(select(options, Path.cwd(), subject.platforms), subject, folder / "report")
    files = tuple(map(ReleaseFile.read, wheels))
    made = Release(origin="wheels", location="x", version="1.0.0", wheels=files)
    setup = RunSetup(prepared(made), inspect_release(wheels, subject))
    known = facts.after_setup(asked, setup)
    served = {s.system: wheel.file for s in known.systems for wheel in s.wheels}
    cells = tuple(
        cell(one.id).model_copy(update={"wheel": served[one.system]}) for one in known.planned
    )
    judged = judge(known.model_copy(update={"cells": cells}))
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


def test_a_wheel_with_code_for_another_processor_fails_where_no_machine_runs_it(
    tmp_path: Path,
) -> None:
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path), _arm_wheel(tmp_path, "armv7l"))
    for machines_ in ((), ("debian-13",)):
        judged = _judged(tmp_path, SUBJECT, *wheels, machines=machines_)
        assert judged.verdict is Verdict.FAILED
        assert judged.causes[f"wheel-{ARM}"] == {"wrong-architecture"}


def test_a_sound_wheel_without_a_machine_is_inspected_only(tmp_path: Path) -> None:
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path), _arm_wheel(tmp_path, "aarch64"))
    judged = _judged(tmp_path, SUBJECT, *wheels)
    assert judged.verdict is Verdict.VERIFIED
    assert f"wheel-{ARM}" not in judged.causes
    assert judged.platforms[ARM].coverage is Coverage.INSPECTED_ONLY
    assert judged.platforms[ARM].wheels == (wheels[2].name,)
    assert judged.platforms["win_amd64"].coverage is Coverage.MACHINES


@pytest.mark.parametrize(
    ("execute", "with_wheel", "expected", "causes"),
    [
        (True, True, Verdict.UNVERIFIED, set()),
        (False, True, Verdict.VERIFIED, None),
        (True, False, Verdict.FAILED, {"incomplete-release"}),
        (False, False, Verdict.FAILED, {"incomplete-release"}),
    ],
)
def test_a_required_platform_without_a_machine_is_unverified_and_needs_its_wheel(
    tmp_path: Path,
    *,
    execute: bool,
    with_wheel: bool,
    expected: Verdict,
    causes: set[str] | None,
) -> None:
    wheels = [linux_wheel(tmp_path), windows_wheel(tmp_path)]
    if with_wheel:
        wheels.append(_arm_wheel(tmp_path, "aarch64"))
    judged = _judged(tmp_path, _requires_arm(execute=execute), *wheels)
    assert judged.verdict is expected
    assert judged.causes.get(f"wheel-{ARM}") == causes


def test_a_broken_wheel_of_a_deselected_platform_is_shown_and_does_not_count(
    tmp_path: Path,
) -> None:
    broken = windows_wheel(tmp_path, {WINDOWS_CORE: windows_core(machine="i686")})
    judged = _judged(tmp_path, SUBJECT, linux_wheel(tmp_path), broken, machines=("debian-13",))
    assert judged.verdict is Verdict.VERIFIED
    windows = judged.platforms["win_amd64"]
    assert windows.coverage is Coverage.NOT_SELECTED
    assert "wrong-architecture" in {cause.name for cause in windows.causes}


def test_a_wheel_of_another_source_is_a_cause_of_the_platform_that_it_is_for(
    tmp_path: Path,
) -> None:
    other = linux_wheel(tmp_path, {"quiverdb/more.py": "x = 1\n"}, tag="cp313-cp313-win32")
    arm = linux_wheel(
        tmp_path,
        {
            "quiverdb/_loader.py": "import cffi\n",
            LINUX_CORE: linux_core(machine="aarch64", needed=["libc.so.6"], imports=[]),
            LINUX_API: linux_api(machine="aarch64", needed=["libquiver.so"], imports=[]),
        },
        tag=ARM_TAG,
    )
    wheels = (linux_wheel(tmp_path), windows_wheel(tmp_path), arm, other)
    judged = _judged(tmp_path, SUBJECT, *wheels)
    assert judged.verdict is Verdict.VERIFIED  # it is a flaw
    assert judged.causes == {"linux-install": set(), "windows-install": set()}
    assert [cause.name for cause in judged.platforms[ARM].causes] == ["wheels-differ"]
    assert judged.platforms["win32"].coverage is Coverage.UNDECLARED


def test_a_wheel_that_was_not_fetched_is_not_held_to_be_missing(request_: GateRequest) -> None:
    missing = {f"quiverdb-0.5.0-{ARM_TAG}.whl": "404"}
    files = release().model_copy(update={"not_fetched": missing, "undeclared": (MUSL_S390X,)})
    request_.subject = _requires_arm(execute=False)
    known = facts.after_setup(request_, set_up(prepared(files)))
    arm = {platform.tag: platform for platform in known.platforms}[ARM]
    assert (arm.causes, len(arm.not_fetched)) == ((), 1)
    assert known.platforms[-1].wheels == (MUSL_S390X,)
    assert judge(known).verdict is Verdict.UNVERIFIED


MUSL_S390X = "quiverdb-0.5.0-cp313-cp313-musllinux_1_2_s390x.whl"


def test_a_source_of_which_only_one_system_is_built_lacks_no_wheel(tmp_path: Path) -> None:
    asked = _request(tmp_path, Options(machines=("debian-13",)))
    known = facts.after_setup(asked, set_up(prepared(release(LINUX_WHEEL))))
    windows = {platform.tag: platform for platform in known.platforms}["win_amd64"]
    assert (windows.coverage, windows.causes) == (Coverage.NOT_SELECTED, ())


# ---- the release workflow ----


def _after(folder: Path, outcome: PipelineOutcome | None) -> RunResult:
    asked = _request(folder, Options())
    return facts.after_setup(asked, set_up()._replace(pipeline=outcome))


def test_a_workflow_that_released_exchanged_its_identity(tmp_path: Path) -> None:
    found = _after(tmp_path, pipeline_result()).pipeline
    assert found is not None
    assert (found.not_run, found.identity_exchanged) == ("", True)
    assert found.causes == found.publisher_causes == ()


def test_a_workflow_without_an_exchange_exchanged_no_identity(tmp_path: Path) -> None:
    outcome = pipeline_result(evidence=with_index(evidence(), uploads=(), exchanges=()))
    found = _after(tmp_path, outcome).pipeline
    assert found is not None
    assert not found.identity_exchanged


def test_the_publisher_has_the_causes_that_are_about_who_publishes(tmp_path: Path) -> None:
    of_publisher = catalogue().cause("publisher-mismatch", where="publish.yml", observed="x")
    other = catalogue().cause("job-failed", where="publish.yml", observed="x")
    found = _after(tmp_path, pipeline_result(dynamic=(of_publisher, other))).pipeline
    assert found is not None
    assert found.causes == (of_publisher, other)
    assert found.publisher_causes == (of_publisher,)


def test_a_failure_of_the_testbed_is_the_cause_of_both_items(tmp_path: Path) -> None:
    fault = TestbedFailureRecord(cause="machine-lost", where="runner", observed="it is gone")
    outcome = PipelineFailure(static=(), testbed=fault)
    found = _after(tmp_path, outcome).pipeline
    assert found is not None
    assert found.causes == found.publisher_causes
    (cause,) = found.causes
    assert (cause.name, cause.where, cause.severity) == ("machine-lost", "runner", Severity.TESTBED)
    assert facts.pipeline_result(outcome) is None


def test_a_workflow_that_did_not_run_has_a_reason(tmp_path: Path) -> None:
    found = _after(tmp_path, None).pipeline
    assert found is not None
    assert found.not_run
    assert facts.pipeline_result(None) is None
    assert facts.pipeline_result(pipeline_result()) == pipeline_result()


def test_a_workflow_that_is_out_of_scope_is_no_part_of_the_facts(request_: GateRequest) -> None:
    known = facts.after_setup(request_, set_up()._replace(pipeline=pipeline_result()))
    assert known.pipeline is None


def test_a_wheel_for_any_platform_is_for_both_systems(request_: GateRequest) -> None:
    name = "quiverdb-0.5.0-py3-none-any.whl"
    known = facts.after_setup(request_, set_up(prepared(release(name))))
    assert [[wheel.file for wheel in one.wheels] for one in known.systems] == [[name], [name]]
