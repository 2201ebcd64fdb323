"""The rules together: the real files and equivalent variants have no fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PROJECT,
    WORKFLOW,
    causes,
    edited,
    names,
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


def test_the_pipeline_as_it_is_has_no_fault(tmp_path: Path) -> None:
    assert [str(cause) for cause in causes(repository(tmp_path))] == []


def test_a_renamed_workflow_is_not_the_one_that_is_registered(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / WORKFLOW_FOLDER / "publish.yml").rename(root / WORKFLOW_FOLDER / "release.yml")

    (cause,) = causes(root)

    assert cause.name == "publisher-mismatch"
    assert "release.yml" in cause.message


def test_a_workflow_that_is_not_yaml_has_a_cause_with_its_place(tmp_path: Path) -> None:
    (cause,) = causes(repository(tmp_path, edited('["v*.*.*"]', "[*.*.*]")))

    assert cause.where == f"publish.yml:{_line_of('tags:')}"
    assert "quote" in cause.message
    assert str(tmp_path) not in str(cause)


def test_a_pattern_that_is_none_has_a_cause_with_its_place(tmp_path: Path) -> None:
    (cause,) = causes(repository(tmp_path, edited('"v*.*.*"', '"v*+.*"')))

    assert (cause.name, cause.where) == ("workflow-invalid", f"publish.yml:{_line_of('tags:')}")
    assert str(tmp_path) not in str(cause)


def test_another_version_in_the_project_needs_its_own_tag(tmp_path: Path) -> None:
    old = re.search(r'^version = ".*"$', PROJECT.read_text("utf-8"), re.MULTILINE)
    assert old is not None

    assert (
        names(tmp_path / "a", project=edited(old[0], 'version = "1.0.0rc2"', of=PROJECT)) == set()
    )
    assert names(tmp_path / "b", project=edited(old[0], 'version = "1.0"', of=PROJECT)) == {
        "workflow-not-triggered",
        "validation-wrong",
    }


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
def test_what_is_written_otherwise_and_means_the_same_is_no_fault(
    old: str, new: str, tmp_path: Path
) -> None:
    assert names(tmp_path, edited(old, new)) == set()


def test_every_cause_of_the_static_rules_has_a_mutant() -> None:
    caught = {cause for cause, _ in MUTANTS} | {"wheel-untested"}
    modules = set(Path(policy.__file__).parent.glob("*.py"))
    # The causes of these occur only when the workflow runs: test_execution.py, test_failures.py.
    modules -= {path for path in modules if path.stem in ("execution", "failures", "report_parts")}
    source = "".join(path.read_text("utf-8") for path in modules)

    assert {name for name in catalogue() if f'"{name}"' in source} == caught


def _line_of(text: str) -> int:
    lines = WORKFLOW.read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
