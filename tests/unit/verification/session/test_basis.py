"""What a verdict is based on, from the data of a report."""

from __future__ import annotations

import pytest

from tests.helpers.sample_run import LINUX, PIPELINE, WINDOWS, cell, report
from tests.helpers.sample_testbed import LIMITS, release
from verification.models.evidence import Isolation
from verification.models.pipeline import ActionUse, LinterRecord
from verification.models.release import Release
from verification.models.report import NOT_COVERED, NotRehearsed, Report, SigningRecord
from verification.models.results import CellResult, Coverage, PlatformResult, UseEvidence
from verification.models.testbed import EgressProof
from verification.session.basis import basis
from verification.session.origin import ROOT
from verification.session.selection import DEFAULT_SOURCE

OWN = str(ROOT / DEFAULT_SOURCE)


def entries(run: Report, built: Release | None = None) -> dict[str, str]:
    return {entry.name: entry.value for entry in basis(run, built)}


def with_options(run: Report, **options: object) -> Report:
    return run.model_copy(update={"selection": run.selection.model_copy(update=options)})


def with_platforms(run: Report, *platforms: PlatformResult) -> Report:
    return run.model_copy(update={"platforms": platforms})


def on_wine(version: str) -> CellResult:
    result = cell(WINDOWS)
    assert result.summary
    return result.model_copy(
        update={"summary": result.summary.model_copy(update={"wine": version})}
    )


def test_network_that_is_open_towards_the_host_is_named() -> None:
    assert "network" not in entries(report())
    run = report().model_copy(update={"egress": EgressProof(reachable=("192.0.2.2",))})
    assert "192.0.2.2" in entries(run)["network"]
    jobs = PIPELINE.model_copy(update={"egress": EgressProof(reachable=("192.0.2.3",))})
    both = entries(run.model_copy(update={"pipeline": jobs}))["network"]
    assert "192.0.2.2, 192.0.2.3" in both


def action(uses: str, kind: str = "stand-in") -> ActionUse:
    return ActionUse.model_validate(
        {"uses": uses, "where": "line 1", "kind": kind, "version": "1", "folder": "x"}
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": OWN}, ("this repository", "quiverdb 0.5.0")),
        ({"source": "/other"}, ("quiverdb 0.5.0", "/other")),
        ({"source": None, "wheels": "/dist"}, ("quiverdb 0.5.0", "/dist")),
        (
            {"source": None, "wheels": "/dist", "repository": "/x", "workflow": "publish.yml"},
            ("/dist", "in place of", "publish.yml"),
        ),
        ({"source": None, "release": "0.5"}, ("published", "quiverdb 0.5.0")),
    ],
)
def test_wheels_have_a_source_or_another_origin(
    options: dict[str, object], words: tuple[str, ...]
) -> None:
    values = entries(with_options(report(), **options))
    name, other = ("source", "origin") if options["source"] else ("origin", "source")
    assert all(word in values[name] for word in words)
    assert other not in values


def test_compilers_are_those_of_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_MANYLINUX", "quay.example/manylinux")
    built = release().model_copy(update={"compilers": ("one", "two")})
    assert entries(report(), built)["compiler"] == "one, two"
    assert "compiler" not in entries(report(), release())
    assert "compiler" not in entries(report())


def test_windows_is_wine_with_the_version_that_the_machine_recorded() -> None:
    values = entries(report(cell(LINUX), on_wine("10.0")))
    assert values["Windows"] == "Wine 10.0"
    assert "a real Windows" in values[NOT_COVERED]


def test_linters_have_their_versions_and_what_the_repository_ignores() -> None:
    linters = (
        LinterRecord(name="a", version="1.2.3", files=("x.yml",), ignored=0),
        LinterRecord(name="b", version="4.5.6", files=("x.yml",), ignored=2),
        LinterRecord(name="c"),
    )
    part = PIPELINE.model_copy(update={"linters": linters})
    first, second, third = entries(report().model_copy(update={"pipeline": part}))["linters"].split(
        ", "
    )
    assert first == "a 1.2.3"
    assert second.endswith(" 2)")
    assert third == "c not run"
    assert "linters" not in entries(report())


def test_run_without_windows_machines_has_no_word_about_wine() -> None:
    values = entries(report(cell(LINUX)))
    assert not {"Windows", NOT_COVERED} & values.keys()


def test_real_windows_is_covered_by_a_machine_of_windows() -> None:
    values = entries(report(cell("windows-servercore-pip-system"), on_wine("10.0")))
    assert values["Windows"].startswith("Wine 10.0 and ")
    assert NOT_COVERED not in values


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ((action("a/x@v1"), action("a/x@v1"), action("a/y@v1")), "2 stand-in actions"),
        ((action("a/x@v1", "real"),), "1 real action"),
        ((action("a/x@v1", "real"), action("a/y@v1")), "1 real and 1 stand-in actions"),
    ],
)
def test_github_is_act_with_the_number_of_its_actions(
    actions: tuple[ActionUse, ...], words: str
) -> None:
    pipeline = PIPELINE.model_copy(update={"act": "act version 0.2.89", "actions": actions})
    values = entries(report().model_copy(update={"pipeline": pipeline}))
    assert values["GitHub"] == f"act 0.2.89 with {words}"
    assert "GitHub" not in entries(report())


def test_index_has_the_locked_version_of_pypiserver() -> None:
    lock = (ROOT / "containers/images/index/requirements.txt").read_text("utf-8")
    _, _, version = next(
        line.split()[0].partition("==") for line in lock.splitlines() if "pypiserver==" in line
    )
    assert f"pypiserver {version} " in entries(report())["index"]
    assert "index" not in entries(report().model_copy(update={"images": {}}))


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ({}, "memory, swap, processes, cpus, disk (disk by the watchdog)"),
        (
            {"swap": False, "cpus": None},
            "memory, processes, disk (disk by the watchdog); not in force: cpus, swap",
        ),
    ],
)
def test_limits_that_are_not_in_force_are_named(missing: dict[str, object], text: str) -> None:
    limits = LIMITS.in_force.model_copy(update=missing)
    run = report(cell(LINUX)).model_copy(update={"limits": (limits,)})
    assert entries(run)["limits"] == text
    assert "limits" not in entries(report(cell(LINUX)))


def test_emulated_processor_is_named() -> None:
    assert "QEMU" in entries(report(cell("debian-13-x86-64-v1-uv-venv")))["processor"]
    assert "processor" not in entries(report())


@pytest.mark.parametrize(
    ("tag", "coverage", "expected"),
    [
        ("macosx_11_0_arm64", Coverage.INSPECTED_ONLY, "macOS ARM64"),
        ("manylinux_2_28_aarch64", Coverage.UNVERIFIED, "Linux ARM64"),
        ("musllinux_1_2_aarch64", Coverage.UNDECLARED, "Linux (musl) ARM64"),
        ("musllinux_1_2_x86_64", Coverage.MACHINES, "Linux (musl) x86-64"),
        ("win32", Coverage.UNDECLARED, "Windows x86"),
        ("win_amd64", Coverage.NOT_SELECTED, "Windows x86-64"),
        ("manylinux_2_28_ppc64le", Coverage.UNDECLARED, "Linux ppc64le"),
        ("ios_13_0_arm64_iphoneos", Coverage.UNDECLARED, "ios_13_0_arm64_iphoneos"),
        ("manylinux_2_28_x86_64", Coverage.MACHINES, None),
    ],
)
def test_platform_that_no_machine_covers_is_not_covered(
    tag: str, coverage: Coverage, expected: str | None
) -> None:
    platform = PlatformResult(tag=tag, coverage=coverage, wheels=("a.whl",))
    assert entries(with_platforms(report(cell(LINUX)), platform)).get(NOT_COVERED) == expected


def test_musl_is_covered_if_a_machine_installed_a_wheel_for_it() -> None:
    musl = PlatformResult(tag="musllinux_1_2_x86_64", coverage=Coverage.MACHINES, wheels=("a.whl",))
    installed = cell(LINUX).model_copy(update={"wheel": "a.whl"})
    assert NOT_COVERED not in entries(with_platforms(report(installed), musl))


def test_not_covered_has_each_platform_once() -> None:
    platforms = (
        PlatformResult(tag=f"macosx_{version}_arm64", coverage=Coverage.INSPECTED_ONLY)
        for version in ("11_0", "14_0")
    )
    assert entries(with_platforms(report(cell(LINUX)), *platforms))[NOT_COVERED] == "macOS ARM64"


@pytest.mark.parametrize(
    ("reason", "covered"),
    [
        (None, True),
        (NotRehearsed.NO_UPLOAD, False),
        (NotRehearsed.MISSING_PERMISSION, False),
        (NotRehearsed.ATTESTATIONS_OFF, True),
    ],
)
def test_signing_that_the_run_did_not_reach_is_not_covered(
    reason: NotRehearsed | None, covered: bool
) -> None:
    record = SigningRecord(rehearsed=reason is None, reason=reason)
    pipeline = PIPELINE.model_copy(update={"signing": record})
    values = entries(report().model_copy(update={"pipeline": pipeline}))
    assert ("signing" in values[NOT_COVERED]) is not covered


def judged(cell_id: str, use: UseEvidence | None, isolation: Isolation | None = None) -> CellResult:
    result = cell(cell_id)
    assert result.summary
    changes = {"use": use, "isolation": isolation}
    return result.model_copy(update={"summary": result.summary.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        ((UseEvidence.OUTSIDE, UseEvidence.OUTSIDE), "judged from outside"),
        ((UseEvidence.INSIDE, None), "not judged from outside"),
        ((UseEvidence.OUTSIDE, UseEvidence.INSIDE), "judged from outside in 1 of 2 cells"),
        ((None, None), None),
    ],
)
def test_basis_says_if_the_use_was_judged_from_outside(
    uses: tuple[UseEvidence | None, UseEvidence | None], words: str | None
) -> None:
    cells = tuple(judged(name, use) for name, use in zip((LINUX, WINDOWS), uses, strict=True))
    run = report().model_copy(update={"cells": cells})
    assert entries(run).get("use") == words


def test_basis_names_the_machines_where_the_package_has_the_account_of_the_probe() -> None:
    name = "probe with the account of the package"
    separate = judged(LINUX, UseEvidence.OUTSIDE, Isolation(separate=True))
    root = judged(LINUX, UseEvidence.OUTSIDE, Isolation(separate=False, because="root"))
    windows = judged(WINDOWS, UseEvidence.OUTSIDE, Isolation(separate=False, because="windows"))
    assert name not in entries(report().model_copy(update={"cells": (separate,)}))
    run = report().model_copy(update={"cells": (separate, root, windows)})
    assert entries(run)[name] == f"{root.machine} (root), {windows.machine}"
