"""What the release job puts on the release page.

Each mutant of the real publish.yml is caught by the name of its cause.
"""

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

# What was done to the file, and the one cause that must name it.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # the release page
    "no files": (
        "release-missing",
        lambda: re.sub(
            r"          files: \|\n(?:            .*\n)+", "", WORKFLOW.read_text("utf-8")
        ),
    ),
    "a pattern for no file": (
        "release-missing",
        lambda: re.sub(
            r"files: \|\n(?:            .*\n)+", "files: dist/*.zip\n", WORKFLOW.read_text("utf-8")
        ),
    ),
    "one wheel forgotten": (
        "release-missing",
        lambda: re.sub(
            r"            dist/quiverdb-.*win_amd64.whl\n", "", WORKFLOW.read_text("utf-8")
        ),
    ),
    "an output that validate does not give": (
        "release-missing",
        lambda: edited("version: ${{ steps.validate", "release: ${{ steps.validate"),
    ),
    "no notes": ("release-missing", lambda: edited("          generate_release_notes: true\n", "")),
    "notes switched off": (
        "release-missing",
        lambda: edited("generate_release_notes: true", "generate_release_notes: false"),
    ),
    "a missing wheel that is passed over": (
        "release-missing",
        lambda: edited("          fail_on_unmatched_files: true\n", ""),
    ),
    "a draft": (
        "release-missing",
        lambda: edited(
            "generate_release_notes: true", "generate_release_notes: true\n          draft: true"
        ),
    ),
    "pre-releases as releases": (
        "release-missing",
        lambda: re.sub(r"          prerelease: .*needs.*\n", "", WORKFLOW.read_text("utf-8")),
    ),
    "everything as a pre-release": (
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
def test_every_mutant_is_caught_by_name(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause}


def test_the_files_of_the_release_may_be_named_by_a_pattern(tmp_path: Path) -> None:
    text = WORKFLOW.read_text("utf-8")
    text = re.sub(r"files: \|\n(?:            .*\n)+", "files: dist/*.whl\n", text)

    assert cause_names(tmp_path, text) == set()
