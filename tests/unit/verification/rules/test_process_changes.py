from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CELL, Change, Fields, evidence, failed_step, step
from tests.helpers.sample_expectation import EXPECTATION
from verification.models.cause import Cause
from verification.rules.process_changes import process_changes


def causes_of(*changes: Change) -> list[Cause]:
    return list(process_changes(evidence(*changes), EXPECTATION))


def change(kind: str, name: str, old: str | None, new: str | None) -> Fields:
    """Return a change of the process."""
    return {"kind": kind, "name": name, "old": old, "new": new}


def observed(name: str, *changes: Fields) -> Change:
    """Return a change after which a step of the observation has these changes."""
    value = {"changes": list(changes)}
    return lambda fields: fields["observation"]["steps"][name].update(value=value)


def at_import(kind: str, name: str, old: str | None, new: str | None) -> Change:
    return observed("import-effects", change(kind, name, old, new))


def in_exercise(**changes: list[str]) -> Change:
    """Return a change after which the exercise changed these values."""
    state = step("process-state", changes)
    return lambda fields: fields["exercise"]["steps"].update({"process-state": state})


def test_unchanged_process_has_no_cause() -> None:
    assert causes_of() == []


VARIABLE, NATIVE, FILTER = "environment variable", "native environment variable", "warning filter"


@pytest.mark.parametrize(
    ("kind", "name", "old", "new", "severity"),
    [
        ("process", "recursion limit", "1000", "5000", "flawed"),
        ("process", "sys.excepthook", "sys.excepthook", "quiverdb.hook", "flawed"),
        ("process", "half of the smallest normal number", "1.1e-308", "0.0", "flawed"),
        ("process", "level of the root logger", "WARNING", "DEBUG", "flawed"),
        ("process", "default timeout of sockets", "None", "5.0", "flawed"),
        ("root log handler", "logging.StreamHandler", None, "1", "flawed"),
        ("root log handler", "logging.NullHandler", None, "1", None),
        ("builtin", "_", None, "gettext.gettext", "flawed"),
        ("builtin", "open", "_io.open", "quiverdb.open", "flawed"),
        ("builtin", "__import__", "builtins.__import__", "quiverdb.load", "flawed"),
        ("builtin", "__pybind11_internals_v4_gcc__", None, "builtins.PyCapsule", None),
        ("builtin", "__cffi_backend_extern_py", None, "builtins.dict", None),
        (VARIABLE, "TZ", None, "UTC", "flawed"),
        (VARIABLE, "LC_ALL", None, "C", "flawed"),
        (VARIABLE, "OMP_NUM_THREADS", None, "1", "flawed"),
        (VARIABLE, "KMP_AFFINITY", None, "disabled", "flawed"),
        (VARIABLE, "KMP_DUPLICATE_LIB_OK", None, "True", "note"),
        (VARIABLE, "KMP_DUPLICATE_LIB_OK", "False", "True", "flawed"),
        (NATIVE, "__KMP_REGISTERED_LIB_120", None, "0x1-cafe-libiomp5md.dll", "note"),
        (VARIABLE, "EDITOR", "vi", "nano", "flawed"),
        (VARIABLE, "EDITOR", "vi", None, "flawed"),
        (NATIVE, "TZ", None, "UTC", "flawed"),
        (VARIABLE, "PATH", "/bin", "/usr/bin", "flawed"),
        (VARIABLE, "PATH", "C:\\bin", "C:\\libs;C:\\bin", "note"),
        (VARIABLE, "PATH", "C:\\bin;", "C:\\bin;C:\\libs", "note"),
        (VARIABLE, "PATH", "/bin:/usr/bin", "/usr/bin:/libs", "flawed"),
        (VARIABLE, "QT_QPA_FONTDIR", None, "/fonts", "note"),
        (VARIABLE, "QUIVERDB_LOG", None, "1", None),
        (VARIABLE, "_QUIVERDB", "0", "1", None),
        (VARIABLE, "QUIVERDBX", "0", "1", "flawed"),
        ("import path", "/site/quiverdb/vendored", None, "first", "flawed"),
        ("import path", "/site/quiverdb/vendored", None, "last", "note"),
        ("import path", "/usr/lib/python3", "", None, "flawed"),
        (FILTER, "ignore Warning", None, "all", "flawed"),
        (FILTER, "default DeprecationWarning", "all", None, "flawed"),
        (FILTER, "ignore DeprecationWarning the old name", None, "some", None),
        (FILTER, "always quiverdb.errors.QuiverWarning", None, "all", None),
        ("process", "GIL", "disabled", "enabled", None),
    ],
)
def test_change_at_import_has_its_severity(
    kind: str, name: str, old: str | None, new: str | None, severity: str | None
) -> None:
    causes = causes_of(at_import(kind, name, old, new))
    assert [cause.severity for cause in causes] == ([severity] if severity else [])
    for cause in causes:
        assert (cause.name, cause.where) == ("process-changed", f"{CELL}: import")
        assert cause.facts["changed"] == (name if kind == "process" else f"{kind} {name}",)
        assert (cause.facts["old"], cause.facts["new"]) == ((old or "",), (new or "",))


def test_change_is_reported_once_where_it_first_shows() -> None:
    umask = change("process", "umask", "0o22", "0o0")
    causes = causes_of(
        observed("import-effects", umask),
        observed("call-effects", change("process", "locale", "C", "de")),
        in_exercise(umask=["0o22", "0o0"], locale=["C", "de"], rounding=["to nearest", "upward"]),
    )
    assert [
        (cause.where.removeprefix(f"{CELL}: "), cause.facts["changed"]) for cause in causes
    ] == [
        ("import", ("umask",)),
        ("native-call", ("locale",)),
        ("exercise", ("rounding",)),
    ]


def test_change_of_another_package_in_the_exercise_does_not_count() -> None:
    state = step("process-state", {"umask": ["0o22", "0o0"]})
    (cause,) = causes_of(
        lambda fields: fields["observation"]["steps"].update({"process-state": state}),
        in_exercise(umask=["0o22", "0o0"], rounding=["to nearest", "upward"]),
    )
    assert cause.facts["changed"] == ("rounding",)


def test_changes_of_both_severities_have_a_cause_each() -> None:
    changes = (
        change(VARIABLE, "QT_X", None, "1"),
        change(VARIABLE, "TZ", None, "UTC"),
        change("process", "umask", "0o22", "0o0"),
    )
    causes = causes_of(observed("import-effects", *changes))
    assert [cause.facts["changed"] for cause in causes] == [
        (f"{VARIABLE} TZ", "umask"),
        (f"{VARIABLE} QT_X",),
    ]


def test_change_in_the_exercise_is_reported_without_an_observation() -> None:
    (cause,) = causes_of(
        lambda fields: fields.pop("observation"), in_exercise(umask=["0o22", "0o0"])
    )
    assert (cause.where, cause.facts["changed"]) == (f"{CELL}: exercise", ("umask",))


def test_unreadable_state_after_the_use_is_a_fault() -> None:
    failed = failed_step("process-state", "[Errno 2] No such file or directory")
    (cause,) = causes_of(
        lambda fields: fields["exercise"]["steps"].update({"process-state": failed})
    )
    assert (cause.name, cause.severity) == ("process-changed", "flawed")
    assert cause.facts == {"error": "[Errno 2] No such file or directory"}


@pytest.mark.parametrize(
    "loses",
    [
        lambda steps: steps.update({"import-effects": failed_step("import-effects", "no")}),
        lambda steps: steps.pop("call-effects"),
        lambda steps: steps.clear(),
    ],
)
def test_process_that_could_not_be_observed_is_a_note(loses: Change) -> None:
    (cause,) = causes_of(lambda fields: loses(fields["observation"]["steps"]))
    assert (cause.name, cause.severity) == ("process-changed", "note")


def test_skipped_exit_handlers_are_a_fault() -> None:
    begun = {"step": "exit", "begun": True}
    (cause,) = causes_of(lambda fields: fields["exercise"]["steps"].update(exit=begun))
    assert (cause.name, cause.severity) == ("process-changed", "flawed")
    assert cause.where == f"{CELL}: at exit"
    ended = {"step": "exit", "ok": True}
    assert causes_of(lambda fields: fields["exercise"]["steps"].update(exit=ended)) == []


def test_state_that_is_not_recorded_has_no_cause() -> None:
    assert (
        causes_of(
            lambda fields: fields.pop("observation"),
            lambda fields: fields["exercise"]["steps"].pop("process-state"),
        )
        == []
    )


def test_long_changes_are_shortened() -> None:
    (cause,) = causes_of(in_exercise(umask=["a" * 500, "b"]))
    assert len(str(cause.facts["changes"])) == 400
