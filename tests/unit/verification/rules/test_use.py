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
    on_windows,
    step,
    stub,
)
from tests.helpers.sample_expectation import EXPECTATION, WINDOWS, names, only, shown, under
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


def faults(*changes: Change, expectation: Expectation = EXPECTATION) -> list[Cause]:
    observed = evidence(*changes)
    return list(use.use_faults(observed, expectation, *processes(observed)))


def ends(*changes: Change, expectation: Expectation = EXPECTATION) -> list[Cause]:
    observed = evidence(*changes)
    return list(use.end_faults(observed, expectation, *processes(observed)))


def steps(**changed: Fields) -> Change:
    """Return the change of these steps; an underscore stands for a dash in their names."""
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
    expectation = under(conditions) if conditions else EXPECTATION
    return list(use.failed_steps(evidence(*changes), expectation))


# ---- what explains everything else ----


def test_a_healthy_use_has_no_fault() -> None:
    assert faults() == []
    assert ends() == []


def test_an_unresolved_symbol_comes_before_the_crash_that_it_makes() -> None:
    crash = [lambda fields: fields["exercise"].update(code=-11)]
    observed = (on_windows, *crash)
    lines = [lambda fields: fields["loader"].append(stub("libquiver.dll", "quiver_x"))]
    assert names(ends(*observed, *lines, expectation=WINDOWS)) == ["symbol-not-found"]
    assert names(ends(*observed, expectation=WINDOWS)) == ["crash"]


def test_an_old_run_time_explains_a_crash() -> None:
    loaded = {"MSVCP140.dll": {"path": "C:\\x", "version": [14, 34, 1, 0]}}
    value = {"loaded": loaded, "linked_by": {"libquiver.dll": [14, 44]}}
    change = steps(run_times=step("run-times", value))
    crash = [lambda fields: fields["exercise"].update(code=0xC0000005)]
    assert names(ends(on_windows, change, *crash, expectation=WINDOWS)) == ["runtime-too-old"]
    assert names(ends(on_windows, change, expectation=WINDOWS)) == []


def test_what_wine_lacks_explains_a_crash() -> None:
    changes = [
        on_windows,
        lambda fields: fields["exercise"].update(code=0x80000100),
        lambda fields: fields["loader"].append(stub("KERNEL32.dll", "PssQuery")),
    ]
    assert names(ends(*changes, expectation=WINDOWS)) == ["emulator-gap"]


def test_another_package_in_its_place_explains_what_follows() -> None:
    other = {"file": "/home/user/project/quiverdb.py", "folder": "/home/user/project"}
    change = fails("native-call", "no")
    shadow = [lambda fields: fields["exercise"]["steps"]["import"].update(value=other)]
    assert names(faults(*shadow, change)) == ["shadowed-import"]


def test_a_prelude_that_fails_is_the_suites_own_fault() -> None:
    changes = [fails("prelude", "no such library"), fails("native-call", "no")]
    assert only(faults(*changes)) == (
        "testbed-defect",
        f"{CELL}: prelude",
        "no such library",
        {},
    )
    assert faults(steps(prelude=step("prelude"))) == []


# ---- the steps ----


@pytest.mark.parametrize("name", use.STEPS)
def test_a_step_that_fails_has_the_cause_of_its_error(name: str) -> None:
    found = failed(fails(name, "No module named 'cffi'", "ModuleNotFoundError"))
    assert [(cause.name, cause.where) for cause in found] == [
        ("missing-dependency", f"{CELL}: {name}")
    ]


@pytest.mark.parametrize("name", ["run-times", "process-state", "entry-points"])
def test_other_steps_may_fail(name: str) -> None:
    assert failed(fails(name, "no")) == []


def test_a_step_that_fails_later_only_follows() -> None:
    changes = [fails(name, "No module named 'cffi'", "ImportError") for name in use.STEPS]
    assert [cause.where for cause in failed(*changes)] == [f"{CELL}: import"]


@pytest.mark.parametrize("name", ["record", "round-trip"])
def test_a_step_that_was_never_reached_failed(name: str) -> None:
    found = failed(lambda fields: fields["exercise"]["steps"].pop(name))
    cause = "round-trip-failed" if name == "round-trip" else "unclassified"
    expected = (cause, f"{CELL}: {name}", "it was never reached", {"error": ""})
    assert [shown(one) for one in found] == [expected]


def test_another_librarys_code_is_named_beside_what_it_broke() -> None:
    conditions = Conditions(title="t", cause="symbol-interposition", uses=("own_sqlite", "other"))
    found = failed(
        fails("round-trip", "it was", "QuiverError"),
        fails("own_sqlite", "it was", "Interposed"),
        fails("other", "no"),
        conditions=conditions,
    )
    assert [(cause.name, cause.severity, cause.where) for cause in found] == [
        ("use-not-supported", "broken", f"{CELL}: round-trip"),
        ("symbol-interposition", "flawed", f"{CELL}: own_sqlite"),
    ]


# ---- the names that a scenario gives ----


def test_a_use_that_fails_has_the_scenarios_cause_and_title() -> None:
    (cause,) = failed(
        fails("in_forked_child", "the child ended with 3", "RuntimeError"), conditions=FORK
    )
    assert shown(cause) == (
        "use-not-supported",
        f"{CELL}: in_forked_child",
        "a forked child uses it on: RuntimeError: the child ended with 3",
        {"error": "RuntimeError"},
    )


def test_a_use_that_was_never_reached_has_the_scenarios_cause() -> None:
    (cause,) = failed(conditions=FORK)
    assert shown(cause)[2] == "a forked child uses it on: it was never reached"
    assert cause.name == "use-not-supported"


def test_a_use_that_the_scenario_does_not_name_is_not_judged() -> None:
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
def test_a_vague_cause_has_the_scenarios_name_if_it_weighs_the_same(
    scenario: str, name: str
) -> None:
    found = failed(fails("round-trip", "no"), conditions=Conditions(title="t", cause=scenario))
    assert names(found) == [name]


def test_an_exact_cause_keeps_its_name() -> None:
    change = fails("in_forked_child", "No module named 'cffi'", "ImportError")
    assert names(failed(change, conditions=FORK)) == ["missing-dependency"]


LOST = "libquiver.so: cannot open shared object file: No such file"


def test_a_library_that_was_loaded_before_is_not_missing_in_a_use() -> None:
    change = fails("in_forked_child", LOST)
    assert names(failed(change, conditions=FORK)) == ["use-not-supported"]
    runtime = fails("in_forked_child", LOST.replace("libquiver", "libz"))
    assert names(failed(runtime, conditions=FORK)) == ["use-not-supported"]
    missing = fails("native-call", LOST)
    assert names(failed(missing, conditions=FORK)) == ["missing-bundled-library"]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["exercise"]["steps"]["native-call"].update(ok=False),
        lambda fields: fields["exercise"]["steps"].pop("native-call"),
    ],
)
def test_a_library_that_was_never_loaded_is_missing_in_a_use(change: Change) -> None:
    observed = evidence(fails("in_forked_child", LOST), change)
    fault = step_error(Failure("in_forked_child", "OSError", LOST), observed, EXPECTATION)
    assert use._named_by_scenario(fault, observed, under(FORK), is_use=True) == fault


# ---- the import alone ----


def test_an_import_that_fails_alone_is_reported() -> None:
    assert only(faults(lambda fields: fields["import"].update(code=1))) == (
        "unclassified",
        f"{CELL}: import",
        "no output: it ended with 1",
        {"error": "no output"},
    )


def test_an_import_that_lacks_a_module_alone_is_named_by_it() -> None:
    error = "Traceback ...\nModuleNotFoundError: No module named 'attrs'\n"
    found = only(faults(lambda fields: fields["import"].update(code=1, stderr=error)))
    assert found[0] == "missing-dependency"


def test_an_import_that_failed_in_the_exercise_is_reported_once() -> None:
    change = fails("import", "No module named 'cffi'", "ImportError")
    assert names(faults(change, lambda fields: fields["import"].update(code=1))) == [
        "missing-dependency"
    ]


# ---- versions ----


def native(version: object) -> Change:
    return lambda fields: fields["exercise"]["steps"]["native-call"]["value"].update(
        version=version
    )


@pytest.mark.parametrize("version", ["1.1.0", "unknown", "1.2", "v1.2.0", None, 12])
def test_the_native_version_must_be_written_as_the_releases_is(version: object) -> None:
    assert only(use.wrong_versions(evidence(native(version)), EXPECTATION)) == (
        "version-mismatch",
        f"{CELL}: version()",
        f"the native library says {version}, the release is 1.2.0",
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
def test_a_version_that_cannot_be_compared_is_no_mismatch(change: Change) -> None:
    assert list(use.wrong_versions(evidence(native("1.1.0"), change), EXPECTATION)) == []


def test_a_native_call_without_a_value_has_no_version() -> None:
    observed = evidence(lambda f: f["exercise"]["steps"]["native-call"].update(value=None))
    assert only(use.wrong_versions(observed, EXPECTATION))[3]["version"] == "None"


def test_another_version_in_the_module_is_flawed() -> None:
    def module(version: str | None) -> CellEvidence:
        return evidence(lambda f: f["exercise"]["steps"]["import"]["value"].update(version=version))

    (cause,) = use.wrong_versions(module("1.1.0"), EXPECTATION)
    assert cause.severity == "flawed"
    assert shown(cause) == (
        "version-mismatch",
        f"{CELL}: __version__",
        "quiverdb.__version__ is 1.1.0, the release is 1.2.0",
        {"version": "1.1.0", "release": "1.2.0"},
    )
    for version in ("1.2", "1.2.0", None):
        assert list(use.wrong_versions(module(version), EXPECTATION)) == []
    without = evidence(lambda fields: fields["exercise"]["steps"].pop("import"))
    assert list(use.wrong_versions(without, EXPECTATION)) == []


def test_a_project_is_known_by_a_name_that_is_written_otherwise() -> None:
    def change(fields: Fields) -> None:
        value = fields["exercise"]["steps"]["distributions"]["value"]
        value["quiver_db"] = value.pop("quiverdb")

    expectation = EXPECTATION.model_copy(update={"project": "Quiver.DB", "package": "quiverdb"})
    assert names(use.wrong_versions(evidence(change, native("9")), expectation)) == [
        "version-mismatch"
    ]


# ---- the values of the round trip ----


# ---- dependencies ----


def distribution(**values: Fields) -> Change:
    return lambda fields: fields["exercise"]["steps"]["distributions"]["value"].update(values)


@pytest.mark.parametrize(
    ("name", "version", "locked"),
    [("cffi", "1.17", "2.0.0"), ("cffi", "2.0", "2.0.0"), ("Other_Thing", "1.0", "none")],
)
def test_a_dependency_that_is_not_the_locked_one_is_a_mismatch(
    name: str, version: str, locked: str
) -> None:
    observed = evidence(distribution(**{name: {"version": version, "folder": SITE}}))
    assert only(use.wrong_dependencies(observed, EXPECTATION)) == (
        "version-mismatch",
        f"{CELL}: dependencies",
        f"{name} {version} is installed, locked is {locked}",
        {"dependency": name, "version": version, "locked": locked},
    )


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("other", {"version": "1", "folder": "/usr/lib/python3/dist-packages"}),
        ("pip", {"version": "1", "folder": SITE}),
        ("QuiverDB", {"version": "9", "folder": SITE}),
        ("Other_Thing", {"version": "1.0", "folder": SITE}),
    ],
    ids=["the system's", "pip", "the project", "locked by its normalised name"],
)
def test_another_distribution_is_no_mismatch(name: str, one: Fields) -> None:
    locked = {"cffi": "2.0.0", "other-thing": "1.0"}
    expectation = EXPECTATION.model_copy(update={"locked": locked})
    assert list(use.wrong_dependencies(evidence(distribution(**{name: one})), expectation)) == []


def test_older_dependencies_may_stay_where_the_user_had_them() -> None:
    observed = evidence(distribution(cffi={"version": "1.17", "folder": SITE}))
    keeps = under(Conditions(keeps_dependencies=True))
    assert list(use.wrong_dependencies(observed, keeps)) == []


def test_without_the_release_no_dependency_is_known() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"]["value"].pop("quiverdb")
    )
    assert list(use.wrong_dependencies(observed, EXPECTATION)) == []


# ---- RECORD and the entry points ----


def record(**changes: object) -> Change:
    return lambda fields: fields["exercise"]["steps"]["record"]["value"].update(changes)


def test_an_installed_file_that_differs_from_record_is_reported_by_name() -> None:
    wrong = [
        {"file": "quiverdb/a.py", "observed": "other content"},
        {"file": "quiverdb/b.py", "observed": "FileNotFoundError"},
    ]
    found = [shown(cause) for cause in use.record_faults(evidence(record(wrong=wrong)))]
    assert found == [
        (
            "record-mismatch",
            f"{CELL}: quiverdb/a.py",
            "the installed file has other content than RECORD tells",
            {"file": "quiverdb/a.py"},
        ),
        (
            "record-mismatch",
            f"{CELL}: quiverdb/b.py",
            "the installed file has FileNotFoundError than RECORD tells",
            {"file": "quiverdb/b.py"},
        ),
    ]


def test_a_record_without_any_hash_is_a_mismatch() -> None:
    found = only(use.record_faults(evidence(record(checked=0))))
    assert found == ("record-mismatch", f"{CELL}: RECORD", "it lists no hash at all", {})


def test_a_module_that_does_not_compile_is_reported() -> None:
    wrong = [{"file": "quiverdb/extra.py", "observed": "'(' was never closed (extra.py, line 1)"}]
    (cause,) = use.record_faults(evidence(record(unreadable=wrong)))
    assert cause.severity == "broken"
    assert shown(cause) == (
        "syntax-error",
        f"{CELL}: quiverdb/extra.py",
        "'(' was never closed (extra.py, line 1)",
        {"file": "quiverdb/extra.py"},
    )


def test_a_command_that_cannot_be_loaded_is_flawed() -> None:
    error = "ModuleNotFoundError: No module named 'quiverdb.cli'" + "!" * 400
    entry = {"name": "quiver", "value": "quiverdb.cli:main", "observed": error}
    (cause,) = use.record_faults(evidence(steps(entry_points=step("entry-points", [entry]))))
    assert cause.severity == "flawed"
    assert shown(cause) == (
        "entry-point-broken",
        f"{CELL}: entry points",
        f"quiver = quiverdb.cli:main: {error}"[:400],
        {"entry_point": "quiver"},
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["exercise"]["steps"].pop("record"),
        lambda fields: fields["exercise"]["steps"]["record"].update(value=None),
        lambda fields: fields["exercise"]["steps"].pop("entry-points"),
        lambda fields: fields["exercise"]["steps"]["entry-points"].update(value=None),
    ],
)
def test_what_was_not_read_is_no_fault_of_the_files(change: Change) -> None:
    assert list(use.record_faults(evidence(change))) == []


# ---- every rule is asked ----


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
    assert names(faults(change)) == [name]


def test_what_wine_lacks_and_nobody_misses_is_a_note() -> None:
    lines = [lambda fields: fields["loader"].append(stub("KERNEL32.dll", "PssQuery"))]
    assert names(faults(on_windows, *lines, expectation=WINDOWS)) == ["unknown-to-wine"]


def test_other_faults_are_reported_beside_a_failed_step() -> None:
    found = faults(fails("mapped", "no"), lambda fields: fields.update(processes=["x"]))
    assert names(found) == ["unclassified", "process-left"]
