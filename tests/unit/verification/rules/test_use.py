from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    CORE,
    SITE,
    Change,
    Fields,
    evidence,
    failed_step,
    missing_symbol_line,
    on_windows,
    step,
)
from tests.helpers.sample_expectation import (
    EXPECTATION,
    WINDOWS,
    names,
    only_cause,
    summary,
    with_conditions,
)
from verification.models.cause import Cause
from verification.models.evidence import CellEvidence, Exercise, ImportRun
from verification.models.expectation import Conditions, Expectation
from verification.rules import use
from verification.rules.step_error import Failure, step_error

FORK = Conditions(
    title="a forked child uses it on", cause="use-not-supported", uses=("in_forked_child",)
)


def processes(observed: CellEvidence) -> tuple[ImportRun, Exercise]:
    assert observed.import_run is not None
    assert observed.exercise is not None
    return observed.import_run, observed.exercise


def causes_of(*changes: Change, expectation: Expectation = EXPECTATION) -> list[Cause]:
    observed = evidence(*changes)
    return list(use.use_causes(observed, expectation, *processes(observed)))


def ends(*changes: Change, expectation: Expectation = EXPECTATION) -> list[Cause]:
    observed = evidence(*changes)
    return list(use.end_causes(observed, expectation, *processes(observed)))


def steps(**changed: Fields) -> Change:
    """Return a change that sets these steps. ``native_call`` means the step `native-call`."""
    values = {
        (name if name.startswith(("in_", "own_")) else name.replace("_", "-")): value
        for name, value in changed.items()
    }
    return lambda fields: fields["exercise"]["steps"].update(values)


def fails(name: str, message: str, kind: str = "OSError") -> Change:
    return lambda fields: fields["exercise"]["steps"].update(
        {name: failed_step(name, message, kind)}
    )


def failed(*changes: Change, conditions: Conditions | None = None) -> list[Cause]:
    expectation = with_conditions(conditions) if conditions else EXPECTATION
    return list(use.failed_steps(evidence(*changes), expectation))


# ---- causes that make the steps meaningless ----


def test_healthy_use_has_no_cause() -> None:
    assert causes_of() == []
    assert ends() == []


def test_unresolved_symbol_explains_a_crash() -> None:
    crash = [lambda fields: fields["exercise"].update(code=-11)]
    observed = (on_windows, *crash)
    lines = [
        lambda fields: fields["loader"].append(missing_symbol_line("libquiver.dll", "quiver_x"))
    ]
    assert names(ends(*observed, *lines, expectation=WINDOWS)) == ["symbol-not-found"]
    assert names(ends(*observed, expectation=WINDOWS)) == ["crash"]


def test_old_run_time_explains_a_crash() -> None:
    loaded = {"MSVCP140.dll": {"path": "C:\\x", "version": [14, 34, 1, 0]}}
    value = {"loaded": loaded, "linked_by": {"libquiver.dll": [14, 44]}}
    change = steps(run_times=step("run-times", value))
    crash = [lambda fields: fields["exercise"].update(code=0xC0000005)]
    assert names(ends(on_windows, change, *crash, expectation=WINDOWS)) == ["runtime-too-old"]
    assert names(ends(on_windows, change, expectation=WINDOWS)) == []


def test_function_that_wine_lacks_explains_a_crash() -> None:
    changes = [
        on_windows,
        lambda fields: fields["exercise"].update(code=0x80000100),
        lambda fields: fields["loader"].append(missing_symbol_line("KERNEL32.dll", "PssQuery")),
    ]
    assert names(ends(*changes, expectation=WINDOWS)) == ["emulator-gap"]


def test_shadowed_import_explains_failed_steps() -> None:
    other = {"file": "/home/user/project/quiverdb.py", "folder": "/home/user/project"}
    change = fails("native-call", "no")
    shadow = [lambda fields: fields["exercise"]["steps"]["import"].update(value=other)]
    assert names(causes_of(*shadow, change)) == ["shadowed-import"]


def test_failed_code_before_the_import_is_a_testbed_failure() -> None:
    changes = [fails("prelude", "no such library"), fails("native-call", "no")]
    facts = {"message": "no such library"}
    assert only_cause(causes_of(*changes)) == ("testbed-defect", f"{CELL}: prelude", facts)
    assert causes_of(steps(prelude=step("prelude"))) == []


# ---- the steps ----


@pytest.mark.parametrize("name", use.STEPS)
def test_failed_step_has_the_cause_of_its_error(name: str) -> None:
    causes = failed(fails(name, "No module named 'cffi'", "ModuleNotFoundError"))
    assert only_cause(causes)[:2] == ("missing-dependency", f"{CELL}: {name}")


@pytest.mark.parametrize("name", ["run-times", "process-state", "entry-points"])
def test_failed_steps_with_a_separate_check_are_ignored(name: str) -> None:
    assert failed(fails(name, "no")) == []


def test_only_the_first_failed_step_is_reported() -> None:
    changes = [fails(name, "No module named 'cffi'", "ImportError") for name in use.STEPS]
    assert [cause.where for cause in failed(*changes)] == [f"{CELL}: import"]


@pytest.mark.parametrize("name", ["record", "round-trip"])
def test_step_that_was_not_reached_has_a_cause(name: str) -> None:
    causes = failed(lambda fields: fields["exercise"]["steps"].pop(name))
    cause = "round-trip-failed" if name == "round-trip" else "unclassified"
    assert only_cause(causes) == (cause, f"{CELL}: {name}", {})


def test_interposition_is_reported_after_another_failure() -> None:
    conditions = Conditions(title="t", cause="symbol-interposition", uses=("own_sqlite", "other"))
    causes = failed(
        fails("round-trip", "it was", "QuiverError"),
        fails("own_sqlite", "it was", "Interposed"),
        fails("other", "no"),
        conditions=conditions,
    )
    assert [(cause.name, cause.severity, cause.where) for cause in causes] == [
        ("use-not-supported", "broken", f"{CELL}: round-trip"),
        ("symbol-interposition", "flawed", f"{CELL}: own_sqlite"),
    ]


# ---- the cause of the scenario ----


def test_failed_use_has_cause_and_title_of_the_scenario() -> None:
    (cause,) = failed(
        fails("in_forked_child", "the child ended with 3", "RuntimeError"), conditions=FORK
    )
    assert summary(cause) == (
        "use-not-supported",
        f"{CELL}: in_forked_child",
        {"error": "RuntimeError", "message": "RuntimeError: the child ended with 3"},
    )
    assert FORK.title in cause.message


def test_use_that_was_not_reached_has_the_cause_of_the_scenario() -> None:
    (cause,) = failed(conditions=FORK)
    assert summary(cause) == ("use-not-supported", f"{CELL}: in_forked_child", {})
    assert FORK.title in cause.message


def test_use_outside_the_scenario_is_ignored() -> None:
    assert failed(fails("in_forked_child", "no")) == []


@pytest.mark.parametrize(
    ("scenario", "name"),
    [
        ("path-not-supported", "path-not-supported"),
        ("permission", "permission"),
        ("symbol-interposition", "use-not-supported"),
        ("", "round-trip-failed"),
    ],
)
def test_vague_cause_takes_the_name_of_the_scenario_if_the_severity_is_equal(
    scenario: str, name: str
) -> None:
    conditions = Conditions(title="t", cause=scenario)
    assert names(failed(fails("round-trip", "no"), conditions=conditions)) == [name]


def test_exact_cause_keeps_its_name() -> None:
    change = fails("in_forked_child", "No module named 'cffi'", "ImportError")
    assert names(failed(change, conditions=FORK)) == ["missing-dependency"]


NOT_FOUND = "libquiver.so: cannot open shared object file: No such file"


def test_loaded_library_is_not_missing_in_a_use() -> None:
    change = fails("in_forked_child", NOT_FOUND)
    assert names(failed(change, conditions=FORK)) == ["use-not-supported"]
    runtime = fails("in_forked_child", NOT_FOUND.replace("libquiver", "libz"))
    assert names(failed(runtime, conditions=FORK)) == ["use-not-supported"]
    missing = fails("native-call", NOT_FOUND)
    assert names(failed(missing, conditions=FORK)) == ["missing-bundled-library"]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["exercise"]["steps"]["native-call"].update(ok=False),
        lambda fields: fields["exercise"]["steps"].pop("native-call"),
    ],
)
def test_library_that_was_not_loaded_is_missing_in_a_use(change: Change) -> None:
    observed = evidence(fails("in_forked_child", NOT_FOUND), change)
    fault = step_error(Failure("in_forked_child", "OSError", NOT_FOUND), observed, EXPECTATION)
    assert use._for_scenario(fault, observed, with_conditions(FORK), is_use=True) == fault


# ---- the separate import ----


def test_failed_separate_import_is_reported() -> None:
    name, where, facts = only_cause(causes_of(lambda fields: fields["import"].update(code=7)))
    assert (name, where) == ("unclassified", f"{CELL}: import")
    assert "7" in str(facts["message"])


def test_failed_separate_import_names_the_missing_module() -> None:
    error = "Traceback ...\nModuleNotFoundError: No module named 'attrs'\n"
    causes = causes_of(lambda fields: fields["import"].update(code=1, stderr=error))
    assert names(causes) == ["missing-dependency"]


def test_import_that_failed_in_both_processes_is_reported_once() -> None:
    change = fails("import", "No module named 'cffi'", "ImportError")
    assert names(causes_of(change, lambda fields: fields["import"].update(code=1))) == [
        "missing-dependency"
    ]


# ---- versions ----


def native(version: object) -> Change:
    return lambda fields: fields["exercise"]["steps"]["native-call"]["value"].update(
        version=version
    )


@pytest.mark.parametrize("version", ["1.1.0", "unknown", "1.2", "v1.2.0", None, 12])
def test_other_native_version_is_a_mismatch(version: object) -> None:
    assert only_cause(use.wrong_versions(evidence(native(version)), EXPECTATION)) == (
        "version-mismatch",
        f"{CELL}: version()",
        {"version": str(version), "release": "1.2.0"},
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["exercise"]["steps"]["native-call"].update(ok=False),
        lambda fields: fields["exercise"]["steps"].pop("native-call"),
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value={}),
    ],
    ids=["failed", "missing", "not installed"],
)
def test_version_that_cannot_be_compared_is_no_mismatch(change: Change) -> None:
    assert list(use.wrong_versions(evidence(native("1.1.0"), change), EXPECTATION)) == []


def test_native_call_without_a_value_is_a_mismatch() -> None:
    observed = evidence(lambda f: f["exercise"]["steps"]["native-call"].update(value=None))
    assert only_cause(use.wrong_versions(observed, EXPECTATION))[2]["version"] == "None"


def test_other_version_of_the_module_is_flawed() -> None:
    def module(version: str | None) -> CellEvidence:
        return evidence(lambda f: f["exercise"]["steps"]["import"]["value"].update(version=version))

    (cause,) = use.wrong_versions(module("1.1.0"), EXPECTATION)
    assert cause.severity == "flawed"
    assert summary(cause) == (
        "version-mismatch",
        f"{CELL}: __version__",
        {"module": "quiverdb", "version": "1.1.0", "release": "1.2.0"},
    )
    for version in ("1.2", "1.2.0", None):
        assert list(use.wrong_versions(module(version), EXPECTATION)) == []
    without = evidence(lambda fields: fields["exercise"]["steps"].pop("import"))
    assert list(use.wrong_versions(without, EXPECTATION)) == []


def test_project_names_are_normalised() -> None:
    def change(fields: Fields) -> None:
        value = fields["exercise"]["steps"]["distributions"]["value"]
        value["quiver_db"] = value.pop("quiverdb")

    expectation = EXPECTATION.model_copy(update={"project": "Quiver.DB", "package": "quiverdb"})
    assert names(use.wrong_versions(evidence(change, native("9")), expectation)) == [
        "version-mismatch"
    ]


# ---- dependencies ----


def distribution(**values: Fields) -> Change:
    return lambda fields: fields["exercise"]["steps"]["distributions"]["value"].update(values)


@pytest.mark.parametrize(
    ("name", "version", "locked"),
    [("cffi", "1.17", "2.0.0"), ("cffi", "2.0", "2.0.0"), ("Other_Thing", "1.0", "none")],
)
def test_dependency_in_another_version_is_a_mismatch(name: str, version: str, locked: str) -> None:
    installed = f"{SITE}/{name}-{version}.dist-info"
    observed = evidence(
        distribution(**{name: {"version": version, "folder": SITE}}),
        lambda fields: fields["installed"]["added"].append(installed),
    )
    assert only_cause(use.wrong_dependencies(observed, EXPECTATION)) == (
        "version-mismatch",
        f"{CELL}: dependencies",
        {"dependency": name, "version": version, "locked": locked},
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("other", {"version": "1", "folder": "/usr/lib/python3/dist-packages"}),
        ("pip", {"version": "1", "folder": SITE}),
        ("uv", {"version": "0.5.11", "folder": SITE}),
        ("QuiverDB", {"version": "9", "folder": SITE}),
        ("Other_Thing", {"version": "1.0", "folder": SITE}),
        ("setuptools", {"version": "44", "folder": SITE}),
    ],
    ids=["other folder", "pip", "uv", "package under test", "normalised name", "in environment"],
)
def test_other_distribution_is_no_mismatch(name: str, value: Fields) -> None:
    locked = {"cffi": "2.0.0", "other-thing": "1.0"}
    expectation = EXPECTATION.model_copy(update={"locked": locked})
    assert list(use.wrong_dependencies(evidence(distribution(**{name: value})), expectation)) == []


def test_older_dependencies_may_remain_if_the_scenario_keeps_them() -> None:
    observed = evidence(distribution(cffi={"version": "1.17", "folder": SITE}))
    keeps = with_conditions(Conditions(keeps_dependencies=True))
    assert list(use.wrong_dependencies(observed, keeps)) == []


def test_dependencies_are_unknown_without_the_release() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"]["value"].pop("quiverdb")
    )
    assert list(use.wrong_dependencies(observed, EXPECTATION)) == []


# ---- RECORD and the entry points ----


def record(**changes: object) -> Change:
    return lambda fields: fields["exercise"]["steps"]["record"]["value"].update(changes)


def test_file_that_differs_from_record_is_reported() -> None:
    wrong = [
        {"file": "quiverdb/a.py", "observed": "other content"},
        {"file": "quiverdb/b.py", "observed": "FileNotFoundError"},
    ]
    causes = use.record_causes(evidence(record(wrong=wrong)))
    assert [summary(cause) for cause in causes] == [
        (
            "record-mismatch",
            f"{CELL}: {fault['file']}",
            {"file": fault["file"], "difference": fault["observed"]},
        )
        for fault in wrong
    ]


@pytest.mark.parametrize(
    ("field", "name", "fact"),
    [("scripts", "script-interpreter", "interpreter"), ("startup", "startup-code", "code")],
)
def test_fault_of_an_installed_file_is_reported(field: str, name: str, fact: str) -> None:
    fault = {"file": "/venv/x", "observed": "what"}
    (cause,) = use.record_causes(evidence(record(**{field: [fault]})))
    assert (cause.name, cause.severity, cause.where) == (name, "flawed", f"{CELL}: /venv/x")
    assert cause.facts == {"file": "/venv/x", fact: "what"}


def test_warnings_of_the_compiler_are_one_cause() -> None:
    unused = {"file": "quiverdb/a.py", "line": 3, "message": "invalid", "imported": False}
    used = {"file": "quiverdb/b.py", "line": 9, "message": '"is" with', "imported": True}
    (cause,) = use.record_causes(evidence(record(warned=[unused])))
    assert (cause.name, cause.severity, cause.facts["count"]) == ("syntax-warning", "note", 1)
    (cause,) = use.record_causes(evidence(record(warned=[unused, used])))
    assert (cause.severity, cause.where) == ("flawed", f"{CELL}: quiverdb/b.py")
    assert (cause.facts["line"], cause.facts["count"]) == (9, 2)


def test_record_without_hashes_is_a_mismatch() -> None:
    causes = use.record_causes(evidence(record(checked=0)))
    assert only_cause(causes) == ("record-mismatch", f"{CELL}: RECORD", {})


def test_module_that_does_not_compile_is_reported() -> None:
    wrong = [{"file": "quiverdb/extra.py", "observed": "'(' was never closed (extra.py, line 1)"}]
    (cause,) = use.record_causes(evidence(record(unreadable=wrong)))
    assert cause.severity == "broken"
    assert summary(cause) == (
        "syntax-error",
        f"{CELL}: quiverdb/extra.py",
        {"file": "quiverdb/extra.py", "error": "'(' was never closed (extra.py, line 1)"},
    )


@pytest.mark.parametrize(
    ("group", "missing", "is_fault"),
    [
        ("sqlalchemy.dialects", "sqlalchemy", False),
        ("pytest11", "pytest11", False),
        ("sqlalchemy.dialects", "quiverdb.dialect", True),
        ("console_scripts", "console_scripts", True),
        ("", "sqlalchemy", True),
    ],
)
def test_plug_in_lacks_only_the_package_that_loads_it(
    group: str, missing: str, is_fault: bool
) -> None:
    error = f"ModuleNotFoundError: No module named '{missing}'"
    entry = {"name": "quiver", "group": group, "value": "quiverdb.x:X", "observed": error}
    observed = evidence(steps(entry_points=step("entry-points", [entry])))
    assert bool([*use.entry_point_causes(observed)]) is is_fault


def test_entry_point_that_cannot_be_loaded_is_flawed() -> None:
    error = "ModuleNotFoundError: No module named 'quiverdb.cli'" + "!" * 400
    entry = {"name": "quiver", "value": "quiverdb.cli:main", "observed": error}
    (cause,) = use.entry_point_causes(evidence(steps(entry_points=step("entry-points", [entry]))))
    assert (cause.severity, cause.follows) == ("flawed", "")
    assert summary(cause) == (
        "entry-point-broken",
        f"{CELL}: entry points",
        {"entry_point": "quiver", "value": "quiverdb.cli:main", "error": error[:400]},
    )


@pytest.mark.parametrize("failed", ["import", "native-call"])
def test_entry_points_that_fail_like_the_use_follow_from_it(failed: str) -> None:
    error = "No module named 'cffi'"
    entries = [
        {"name": name, "value": "quiverdb.cli:main", "observed": f"ModuleNotFoundError: {error}"}
        for name in ("one", "two")
    ]
    recorded = evidence(
        fails(failed, error, "ModuleNotFoundError"),
        steps(entry_points=step("entry-points", entries)),
    )
    assert recorded.import_run
    assert recorded.exercise
    causes = use.use_causes(recorded, EXPECTATION, recorded.import_run, recorded.exercise)
    root, *consequences = (cause for cause in causes if cause.severity in ("broken", "flawed"))
    followed = [cause.follows for cause in consequences if cause.name == "entry-point-broken"]
    assert followed == [root.name, root.name]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["exercise"]["steps"].pop("record"),
        lambda fields: fields["exercise"]["steps"]["record"].update(value=None),
        lambda fields: fields["exercise"]["steps"].pop("entry-points"),
        lambda fields: fields["exercise"]["steps"]["entry-points"].update(value=None),
    ],
)
def test_missing_record_is_no_fault(change: Change) -> None:
    recorded = evidence(change)
    assert [*use.record_causes(recorded), *use.entry_point_causes(recorded)] == []


# ---- each kind of fault ----


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (native("9"), "version-mismatch"),
        (
            lambda f: f["exercise"]["steps"]["native-call"]["value"].update(lacking=["x"]),
            "symbol-not-found",
        ),
        (lambda f: f.pop("on_disk"), "round-trip-failed"),
        (lambda f: f.update(processes=["x"]), "process-left"),
        (
            lambda f: f["requests"][0].update(
                time="1970-01-01T00:16:40.5+00:00", user_agent="Python"
            ),
            "network-used",
        ),
        (lambda f: f["exercise"]["steps"]["mapped"]["value"].remove(CORE), "wrong-library-loaded"),
        (distribution(cffi={"version": "1", "folder": SITE}), "version-mismatch"),
        (record(checked=0), "record-mismatch"),
        (lambda f: f["registry"]["added"].append("HKCU\\x"), "registry-changed"),
    ],
)
def test_each_kind_of_fault_in_use_is_reported(change: Change, name: str) -> None:
    assert names(causes_of(change)) == [name]


def test_unused_function_that_wine_lacks_is_a_note() -> None:
    lines = [
        lambda fields: fields["loader"].append(missing_symbol_line("KERNEL32.dll", "PssQuery"))
    ]
    assert names(causes_of(on_windows, *lines, expectation=WINDOWS)) == ["unknown-to-wine"]


def test_other_faults_are_reported_with_a_failed_step() -> None:
    causes = causes_of(fails("mapped", "no"), lambda fields: fields.update(processes=["x"]))
    assert names(causes) == ["unclassified", "process-left"]
