"""The configuration of the conductor."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

configs = importlib.import_module("conductor.config")
VALUES = {
    "command": ["act", "push"],
    "environment": {"GITHUB_TOKEN": "x"},
    "folder": "/work",
    "labels": {"run": "1"},
    "dns": ["127.0.0.1"],
    "network": "closed",
    "host_config": {"Memory": 5},
    "capabilities": ["KILL"],
    "prefix": "mine-",
    "volume": "shared",
    "registered_jobs": "/registered_jobs",
    "artifacts": "/artifacts",
    "attempt": 1,
    "identity": {"url": "https://token.example", "token": "secret"},
    "dockerfiles": ["action/Dockerfile"],
}


def test_configuration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(VALUES))

    assert dataclasses.asdict(configs.load(path)) == VALUES


@pytest.mark.parametrize("values", [{**VALUES, "colour": "blue"}, {"identity": {}}])
def test_unknown_or_missing_key_is_refused(tmp_path: Path, values: object) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))

    with pytest.raises(TypeError):
        configs.load(path)
