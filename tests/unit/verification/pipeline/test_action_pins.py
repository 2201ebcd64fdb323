"""Tests of allowed actions and of installations, with mutants of the real publish.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    CHECKOUT,
    PUBLISH,
    PUBLISH_STEPS,
    WORKFLOW,
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
        "unknown-action",
        lambda: edited("pypa/gh-action-pypi-publish@", "pypi/gh-action-pypi-publish@"),
    ),
    "another action for checking out": (
        "unknown-action",
        lambda: edited("actions/checkout@", "action/checkout@"),
    ),
    "a local action for publishing": (
        "unknown-action",
        lambda: edited(PUBLISH, "./.github/actions/publish"),
    ),
    "a checkout in the publish job": (
        "unknown-action",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - uses: {CHECKOUT}\n"),
    ),
    "a job with steps that also calls a workflow": (
        "workflow-invalid",
        lambda: WORKFLOW.read_text("utf-8").replace(
            "  merge:\n", "  merge:\n    uses: owner/repository/.github/workflows/x.yml@main\n"
        ),
    ),
    "a script in the build job": (
        "unknown-action",
        lambda: in_job("build", "    steps:\n", "    steps:\n      - run: sh configure\n"),
    ),
    "a container for publishing": (
        "unknown-action",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    container: debian"),
    ),
    "a service for publishing": (
        "unknown-action",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    services: {a: {image: debian}}"
        ),
    ),
    "an additional job": (
        "unknown-job",
        lambda: WORKFLOW.read_text("utf-8")
        + "\n  extra:\n    runs-on: ubuntu-latest\n    permissions: {}\n"
        "    steps: [{run: 'true'}]\n",
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
ADDITIONAL_CAUSES = {
    "another action for publishing": {"step-missing"},
    "a local action for publishing": {"step-missing"},
    "no publishing": {"unknown-action", "identity-exposed"},
    "an installation in the publish job": {"unknown-action"},
    "a script in the publish job": {"unknown-action"},
    "the build in the publish job": {"unknown-action", "wrong-source"},
    "an installation in the release job": {"unknown-action"},
}


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
