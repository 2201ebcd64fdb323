"""Tests of GitHub actions, pins, installations, runners, with mutants of the real publish.yml."""

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
    "a self-hosted runner": (
        "unknown-runner",
        lambda: in_job("publish", "runs-on: ubuntu-latest", "runs-on: [self-hosted, linux]"),
    ),
    "an action with a tag": (
        "unpinned-action",
        lambda: edited(CHECKOUT, "actions/checkout@v7"),
    ),
    "an action with a branch": (
        "unpinned-action",
        lambda: edited(PUBLISH, "pypa/gh-action-pypi-publish@release/v1"),
    ),
    "an action with a short hash": (
        "unpinned-action",
        lambda: edited(CHECKOUT[17:57], CHECKOUT[17:30]),
    ),
    "the hash of another version": (
        "pin-mismatch",
        lambda: edited("cef221092ed1bacb1cc03d23a2d87d1d172e277b", "1" * 40),
    ),
    "another version in the comment": ("pin-mismatch", lambda: edited("# v1.14.0", "# v1.13.0")),
    "no version in the comment": ("pin-mismatch", lambda: edited(" # v1.14.0", "")),
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
        "unpinned-install",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: sh dist/run\n"),
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
    "a checkout in the publish job": {"credentials-persisted"},
    "no publishing": {"unknown-action", "unpinned-install"},
    "an installation in the publish job": {"unknown-action"},
    "a script in the publish job": {"unknown-action"},
    "an installation in the release job": {"unknown-action"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


@pytest.mark.parametrize(
    ("title", "severity"),
    [
        ("an installation in the publish job", "broken"),
        ("an installation in the release job", "flawed"),
    ],
)
def test_unpinned_installation_is_broken_only_with_an_identity_token(
    title: str, severity: str, tmp_path: Path
) -> None:
    severities = {
        cause.name: cause.severity for cause in causes(repository(tmp_path, MUTANTS[title][1]()))
    }

    assert severities["unpinned-install"] == severity
