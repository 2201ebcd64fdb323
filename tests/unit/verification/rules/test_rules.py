from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.helpers import sample_evidence as sample
from tests.helpers.sample_evidence import (
    API,
    CFFI,
    CORE,
    FILES,
    LIBS,
    PACKAGE,
    SITE,
    WHEEL,
    Change,
    Fields,
    healthy,
)
from tests.helpers.sample_machines import sample_machine
from verification import rules
from verification.models.cause import Cause
from verification.models.cell import Cell
from verification.models.evidence import CellEvidence, parse_evidence
from verification.models.expectation import Expectation
from verification.models.verdict import ExpectationKind, Outcome
from verification.rules import uninstall
from verification.scenarios import installers, scenarios
from verification.scenarios.conditions import conditions

PROJECT = "/home/user/project"
EXPECTED = Expectation(
    project="quiverdb",
    version="1.2.0",
    digests={WHEEL: "a" * 64},
    locked={"cffi": "2.0.0"},
    libraries=("libquiver.so", "libquiver_c.so"),
)

Evidence = Fields
_ran = sample.ran
_request = sample.request


def _step(value: object) -> Evidence:
    return sample.step("", value)


def typed(fields: Evidence) -> CellEvidence:
    """Return the model of these fields; what is left out is as in a healthy cell."""
    fields = copy.deepcopy(fields)
    fields["cell"] = healthy()["cell"] | fields["cell"]
    for name, step in fields.get("exercise", {}).get("steps", {}).items():
        step["step"] = name
    return parse_evidence(json.dumps(fields), "cell.json")


def for_cell(evidence: CellEvidence, expected: Expectation) -> Expectation:
    """Return the expectation with what the scenario and the installer of the cell imply."""
    cell, refusal = evidence.cell, evidence.cell.refuses
    kind = ExpectationKind.REFUSES if refusal else ExpectationKind.WORKS
    way = scenarios.load()[evidence.os].get(cell.scenario) or scenarios.load()["linux"]["venv"]
    spec = sample_machine(system=evidence.os)
    installer = installers.load()[cell.installer]
    made = Cell(machine=spec, installer=installer, scenario=way, refusal=refusal)
    return expected.model_copy(
        update={"kind": kind, "refusal": refusal, "conditions": conditions(made)}
    )


def diagnose(fields: Evidence, expected: Expectation) -> tuple[Cause, ...]:
    evidence = typed(fields)
    return rules.diagnose(evidence, for_cell(evidence, expected)).causes


def leftovers(fields: Evidence) -> list[str]:
    evidence = typed(fields)
    return uninstall.leftovers(evidence, for_cell(evidence, EXPECTED))


def taken(fields: Evidence, expected: Expectation) -> bool:
    evidence = typed(fields)
    return rules.is_unexpected_support(evidence, for_cell(evidence, expected))


def _steps(evidence: Evidence) -> Evidence:
    found: Evidence = evidence["exercise"]["steps"]
    return found


def _causes(change: Change, expected: Expectation = EXPECTED) -> tuple[Cause, ...]:
    evidence = copy.deepcopy(healthy())
    change(evidence)
    return diagnose(evidence, expected)


def _cause(change: Change, expected: Expectation = EXPECTED) -> Cause:
    """Return the only cause that a changed evidence shows."""
    causes = _causes(change, expected)
    assert len(causes) == 1, f"not one cause, but {[str(cause) for cause in causes]}"
    return causes[0]


def _failed(step: str, message: str, kind: str = "OSError") -> Change:
    """Return the change that makes one step of the exercise fail."""

    def change(evidence: Evidence) -> None:
        error = {"type": kind, "message": message}
        _steps(evidence)[step] = {"ok": False, "value": None, "error": error}

    return change


def _broken(step: str) -> Change:
    """Return the change that makes the exercise stop in ``step``."""

    def change(evidence: Evidence) -> None:
        steps = _steps(evidence)
        names = list(steps)
        for name in names[names.index(step) :]:
            del steps[name]
        steps[step] = {"begun": True}

    return change


def _all(*changes: Change) -> Change:
    def change(evidence: Evidence) -> None:
        for one in changes:
            one(evidence)

    return change


def test_a_healthy_cell_has_no_cause() -> None:
    assert diagnose(healthy(), EXPECTED) == ()


# ---- the testbed ----


def test_the_testbeds_failure_is_all_there_is_to_say() -> None:
    def change(evidence: Evidence) -> None:
        told = {"cause": "machine-lost", "where": "debian", "seen": "it stopped"}
        evidence["testbed"] = told
        for key in ("install", "requests", "exercise"):
            del evidence[key]

    cause = _cause(change)
    assert (cause.name, cause.severity) == ("machine-lost", "testbed")
    assert cause.where == "debian-13-pip-venv: debian"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ({"status": 503}, "/simple/quiverdb/ answered 503"),
        ({"status": 500, "complete": False}, "/simple/quiverdb/ answered 500"),
        ({"complete": False, "bytes": 17}, "broke off after 17 bytes (truncated download)"),
        ({"status": None, "complete": False}, "/simple/quiverdb/ was not answered"),
    ],
)
def test_an_index_that_failed_explains_what_followed(line: Evidence, seen: str) -> None:
    def change(evidence: Evidence) -> None:
        evidence["requests"][0] |= line
        evidence["install"] |= {"code": 1, "stderr": "ERROR: No matching distribution found"}

    cause = _cause(change)
    assert cause.name == "index-unreachable"
    assert seen in cause.message


@pytest.mark.parametrize("status", [404, 304, 206])
def test_other_answers_of_the_index_are_no_failure(status: int) -> None:
    assert _causes(lambda e: e["requests"][0].update(status=status)) == ()


# ---- the file served ----


def test_another_file_than_was_built_is_a_hash_mismatch() -> None:
    cause = _cause(lambda e: e["requests"][1].update(sha256="b" * 64))
    assert cause.name == "hash-mismatch"
    assert cause.where == f"debian-13-pip-venv: {WHEEL}"
    assert "bbbbbbbb" in cause.message


def test_a_file_that_was_only_asked_about_has_no_digest_to_compare() -> None:
    assert _causes(lambda e: e["requests"][1].pop("sha256")) == ()


def test_the_files_of_other_projects_are_not_compared() -> None:
    other = _request("/files/cffi.whl", "cffi-2.0.0-cp313-cp313-any.whl", "c" * 64)
    assert _causes(lambda e: e["requests"].append(other)) == ()


# ---- install ----

NO_WHEEL = "ERROR: No matching distribution found for quiverdb\n"
RETRYING = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError: "


def _install(**changes: Any) -> Change:
    def change(evidence: Evidence) -> None:
        evidence["install"] |= {"code": 1, **changes}
        for key in ("import", "exercise", "uninstall"):
            del evidence[key]

    return change


@pytest.mark.parametrize(
    ("error", "name", "seen"),
    [
        ("ERROR: [Errno 28] No space left on device\n", "disk-full", "No space left"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES from x\n", "hash-mismatch", "DO NOT MATCH"),
        ("ERROR: [Errno 13] Permission denied: '/usr/lib'\n", "permission", "Permission denied"),
        (
            f"{RETRYING}Temporary failure in name resolution'\n{NO_WHEEL}",
            "index-unreachable",
            "Temporary failure in name resolution",
        ),
        (f"{RETRYING}Connection refused'\n{NO_WHEEL}", "index-unreachable", "Connection refused"),
        (f"{RETRYING}Connection reset by peer'\n", "index-unreachable", "Connection reset"),
        (f"WARNING: x: SSLError(1) - skipping\n{NO_WHEEL}", "index-unreachable", "SSLError"),
        ("ERROR: Wheel 'quiverdb' located at /x is invalid.\n", "record-mismatch", "is invalid"),
        ("ERROR: quiverdb has an invalid wheel, x\n", "record-mismatch", "has an invalid wheel"),
        ("zipfile.BadZipFile: Bad CRC-32 for file\n", "record-mismatch", "BadZipFile"),
        (
            "error: Failed to install: x.whl\n  cause: The wheel is invalid: "
            "`entry_points.txt` is invalid: duplicate option at line 3\n",
            "entry-point-broken",
            "duplicate option at line 3",
        ),
        (
            "error: Failed to install: x.whl\n  cause: The wheel is invalid: "
            "invalid console script: 'quiverdb'\n",
            "entry-point-broken",
            "invalid console script: 'quiverdb'",
        ),
        (
            " ERROR: For req: quiverdb. Invalid script entry point: <ExportEntry q> - A callable\n",
            "entry-point-broken",
            "Invalid script entry point",
        ),
        (
            "ERROR: quiverdb's Wheel-Version (2.0) is not compatible with this version of pip\n",
            "wheel-version",
            "Wheel-Version (2.0)",
        ),
        ("ERROR: x has an invalid wheel, WHEEL is missing Wheel-Version\n", "wheel-version", "is"),
        (
            "error: Failed to install\n  cause: The wheel is invalid: "
            "Invalid Wheel-Version in `WHEEL` file\n",
            "wheel-version",
            "Invalid Wheel-Version",
        ),
        ("WARNING: Read timed out. (read timeout=15)\n", "index-unreachable", "Read timed out"),
        ("error: incomplete-download\n", "index-unreachable", "incomplete-download"),
        (
            "error: Failed to install: x.whl\n  cause: failed to open file\n  cause: bad handle\n",
            "unclassified",
            "x.whl (cause: failed to open file) (cause: bad handle)",
        ),
        (
            "error: Failed to install\n  cause: The wheel is invalid: "
            "Unsupported wheel major version (expected 1, got 2)\n",
            "wheel-version",
            "expected 1, got 2",
        ),
        (
            "ERROR: No matching distribution found for numpy>=2\n",
            "missing-dependency",
            "needs numpy>=2, which is not among the locked dependencies",
        ),
        (
            'ERROR: No matching distribution found for numpy>=2; sys_platform == "win32"\n',
            "missing-dependency",
            "needs numpy>=2, which",
        ),
        (
            "error: Hash-checking is required, but no trusted hash was provided for: `numpy`\n",
            "missing-dependency",
            "no trusted hash was provided for: `numpy`",
        ),
        ("note\nERROR: something new\nbye\n", "unclassified", "ended with 1: ERROR: something new"),
        ("", "unclassified", "ended with 1: no output"),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_install_that_fails_is_named_by_what_the_installer_says(
    error: str, name: str, seen: str, stream: str
) -> None:
    cause = _cause(_install(**{stream: error}))
    assert cause.name == name
    assert seen in cause.message
    assert cause.where == "debian-13-pip-venv: install quiverdb"


def test_an_install_without_end_is_a_hang() -> None:
    cause = _cause(_install(timed_out=True, code=-9, seconds=120.4, stderr=NO_WHEEL))
    assert cause.name == "hang"
    assert "no end after 120 s" in cause.message


def test_a_refusal_on_another_platform_tells_machine_and_wheels() -> None:
    cause = _cause(_all(_install(stderr=NO_WHEEL), lambda e: e.update(machine="aarch64")))
    assert cause.name == "unsupported-platform"
    assert "aarch64 with glibc 2.41 refused cleanly" in cause.message
    assert "manylinux_2_28_x86_64" in cause.message


def test_a_refusal_on_windows_tells_of_no_c_library() -> None:
    told = {"os": "windows", "machine": "AMD64", "libc": ["", ""]}
    cause = _cause(_all(_install(stderr=NO_WHEEL), lambda e: e.update(told)))
    assert cause.name == "unsupported-platform"
    assert "Windows on AMD64 refused cleanly: the wheels are for manylinux_2_28" in cause.message


def test_a_refusal_by_another_python_tells_python_and_wheels() -> None:
    cause = _cause(_all(_install(stderr=NO_WHEEL), lambda e: e.update(python="3.12.1")))
    assert cause.name == "unsupported-python"
    assert "CPython 3.12 refused cleanly: the release's wheels are for cp313" in cause.message


def test_a_refusal_by_a_free_threaded_python_tells_its_abi() -> None:
    cause = _cause(_all(_install(stderr=NO_WHEEL), lambda e: e.update(abiflags="t")))
    assert cause.name == "unsupported-python"
    assert "CPython 3.13t (free-threaded) refused cleanly" in cause.message
    assert "are for the ABI cp313" in cause.message


def test_a_refusal_where_the_c_library_has_no_name_says_so() -> None:
    cause = _cause(_all(_install(stderr=NO_WHEEL), lambda e: e.update(libc=["", ""])))
    assert cause.name == "unsupported-platform"
    assert "with a C library that is not glibc refused cleanly" in cause.message


def test_a_refusal_by_requires_python_is_told_though_the_tags_fit() -> None:
    told = (
        "ERROR: Ignored the following versions that require a different python version: "
        "1.2.0 Requires-Python >=3.14\nERROR: Could not find a version\n"
    )
    cause = _cause(_install(stderr=told + NO_WHEEL))
    assert cause.name == "unsupported-python"
    assert "1.2.0 Requires-Python >=3.14" in cause.message


@pytest.mark.parametrize("name", ["quiverdb", "QuiverDB", "quiverdb==1.2.0"])
def test_a_refused_upload_explains_why_there_is_no_wheel(name: str) -> None:
    expected = EXPECTED.model_copy(update={"refused_upload": "refused (400 bad metadata)"})
    cause = _cause(_install(stderr=f"ERROR: No matching distribution found for {name}\n"), expected)
    assert cause.name == "upload-refused"
    assert cause.message.startswith("refused (400 bad metadata)")


def test_where_no_index_is_asked_the_files_at_hand_lack_what_is_missing() -> None:
    told = 'ERROR: No matching distribution found for cffi; sys_platform == "win32"\n'
    install = _install(stderr=told)
    cause = _cause(_all(install, lambda e: e["cell"].update(scenario="offline")))
    assert cause.name == "missing-dependency"
    assert "needs cffi, which is not among the files that it was given" in cause.message


def test_a_refused_upload_does_not_explain_a_missing_dependency() -> None:
    expected = EXPECTED.model_copy(update={"refused_upload": "refused (400 bad metadata)"})
    cause = _cause(_install(stderr="ERROR: No matching distribution found for numpy\n"), expected)
    assert cause.name == "missing-dependency"


def test_a_corrupted_file_is_told_by_its_digest_and_by_the_installer() -> None:
    causes = _causes(
        _all(
            _install(stderr="zipfile.BadZipFile: Bad CRC-32\n"),
            lambda e: e["requests"][1].update(sha256="b" * 64),
        )
    )
    assert [cause.name for cause in causes] == ["hash-mismatch", "record-mismatch"]


# ---- what the loader says ----

CFFI_TAIL = ".  Additionally, ctypes.util.find_library() did not manage to locate a library called "


@pytest.mark.parametrize(
    ("message", "name", "seen"),
    [
        (
            f"/lib/libc.so.6: version `GLIBC_2.99' not found (required by {CORE})",
            "glibc-floor",
            "libquiver.so needs GLIBC_2.99, the machine has older",
        ),
        (
            f"/lib/libc.so.6: version `GLIBC_ABI_DT_RELR' not found (required by {CORE})",
            "glibc-floor",
            "libquiver.so needs GLIBC_ABI_DT_RELR",
        ),
        (
            f"/lib/libstdc++.so.6: version `GLIBCXX_3.4.99' not found (required by {CORE})",
            "libstdcxx-floor",
            "libquiver.so needs GLIBCXX_3.4.99",
        ),
        (
            f"/lib/libstdc++.so.6: version `CXXABI_1.3.99' not found (required by {CORE})",
            "libstdcxx-floor",
            "libquiver.so needs CXXABI_1.3.99",
        ),
        (
            f"/lib/libgcc_s.so.1: version `GCC_99.0.0' not found (required by {API})",
            "libstdcxx-floor",
            "libquiver_c.so needs GCC_99.0.0",
        ),
        (
            f"{CORE}: version `QUIVER_2' not found (required by {API})",
            "symbol-not-found",
            "libquiver_c.so needs QUIVER_2, which nothing loaded provides",
        ),
        (
            f"{CORE}: cannot enable executable stack as shared object requires: Invalid argument",
            "executable-stack",
            "cannot enable executable stack",
        ),
        (
            f"{API}: undefined symbol: quiver_core_open",
            "symbol-not-found",
            "libquiver_c.so needs quiver_core_open",
        ),
        (f"{CORE}: invalid ELF header", "missing-bundled-library", "libquiver.so is no library"),
        (f"{CORE}: file too short", "missing-bundled-library", "file too short"),
        (
            f"{CORE}: only ET_DYN and ET_EXEC can be loaded",
            "missing-bundled-library",
            "only ET_DYN",
        ),
        (
            f"{CORE}: ELF file's phentsize not the expected size",
            "missing-bundled-library",
            "phentsize",
        ),
        (f"{CORE}: wrong ELF class: ELFCLASS32", "wrong-architecture", "wrong ELF class"),
        (f"{CORE}: ELF file OS ABI invalid", "wrong-architecture", "ELF file OS ABI invalid"),
        (f"{CORE}: CPU ISA level is lower than required", "illegal-instruction", "CPU ISA level"),
        (
            f"{CORE}: cannot open shared object file: No such file or directory",
            "wrong-architecture",
            "libquiver.so is there and the loader does not take it",
        ),
        (
            "libquiver.so: cannot open shared object file: No such file or directory",
            "missing-bundled-library",
            "libquiver.so is not found",
        ),
        (
            "libquiver.so.0: cannot open shared object file: No such file or directory",
            "missing-bundled-library",
            "libquiver.so.0 is not found",
        ),
        (
            "libsqlite3.so.0: cannot open shared object file: No such file or directory",
            "missing-runtime-library",
            "libsqlite3.so.0 is not found",
        ),
        (
            "libquiver_core.so.1: cannot open shared object file: No such file or directory",
            "missing-runtime-library",
            "libquiver_core.so.1 is not found",
        ),
        (
            "ctypes.util.find_library() did not manage to locate a library called 'libquiver.so'",
            "missing-bundled-library",
            "libquiver.so is neither in the package nor on the system",
        ),
        (
            f"quiverdb is installed incompletely: {CORE} is missing, libquiver_c.so is there",
            "missing-bundled-library",
            "is installed incompletely",
        ),
        ("[Errno 12] something new", "unclassified", "OSError: [Errno 12] something new"),
    ],
)
def test_a_native_call_that_fails_is_named_by_what_the_loader_says(
    message: str, name: str, seen: str
) -> None:
    cause = _cause(_failed("native-call", message))
    assert cause.name == name
    assert seen in cause.message
    assert cause.where == "debian-13-pip-venv: native-call"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (f"{CORE}: version `GLIBC_2.99' not found (required by {CORE})", "glibc-floor"),
        (f"{CORE}: undefined symbol: quiver_core_open", "symbol-not-found"),
        (f"{CORE}: invalid ELF header", "missing-bundled-library"),
        ("libz.so.1: cannot open shared object file", "missing-runtime-library"),
    ],
)
def test_what_cffi_adds_to_the_loaders_words_changes_no_name(message: str, name: str) -> None:
    told = f"cannot load library '{CORE}': {message}{CFFI_TAIL}'{CORE}'"
    assert _cause(_failed("native-call", told)).name == name


# ---- import, first native call, round trip ----


@pytest.mark.parametrize(
    ("step", "kind", "message", "name", "seen"),
    [
        (
            "import",
            "ModuleNotFoundError",
            "No module named 'cffi.api'",
            "missing-dependency",
            "needs the module cffi, which",
        ),
        (
            "import",
            "ModuleNotFoundError",
            "No module named 'quiverdb._loader'",
            "record-mismatch",
            "the installed files are gone",
        ),
        (
            "import",
            "ImportError",
            "cannot import name 'tomli_w' from 'pip._vendor' (/x/pip/_vendor/__init__.py)",
            "missing-dependency",
            "needs tomli_w of pip._vendor, and the version that was installed has none",
        ),
        (
            "import",
            "ImportError",
            "cannot import name 'api' from 'quiverdb._c_api' (/x/quiverdb/_c_api.py)",
            "unclassified",
            "cannot import name 'api'",
        ),
        (
            "import",
            "ImportError",
            "cannot import name 'Mapping' from 'collections' (/x/collections/__init__.py)",
            "standard-library-mismatch",
            "needs Mapping of collections",
        ),
        (
            "import",
            "ModuleNotFoundError",
            "No module named 'distutils'",
            "standard-library-mismatch",
            "needs the module distutils",
        ),
        ("round-trip", "PermissionError", "[Errno 13] data.db", "permission", "data.db"),
        ("round-trip", "DatabaseError", "no such table", "round-trip-failed", "no such table"),
        ("native-call", "AttributeError", "no version", "unclassified", "no version"),
        ("mapped", "OSError", "no maps", "unclassified", "no maps"),
    ],
)
def test_a_step_that_fails_is_named_by_its_error(
    step: str, kind: str, message: str, name: str, seen: str
) -> None:
    cause = _cause(_failed(step, message, kind))
    assert (cause.name, cause.where) == (name, f"debian-13-pip-venv: {step}")
    assert seen in cause.message


def test_what_follows_a_failed_import_is_not_told() -> None:
    steps = ("native-call", "round-trip", "distributions", "record")
    follow = [_failed(step, "No module named 'cffi'", "ModuleNotFoundError") for step in steps]
    cause = _cause(_all(_failed("import", "No module named 'cffi'", "ImportError"), *follow))
    assert (cause.name, cause.where) == ("missing-dependency", "debian-13-pip-venv: import")


def test_a_step_that_is_not_there_is_unclassified() -> None:
    cause = _cause(lambda e: _steps(e).pop("record"))
    assert cause.name == "unclassified"
    assert "it was never reached" in cause.message


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (
            {"file": f"{PROJECT}/quiverdb.py", "folder": PROJECT},
            f"`import quiverdb` took {PROJECT}/quiverdb.py, installed is {FILES[0]}",
        ),
        (
            {"file": None, "folder": f"{PROJECT}/quiverdb"},
            f"took {PROJECT}/quiverdb (a folder without code)",
        ),
    ],
)
def test_another_package_in_its_place_explains_whatever_follows(told: Evidence, seen: str) -> None:
    cause = _cause(
        _all(
            lambda e: _steps(e)["import"].update(value=told),
            _failed("native-call", "cannot import name '_loader'", "ImportError"),
        )
    )
    assert (cause.name, cause.where) == ("shadowed-import", "debian-13-pip-venv: import")
    assert seen in cause.message


def test_a_package_that_was_not_installed_at_all_is_shadowed() -> None:
    cause = _cause(lambda e: e["installed"]["added"].remove(FILES[0]))
    assert cause.name == "shadowed-import"
    assert "installed is none" in cause.message


# ---- crashes and hangs ----

TRACE = (
    'Current thread 0x1 (most recent call first):\n  File "/x/database.py", line 7 in open\n'
    '  File "<string>", line 1 in <module>\n'
)


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        (-11, "killed by SIGSEGV"),
        (-6, "killed by SIGABRT"),
        (-7, "killed by SIGBUS"),
        (-8, "killed by SIGFPE"),
        (-31, "killed by signal 31"),
        (0xC0000005, "ended with 0xc0000005"),
        (0xC0000005 - (1 << 32), "ended with 0xc0000005"),
    ],
)
def test_an_interpreter_that_is_killed_has_crashed(code: int, seen: str) -> None:
    cause = _cause(lambda e: e["import"].update(code=code))
    assert (cause.name, cause.where) == ("crash", "debian-13-pip-venv: import")
    assert seen in cause.message

    def change(evidence: Evidence) -> None:
        _broken("native-call")(evidence)
        evidence["exercise"] |= {"code": code, "trace": TRACE}

    cause = _cause(change)
    assert (cause.name, cause.where) == ("crash", "debian-13-pip-venv: native-call")
    assert seen in cause.message
    assert "the last frame: /x/database.py:7 in open" in cause.message


EMULATED = "x86-64-v1 with SSE3, emulated by QEMU"


def _on_an_emulated_processor(evidence: Evidence) -> None:
    evidence["cell"]["processor"] = EMULATED


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        (-4, "killed by SIGILL"),
        (132, "killed by SIGILL"),
        (0xC000001D, "ended with 0xc000001d"),
        (0xC000001D - (1 << 32), "ended with 0xc000001d"),
    ],
)
@pytest.mark.parametrize("emulated", [False, True])
def test_an_instruction_that_the_processor_lacks_is_told_with_it(
    code: int, seen: str, emulated: bool
) -> None:
    def where(evidence: Evidence) -> None:
        evidence["processor"] = "Some Processor"
        if emulated:
            _on_an_emulated_processor(evidence)

    told = f"the processor is {EMULATED if emulated else 'Some Processor'}"
    cause = _cause(_all(where, lambda e: e["import"].update(code=code)))
    assert (cause.name, cause.where) == ("illegal-instruction", "debian-13-pip-venv: import")
    assert cause.message.startswith(f"{seen}; {told}")

    ended = {"code": code, "trace": TRACE, "stderr": "qemu: uncaught target signal 4 (Illegal ..."}
    cause = _cause(_all(where, _broken("native-call"), lambda e: e["exercise"].update(ended)))
    assert (cause.name, cause.severity) == ("illegal-instruction", "broken")
    frame = "the last frame: /x/database.py:7 in open"
    assert cause.message.startswith(f"{seen}; {frame}; {told}")


def test_a_command_of_the_user_that_dies_so_is_told_by_it() -> None:
    ran = _ran("python", "-c", "import quiverdb", code=-4)
    cause = _cause(lambda e: e.update(after_install=[ran]))
    assert (cause.name, cause.where) == ("illegal-instruction", "debian-13-pip-venv: after_install")


def test_the_interpreters_own_word_is_enough_where_a_starter_hides_the_signal() -> None:
    ended = {"code": 1, "trace": f"Fatal Python error: Illegal instruction\n{TRACE}"}
    cause = _cause(_all(_broken("native-call"), lambda e: e["exercise"].update(ended)))
    assert cause.name == "illegal-instruction"


@pytest.mark.parametrize(
    "said",
    [
        "qemu-x86_64: QEMU internal SIGSEGV {code=MAPERR, addr=0x20}",
        "qemu: 0x7f00: unhandled CPU exception 0x6 - aborting",
        "**\nERROR:../../accel/tcg/cpu-exec.c:9:cpu_exec: assertion failed: (cpu == current_cpu)",
        "Bail out! ERROR:../../linux-user/signal.c:9:host_signal: should not be reached",
        "../../tcg/tcg.c:2233: tcg fatal error",
    ],
)
def test_what_the_emulator_failed_in_is_the_testbeds(said: str) -> None:
    ended = {"code": -6, "trace": TRACE, "stderr": f"warning: x\n{said}\n"}
    change = _all(_broken("round-trip"), lambda e: e["exercise"].update(ended))

    assert _cause(change).name == "crash", "the same words on a real processor are nobody's"
    cause = _cause(_all(_on_an_emulated_processor, change))
    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")
    assert said.splitlines()[-1][:40] in cause.message
    assert "killed by SIGABRT" in cause.message


def test_a_system_call_that_the_emulator_lacks_is_the_testbeds() -> None:
    change = _failed("round-trip", "[Errno 38] Function not implemented")
    assert _cause(change).name == "round-trip-failed"
    cause = _cause(_all(_on_an_emulated_processor, change))
    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")


def test_what_takes_too_long_on_an_emulated_processor_says_nothing_about_the_package() -> None:
    change = _all(
        _on_an_emulated_processor,
        lambda e: e["install"].update(code=-9, timed_out=True, seconds=120.0),
    )
    assert _cause(change).name == "emulator-gap"


def test_what_else_is_wrong_on_an_emulated_processor_is_the_packages() -> None:
    change = _all(_on_an_emulated_processor, _broken("round-trip"))
    cause = _cause(_all(change, lambda e: e["exercise"].update(code=-11)))
    assert (cause.name, cause.severity) == ("crash", "broken")


def test_an_import_that_merely_fails_is_no_crash_and_is_told() -> None:
    cause = _cause(lambda e: e["import"].update(code=1))
    assert (cause.name, cause.where) == ("unclassified", "debian-13-pip-venv: import")
    assert "it ended with 1" in cause.message


def test_an_import_that_lacks_a_module_alone_is_told_by_it() -> None:
    error = "Traceback ...\nModuleNotFoundError: No module named 'attrs'\n"
    cause = _cause(lambda e: e["import"].update(code=1, stderr=error))
    assert (cause.name, "needs the module attrs" in cause.message) == ("missing-dependency", True)


@pytest.mark.parametrize(
    "name", ["other-sqlite", "preloaded-sqlite", "other-cpp-runtime", "preloaded-cpp-runtime"]
)
@pytest.mark.parametrize("failing", ["round-trip", "use"])
def test_what_fails_beside_anothers_code_is_no_mere_interposition(name: str, failing: str) -> None:
    def change(evidence: Evidence) -> None:
        evidence["cell"]["scenario"] = name
        uses = scenarios.load()["linux"][name].actions
        _steps(evidence).update({use: _step({}) for use in uses})
        error = {"type": "QuiverError", "message": "near STRICT: syntax error"}
        step = failing if failing == "round-trip" else uses[0]
        _steps(evidence)[step] = {"ok": False, "value": None, "error": error}

    (cause,) = _causes(change)
    assert (cause.name, cause.severity) == ("use-not-supported", "broken")
    assert "near STRICT" in cause.message


def test_anothers_code_is_named_beside_what_it_broke() -> None:
    def change(evidence: Evidence) -> None:
        evidence["cell"]["scenario"] = "other-sqlite"
        for step, kind in (("round-trip", "QuiverError"), ("own_sqlite", "Interposed")):
            error = {"type": kind, "message": f"{kind} it was"}
            _steps(evidence)[step] = {"ok": False, "value": None, "error": error}

    found = _causes(change)
    assert [(cause.name, cause.severity) for cause in found] == [
        ("use-not-supported", "broken"),
        ("symbol-interposition", "flawed"),
    ]


def test_an_installation_offline_asks_no_index() -> None:
    def change(evidence: Evidence) -> None:
        evidence["cell"]["scenario"] = "offline"

    cause = _cause(change)
    assert (cause.name, cause.where) == ("use-not-supported", "debian-13-pip-venv: install")
    assert "/simple/quiverdb/" in cause.message


def test_a_project_is_known_by_a_name_that_is_written_otherwise() -> None:
    expected = EXPECTED.model_copy(update={"project": "Quiver.DB", "package": "quiverdb"})

    def change(evidence: Evidence, **other: str) -> None:
        told = _steps(evidence)["distributions"]["value"]
        told["quiver_db"] = told.pop("quiverdb") | other
        _steps(evidence)["native-call"]["value"]["version"] = "9"

    assert "version-mismatch" in [cause.name for cause in _causes(change, expected)]
    older = _causes(lambda evidence: change(evidence, version="0.1.0"), expected)
    assert "silent-fallback" in [cause.name for cause in older]


def test_a_fatal_error_of_the_interpreter_is_a_crash() -> None:
    def change(evidence: Evidence) -> None:
        _broken("round-trip")(evidence)
        evidence["exercise"] |= {"code": 1, "trace": f"Fatal Python error: Aborted\n{TRACE}"}

    cause = _cause(change)
    assert (cause.name, cause.where) == ("crash", "debian-13-pip-venv: round-trip")
    assert "the last frame: /x/database.py:7 in open" in cause.message


def test_a_crash_without_a_stack_says_so() -> None:
    cause = _cause(_all(_broken("native-call"), lambda e: e["exercise"].update(code=-11)))
    assert "the last frame: unknown" in cause.message


def test_an_interpreter_that_ends_by_itself_in_a_step_has_crashed() -> None:
    told = {"code": 3, "stderr": "error: out of luck\n"}
    cause = _cause(_all(_broken("native-call"), lambda e: e["exercise"].update(told)))
    assert (cause.name, cause.where) == ("crash", "debian-13-pip-venv: native-call")
    assert "the interpreter ended with 3: error: out of luck" in cause.message


def test_an_interpreter_that_never_began_is_unclassified() -> None:
    cause = _cause(lambda e: e["exercise"].update(code=2, steps={}, stderr="no such option\n"))
    assert (cause.name, cause.where) == ("unclassified", "debian-13-pip-venv: start")
    assert "the interpreter ended with 2: no such option" in cause.message


@pytest.mark.parametrize(
    "told",
    [
        {"code": -9, "timed_out": True, "trace": TRACE},
        {"code": 1, "trace": f"Timeout (0:01:00)!\n{TRACE}"},
    ],
)
def test_a_step_without_end_is_a_hang_with_its_innermost_frame(told: Evidence) -> None:
    cause = _cause(_all(_broken("round-trip"), lambda e: e["exercise"].update(told, seconds=60.2)))
    assert (cause.name, cause.where) == ("hang", "debian-13-pip-venv: round-trip")
    assert "no end after 60 s" in cause.message
    assert "innermost frame: /x/database.py:7 in open" in cause.message


def test_an_import_without_end_is_a_hang() -> None:
    cause = _cause(lambda e: e["import"].update(timed_out=True, code=-9, seconds=30.0))
    assert (cause.name, cause.where) == ("hang", "debian-13-pip-venv: import")


# ---- what was installed and loaded ----


@pytest.mark.parametrize("native", ["1.1.0", "unknown"])
def test_another_native_version_is_a_version_mismatch(native: str) -> None:
    cause = _cause(lambda e: _steps(e)["native-call"]["value"].update(version=native))
    assert (cause.name, cause.where) == ("version-mismatch", "debian-13-pip-venv: version()")
    assert f"the native library says {native}, the release is 1.2.0" in cause.message


@pytest.mark.parametrize("native", ["1.2", "v1.2.0", None])
def test_the_version_must_be_written_as_the_releases_is(native: str | None) -> None:
    cause = _cause(lambda e: _steps(e)["native-call"]["value"].update(version=native))
    assert cause.name == "version-mismatch"


def test_another_release_than_the_published_one_is_a_silent_fallback() -> None:
    def change(evidence: Evidence) -> None:
        _steps(evidence)["distributions"]["value"]["quiverdb"]["version"] = "1.1.0"
        _steps(evidence)["native-call"]["value"]["version"] = "1.1.0"

    cause = _cause(change)
    assert (cause.name, cause.where) == ("silent-fallback", "debian-13-pip-venv: installed")
    assert "1.1.0 was installed, published was 1.2.0" in cause.message


@pytest.mark.parametrize("key", ["labels", "units"])
def test_a_value_that_came_back_changed_is_a_failed_round_trip(key: str) -> None:
    returned = {key: ["changed"]}
    cause = _cause(lambda e: _steps(e)["round-trip"]["value"]["returned"].update(returned))
    assert cause.name == "round-trip-failed"
    assert f'{key} came back as ["changed"], written was ' in cause.message


@pytest.mark.parametrize("library", ["libquiver.so", "libquiver_c.so"])
def test_a_library_from_elsewhere_is_the_wrong_one(library: str) -> None:
    def change(evidence: Evidence) -> None:
        paths = _steps(evidence)["mapped"]["value"]
        paths[paths.index(f"{LIBS}/{library}")] = f"/opt/decoy/{library}"

    cause = _cause(change)
    assert cause.name == "wrong-library-loaded"
    assert f"{library} was loaded from /opt/decoy/{library}, outside" in cause.message


def test_a_library_that_was_not_loaded_at_all_is_told() -> None:
    cause = _cause(lambda e: _steps(e)["mapped"]["value"].remove(API))
    assert cause.name == "wrong-library-loaded"
    assert "libquiver_c.so is not in the process after native calls" in cause.message


def test_a_library_that_is_mapped_twice_is_a_duplicate() -> None:
    second = f"{LIBS}/libquiver.so.0"

    def change(evidence: Evidence) -> None:
        evidence["installed"]["added"].append(second)
        _steps(evidence)["mapped"]["value"].append(second)

    cause = _cause(change)
    assert cause.name == "duplicate-library"
    assert f"libquiver.so is mapped 2 times: {CORE}, {second}" in cause.message


def test_libraries_are_not_missed_where_the_native_call_failed() -> None:
    cause = _cause(
        _all(
            _failed("native-call", "libz.so.1: cannot open shared object file"),
            lambda e: _steps(e)["mapped"].update(value=[]),
        )
    )
    assert cause.name == "missing-runtime-library"


@pytest.mark.parametrize(
    ("name", "version", "seen"),
    [
        ("cffi", "1.17", "cffi 1.17 is installed, locked is 2.0.0"),
        ("Other_Thing", "1.0", "Other_Thing 1.0 is installed, locked is none"),
    ],
)
def test_a_dependency_that_is_not_the_locked_one_is_a_mismatch(
    name: str, version: str, seen: str
) -> None:
    told = {name: {"version": version, "folder": SITE}}
    cause = _cause(lambda e: _steps(e)["distributions"]["value"].update(told))
    assert (cause.name, cause.where) == ("version-mismatch", "debian-13-pip-venv: dependencies")
    assert seen in cause.message


def test_a_dependency_is_found_by_its_normalised_name() -> None:
    expected = EXPECTED.model_copy(update={"locked": {"cffi": "2.0.0", "other-thing": "1.0"}})
    told = {"Other_Thing": {"version": "1.0", "folder": SITE}}
    assert _causes(lambda e: _steps(e)["distributions"]["value"].update(told), expected) == ()


def test_an_installed_file_that_differs_from_record_is_told_by_name() -> None:
    wrong = [
        {"file": "quiverdb/a.py", "seen": "other content"},
        {"file": "quiverdb/b.py", "seen": "FileNotFoundError"},
    ]
    causes = _causes(lambda e: _steps(e)["record"]["value"].update(wrong=wrong))
    assert [cause.name for cause in causes] == ["record-mismatch"] * 2
    assert [cause.where for cause in causes] == [
        "debian-13-pip-venv: quiverdb/a.py",
        "debian-13-pip-venv: quiverdb/b.py",
    ]


def test_a_record_without_any_hash_is_a_mismatch() -> None:
    cause = _cause(lambda e: _steps(e)["record"]["value"].update(checked=0))
    assert cause.name == "record-mismatch"
    assert "it lists no hash at all" in cause.message


# ---- uninstall ----


def test_an_uninstall_without_end_is_a_hang() -> None:
    cause = _cause(lambda e: e["uninstall"].update(timed_out=True, code=-9, seconds=120.0))
    assert (cause.name, cause.where) == ("hang", "debian-13-pip-venv: uninstall")


def test_an_uninstall_that_fails_is_told_with_its_last_error() -> None:
    told = {"code": 2, "stderr": "ERROR: cannot uninstall, RECORD file not found\nbye\n"}
    cause = _cause(lambda e: e["uninstall"].update(told))
    assert (cause.name, cause.severity) == ("uninstall-failed", "broken")
    assert "ended with 2: ERROR: cannot uninstall" in cause.message


@pytest.mark.parametrize(
    "path",
    [
        CORE,
        PACKAGE,
        f"{SITE}/quiverdb-1.2.0.dist-info",
        f"{PACKAGE}/__pycache__/__init__.cpython-313.pyc",
        f"{SITE}/quiverdb/left.db",
        "/home/user/.quiverdb.log",
        "/tmp/quiver-1234",  # noqa: S108  (a path in evidence)
    ],
)
def test_what_the_package_left_behind_is_told(path: str) -> None:
    cause = _cause(lambda e: e["left"]["added"].append(path))
    assert (cause.name, cause.severity) == ("uninstall-leftover", "flawed")
    assert f"1 paths are left, first {path}" in cause.message


@pytest.mark.parametrize(
    "path",
    [
        CFFI,
        f"{SITE}/cffi/__pycache__/api.cpython-313.pyc",
        "/usr/lib/python3.13/__pycache__/json.cpython-313.pyc",
        "/home/user/.cache",
        "/home/user/.cache/pip",
        "/home/user/.cache/pip/http-v2/a/b",
    ],
)
def test_dependencies_their_bytecode_and_pips_cache_are_no_leftovers(path: str) -> None:
    evidence = healthy()
    evidence["left"]["added"].append(path)
    assert leftovers(evidence) == []
    assert diagnose(evidence, EXPECTED) == ()


def test_leftovers_are_known_by_name_where_record_could_not_be_read() -> None:
    evidence = healthy()
    _failed("record", "no RECORD")(evidence)
    evidence["left"]["added"] += [CORE, f"{SITE}/cffi/__pycache__"]
    assert leftovers(evidence) == [CORE]


@pytest.mark.parametrize("kind", ["changed", "removed"])
def test_a_file_of_the_machine_that_was_touched_is_told(kind: str) -> None:
    cause = _cause(lambda e: e["left"][kind].append("/usr/bin/python3"))
    assert (cause.name, cause.severity) == ("machine-changed", "broken")
    assert "1 files of the machine were changed or removed, first /usr/bin/python3" in cause.message


def test_independent_faults_are_all_told_the_most_pressing_first() -> None:
    causes = _causes(
        _all(
            lambda e: e["left"]["added"].append(CORE),
            lambda e: _steps(e)["native-call"]["value"].update(version="9.9"),
            lambda e: _steps(e)["record"]["value"].update(checked=0),
        )
    )
    names = [cause.name for cause in causes]
    assert names == ["record-mismatch", "version-mismatch", "uninstall-leftover"]


# ---- Windows ----

WINDOWS_SITE = "C:\\users\\user\\AppData\\Local\\Programs\\Python\\Python313\\Lib\\site-packages"


def _on_windows(evidence: Evidence) -> None:
    """Move the evidence to a Windows machine: its paths, and the names of its libraries."""

    def moved(told: Any) -> Any:
        if isinstance(told, dict):
            return {key: moved(value) for key, value in told.items()}
        if isinstance(told, list):
            return [moved(value) for value in told]
        if isinstance(told, str) and told.startswith("/home/user/venv"):
            path = told.replace(SITE, WINDOWS_SITE).replace(".so", ".dll")
            return path.replace("/", "\\")
        return told

    for key, value in moved(dict(evidence)).items():
        evidence[key] = value
    evidence["os"] = "windows"
    evidence["registry"] = {"added": [], "removed": [], "changed": []}
    evidence["loader"] = []


ON_WINDOWS = EXPECTED.model_copy(update={"libraries": ("libquiver.dll", "libquiver_c.dll")})


def test_a_healthy_cell_on_windows_has_no_cause() -> None:
    assert _causes(_on_windows, ON_WINDOWS) == ()


def test_a_module_is_the_packages_own_whatever_the_case_of_its_path() -> None:
    def change(evidence: Evidence) -> None:
        _on_windows(evidence)
        told = _steps(evidence)["mapped"]
        told["value"] = [path.upper() for path in told["value"]]

    assert _causes(change, ON_WINDOWS) == ()


def test_what_was_written_to_the_registry_is_told() -> None:
    change = _all(
        _on_windows,
        lambda e: e["registry"]["changed"].append("HKCU\\Environment:Path"),
        lambda e: e["registry"]["added"].append(
            "HKCU\\Software\\Microsoft\\SystemCertificates\\Root"
        ),
    )
    cause = _cause(change, ON_WINDOWS)

    assert (cause.name, cause.severity) == ("registry-changed", "flawed")
    seen = "1 keys or values were changed and stay so, first HKCU\\Environment:Path"
    assert seen in cause.message


def _stub(provider: str, symbol: str) -> str:
    path = f"{WINDOWS_SITE}\\quiverdb\\_libs\\libquiver_c.dll".replace("\\", "\\\\")
    return (
        f'warn:module:import_dll No implementation for {provider}.{symbol} imported from L"{path}"'
    )


def test_a_symbol_that_the_core_lacks_is_the_packages_fault_even_where_wine_loads_it() -> None:
    stub = _stub("libquiver.dll", "quiver_x")
    cause = _cause(_all(_on_windows, lambda e: e["loader"].append(stub)), ON_WINDOWS)

    assert cause.name == "symbol-not-found"
    assert "libquiver_c.dll imports quiver_x of libquiver.dll" in cause.message


def test_a_system_call_that_wine_lacks_and_nobody_misses_is_a_note() -> None:
    stub = _stub("KERNEL32.dll", "PssQuerySnapshot")
    cause = _cause(_all(_on_windows, lambda e: e["loader"].append(stub)), ON_WINDOWS)
    assert (cause.name, cause.severity) == ("unknown-to-wine", "note")
    assert "PssQuerySnapshot of KERNEL32.dll" in cause.message


def test_a_crash_where_wine_lacks_what_the_library_imports_is_the_testbeds() -> None:
    change = _all(
        _on_windows,
        _broken("round-trip"),
        lambda e: e["loader"].append(_stub("KERNEL32.dll", "PssQuerySnapshot")),
        lambda e: e["exercise"].update(code=0x80000100),
    )
    cause = _cause(change, ON_WINDOWS)

    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")
    assert "libquiver_c.dll imports PssQuerySnapshot of KERNEL32.dll" in cause.message


def test_a_call_of_a_function_that_wine_knows_by_name_only_is_the_testbeds() -> None:
    line = "wine: Call from 00006FFF to unimplemented function ucrtbase.dll.crealf, aborting"
    change = _all(
        _on_windows,
        _broken("round-trip"),
        lambda e: e["loader"].append(line),
        lambda e: e["exercise"].update(code=9),
    )
    cause = _cause(change, ON_WINDOWS)

    assert (cause.name, cause.severity) == ("emulator-gap", "testbed")
    assert "crealf of ucrtbase.dll was called" in cause.message


def _run_times(version: list[int]) -> Change:
    def change(evidence: Evidence) -> None:
        value = {
            "loaded": {"MSVCP140.dll": {"path": "C:\\windows\\MSVCP140.dll", "version": version}},
            "linked_by": {"libquiver.dll": [14, 44], "libquiver_c.dll": [14, 43], "x.dll": [2, 44]},
        }
        _steps(evidence)["run-times"] = _step(value)

    return change


@pytest.mark.parametrize(
    ("version", "cause"), [([14, 34, 1, 0], "runtime-too-old"), ([14, 44, 0, 0], "crash")]
)
def test_a_crash_with_a_run_time_older_than_the_linker_has_a_name(
    version: list[int], cause: str
) -> None:
    died = _all(
        _on_windows,
        _run_times(version),
        _broken("round-trip"),
        lambda e: e["exercise"].update(code=0xC0000005),
    )
    found = _cause(died, ON_WINDOWS)

    assert found.name == cause
    if cause == "runtime-too-old":
        assert "libquiver.dll was linked by Microsoft's 14.44 and uses MSVCP140.dll 14.34.1.0" in (
            found.message
        )


# ---- how uv refuses ----

UV_REFUSES = "error: No solution found when resolving dependencies\n  cause: "


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (
            "Because quiverdb==1.2.0 has no wheels with a matching platform tag (e.g., "
            "`win_amd64`) and only quiverdb==1.2.0 is available",
            "unsupported-platform",
        ),
        (
            "Because only cffi<=2.0.0 is available and quiverdb==1.2.0 depends on cffi>=99, we can "
            "conclude",
            "missing-dependency",
        ),
        ("Because numpy was not found in the package registry and quiver", "missing-dependency"),
        (
            "Because there are no versions of numpy{sys_platform == 'win32'} and all versions of "
            "quiverdb depend on numpy{sys_platform == 'win32'}, we can conclude",
            "missing-dependency",
        ),
    ],
)
def test_uv_refuses_in_its_own_words(told: str, cause: str) -> None:
    def change(evidence: Evidence) -> None:
        evidence["install"] |= {"code": 1, "stderr": UV_REFUSES + told}

    assert _cause(change).name == cause


NO_CFFI = "ERROR: No matching distribution found for cffi>=2.0.0\n"


@pytest.mark.parametrize("refuses", ["", "unsupported-platform"], ids=["may not", "must"])
@pytest.mark.parametrize("statuses", [[], [404], [403, 403]], ids=str)
@pytest.mark.parametrize(
    ("told", "sought"), [(NO_WHEEL, "quiverdb"), (NO_CFFI, "cffi")], ids=["own", "dependency"]
)
def test_a_refusal_without_the_page_that_lists_the_files_is_the_indexs(
    told: str, sought: str, statuses: list[int], refuses: str
) -> None:
    path = f"/simple/{sought}/"

    def change(evidence: Evidence) -> None:
        evidence["cell"]["refuses"] = refuses
        evidence["install"] |= {"code": 1, "stderr": told}
        kept = [line for line in evidence["requests"] if line["path"] != path]
        evidence["requests"] = kept + [_request(path, status=status) for status in statuses]

    cause = _cause(change)
    assert (cause.name, cause.severity) == ("index-unreachable", "testbed")
    answers = ", ".join(dict.fromkeys(map(str, statuses))) or "nothing"
    assert f"without the index's page of {sought}" in cause.message
    assert f"it was answered with {answers}" in cause.message


def test_a_request_that_has_no_end_is_the_indexs_fault() -> None:
    line = _request("/simple/quiverdb/") | {"status": None, "open": True}
    cause = _cause(_all(_install(stderr=NO_WHEEL), lambda e: e["requests"].append(line)))
    assert cause.name == "index-unreachable"
    assert "/simple/quiverdb/ was asked for, and had no answer to its end" in cause.message


@pytest.mark.parametrize(
    "path",
    [
        "C:\\users\\user\\AppData\\Local\\pip\\cache\\http-v2\\a",
        "C:\\users\\user\\AppData\\Local\\uv\\cache\\wheels-v6\\a",
    ],
)
def test_caches_on_windows_are_no_leftovers(path: str) -> None:
    assert _causes(_all(_on_windows, lambda e: e["left"]["added"].append(path)), ON_WINDOWS) == ()


def test_uvs_cache_on_linux_is_no_leftover() -> None:
    assert _causes(lambda e: e["left"]["added"].append("/home/user/.cache/uv/wheels/a")) == ()


# ---- scenarios, other commands, and what must be refused ----


def test_an_index_that_the_installer_does_not_trust_is_the_testbeds_failure() -> None:
    refused = {"time": BEFORE, "client": "10.0.0.2", "tls_refused": "UNKNOWN_CA"}
    found = diagnose(healthy() | {"requests": [refused, refused]}, EXPECTED)
    assert [(cause.name, cause.severity) for cause in found] == [("index-unreachable", "testbed")]
    assert "UNKNOWN_CA" in found[0].message


def test_a_set_up_that_failed_is_the_testbeds_failure() -> None:
    found = diagnose(healthy() | {"setup": [_ran("python3", "-m", "venv", code=1)]}, EXPECTED)
    assert [cause.name for cause in found] == ["machine-lost"]


@pytest.mark.parametrize(
    ("scenario", "name"),
    [("upgrade", "upgrade-broken"), ("read-only", "permission"), ("fork", "use-not-supported")],
)
def test_a_users_other_command_that_fails_has_the_scenarios_cause(scenario: str, name: str) -> None:
    evidence = healthy() | {"first": [_ran("pip", "install", "quiverdb==1.1.0", code=1)]}
    evidence["cell"] = {"id": "c", "scenario": scenario}
    assert [cause.name for cause in diagnose(evidence, EXPECTED)] == [name]


def test_a_users_other_command_that_no_loader_let_pass_has_the_loaders_cause() -> None:
    told = "error: RuntimeError: libquiver.so: cannot open shared object file: No such file"
    ran = _ran("python", "-c", "start_holder()", code=1) | {"stderr": told}
    evidence = healthy() | {"first": [ran]}
    evidence["cell"] = {"id": "c", "scenario": "upgrade-in-use"}
    (cause,) = diagnose(evidence, EXPECTED)
    assert cause.name == "missing-bundled-library"


@pytest.mark.parametrize(("installer", "left"), [("uv", []), ("uv-run", [f"{PACKAGE}/x"])])
def test_a_cache_that_the_package_lives_in_is_looked_at(installer: str, left: list[str]) -> None:
    cached = [path.replace(SITE, "/home/user/.cache/uv/a") for path in left or [f"{PACKAGE}/x"]]
    evidence = healthy()
    evidence["cell"] = {"id": "c", "scenario": "managed", "installer": installer}
    evidence["left"]["added"] = cached
    assert leftovers(evidence) == (cached if left else [])


def test_older_dependencies_may_stay_where_the_user_had_them() -> None:
    evidence = healthy()
    _steps(evidence)["distributions"]["value"]["cffi"]["version"] = "1.17.1"
    assert [cause.name for cause in diagnose(evidence, EXPECTED)] == ["version-mismatch"]
    evidence["cell"] = {"id": "c", "scenario": "old-cffi"}
    assert diagnose(evidence, EXPECTED) == ()


def test_a_use_that_fails_has_the_scenarios_cause_and_says_what_was_tried() -> None:
    evidence = healthy()
    evidence["cell"] = {"id": "c", "scenario": "fork"}
    error = {"type": "RuntimeError", "message": "the forked child ended with 3"}
    steps = evidence["exercise"]["steps"]
    steps["in_forked_child"] = {"ok": False, "value": None, "error": error}
    (cause,) = diagnose(evidence, EXPECTED)
    assert cause.name == "use-not-supported"
    assert "a forked child uses it on: RuntimeError: the forked child ended" in cause.message


def test_a_use_that_was_never_reached_is_told() -> None:
    evidence = healthy()
    evidence["cell"] = {"id": "c", "scenario": "fork"}
    assert [cause.name for cause in diagnose(evidence, EXPECTED)] == ["use-not-supported"]


@pytest.mark.parametrize("changed", [True, False])
def test_a_second_installation_must_change_nothing(changed: bool) -> None:
    evidence = healthy()
    difference = {"added": [], "removed": [], "changed": [CFFI] if changed else []}
    difference["added"].append("/home/user/.cache/pip/http")
    evidence["again"] = _ran("pip", "install", "quiverdb") | {"difference": difference}
    found = [cause.name for cause in diagnose(evidence, EXPECTED)]
    assert found == (["use-not-supported"] if changed else [])


def test_a_library_of_the_same_name_from_elsewhere_is_told_even_if_no_call_passed() -> None:
    evidence = healthy()
    evidence["cell"] = {"id": "c", "scenario": "decoy"}
    steps = evidence["exercise"]["steps"]
    error = {"type": "AttributeError", "message": "undefined"}
    steps["native-call"] = {"ok": False, "value": None, "error": error}
    steps["mapped"] = _step(["/opt/decoy/libquiver.so"])
    assert {cause.name for cause in diagnose(evidence, EXPECTED)} == {"wrong-library-loaded"}


_UV_PYTHON = """
  cause: Because the current Python version (3.11.2) does not satisfy Python>=3.13 and
 quiverdb==0.1.0 depends on Python>=3.13, we can conclude that quiverdb==0.1.0 cannot be used.
 And because quiverdb>=0.4.0 has no wheels with a matching Python implementation tag
"""
_UV_GLIBC = """
  cause: Because cffi==2.0.0 has no wheels with a matching platform tag and quiverdb<=0.1.0 depends
 on cffi==2.0.0, we can conclude that quiverdb<=0.1.0 cannot be used.
 And because quiverdb>=0.4.0 has no wheels with a matching platform tag
"""


@pytest.mark.parametrize(
    ("output", "python", "wanted"),
    [(_UV_PYTHON, "3.11.2", "unsupported-python"), (_UV_GLIBC, "3.13.5", "unsupported-platform")],
    ids=["python", "glibc"],
)
def test_uvs_refusal_is_of_the_project_whatever_else_it_tells(
    output: str, python: str, wanted: str
) -> None:
    nothing: Evidence = {"added": [], "removed": [], "changed": []}
    evidence = healthy() | {"python": python, "installed": nothing}
    evidence["install"] = _ran("uv", "pip", "install", "quiverdb", code=1) | {"stderr": output}
    assert [cause.name for cause in diagnose(evidence, EXPECTED)] == [wanted]
    evidence["cell"] = {"id": "c", "refuses": wanted}
    assert diagnose(evidence, EXPECTED) == ()
    evidence["cell"] = {"id": "c", "refuses": "no-binary"}
    assert diagnose(evidence, EXPECTED) == ()


MORE = {
    "cp314 for Windows": (
        "quiverdb-1.2.0-cp314-cp314-win_amd64.whl",
        "3.14.0",
        "",
        "unsupported-python",
    ),
    "cp314 for musl": (
        "quiverdb-1.2.0-cp314-cp314-musllinux_1_2_x86_64.whl",
        "3.14.0",
        "",
        "unsupported-python",
    ),
    "pure for Windows": (
        "quiverdb-1.2.0-py3-none-win_amd64.whl",
        "3.11.2",
        "",
        "unsupported-python",
    ),
    "cp313t for Windows": (
        "quiverdb-1.2.0-cp313-cp313t-win_amd64.whl",
        "3.13.5",
        "t",
        "unsupported-python",
    ),
    "abi3 for a newer glibc": (
        "quiverdb-1.2.0-cp39-abi3-manylinux_2_44_x86_64.whl",
        "3.14.0",
        "",
        "unsupported-platform",
    ),
    "newer glibc": (
        "quiverdb-1.2.0-cp314-cp314-manylinux_2_44_x86_64.whl",
        "3.14.0",
        "",
        "unsupported-platform",
    ),
}


@pytest.mark.parametrize(("more", "python", "flags", "wanted"), MORE.values(), ids=MORE)
def test_a_refusal_is_named_by_the_wheels_for_such_a_machine(
    more: str, python: str, flags: str, wanted: str
) -> None:
    expected = EXPECTED.model_copy(update={"digests": {**EXPECTED.digests, more: "b" * 64}})
    evidence = healthy() | {"python": python, "abiflags": flags}
    _install(stderr=NO_WHEEL)(evidence)
    evidence["requests"] = [_request("/simple/quiverdb/")]
    assert [cause.name for cause in diagnose(evidence, expected)] == [wanted]


def test_uv_says_of_a_wheel_for_many_pythons_which_it_requires() -> None:
    said = (
        "error: No solution found when resolving dependencies:\n  cause: Because the current "
        "Python version (3.11.2) does not satisfy Python>=3.13 and quiverdb==1.2.0 depends on "
        "Python>=3.13, we can conclude that quiverdb==1.2.0 cannot be used.\n"
    )
    assert _cause(_install(stderr=said)).name == "unsupported-python"


def test_where_the_upload_was_refused_an_older_release_is_no_fallback() -> None:
    expected = EXPECTED.model_copy(update={"refused_upload": "the index refused the upload (400)"})
    evidence = healthy()
    evidence["cell"] |= {"refuses": "unsupported-python"}
    evidence["exercise"]["steps"]["distributions"]["value"]["quiverdb"]["version"] = "1.1.0"
    (cause,) = diagnose(evidence, expected)
    assert cause.name == "upload-refused"


@pytest.mark.parametrize("wanted", ["unsupported-python", "unsupported-platform"])
def test_a_release_that_works_on_a_machine_it_is_not_for_gives_more(wanted: str) -> None:
    evidence = healthy()
    evidence["cell"] |= {"refuses": wanted}
    assert taken(evidence, EXPECTED)
    (cause,) = diagnose(evidence, EXPECTED)
    assert (cause.name, cause.severity) == ("unexpected-support", "note")


def test_a_release_that_is_taken_where_it_is_not_for_must_work() -> None:
    evidence = healthy()
    evidence["cell"] |= {"refuses": "unsupported-python"}
    del evidence["exercise"]["steps"]["distributions"]  # it died before
    evidence["exercise"] |= {"code": -11}
    assert taken(evidence, EXPECTED)
    assert "crash" in {cause.name for cause in diagnose(evidence, EXPECTED)}


def test_an_older_release_and_a_refusal_are_not_the_release_taken() -> None:
    evidence = healthy()
    evidence["cell"] |= {"refuses": "unsupported-python"}
    evidence["exercise"]["steps"]["distributions"]["value"]["quiverdb"]["version"] = "1.1.0"
    assert not taken(evidence, EXPECTED)
    assert [cause.name for cause in diagnose(evidence, EXPECTED)] == ["silent-fallback"]
    evidence["install"]["code"] = 1
    assert not taken(evidence, EXPECTED)


def test_where_wheels_are_forbidden_none_may_be_taken() -> None:
    evidence = healthy()
    evidence["cell"] |= {"refuses": "no-binary"}
    assert not taken(evidence, EXPECTED)
    assert [cause.name for cause in diagnose(evidence, EXPECTED)] == ["unclean-refusal"]


def test_a_folder_that_still_holds_a_dependency_is_no_leftover() -> None:
    evidence = healthy()
    evidence["left"]["added"] = [SITE, CFFI]
    evidence["installed"]["added"] = [SITE, CFFI, *FILES]
    assert leftovers(evidence) == []
    evidence["left"]["added"] = [SITE]
    assert leftovers(evidence) == [SITE]


# ---- what an import alone does not show ----


@pytest.mark.parametrize("kind", ["changed", "removed"])
def test_a_file_of_another_distribution_that_was_touched_is_told(kind: str) -> None:
    cached = f"{SITE}/cffi/__pycache__/api.pyc"

    def change(evidence: Evidence) -> None:
        evidence["installed"]["added"].append(cached)
        evidence["since_installed"] = {kind: [*FILES, PACKAGE, LIBS, cached, CFFI]}

    cause = _cause(change)
    assert (cause.name, cause.severity) == ("dependency-damaged", "broken")
    assert f"1 files of other distributions were changed or removed, first {CFFI}" in cause.message


def test_an_environment_that_is_removed_takes_other_distributions_with_it() -> None:
    def change(evidence: Evidence) -> None:
        info = f"{SITE}/cffi-2.0.0.dist-info"
        evidence["installed"]["added"].append(info)
        evidence["since_installed"] = {"removed": [SITE, CFFI, info, *FILES, PACKAGE, LIBS]}

    assert _causes(change) == ()


def _uses_at(*lines: Evidence) -> Change:
    """Return the change by which the import began at noon, and the exercise ended 3 s later."""

    def change(evidence: Evidence) -> None:
        noon = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()
        evidence["import"] |= {"began": noon}
        evidence["exercise"] |= {"began": noon + 1, "seconds": 2.0}
        evidence["requests"] += lines

    return change


AT_USE, BEFORE, AFTER = (f"2026-01-02T{at}+00:00" for at in ("12:00:02", "11:59:59", "12:00:04"))


def test_a_request_of_the_package_itself_is_told() -> None:
    asked = _request("/pypi/quiverdb/json", time=AT_USE, host="index", user_agent="Python-urllib")
    cause = _cause(_uses_at(asked | {"status": 404}))
    assert (cause.name, cause.severity) == ("network-used", "flawed")
    assert "/pypi/quiverdb/json of index was asked for" in cause.message


def test_a_connection_that_the_package_itself_gives_up_is_not_the_testbeds() -> None:
    cause = _cause(_uses_at({"tls_refused": "unknown ca", "client": "c", "time": AT_USE}))
    assert (cause.name, "unknown ca" in cause.message) == ("network-used", True)


@pytest.mark.parametrize("at", [BEFORE, AFTER])
def test_a_connection_that_an_installer_gives_up_is_the_testbeds(at: str) -> None:
    cause = _cause(_uses_at({"tls_refused": "unknown ca", "client": "c", "time": at}))
    assert cause.name == "index-unreachable"


def test_what_uv_asks_for_when_it_is_to_run_python_is_uvs() -> None:
    asked = _request("/simple/cffi/", time=AT_USE, host="index", user_agent="uv/0.13.9")
    assert _causes(_uses_at(asked)) == ()
    assert _cause(_uses_at(asked | {"status": 503})).name == "index-unreachable"


ATEXIT = (
    "0024:fixme:file:NtLockFile I/O completion on lock not implemented yet\n"
    "Exception ignored in atexit callback: <function f at 0x7f>\n"
    "Traceback (most recent call last):\n"
    '  File "<string>", line 1, in f\n'
    "ValueError: a closed log\n"
)


@pytest.mark.parametrize("process", ["import", "exercise"])
def test_an_exception_that_nobody_handles_is_told(process: str) -> None:
    cause = _cause(lambda e: e[process].update(stderr=ATEXIT))
    assert (cause.name, cause.severity) == ("unhandled-exception", "flawed")
    assert "ValueError: a closed log" in cause.message


def test_warnings_and_what_wine_says_are_no_exception() -> None:
    said = "0024:fixme:x y\n/x.py:1: DeprecationWarning: old\n  old()\n"
    assert _causes(lambda e: e["exercise"].update(stderr=said)) == ()


def test_what_the_import_prints_is_told() -> None:
    cause = _cause(lambda e: e["import"].update(stdout="Welcome\nto it\n"))
    assert (cause.name, cause.severity) == ("output-at-import", "flawed")
    assert "`import quiverdb` prints 'Welcome'" in cause.message


def test_what_the_import_leaves_in_the_current_folder_is_told() -> None:
    cause = _cause(lambda e: e["import"].update(made=["a.log", "b", "c", "d"]))
    assert (cause.name, cause.severity) == ("files-at-import", "flawed")
    assert "`import quiverdb` makes a.log, b, c in the current folder" in cause.message
    assert _causes(lambda e: e["import"].update(made=[])) == ()


def test_another_version_in_the_module_is_told() -> None:
    cause = _cause(lambda e: _steps(e)["import"]["value"].update(version="1.1.0"))
    assert (cause.name, cause.severity) == ("version-mismatch", "flawed")
    assert "quiverdb.__version__ is 1.1.0, the release is 1.2.0" in cause.message
    assert _causes(lambda e: _steps(e)["import"]["value"].update(version="1.2")) == ()


@pytest.mark.parametrize("process", ["import", "exercise", "uninstall"])
def test_a_machine_that_stood_still_is_not_the_packages_hang(process: str) -> None:
    hung = {"timed_out": True, "seconds": 90.0}
    assert _cause(lambda e: e[process].update(hung | {"stalled": 0.0})).name == "hang"
    cause = _cause(lambda e: e[process].update(hung | {"stalled": 72.0}))
    assert (cause.name, cause.severity) == ("machine-lost", "testbed")
    assert "stood still for 72 s" in cause.message


@pytest.mark.parametrize(("free", "name"), [(4096, "disk-full"), (10**10, "round-trip-failed")])
def test_a_disk_is_full_where_there_is_no_room(free: int, name: str) -> None:
    failed = _failed("round-trip", "database or disk is full")
    assert _cause(_all(failed, lambda e: e.update(free_bytes=free))).name == name


def test_a_message_that_speaks_of_a_module_is_no_missing_one() -> None:
    told = "the plug-in cannot be had: No module named 'quiverdb.plugins'"
    assert _cause(_failed("round-trip", told, "RuntimeError")).name == "round-trip-failed"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda e: e.update(registry={"changed": ["HKLM\\Software\\Classes"]}), "permission"),
        (lambda e: e.update(registry={"added": ["HKCU\\Software\\Quiver"]}), "registry-changed"),
        (
            lambda e: e.update(
                registry={
                    "added": [
                        "HKCU\\Software\\Policies",
                        "HKCU\\Software\\Policies\\Microsoft\\SystemCertificates\\CA",
                        "HKCU\\Software\\Microsoft\\SystemCertificates\\ROOT",
                    ]
                }
            ),
            "",
        ),
        (
            lambda e: e.update(registry={"added": ["HKCU\\Software\\Policies\\Microsoft\\Edge"]}),
            "registry-changed",
        ),
    ],
    ids=["all-users", "own", "certificates", "policies"],
)
def test_what_is_in_the_registry_afterwards(change: Change, name: str) -> None:
    assert [cause.name for cause in _causes(change)] == ([name] if name else [])


def test_what_the_package_changed_in_the_process_is_told() -> None:
    changed = {"umask": ["0o22", "0o0"], "locale": ["C", "de_DE.UTF-8"]}
    cause = _cause(lambda e: _steps(e).update({"process-state": _step(changed)}))
    assert (cause.name, cause.severity) == ("process-changed", "flawed")
    assert "umask: 0o22 became 0o0; locale: C became de_DE.UTF-8" in cause.message


def test_a_process_without_a_current_folder_is_told() -> None:
    cause = _cause(_failed("process-state", "[Errno 2] No such file or directory"))
    assert cause.name == "process-changed"
    assert "No such file or directory" in cause.message


def test_a_process_that_is_as_it_was_is_no_cause() -> None:
    assert _causes(lambda e: _steps(e).update({"process-state": _step({})})) == ()


def test_functions_that_are_declared_and_in_no_library_are_told() -> None:
    def change(evidence: Evidence) -> None:
        _steps(evidence)["native-call"]["value"]["lacking"] = ["quiver_b", "quiver_a"]

    cause = _cause(change)
    assert (cause.name, cause.where) == ("symbol-not-found", "debian-13-pip-venv: libquiver_c.so")
    assert "2 functions that the package declares" in cause.message
    assert "quiver_a, quiver_b" in cause.message


def test_a_module_that_does_not_compile_is_told() -> None:
    def change(evidence: Evidence) -> None:
        wrong = [{"file": "quiverdb/extra.py", "seen": "'(' was never closed (extra.py, line 1)"}]
        _steps(evidence)["record"]["value"]["unreadable"] = wrong

    cause = _cause(change)
    assert (cause.name, cause.severity) == ("syntax-error", "broken")
    assert "quiverdb/extra.py" in cause.where


def test_an_import_that_meets_one_has_its_name() -> None:
    cause = _cause(_failed("import", "invalid syntax (database.py, line 3)", "SyntaxError"))
    assert cause.name == "syntax-error"


def test_a_command_that_cannot_be_loaded_is_flawed() -> None:
    def change(evidence: Evidence) -> None:
        seen = "ModuleNotFoundError: No module named 'quiverdb.cli'"
        told = {"name": "quiver", "value": "quiverdb.cli:main", "seen": seen}
        _steps(evidence)["entry-points"] = _step([told])

    cause = _cause(change)
    assert (cause.name, cause.severity) == ("entry-point-broken", "flawed")
    assert "quiver = quiverdb.cli:main" in cause.message


def test_a_module_of_the_package_that_was_never_there_is_a_missing_one() -> None:
    cause = _cause(_failed("import", "No module named 'quiverdb.extra'", "ModuleNotFoundError"))
    assert (cause.name, "quiverdb.extra" in cause.message) == ("missing-dependency", True)


@pytest.mark.parametrize(
    "message", ["[Errno 28] No space left on device", "database or disk is full"]
)
def test_a_full_disk_is_the_testbeds(message: str) -> None:
    failed = _failed("round-trip", message, "OSError")
    cause = _cause(_all(failed, lambda e: e.pop("free_bytes")))
    assert (cause.name, cause.severity) == ("disk-full", "testbed")


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_is_on_its_page_and_cannot_be_had_is_the_indexs_fault(status: int) -> None:
    def change(evidence: Evidence) -> None:
        evidence["requests"].append(_request("/packages/aa/x.whl", status=status))

    cause = _cause(change)
    assert (cause.name, str(status) in cause.message) == ("index-unreachable", True)


def test_a_release_that_the_index_never_gave_proves_nothing() -> None:
    cause = _cause(lambda evidence: evidence.update(requests=[_request("/simple/quiverdb/")]))
    assert (cause.name, cause.severity) == ("index-unreachable", "testbed")


def test_an_older_release_is_what_follows_of_a_refused_upload() -> None:
    def change(evidence: Evidence) -> None:
        _steps(evidence)["distributions"]["value"]["quiverdb"]["version"] = "0.4.0"

    refused = EXPECTED.model_copy(update={"refused_upload": "refused (400 Bad Request)"})
    (cause,) = _causes(change, refused)
    seen = "refused (400 Bad Request), and the installer took 0.4.0"
    assert (cause.name, seen in cause.message) == ("upload-refused", True)


# ---- evidence that ends early ----


@pytest.mark.parametrize(
    ("absent", "missing"),
    [
        (("import", "exercise", "uninstall"), "import, exercise, uninstall"),
        (("uninstall",), "uninstall"),
        (("python",), "python"),
        (("install",), "install"),
        (("install", "import", "exercise", "uninstall"), "install, import, exercise, uninstall"),
    ],
)
def test_evidence_that_ends_early_is_unverified_and_says_what_it_has_not(
    absent: tuple[str, ...], missing: str
) -> None:
    def change(fields: Fields) -> None:
        for name in absent:
            del fields[name]

    found = rules.diagnose(sample.evidence(change), EXPECTED)
    assert (found.outcome, found.causes) == (Outcome.UNVERIFIED, ())
    assert found.reason.endswith(f" {missing}")


def test_whole_evidence_has_no_reason_to_be_unverified() -> None:
    found = rules.diagnose(sample.evidence(), EXPECTED)
    assert (found.outcome, found.reason) == (Outcome.WORKS, "")
