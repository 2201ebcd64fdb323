from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from containers.progress import HEARTBEAT_SECONDS, Progress, group, print_line, slowest, step
from tests.helpers.screen import Terminal, screen

NOON = 12 * 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def told_on(
    stream: io.StringIO, clock: Clock, environment: Mapping[str, str] | None = None
) -> Progress:
    return Progress(
        stream,
        environment={"TERM": "xterm"} if environment is None else environment,
        clock=clock,
        wall=lambda: NOON + clock.now,
        refreshes=False,
    )


def lines(stream: io.StringIO) -> list[str]:
    found = stream.getvalue().splitlines()
    stream.seek(0)
    stream.truncate()
    return found


# ---- line by line ----


def test_a_line_goes_to_stderr_with_the_time_and_the_seconds_since_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    print_line("the engine answers")
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[ *\d+\.\d s\] the engine answers\n", told.err)


def test_a_step_says_that_it_began_and_how_long_it_took(clock: Clock) -> None:
    file = io.StringIO()
    progress = told_on(file, clock)
    begun = progress.begin("image index: building")
    assert lines(file) == ["12:00:00 [   0.0 s] image index: building ..."]
    clock.now = 12.34
    progress.print_line("image index: Step 2/3 : RUN true")
    clock.now = 61.5
    progress.end(begun)
    assert lines(file) == [
        "12:00:12 [  12.3 s] image index: Step 2/3 : RUN true",
        "12:01:01 [  61.5 s] image index: building: done in 61.5 s",
    ]


def test_of_expected_steps_each_says_how_far_it_is(clock: Clock) -> None:
    file = io.StringIO()
    progress = told_on(file, clock)
    progress.expect("image", 2)
    first, second = (progress.begin(f"image {name}: building") for name in ("a", "b"))
    progress.end(second)
    progress.end(first)
    progress.end(progress.begin("image c: building"))  # one that nobody had counted
    assert [re.sub(r".*\] (?:image )?", "", line) for line in lines(file)] == [
        "a: building ... (1 of 2 images)",
        "b: building ... (2 of 2 images)",
        "b: building: done in 0.0 s (1 of 2 images)",
        "a: building: done in 0.0 s (2 of 2 images)",
        "c: building ... (3 of 3 images)",
        "c: building: done in 0.0 s (3 of 3 images)",
    ]


def test_a_log_is_never_silent_for_long_while_something_runs(clock: Clock) -> None:
    file = io.StringIO()
    progress = told_on(file, clock)
    image = progress.begin("image python-3.13: building")
    progress.print_line("image python-3.13: Step 3/7 : RUN make")
    wheel = progress.begin("wheel for linux: building it from bindings/python")
    lines(file)
    clock.now = HEARTBEAT_SECONDS - 1
    progress.refresh()
    assert lines(file) == []
    clock.now = HEARTBEAT_SECONDS
    progress.refresh()
    progress.refresh()
    assert lines(file) == [
        "12:00:30 [  30.0 s] still running: image python-3.13 (30 s, Step 3/7 : RUN make), "
        "wheel for linux (30 s)"
    ]
    progress.end(wheel)
    progress.drop(image)
    lines(file)
    clock.now = 1000
    progress.refresh()
    assert lines(file) == [], "nothing runs any more"


def test_a_step_that_failed_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="broken"), step("building"):
        raise RuntimeError("broken")
    told = capsys.readouterr()
    assert "building ..." in told.out + told.err
    assert "done" not in told.out + told.err


def test_lines_of_several_threads_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    threads = [threading.Thread(target=print_line, args=("x" * 200,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = capsys.readouterr().err.splitlines()
    assert len(found) == 20
    assert all(line.endswith("] " + "x" * 200) for line in found)


@pytest.mark.parametrize(
    "environment", [{"TERM": "xterm", "CI": "true"}, {"TERM": "dumb"}, {}], ids=str
)
def test_nothing_is_told_in_place_in_ci_or_where_the_terminal_cannot(
    clock: Clock, environment: Mapping[str, str]
) -> None:
    terminal = Terminal()
    progress = told_on(terminal, clock, environment)
    progress.end(progress.begin("image a: building"))
    assert "\x1b" not in terminal.getvalue()
    assert len(lines(terminal)) == 2


def test_on_github_the_lines_of_a_group_are_folded_even_if_it_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with group("Set-up"):
        print_line("a")
    assert "group" not in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with contextlib.suppress(RuntimeError), group("Set-up"):
        print_line("a")
        raise RuntimeError
    told = capsys.readouterr()
    assert told.err == "", "the order is kept on one stream only"
    first, _, last = told.out.splitlines()
    assert (first, last) == ("::group::Set-up", "::endgroup::")


def test_the_slowest_are_told_the_slowest_first_and_nothing_of_less_than_a_second() -> None:
    timed = [("a", 1.0), ("b", 30.25), ("c", 0.9), ("d", 2.0)]
    assert slowest(timed) == "b 30.2 s, d 2.0 s, a 1.0 s"
    assert slowest(timed, limit=1) == "b 30.2 s"
    assert slowest([("c", 0.9)]) == ""


# ---- the live display ----


def shown(terminal: Terminal) -> list[str]:
    return screen(terminal.getvalue())


def test_on_a_terminal_what_runs_is_shown_in_place_with_its_seconds(clock: Clock) -> None:
    terminal = Terminal()
    progress = told_on(terminal, clock)
    progress.expect("image", 2)
    first = progress.begin("image a: building")
    second = progress.begin("wheel for linux: building it")
    clock.now = 95
    progress.print_line("image a: Step 3/7 : RUN make")
    assert shown(terminal) == [
        "0 of 2 images",
        "     95 s  image a: building | Step 3/7 : RUN make",
        "     95 s  wheel for linux: building it",
    ], "what is only of the moment does not stay"
    assert re.search(r"\n(\x1b\[\?25[lh])*$", terminal.getvalue()), "tox hands on whole lines only"
    progress.end(first)
    done = "[  95.0 s] image a: building: done in 95.0 s (1 of 2 images)"
    assert shown(terminal) == [done, "     95 s  wheel for linux: building it"]
    progress.print_line("something else")
    progress.drop(second)
    assert shown(terminal) == [done, "[  95.0 s] something else"]


def test_no_line_that_is_shown_is_wider_than_the_terminal(clock: Clock) -> None:
    terminal = Terminal()
    progress = told_on(terminal, clock, {"TERM": "xterm", "COLUMNS": "80"})
    progress.begin("x" * 200)
    (row,) = shown(terminal)
    assert len(row) == 80
    assert row.startswith("      0 s  xxx")


def test_of_many_steps_the_first_are_shown_and_the_others_counted(clock: Clock) -> None:
    terminal = Terminal()
    progress = told_on(terminal, clock)
    for number in range(10):
        progress.begin(f"step {number}")
    assert shown(terminal)[0] == "and 4 more run"
    assert len(shown(terminal)) == 7


def test_the_status_is_above_the_steps(clock: Clock) -> None:
    terminal = Terminal()
    progress = told_on(terminal, clock)
    progress.status = lambda: "3 of 7 cells"
    progress.begin("cell a", quiet=True)
    assert shown(terminal) == ["3 of 7 cells", "      0 s  cell a"]


def test_the_display_is_away_while_another_writes(clock: Clock) -> None:
    terminal = Terminal()
    progress = told_on(terminal, clock)
    begun = progress.begin("image a: building")
    with progress.paused():
        assert shown(terminal) == []
        terminal.write("theirs\n")
    assert shown(terminal) == ["theirs", "      0 s  image a: building"]
    progress.end(begun, "")
    assert shown(terminal) == ["theirs"]


@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {}], ids=["live", "plain"])
def test_a_line_that_another_has_begun_is_ended_first(
    clock: Clock, environment: Mapping[str, str]
) -> None:
    terminal, other = Terminal(), Terminal()
    progress = told_on(other, clock, environment)

    def end_line() -> None:
        terminal.write("\n" if terminal.getvalue()[-1:] not in ("", "\n") else "")

    progress.print_to(terminal, end_line)
    terminal.write("....")
    progress.end(progress.begin("cell a", quiet=True), "cell a works")
    assert [line.partition("] ")[2] or line for line in shown(terminal)] == [
        "....",
        "cell a works",
    ]
    progress.print_to(None)
    assert other.getvalue() == ""


class Gone(Terminal):
    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {}], ids=["live", "plain"])
def test_the_work_goes_on_without_a_reader(clock: Clock, environment: Mapping[str, str]) -> None:
    progress = told_on(Gone(), clock, environment)
    begun = progress.begin("image a: building")
    progress.print_line("something else")
    progress.refresh()
    progress.end(begun)
    assert [step.title for step in progress.ended] == ["image a: building"]


SCRIPT = """
import time
from containers.progress import step
with step("image a: building"):
    time.sleep(1.2)
print("the end")
"""


def environment(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "GITHUB_ACTIONS")}
    return kept | {"TERM": "xterm", "PYTHONPATH": str(folder)}


def test_on_a_real_terminal_the_line_moves_and_leaves_nothing_behind(
    pytestconfig: pytest.Config,
) -> None:
    seen = on_a_terminal(pytestconfig.rootpath)
    assert "      0 s  image a: building" in seen
    assert "      1 s  image a: building" in seen, "it was not renewed while the step ran"
    first, last = screen(seen)
    assert re.fullmatch(r"\[ +\d\.\d s\] image a: building: done in 1\.\d s", first)
    assert last == "the end"


def on_a_terminal(folder: Path) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment(folder),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        found = b""
        try:
            while part := os.read(ours, 65536):
                found += part
        except OSError:  # how Linux tells that nobody has the other end any more
            process.wait()
    os.close(ours)
    return found.decode()


def test_into_a_file_or_a_pipe_go_plain_lines(pytestconfig: pytest.Config) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment(pytestconfig.rootpath),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert "\x1b" not in ran.stdout
    assert "\r" not in ran.stdout
    assert len(ran.stdout.splitlines()) == 3
