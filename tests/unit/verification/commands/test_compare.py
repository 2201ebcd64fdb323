from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.sample_exercise import EMPTY_SMOKE
from tests.helpers.sample_run import LINUX, WINDOWS, cell, crash, report
from verification.commands import compare
from verification.commands.__main__ import main
from verification.history import store
from verification.models.base import parse_json
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
    output = capsys.readouterr()
    return code, output.out, output.err


def test_only_runs_with_the_same_input_are_compared() -> None:
    for run in (report(), _release(), report()):
        history().record(run)
    base, new, earlier, _ = compare.choose([], history())
    assert [run.name for run in (base, new)] == ["1", "3"]
    assert [run.name for run in earlier] == ["1"]


def test_runs_of_another_package_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = report().selection.model_copy(update={"subject": "other"})
    other = report().model_copy(update={"selection": selection})
    for run in (report(), report(), other):
        history().record(run)
    (tmp_path / "smoke.py").write_text(EMPTY_SMOKE, "utf-8")
    platform = '[[platforms]]\ntag = "win_amd64"'
    texts = {
        name: f'name = "{name}"\nimport_package = "x"\npython = "cp313"\nexercise = "smoke.py"\n'
        for name in ("other", report().selection.subject)
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text + platform, "utf-8")
    of_other, of_default = (str(tmp_path / f"{name}.toml") for name in texts)
    _, out, _ = _compare(capsys, "--list", "--subject", of_other)
    assert [line.partition(" ")[0] for line in out.splitlines()] == ["3"]
    code, out, _ = _compare(capsys, "--subject", of_default)
    assert (code, out.partition(" ")[0]) == (0, "1")
    code, _, err = _compare(capsys, "--subject", of_other)
    assert code == WrongUse.exit_code
    assert len(err.splitlines()) == 1


def test_report_of_a_file_is_compared_with_the_run_before_it(tmp_path: Path) -> None:
    runs = [report().model_copy(update={"started": f"2026-11-0{n}T00:00:00Z"}) for n in (1, 2, 3)]
    for run in runs:
        history().record(run)
    file = tmp_path / "results.json"
    for number, run in enumerate(runs[1:], 1):
        results_json.write(file, run)
        assert compare.choose([str(file)], history()).base.name == str(number)
    results_json.write(file, runs[0])
    with pytest.raises(WrongUse):
        compare.choose([str(file)], history())


def test_new_failure_in_the_last_run_is_printed_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history().record(report())
    history().record(_bad())
    code, out, _ = _compare(capsys)
    assert code == 1
    assert f"✘ new-failure: {LINUX}: " in out


def test_fixed_failure_is_printed_and_the_exit_code_is_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history().record(_bad())
    history().record(report())
    code, out, _ = _compare(capsys)
    assert code == 0
    assert f"· fixed: {LINUX}" in out


def test_run_can_be_a_number_a_file_or_a_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results_json.write(tmp_path / "results.json", _bad())
    history().record(report())
    assert _compare(capsys, "1", str(tmp_path))[0] == 1
    assert _compare(capsys, str(tmp_path / "results.json"), "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "history.sqlite3"),
        (("7",), "compare: 7: "),
        (("a", "b", "c"), "3"),
        (("--lisst",), "--lisst"),
    ],
    ids=["empty history", "unknown run", "three runs", "unknown option"],
)
def test_wrong_use_is_one_line_and_exit_code_4(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str
) -> None:
    code, out, err = _compare(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert word in err


def test_run_without_an_earlier_one_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    history().record(report())
    code, out, err = _compare(capsys)
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert "before 1 (" in err


def test_runs_of_two_kinds_are_compared_only_if_both_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history().record(report())
    history().record(_release())
    assert _compare(capsys)[0] == 4
    code, out, _ = _compare(capsys, "1", "2")
    assert code == 0
    assert out.startswith("differs in kind: origin: ")


def test_invalid_report_is_wrong_use_in_one_line_that_names_the_field(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    values = report().model_dump(mode="json", by_alias=True)
    results_json.write_json(path, values | {"selection": None})
    code, _, err = _compare(capsys, str(path), str(path))
    assert (code, len(err.splitlines())) == (4, 1)
    assert "results.json: selection: " in err


@pytest.mark.parametrize("content", ["[]", "{}", "{", '"text"'])
def test_file_that_is_no_report_is_wrong_use_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    path = tmp_path / "results.json"
    path.write_text(content, "utf-8")
    code, _, err = _compare(capsys, str(path), str(path))
    assert (code, len(err.splitlines())) == (4, 1)


def test_history_that_is_no_database_is_a_testbed_failure_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = history().file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"no database" * 100)
    code, _, err = _compare(capsys)
    assert (code, len(err.splitlines())) == (3, 1)
    assert str(file) in err


def test_runs_of_an_older_form_are_counted_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    history().record(report())
    history().record(report())
    with history()._open() as database:
        database.execute("UPDATE runs SET results = '{}' WHERE id = 1")
        database.execute("DROP TABLE summaries")
    code, out, err = _compare(capsys, "--list")
    assert (code, len(out.splitlines()), len(err.splitlines())) == (0, 1, 1)
    assert " 1 " in err


def test_run_whose_report_cannot_be_read_is_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(3):
        history().record(report())
    with history()._open() as database:
        database.execute("UPDATE runs SET results = '{' WHERE id IN (2, 3)")
    history().record(report())
    code, out, err = _compare(capsys)
    assert (code, out.partition(" ")[0]) == (0, "1")
    assert " 2 " in err


def test_only_the_reports_of_the_compared_runs_are_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in (*[report()] * 60, *[_release()] * 5, report()):
        history().record(run)
    numbers: list[str] = []

    def parse(model: type[Report], text: str, where: str) -> Report:
        numbers.append(where)
        return parse_json(model, text, where)

    monkeypatch.setattr(store, "parse_json", parse)
    code, out, _ = _compare(capsys)
    assert (code, out.partition(" ")[0]) == (0, "60")
    assert sorted(set(numbers)) == sorted(numbers)
    assert set(numbers) == {f"run {number}" for number in (*range(41, 61), 66)}

    numbers.clear()
    assert _compare(capsys, "--list")[0] == 0
    assert numbers == []


def test_pruned_history_keeps_the_newest_runs_of_each_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for run in (report(), _release(), report(), report(), _release(), _bad()):
        history().record(run)
    assert _compare(capsys, "--prune", "2")[0] == 0
    assert [summary.id for summary in history().summaries()] == [2, 4, 5, 6]
    code, out, _ = _compare(capsys)
    assert (code, out.partition(" ")[0]) == (1, "4")


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_number_of_kept_runs_is_above_0(capsys: pytest.CaptureFixture[str], number: str) -> None:
    history().record(report())
    assert _compare(capsys, "--prune", number)[0] == 4
    assert len(history().summaries()) == 1


def test_runs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    history().record(report())
    code, out, _ = _compare(capsys, "--list")
    assert code == 0
    (line,) = out.splitlines()
    assert line.startswith("1 (")
    assert all(word in line for word in ("2026-03-01T10:00:00Z", "quiverdb 0.5.0", "verified"))
