"""Tests of permissions, publisher and tokens, with mutants of the real publish.yml."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PLANNED,
    WORKFLOW,
    calling,
    cause_names,
    causes,
    edited,
    repository,
)
from verification.models.cause import Cause
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import WORKFLOW_FOLDER

# The change of the file, and the name of its cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # permissions
    "no identity token": (
        "permission-missing",
        lambda: edited("permissions:\n      id-token: write", "permissions:\n      id-token: none"),
    ),
    "no permission to make a release": (
        "permission-missing",
        lambda: edited("contents: write", "contents: read"),
    ),
    "an additional job with an identity token": (
        "identity-exposed",
        lambda: WORKFLOW.read_text("utf-8")
        + "\n  extra:\n    needs: publish\n    runs-on: ubuntu-latest\n"
        "    permissions: {id-token: write}\n    steps:\n      - run: 'true'\n",
    ),
    # publisher
    "another environment": (
        "publisher-mismatch",
        lambda: edited("environment: pypi", "environment: release"),
    ),
    "another environment, as a table": (
        "publisher-mismatch",
        lambda: edited("environment: pypi", "environment: {name: staging}"),
    ),
    "no environment": (
        "publisher-mismatch",
        lambda: re.sub(r"    environment: pypi.*\n", "", WORKFLOW.read_text("utf-8")),
    ),
    "another index": (
        "publisher-mismatch",
        lambda: edited(
            "packages-dir: dist",
            "packages-dir: dist\n          repository-url: https://index.example/",
        ),
    ),
    # tokens
    "a password": (
        "token-in-workflow",
        lambda: edited(
            "packages-dir: dist",
            "packages-dir: dist\n          password: ${{ secrets.PYPI_API_TOKEN }}",
        ),
    ),
    "a password in plain text": (
        "token-in-workflow",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          password: hunter2"),
    ),
    "a user": (
        "token-in-workflow",
        lambda: edited("packages-dir: dist", "packages-dir: dist\n          user: __token__"),
    ),
    "a variable with a token": (
        "token-in-workflow",
        lambda: edited("\njobs:\n", "\nenv:\n  TWINE_PASSWORD: ${{ vars.PASS }}\njobs:\n"),
    ),
    "a stored secret for the release": (
        "token-in-workflow",
        lambda: edited(
            "generate_release_notes: true",
            "generate_release_notes: true\n          token: ${{ secrets['RELEASE_TOKEN'] }}",
        ),
    ),
}
ADDITIONAL_CAUSES = {"an additional job with an identity token": {"unknown-job"}}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


CALLED = PLANNED.model_copy(update={"called_publisher": "upload.yml"})
NO_ATTESTATIONS = ("packages-dir: dist", "packages-dir: dist\n          attestations: false")


def called_causes(
    folder: Path, plan: Plan, *edits: tuple[str, str], files: Mapping[str, str] | None = None
) -> list[Cause]:
    """Return the causes if the publishing job is in a called workflow with these edits."""
    root = repository(folder)
    for name, text in (files or calling()).items():
        for old, new in edits if name != "publish.yml" else ():
            assert old in text, f"the called workflow has no {old!r}"
            text = text.replace(old, new)
        (root / WORKFLOW_FOLDER / name).write_text(text, "utf-8")
    return list(causes(root, plan))


def test_registered_called_workflow_may_publish(tmp_path: Path) -> None:
    assert called_causes(tmp_path, CALLED, NO_ATTESTATIONS) == []


def test_unregistered_called_workflow_may_not_publish(tmp_path: Path) -> None:
    (cause,) = called_causes(tmp_path, PLANNED, NO_ATTESTATIONS)

    assert (cause.name, cause.where) == ("publisher-mismatch", "upload.yml:3 (publish)")
    assert (cause.facts["workflow"], cause.facts["registered"]) == ("upload.yml", "publish.yml")


def test_attestations_of_a_called_workflow_are_refused(tmp_path: Path) -> None:
    (cause,) = called_causes(tmp_path, CALLED)

    assert cause.name == "publisher-mismatch"
    assert cause.where.startswith("upload.yml:")
    assert cause.facts == {"workflow": "upload.yml", "input": "attestations"}


def test_publishing_job_must_be_in_the_registered_file(tmp_path: Path) -> None:
    (cause,) = causes(repository(tmp_path), CALLED)

    assert (cause.name, cause.facts["registered"]) == ("publisher-mismatch", "upload.yml")


TO_PUBLISH = "packages-dir: dist"


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("environment: pypi", "environment: other", "publisher-mismatch"),
        ("\n      id-token: write", "\n      id-token: none", "permission-missing"),
        ("id-token: write", "contents: write", "workflow-invalid"),
        (TO_PUBLISH, "packages_dir: wheels", "artifact-lost"),
        (TO_PUBLISH, f"{TO_PUBLISH}\n          skip_existing: true", "failure-ignored"),
        (TO_PUBLISH, f"{TO_PUBLISH}\n          password: x", "token-in-workflow"),
        ("workflow_call", "[workflow_call, pull_request]", "untrusted-trigger"),
        ("    environment", "    if: github.ref == 'x'\n    environment", "job-skipped"),
        ("    environment", "    if: github.actor == 'x'\n    environment", "not-evaluated"),
        ("pypa/gh-action-pypi-publish@", "someone/else@", "unknown-action"),
    ],
)
def test_all_rules_apply_to_a_called_workflow(
    tmp_path: Path, old: str, new: str, name: str
) -> None:
    called = called_causes(tmp_path, CALLED, NO_ATTESTATIONS, (old, new))

    assert name in {cause.name for cause in called}
    assert any(cause.where.startswith("upload.yml") for cause in called) or name.startswith("perm")


def test_workflow_of_another_repository_may_not_publish(tmp_path: Path) -> None:
    text = calling()["publish.yml"].replace("uses: ./", "uses: someone/else/") + "@v1"
    called = called_causes(tmp_path, PLANNED, files={"publish.yml": text.replace("yml\n@", "yml@")})

    assert {cause.name for cause in called} == {"publisher-mismatch", "unknown-action"}
