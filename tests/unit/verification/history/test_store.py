from __future__ import annotations

import copy
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, complete, crash, told
from verification.history import store as history
from verification.history.store import Run, compare
from verification.models.errors import WrongUse

ROOT = Path(__file__).parents[4]
OTHER = "c" * 64
Change = Callable[[dict[str, Any]], None]


def _kinds(base: dict[str, Any], new: dict[str, Any], *before: dict[str, Any]) -> list[str]:
    """Return what compare tells of ``new``, a line each: the kind and where."""
    every = [Run(str(n), results) for n, results in enumerate((*before, base, new), 1)]
    return [f"{f.kind} {f.where}" for f in compare(every[-2], every[-1], every)]


def _changed(run: dict[str, Any]) -> dict[str, Any]:
    """Return the same run with another wheel for Linux."""
    run = copy.deepcopy(run)
    run["wheels"][next(iter(run["wheels"]))] = OTHER
    return run


def _bad(**changes: Any) -> dict[str, Any]:
    return _changed(told(cell(LINUX, crash()), cell(WINDOWS), **changes))


# ---- planted pairs: exactly what was planted is told ----


def _grown(run: dict[str, Any]) -> None:
    run["static"]["wheels"][1]["size"] = 1_200_000


def _dependency(run: dict[str, Any]) -> None:
    run["locked"]["cffi"] = "2.2.0"


def _image(run: dict[str, Any]) -> None:
    run["images"]["debian-13"]["tag"] = "quiverdb-e2e/debian-13:ffffffffffff"


def _slower(run: dict[str, Any]) -> None:
    run["cells"][0]["seconds"] = 14.0


def _flaw(run: dict[str, Any]) -> None:
    cause = {"name": "duplicate-library", "severity": "flawed", "where": "libquiver.so"}
    run["items"][1]["causes"].append(cause | {"message": "twice", "remedy": "Once."})


def _build(run: dict[str, Any]) -> None:
    run["items"][0] |= {"verdict": "failed", "reason": "it did not build"}


def _gone(run: dict[str, Any]) -> None:
    del run["cells"][1]


def _no_pipeline(run: dict[str, Any]) -> None:
    run["items"] = [item for item in run["items"] if item["id"] != "pipeline"]


def _no_wheel(run: dict[str, Any]) -> None:
    del run["static"]["wheels"][0]


@pytest.mark.parametrize(
    ("plant", "expected", "bad"),
    [
        (_grown, "grown-wheel quiverdb-0.5.0-cp313-cp313-win_amd64.whl", True),
        (_dependency, "changed-dependency cffi", False),
        (_image, "changed-image debian-13", False),
        (_slower, f"slower {LINUX}", False),
        (_flaw, "new-cause linux-install", True),
        (_build, "new-failure source-build", True),
        (_gone, f"cell-gone {WINDOWS}", True),
        (_no_pipeline, "item-gone pipeline", True),
        (_no_wheel, "wheel-gone quiverdb-0.5.0-cp313-cp313-manylinux_2_28_x86_64.whl", True),
    ],
)
def test_exactly_the_planted_change_is_told(plant: Change, expected: str, bad: bool) -> None:
    base, new = complete(), complete()
    plant(new)
    assert _kinds(base, new) == [expected]
    assert [one.bad for one in compare(Run("1", base), Run("2", new))] == [bad]


def test_several_planted_changes_are_all_told_the_bad_first() -> None:
    new = complete()
    for plant in (_grown, _dependency, _image, _slower):
        plant(new)
    found = compare(Run("1", complete()), Run("2", new))
    assert [one.kind for one in found] == [
        "grown-wheel",
        "changed-dependency",
        "changed-image",
        "slower",
    ]


def test_two_equal_runs_have_nothing_new() -> None:
    assert _kinds(complete(), complete()) == []
    assert _kinds(_bad(), _bad()) == []


def test_a_cell_that_fails_with_another_wheel_is_a_new_failure() -> None:
    assert _kinds(told(), _bad()) == [f"new-failure {LINUX}"]


def test_a_cell_that_fails_with_the_same_inputs_is_flaky() -> None:
    assert _kinds(told(), told(cell(LINUX, crash()), cell(WINDOWS))) == [f"flaky {LINUX}"]
    (found,) = compare(Run("1", told(cell(LINUX, crash()), cell(WINDOWS))), Run("2", told()))
    assert (found.kind, found.bad) == ("flaky", False)


def test_a_cell_whose_own_tests_are_others_is_not_flaky() -> None:
    base, new = told(), told(cell(LINUX, crash()), cell(WINDOWS))
    for run, sha in ((base, "a"), (new, "b")):
        run["seen"][LINUX]["tests"] = {"sha256": sha * 64}
    assert _kinds(base, new) == [f"new-failure {LINUX}"]


def test_a_cell_that_works_again_was_fixed() -> None:
    assert _kinds(_bad(), told()) == [f"fixed {LINUX}"]


def test_a_required_cell_that_no_longer_runs_is_new_and_bad() -> None:
    new = _changed(told(cell(LINUX, reason="no image"), cell(WINDOWS)))
    (found,) = compare(Run("1", told()), Run("2", new))
    assert found.bad
    assert "no image" in found.told


def test_another_cause_of_a_cell_that_fails_is_told() -> None:
    more = _bad()
    more["cells"][0]["causes"].append({**more["cells"][0]["causes"][0], "name": "hang"})
    more["items"][1]["causes"].append({**more["items"][1]["causes"][0], "name": "hang"})
    assert _kinds(_bad(), more) == [f"new-cause {LINUX}"]


def test_a_wheel_of_the_other_system_does_not_make_a_flaky_cell_a_new_failure() -> None:
    new = told(cell(LINUX, crash()), cell(WINDOWS))
    new["wheels"][list(new["wheels"])[1]] = OTHER
    assert _kinds(told(), new) == [f"flaky {LINUX}"]


@pytest.mark.parametrize(
    ("times", "now", "expected"),
    [
        ((4.0, 4.0), 6.9, []),  # by less than the seconds that count
        ((10.0, 10.0), 14.0, []),  # by less than the times that count
        ((4.0, 12.0, 4.0), 13.0, []),  # it took as long before
        ((4.0, 4.0), 7.5, [f"slower {LINUX}"]),
    ],
)
def test_a_cell_is_slower_only_against_the_slowest_of_its_last_runs(
    times: tuple[float, ...], now: float, expected: list[str]
) -> None:
    *before, base = [told(cell(LINUX, seconds=s), cell(WINDOWS)) for s in times]
    assert _kinds(base, told(cell(LINUX, seconds=now), cell(WINDOWS)), *before) == expected


@pytest.mark.parametrize(("before", "bad"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_slower_cell_is_bad_only_against_enough_runs(before: int, bad: bool) -> None:
    new = told()
    _slower(new)
    every = [Run(str(n), told()) for n in range(before)] + [Run("new", new)]
    (found,) = compare(every[-2], every[-1], every)
    assert (found.kind, found.bad) == ("slower", bad)


def test_a_host_that_was_busy_is_not_taken_for_slower_cells() -> None:
    names = [f"machine{number}-pip-venv" for number in range(4)]
    base = told(*(cell(name, seconds=4.0) for name in names))
    busy = told(*(cell(name, seconds=12.0) for name in names))
    assert _kinds(base, busy) == []
    busy["cells"][2]["seconds"] = 40.0
    assert _kinds(base, busy) == [f"slower {names[2]}"]


def test_the_first_bad_run_is_named_with_what_changed_since_the_last_good() -> None:
    bad = _bad()
    bad["locked"]["cffi"] = "2.2.0"
    later = copy.deepcopy(bad)
    later["locked"]["pip"] = "27.0"
    every = [Run(str(n), r) for n, r in enumerate((told(), told(), bad, later), 1)]
    (found,) = [one for one in compare(every[1], every[3], every) if one.kind == "new-failure"]
    assert "first bad run 3, last good run 2" in found.told
    assert "dependency cffi (2.1.1 -> 2.2.0)" in found.told
    assert "wheel quiverdb-0.5.0-cp313-cp313-manylinux_2_28_x86_64.whl" in found.told
    assert "pip" not in found.told.partition("between them")[2]


# ---- keeping ----


def test_a_run_is_kept_as_it_was() -> None:
    assert history.record(told()) == 1
    assert history.record(_bad()) == 2
    assert [dict(run.results) for run in history.runs()] == [told(), _bad()]


def test_runs_of_another_kind_are_not_compared() -> None:
    release = told()
    release["selection"] |= {"source": None, "release": "0.13.5"}
    for run in (told(), release, told()):
        history.record(run)
    base, new, alike = history.chosen([])
    assert [run.name for run in (base, new)] == ["1", "3"]
    assert [run.name for run in alike] == ["1", "3"]


def test_a_report_named_by_its_file_is_compared_with_the_run_before_it(tmp_path: Path) -> None:
    runs = [told() | {"started": f"2026-11-0{day}T00:00:00Z"} for day in (1, 2, 3)]
    for run in runs:
        history.record(run)
    for number, run in enumerate(runs[1:], 1):
        file = tmp_path / "results.json"
        file.write_text(json.dumps(run), "utf-8")
        base, _, _ = history.chosen([str(file)])
        assert base.name == str(number)
    file.write_text(json.dumps(runs[0]), "utf-8")
    with pytest.raises(WrongUse, match="there is no earlier run like"):
        history.chosen([str(file)])


def test_runs_of_another_package_are_not_compared() -> None:
    other = told()
    other["selection"] |= {"source": None, "release": "0.13.5"}
    same = json.loads(json.dumps(other))
    other["selection"]["subject"] = "other"

    assert history.kind(other) != history.kind(same)


_WRITER = """
import json, sys
from verification.history import store as history
results = json.load(sys.stdin)
for _ in range(10):
    history.record(results)
print("done", flush=True)
"""


def _writers(count: int, state: Path) -> list[subprocess.Popen[str]]:
    started = []
    for _ in range(count):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER],
            cwd=ROOT,
            env={**os.environ, "QUIVERDB_E2E_STATE": str(state), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps(told()))
        process.stdin.close()
        started.append(process)
    return started


def test_runs_that_end_at_the_same_time_are_all_kept(isolated: Path) -> None:
    started = _writers(3, isolated)
    assert [process.wait(120) for process in started] == [0, 0, 0]
    for process in started:
        assert process.stdout
        process.stdout.close()
    kept = history.runs()
    assert [run.name for run in kept] == [str(number) for number in range(1, 31)]
    assert all(dict(run.results) == told() for run in kept)


def test_a_run_killed_while_it_writes_leaves_whole_runs_only(isolated: Path) -> None:
    history.record(told())
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, os, sys, signal\n"
            "from verification.history import store as history\n"
            "results = json.load(sys.stdin)\n"
            "with history._open() as file:\n"
            "    file.execute('BEGIN IMMEDIATE')\n"
            "    file.execute('INSERT INTO runs (started, verdict, kind, results) "
            "VALUES (?, ?, ?, ?)', ('', 'failed', '', json.dumps(results)))\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n",
        ],
        cwd=ROOT,
        env={**os.environ, "QUIVERDB_E2E_STATE": str(isolated), "PYTHONPATH": str(ROOT)},
        input=json.dumps(told()),
        text=True,
        check=False,
    )
    assert killed.returncode == -9
    assert len(history.runs()) == 1
    assert history.record(told()) == 2


def test_a_history_of_a_newer_form_is_left_alone() -> None:
    history.record(told())
    with sqlite3.connect(history.path()) as file:
        file.execute("PRAGMA user_version = 9")
    file.close()
    with pytest.raises(history.NewerHistory, match="form is 9"):
        history.record(told())


# ---- the command ----


def _compare(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = history.main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_compare_tells_what_is_new_in_the_last_run_and_ends_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history.record(told())
    history.record(_bad())
    code, out, _ = _compare(capsys)
    assert code == 1
    assert f"✘ new-failure: {LINUX}: failed (crash), verified in 1" in out
    assert out.splitlines()[-1] == "1 new and bad"


def test_compare_ends_with_0_where_nothing_is_new_and_bad(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history.record(_bad())
    history.record(told())
    code, out, _ = _compare(capsys)
    assert code == 0
    assert f"· fixed: {LINUX}" in out


def test_compare_takes_files_of_results_and_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "results.json").write_text(json.dumps(_bad()), "utf-8")
    history.record(told())
    assert _compare(capsys, "1", str(tmp_path))[0] == 1
    assert _compare(capsys, str(tmp_path / "results.json"), "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no run is kept"),
        (("7",), "named 7"),
        (("a", "b", "c"), "at most two"),
        (("--lisst",), "unrecognized"),
    ],
)
def test_wrong_use_is_one_line_and_code_4(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = _compare(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert said in err


def test_a_run_without_an_earlier_one_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    history.record(told())
    code, _, err = _compare(capsys)
    assert code == 4
    assert "no earlier run like 1" in err


def test_results_with_a_value_of_the_wrong_kind_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(told() | {"selection": None}), "utf-8")
    code, _, err = _compare(capsys, str(path), str(path))
    assert (code, len(err.splitlines())) == (4, 1)
    assert "selection: None is not of type 'object'" in err


@pytest.mark.parametrize("content", ["[]", "{}", "{", '"text"'])
def test_a_file_that_is_no_results_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    path = tmp_path / "results.json"
    path.write_text(content, "utf-8")
    code, _, err = _compare(capsys, str(path), str(path))
    assert (code, len(err.splitlines())) == (4, 1)


def test_a_file_that_is_no_database_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history.path().write_bytes(b"no database" * 100)
    code, _, err = _compare(capsys)
    assert (code, len(err.splitlines())) == (3, 1)
    assert "Move it away to begin anew" in err


def test_the_runs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    history.record(told())
    code, out, _ = _compare(capsys, "--list")
    assert code == 0
    assert out == "1 (2026-03-01T10:00:00Z, quiverdb 0.5.0) verified\n"
