"""What starts the workflow, the order of its jobs, and what could interrupt it.

Each mutant of the real publish.yml is caught by the name of its cause.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    edited,
    in_job,
    names,
    without_job,
)

# What was done to the file, and the one cause that must name it.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # what starts it
    "a tag filter with a part too many": (
        "workflow-not-triggered",
        lambda: edited('["v*.*.*"]', '["v*.*.*.*"]'),
    ),
    "a tag filter for capitals": ("workflow-not-triggered", lambda: edited('"v*.*.*"', '"V*.*.*"')),
    "a tag filter for finals alone": (
        "workflow-not-triggered",
        lambda: edited('"v*.*.*"', '"v[0-9]+.[0-9]+.[0-9]+"'),
    ),
    "a tag filter that leaves all out again": (
        "workflow-not-triggered",
        lambda: edited('["v*.*.*"]', '["v*.*.*", "!v*"]'),
    ),
    "a branch filter in place of the tags": (
        "workflow-not-triggered",
        lambda: edited("tags:", "branches:"),
    ),
    "any branch as well": (
        "untrusted-trigger",
        lambda: edited('tags: ["v*.*.*"]', 'tags: ["v*.*.*"]\n    branches: ["**"]'),
    ),
    "any tag": ("untrusted-trigger", lambda: edited('"v*.*.*"', '"*"')),
    "every push": (
        "untrusted-trigger",
        lambda: edited('on:\n  push:\n    tags: ["v*.*.*"]', "on: push"),
    ),
    "pull_request_target": (
        "untrusted-trigger",
        lambda: edited("on:\n", "on:\n  pull_request_target:\n"),
    ),
    "by hand": ("untrusted-trigger", lambda: edited("on:\n", "on:\n  workflow_dispatch:\n")),
    "a pattern that is none": ("workflow-invalid", lambda: edited('"v*.*.*"', '"v*+.*"')),
    "a pattern without quotes": ("workflow-invalid", lambda: edited('["v*.*.*"]', "[*.*.*]")),
    "tags and tags-ignore": (
        "workflow-invalid",
        lambda: edited('["v*.*.*"]', '["v*.*.*"]\n    tags-ignore: ["v0*"]'),
    ),
    # which jobs, in which order
    "merge needs nothing": ("job-order", lambda: in_job("merge", "    needs: build\n", "")),
    "validate needs nothing": ("job-order", lambda: in_job("validate", "    needs: merge\n", "")),
    "validate needs build alone": ("job-order", lambda: edited("needs: merge", "needs: build")),
    "release needs nothing": ("job-order", lambda: in_job("release", "    needs: validate\n", "")),
    "publish needs nothing": ("job-order", lambda: in_job("publish", "    needs: validate\n", "")),
    "publish needs merge alone": (
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
    "jobs that wait for one another": (
        "workflow-invalid",
        lambda: in_job("build", "    strategy:", "    needs: merge\n    strategy:"),
    ),
    "a job that needs a stranger": (
        "workflow-invalid",
        lambda: edited("needs: merge", "needs: merges"),
    ),
    "no release job": ("job-missing", lambda: without_job("release")),
    "no publish job": ("job-missing", lambda: without_job("publish")),
    "publish under another name": (
        "job-missing",
        lambda: edited("\n  publish:\n", "\n  upload:\n"),
    ),
    "a misspelt key": ("workflow-invalid", lambda: edited("needs: merge", "need: merge")),
    "a key twice": (
        "workflow-invalid",
        lambda: edited("needs: merge", "needs: merge\n    needs: build"),
    ),
    # what could leave a part out, or go on after a failure
    "publish never": (
        "job-skipped",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    if: false"),
    ),
    "publish on main alone": (
        "job-skipped",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    if: github.ref == 'refs/heads/main'"
        ),
    ),
    "a validation that is left out": (
        "job-skipped",
        lambda: edited(
            "id: validate", "id: validate\n        if: github.event_name == 'workflow_run'"
        ),
    ),
    "publish whatever happened": (
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
    "files that are there already": (
        "failure-ignored",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          skip-existing: true"),
    ),
    "a later run ends an earlier": (
        "release-interrupted",
        lambda: edited("cancel-in-progress: false", "cancel-in-progress: true"),
    ),
    "one group for all tags": (
        "release-interrupted",
        lambda: edited("publish-${{ github.ref }}", "publish"),
    ),
    "a publish job that a later one ends": (
        "release-interrupted",
        lambda: in_job(
            "publish",
            "needs: validate",
            "needs: validate\n    concurrency:"
            " {group: 'x-${{ github.ref }}', cancel-in-progress: true}",
        ),
    ),
}
# Where one edit breaks a second thing, that has a cause as well.
ALSO = {
    "a branch filter in place of the tags": {"untrusted-trigger"},
    "publish under another name": {"unknown-job", "permissions-widened"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_every_mutant_is_caught_by_name(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert names(tmp_path, mutate()) == {cause} | ALSO.get(title, set())
