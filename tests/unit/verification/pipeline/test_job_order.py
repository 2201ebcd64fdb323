"""Tests of triggers, job order and interruption, with mutants of the real publish.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    cause_names,
    causes,
    edited,
    in_job,
    repository,
    without_job,
)

# The change of the file, and the name of its cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # triggers
    "a tag filter with four parts": (
        "workflow-not-triggered",
        lambda: edited('["v*.*.*"]', '["v*.*.*.*"]'),
    ),
    "a tag filter with V": ("workflow-not-triggered", lambda: edited('"v*.*.*"', '"V*.*.*"')),
    "a tag filter that excludes all tags": (
        "workflow-not-triggered",
        lambda: edited('["v*.*.*"]', '["v*.*.*", "!v*"]'),
    ),
    "a branch filter instead of a tag filter": (
        "workflow-not-triggered",
        lambda: edited("tags:", "branches:"),
    ),
    "all branches": (
        "untrusted-trigger",
        lambda: edited('tags: ["v*.*.*"]', 'tags: ["v*.*.*"]\n    branches: ["**"]'),
    ),
    "all pushes": (
        "untrusted-trigger",
        lambda: edited('on:\n  push:\n    tags: ["v*.*.*"]', "on: push"),
    ),
    "pull_request_target": (
        "untrusted-trigger",
        lambda: edited("on:\n", "on:\n  pull_request_target:\n"),
    ),
    "an invalid pattern": ("workflow-invalid", lambda: edited('"v*.*.*"', '"v*+.*"')),
    "a pattern without quotes": ("workflow-invalid", lambda: edited('["v*.*.*"]', "[*.*.*]")),
    "tags and tags-ignore": (
        "workflow-invalid",
        lambda: edited('["v*.*.*"]', '["v*.*.*"]\n    tags-ignore: ["v0*"]'),
    ),
    # jobs and their order
    "merge needs nothing": ("job-order", lambda: in_job("merge", "    needs: build\n", "")),
    "validate needs nothing": ("job-order", lambda: in_job("validate", "    needs: merge\n", "")),
    "validate needs only build": ("job-order", lambda: edited("needs: merge", "needs: build")),
    "release needs nothing": ("job-order", lambda: in_job("release", "    needs: validate\n", "")),
    "publish needs nothing": ("job-order", lambda: in_job("publish", "    needs: validate\n", "")),
    "publish needs only merge": (
        "job-order",
        lambda: in_job("publish", "needs: validate", "needs: merge"),
    ),
    "merge before build": (
        "job-order",
        lambda: in_job("build", "    strategy:", "    needs: merge\n    strategy:").replace(
            "    needs: build\n", "", 1
        ),
    ),
    "jobs that wait for each other": (
        "workflow-invalid",
        lambda: in_job("build", "    strategy:", "    needs: merge\n    strategy:"),
    ),
    "a job that needs an unknown job": (
        "workflow-invalid",
        lambda: edited("needs: merge", "needs: merges"),
    ),
    "no publish job": ("step-missing", lambda: without_job("publish")),
    "a misspelled key": ("workflow-invalid", lambda: edited("needs: merge", "need: merge")),
    "a repeated key": (
        "workflow-invalid",
        lambda: edited("needs: merge", "needs: merge\n    needs: build"),
    ),
    # conditions
    "publish never": (
        "job-skipped",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    if: false"),
    ),
    "publish only on main": (
        "job-skipped",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    if: github.ref == 'refs/heads/main'"
        ),
    ),
    "publish if a variable says so": (
        "not-evaluated",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    if: vars.PUBLISH == 'yes'"
        ),
    ),
    "a validation with a condition": (
        "job-skipped",
        lambda: edited(
            "id: validate", "id: validate\n        if: github.event_name == 'workflow_run'"
        ),
    ),
    "publish always": (
        "job-order",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    if: always()"),
    ),
    "publish unless cancelled": (
        "job-order",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    if: ${{ !cancelled() }}"
        ),
    ),
    "a validation that may fail": (
        "failure-ignored",
        lambda: edited("id: validate", "id: validate\n        continue-on-error: true"),
    ),
    "a job that may fail": (
        "failure-ignored",
        lambda: in_job("validate", "needs: merge", "needs: merge\n    continue-on-error: true"),
    ),
    "skip existing files": (
        "failure-ignored",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          skip-existing: true"),
    ),
    "one group for all tags": (
        "release-interrupted",
        lambda: edited("publish-${{ github.ref }}", "publish"),
    ),
}
ADDITIONAL_CAUSES = {
    "a validation with a condition": {"not-evaluated"},
    "a branch filter instead of a tag filter": {"untrusted-trigger"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


@pytest.mark.parametrize(
    "workflow",
    [
        lambda: in_job("release", "needs: validate", "needs: [validate, publish]"),
        lambda: in_job("publish", "needs: validate", "needs: [validate, release]"),
        lambda: without_job("release"),
        lambda: edited("\n  publish:\n", "\n  upload:\n"),
        lambda: edited("\n  validate:\n", "\n  check:\n")
        .replace("needs: validate", "needs: check")
        .replace("needs.validate.", "needs.check."),
    ],
    ids=["release after publish", "publish after release", "no page", "other name", "other names"],
)
def test_other_order_or_name_has_no_cause(workflow: Callable[[], str], tmp_path: Path) -> None:
    assert cause_names(tmp_path, workflow()) == set()


def test_publication_that_waits_only_for_the_files_is_flawed(tmp_path: Path) -> None:
    text = in_job("publish", "needs: validate", "needs: merge")

    (cause,) = causes(repository(tmp_path, text))

    assert (cause.name, cause.severity) == ("job-order", "flawed")


ONE_JOB = """
on: {push: {tags: ["v*.*.*"]}}
jobs:
  all:
    runs-on: ubuntu-latest
    environment: pypi
    permissions: {id-token: write, contents: read}
    steps:
      - uses: actions/checkout@v5
        with: {persist-credentials: false}
"""
BUILD = "      - run: python -m build bindings/python --outdir dist\n"
UPLOAD = "      - uses: pypa/gh-action-pypi-publish@v1.14.0\n"


def _names(folder: Path, text: str) -> set[str]:
    """Return the names of the causes that keep a release from its users."""
    return {cause.name for cause in causes(repository(folder, text)) if cause.severity == "broken"}


def test_order_of_the_steps_decides_in_one_job(tmp_path: Path) -> None:
    assert "job-order" not in _names(tmp_path / "a", ONE_JOB + BUILD + UPLOAD)
    assert "job-order" in _names(tmp_path / "b", ONE_JOB + UPLOAD + BUILD)
