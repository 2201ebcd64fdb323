from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    PACKAGE,
    Change,
    Fields,
    evidence,
    failed_step,
    step,
)
from tests.helpers.sample_expectation import Summary, summary
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


def effect(*changes: Change) -> Summary:
    (cause,) = effects(*changes)
    assert cause.severity == "flawed"
    return summary(cause)


def of_step(name: str, value: Fields) -> Change:
    return lambda fields: fields["exercise"]["steps"].update({name: value})


def test_healthy_package_has_no_side_effect() -> None:
    assert effects() == []


def test_remaining_processes_are_reported() -> None:
    running = ["python -m server " + "x" * 200, "other"]
    assert effect(lambda fields: fields.update(processes=running)) == (
        "process-left",
        f"{CELL}: at exit",
        {"count": 2, "command": running[0]},
    )


def test_changed_process_state_is_reported() -> None:
    changed = {"umask": ["0o22", "0o0"], "locale": ["C", "de_DE.UTF-8"]}
    assert effect(of_step("process-state", step("process-state", changed))) == (
        "process-changed",
        f"{CELL}: exercise",
        {
            "changed": ("umask", "locale"),
            "changes": "umask from 0o22 to 0o0; locale from C to de_DE.UTF-8",
        },
    )


def enabled_gil(*tags: str, module: str = "quiverdb._fast") -> Change:
    """Return a change after which the import of a module enables the GIL."""

    def change(fields: Fields) -> None:
        steps = fields["exercise"]["steps"]
        steps["process-state"] = step("process-state", {"GIL": ["disabled", "enabled"]})
        steps["record"]["value"]["tags"] = list(tags)
        steps["record"]["value"]["files"].append(
            f"{PACKAGE}/_fast.cpython-313t-x86_64-linux-gnu.so"
        )
        fields["exercise"]["stderr"] = (
            "<frozen importlib._bootstrap>:488: RuntimeWarning: The global interpreter lock (GIL) "
            f"has been enabled to load module '{module}', which has not declared that it can run "
            "safely without the GIL.\n"
        )

    return change


FREE_THREADED = "cp313-cp313t-manylinux_2_28_x86_64"


@pytest.mark.parametrize(
    ("tags", "module", "severity"),
    [
        ((FREE_THREADED,), "quiverdb._fast", "flawed"),
        (("cp315-abi3t-win_amd64",), "quiverdb._fast", "flawed"),
        ((FREE_THREADED,), "_cffi_backend", "note"),
        (("py3-none-any",), "quiverdb._fast", "note"),
        ((), "quiverdb._fast", "note"),
    ],
)
def test_module_that_enables_the_gil_is_reported(
    tags: tuple[str, ...], module: str, severity: str
) -> None:
    (cause,) = effects(enabled_gil(*tags, module=module))
    assert summary(cause) == ("gil-enabled", f"{CELL}: {module}", {"module": module})
    assert cause.severity == severity


def test_enabled_gil_is_reported_separately_from_other_changes() -> None:
    changed = {"umask": ["0o22", "0o0"], "GIL": ["disabled", "enabled"]}
    state = of_step("process-state", step("process-state", changed))
    causes = {cause.name: cause for cause in effects(enabled_gil(FREE_THREADED), state)}
    assert set(causes) == {"process-changed", "gil-enabled"}
    assert causes["process-changed"].facts["changed"] == ("umask",)


def test_disabled_gil_is_no_side_effect() -> None:
    state = {"GIL": ["enabled", "disabled"]}
    assert effects(of_step("process-state", step("process-state", state))) == []


def test_unreadable_process_state_is_reported() -> None:
    failed = failed_step("process-state", "[Errno 2] No such file or directory")
    assert effect(of_step("process-state", failed)) == (
        "process-changed",
        f"{CELL}: exercise",
        {"error": "[Errno 2] No such file or directory"},
    )


def test_missing_step_has_no_cause() -> None:
    assert effects(lambda fields: fields["exercise"]["steps"].pop("process-state")) == []


def test_long_change_is_shortened() -> None:
    changed = {"umask": ["a" * 500, "b"]}
    facts = effect(of_step("process-state", step("process-state", changed)))[2]
    assert len(str(facts["changes"])) == 400


def test_output_of_the_import_is_reported() -> None:
    assert effect(lambda fields: fields["import"].update(stdout="\nWelcome\nto it\n")) == (
        "output-at-import",
        f"{CELL}: import",
        {"command": "import quiverdb", "line": "Welcome"},
    )


@pytest.mark.parametrize("changes", [{"stdout": " \n"}, {"stdout": "Welcome", "code": 1}])
def test_silent_or_failed_import_has_no_side_effect(changes: Fields) -> None:
    assert effects(lambda fields: fields["import"].update(changes)) == []


def test_files_of_the_import_are_reported() -> None:
    made = ["a.log", "b", "c", "d"]
    assert effect(lambda fields: fields["import"].update(made=made)) == (
        "files-at-import",
        f"{CELL}: import",
        {"command": "import quiverdb", "files": tuple(made)},
    )


@pytest.mark.parametrize("process", ["import", "exercise"])
def test_unhandled_exception_is_reported(process: str) -> None:
    assert effect(lambda fields: fields[process].update(stderr=ATEXIT)) == (
        "unhandled-exception",
        f"{CELL}: {process}",
        {"error": "ValueError: a closed log"},
    )


def test_exception_in_both_processes_is_reported_once() -> None:
    def change(fields: Fields) -> None:
        fields["import"]["stderr"] = fields["exercise"]["stderr"] = ATEXIT

    assert effect(change)[1] == f"{CELL}: import"


def test_traceback_with_windows_line_ends_is_reported() -> None:
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
def test_other_output_is_no_exception(change: Change) -> None:
    assert effects(change) == []


def test_traceback_of_a_failed_step_is_no_side_effect() -> None:
    failed = of_step("native-call", failed_step("native-call", "no"))
    assert effects(failed, lambda fields: fields["exercise"].update(stderr=ATEXIT)) == []
