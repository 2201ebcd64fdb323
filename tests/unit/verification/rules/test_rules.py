from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    CORE,
    WHEEL,
    Change,
    Fields,
    command_run,
    evidence,
    failed_step,
    own_tests,
    request,
)
from tests.helpers.sample_expectation import (
    EXPECTATION,
    names,
    only_cause,
    refuses,
    with_conditions,
)
from verification.models.diagnosis import Diagnosis
from verification.models.expectation import Conditions, Expectation
from verification.models.verdict import Outcome
from verification.rules import diagnose, is_unexpected_support

NO_WHEEL = "ERROR: No matching distribution found for quiverdb\n"
REFUSES = refuses("unsupported-platform")


def diagnosed(*changes: Change, expectation: Expectation = EXPECTATION) -> Diagnosis:
    return diagnose(evidence(*changes), expectation)


def result(*changes: Change, expectation: Expectation = EXPECTATION) -> tuple[str, list[str]]:
    """Return the outcome and the names of the causes."""
    diagnosis = diagnosed(*changes, expectation=expectation)
    return diagnosis.outcome, names(diagnosis.causes)


def refused(fields: Fields) -> None:
    fields["install"] |= {"code": 1, "stderr": NO_WHEEL}
    fields["installed"] = {"added": [], "removed": [], "changed": []}
    fields["requests"] = [request("/simple/quiverdb/")]
    for key in ("import", "exercise", "uninstall", "on_disk"):
        del fields[key]


def other_platform(fields: Fields) -> None:
    fields["machine"] = "aarch64"


def older(fields: Fields) -> None:
    steps = fields["exercise"]["steps"]
    steps["distributions"]["value"]["quiverdb"]["version"] = "0.1.0"
    steps["native-call"]["value"]["version"] = "0.1.0"
    fields["requests"] = [request("/simple/quiverdb/")]


def fails(name: str, message: str = "no") -> Change:
    return lambda fields: fields["exercise"]["steps"].update({name: failed_step(name, message)})


def leaves_a_process(fields: Fields) -> None:
    fields["processes"] = ["server"]


# ---- outcomes ----


def test_healthy_cell_works() -> None:
    assert diagnosed() == Diagnosis(outcome=Outcome.WORKS, causes=())


def test_flawed_cause_makes_the_cell_flawed() -> None:
    assert result(leaves_a_process) == ("works-flawed", ["process-left"])


def test_note_does_not_change_the_outcome() -> None:
    observed = diagnosed(expectation=refuses())
    assert (observed.outcome, names(observed.causes)) == (Outcome.WORKS, ["unexpected-support"])


def test_broken_cause_makes_the_cell_fail() -> None:
    assert result(fails("native-call"), leaves_a_process) == (
        "fails",
        ["unclassified", "process-left"],
    )


def test_refusal_of_a_release_that_must_work_fails() -> None:
    assert result(refused, other_platform) == ("fails", ["unsupported-platform"])


@pytest.mark.parametrize("refusal", ["unsupported-python", "unsupported-platform", "no-binary"])
def test_expected_clean_refusal_is_refused(refusal: str) -> None:
    assert result(refused, other_platform, expectation=refuses(refusal)) == ("refused", [])


def test_unclean_refusal_fails() -> None:
    def change(fields: Fields) -> None:
        fields["installed"]["added"] = [CORE]

    assert result(refused, change, expectation=REFUSES) == ("fails", ["unclean-refusal"])


def test_refusal_with_a_flaw_is_refused() -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stderr"] = "ERROR: No matching distribution found for cffi>=99\n"
        fields["requests"] += [
            request("/simple/cffi/"),
            request(f"/packages/{WHEEL}", f"{WHEEL}.metadata"),
        ]

    assert result(refused, change, expectation=REFUSES) == ("refused", ["dependency-not-fitting"])


def test_working_older_release_instead_of_a_refusal_is_a_fallback() -> None:
    assert result(older, expectation=REFUSES) == ("falls-back", ["silent-fallback"])


def test_older_release_that_does_not_work_fails() -> None:
    observed = diagnosed(older, fails("native-call"), expectation=REFUSES)
    assert observed.outcome == Outcome.FAILS
    assert [(cause.name, cause.severity, cause.follows) for cause in observed.causes] == [
        ("unclassified", "broken", "unusable-fallback"),
        ("unusable-fallback", "broken", ""),
        ("silent-fallback", "flawed", ""),
    ]


def test_older_release_instead_of_the_current_one_fails() -> None:
    assert result(older) == ("fails", ["silent-fallback"])
    diagnosis = diagnosed(older, fails("native-call"))
    assert names(diagnosis.causes) == ["unclassified", "silent-fallback", "unusable-fallback"]


def test_testbed_failure_outranks_every_other_cause() -> None:
    change = [lambda fields: fields.update(free_bytes=0)]
    observed = result(fails("round-trip", "database or disk is full"), *change, leaves_a_process)
    assert observed == ("testbed-failure", ["disk-full", "process-left"])

    def crash(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"]["checked"] = 0
        fields["requests"] = []

    assert result(crash) == ("testbed-failure", ["index-unreachable", "record-mismatch"])


@pytest.mark.parametrize(
    "missing", ["import", "exercise", "uninstall", "install", "python", "on_disk"]
)
def test_missing_evidence_makes_the_cell_unverified(missing: str) -> None:
    change = [lambda fields: fields.pop(missing)]
    assert result(*change) == ("unverified", [])
    assert result(*change, leaves_a_process) == ("unverified", [])
    assert result(*change, expectation=REFUSES) == ("unverified", [])


@pytest.mark.parametrize(
    "absent",
    [
        ("import", "exercise", "uninstall"),
        ("uninstall",),
        ("python",),
        ("install",),
        ("install", "import", "exercise", "uninstall"),
    ],
)
def test_reason_of_an_unverified_cell_names_the_missing_evidence(absent: tuple[str, ...]) -> None:
    def change(fields: Fields) -> None:
        for name in absent:
            del fields[name]

    diagnosis = diagnosed(change)
    assert (diagnosis.outcome, diagnosis.causes) == (Outcome.UNVERIFIED, ())
    assert diagnosis.reason.endswith(f" {', '.join(absent)}")
    assert diagnosed().reason == ""


def test_failed_installation_needs_no_further_evidence() -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stderr"] = "ERROR: [Errno 13] Permission denied: '/usr'\n"

    assert result(refused, change) == ("fails", ["permission"])


# ---- testbed failures ----


def test_recorded_testbed_failure_is_the_only_cause() -> None:
    def change(fields: Fields) -> None:
        fields["testbed"] = {"cause": "machine-lost", "where": "debian", "observed": "it stopped"}
        for key in ("install", "requests", "exercise", "import", "uninstall", "python"):
            del fields[key]

    diagnosis = diagnosed(change)
    assert diagnosis.outcome == Outcome.TESTBED
    assert only_cause(diagnosis.causes) == ("machine-lost", f"{CELL}: debian", {})
    assert diagnosis.causes[0].message == "it stopped"


def test_failure_of_the_index_is_the_only_cause() -> None:
    change = [lambda fields: fields["requests"][0].update(status=503)]
    expected = ("testbed-failure", ["index-unreachable"])
    assert result(refused, *change) == expected
    assert result(*change, leaves_a_process) == expected
    setup = [lambda fields: fields.update(setup=[command_run("false", code=1)])]
    assert result(*change, *setup) == expected


def test_failed_set_up_is_the_only_cause() -> None:
    change = [lambda fields: fields.update(setup=[command_run("false", code=1)])]
    assert result(refused, *change) == ("testbed-failure", ["machine-lost"])


# ---- where the release must work ----


def test_installation_error_follows_from_a_hash_mismatch() -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stderr"] = "zipfile.BadZipFile: Bad CRC-32\n"
        fields["requests"].append(request(f"/packages/{WHEEL}", WHEEL, "b" * 64))

    diagnosis = diagnosed(refused, change)
    assert [(cause.name, cause.follows) for cause in diagnosis.causes] == [
        ("hash-mismatch", ""),
        ("record-mismatch", "hash-mismatch"),
    ]
    assert diagnosis.outcome == Outcome.FAILS


def test_file_with_other_content_is_reported_if_the_package_works() -> None:
    change = [lambda fields: fields["requests"][1].update(sha256="b" * 64)]
    assert result(*change, leaves_a_process) == ("fails", ["hash-mismatch", "process-left"])


def test_failed_command_of_the_scenario_is_the_only_cause() -> None:
    change = [lambda fields: fields.update(first=[command_run("pip", code=1)])]
    assert result(*change, fails("native-call")) == ("fails", ["use-not-supported"])
    assert result(refused, *change) == ("fails", ["use-not-supported"])


def test_request_of_an_offline_installation_is_reported() -> None:
    expectation = with_conditions(Conditions(offline=True))
    assert result(expectation=expectation) == ("fails", ["use-not-supported"])


def test_second_installation_is_checked() -> None:
    def change(fields: Fields) -> None:
        difference = {"added": [CORE], "removed": [], "changed": []}
        fields["again"] = command_run("pip", difference=difference)

    assert result(change) == ("fails", ["use-not-supported"])


def test_release_that_was_not_served_is_a_testbed_failure() -> None:
    change = [lambda fields: fields.update(requests=[])]
    assert result(*change) == ("testbed-failure", ["index-unreachable"])


def test_side_effect_of_an_older_release_is_ignored() -> None:
    assert result(older, leaves_a_process) == ("fails", ["silent-fallback"])


def test_faults_of_use_and_removal_are_both_reported() -> None:
    change = [lambda fields: fields["left"]["added"].append(CORE)]
    assert result(*change, leaves_a_process) == (
        "works-flawed",
        ["process-left", "uninstall-leftover"],
    )
    assert result(*change, fails("native-call")) == (
        "fails",
        ["unclassified", "uninstall-leftover"],
    )


TESTED = with_conditions(Conditions(own_tests=True))


def with_tests(fields: Fields) -> None:
    failure = {"node": "t.py::a", "outcome": "failed", "text": "E   no"}
    fields["tests"] = own_tests(failures=[failure], code=1)


NOTHING = "ERROR: No matching distribution found for other>=1\n"


@pytest.mark.parametrize(
    ("commands", "outcome"),
    [
        ([("quiverdb==1.1.0", 1, "any error")], Outcome.UNVERIFIED),
        ([("quiverdb==1.2.0", 0, ""), ("quiverdb==1.1.0", 1, NOTHING)], Outcome.UNVERIFIED),
        # The release under test cannot be removed.
        ([("quiverdb==1.2.0", 0, ""), ("quiverdb==1.1.0", 1, "no RECORD")], Outcome.FAILS),
        ([("quiverdb==1.2.0", 1, NOTHING)], Outcome.FAILS),
        ([("quiverdb==1.1.0", 0, ""), ("use()", 1, "any error")], Outcome.FAILS),
    ],
)
def test_earlier_release_that_cannot_be_installed_says_nothing_about_the_release(
    commands: list[tuple[str, int, str]], outcome: Outcome
) -> None:
    runs = [
        command_run("pip", "install", word, code=code, stderr=error)
        for word, code, error in commands
    ]
    diagnosis = diagnosed(lambda fields: fields.update(first=runs))
    assert diagnosis.outcome is outcome
    assert bool(diagnosis.causes) is (outcome is Outcome.FAILS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), ["own-tests-failed"]),
        ((leaves_a_process,), ["own-tests-failed", "process-left"]),
        ((fails("native-call"),), ["unclassified"]),
        (
            (fails("prelude"),),
            ["testbed-defect"],
        ),
    ],
    ids=["works", "flawed", "broken", "testbed"],
)
def test_own_tests_count_only_if_the_package_works(
    changes: tuple[Change, ...], expected: list[str]
) -> None:
    assert result(with_tests, *changes, expectation=TESTED)[1] == expected
    assert "own-tests-failed" not in result(with_tests, *changes)[1]


# ---- where the installer must refuse ----


def test_older_release_after_a_refused_upload_is_no_fallback() -> None:
    expectation = REFUSES.model_copy(update={"refused_upload": "refused (400)"})
    assert result(older, expectation=expectation) == ("fails", ["upload-refused"])
    assert result(refused, other_platform, expectation=expectation) == ("fails", ["upload-refused"])


def test_refusal_that_changes_the_registry_is_reported() -> None:
    change = [lambda fields: fields["registry"]["added"].append("HKCU\\x")]
    assert result(refused, other_platform, *change, expectation=REFUSES) == (
        "refused",
        ["registry-changed"],
    )


@pytest.mark.parametrize("refusal", ["unsupported-python", "unsupported-platform"])
def test_unexpected_support_must_work(refusal: str) -> None:
    expectation = refuses(refusal)
    assert is_unexpected_support(evidence(), expectation)
    (note,) = diagnosed(expectation=expectation).causes
    assert note.severity == "note"
    assert only_cause([note]) == (
        "unexpected-support",
        CELL,
        {"refusal": refusal},
    )

    def dies(fields: Fields) -> None:
        del fields["exercise"]["steps"]["distributions"]
        fields["exercise"]["code"] = -11

    assert result(dies, expectation=expectation) == ("fails", ["crash", "unexpected-support"])


def test_refusal_or_older_release_is_no_unexpected_support() -> None:
    assert not is_unexpected_support(evidence(older), REFUSES)
    assert not is_unexpected_support(evidence(refused), REFUSES)
    assert not is_unexpected_support(evidence(), EXPECTATION)


def test_forbidden_wheels_are_no_unexpected_support() -> None:
    expectation = refuses("no-binary")
    assert not is_unexpected_support(evidence(), expectation)
    assert result(expectation=expectation) == ("fails", ["unclean-refusal"])


# ---- an emulated processor ----


def test_causes_on_an_emulated_processor_are_reclassified() -> None:
    def change(fields: Fields) -> None:
        fields["cell"]["processor"] = "x86-64-v1, emulated"
        fields["install"] |= {"code": -9, "timed_out": True}

    assert result(change) == ("testbed-failure", ["emulator-gap"])


def test_independent_faults_are_all_reported_by_severity() -> None:
    def change(fields: Fields) -> None:
        fields["left"]["added"].append(CORE)
        fields["exercise"]["steps"]["native-call"]["value"]["version"] = "9.9"
        fields["exercise"]["steps"]["record"]["value"]["checked"] = 0

    assert result(change) == (
        "fails",
        ["record-mismatch", "version-mismatch", "uninstall-leftover"],
    )


def test_newest_release_of_a_dependency_without_an_attribute_is_the_only_cause() -> None:
    message = "module 'pycares' has no attribute 'ares_query_a_result'"

    def newest_dependency(fields: Fields) -> None:
        failure = failed_step("import", message, "AttributeError")
        fields["exercise"]["steps"]["import"] = failure
        installed = fields["exercise"]["steps"]["distributions"]["value"]
        folder = installed["quiverdb"]["folder"]
        installed["pycares"] = {"version": "5.2.1", "folder": folder}
        fields["installed"]["added"].append(f"{folder}/pycares/__init__.py")

    locked = {**EXPECTATION.locked, "pycares": "5.2.1"}
    expectation = EXPECTATION.model_copy(update={"locked": locked})
    (cause,) = diagnosed(newest_dependency, expectation=expectation).causes
    assert cause.name == "dependency-broken"
    facts = {"dependency": "pycares", "version": "5.2.1", "attribute": "ares_query_a_result"}
    assert facts.items() <= cause.facts.items()
