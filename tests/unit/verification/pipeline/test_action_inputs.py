"""Tests of inputs of GitHub actions. Mutants of the real publish.yml spell inputs in other ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import cause_names, causes, edited, repository
from verification.models.cause import Severity
from verification.models.pipeline import ActionUse
from verification.models.workflow_file import parse
from verification.pipeline.action_inputs import check_names, check_real_inputs, inputs_of

PUBLISHED = "packages-dir: dist"

# The change of the file, and the name of the only cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    "a misspelled action": (
        "similar-action",
        lambda: edited("uses: actions/checkout@", "uses: actions/chekout@"),
    ),
    "another folder by the older name": (
        "artifact-lost",
        lambda: edited(PUBLISHED, "packages_dir: wheels"),
    ),
    "another folder in upper case": (
        "artifact-lost",
        lambda: edited(PUBLISHED, "Packages-Dir: wheels"),
    ),
    "older and newer name": (
        "artifact-lost",
        lambda: edited(PUBLISHED, "packages_dir: dist\n          packages-dir: wheels"),
    ),
    "skip existing files": (
        "failure-ignored",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          skip-existing: true"),
    ),
    "skip existing files by the older name": (
        "failure-ignored",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          skip_existing: true"),
    ),
    "true by a word that is not false": (
        "failure-ignored",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          Skip_Existing: 'no'"),
    ),
    "an expression that may be true": (
        "failure-ignored",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          skip-existing: ${{{{ env.SKIP }}}}"),
    ),
    "another index by the older name": (
        "publisher-mismatch",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          REPOSITORY_URL: https://a.example/"),
    ),
    "a password in upper case": (
        "token-in-workflow",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          PASSWORD: x"),
    ),
    "release notes disabled by upper case": (
        "release-missing",
        lambda: edited("generate_release_notes: true", "generate_release_notes: 'True'"),
    ),
    "a misspelled input": (
        "unknown-input",
        lambda: edited(PUBLISHED, "package-dirs: dist"),
    ),
    "an input of another action": (
        "unknown-input",
        lambda: edited("pattern: wheel-*", "pattern: wheel-*\n          depth: 1"),
    ),
    "an input in two spellings": (
        "workflow-invalid",
        lambda: edited(PUBLISHED, f"{PUBLISHED}\n          Packages-Dir: dist"),
    ),
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_cause(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) - {"publisher-unused"} == {cause}


def test_misspelled_input_is_flawed_and_has_the_similar_name(tmp_path: Path) -> None:
    (cause,) = causes(repository(tmp_path, MUTANTS["a misspelled input"][1]()))

    assert cause.severity is Severity.FLAWED
    assert (cause.facts["input"], cause.facts["similar"]) == ("package-dirs", "packages-dir")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PUBLISHED, "packages_dir: dist"),
        (PUBLISHED, "PACKAGES-DIR: ' dist '"),
        (PUBLISHED, "packages-dir: dist\n          packages_dir: wheels"),
        (PUBLISHED, "packages-dir: ''\n          packages_dir: ./dist/"),
        (PUBLISHED, f"{PUBLISHED}\n          skip_existing: 'FALSE'"),
        (PUBLISHED, f"{PUBLISHED}\n          skip-existing: ${{{{ false }}}}"),
        (PUBLISHED, f"{PUBLISHED}\n          verbose: false\n          print_hash: false"),
        ("generate_release_notes: true", "Generate_Release_Notes: ${{ true }}"),
        ("overwrite_files: false", "overwrite_files: 'no'"),
    ],
)
def test_equivalent_spelling_has_no_cause(old: str, new: str, tmp_path: Path) -> None:
    assert cause_names(tmp_path, edited(old, new)) == set()


def test_inputs_of_an_unknown_action_are_read_without_defaults() -> None:
    text = "on: push\njobs: {a: {runs-on: x, steps: [{uses: a/b@v1, with: {Some: ' 1 '}}]}}"
    (step,) = parse(text, Path("a.yml")).jobs["a"].steps

    assert inputs_of(step).get("some") == "1"
    assert inputs_of(step).is_set("some")
    assert inputs_of(step).get("other") == ""


def test_unknown_inputs_of_a_real_action_are_reported_from_its_run() -> None:
    stand_in = ActionUse(
        uses="actions/checkout@v7",
        where="a.yml:1",
        kind="real",
        version="v7",
        folder="x",
        unknown=("depth",),
    )
    other = stand_in.model_copy(update={"uses": "a/b@v1"})

    (cause,) = check_real_inputs([stand_in, other])

    assert (cause.name, cause.facts["action"], cause.facts["input"]) == (
        "unknown-input",
        "a/b",
        "depth",
    )


@pytest.mark.parametrize(
    ("action", "similar"),
    [
        ("pypa/gh-action-pypi-publsh", "pypa/gh-action-pypi-publish"),
        ("pypa/gh-action-pypi-publish-action", "pypa/gh-action-pypi-publish"),
        ("PyPA/gh_action_pypi_publish", "pypa/gh-action-pypi-publish"),
        ("pypa/cibuildwheels", "pypa/cibuildwheel"),
        ("actions/chekout", "actions/checkout"),
        ("actions/upload-artifacts", "actions/upload-artifact"),
        ("actions/setup-pyhton", "actions/setup-python"),
        ("softprops/action-gh-releases", "softprops/action-gh-release"),
    ],
)
def test_action_with_a_similar_name_is_flawed(action: str, similar: str) -> None:
    (cause,) = check_names(parse(ONE_STEP.format(action), Path("release.yml")))
    assert (cause.name, cause.severity) == ("similar-action", Severity.FLAWED)
    assert (cause.facts["action"], cause.facts["similar"]) == (action, similar)


@pytest.mark.parametrize(
    "action",
    [
        "pypa/gh-action-pypi-publish",
        "PyPA/GH-Action-PyPI-Publish",
        "other/gh-action-pypi-publish",
        "pypa/hatch",
        "actions/cache/restore",
        "actions/setup-node",
        "actions/setup-java",
        "actions/attest-sbom",
        "actions/upload-artifact/merge",
        "actions/upload-pages-artifact",
        "actions/delete-package-versions",
        "actions/github-script",
        "actions/labeler",
        "astral-sh/setup-uv",
        "astral-sh/ruff-action",
        "docker/setup-buildx-action",
        "docker/setup-compose-action",
        "docker/login-action",
        "ilammy/setup-nasm",
        "taiki-e/install-action",
        "PyO3/maturin-action",
    ],
)
def test_other_action_has_no_similar_name(action: str) -> None:
    assert list(check_names(parse(ONE_STEP.format(action), Path("release.yml")))) == []


ONE_STEP = "on: push\njobs: {{one: {{runs-on: x, steps: [{{uses: {}@v1}}]}}}}\n"
