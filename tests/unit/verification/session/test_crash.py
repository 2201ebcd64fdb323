from __future__ import annotations

import pytest

from containers import state
from containers.state import state_folder
from verification.models.base import parse_json
from verification.models.cause import Cause
from verification.session import crash


def test_line_of_a_crash_has_its_location_and_the_file_of_the_traceback() -> None:
    with pytest.raises(ValueError, match="x") as raised:
        parse_json(Cause, b"\xff", "x")
    line = crash.line(raised.value)
    assert "verification/models/base.py:" in line
    log = state_folder() / "crash.log"
    assert str(log) in line
    assert log.read_text("utf-8").startswith("Traceback")


def test_message_of_several_lines_becomes_one_line() -> None:
    line = crash.line(ValueError("first\n  second"))
    assert line.startswith("ValueError: first second")


def test_long_message_is_shortened() -> None:
    assert len(crash.line(KeyError("x" * 5000))) < 600


def test_crash_has_a_line_if_its_file_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "state_folder", full)
    assert crash.line(KeyError("x")) == "KeyError: 'x'"
