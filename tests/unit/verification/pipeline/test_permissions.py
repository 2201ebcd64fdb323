"""The permissions, environments, tokens and credentials of each job.

Each mutant of the real publish.yml is caught by the name of its cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    WORKFLOW,
    edited,
    in_job,
    names,
)

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
