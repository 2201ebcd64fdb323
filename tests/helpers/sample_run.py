"""A run as results.json tells of it, made up, with evidence: what the tests of the report need."""

from __future__ import annotations

import copy
from typing import Any

from verification.models.cause import Cause
from verification.report import limits as trust
from verification.report import results
from verification.report import summary as seen
from verification.report.writer import machines
from verification.rules.catalogue import catalogue
from verification.rules.own_tests import OUTCOMES
from verification.verdict import CellResult, Verdict, item, worst

WHEELS = {
    "quiverdb-0.5.0-cp313-cp313-manylinux_2_28_x86_64.whl": "a" * 64,
    "quiverdb-0.5.0-cp313-cp313-win_amd64.whl": "b" * 64,
}
LINUX, WINDOWS = "debian-13-pip-venv", "windows-wine-uv-system"


def evidence(ident: str = LINUX, *, log: str = "Successfully installed") -> dict[str, Any]:
    """Return what a cell that works leaves, with ``log`` as the installer's output."""
    windows = "windows" in ident
    pip = "C:\\Python 3\\Scripts\\pip.exe" if windows else "/home/user/venv/bin/pip"
    ran = {"code": 0, "stdout": "", "stderr": "", "seconds": 0.5, "timed_out": False}
    wheel = list(WHEELS)[windows]
    good = {"ok": True, "error": None, "seconds": 0.1}
    return {
        "schema": 1,
        "os": "windows" if windows else "linux",
        "python": "3.13.5",
        "implementation": "cpython",
        "system": "Linux-6",
        "image": {"tag": "quiverdb-e2e/debian-13:0123456789ab", "id": "sha256:1", "created": "x"},
        "deviation": "",
        "install": ran | {"command": [pip, "install", "quiverdb"], "stdout": log, "seconds": 2.0},
        "import": ran | {"command": ["python", "-c", "import quiverdb"]},
        "exercise": ran
        | {
            "command": ["python", "-c", "..."],
            "steps": {
                "native-call": good | {"value": {"version": "0.5.0", "source": "bundled"}},
                "round-trip": good | {"value": {"id": 1}},
            },
        },
        "uninstall": ran | {"command": [pip, "uninstall", "--yes", "quiverdb"]},
        "requests": [{"file": wheel, "sha256": WHEELS[wheel], "path": "/x"}],
        "loader": [],
        "processes": [],
        "wall_seconds": 4.0,
    }


def own_tests() -> dict[str, Any]:
    """Return what a run of the package's own tests leaves in the evidence of its cell."""
    counts = dict.fromkeys(OUTCOMES, 0) | {"passed": 106, "skipped": 2}
    skipped = {"node": "tests/test_a.py::test_fork", "outcome": "skipped"}
    return {
        "command": ["python", "-m", "pytest", "tests"],
        "code": 0, "stdout": "106 passed", "stderr": "", "seconds": 9.0, "timed_out": False,
        "pytest": "9.2.0", "collected": 108, "counts": counts, "failures": [],
        "left_out": [skipped | {"reason": "Windows does not fork"}] * 2, "sha256": "c" * 64,
    }  # fmt: skip


def crash(where: str = LINUX) -> Cause:
    """Return a cause that makes a cell fail."""
    return catalogue().cause("crash", where=f"{where}: import", seen="was killed by signal 11")


def cell(ident: str, *causes: Cause, reason: str = "", seconds: float = 4.0) -> CellResult:
    """Return a cell's result; with a reason it did not run."""
    machine, installer, scenario = ident.rsplit("-", 2)
    verdict = Verdict.FAILED if causes else Verdict.VERIFIED
    if reason:
        return CellResult(ident, machine, installer, scenario, Verdict.UNVERIFIED, (), 0.0, reason)
    return CellResult(ident, machine, installer, scenario, verdict, causes, seconds)


def told(
    *cells: CellResult, source: Verdict | None = Verdict.VERIFIED, **changes: Any
) -> dict[str, Any]:
    """Return what results.json tells of a run with these cells; ``changes`` are top-level keys."""
    ran = list(cells) or [cell(LINUX), cell(WINDOWS)]
    items = [
        item(
            f"{system}-install",
            f"pip install quiverdb works on a clean {system.capitalize()} machine",
            causes=(),
            cells=[one for one in ran if ("windows" in one.id) == (system == "windows")],
            strict=False,
        )
        for system in ("linux", "windows")
    ]
    found: dict[str, Any] = {
        "schema": results.SCHEMA,
        "items": [results.item_to_dict(one) for one in items],
        "cells": [results.cell_to_dict(one) for one in ran],
        "started": "2026-03-01T10:00:00Z",
        "seconds": 61.2,
        "selection": {
            "source": "/src/bindings/python",
            "wheels": None,
            "release": None,
            "machines": sorted({one.machine for one in ran}),
            "narrowed": [],
            "strict": False,
            "pipeline": False,
            "actions_from": None,
            "profile": "gate",
            "history": "all",
            "tests": None,
        },
        "interrupted": False,
        "out_of_scope": [{"id": "windows-servercore", "reason": "only the profile full asks"}],
        "version": "0.5.0",
        "wheels": dict(WHEELS),
        "locked": {"cffi": "2.1.1", "pip": "26.3"},
        "engine": {"version": "20.10.24", "os": "linux"},
        "inputs": {
            "subject": "quiverdb",
            "origin": "source",
            "wheels": [
                {"name": name, "sha256": sha, "size": 1_000_000} for name, sha in WHEELS.items()
            ],
            "dependencies": [
                {"name": "cffi-2.1.1-py3-none-any.whl", "sha256": "c" * 64, "size": 1}
            ],
            "earlier": [],
            "tools": [],
            "yanked": {},
            "suite": "0123456789abcdef",
        },
        "notes": [],
        "not_inspected": [],
        "not_installed": [],
        "static": {
            "wheels": [
                {"file": name, "sha256": sha, "size": 1_000_000, "platform": name[19:-4]}
                for name, sha in WHEELS.items()
            ]
        },
        "egress": {"machines": {"reached": False}},
        "images": {
            name: {"tag": f"quiverdb-e2e/{name}:0123456789ab", "id": "sha256:1", "created": "x"}
            for name in ("index", "debian-13", "windows-wine")
        },
        "seen": {one.id: seen.summary(evidence(one.id)) for one in ran if one.seconds},
        "machines": machines(),
        "stand_ins": trust.stand_ins(),
    }
    if source:
        title = "bindings/python builds into wheels"
        built = {"id": "source-build", "title": title, "verdict": str(source)}
        found["items"].insert(0, built | {"causes": [], "reason": ""})
    found["verdict"] = str(worst(Verdict(one["verdict"]) for one in found["items"]))
    return copy.deepcopy(found | changes)


def complete(*cells: CellResult, **changes: Any) -> dict[str, Any]:
    """Return a run that has the pipeline and the publisher as well, all verified."""
    run = told(*cells)
    run["items"] += [
        {"id": name, "title": f"The {name}", "verdict": "verified", "causes": [], "reason": ""}
        for name in ("pipeline", "publisher")
    ]
    good = {"verdict": "verified", "evidence": "seen"}
    run["pipeline"] = {
        "truths": {str(number): dict(good) for number in range(1, 7)},
        "artifacts": [
            good | {"artifact": ".github/workflows/publish.yml"},
            good | {"artifact": "bindings/python/pyproject.toml"},
        ],
        "links": [
            good | {"from": "publish.yml validate job", "to": "bindings/python/pyproject.toml"},
            good | {"from": "publish.yml publish job", "to": "PyPI"},
            good | {"from": "publish.yml release job", "to": "GitHub Releases"},
        ],
        "proved": ["five jobs ran in their order"],
        "not_provable": ["that GitHub's own runners have free minutes"],
        "jobs": [
            {"id": "build", "needs": [], "start": 0, "end": 40.5, "result": "success"},
            {"id": "publish", "needs": ["build"], "start": 40.5, "end": 42, "result": "success"},
        ],
    }
    run["publisher"] = {"proved": ["the exchange was granted"], "not_provable": ["the dashboard"]}
    return copy.deepcopy(run | changes)
