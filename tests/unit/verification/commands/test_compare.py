from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from verification.commands import compare
from verification.commands.__main__ import main
from verification.models.errors import WrongUse
from verification.models.report import Report
from verification.report import results_json
from verification.session.user_files import history


def _bad() -> Report:
    run = report(cell(LINUX, crash()), cell(WINDOWS))
    wheels = dict.fromkeys(run.wheels, "c" * 64)
    return run.model_copy(update={"wheels": wheels})


def _release() -> Report:
    selection = report().selection.model_copy(update={"source": None, "release": "0.13.5"})
    return report().model_copy(update={"selection": selection})


def _compare(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["compare", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_runs_of_another_kind_are_not_compared() -> None:
    for run in (report(), _release(), report()):
        history().record(run)
    base, new, alike = compare.choose([], history().runs().runs)
    assert [run.name for run in (base, new)] == ["1", "3"]
    assert [run.name for run in alike] == ["1", "3"]


def test_a_report_named_by_its_file_is_compared_with_the_run_before_it(tmp_path: Path) -> None:
    runs = [report().model_copy(update={"started": f"2026-11-0{n}T00:00:00Z"}) for n in (1, 2, 3)]
    for run in runs:
        history().record(run)
    file = tmp_path / "results.json"
    for number, run in enumerate(runs[1:], 1):
        results_json.write(file, run)
        base, _, _ = compare.choose([str(file)], history().runs().runs)
        assert base.name == str(number)
    results_json.write(file, runs[0])
    with pytest.raises(WrongUse, match="there is no earlier run like"):
        compare.choose([str(file)], history().runs().runs)


def test_what_is_new_in_the_last_run_is_printed_and_the_code_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history().record(report())
    history().record(_bad())
    code, out, _ = _compare(capsys)
    assert code == 1
    assert f"✘ new-failure: {LINUX}: failed (crash), verified in 1" in out
    assert out.splitlines()[-1] == "1 new and bad"


def test_the_code_is_0_where_nothing_is_new_and_bad(capsys: pytest.CaptureFixture[str]) -> None:
    history().record(_bad())
    history().record(report())
    code, out, _ = _compare(capsys)
    assert code == 0
    assert f"· fixed: {LINUX}" in out


def test_files_of_results_and_numbers_are_taken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results_json.write(tmp_path / "results.json", _bad())
    history().record(report())
    assert _compare(capsys, "1", str(tmp_path))[0] == 1
    assert _compare(capsys, str(tmp_path / "results.json"), "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no run is kept"),
        (("7",), "named 7"),
        (("a", "b", "c"), "at most two"),
        (("--lisst",), "unrecognized"),
    ],
)
def test_wrong_use_is_one_line_and_code_4(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = _compare(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert message in err


def test_a_run_without_an_earlier_one_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    history().record(report())
    code, _, err = _compare(capsys)
    assert code == 4
    assert "no earlier run like 1" in err


def test_results_with_a_value_of_the_wrong_kind_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    values = report().model_dump(mode="json", by_alias=True)
    results_json.write_json(path, values | {"selection": None})
    code, _, err = _compare(capsys, str(path), str(path))
    assert (code, len(err.splitlines())) == (4, 1)
    assert "results.json: selection: " in err


@pytest.mark.parametrize("content", ["[]", "{}", "{", '"text"'])
def test_a_file_that_is_no_results_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    path = tmp_path / "results.json"
    path.write_text(content, "utf-8")
    code, _, err = _compare(capsys, str(path), str(path))
    assert (code, len(err.splitlines())) == (4, 1)


def test_a_file_that_is_no_database_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    file = history().file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"no database" * 100)
    code, _, err = _compare(capsys)
    assert (code, len(err.splitlines())) == (3, 1)
    assert "Move it away to begin anew" in err


def test_runs_of_an_older_form_are_counted_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history().record(report())
    history().record(report())
    with history()._open() as database:
        database.execute("UPDATE runs SET results = '{}' WHERE id = 1")
    code, out, err = _compare(capsys, "--list")
    assert (code, len(out.splitlines()), len(err.splitlines())) == (0, 1, 1)
    assert "1 runs" in err


def test_the_runs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    history().record(report())
    code, out, _ = _compare(capsys, "--list")
    assert code == 0
    assert out == "1 (2026-03-01T10:00:00Z, quiverdb 0.5.0) verified\n"
