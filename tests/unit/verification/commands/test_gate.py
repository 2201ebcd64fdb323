from __future__ import annotations

import types
from collections.abc import Callable, Sequence

import pytest

from verification.commands import gate
from verification.commands.parser import parse
from verification.models.errors import ExitCode, TestbedFailure, WrongUse

Given = list[list[str]]


def _pytest(
    monkeypatch: pytest.MonkeyPatch, code: int, *, began: bool, confirmed: ExitCode | None
) -> Given:
    """Let pytest end with `code`, with this controller; return what it is given."""
    given: Given = []

    def main(arguments: Sequence[str], plugins: Sequence[gate._Observer]) -> int:
        given.append(list(arguments))
        (observer,) = plugins
        vars(observer)["controller"] = types.SimpleNamespace(began=began, code=confirmed)
        return code

    monkeypatch.setattr(pytest, "main", main)
    return given


def _run(*words: str) -> int:
    return gate.run(*parse(["gate", *words]))


@pytest.mark.parametrize("code", ExitCode)
@pytest.mark.parametrize("of_pytest", [0, 1, 2, 3])
def test_the_exit_code_is_that_of_the_verdict(
    monkeypatch: pytest.MonkeyPatch, code: ExitCode, of_pytest: int
) -> None:
    _pytest(monkeypatch, of_pytest, began=True, confirmed=code)
    assert _run() == code


@pytest.mark.parametrize(
    ("code", "began"), [(0, True), (1, True), (1, False), (2, True), (3, False)]
)
def test_a_run_without_a_verdict_is_the_testbeds_failure(
    monkeypatch: pytest.MonkeyPatch, code: int, *, began: bool
) -> None:
    _pytest(monkeypatch, code, began=began, confirmed=None)
    with pytest.raises(TestbedFailure, match="before a verdict"):
        _run()


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (5, 5)])
def test_a_list_of_the_tests_is_no_verdict_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, code: int, expected: int
) -> None:
    _pytest(monkeypatch, code, began=False, confirmed=None)
    assert _run("--collect-only") == expected


def test_a_folder_with_a_conftest_of_its_own_is_never_taken_for_one_to_collect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = ("--tests", "my tests", "--strict", "--report=x", "-k", "a", "-n0", "--source", "")
    given = _pytest(monkeypatch, 0, began=True, confirmed=ExitCode.VERIFIED)
    _run(*typed, "--subject", "their/subject.toml")
    assert given == [
        [*gate.ARGUMENTS, "--source=", "--subject=their/subject.toml", "--tests=my tests",
         "--strict-verdict", "--report=x", "-k", "a", "-n0"]
    ]  # fmt: skip


USAGE = """\
usage: pytest.main() [options] [file_or_dir] [file_or_dir] [...]
pytest.main(): error: unrecognized arguments: --bad
  inifile: /x/pyproject.toml
  rootdir: /x
"""


def _raise(error: Exception) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (pytest.UsageError(USAGE), "gate: unrecognized arguments: --bad"),
        (pytest.UsageError("-k x:\n it is no expression"), "-k x: it is no expression"),
        (ImportError('Error importing plugin "x"'), 'gate: Error importing plugin "x"'),
    ],
)
def test_a_usage_error_of_pytest_is_wrong_use_in_one_line(error: Exception, line: str) -> None:
    hook = gate._Observer().pytest_cmdline_parse()
    next(hook)
    with pytest.raises(WrongUse) as raised:
        hook.throw(error)
    assert str(raised.value) == line


def test_pytest_itself_reports_an_unknown_option_in_one_line() -> None:
    with pytest.raises(WrongUse) as raised:
        pytest.main(["--no-such-option", "-p", "no:cacheprovider"], plugins=[gate._Observer()])
    assert str(raised.value) == "gate: unrecognized arguments: --no-such-option"
