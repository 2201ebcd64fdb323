from __future__ import annotations

import types
from collections.abc import Callable, Sequence

import pytest

from verification.commands import gate
from verification.commands.parser import parse
from verification.models.errors import ExitCode, TestbedFailure, WrongUse

Calls = list[list[str]]


def _fake_pytest(
    monkeypatch: pytest.MonkeyPatch, code: int, *, has_started: bool, verdict_code: ExitCode | None
) -> Calls:
    """Replace pytest by a function that ends with `code`; return the log of its arguments."""
    calls: Calls = []

    def main(arguments: Sequence[str], plugins: Sequence[gate._Observer]) -> int:
        calls.append(list(arguments))
        (observer,) = plugins
        vars(observer)["controller"] = types.SimpleNamespace(
            has_started=has_started, code=verdict_code
        )
        return code

    monkeypatch.setattr(pytest, "main", main)
    return calls


def _run(*words: str) -> int:
    return gate.run(*parse(["gate", *words]))


@pytest.mark.parametrize("code", ExitCode)
@pytest.mark.parametrize("pytest_code", [0, 1, 2, 3])
def test_exit_code_is_that_of_the_verdict(
    monkeypatch: pytest.MonkeyPatch, code: ExitCode, pytest_code: int
) -> None:
    _fake_pytest(monkeypatch, pytest_code, has_started=True, verdict_code=code)
    assert _run() == code


@pytest.mark.parametrize(
    ("code", "has_started"), [(0, True), (1, True), (1, False), (2, True), (3, False)]
)
def test_run_without_a_verdict_is_a_testbed_failure(
    monkeypatch: pytest.MonkeyPatch, code: int, *, has_started: bool
) -> None:
    _fake_pytest(monkeypatch, code, has_started=has_started, verdict_code=None)
    with pytest.raises(TestbedFailure) as raised:
        _run()
    assert (raised.value.cause, raised.value.where) == ("testbed-defect", "pytest")
    assert str(code) in raised.value.message


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (5, 5)])
def test_listing_the_tests_is_not_a_failure(
    monkeypatch: pytest.MonkeyPatch, code: int, expected: int
) -> None:
    _fake_pytest(monkeypatch, code, has_started=False, verdict_code=None)
    assert _run("--collect-only") == expected


def test_cache_of_pytest_is_not_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_TOX_WORK_DIR", "/a folder/work")
    calls = _fake_pytest(monkeypatch, 0, has_started=True, verdict_code=ExitCode.VERIFIED)
    _run("--strict")
    (words,) = calls
    assert words[words.index("-o") + 1] == "cache_dir=/a folder/work/pytest"


def test_value_of_an_option_is_never_a_separate_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIVERDB_E2E_TOX_WORK_DIR", raising=False)
    typed = ("--tests", "my tests", "--strict", "--report=x", "-k", "a", "-n0", "--source", "")
    calls = _fake_pytest(monkeypatch, 0, has_started=True, verdict_code=ExitCode.VERIFIED)
    _run(*typed, "--subject", "their/subject.toml")
    assert calls == [
        [*gate.ARGUMENTS, "--subject=their/subject.toml", "--source=", "--tests=my tests",
         "--strict-verdict", "--report=x", "-k", "a", "-n0"]
    ]  # fmt: skip


USAGE = """\
usage: pytest.main() [options] [file_or_dir] [file_or_dir] [...]
pytest.main(): error: unrecognized arguments: --xyzzy
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
        (pytest.UsageError(USAGE), "gate: unrecognized arguments: --xyzzy"),
        (
            pytest.UsageError(USAGE.replace("--xyzzy", "--stric")),
            "gate: unrecognized arguments: --stric; did you mean --strict?",
        ),
        (pytest.UsageError("-k x:\n not valid"), "-k x: not valid"),
        (ImportError('Error importing plugin "x"'), 'gate: Error importing plugin "x"'),
    ],
    ids=["unknown option", "similar option", "two lines", "plugin"],
)
def test_usage_error_of_pytest_is_wrong_use_in_one_line(error: Exception, line: str) -> None:
    hook = gate._Observer().pytest_cmdline_parse()
    next(hook)
    with pytest.raises(WrongUse) as raised:
        hook.throw(error)
    assert str(raised.value) == line


def test_unknown_option_of_pytest_is_wrong_use_in_one_line() -> None:
    with pytest.raises(WrongUse) as raised:
        pytest.main(["--no-such-option", "-p", "no:cacheprovider"], plugins=[gate._Observer()])
    assert str(raised.value) == "gate: unrecognized arguments: --no-such-option"
