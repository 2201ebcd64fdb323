"""Published releases are real input: each is judged by what it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from containers.errors import ExitCode
from tests.faults.commands import gate

FLAWS = {"stray-top-level", "duplicate-library"}


def _results(report: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((report / "results.json").read_text("utf-8"))
    return told


@pytest.mark.parametrize(
    ("options", "code", "verdict"),
    [((), ExitCode.VERIFIED, "verified"), (("--strict",), ExitCode.PACKAGE_FAILED, "failed")],
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
    assert [cell["verdict"] for cell in told["cells"]] == ["verified"]
    assert [out["id"] for out in told["out_of_scope"]] == ["source-build"]


def test_0_1_0_imports_and_has_no_native_library(tmp_path: Path) -> None:
    ended = gate(tmp_path, "--release=0.1.0", "--machine=debian-13")
    told = _results(tmp_path)

    assert ended.code == ExitCode.PACKAGE_FAILED, ended.output
    # It is one pure wheel for every platform: no platform has its own.
    assert {cause["name"] for item in told["items"] for cause in item["causes"]} == {
        "incomplete-release",
        "missing-bundled-library",
    }
    evidence = json.loads((tmp_path / "evidence" / "debian-13-pip-venv.json").read_text("utf-8"))
    assert evidence["import"]["code"] == 0
