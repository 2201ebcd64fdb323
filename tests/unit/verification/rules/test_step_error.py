from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CORE, evidence
from tests.helpers.sample_expectation import EXPECTATION
from verification.models.cause import FactValue
from verification.models.evidence import CellEvidence, StepError
from verification.rules.step_error import INTERPOSED, Failure, step_error

GONE = "the installed files are gone or no package: nothing of it can be imported"


def explained(
    message: str, kind: str = "RuntimeError", step: str = "import", on: CellEvidence | None = None
) -> tuple[str, str, dict[str, FactValue]]:
    failure = Failure.of(step, StepError(type=kind, message=message))
    fault = step_error(failure, on or evidence(), EXPECTATION)
    assert not fault.risk
    return fault.name, fault.observed, dict(fault.facts)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("import", "unclassified"),
        ("native-call", "unclassified"),
        ("mapped", "unclassified"),
        ("round-trip", "round-trip-failed"),
    ],
)
def test_an_error_without_a_cause_is_named_by_its_step(step: str, name: str) -> None:
    observed = f"RuntimeError: {'x' * 400}"[:300]
    assert explained("x" * 400, step=step) == (name, observed, {"error": "RuntimeError"})


@pytest.mark.parametrize(
    "message", ["[Errno 28] No space left on device", "database or disk is full"]
)
@pytest.mark.parametrize(
    ("free", "name"),
    [(None, "disk-full"), (49_999_999, "disk-full"), (50_000_000, "round-trip-failed")],
)
def test_a_disk_is_full_where_there_is_no_room(message: str, free: int | None, name: str) -> None:
    observed = evidence(lambda fields: fields.update(free_bytes=free))
    found = explained(message, "OSError", "round-trip", observed)
    assert found[:2] == (name, f"OSError: {message}")
    if name == "disk-full":
        assert found[2] == {"free_bytes": free or 0}


def test_another_error_on_a_full_disk_has_its_own_cause() -> None:
    observed = evidence(lambda fields: fields.update(free_bytes=0))
    assert explained("no", on=observed)[0] == "unclassified"


def test_code_that_does_not_compile_is_a_syntax_error() -> None:
    message = "invalid syntax (database.py, line 3)"
    assert explained(message, "SyntaxError") == ("syntax-error", f"SyntaxError: {message}", {})


def test_what_a_loader_reports_has_the_loaders_cause() -> None:
    found = explained(f"{CORE}: undefined symbol: quiver_x", "OSError")
    assert found[0] == "symbol-not-found"
    assert found[2] == {"symbol": "quiver_x", "needed_by": "libquiver.so"}


# ---- modules and names ----


@pytest.mark.parametrize("kind", ["ImportError", "ModuleNotFoundError"])
@pytest.mark.parametrize(
    ("module", "name", "observed", "fact"),
    [
        (
            "cffi.api",
            "missing-dependency",
            "needs the module cffi, which was not installed with it",
            "cffi",
        ),
        ("quiverdb", "record-mismatch", GONE, "quiverdb"),
        ("quiverdb._loader", "record-mismatch", GONE, "quiverdb._loader"),
        (
            "quiverdb.extra",
            "missing-dependency",
            "needs the module quiverdb.extra, which was not installed with it",
            "quiverdb.extra",
        ),
        (
            "distutils.core",
            "standard-library-mismatch",
            "needs the module distutils.core, which this Python's standard library has not",
            "distutils.core",
        ),
    ],
)
def test_a_missing_module_is_named(
    module: str, name: str, observed: str, fact: str, kind: str
) -> None:
    assert explained(f"No module named '{module}'", kind) == (name, observed, {"module": fact})


def test_a_message_that_quotes_an_import_error_is_one() -> None:
    message = "cannot start: ModuleNotFoundError: No module named 'attrs'"
    assert explained(message)[0] == "missing-dependency"


def test_a_message_that_mentions_a_module_is_no_missing_one() -> None:
    message = "the plug-in cannot be had: No module named 'quiverdb.plugins'"
    assert explained(message, step="round-trip")[0] == "round-trip-failed"


@pytest.mark.parametrize(
    ("module", "name", "reason"),
    [
        ("pip._vendor", "missing-dependency", "and the version that was installed has none"),
        (
            "collections.abc",
            "standard-library-mismatch",
            "which this Python's standard library has not",
        ),
    ],
)
def test_a_missing_name_is_reported_with_its_module(module: str, name: str, reason: str) -> None:
    message = f"cannot import name 'thing' from '{module}' (/x/__init__.py)"
    assert explained(message, "ImportError") == (
        name,
        f"needs thing of {module}, {reason}",
        {"symbol": "thing", "module": module},
    )


@pytest.mark.parametrize("module", ["quiverdb", "quiverdb._c_api"])
def test_a_missing_name_of_the_package_itself_is_unclassified(module: str) -> None:
    message = f"cannot import name 'api' from '{module}' (/x/_c_api.py)"
    assert explained(message, "ImportError")[0] == "unclassified"


# ---- other errors ----


def test_code_of_another_library_that_answers_is_interposed() -> None:
    found = explained("2 symbols of its own", INTERPOSED, "own_sqlite")
    assert found == ("symbol-interposition", "2 symbols of its own", {})


def test_a_package_that_ends_the_interpreter_is_a_crash() -> None:
    observed = "the package ended the interpreter (SystemExit: 3)"
    assert explained("3", "SystemExit") == ("crash", observed, {})


@pytest.mark.parametrize(
    ("kind", "message"),
    [("PermissionError", "[Errno 13] data.db"), ("RuntimeError", "got PermissionError: x")],
)
def test_a_right_that_is_missing_is_a_permission(kind: str, message: str) -> None:
    found = explained(message, kind, "round-trip")
    assert found == ("permission", f"{kind}: {message}", {})
