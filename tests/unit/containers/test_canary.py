from __future__ import annotations

from typing import Any

import pytest

from containers import canary
from containers.commands import CommandResult
from verification.models.errors import TestbedFailure
from verification.models.testbed import NetworkObservation


class _Canary:
    """The container of a canary, which does not run."""

    def start(self) -> None:
        """Start nothing."""

    def get_wrapped_container(self) -> None:
        """Return nothing."""


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the containers that are removed."""
    found: list[object] = []
    monkeypatch.setattr(canary, "remove", found.append)
    return found


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


def test_what_a_canary_observed_is_read(
    monkeypatch: pytest.MonkeyPatch, removed: list[object]
) -> None:
    result = CommandResult(0, '{"reached": true, "resolver": "closed"}')
    assert _observe(monkeypatch, result) == NetworkObservation(reached=True, resolver="closed")
    assert len(removed) == 1


@pytest.mark.parametrize("output", ["", "Traceback", '{"reached": true}'])
def test_a_canary_without_an_answer_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, removed: list[object], output: str
) -> None:
    with pytest.raises(TestbedFailure, match="machine-lost: canary: exit 1: "):
        _observe(monkeypatch, CommandResult(1, output))
    assert len(removed) == 1
