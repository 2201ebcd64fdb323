from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CELL, Change, Fields, evidence, failed_step, step
from tests.helpers.sample_expectation import Shown, shown
from verification.models.cause import Cause
from verification.rules.side_effects import side_effects

ATEXIT = (
    "0024:fixme:file:NtLockFile I/O completion on lock not implemented yet\n"
    "Exception ignored in atexit callback: <function f at 0x7f>\n"
    "Traceback (most recent call last):\n"
    '  File "<string>", line 1, in f\n'
    "\n"
    "ValueError: a closed log\n"
)


def effects(*changes: Change) -> list[Cause]:
    observed = evidence(*changes)
    assert observed.import_run is not None
    assert observed.exercise is not None
    return list(side_effects(observed, observed.import_run, observed.exercise))


def effect(*changes: Change) -> Shown:
    (cause,) = effects(*changes)
    assert cause.severity == "flawed"
    return shown(cause)


def of_step(name: str, value: Fields) -> Change:
    return lambda fields: fields["exercise"]["steps"].update({name: value})


def test_a_package_that_does_only_its_work_has_no_effect() -> None:
    assert effects() == []


def test_processes_that_still_run_are_reported() -> None:
    running = ["python -m server " + "x" * 200, "other"]
    assert effect(lambda fields: fields.update(processes=running)) == (
        "process-left",
        f"{CELL}: at exit",
        f"2 processes still run after the interpreter ended: {running[0][:100]}",
        {"count": 2, "command": running[0]},
    )


def test_a_changed_state_of_the_process_is_reported() -> None:
    changed = {"umask": ["0o22", "0o0"], "locale": ["C", "de_DE.UTF-8"]}
    assert effect(of_step("process-state", step("process-state", changed))) == (
        "process-changed",
        f"{CELL}: exercise",
        "umask: 0o22 became 0o0; locale: C became de_DE.UTF-8",
        {"changed": ("umask", "locale")},
    )


def test_a_process_whose_state_cannot_be_read_is_changed() -> None:
    failed = failed_step("process-state", "[Errno 2] No such file or directory")
    assert effect(of_step("process-state", failed)) == (
        "process-changed",
        f"{CELL}: exercise",
        "it cannot be looked at any more: [Errno 2] No such file or directory",
        {"changed": ()},
    )


def test_a_missing_step_changes_nothing() -> None:
    assert effects(lambda fields: fields["exercise"]["steps"].pop("process-state")) == []


def test_a_long_change_is_cut() -> None:
    changed = {"umask": ["a" * 500, "b"]}
    found = effect(of_step("process-state", step("process-state", changed)))
    assert found[2] == f"umask: {'a' * 393}"


def test_what_the_import_prints_is_reported() -> None:
    assert effect(lambda fields: fields["import"].update(stdout="\nWelcome\nto it\n")) == (
        "output-at-import",
        f"{CELL}: import",
        "`import quiverdb` prints 'Welcome'",
        {"line": "Welcome"},
    )


@pytest.mark.parametrize("changes", [{"stdout": " \n"}, {"stdout": "Welcome", "code": 1}])
def test_an_import_that_prints_nothing_or_fails_is_no_effect(changes: Fields) -> None:
    assert effects(lambda fields: fields["import"].update(changes)) == []


def test_what_the_import_leaves_in_the_current_folder_is_reported() -> None:
    made = ["a.log", "b", "c", "d"]
    assert effect(lambda fields: fields["import"].update(made=made)) == (
        "files-at-import",
        f"{CELL}: import",
        "`import quiverdb` makes a.log, b, c in the current folder",
        {"files": tuple(made)},
    )


@pytest.mark.parametrize("process", ["import", "exercise"])
def test_an_exception_that_nobody_handles_is_reported(process: str) -> None:
    assert effect(lambda fields: fields[process].update(stderr=ATEXIT)) == (
        "unhandled-exception",
        f"{CELL}: {process}",
        "it ends well, and a traceback is printed: ValueError: a closed log",
        {"error": "ValueError: a closed log"},
    )


def test_an_exception_in_both_processes_is_reported_once() -> None:
    def change(fields: Fields) -> None:
        fields["import"]["stderr"] = fields["exercise"]["stderr"] = ATEXIT

    assert effect(change)[1] == f"{CELL}: import"


def test_a_traceback_with_the_line_ends_of_windows_is_read() -> None:
    text = ATEXIT.replace("\n", "\r\n")
    assert effect(lambda fields: fields["exercise"].update(stderr=text))[0] == "unhandled-exception"


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["exercise"].update(stderr=ATEXIT, code=1),
        lambda fields: fields["exercise"].update(
            stderr="0024:fixme:x y\n/x.py:1: DeprecationWarning: old\n  old()\n"
        ),
    ],
    ids=["failed", "warnings"],
)
def test_another_output_is_no_exception(change: Change) -> None:
    assert effects(change) == []


def test_the_traceback_of_a_failed_step_is_reported_by_the_step() -> None:
    failed = of_step("native-call", failed_step("native-call", "no"))
    assert effects(failed, lambda fields: fields["exercise"].update(stderr=ATEXIT)) == []
