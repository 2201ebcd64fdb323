from __future__ import annotations

from typing import Any

import docker.errors
import pytest

from containers import browser
from containers.browser import Browser, View
from containers.commands import CommandResult
from verification.models.errors import TestbedFailure


class _Container:
    """A fake of the container class of the library, and of the engine's container."""

    def __init__(self) -> None:
        self.archives: list[bytes] = []

    def get_wrapped_container(self) -> _Container:
        return self

    def put_archive(self, _: str, archive: bytes) -> None:
        self.archives.append(archive)


@pytest.fixture
def started() -> Browser:
    """Return a browser with a fake container."""
    fake: Any = object.__new__(Browser)
    fake._container = _Container()
    started: Browser = fake
    return started


def _answer(monkeypatch: pytest.MonkeyPatch, result: CommandResult, content: bytes | None) -> Any:
    commands: list[list[str]] = []

    def execute(_: object, command: list[str], **_options: object) -> CommandResult:
        commands.append(command)
        return result

    monkeypatch.setattr(browser, "execute", execute)
    monkeypatch.setattr(browser, "read_file", lambda *_: content)
    return commands


def test_picture_is_taken_in_the_size_of_the_view(
    monkeypatch: pytest.MonkeyPatch, started: Browser
) -> None:
    commands = _answer(monkeypatch, CommandResult(0, ""), b"png")

    assert started.picture("<p>", View(width=390, scale=1.5)) == b"png"
    assert commands[0][:2] == ["timeout", "120"]
    assert commands[0][-4:-1] == ["390", "0", "1.5"]


@pytest.mark.parametrize(("code", "content"), [(1, b"png"), (0, None)])
def test_picture_that_fails_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, started: Browser, code: int, content: bytes | None
) -> None:
    _answer(monkeypatch, CommandResult(code, "Target crashed"), content)

    with pytest.raises(TestbedFailure) as raised:
        started.picture("<p>", View(width=390))
    assert (raised.value.cause, raised.value.where) == ("machine-lost", "browser")
    assert "Target crashed" in raised.value.message


def test_lost_engine_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, started: Browser
) -> None:
    def fail(*_: object, **_options: object) -> CommandResult:
        raise docker.errors.NotFound("gone")

    monkeypatch.setattr(browser, "execute", fail)
    with pytest.raises(TestbedFailure) as raised:
        started.picture("<p>", View(width=390))
    assert raised.value.cause == "machine-lost"
