from __future__ import annotations

from collections.abc import Callable

import pytest

from containers import state
from containers.state import state_folder
from verification.models.base import parse_json
from verification.models.cause import Cause
from verification.session import crash


def _caught(do: Callable[[], object]) -> Exception:
    try:
        do()
    except ValueError as error:
        return error
    pytest.fail("it raises no error")


def test_a_crash_is_one_line_with_its_place_and_the_file_of_the_traceback() -> None:
    line = crash.line(_caught(lambda: parse_json(Cause, b"\xff", "x")))
    assert "(verification/models/base.py:" in line
    log = state_folder() / "crash.log"
    assert line.endswith(f"; traceback: {log}")
    assert log.read_text("utf-8").startswith("Traceback")


def test_a_message_of_several_lines_is_one_line() -> None:
    line = crash.line(ValueError("first\n  second"))
    assert line.startswith("ValueError: first second")


def test_a_long_message_is_cut() -> None:
    assert len(crash.line(KeyError("x" * 5000))) < 600


def test_a_state_folder_that_cannot_be_written_takes_the_line_not_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "state_folder", full)
    assert crash.line(KeyError("x")) == "KeyError: 'x'"
