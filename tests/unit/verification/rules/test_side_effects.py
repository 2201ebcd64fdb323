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


@pytest.mark.parametrize("state", ["stopped", "ended"])
def test_signal_to_another_process_is_reported(state: str) -> None:
    (cause,) = effects(lambda fields: fields.update(other_process=state))
    assert (cause.name, cause.severity) == ("process-killed", "broken")
    assert cause.facts == {"state": state}
    assert effects(lambda fields: fields.update(other_process="running")) == []


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


def test_disabled_gil_is_no_side_effect() -> None:
    state = {"GIL": ["enabled", "disabled"]}
    assert effects(of_step("process-state", step("process-state", state))) == []


def test_output_of_another_package_at_import_is_not_reported() -> None:
    def change(fields: Fields) -> None:
        fields["observation"]["stdout"] = "Welcome\n\x1e\x1e\x1e"
        fields["import"]["stdout"] = "Welcome \n"

    def change_more(fields: Fields) -> None:
        fields["import"]["stdout"] += "Hello\n"

    assert effects(change) == []
    assert effect(change, change_more)[2]["line"] == "Hello"


def native(stream: str, *parts: str) -> Change:
    """Return a change after which native code printed this at the import, the call and the end."""
    text = "\x1e".join(("", *parts, *[""] * (3 - len(parts))))
    return lambda fields: fields["observation"].update({stream: text})


@pytest.mark.parametrize(
    ("change", "writer"),
    [
        (native("stdout", "Welcome\n"), "native code"),
        (native("stdout"), "Python code"),
        (lambda fields: fields.pop("observation"), "unknown"),
    ],
)
def test_output_of_the_import_is_reported(change: Change, writer: str) -> None:
    output: Change = lambda fields: fields["import"].update(stdout="\nWelcome\nto it\n")  # noqa: E731
    facts = {"command": "import quiverdb", "line": "Welcome", "stream": "standard output"}
    assert effect(output, change) == (
        "output-at-import",
        f"{CELL}: import",
        facts | {"writer": writer},
    )


def test_native_error_output_of_the_import_is_reported() -> None:
    facts = effect(native("stderr", "0024:fixme:file:x y\nlibfoo 1.2\n"))[2]
    assert (facts["line"], facts["stream"]) == ("libfoo 1.2", "standard error")


@pytest.mark.parametrize(
    ("stream", "parts"),
    [("stdout", ("", "banner\n")), ("stdout", ("", "", "banner")), ("stderr", ("", "banner"))],
)
def test_native_output_of_the_first_call_is_reported(stream: str, parts: tuple[str, ...]) -> None:
    name, where, facts = effect(native(stream, *parts))
    assert (name, where) == ("output-at-call", f"{CELL}: native-call")
    assert facts["line"] == "banner"


def test_output_at_the_import_is_not_reported_again_at_the_call() -> None:
    changes = (
        lambda fields: fields["import"].update(stdout="banner\n"),
        native("stdout", "", "", "banner\n"),  # the buffer is written when the process ends
    )
    assert effect(*changes)[0] == "output-at-import"


@pytest.mark.parametrize(
    "change",
    [
        native("stderr", "", "", "nanobind: leaked 1 instance"),
        native("stderr", "0024:fixme:x\nERROR: ld.so: no\n", "qemu: warning\n"),
        native("stdout", "\x1e\x1e", "it prints the mark"),
        lambda fields: fields.pop("observation"),
    ],
    ids=["at exit", "system", "marks", "not recorded"],
)
def test_other_native_output_is_no_fault(change: Change) -> None:
    assert effects(change) == []


def imports(first: float, second: float, start: float = 0.04, **times: float | None) -> Change:
    """Return a change after which the imports and the start took these seconds.

    ``times`` are further times of the second import. The process did not wait for a processor.
    """

    def change(fields: Fields) -> None:
        fields["import"].update(seconds=first)
        times_of_step = {"seconds": second, "cpu_seconds": 0.1, "waited": 0.0} | times
        fields["exercise"]["steps"]["import"].update(times_of_step)
        fields["exercise"]["steps"]["end"]["value"]["start_seconds"] = start

    return change


def test_slow_import_is_reported() -> None:
    assert effect(imports(9.0, 6.0)) == (
        "slow-import",
        f"{CELL}: import",
        {"seconds": 6.0, "start": 0.04},
    )


@pytest.mark.parametrize(
    "change",
    [
        imports(4.9, 4.9),
        imports(30.0, 1.0),
        imports(1.0, 30.0),
        imports(20.0, 20.0, start=0.3),
        imports(20.0, 20.0, waited=16.0),
        imports(20.0, 20.0, waited=None, cpu_seconds=4.0),
        imports(20.0, 20.0, waited=None, cpu_seconds=None),
    ],
    ids=["fast", "first", "second", "slow machine", "busy machine", "Windows", "not recorded"],
)
def test_other_import_is_not_slow(change: Change) -> None:
    assert effects(change) == []


def test_slow_import_on_windows_is_reported() -> None:
    assert effect(imports(9.0, 9.0, waited=None, cpu_seconds=6.0))[0] == "slow-import"


@pytest.mark.parametrize(
    "contact",
    [
        lambda fields: fields["import"].update(sent={"Udp:OutDatagrams": 2}),
        lambda fields: fields["exercise"]["steps"]["contacts"].update(
            value=[{"step": "import", "how": "lookup", "host": "a.example", "port": ""}]
        ),
    ],
    ids=["native", "Python"],
)
def test_import_that_waits_for_a_host_of_a_closed_network_is_not_slow(contact: Change) -> None:
    assert effects(imports(11.0, 11.0), contact) == []
    assert effect(imports(11.0, 11.0, cpu_seconds=6.0), contact)[0] == "slow-import"


@pytest.mark.parametrize("process", ["import", "exercise"])
def test_import_on_a_stalled_machine_is_not_slow(process: str) -> None:
    assert effects(imports(9.0, 9.0), lambda fields: fields[process].update(stalled=6.0)) == []


def test_import_without_a_measured_start_is_not_judged() -> None:
    assert effects(imports(9.0, 9.0), lambda fields: fields["exercise"]["steps"].pop("end")) == []


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
