"""The permissions, environments, tokens and credentials of each job.

Each mutant of the real publish.yml is caught by the name of its cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PLANNED,
    WORKFLOW,
    calling,
    causes,
    edited,
    in_job,
    names,
    repository,
)
from verification.models.cause import Cause
from verification.pipeline.plan import Plan
from verification.pipeline.repository_files import WORKFLOW_FOLDER

# What was done to the file, and the one cause that must name it.
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
    "the identity token at workflow level": (
        "permissions-widened",
        lambda: edited("\njobs:\n", "\npermissions:\n  id-token: write\njobs:\n"),
    ),
    "the identity token for build": (
        "permissions-widened",
        lambda: in_job("build", "contents: read", "id-token: write\n      contents: read"),
    ),
    "the identity token for release": (
        "permissions-widened",
        lambda: in_job("release", "contents: write", "id-token: write\n      contents: write"),
    ),
    "everything for everybody": (
        "permissions-widened",
        lambda: edited("\njobs:\n", "\npermissions: write-all\njobs:\n"),
    ),
    "everything for merge": (
        "permissions-widened",
        lambda: edited("permissions: {}", "permissions: write-all"),
    ),
    "contents: write for build": (
        "permissions-widened",
        lambda: in_job("build", "contents: read", "contents: write"),
    ),
    "contents: write for publish": (
        "permissions-widened",
        lambda: edited("id-token: write", "contents: write\n      id-token: write"),
    ),
    "what the repository gives": (
        "permissions-widened",
        lambda: edited("    permissions: {}\n", ""),
    ),
    "another job with an identity token": (
        "permissions-widened",
        lambda: WORKFLOW.read_text("utf-8")
        + "\n  extra:\n    needs: publish\n    runs-on: ubuntu-latest\n"
        "    permissions: {id-token: write}\n    steps:\n      - run: 'true'\n",
    ),
    # who the index trusts
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
    "a checkout that keeps the token": (
        "credentials-persisted",
        lambda: in_job("build", "persist-credentials: false", "persist-credentials: true"),
    ),
    "a checkout that says nothing about it": (
        "credentials-persisted",
        lambda: in_job("validate", "persist-credentials: false", "fetch-depth: 1"),
    ),
}
# Where one edit breaks a second thing, that has a cause as well.
ALSO = {"another job with an identity token": {"unknown-job", "unpinned-install"}}


@pytest.mark.parametrize("title", MUTANTS)
def test_every_mutant_is_caught_by_name(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert names(tmp_path, mutate()) == {cause} | ALSO.get(title, set())


CALLED = PLANNED.model_copy(update={"called_publisher": "upload.yml"})
NO_ATTESTATIONS = ("packages-dir: dist", "packages-dir: dist\n          attestations: false")


def called_causes(
    folder: Path, plan: Plan, *edits: tuple[str, str], files: Mapping[str, str] | None = None
) -> list[Cause]:
    """Return the causes where the publishing job is in a called workflow with these edits."""
    root = repository(folder)
    for name, text in (files or calling()).items():
        for old, new in edits if name != "publish.yml" else ():
            assert old in text, f"the called workflow has no {old!r}"
            text = text.replace(old, new)
        (root / WORKFLOW_FOLDER / name).write_text(text, "utf-8")
    return list(causes(root, plan))


def test_a_registered_workflow_that_is_called_may_publish(tmp_path: Path) -> None:
    assert called_causes(tmp_path, CALLED, NO_ATTESTATIONS) == []


def test_a_called_workflow_that_is_not_registered_may_not_publish(tmp_path: Path) -> None:
    (cause,) = called_causes(tmp_path, PLANNED, NO_ATTESTATIONS)

    assert (cause.name, cause.where) == ("publisher-mismatch", "upload.yml:3 (publish)")
    assert (cause.facts["workflow"], cause.facts["registered"]) == ("upload.yml", "publish.yml")


def test_attestations_of_a_called_workflow_are_refused(tmp_path: Path) -> None:
    (cause,) = called_causes(tmp_path, CALLED)

    assert cause.name == "publisher-mismatch"
    assert cause.where.startswith("upload.yml:")
    assert "attestations" in cause.message


def test_the_job_that_publishes_must_be_in_the_registered_file(tmp_path: Path) -> None:
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
        ("# v1.14.0", "# v1.13.0", "pin-mismatch"),
        ("workflow_call", "[workflow_call, workflow_dispatch]", "untrusted-trigger"),
        ("    environment", "    if: github.actor == 'x'\n    environment", "job-skipped"),
        ("pypa/gh-action-pypi-publish@", "someone/else@", "unknown-action"),
    ],
)
def test_a_called_workflow_is_checked_as_the_file_itself(
    tmp_path: Path, old: str, new: str, name: str
) -> None:
    found = called_causes(tmp_path, CALLED, NO_ATTESTATIONS, (old, new))

    assert name in {cause.name for cause in found}
    assert any(cause.where.startswith("upload.yml") for cause in found) or name.startswith("perm")


def test_a_workflow_of_another_repository_may_not_publish(tmp_path: Path) -> None:
    text = calling()["publish.yml"].replace("uses: ./", "uses: someone/else/") + "@v1"
    found = called_causes(tmp_path, PLANNED, files={"publish.yml": text.replace("yml\n@", "yml@")})

    assert {cause.name for cause in found} == {"publisher-mismatch", "unknown-action"}
