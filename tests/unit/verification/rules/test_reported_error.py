from __future__ import annotations

import pytest

from tests.helpers.sample_run import cell, evidence
from verification.models.verdict import Outcome
from verification.rules import reported_error
from verification.rules.catalogue import catalogue


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("cannot load library 'C:\\x\\libquiver.dll': error 0x7e", "missing-runtime-library"),
        ("[WinError 126] The specified module could not be found", "missing-runtime-library"),
        ("ImportError: DLL load failed while importing _core", "missing-runtime-library"),
        ("OSError: libfoo.so.1: cannot open shared object file", "missing-runtime-library"),
        ("version `GLIBC_2.38' not found (required by libquiver.so)", "glibc-floor"),
        ("version `GLIBCXX_3.4.32' not found (required by libquiver.so)", "libstdcxx-floor"),
        ("undefined symbol: quiver_open", "symbol-not-found"),
        ("wrong ELF class: ELFCLASS32", "wrong-architecture"),
        ("Illegal instruction (core dumped)", "illegal-instruction"),
        ("Segmentation fault (core dumped)", "crash"),
        ("ERROR: No matching distribution found for quiverdb", "unsupported-platform"),
        ("Because the current Python version does not satisfy Python>=3.13", "unsupported-python"),
        ("ERROR: Failed building wheel for quiverdb", "sdist-fallback"),
        ("AttributeError: module 'quiverdb' has no attribute 'open'", "silent-fallback"),
        ("ModuleNotFoundError: No module named '_cffi_backend'", "missing-dependency"),
        ("PermissionError: [Errno 13] Permission denied", "permission"),
    ],
)  # fmt: skip
def test_an_error_has_causes(text: str, cause: str) -> None:
    assert cause in reported_error.causes_of(text)


def test_every_named_cause_is_in_the_catalogue() -> None:
    names = {name for _, causes in reported_error._KINDS for name in causes}
    assert names <= set(catalogue())


def test_an_unknown_error_has_no_cause() -> None:
    assert reported_error.causes_of("ValueError: negative size") == frozenset()


@pytest.mark.parametrize(
    ("error", "outcome", "cause", "same"),
    [
        ("cannot load library 'x': error 0x7e", Outcome.FAILS, "missing-runtime-library", True),
        ("Segmentation fault", Outcome.FAILS, "missing-runtime-library", False),
        ("ValueError: negative size", Outcome.FAILS, "missing-runtime-library", False),
        ("No matching distribution found for quiverdb", Outcome.REFUSED, "", True),
        ("Segmentation fault", Outcome.REFUSED, "", False),
        ("module 'quiverdb' has no attribute 'open'", Outcome.FALLS_BACK, "", True),
    ],
)
def test_a_reported_error_agrees_with_the_causes_of_a_cell(
    error: str, outcome: Outcome, cause: str, same: bool
) -> None:
    causes = (catalogue().cause(cause, "x", "text"),) if cause else ()
    result = cell("debian-13-pip-venv", *causes, outcome=outcome)
    assert reported_error.agrees(error, result, evidence()) is same


@pytest.mark.parametrize(
    ("error", "same"),
    [
        ("QuiverError: the table 'a' is locked by 0x7f12aa", True),
        ("QuiverError: the column 'a' is locked by 0x7f12aa", False),
        ("QuiverError", False),
    ],
)
def test_the_same_message_on_the_machine_agrees(error: str, same: bool) -> None:
    printed = evidence(log="x\nQuiverError: the table 'b' is locked by 0x99ffee\n")
    result = cell("debian-13-pip-venv", outcome=Outcome.FAILS)
    assert reported_error.agrees(error, result, printed) is same
