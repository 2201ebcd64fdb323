from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import threading
import time
from collections.abc import Mapping

import pytest

from containers import progress as progress_module
from containers import recipe
from containers.progress import (
    HEARTBEAT_SECONDS,
    Progress,
    duration,
    group,
    print_line,
    slowest,
    step,
    typical_seconds,
)
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


def progress_on(
    stream: io.StringIO, clock: Clock, environment: Mapping[str, str] | None = None
) -> Progress:
    """Return a progress that prints to ``stream`` and starts no thread."""
    return Progress(
        stream,
        environment={"TERM": "xterm"} if environment is None else environment,
        clock=clock,
        wall=lambda: NOON + clock.now,
        refreshes=False,
    )


def lines(stream: io.StringIO) -> list[str]:
    """Return the printed lines and remove them from the stream."""
    printed = stream.getvalue().splitlines()
    stream.seek(0)
    stream.truncate()
    return printed


# ---- line by line ----


def test_line_goes_to_stdout_with_the_time_and_the_seconds_since_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line("a line")
    printed = capsys.readouterr()
    assert printed.err == "", "stderr is for errors"
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[ *\d+\.\d s\] a line\n", printed.out)


@pytest.mark.parametrize("verbose", [True, False])
def test_step_has_one_line_at_its_end_and_details_only_on_request(
    clock: Clock, *, verbose: bool
) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock)
    progress.verbose = verbose
    image = progress.begin("image index: building")
    clock.now = 12.34
    progress.print_line("image index: Step 2/3 : RUN true")
    clock.now = 61.5
    progress.end(image)
    *detail_lines, end_line = lines(file)
    expected = ["12:00:12 [  12.3 s] image index: Step 2/3 : RUN true"]
    assert detail_lines == (expected if verbose else [])
    assert re.fullmatch(r"12:01:01 \[  61\.5 s\] image index: building: .*61\.5 s", end_line)


def test_expected_steps_are_counted(clock: Clock) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock)
    progress.expect("image", ("a", "b"))
    first, second = (progress.begin(f"image {name}: building") for name in ("a", "b"))
    progress.end(second)
    progress.end(first)
    progress.end(progress.begin("image c: building"))  # more than expected
    assert [
        re.sub(r".*\] image (\w): .*\((\d) of (\d) images\)", r"\1 \2/\3", line)
        for line in lines(file)
    ] == ["b 1/2", "a 2/2", "c 3/3"]


def test_total_and_estimate_are_printed_at_the_start_from_typical_times(clock: Clock) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock)
    progress.later_work = lambda: (60.0, "28 cells")
    progress.expect("image", ("builder", "python-3.13"))
    progress.expect("workflow", ("",))
    progress.print_estimate()
    (line,) = lines(file)
    typical = sum(map(typical_seconds, ("image builder", "image python-3.13", "workflow")))
    assert line.startswith("12:00:00 [   0.0 s] ")
    assert f"about {duration(typical / 2 + 60)}: " in line  # two steps at once
    assert re.search(r"\b2 images\b.*workflow.*28 cells", line)


def test_remaining_time_falls_while_steps_run_and_when_they_end(clock: Clock) -> None:
    progress = progress_on(io.StringIO(), clock)
    names = ("builder", "wine", "runner-base")
    progress.expect("image", names)
    seconds = {name: typical_seconds(f"image {name}") for name in names}
    assert progress.seconds_left() == sum(seconds.values()) / 2
    builder = progress.begin("image builder: building")
    clock.now = 10
    assert progress.seconds_left() == (sum(seconds.values()) - 10) / 2
    progress.end(builder)
    assert progress.seconds_left() == max(
        (seconds["wine"] + seconds["runner-base"]) / 2, seconds["runner-base"]
    )
    assert progress.summary() == f"about {duration(progress.seconds_left())} left"
    progress.fail(progress.begin("image wine: building"))


def test_estimate_does_not_stand_still_while_a_step_takes_longer_than_usual(clock: Clock) -> None:
    progress = progress_on(io.StringIO(), clock)
    progress.later_work = lambda: (49.0, "7 cells")
    progress.expect("image", ("builder", "wine"))
    builder = progress.begin("image builder: building")
    estimates = []
    for now in range(0, 1000, 100):
        clock.now = now
        estimates.append(progress.seconds_left())
    assert all(estimate > 49 + 10 for estimate in estimates)
    assert len(set(estimates)) == len(estimates)
    progress.end(builder)
    typical = [typical_seconds(f"image {name}") for name in ("builder", "wine")]
    pace = clock.now / typical[0]
    assert progress.seconds_left() == pytest.approx(49 + typical[1] * pace), "a slow host"


def test_step_on_a_fast_host_has_its_typical_time(clock: Clock) -> None:
    progress = progress_on(io.StringIO(), clock)
    progress.expect("image", ("builder", "wine"))
    progress.end(progress.begin("image builder: building"))
    assert progress.seconds_left() == typical_seconds("image wine")


def test_a_line_shows_that_the_run_waits_before_its_first_step(clock: Clock) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock)
    progress.expect("image", ("builder",))
    progress.print_estimate()
    lines(file)
    clock.now = HEARTBEAT_SECONDS
    progress.refresh()
    (line,) = lines(file)
    assert progress.summary() in line
    progress.forget_expected()
    clock.now = 10 * HEARTBEAT_SECONDS
    progress.refresh()
    assert lines(file) == []


def test_nothing_is_announced_without_expected_steps(clock: Clock) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock)
    progress.expect("image", ())
    progress.print_estimate()
    assert lines(file) == []
    assert progress.summary() == ""


def test_each_recipe_and_step_has_a_typical_time() -> None:
    recipes = set(recipe.names())
    assert all(typical_seconds(f"image {name}") > 0 for name in recipes)
    assert set(progress_module._typical()["image"]) - recipes == {"default"}
    assert all(map(typical_seconds, ("wheel for linux", "workflow", "cell linux", "cell windows")))
    assert typical_seconds("unknown x") == 0


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (340, "6 minutes")])
def test_a_duration_is_rounded(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("columns", ["60", "80", "200", ""])
def test_lines_have_the_width_of_the_terminal(clock: Clock, columns: str) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock, {"COLUMNS": columns})
    progress.print_line("word " * 60)
    printed = lines(file)
    assert " ".join(" ".join(printed).split()).count("word") == 60
    if columns:
        assert int(columns) - 10 <= max(map(len, printed)) <= int(columns)
    else:
        assert len(printed) == 1


def test_heartbeat_line_names_the_running_steps(clock: Clock) -> None:
    file = io.StringIO()
    progress = progress_on(file, clock)
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
    (line,) = lines(file)
    assert line.startswith("12:00:30 [  30.0 s] ")
    assert "image python-3.13 (30 s, Step 3/7 : RUN make), wheel for linux (30 s)" in line
    progress.end(wheel)
    progress.fail(image)
    lines(file)
    clock.now = 1000
    progress.refresh()
    assert lines(file) == [], "no step is running"


def test_failed_step_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="broken"), step("building"):
        raise RuntimeError("broken")
    assert capsys.readouterr() == ("", "")


def test_lines_of_several_threads_are_not_mixed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    threads = [threading.Thread(target=print_line, args=("x" * 200,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 20
    assert all(line.endswith("] " + "x" * 200) for line in printed)


@pytest.mark.parametrize(
    "environment", [{"TERM": "xterm", "CI": "true"}, {"TERM": "dumb"}, {}], ids=str
)
def test_there_is_no_live_display_in_ci_or_on_a_simple_terminal(
    clock: Clock, environment: Mapping[str, str]
) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock, environment)
    progress.end(progress.begin("image a: building"))
    assert "\x1b" not in terminal.getvalue()
    assert len(lines(terminal)) == 1


def test_group_folds_its_lines_on_github_even_if_it_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with group("Set-up"):
        print_line("a")
    assert "group" not in capsys.readouterr().out
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with contextlib.suppress(RuntimeError), group("Set-up"):
        print_line("a")
        raise RuntimeError
    printed = capsys.readouterr()
    assert printed.err == ""
    first, _, last = printed.out.splitlines()
    assert (first, last) == ("::group::Set-up", "::endgroup::")


def test_slowest_lists_the_longest_steps_of_at_least_a_second() -> None:
    timed = [("a", 1.0), ("b", 30.25), ("c", 0.9), ("d", 2.0)]
    assert slowest(timed) == "b 30.2 s, d 2.0 s, a 1.0 s"
    assert slowest(timed, limit=1) == "b 30.2 s"
    assert slowest([("c", 0.9)]) == ""


# ---- the live display ----


def rows(terminal: Terminal) -> list[str]:
    """Return the visible rows of a terminal."""
    return screen(terminal.getvalue())


def test_live_display_shows_the_running_steps_and_their_durations(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    progress.expect("image", ("a", "b"))
    first = progress.begin("image a: building")
    second = progress.begin("wheel for linux: building it")
    clock.now = 95
    progress.print_line("image a: Step 3/7 : RUN make")
    header, *step_rows = rows(terminal)
    assert re.fullmatch("about .* left, 0 of 2 images", header)
    assert step_rows == [
        "     95 s  image a: building | Step 3/7 : RUN make",
        "     95 s  wheel for linux: building it",
    ]
    assert re.search(r"\n(\x1b\[\?25[lh])*$", terminal.getvalue()), "tox forwards complete lines"
    progress.end(first)
    end_row, header, second_row = rows(terminal)
    assert re.fullmatch(r"\[  95\.0 s\] image a: .*95\.0 s \(1 of 2 images\)", end_row)
    assert re.fullmatch("about .* left", header)
    assert second_row == "     95 s  wheel for linux: building it"
    progress.print_line("something else")
    progress.fail(second)
    progress.forget_expected()
    assert rows(terminal) == [end_row, "[  95.0 s] something else"]


def test_row_is_not_wider_than_the_terminal(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock, {"TERM": "xterm", "COLUMNS": "80"})
    progress.begin("x" * 200)
    (row,) = rows(terminal)
    assert len(row) == 80
    assert row.startswith("      0 s  xxx")


def test_live_display_shows_six_steps_and_the_number_of_the_others(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    for number in range(10):
        progress.begin(f"step {number}")
    first, *others = rows(terminal)
    assert re.search(r"\b4\b", first)
    assert len(others) == 6


def test_status_is_above_the_steps(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    progress.status = lambda: "3 of 7 cells"
    progress.begin("cell a")
    assert rows(terminal) == ["3 of 7 cells", "      0 s  cell a"]


def test_paused_display_is_removed_and_restored(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    image = progress.begin("image a: building")
    with progress.paused():
        assert rows(terminal) == []
        terminal.write("other program\n")
    assert rows(terminal) == ["other program", "      0 s  image a: building"]
    progress.end(image, "")
    assert rows(terminal) == ["other program"]


@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {}], ids=["live", "plain"])
def test_incomplete_line_of_another_program_is_ended_first(
    clock: Clock, environment: Mapping[str, str]
) -> None:
    terminal, default_terminal = Terminal(), Terminal()
    progress = progress_on(default_terminal, clock, environment)

    def end_line() -> None:
        terminal.write("\n" if terminal.getvalue()[-1:] not in ("", "\n") else "")

    progress.print_to(terminal, end_line)
    terminal.write("....")
    progress.end(progress.begin("cell a"), "cell a works")
    assert [line.partition("] ")[2] or line for line in rows(terminal)] == [
        "....",
        "cell a works",
    ]
    progress.print_to(None)
    assert default_terminal.getvalue() == ""


class ClosedTerminal(Terminal):
    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {}], ids=["live", "plain"])
def test_steps_continue_without_a_reader(clock: Clock, environment: Mapping[str, str]) -> None:
    progress = progress_on(ClosedTerminal(), clock, environment)
    image = progress.begin("image a: building")
    progress.print_line("something else")
    progress.refresh()
    progress.end(image)
    assert [step.title for step in progress.ended] == ["image a: building"]


def read_until(reader: int, text: str) -> str:
    """Return the output until it contains ``text``. Wait at most ten seconds."""
    output = b""
    deadline = time.monotonic() + 10
    while text.encode() not in output:
        is_ready, _, _ = select.select([reader], [], [], max(0, deadline - time.monotonic()))
        if not is_ready:
            break
        output += os.read(reader, 65536)
    return output.decode()


def output_of_a_step(
    reader: int, writer: int, monkeypatch: pytest.MonkeyPatch, until: str = ""
) -> str:
    """Show a step on ``writer`` until ``reader`` gives the text ``until``. Return all output."""
    monkeypatch.setattr(progress_module, "_REFRESH_SECONDS", 0.02)
    with os.fdopen(writer, "w", encoding="utf-8") as file:
        progress = Progress(
            file, environment={"TERM": "xterm"}, clock=lambda: time.monotonic() * 20
        )
        image = progress.begin("image a: building")
        output = read_until(reader, until)
        progress.end(image)
        print("the end", file=file, flush=True)
        output += read_until(reader, "the end")
    os.close(reader)
    return output


def test_display_on_a_real_terminal_is_refreshed_and_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = output_of_a_step(*pty.openpty(), monkeypatch, "      1 s  image a: building")
    assert "      0 s  image a: building" in output
    assert "      1 s  image a: building" in output, "the row was not refreshed"
    end_row, last_row = screen(output)
    assert re.fullmatch(r"\[ +\d+\.\d s\] image a: building: .*\d\.\d s", end_row)
    assert last_row == "the end"


def test_output_to_a_pipe_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    output = output_of_a_step(*os.pipe(), monkeypatch)
    assert "\x1b" not in output
    assert "\r" not in output
    assert len(output.splitlines()) == 2
