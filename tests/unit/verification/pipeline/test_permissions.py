"""Tests of permissions, publisher, tokens and credentials, with mutants of the real publish.yml."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PUBLISH,
    PUBLISH_STEPS,
    REGISTERED,
    WORKFLOW,
    calling,
    cause_names,
    causes,
    edited,
    in_job,
    repository,
)
from verification.models.cause import Cause
from verification.models.publisher import TrustedPublisher
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
}
ADDITIONAL_CAUSES = {
    "a password": {"publisher-unused"},
    "a password in plain text": {"publisher-unused"},
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_causes(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause} | ADDITIONAL_CAUSES.get(title, set())


CALLED = (REGISTERED[0].model_copy(update={"workflow": "upload.yml"}),)
NO_ATTESTATIONS = ("packages-dir: dist", "packages-dir: dist\n          attestations: false")


def called_causes(
    folder: Path,
    registered: tuple[TrustedPublisher, ...],
    *edits: tuple[str, str],
    files: Mapping[str, str] | None = None,
) -> list[Cause]:
    """Return the causes if the publishing job is in a called workflow with these edits."""
    root = repository(folder)
    for name, text in (files or calling()).items():
        for old, new in edits if name != "publish.yml" else ():
            assert old in text, f"the called workflow has no {old!r}"
            text = text.replace(old, new)
        (root / WORKFLOW_FOLDER / name).write_text(text, "utf-8")
    return list(causes(root, registered))


def test_registered_called_workflow_may_publish(tmp_path: Path) -> None:
    assert called_causes(tmp_path, CALLED, NO_ATTESTATIONS) == []


def test_unregistered_called_workflow_may_not_publish(tmp_path: Path) -> None:
    (cause,) = called_causes(tmp_path, REGISTERED, NO_ATTESTATIONS)

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
    called = called_causes(
        tmp_path, REGISTERED, files={"publish.yml": text.replace("yml\n@", "yml@")}
    )

    assert {cause.name for cause in called} == {"publisher-mismatch", "not-evaluated"}


def test_stored_token_is_flawed_and_the_registered_publisher_is_not_used(tmp_path: Path) -> None:
    root = repository(tmp_path, MUTANTS["a password"][1]())

    found = {cause.name: cause.severity for cause in causes(root)}

    assert found == {"token-in-workflow": "flawed", "publisher-unused": "broken"}
    assert [cause.name for cause in causes(root, ())] == ["token-in-workflow"]


def test_unregistered_project_has_no_cause_of_the_publisher(tmp_path: Path) -> None:
    text = edited("environment: pypi", "environment: release")

    assert causes(repository(tmp_path, text), ()) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The permissions of a job replace those of the workflow.
        ("\njobs:\n", "\npermissions: write-all\njobs:\n"),
        ("\njobs:\n", "\npermissions: {}\njobs:\n"),
        (
            "generate_release_notes: true",
            "generate_release_notes: true\n          token: ${{ secrets.T }}",
        ),
        ("    permissions: {}\n", ""),
        ("environment: pypi", "environment: ${{ github.ref_type == 'tag' && 'pypi' || 'x' }}"),
        (
            "packages-dir: dist",
            "packages-dir: dist\n          repository-url: https://upload.example/",
        ),
    ],
)
def test_equivalent_permissions_and_publisher_have_no_cause(
    old: str, new: str, tmp_path: Path
) -> None:
    assert cause_names(tmp_path, edited(old, new)) == set()


def test_unknown_environment_is_not_evaluated(tmp_path: Path) -> None:
    text = edited("environment: pypi", "environment: ${{ vars.ENVIRONMENT }}")

    assert cause_names(tmp_path, text) == {"not-evaluated"}


def test_publication_to_a_test_index_first_has_no_cause(tmp_path: Path) -> None:
    other = "packages-dir: dist\n          repository-url: https://test.example/"
    step = f"{PUBLISH_STEPS}      - uses: {PUBLISH}\n        with:\n          {other}\n"
    text = edited(PUBLISH_STEPS, step).replace("      - name: Fetch", "      - name: Fetch")

    assert "publisher-mismatch" not in cause_names(tmp_path, text)


NEEDS = {
    "gh release create v1": ("contents: write", "contents"),
    "gh workflow run x.yml": ("actions: write", "actions"),
    "gh api repos/o/r/dispatches": ("contents: write", "contents"),
}


@pytest.mark.parametrize("command", NEEDS)
def test_command_needs_its_permission_and_a_token(command: str, tmp_path: Path) -> None:
    permission, scope = NEEDS[command]

    def missing(permissions: str, env: str) -> list[object]:
        text = WORKFLOW.read_text("utf-8") + (
            f"\n  extra:\n    needs: publish\n    runs-on: x\n    permissions: {permissions}\n"
            f"    steps:\n      - run: {command}\n{env}"
        )
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return [
            (cause.severity, cause.facts["missing"])
            for cause in causes(repository(folder, text))
            if cause.name == "permission-missing"
        ]

    variable = "        env: {GH_TOKEN: '${{ github.token }}'}\n"
    assert missing(f"{{{permission}}}", variable) == []
    assert missing("{}", variable) == [("broken", permission)]
    assert missing(f"{{{scope}: read}}", variable) == [("broken", permission)]
    assert missing(f"{{{permission}}}", "") == [("broken", "GH_TOKEN")]
    assert missing("{}", variable.replace("github.token", "secrets.OTHER")) == []


def test_permission_of_the_default_is_not_evaluated_except_the_identity(tmp_path: Path) -> None:
    release = in_job("release", "    permissions:\n      contents: write", "    env: {A: b}\n    #")
    publish = in_job("publish", "    permissions:\n      id-token: write", "    env: {A: b}\n    #")

    assert cause_names(tmp_path / "a", release) == {"not-evaluated"}
    assert cause_names(tmp_path / "b", publish) == {"permission-missing"}
