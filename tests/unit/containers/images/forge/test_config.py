"""The configuration of the forge: all faults in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from forge.config import load
from server.config import ConfigError

from tests.helpers.forge_server import configure


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"token": "left out"}, ["token"]),
        ({"port": "443"}, ["port"]),
        ({"port": True}, ["port"]),
        ({"port": 65536}, ["port"]),
        ({"surplus": 1}, ["surplus"]),
        ({"repository": []}, ["repository"]),
        ({"repository": {"owner": "x"}}, ["repository.name", "repository.id"]),
        ({"run": {"workflow": 1}}, ["run.workflow", "run.path"]),
        ({"certificate": "/nowhere"}, ["certificate: ", "/nowhere"]),
        ({"folder": "/nowhere"}, ["folder: ", "/nowhere"]),
        (
            {"token": 5, "repository": {"owner": 5, "tags": {"v1": 1}, "new": 1}, "run": "x"},
            ["token", "repository.owner", "repository.tags.v1", "repository.new", "run"],
        ),
    ],
    ids=str,
)
def test_wrong_configuration_is_refused_with_all_faults(
    tmp_path: Path, changes: dict[str, Any], keys: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        load(configure(tmp_path, **changes))
    message = str(error.value)
    assert len(message.splitlines()) == 1
    for key in keys:
        assert key in message
