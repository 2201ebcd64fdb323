"""How a GitHub action runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.runner.action_runs import ActionRuns, read_runs
from verification.models.base import DataError


@pytest.mark.parametrize(
    ("text", "runs", "dockerfile"),
    [
        ("runs: {using: node24, main: x.js}", ActionRuns(using="node24"), ""),
        (
            "runs: {using: composite, steps: [{run: x}, {uses: a/b@v1}]}",
            ActionRuns(using="composite", uses=("a/b@v1",)),
            "",
        ),
        (
            "runs: {using: docker, image: 'docker://a:1'}",
            ActionRuns(using="docker", image="docker://a:1"),
            "",
        ),
        (
            "runs: {using: docker, image: x/Dockerfile}",
            ActionRuns(using="docker", image="x/Dockerfile"),
            "x/Dockerfile",
        ),
    ],
)
@pytest.mark.parametrize("name", ["action.yml", "action.yaml"])
def test_runs_are_read(
    tmp_path: Path, name: str, text: str, runs: ActionRuns, dockerfile: str
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert read_runs(tmp_path) == runs
    assert runs.dockerfile == dockerfile


def test_folder_with_only_a_dockerfile_is_a_docker_action(tmp_path: Path) -> None:
    assert read_runs(tmp_path) is None
    (tmp_path / "Dockerfile").touch()
    assert read_runs(tmp_path) == ActionRuns(using="docker", image="Dockerfile")


@pytest.mark.parametrize(
    "text", ["runs: {}", "runs: [", "inputs: {}", "- 1", "", "runs: {using: x, steps: [1]}"]
)
def test_unreadable_definition_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "action.yml").write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"action\.yml"):
        read_runs(tmp_path)
