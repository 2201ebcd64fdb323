"""Tests of the release page, with mutants of the real publish.yml."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    WORKFLOW,
    cause_names,
    edited,
)

# The change of the file, and the name of the only cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    "no files": (
        "release-without-files",
        lambda: re.sub(
            r"          files: \|\n(?:            .*\n)+", "", WORKFLOW.read_text("utf-8")
        ),
    ),
    "a pattern that matches no file": (
        "release-missing",
        lambda: re.sub(
            r"files: \|\n(?:            .*\n)+", "files: dist/*.zip\n", WORKFLOW.read_text("utf-8")
        ),
    ),
    "without the Windows wheel": (
        "release-missing",
        lambda: re.sub(
            r"            dist/quiverdb-.*win_amd64.whl\n", "", WORKFLOW.read_text("utf-8")
        ),
    ),
    "an output that validate does not set": (
        "release-missing",
        lambda: edited("version: ${{ steps.validate", "release: ${{ steps.validate"),
    ),
    "no notes": ("release-missing", lambda: edited("          generate_release_notes: true\n", "")),
    "notes disabled": (
        "release-missing",
        lambda: edited("generate_release_notes: true", "generate_release_notes: false"),
    ),
    "a missing wheel is ignored": (
        "release-missing",
        lambda: edited("          fail_on_unmatched_files: true\n", ""),
    ),
    "a draft": (
        "release-missing",
        lambda: edited(
            "generate_release_notes: true", "generate_release_notes: true\n          draft: true"
        ),
    ),
    "a pre-release as a release": (
        "release-missing",
        lambda: re.sub(r"          prerelease: .*needs.*\n", "", WORKFLOW.read_text("utf-8")),
    ),
    "a release as a pre-release": (
        "release-missing",
        lambda: edited("prerelease: ${{ needs.validate.outputs.prerelease }}", "prerelease: true"),
    ),
    "a release of another tag": (
        "release-missing",
        lambda: edited(
            "generate_release_notes: true",
            "generate_release_notes: true\n          tag_name: latest",
        ),
    ),
    "files that are replaced": (
        "release-replaced",
        lambda: re.sub(r"          overwrite_files: .*\n", "", WORKFLOW.read_text("utf-8")),
    ),
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_cause(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause}


def test_pattern_for_all_wheels_has_no_cause(tmp_path: Path) -> None:
    text = WORKFLOW.read_text("utf-8")
    text = re.sub(r"files: \|\n(?:            .*\n)+", "files: dist/*.whl\n", text)

    assert cause_names(tmp_path, text) == set()
