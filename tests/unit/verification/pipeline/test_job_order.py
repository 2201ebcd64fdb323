"""Tests of triggers, job order and interruption, with mutants of the real publish.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    cause_names,
    edited,
    in_job,
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
    "release needs publish": (
        "job-order",
        lambda: in_job("release", "needs: validate", "needs: [validate, publish]"),
    ),
    "publish needs release": (
        "job-order",
        lambda: in_job("publish", "needs: validate", "needs: [validate, release]"),
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
    "no release job": ("job-missing", lambda: without_job("release")),
    "no publish job": ("job-missing", lambda: without_job("publish")),
    "another name for publish": (
        "job-missing",
        lambda: edited("\n  publish:\n", "\n  upload:\n"),
    ),
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
    "a branch filter instead of a tag filter": {"untrusted-trigger"},
    "another name for publish": {"unknown-job"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())
