from __future__ import annotations

import pytest

from verification.models.errors import BuildFailed, ExitCode, TestbedFailure, WrongUse

FAILURE = TestbedFailure("machine-lost", "debian-13", "it stopped")
BUILD = BuildFailed("cibuildwheel", "exit 1", "/log")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BUILD, ExitCode.PACKAGE_FAILED),
        (FAILURE, ExitCode.TESTBED_FAILED),
        (WrongUse("x"), ExitCode.WRONG_USE),
    ],
)
def test_each_error_has_its_exit_code(
    error: BuildFailed | TestbedFailure | WrongUse, code: ExitCode
) -> None:
    assert error.exit_code is code


def test_the_exit_codes_do_not_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "VERIFIED": 0,
        "PACKAGE_FAILED": 1,
        "TESTBED_FAILED": 3,
        "WRONG_USE": 4,
        "UNVERIFIED": 5,
    }


def test_a_testbed_failure_has_cause_place_and_observation() -> None:
    assert (FAILURE.cause, FAILURE.where, FAILURE.message) == (
        "machine-lost",
        "debian-13",
        "it stopped",
    )
    assert str(FAILURE) == "machine-lost: debian-13: it stopped"


def test_a_failed_build_has_its_log() -> None:
    assert (BUILD.where, BUILD.message, BUILD.log) == ("cibuildwheel", "exit 1", "/log")
    assert str(BUILD) == "cibuildwheel: exit 1"
