"""The configuration of the forge: every fault is named in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.forge_server import configure, launch


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"token": "left out"}, "token is missing"),
        ({"port": "443"}, "port must be an integer"),
        ({"port": True}, "port must be an integer"),
        ({"surplus": 1}, "surplus is not a known key"),
        ({"repository": []}, "repository must be a JSON object"),
        ({"repository": {"owner": "x"}}, "repository.name is missing"),
        ({"run": {"workflow": 1}}, "run.workflow must be a string"),
        ({"certificate": "/nowhere"}, "certificate: no such file: /nowhere"),
        ({"folder": "/nowhere"}, "folder: no such folder: /nowhere"),
        ({"key": "/etc/hostname"}, "the certificate or its key cannot be used"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    process = launch(configure(tmp_path, **changes))
    out, _ = process.communicate(timeout=20)
    errors = (tmp_path / "stderr").read_text()
    assert (process.returncode, out) == (2, "")
    assert errors.startswith("forge: ")
    assert len(errors.splitlines()) == 1
    assert told in errors


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    repository = {"owner": 5, "tags": {"v1": 1}, "new": 1}
    process = launch(configure(tmp_path, token=5, repository=repository, run="x"))
    process.communicate(timeout=20)
    errors = (tmp_path / "stderr").read_text()
    for fault in (
        "token must be a string",
        "repository.owner must be a string",
        "repository.tags.v1 must be a string",
        "repository.new is not a known key",
        "repository.id is missing",
        "run must be a JSON object",
    ):
        assert fault in errors
