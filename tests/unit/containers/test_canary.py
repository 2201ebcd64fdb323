from __future__ import annotations

from typing import Any

import pytest

from containers import canary
from containers.commands import CommandResult
from verification.models.errors import TestbedFailure
from verification.models.testbed import NetworkObservation


class _Canary:
    """A fake container of a canary."""

    def start(self) -> None:
        """Start nothing."""

    def get_wrapped_container(self) -> None:
        """Return nothing."""


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Replace the removal of containers. Return the list of the removed containers."""
    containers: list[object] = []
    monkeypatch.setattr(canary, "remove", containers.append)
    return containers


def _observe(monkeypatch: pytest.MonkeyPatch, result: CommandResult) -> NetworkObservation:
    commands: list[list[str]] = []

    def execute(_: object, command: list[str]) -> CommandResult:
        commands.append(command)
        return result

    monkeypatch.setattr(canary, "execute", execute)
    container: Any = _Canary()
    try:
        return canary._observe(container, "198.18.0.2", "closed")
    finally:
        assert commands[0][-3:] == ["198.18.0.2", str(canary._PORT), "closed"]


def test_observation_of_a_canary_is_read_and_its_container_removed(
    monkeypatch: pytest.MonkeyPatch, removed: list[object]
) -> None:
    result = CommandResult(0, '{"reached": true, "resolver": "closed"}')
    assert _observe(monkeypatch, result) == NetworkObservation(reached=True, resolver="closed")
    assert len(removed) == 1


@pytest.mark.parametrize("output", ["", "Traceback", '{"reached": true}'])
def test_canary_without_an_observation_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, removed: list[object], output: str
) -> None:
    with pytest.raises(TestbedFailure) as raised:
        _observe(monkeypatch, CommandResult(1, output))
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "canary")
    assert len(removed) == 1
