"""Tests of all rules together: the real files and equivalent files have no cause."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PROJECT,
    WORKFLOW,
    cause_names,
    causes,
    edited,
    repository,
)
from tests.unit.verification.pipeline import (
    test_action_inputs,
    test_action_pins,
    test_job_order,
    test_permissions,
    test_release_page,
    test_trials,
    test_wheel_transfer,
)
from verification.pipeline import policy
from verification.pipeline.repository_files import WORKFLOW_FOLDER
from verification.rules.catalogue import catalogue

MUTANTS = [
    mutant
    for module in (
        test_action_inputs,
        test_action_pins,
        test_job_order,
        test_permissions,
        test_release_page,
        test_trials,
        test_wheel_transfer,
    )
    for mutant in module.MUTANTS.values()
]

NOT_STATIC = ("execution", "failures", "report_parts", "plan")
"""The modules whose causes need a run: test_execution.py, test_failures.py."""


def test_real_workflow_has_no_cause(tmp_path: Path) -> None:
    assert [str(cause) for cause in causes(repository(tmp_path))] == []


def test_renamed_workflow_is_not_registered(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / WORKFLOW_FOLDER / "publish.yml").rename(root / WORKFLOW_FOLDER / "release.yml")

    (cause,) = causes(root)

    assert cause.name == "publisher-mismatch"
    assert cause.facts == {"registered": "publish.yml"}
    assert "release.yml" in cause.message


@pytest.mark.parametrize(
    ("old", "new"),
    [('["v*.*.*"]', "[*.*.*]"), ('"v*.*.*"', '"v*+.*"')],
    ids=["invalid YAML", "invalid pattern"],
)
def test_invalid_workflow_has_a_cause_with_its_line(tmp_path: Path, old: str, new: str) -> None:
    (cause,) = causes(repository(tmp_path, edited(old, new)))

    assert (cause.name, cause.where) == ("workflow-invalid", f"publish.yml:{_line_of('tags:')}")
    assert str(tmp_path) not in str(cause)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.0.0rc2", set()), ("1.0", {"workflow-not-triggered", "validation-wrong"})],
)
def test_version_of_the_project_must_match_the_tag_filter(
    tmp_path: Path, version: str, expected: set[str]
) -> None:
    old = re.search(r'^version = ".*"$', PROJECT.read_text("utf-8"), re.MULTILINE)
    assert old is not None
    project = edited(old[0], f'version = "{version}"', of=PROJECT)

    assert cause_names(tmp_path, project=project) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("environment: pypi", "environment: {name: PyPI, url: 'https://example.org'}"),
        ("on:\n  push:", '"on":\n  push:'),
        ("\njobs:\n", "\npermissions: {}\njobs:\n"),
        ("needs: validate", "needs: [validate]\n    if: startsWith(github.ref, 'refs/tags/')"),
        ("package-dir: bindings/python", "package-dir: ./bindings/python/"),
        ("cancel-in-progress: false", "cancel-in-progress: False"),
        ("[ubuntu-latest, windows-latest]", "[windows-2025, ubuntu-24.04]"),
        ("shell: bash", "env: {TAG: '${{ github.ref_name }}'}\n        shell: bash"),
    ],
)
def test_equivalent_workflow_has_no_cause(old: str, new: str, tmp_path: Path) -> None:
    assert cause_names(tmp_path, edited(old, new)) == set()


def test_every_cause_of_the_static_rules_has_a_mutant() -> None:
    tested = {cause for cause, _ in MUTANTS} | {"wheel-untested", "publisher-unused"}
    modules = set(Path(policy.__file__).parent.glob("*.py"))
    modules -= {path for path in modules if path.stem in NOT_STATIC}
    source = "".join(path.read_text("utf-8") for path in modules)

    assert {name for name in catalogue() if f'"{name}"' in source} == tested


def _line_of(text: str) -> int:
    lines = WORKFLOW.read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
