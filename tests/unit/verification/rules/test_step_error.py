from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CORE, evidence
from tests.helpers.sample_expectation import EXPECTATION
from verification.models.cause import FactValue
from verification.models.evidence import CellEvidence, StepError
from verification.rules.step_error import INTERPOSED, Failure, step_error


def explained(
    message: str,
    kind: str = "RuntimeError",
    step: str = "import",
    observed: CellEvidence | None = None,
) -> tuple[str, dict[str, FactValue]]:
    """Return name and facts of the fault of a failed step."""
    failure = Failure.of(step, StepError(type=kind, message=message))
    fault = step_error(failure, observed or evidence(), EXPECTATION)
    assert not fault.risk
    return fault.name, dict(fault.facts)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("import", "unclassified"),
        ("native-call", "unclassified"),
        ("mapped", "unclassified"),
        ("round-trip", "round-trip-failed"),
    ],
)
def test_error_without_a_rule_has_the_cause_of_its_step(step: str, name: str) -> None:
    facts = {"error": "RuntimeError", "message": f"RuntimeError: {'x' * 400}"[:300]}
    assert explained("x" * 400, step=step) == (name, facts)
    failure = Failure.not_reached(step)
    assert step_error(failure, evidence(), EXPECTATION).name == name


@pytest.mark.parametrize(
    "message", ["[Errno 28] No space left on device", "database or disk is full"]
)
@pytest.mark.parametrize(
    ("free", "name"),
    [(None, "disk-full"), (49_999_999, "disk-full"), (50_000_000, "round-trip-failed")],
)
def test_full_disk_needs_little_free_space(message: str, free: int | None, name: str) -> None:
    observed = evidence(lambda fields: fields.update(free_bytes=free))
    facts: dict[str, FactValue] = {"message": f"OSError: {message}"}
    facts |= {"free_bytes": free or 0} if name == "disk-full" else {"error": "OSError"}
    assert explained(message, "OSError", "round-trip", observed) == (name, facts)


def test_other_error_on_a_full_disk_is_unclassified() -> None:
    observed = evidence(lambda fields: fields.update(free_bytes=0))
    assert explained("no", observed=observed)[0] == "unclassified"


def test_code_that_does_not_compile_is_a_syntax_error() -> None:
    message = "invalid syntax (database.py, line 3)"
    facts = {"message": f"SyntaxError: {message}"}
    assert explained(message, "SyntaxError") == ("syntax-error", facts)


def test_message_of_a_loader_has_its_cause() -> None:
    facts = {"symbol": "quiver_x", "needed_by": "libquiver.so"}
    message = f"{CORE}: undefined symbol: quiver_x"
    assert explained(message, "OSError") == ("symbol-not-found", facts)


# ---- modules and names ----


@pytest.mark.parametrize("kind", ["ImportError", "ModuleNotFoundError"])
@pytest.mark.parametrize(
    ("module", "name", "missing"),
    [
        ("cffi.api", "missing-dependency", "cffi"),
        ("quiverdb", "record-mismatch", "quiverdb"),
        ("quiverdb._loader", "record-mismatch", "quiverdb._loader"),
        ("quiverdb.extra", "missing-dependency", "quiverdb.extra"),
        ("distutils.core", "standard-library-mismatch", "distutils.core"),
    ],
)
def test_missing_module_has_a_cause(module: str, name: str, missing: str, kind: str) -> None:
    assert explained(f"No module named '{module}'", kind) == (name, {"module": missing})


def test_quoted_import_error_counts() -> None:
    message = "cannot start: ModuleNotFoundError: No module named 'attrs'"
    assert explained(message)[0] == "missing-dependency"


def test_missing_module_in_the_middle_of_a_message_is_no_missing_module() -> None:
    message = "the plug-in is not available: No module named 'quiverdb.plugins'"
    assert explained(message, step="round-trip")[0] == "round-trip-failed"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pip._vendor", "missing-dependency"),
        ("collections.abc", "standard-library-mismatch"),
    ],
)
def test_missing_name_is_reported_with_its_module(module: str, name: str) -> None:
    message = f"cannot import name 'thing' from '{module}' (/x/__init__.py)"
    facts = {"symbol": "thing", "module": module}
    assert explained(message, "ImportError") == (name, facts)


@pytest.mark.parametrize("module", ["quiverdb", "quiverdb._c_api"])
def test_missing_name_of_the_package_is_unclassified(module: str) -> None:
    message = f"cannot import name 'api' from '{module}' (/x/_c_api.py)"
    assert explained(message, "ImportError")[0] == "unclassified"


# ---- other errors ----


def test_answer_of_another_library_is_interposition() -> None:
    observed = explained("2 symbols", INTERPOSED, "own_sqlite")
    assert observed == ("symbol-interposition", {"message": "2 symbols"})


def test_package_that_ends_the_interpreter_is_a_crash() -> None:
    assert explained("3", "SystemExit") == ("crash", {"message": "SystemExit: 3"})


@pytest.mark.parametrize(
    ("kind", "message"),
    [("PermissionError", "[Errno 13] data.db"), ("RuntimeError", "got PermissionError: x")],
)
def test_permission_error_is_a_permission(kind: str, message: str) -> None:
    observed = explained(message, kind, "round-trip")
    assert observed == ("permission", {"message": f"{kind}: {message}"})
