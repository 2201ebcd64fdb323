from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    CORE,
    WHEEL,
    Change,
    Fields,
    evidence,
    failed_step,
    own_tests,
    ran,
    request,
)
from tests.helpers.sample_expectation import EXPECTATION, names, only, refuses, under
from verification.models.diagnosis import Diagnosis
from verification.models.expectation import Conditions, Expectation
from verification.models.verdict import Outcome
from verification.rules import diagnose, is_unexpected_support

NO_WHEEL = "ERROR: No matching distribution found for quiverdb\n"
REFUSES = refuses("unsupported-platform")


def diagnosed(*changes: Change, expectation: Expectation = EXPECTATION) -> Diagnosis:
    return diagnose(evidence(*changes), expectation)


def shows(*changes: Change, expectation: Expectation = EXPECTATION) -> tuple[str, list[str]]:
    """Return the outcome and the names of the causes."""
    found = diagnosed(*changes, expectation=expectation)
    return found.outcome, names(found.causes)


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


def test_a_healthy_cell_works() -> None:
    assert diagnosed() == Diagnosis(outcome=Outcome.WORKS, causes=())


def test_a_flaw_makes_it_work_with_a_flaw() -> None:
    assert shows(leaves_a_process) == ("works-flawed", ["process-left"])


def test_a_note_changes_no_outcome() -> None:
    observed = diagnosed(expectation=refuses())
    assert (observed.outcome, names(observed.causes)) == (Outcome.WORKS, ["unexpected-support"])


def test_what_is_broken_fails() -> None:
    assert shows(fails("native-call"), leaves_a_process) == (
        "fails",
        ["unclassified", "process-left"],
    )


def test_a_refusal_where_the_release_must_work_fails() -> None:
    assert shows(refused, other_platform) == ("fails", ["unsupported-platform"])


@pytest.mark.parametrize("refusal", ["unsupported-python", "unsupported-platform", "no-binary"])
def test_a_clean_refusal_where_one_is_expected_is_refused(refusal: str) -> None:
    assert shows(refused, other_platform, expectation=refuses(refusal)) == ("refused", [])


def test_a_refusal_that_is_unclean_fails() -> None:
    def change(fields: Fields) -> None:
        fields["installed"]["added"] = [CORE]

    assert shows(refused, change, expectation=REFUSES) == ("fails", ["unclean-refusal"])


def test_a_refusal_with_a_flaw_is_a_refusal() -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stderr"] = "ERROR: No matching distribution found for cffi>=99\n"
        fields["requests"] += [
            request("/simple/cffi/"),
            request(f"/packages/{WHEEL}", f"{WHEEL}.metadata"),
        ]

    assert shows(refused, change, expectation=REFUSES) == ("refused", ["dependency-not-fitting"])


def test_an_older_release_that_works_where_a_refusal_is_expected_is_a_fallback() -> None:
    assert shows(older, expectation=REFUSES) == ("falls-back", ["silent-fallback"])


def test_an_older_release_that_does_not_work_fails() -> None:
    observed = diagnosed(older, fails("native-call"), expectation=REFUSES)
    assert observed.outcome == Outcome.FAILS
    assert [(cause.name, cause.severity, cause.follows) for cause in observed.causes] == [
        ("unclassified", "broken", "unusable-fallback"),
        ("unusable-fallback", "broken", ""),
        ("silent-fallback", "flawed", ""),
    ]


def test_an_older_release_where_this_one_must_work_fails() -> None:
    assert shows(older) == ("fails", ["silent-fallback"])
    found = diagnosed(older, fails("native-call"))
    assert names(found.causes) == ["unclassified", "silent-fallback", "unusable-fallback"]


def test_a_testbeds_failure_outranks_every_other_cause() -> None:
    change = [lambda fields: fields.update(free_bytes=0)]
    found = shows(fails("round-trip", "database or disk is full"), *change, leaves_a_process)
    assert found == ("testbed-failure", ["disk-full", "process-left"])

    def crash(fields: Fields) -> None:
        fields["exercise"]["steps"]["record"]["value"]["checked"] = 0
        fields["requests"] = []

    assert shows(crash) == ("testbed-failure", ["index-unreachable", "record-mismatch"])


@pytest.mark.parametrize("missing", ["import", "exercise", "uninstall", "install", "python"])
def test_without_the_needed_evidence_a_cell_is_unverified(missing: str) -> None:
    change = [lambda fields: fields.pop(missing)]
    assert shows(*change) == ("unverified", [])
    assert shows(*change, leaves_a_process) == ("unverified", [])
    assert shows(*change, expectation=REFUSES) == ("unverified", [])


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
def test_an_unverified_cell_names_the_evidence_that_is_missing(absent: tuple[str, ...]) -> None:
    def change(fields: Fields) -> None:
        for name in absent:
            del fields[name]

    found = diagnosed(change)
    assert (found.outcome, found.causes) == (Outcome.UNVERIFIED, ())
    assert found.reason == f"its evidence has no {', '.join(absent)}"
    assert diagnosed().reason == ""


def test_a_failed_installation_needs_no_further_evidence() -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stderr"] = "ERROR: [Errno 13] Permission denied: '/usr'\n"

    assert shows(refused, change) == ("fails", ["permission"])


# ---- the testbed comes first ----


def test_a_failure_of_the_testbed_is_all_there_is_to_report() -> None:
    def change(fields: Fields) -> None:
        fields["testbed"] = {"cause": "machine-lost", "where": "debian", "observed": "it stopped"}
        for key in ("install", "requests", "exercise", "import", "uninstall", "python"):
            del fields[key]

    found = diagnosed(change)
    assert found.outcome == Outcome.TESTBED
    assert only(found.causes) == ("machine-lost", f"{CELL}: debian", "it stopped", {})


def test_an_index_that_failed_explains_what_followed() -> None:
    change = [lambda fields: fields["requests"][0].update(status=503)]
    expected = ("testbed-failure", ["index-unreachable"])
    assert shows(refused, *change) == expected
    assert shows(*change, leaves_a_process) == expected
    setup = [lambda fields: fields.update(setup=[ran("false", code=1)])]
    assert shows(*change, *setup) == expected


def test_a_set_up_that_failed_explains_what_followed() -> None:
    change = [lambda fields: fields.update(setup=[ran("false", code=1)])]
    assert shows(refused, *change) == ("testbed-failure", ["machine-lost"])


# ---- where the release must work ----


def test_a_corrupted_file_follows_from_its_digest() -> None:
    def change(fields: Fields) -> None:
        fields["install"]["stderr"] = "zipfile.BadZipFile: Bad CRC-32\n"
        fields["requests"].append(request(f"/packages/{WHEEL}", WHEEL, "b" * 64))

    found = diagnosed(refused, change)
    assert [(cause.name, cause.follows) for cause in found.causes] == [
        ("hash-mismatch", ""),
        ("record-mismatch", "hash-mismatch"),
    ]
    assert found.outcome == Outcome.FAILS


def test_a_file_with_other_content_is_reported_though_it_works() -> None:
    change = [lambda fields: fields["requests"][1].update(sha256="b" * 64)]
    assert shows(*change, leaves_a_process) == ("fails", ["hash-mismatch", "process-left"])


def test_another_command_that_failed_explains_what_followed() -> None:
    change = [lambda fields: fields.update(first=[ran("pip", code=1)])]
    assert shows(*change, fails("native-call")) == ("fails", ["use-not-supported"])
    assert shows(refused, *change) == ("fails", ["use-not-supported"])


def test_an_index_that_is_asked_offline_is_reported() -> None:
    expectation = under(Conditions(offline=True))
    assert shows(expectation=expectation) == ("fails", ["use-not-supported"])


def test_a_second_installation_is_judged() -> None:
    def change(fields: Fields) -> None:
        difference = {"added": [CORE], "removed": [], "changed": []}
        fields["again"] = ran("pip", difference=difference)

    assert shows(change) == ("fails", ["use-not-supported"])


def test_a_release_that_was_not_served_is_unknown() -> None:
    change = [lambda fields: fields.update(requests=[])]
    assert shows(*change) == ("testbed-failure", ["index-unreachable"])


def test_what_an_older_release_does_is_not_this_ones() -> None:
    assert shows(older, leaves_a_process) == ("fails", ["silent-fallback"])


def test_what_was_removed_badly_is_reported_with_the_use() -> None:
    change = [lambda fields: fields["left"]["added"].append(CORE)]
    assert shows(*change, leaves_a_process) == (
        "works-flawed",
        ["process-left", "uninstall-leftover"],
    )
    assert shows(*change, fails("native-call")) == (
        "fails",
        ["unclassified", "uninstall-leftover"],
    )


TESTED = under(Conditions(own_tests=True))


def with_tests(fields: Fields) -> None:
    failure = {"node": "t.py::a", "outcome": "failed", "text": "E   no"}
    fields["tests"] = own_tests(failures=[failure], code=1)


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
def test_the_own_tests_count_where_the_package_works(
    changes: tuple[Change, ...], expected: list[str]
) -> None:
    assert shows(with_tests, *changes, expectation=TESTED)[1] == expected
    assert "own-tests-failed" not in shows(with_tests, *changes)[1]


# ---- where the installer must refuse ----


def test_an_older_release_after_a_refused_upload_is_no_fallback() -> None:
    expectation = REFUSES.model_copy(update={"refused_upload": "refused (400)"})
    assert shows(older, expectation=expectation) == ("fails", ["upload-refused"])
    assert shows(refused, other_platform, expectation=expectation) == ("fails", ["upload-refused"])


def test_a_refusal_that_changes_the_registry_is_reported() -> None:
    change = [lambda fields: fields["registry"]["added"].append("HKCU\\x")]
    assert shows(refused, other_platform, *change, expectation=REFUSES) == (
        "refused",
        ["registry-changed"],
    )


@pytest.mark.parametrize("refusal", ["unsupported-python", "unsupported-platform"])
def test_a_release_that_is_chosen_where_none_is_expected_must_work(refusal: str) -> None:
    expectation = refuses(refusal)
    assert is_unexpected_support(evidence(), expectation)
    (note,) = diagnosed(expectation=expectation).causes
    assert note.severity == "note"
    assert only([note]) == (
        "unexpected-support",
        CELL,
        f"its tags promise this machine nothing ({refusal}), and the installer chose a wheel of it",
        {"refusal": refusal},
    )

    def dies(fields: Fields) -> None:
        del fields["exercise"]["steps"]["distributions"]
        fields["exercise"]["code"] = -11

    assert shows(dies, expectation=expectation) == ("fails", ["crash", "unexpected-support"])


def test_a_refusal_or_an_older_release_is_no_support() -> None:
    assert not is_unexpected_support(evidence(older), REFUSES)
    assert not is_unexpected_support(evidence(refused), REFUSES)
    assert not is_unexpected_support(evidence(), EXPECTATION)


def test_where_wheels_are_forbidden_none_may_be_chosen() -> None:
    expectation = refuses("no-binary")
    assert not is_unexpected_support(evidence(), expectation)
    assert shows(expectation=expectation) == ("fails", ["unclean-refusal"])


# ---- an emulated processor ----


def test_every_cause_on_an_emulated_processor_is_reclassified() -> None:
    def change(fields: Fields) -> None:
        fields["cell"]["processor"] = "x86-64-v1, emulated"
        fields["install"] |= {"code": -9, "timed_out": True}

    assert shows(change) == ("testbed-failure", ["emulator-gap"])


def test_independent_faults_are_all_reported_the_heaviest_first() -> None:
    def change(fields: Fields) -> None:
        fields["left"]["added"].append(CORE)
        fields["exercise"]["steps"]["native-call"]["value"]["version"] = "9.9"
        fields["exercise"]["steps"]["record"]["value"]["checked"] = 0

    assert shows(change) == (
        "fails",
        ["record-mismatch", "version-mismatch", "uninstall-leftover"],
    )
