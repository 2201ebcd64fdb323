"""Tests of built wheels and their transfer between jobs, with mutants of the real publish.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PROJECT,
    cause_names,
    edited,
    in_job,
)

# The change of the file, and the name of the only cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    "another folder": (
        "wrong-source",
        lambda: edited("package-dir: bindings/python", "package-dir: ."),
    ),
    "no folder": ("wrong-source", lambda: edited("          package-dir: bindings/python\n", "")),
    "another commit": (
        "wrong-source",
        lambda: in_job(
            "build", "persist-credentials: false", "persist-credentials: false\n          ref: main"
        ),
    ),
    "the artifacts of another run": (
        "wrong-source",
        lambda: in_job("publish", "name: dist", "name: dist\n          run-id: 1"),
    ),
    "other settings of cibuildwheel": (
        "settings-bypassed",
        lambda: edited(
            "output-dir: wheelhouse",
            "output-dir: wheelhouse\n        env:\n          CIBW_TEST_SKIP: '*'",
        ),
    ),
    "only one wheel": (
        "settings-bypassed",
        lambda: edited(
            "output-dir: wheelhouse", "output-dir: wheelhouse\n          only: cp313-win_amd64"
        ),
    ),
    "no Windows": (
        "incomplete-release",
        lambda: edited("[ubuntu-latest, windows-latest]", "[ubuntu-latest]"),
    ),
    "Windows excluded": (
        "incomplete-release",
        lambda: edited(
            "os: [ubuntu-latest, windows-latest]",
            "os: [ubuntu-latest, windows-latest]\n        exclude: [{os: windows-latest}]",
        ),
    ),
    "one name for all artifacts": (
        "artifact-lost",
        lambda: edited("name: wheel-${{ matrix.os }}", "name: wheel-all"),
    ),
    "a pattern that matches no artifact": (
        "artifact-lost",
        lambda: edited("pattern: wheel-*", "pattern: wheels-*"),
    ),
    "a pattern that matches one artifact": (
        "artifact-lost",
        lambda: edited("pattern: wheel-*", "pattern: wheel-ubuntu*"),
    ),
    "wheels uploaded from another folder": (
        "artifact-lost",
        lambda: edited("path: wheelhouse/*.whl", "path: dist/*.whl"),
    ),
    "another artifact published": (
        "artifact-lost",
        lambda: in_job("publish", "name: dist", "name: wheel-ubuntu-latest"),
    ),
    "another folder published": (
        "artifact-lost",
        lambda: edited("packages-dir: dist", "packages-dir: wheelhouse"),
    ),
}

ADDITIONAL_CAUSES = {"only one wheel": {"incomplete-release"}}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"cp313-win_amd64", ', "", "incomplete-release"),
        ("cp313-win_amd64", "cp314-win_amd64", "incomplete-release"),
        ('test-command = "pytest {package}/tests"\n', "", "wheel-untested"),
        ('test-command = "', 'test-skip = "*"\ntest-command = "', "wheel-untested"),
    ],
)
def test_settings_that_build_other_wheels_have_a_cause(
    old: str, new: str, cause: str, tmp_path: Path
) -> None:
    assert cause_names(tmp_path, project=edited(old, new, of=PROJECT)) == {cause}
