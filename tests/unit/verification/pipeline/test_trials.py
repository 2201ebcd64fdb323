"""What the validate job accepts and refuses.

Each mutant of the real publish.yml is caught by the name of its cause.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.release_workflow import (
    cause_names,
    edited,
)

# What was done to the file, and the one cause that must name it.
MUTANTS: dict[str, tuple[str, Callable[[], str]]] = {
    # what validate decides
    "a version that is not compared": (
        "validation-wrong",
        lambda: edited('if tag != f"v{version}":', "if False:"),
    ),
    "a version compared from its beginning": (
        "validation-wrong",
        lambda: edited('if tag != f"v{version}":', 'if not tag.startswith(f"v{version}"):'),
    ),
    "another project's version": (
        "validation-wrong",
        lambda: edited(
            'open("bindings/python/pyproject.toml", "rb")', 'open("pyproject.toml", "rb")'
        ),
    ),
    "wheels that are counted and not named": (
        "validation-wrong",
        lambda: edited(
            'faults += [f"the wheel {name} is missing" for name in sorted(expected - found)]',
            "faults += [] if len(found) == 2 else ['not two wheels']",
        ).replace(
            'faults += [f"{name} is not part of the release" for name in sorted(found - expected)]',
            "",
        ),
    ),
    "files too many": (
        "validation-wrong",
        lambda: edited("sorted(found - expected)", "[]"),
    ),
    "files too few": ("validation-wrong", lambda: edited("sorted(expected - found)", "[]")),
    "faults that are told and let pass": (
        "validation-wrong",
        lambda: edited("sys.exit(1)", "sys.exit(0)"),
    ),
    "a script that never ends well": (
        "validation-wrong",
        lambda: edited("if faults:", "if not faults:"),
    ),
    "a script that needs what only a run has": (
        "validation-wrong",
        lambda: edited("python3 - <<'EOS'", "echo ${{ github.actor }}; python3 - <<'EOS'"),
    ),
    "a script in a folder that is not there": (
        "validation-wrong",
        lambda: edited("shell: bash", "shell: bash\n        working-directory: src"),
    ),
    "a script in another folder by default": (
        "validation-wrong",
        lambda: edited(
            "\njobs:\n", "\ndefaults:\n  run:\n    working-directory: bindings\njobs:\n"
        ),
    ),
    "a script in a shell that cannot be tried": (
        "validation-wrong",
        lambda: edited("shell: bash", "shell: pwsh"),
    ),
}


@pytest.mark.parametrize("title", MUTANTS)
def test_every_mutant_is_caught_by_name(title: str, tmp_path: Path) -> None:
    cause, mutate = MUTANTS[title]
    assert cause_names(tmp_path, mutate()) == {cause}
