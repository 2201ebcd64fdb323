from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    CFFI,
    Fields,
    command_run,
    evidence,
    no_changes,
    request,
)
from tests.helpers.sample_expectation import EXPECTATION, only_cause, summary, with_conditions
from verification.models.expectation import Conditions
from verification.rules import install


def test_failed_set_up_is_a_testbed_failure() -> None:
    runs = [
        command_run("true"),
        command_run("python3", "-m", "venv", code=1, stderr="Error: no ensurepip\n"),
        command_run("false", code=2),
    ]
    observed = evidence(lambda fields: fields.update(setup=runs))
    assert only_cause(install.failed_setup(observed)) == (
        "machine-lost",
        f"{CELL}: set-up",
        {"command": "python3 -m venv", "code": 1, "error": "Error: no ensurepip"},
    )
    assert list(install.failed_setup(evidence())) == []


# ---- the user's other commands ----


@pytest.mark.parametrize("location", ["first", "after_install", "before_uninstall"])
def test_other_failed_command_has_the_cause_of_the_scenario(location: str) -> None:
    run = command_run(
        "pip", "install", "quiverdb==1.1.0", "--x", "--y", code=1, stderr="ERROR: no\n"
    )
    observed = evidence(lambda fields: fields.update({location: [command_run("true"), run]}))
    expectation = with_conditions(Conditions(failed_command="upgrade-broken"))
    assert only_cause(install.failed_commands(observed, expectation)) == (
        "upgrade-broken",
        f"{CELL}: {location}",
        {"command": "pip install quiverdb==1.1.0 --x", "code": 1, "error": "ERROR: no"},
    )
    assert only_cause(install.failed_commands(observed, EXPECTATION))[0] == "use-not-supported"


def test_failed_command_of_each_phase_is_reported() -> None:
    def change(fields: Fields) -> None:
        for location in ("first", "after_install", "before_uninstall"):
            fields[location] = [command_run("x" * 200, code=3)]

    causes = list(install.failed_commands(evidence(change), EXPECTATION))
    assert [cause.where for cause in causes] == [
        f"{CELL}: {location}" for location in ("first", "after_install", "before_uninstall")
    ]
    assert causes[0].facts["command"] == "x" * 100


def test_failed_command_has_the_cause_of_the_loader() -> None:
    error = "error: RuntimeError: libquiver.so: cannot open shared object file: No such file\n"
    run = command_run("python", "-c", "start_holder()", code=1, stdout=error)
    observed = evidence(lambda fields: fields.update(first=[run]))
    assert (
        only_cause(install.failed_commands(observed, EXPECTATION))[0] == "missing-bundled-library"
    )


def test_command_that_dies_of_an_instruction_has_that_cause() -> None:
    run = command_run(
        "python", "-c", "import quiverdb", code=-4, stderr="x.so: invalid ELF header\n"
    )
    observed = evidence(lambda fields: fields.update(after_install=[run]))
    cause = only_cause(install.failed_commands(observed, EXPECTATION))
    assert cause[:2] == ("illegal-instruction", f"{CELL}: after_install")


# ---- the installation ----


def test_request_of_an_offline_installation_is_reported() -> None:
    offline = with_conditions(Conditions(offline=True))
    assert only_cause(install.index_asked_offline(evidence(), offline)) == (
        "use-not-supported",
        f"{CELL}: install",
        {"path": "/simple/quiverdb/"},
    )
    nothing = evidence(lambda fields: fields.update(requests=[]))
    assert list(install.index_asked_offline(nothing, offline)) == []
    assert list(install.index_asked_offline(evidence(), EXPECTATION)) == []


@pytest.mark.parametrize("kind", ["added", "removed", "changed"])
def test_changed_path_of_a_second_installation_is_reported(kind: str) -> None:
    def change(fields: Fields) -> None:
        difference = no_changes()
        difference[kind] = ["/home/user/.cache/pip/http", CFFI, f"{CFFI}.x"]
        fields["again"] = command_run("pip", "install", "quiverdb", difference=difference)

    assert only_cause(install.second_install_causes(evidence(change))) == (
        "use-not-supported",
        f"{CELL}: installed again",
        {"count": 2, "path": CFFI},
    )


def test_second_installation_may_change_caches() -> None:
    def change(fields: Fields) -> None:
        difference = no_changes() | {"added": ["/home/user/.cache/pip/http"]}
        fields["again"] = command_run("pip", "install", "quiverdb", difference=difference)

    assert list(install.second_install_causes(evidence(change))) == []
    assert list(install.second_install_causes(evidence())) == []


def test_failed_second_installation_is_reported() -> None:
    def change(fields: Fields) -> None:
        fields["again"] = command_run("pip", code=2, stderr="ERROR: no\n", difference=no_changes())

    assert only_cause(install.second_install_causes(evidence(change))) == (
        "use-not-supported",
        f"{CELL}: installed again",
        {"code": 2, "error": "ERROR: no"},
    )


# ---- another release ----


def version(number: str) -> Fields:
    return {"quiverdb": {"version": number, "folder": "/"}}


@pytest.mark.parametrize("number", ["1.1.0", "1.3", "unknown"])
def test_other_release_is_a_silent_fallback(number: str) -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=version(number))
    )
    (cause,) = install.other_release(observed, EXPECTATION)
    assert summary(cause) == (
        "silent-fallback",
        f"{CELL}: installed",
        {"installed": number, "published": "1.2.0"},
    )
    assert cause.severity == "broken"


def test_unpublished_dependency_explains_an_older_release() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=version("0.4.0"))
    )
    unpublished = EXPECTATION.model_copy(update={"unpublished": ("other",)})
    assert only_cause(install.other_release(observed, unpublished)) == (
        "missing-dependency",
        f"{CELL}: installed",
        {"installed": "0.4.0", "published": "1.2.0", "dependencies": ("other",)},
    )


def test_refused_upload_explains_an_older_release() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=version("0.4.0"))
    )
    refused = EXPECTATION.model_copy(update={"refused_upload": "refused (400)"})
    assert only_cause(install.other_release(observed, refused)) == (
        "upload-refused",
        f"{CELL}: installed",
        {"installed": "0.4.0", "published": "1.2.0", "reason": "refused (400)"},
    )


@pytest.mark.parametrize("value", [version("1.2"), {}, None])
def test_published_or_unknown_release_has_no_cause(value: Fields | None) -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=value),
        lambda fields: fields.update(requests=[request("/x")]),
    )
    assert list(install.other_release(observed, EXPECTATION)) == []
