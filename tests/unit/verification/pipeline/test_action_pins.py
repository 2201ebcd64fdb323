"""Tests of installations and of the publish action, with mutants of the real publish.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PUBLISH,
    PUBLISH_STEPS,
    cause_names,
    causes,
    edited,
    in_job,
    repository,
)

BUILD = "pypa/cibuildwheel@1828c10ab37f080699c7b81cea34097c684a7074 # v4.2.0"

# The change of the file, and the name of its cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # actions
    "another action for publishing": (
        "not-evaluated",
        lambda: edited("pypa/gh-action-pypi-publish@", "pypi/gh-action-pypi-publish@"),
    ),
    "no publishing": (
        "step-missing",
        lambda: edited(
            f"uses: {PUBLISH}\n        with:\n          packages-dir: dist", "run: ls dist"
        ),
    ),
    "an installation in the publish job": (
        "unpinned-install",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: pip install --upgrade twine\n"),
    ),
    "a script in the publish job": (
        "identity-exposed",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: sh dist/run\n"),
    ),
    "the build in the publish job": (
        "identity-exposed",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - uses: {BUILD}\n"),
    ),
    "an installation in the release job": (
        "unpinned-install",
        lambda: in_job(
            "release", "    steps:\n", "    steps:\n      - run: pip install packaging\n"
        ),
    ),
}
ADDITIONAL_CAUSES = {"no publishing": {"identity-exposed"}}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


@pytest.mark.parametrize(
    ("title", "cause", "severity"),
    [
        ("an installation in the publish job", "unpinned-install", "flawed"),
        ("an installation in the release job", "unpinned-install", "note"),
        ("the build in the publish job", "identity-exposed", "flawed"),
        ("a script in the publish job", "identity-exposed", "note"),
    ],
)
def test_severity_depends_on_the_identity_token_and_the_code(
    title: str, cause: str, severity: str, tmp_path: Path
) -> None:
    severities = {
        found.name: found.severity for found in causes(repository(tmp_path, MUTANTS[title][1]()))
    }

    assert severities[cause] == severity
