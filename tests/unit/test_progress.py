from __future__ import annotations

import re
import threading

import pytest

from containers.progress import say, step


def test_a_line_goes_to_stderr_with_the_seconds_since_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("the engine answers")
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(r"\[ *\d+\.\d s\] the engine answers\n", told.err)


def test_a_step_says_that_it_began_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with step("building"):
        begun = capsys.readouterr().err
    ended = capsys.readouterr().err
    assert begun.endswith("] building ...\n")
    assert re.search(r"\] building: done in \d+\.\d s\n$", ended)


def test_a_step_that_failed_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="broken"), step("building"):
        raise RuntimeError("broken")
    assert "done" not in capsys.readouterr().err


def test_lines_of_several_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    threads = [threading.Thread(target=say, args=("x" * 200,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    assert all(line.endswith("] " + "x" * 200) for line in lines)
