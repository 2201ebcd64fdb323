"""Tests of the trials of the validate job, with mutants of the real publish.yml."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    PLANNED,
    WORKFLOW,
    cause_names,
    edited,
    repository,
)
from tests.helpers.sample_wheels import SUBJECT
from verification.pipeline import repository_files as repositories
from verification.pipeline.trials import check_trials, trial_releases, version_check_job
from verification.session.version_trials import try_releases

# The names of the missing and of the additional files in the script.
MISSING = r"sorted\(expected - (\w+)\)"
ADDITIONAL = r"sorted\((\w+) - expected\)"


def substitute(text: str, pattern: str, replacement: str) -> str:
    """Return a text with each match of a pattern replaced. At least one must match."""
    mutant, count = re.subn(pattern, replacement, text)
    assert count, f"the workflow no longer contains {pattern}: fix the mutant"
    return mutant


# The change of the file, and the name of the only cause.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    "a version that is not compared": (
        "validation-wrong",
        lambda: edited('if tag != f"v{version}":', "if False:"),
    ),
    "only the start of the version is compared": (
        "validation-wrong",
        lambda: edited('if tag != f"v{version}":', 'if not tag.startswith(f"v{version}"):'),
    ),
    "the version of another project": (
        "validation-wrong",
        lambda: edited(
            'open("bindings/python/pyproject.toml", "rb")', 'open("pyproject.toml", "rb")'
        ),
    ),
    "wheels are only counted": (
        "validation-wrong",
        lambda: substitute(
            substitute(
                WORKFLOW.read_text("utf-8"), MISSING, r'([] if len(\1) == 2 else ["two wheels"])'
            ),
            ADDITIONAL,
            "[]",
        ),
    ),
    "additional files are ignored": (
        "validation-wrong",
        lambda: substitute(WORKFLOW.read_text("utf-8"), ADDITIONAL, "[]"),
    ),
    "missing files are ignored": (
        "validation-wrong",
        lambda: substitute(WORKFLOW.read_text("utf-8"), MISSING, "[]"),
    ),
    "faults are printed and ignored": (
        "validation-wrong",
        lambda: edited("sys.exit(1)", "sys.exit(0)"),
    ),
    "a script that refuses all releases": (
        "validation-wrong",
        lambda: edited("if faults:", "if not faults:"),
    ),
    "a script that needs a value of a run": (
        "not-evaluated",
        lambda: edited("python3 - <<'EOS'", "echo ${{ github.actor }}; python3 - <<'EOS'"),
    ),
    "a script in a missing folder": (
        "not-evaluated",
        lambda: edited("shell: bash", "shell: bash\n        working-directory: src"),
    ),
    "another default folder for scripts": (
        "not-evaluated",
        lambda: edited(
            "\njobs:\n", "\ndefaults:\n  run:\n    working-directory: bindings\njobs:\n"
        ),
    ),
    "a script in an unsupported shell": (
        "not-evaluated",
        lambda: edited("shell: bash", "shell: pwsh"),
    ),
}


@pytest.mark.parametrize("title", MUTANTS)
def test_each_changed_workflow_gives_only_its_cause(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause}


NO_MISSING = ("sorted(expected - found)", "[]")


@pytest.mark.parametrize(
    ("edits", "names"),
    [
        ((), {"not-evaluated"}),
        ((NO_MISSING,), set()),
        ((NO_MISSING, ('if tag != f"v{version}":', "if False:")), {"validation-wrong"}),
    ],
    ids=["all wheels are named", "any wheels", "any wheels and any tag"],
)
def test_release_whose_wheels_are_not_declared_is_tried_by_its_tag(
    edits: tuple[tuple[str, str], ...], names: set[str], tmp_path: Path
) -> None:
    text = WORKFLOW.read_text("utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    root = repository(tmp_path, text)
    platforms = tuple(p.model_copy(update={"required": False}) for p in SUBJECT.platforms)
    subject = SUBJECT.model_copy(update={"platforms": platforms})
    files = repositories.load(root, PLANNED)
    job, version = version_check_job(files.workflow), files.project.written_version
    assert files.workflow
    assert job
    assert version
    results = try_releases(
        job, trial_releases(subject, version), files.project, PLANNED.package_dir
    )
    found = list(check_trials(files.workflow, files, PLANNED, results))
    assert {cause.name for cause in found} == names
    for cause in found:
        assert "refuses" not in cause.message
