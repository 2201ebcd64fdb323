"""The actions that the workflow runs, and whether they are pinned.

Each mutant of the real publish.yml is caught by the name of its cause.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    CHECKOUT,
    PUBLISH,
    PUBLISH_STEPS,
    WORKFLOW,
    causes,
    edited,
    in_job,
    names,
    repository,
)

# What was done to the file, and the one cause that must name it.
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
    "an action of the repository itself": (
        "unknown-action",
        lambda: edited(PUBLISH, "./.github/actions/publish"),
    ),
    "a checkout beside the identity token": (
        "unknown-action",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - uses: {CHECKOUT}\n"),
    ),
    "another workflow's work": (
        "unknown-action",
        lambda: WORKFLOW.read_text("utf-8").replace(
            "  merge:\n", "  merge:\n    uses: owner/repository/.github/workflows/x.yml@main\n"
        ),
    ),
    "a script beside the build": (
        "unknown-action",
        lambda: in_job("build", "    steps:\n", "    steps:\n      - run: sh configure\n"),
    ),
    "a container for publishing": (
        "unknown-action",
        lambda: in_job("publish", "needs: validate", "needs: validate\n    container: debian"),
    ),
    "a service beside publishing": (
        "unknown-action",
        lambda: in_job(
            "publish", "needs: validate", "needs: validate\n    services: {a: {image: debian}}"
        ),
    ),
    "one more job": (
        "unknown-job",
        lambda: WORKFLOW.read_text("utf-8")
        + "\n  extra:\n    runs-on: ubuntu-latest\n    permissions: {}\n"
        "    steps: [{run: 'true'}]\n",
    ),
    "a machine of one's own": (
        "unknown-runner",
        lambda: in_job("publish", "runs-on: ubuntu-latest", "runs-on: [self-hosted, linux]"),
    ),
    "an action by its tag": (
        "unpinned-action",
        lambda: edited(CHECKOUT, "actions/checkout@v7"),
    ),
    "an action by its branch": (
        "unpinned-action",
        lambda: edited(PUBLISH, "pypa/gh-action-pypi-publish@release/v1"),
    ),
    "an action by half a hash": (
        "unpinned-action",
        lambda: edited(CHECKOUT[17:57], CHECKOUT[17:30]),
    ),
    "a hash that is not the version's": (
        "pin-mismatch",
        lambda: edited("cef221092ed1bacb1cc03d23a2d87d1d172e277b", "1" * 40),
    ),
    "a version that is not the hash's": ("pin-mismatch", lambda: edited("# v1.14.0", "# v1.13.0")),
    "a hash without its version": ("pin-mismatch", lambda: edited(" # v1.14.0", "")),
    "no publishing": (
        "step-missing",
        lambda: edited(
            f"uses: {PUBLISH}\n        with:\n          packages-dir: dist", "run: ls dist"
        ),
    ),
    "an install beside the identity token": (
        "unpinned-install",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: pip install --upgrade twine\n"),
    ),
    "a script beside the identity token": (
        "unpinned-install",
        lambda: edited(PUBLISH_STEPS, f"{PUBLISH_STEPS}      - run: sh dist/run\n"),
    ),
    "an install in another job": (
        "unpinned-install",
        lambda: in_job(
            "release", "    steps:\n", "    steps:\n      - run: pip install packaging\n"
        ),
    ),
}
# Where one edit breaks a second thing, that has a cause as well.
ALSO = {
    "another action for publishing": {"step-missing"},
    "an action of the repository itself": {"step-missing"},
    "a checkout beside the identity token": {"credentials-persisted"},
    "no publishing": {"unknown-action", "unpinned-install"},
    "an install beside the identity token": {"unknown-action"},
    "a script beside the identity token": {"unknown-action"},
    "an install in another job": {"unknown-action"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_every_mutant_is_caught_by_name(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert names(tmp_path, mutate()) == {cause} | ALSO.get(title, set())


def test_an_install_is_a_lesser_fault_where_there_is_no_identity_token(tmp_path: Path) -> None:
    severities = {}
    for title in ("an install beside the identity token", "an install in another job"):
        found = causes(repository(tmp_path / title.replace(" ", "-"), MUTANTS[title][1]()))
        severities[title] = {c.name: c.severity for c in found}["unpinned-install"]

    assert list(severities.values()) == ["broken", "flawed"]
