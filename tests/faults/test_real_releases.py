"""Published releases are real input: each is judged by what it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands import gate
from verification.models.errors import ExitCode
from verification.models.evidence import read_evidence

FLAWS = {"stray-top-level", "duplicate-library"}


def _results(report: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((report / "results.json").read_text("utf-8"))
    return told


@pytest.mark.parametrize(
    ("options", "code", "verdict"),
    [
        ((), ExitCode.VERIFIED, "verified"),
        (("--strict-verdict",), ExitCode.PACKAGE_FAILED, "failed"),
    ],
    ids=["lenient", "strict"],
)
def test_0_13_5_works_on_debian_13_and_is_flawed(
    tmp_path: Path, options: tuple[str, ...], code: int, verdict: str
) -> None:
    ended = gate(tmp_path, "--release=0.13.5", "--machine=debian-13", *options)
    told = _results(tmp_path)

    assert ended.code == code, ended.output
    assert told["verdict"] == verdict
    assert {cause["name"] for item in told["items"] for cause in item["causes"]} == FLAWS
    assert [cell["verdict"] for cell in told["cells"]] == ["verified"] * 2  # pip and uv
    assert "--tests DIR" in told["own_tests_not_run"]
    assert "none of the package's own tests ran" in " ".join(ended.output.split())
    left_out = [out["id"] for out in told["out_of_scope"]]
    assert {"source-build", "debian-13-pip-own-tests"} <= set(left_out)


def test_0_13_5_on_windows_needs_a_runtime_that_no_clean_machine_has(tmp_path: Path) -> None:
    names = ("windows-wine", "windows-wine-vcredist", "windows-wine-vcredist-old")
    ended = gate(tmp_path, "--release=0.13.5", *(f"--machine={name}" for name in names), "-n2")
    told = _results(tmp_path)
    cells = {cell["id"]: cell for cell in told["cells"]}
    causes = {name: [c["name"] for c in cell["causes"]] for name, cell in cells.items()}

    assert ended.code == ExitCode.PACKAGE_FAILED, ended.output
    for installer in ("pip", "uv"):
        assert causes[f"windows-wine-{installer}-system"] == ["missing-runtime-library"]
    assert causes["windows-wine-vcredist-pip-system"] == []
    assert causes["windows-wine-vcredist-old-pip-system"] == ["runtime-too-old"]
    (needed,) = cells["windows-wine-pip-system"]["causes"]
    assert "libquiver.dll imports MSVCP140.dll" in needed["message"]
    assert "delvewheel repair --analyze-existing" in needed["remedy"]
    (old,) = cells["windows-wine-vcredist-old-pip-system"]["causes"]
    assert "MSVCP140.dll 14.34" in old["message"]
    assert "works-with-more" in [note["name"] for note in told["notes"]]
    every = {cause["name"] for item in told["items"] for cause in item["causes"]}
    assert "layers-disagree" not in every
    assert "unclassified" not in every
    for cell in cells.values():
        assert _import_code(tmp_path, cell) == 0, "import alone passes on all of them"


def test_0_1_0_imports_and_has_no_native_library(tmp_path: Path) -> None:
    ended = gate(tmp_path, "--release=0.1.0", "--machine=debian-13")
    told = _results(tmp_path)

    assert ended.code == ExitCode.PACKAGE_FAILED, ended.output
    # It is one pure wheel for every platform: no platform has its own.
    assert {cause["name"] for item in told["items"] for cause in item["causes"]} == {
        "incomplete-release",
        "missing-bundled-library",
    }
    (cell,) = [cell for cell in told["cells"] if cell["id"] == "debian-13-pip-venv"]
    assert _import_code(tmp_path, cell) == 0


def _import_code(report: Path, cell: dict[str, Any]) -> int | None:
    """Return the exit code of the import, from the evidence of a cell."""
    evidence = read_evidence(report / "evidence" / f"{cell['evidence']}.json")
    return evidence.import_run.code if evidence.import_run else None


def test_a_machine_that_this_engine_cannot_run_is_unverified_and_says_why(
    tmp_path: Path, good_windows_wheel: Path
) -> None:
    ended = gate(tmp_path, f"--wheels={good_windows_wheel.parent}", "--machine=windows-servercore")
    told = _results(tmp_path)

    assert ended.code == ExitCode.UNVERIFIED, ended.output
    assert [cell["verdict"] for cell in told["cells"]] == ["unverified"]
    assert "needs a Windows-container engine" in told["cells"][0]["reason"]
