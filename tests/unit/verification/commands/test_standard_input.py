from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from verification.commands import standard_input


def _text_of_pipe(data: bytes, *, close: bool = True) -> str:
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        if close:
            os.close(writer)
        return standard_input.pasted_text(reader)
    finally:
        os.close(reader)
        if not close:
            os.close(writer)


def test_a_pipe_and_a_file_are_read(tmp_path: Path) -> None:
    assert _text_of_pipe("OS: Debian 12 ä".encode()) == "OS: Debian 12 ä"
    assert _text_of_pipe(b"") == ""
    path = tmp_path / "report.txt"
    path.write_bytes(b"OS: Debian 12")
    with path.open("rb") as file:
        assert standard_input.pasted_text(file.fileno()) == "OS: Debian 12"


def test_a_silent_pipe_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_input, "_WAIT_SECONDS", 0.1)
    started = time.monotonic()
    assert _text_of_pipe(b"", close=False) == ""
    assert _text_of_pipe(b"OS: Debian 12", close=False) == "OS: Debian 12"
    assert time.monotonic() - started < 3


def test_a_terminal_a_device_and_a_closed_input_have_no_text() -> None:
    controller, terminal = os.openpty()
    os.write(controller, b"OS: Debian 12\n")
    assert standard_input.pasted_text(terminal) == ""
    os.close(terminal)
    assert standard_input.pasted_text(terminal) == ""
    os.close(controller)
    for name in ("/dev/null", "/dev/zero"):
        descriptor = os.open(name, os.O_RDONLY)
        assert standard_input.pasted_text(descriptor) == ""
        os.close(descriptor)


def test_a_large_text_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_input, "_MAX_BYTES", 100_000)
    path = tmp_path / "report.txt"
    path.write_bytes(b"x" * 1_000_000)
    with path.open("rb") as file:
        assert 100_000 <= len(standard_input.pasted_text(file.fileno())) < 200_000
