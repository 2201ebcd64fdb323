"""What a user does: `pip install quiverdb`, `import quiverdb`, native calls, `pip uninstall`.

Every test here reads the evidence of a cell; none gathers any.
"""

from __future__ import annotations

import pytest

from tests.gate.expect import no_cause, no_other_cause, reached, succeeded
from verification.models.scenario import Scenario
from verification.rules.install_paths import flavour, installed
from verification.scenarios import machines, scenarios
from verification.session.suite import Seen, Suite

INSTALL = (
    "unsupported-python", "unsupported-platform", "silent-fallback", "sdist-fallback", "permission",
    "upload-refused", "process-left", "index-unreachable", "machine-lost", "use-not-supported",
    "path-not-supported", "upgrade-broken", "wheel-version",
)  # fmt: skip
SERVED = ("hash-mismatch",)
IMPORT = (
    "shadowed-import", "missing-dependency", "syntax-error", "entry-point-broken",
    "standard-library-mismatch",
)  # fmt: skip
NATIVE = (
    "missing-bundled-library", "missing-runtime-library", "symbol-not-found", "glibc-floor",
    "libstdcxx-floor", "wrong-architecture", "executable-stack", "version-mismatch", "crash",
    "illegal-instruction", "hang", "runtime-too-old", "emulator-gap", "unknown-to-wine",
)  # fmt: skip
ROUND_TRIP = ("round-trip-failed",)
LIBRARIES = ("wrong-library-loaded", "duplicate-library")
RECORD = ("record-mismatch",)
OWN_TESTS = ("own-tests-failed", "own-tests-not-run")
STEPS = ("exercise", "steps")
UNINSTALL = (
    "uninstall-failed", "uninstall-leftover", "registry-changed", "machine-changed",
    "dependency-damaged",
)  # fmt: skip


def _scenario(seen: Seen) -> Scenario:
    spec = machines.load()[seen.result.machine]
    return scenarios.load()[spec.os][seen.result.scenario]


def test_the_literal_command_installs_it(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *INSTALL, strict=suite.selection.strict)
    ran = seen.evidence["install"]
    typed = " ".join(ran["command"][1:])
    if not seen.evidence["deviation"]:
        assert typed == f"install {suite.subject.name}", "another command says in what it differs"
    assert ran["code"] == 0, ran["stderr"]


def test_the_file_served_is_the_file_built(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *SERVED, strict=suite.selection.strict)
    assert suite.prepared is not None
    built = suite.prepared.wheelhouse.digests()
    served = {line.get("file"): line.get("sha256") for line in seen.evidence["requests"]}
    taken = built.keys() & served.keys()
    if _scenario(seen).offline:
        assert not seen.evidence["requests"], "without an index nothing may be asked of one"
        return
    assert taken, "the index served none of the release's wheels to this machine"
    assert all(served[name] == built[name] for name in taken)


def test_it_imports_from_where_it_was_installed(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *IMPORT, strict=suite.selection.strict)
    ran = reached(seen.evidence, seen.causes, "import")
    assert ran["code"] == 0, ran["stderr"]


def test_the_native_library_answers_with_the_releases_version(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *NATIVE, strict=suite.selection.strict)
    told = reached(seen.evidence, seen.causes, *STEPS, "native-call", "value")
    assert suite.prepared is not None
    assert told["version"] == suite.prepared.wheelhouse.version


def test_the_interpreter_ends_by_itself(suite: Suite, seen: Seen) -> None:
    no_cause(
        seen.causes,
        "crash",
        "illegal-instruction",
        "hang",
        "process-left",
        strict=suite.selection.strict,
    )
    ran = reached(seen.evidence, seen.causes, "exercise")
    assert ran["code"] == 0
    assert not ran["timed_out"]


def test_a_database_keeps_what_was_written(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *ROUND_TRIP, strict=suite.selection.strict)
    succeeded(seen.evidence, seen.causes, "round-trip")
    if not suite.subject.exercise:
        assert len(reached(seen.evidence, seen.causes, "on_disk", "rows")) == 2


def test_each_library_is_loaded_once_and_from_the_package(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *LIBRARIES, strict=suite.selection.strict)
    planned = "LD_LIBRARY_PATH" in _scenario(seen).environment
    assert planned or "LD_LIBRARY_PATH" not in seen.evidence["env"]
    assert reached(seen.evidence, seen.causes, *STEPS, "mapped", "value")


def test_the_installed_files_are_those_of_record(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *RECORD, strict=suite.selection.strict)
    assert reached(seen.evidence, seen.causes, *STEPS, "record", "value", "checked") > 0


@pytest.mark.own_tests
def test_the_packages_own_tests_pass_on_it(suite: Suite, seen: Seen) -> None:
    no_cause(
        seen.causes,
        *OWN_TESTS,
        "crash",
        "illegal-instruction",
        "hang",
        strict=suite.selection.strict,
    )
    told = reached(seen.evidence, seen.causes, "tests")
    assert told["counts"]["passed"] > 0
    kind = flavour(seen.evidence)
    assert kind(told["end"]["file"]) in installed(seen.evidence), "of the wheel, not of a source"


def test_uninstalling_leaves_nothing(suite: Suite, seen: Seen) -> None:
    no_cause(seen.causes, *UNINSTALL, strict=suite.selection.strict)
    assert reached(seen.evidence, seen.causes, "uninstall", "code") == 0


def test_nothing_else_went_wrong(suite: Suite, seen: Seen) -> None:
    known = {
        *INSTALL, *SERVED, *IMPORT, *NATIVE, *ROUND_TRIP, *LIBRARIES, *RECORD, *UNINSTALL,
        *OWN_TESTS,
    }  # fmt: skip
    no_other_cause(seen.causes, known, strict=suite.selection.strict)
