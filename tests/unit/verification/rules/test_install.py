from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import (
    CELL,
    CFFI,
    Fields,
    evidence,
    no_changes,
    ran,
    request,
)
from tests.helpers.sample_expectation import EXPECTATION, only, shown, under
from verification.models.expectation import Conditions
from verification.rules import install


def test_a_set_up_that_fails_is_the_testbeds_failure() -> None:
    runs = [
        ran("true"),
        ran("python3", "-m", "venv", code=1, stderr="Error: no ensurepip\n"),
        ran("false", code=2),
    ]
    found = list(install.failed_setup(evidence(lambda fields: fields.update(setup=runs))))
    assert shown(found[0]) == (
        "machine-lost",
        f"{CELL}: set-up",
        "python3 -m venv ended with 1: Error: no ensurepip",
        {"code": 1},
    )
    assert len(found) == 1
    assert list(install.failed_setup(evidence())) == []


# ---- the user's other commands ----


@pytest.mark.parametrize("place", ["first", "after_install", "before_uninstall"])
def test_another_command_that_fails_has_the_scenarios_cause(place: str) -> None:
    run = ran("pip", "install", "quiverdb==1.1.0", "--x", "--y", code=1, stderr="ERROR: no\n")
    observed = evidence(lambda fields: fields.update({place: [ran("true"), run]}))
    expectation = under(Conditions(failed_command="upgrade-broken"))
    assert only(install.failed_commands(observed, expectation)) == (
        "upgrade-broken",
        f"{CELL}: {place}",
        "pip install quiverdb==1.1.0 --x ended with 1: ERROR: no",
        {"command": "pip install quiverdb==1.1.0 --x", "code": 1},
    )
    assert only(install.failed_commands(observed, EXPECTATION))[0] == "use-not-supported"


def test_every_kind_of_command_that_fails_is_reported() -> None:
    def change(fields: Fields) -> None:
        for place in ("first", "after_install", "before_uninstall"):
            fields[place] = [ran("x" * 200, code=3)]

    found = list(install.failed_commands(evidence(change), EXPECTATION))
    assert [cause.where for cause in found] == [
        f"{CELL}: {place}" for place in ("first", "after_install", "before_uninstall")
    ]
    assert found[0].facts["command"] == "x" * 100


def test_a_command_that_a_loader_stopped_has_the_loaders_cause() -> None:
    error = "error: RuntimeError: libquiver.so: cannot open shared object file: No such file\n"
    run = ran("python", "-c", "start_holder()", code=1, stdout=error)
    observed = evidence(lambda fields: fields.update(first=[run]))
    assert only(install.failed_commands(observed, EXPECTATION))[0] == "missing-bundled-library"


def test_a_command_that_dies_of_its_processor_has_that_cause() -> None:
    run = ran("python", "-c", "import quiverdb", code=-4, stderr="x.so: invalid ELF header\n")
    observed = evidence(lambda fields: fields.update(after_install=[run]))
    found = only(install.failed_commands(observed, EXPECTATION))
    assert found[:2] == ("illegal-instruction", f"{CELL}: after_install")


# ---- the installation ----


def test_an_installation_offline_asks_no_index() -> None:
    offline = under(Conditions(offline=True))
    assert only(install.index_asked_offline(evidence(), offline)) == (
        "use-not-supported",
        f"{CELL}: install",
        "the installer was to ask no index, and asked for /simple/quiverdb/",
        {"path": "/simple/quiverdb/"},
    )
    nothing = evidence(lambda fields: fields.update(requests=[]))
    assert list(install.index_asked_offline(nothing, offline)) == []
    assert list(install.index_asked_offline(evidence(), EXPECTATION)) == []


@pytest.mark.parametrize("kind", ["added", "removed", "changed"])
def test_a_second_installation_must_change_nothing(kind: str) -> None:
    def change(fields: Fields) -> None:
        difference = no_changes()
        difference[kind] = ["/home/user/.cache/pip/http", CFFI, f"{CFFI}.x"]
        fields["again"] = ran("pip", "install", "quiverdb", difference=difference)

    assert only(install.second_install_faults(evidence(change))) == (
        "use-not-supported",
        f"{CELL}: installed again",
        f"2 paths were changed, first {CFFI}",
        {"count": 2, "path": CFFI},
    )


def test_a_second_installation_that_changes_caches_alone_is_good() -> None:
    def change(fields: Fields) -> None:
        difference = no_changes() | {"added": ["/home/user/.cache/pip/http"]}
        fields["again"] = ran("pip", "install", "quiverdb", difference=difference)

    assert list(install.second_install_faults(evidence(change))) == []
    assert list(install.second_install_faults(evidence())) == []


def test_a_second_installation_that_fails_is_reported() -> None:
    def change(fields: Fields) -> None:
        fields["again"] = ran("pip", code=2, stderr="ERROR: no\n", difference=no_changes())

    assert only(install.second_install_faults(evidence(change))) == (
        "use-not-supported",
        f"{CELL}: installed again",
        "ended with 2: ERROR: no",
        {"code": 2},
    )


# ---- another release ----


def version(number: str) -> Fields:
    return {"quiverdb": {"version": number, "folder": "/"}}


@pytest.mark.parametrize("number", ["1.1.0", "1.3", "unknown"])
def test_another_release_than_the_published_one_is_a_silent_fallback(number: str) -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=version(number))
    )
    (cause,) = install.other_release(observed, EXPECTATION)
    assert shown(cause) == (
        "silent-fallback",
        f"{CELL}: installed",
        f"{number} was installed, published was 1.2.0",
        {"installed": number, "published": "1.2.0"},
    )
    assert cause.severity == "broken"


def test_an_older_release_is_explained_by_a_dependency_that_no_index_has() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=version("0.4.0"))
    )
    unpublished = EXPECTATION.model_copy(update={"unpublished": ("other",)})
    (cause,) = install.other_release(observed, unpublished)
    assert (cause.name, cause.facts["installed"]) == ("missing-dependency", "0.4.0")


def test_an_older_release_follows_from_a_refused_upload() -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=version("0.4.0"))
    )
    refused = EXPECTATION.model_copy(update={"refused_upload": "refused (400)"})
    assert only(install.other_release(observed, refused)) == (
        "upload-refused",
        f"{CELL}: installed",
        "refused (400), and the installer took 0.4.0",
        {"installed": "0.4.0", "published": "1.2.0"},
    )


@pytest.mark.parametrize("value", [version("1.2"), {}, None])
def test_the_published_release_or_an_unknown_one_is_no_other(value: Fields | None) -> None:
    observed = evidence(
        lambda fields: fields["exercise"]["steps"]["distributions"].update(value=value),
        lambda fields: fields.update(requests=[request("/x")]),
    )
    assert list(install.other_release(observed, EXPECTATION)) == []
