from __future__ import annotations

import pytest

from tests.helpers.sample_evidence import CORE, FILES, PACKAGE, SITE, Fields, evidence
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
        ("numpy.core", "missing-dependency"),
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


# ---- dependencies ----


def with_dependency(fields: Fields) -> None:
    """Install pycares 5.0.1 and PyYAML 6.0 next to the package."""
    installed = fields["exercise"]["steps"]["distributions"]["value"]
    installed["pycares"] = {"version": "5.0.1", "folder": SITE}
    installed["PyYAML"] = {"version": "6.0", "folder": SITE}
    fields["installed"]["added"] += [f"{SITE}/pycares/__init__.py", f"{SITE}/pycares/utils.py"]


def failed_import(kind: str, message: str, *files: str) -> tuple[str, dict[str, FactValue]]:
    """Return name and facts of an import that failed in the last of these files."""
    frames = "".join(f'  File "{file}", line 1, in <module>\n    x = y\n' for file in files)
    error = StepError(type=kind, message=message, trace=f"Traceback:\n{frames}{kind}: {message}")
    fault = step_error(Failure.of("import", error), evidence(with_dependency), EXPECTATION)
    return fault.name, dict(fault.facts)


def test_attribute_that_a_dependency_no_longer_has_names_its_release() -> None:
    message = "module 'pycares' has no attribute 'ares_query_a_result'"
    facts = {"dependency": "pycares", "version": "5.0.1", "module": "pycares"}
    expected = ("dependency-broken", facts | {"attribute": "ares_query_a_result"})
    assert failed_import("AttributeError", message, FILES[0]) == expected
    message = "cannot import name 'ares_query_a_result' from 'pycares' (/x/__init__.py)"
    assert failed_import("ImportError", message, FILES[0]) == expected


def test_distribution_with_another_name_than_its_module_is_named() -> None:
    name, facts = failed_import("ImportError", "cannot import name 'x' from 'yaml' (/y)", FILES[0])
    assert (name, facts["dependency"], facts["version"]) == ("dependency-broken", "pyyaml", "6.0")


def test_dependency_that_fails_itself_is_named() -> None:
    message = "type object 'Channel' has no attribute 'x'"
    name, facts = failed_import("AttributeError", message, FILES[0], f"{SITE}/pycares/utils.py")
    assert (name, facts["dependency"], facts["version"]) == (
        "dependency-broken",
        "pycares",
        "5.0.1",
    )


def test_dependency_in_the_packages_of_debian_is_named() -> None:
    file = "/usr/local/lib/python3.13/dist-packages/pycares/utils.py"
    error = StepError(
        type="AttributeError",
        message="type object 'Channel' has no attribute 'x'",
        trace=f'Traceback:\n  File "{file}", line 1, in <module>\n    x = y\n',
    )
    observed = evidence(with_dependency, lambda fields: fields["installed"]["added"].append(file))
    fault = step_error(Failure.of("import", error), observed, EXPECTATION)
    assert (fault.name, fault.facts.get("dependency")) == ("dependency-broken", "pycares")


@pytest.mark.parametrize(
    ("kind", "message", "name"),
    [
        ("AttributeError", "module 'quiverdb' has no attribute 'x'", "unclassified"),
        ("AttributeError", "'NoneType' object has no attribute 'x'", "unclassified"),
        ("AttributeError", "module 'imp' has no attribute 'x'", "standard-library-mismatch"),
        ("AttributeError", "module 'other' has no attribute 'x'", "missing-dependency"),
        ("RuntimeError", "module 'pycares' has no attribute 'x'", "unclassified"),
        ("ModuleNotFoundError", "No module named 'attrs'", "missing-dependency"),
    ],
)  # fmt: skip
def test_error_in_the_package_does_not_blame_a_dependency(
    kind: str, message: str, name: str
) -> None:
    assert failed_import(kind, message, FILES[0])[0] == name


# ---- the machine ----

NO_HOME = "Could not determine home directory."
"""The message of `Path.home()` without HOME."""
DEBIAN_FILE = "/usr/local/lib/python3.13/dist-packages/quiverdb/a.json"
"""A file that Debian's Python does not find."""


@pytest.mark.parametrize(
    ("kind", "message", "trace", "expected"),
    [
        (
            "ZoneInfoNotFoundError", "'No time zone found with key Europe/Oslo'", "",
            ("missing-dependency", {"key": "Europe/Oslo", "module": "tzdata"}),
        ),
        (
            "FileNotFoundError", "[Errno 2] No such file or directory: 'git'",
            '  File "/usr/lib/python3.13/subprocess.py", line 1',
            ("missing-program", {"program": "git"}),
        ),
        (
            "FileNotFoundError", "[WinError 2] The system cannot find the file specified",
            '    subprocess.run(["git", "describe"])\n  File "C:\\Lib\\subprocess.py", line 1',
            ("missing-program", {"program": "git"}),
        ),
        (
            "ImportError", "Bad git executable.\nThe git executable must be specified", "",
            ("missing-program", {"message": "Bad git executable."}),
        ),
        (
            "KeyError", "'HOME'", '    path = os.environ["HOME"]',
            ("environment-assumed", {"variable": "HOME"}),
        ),
        (
            "RuntimeError", NO_HOME, "",
            ("environment-assumed", {"message": f"RuntimeError: {NO_HOME}"}),
        ),
        (
            "ImportError", "bad magic number in 'quiverdb._x': b'a'", "",
            ("stale-bytecode", {"module": "quiverdb._x"}),
        ),
        (
            "ModuleNotFoundError", "No module named 'quiverdb._Loader'", "",
            ("missing-data-file", {"sought": "/quiverdb/_Loader.py", "path": FILES[1]}),
        ),
        (
            "FileNotFoundError", f"[Errno 2] No such file or directory: '{PACKAGE}/_Loader.py'", "",
            ("missing-data-file", {"sought": f"{PACKAGE}/_Loader.py", "path": FILES[1]}),
        ),
        (
            "FileNotFoundError", f"[Errno 2] No such file or directory: '{PACKAGE}/a.json'", "",
            ("missing-data-file", {"sought": f"{PACKAGE}/a.json"}),
        ),
        (
            "FileNotFoundError", f"[Errno 2] No such file or directory: '{DEBIAN_FILE}'", "",
            ("missing-data-file", {"sought": DEBIAN_FILE}),
        ),
    ],
)  # fmt: skip
def test_assumption_about_the_machine_has_a_name(
    kind: str, message: str, trace: str, expected: tuple[str, dict[str, FactValue]]
) -> None:
    error = StepError(type=kind, message=message, trace=trace)
    fault = step_error(Failure.of("import", error), evidence(), EXPECTATION)
    assert (fault.name, dict(fault.facts)) == expected


@pytest.mark.parametrize(
    ("kind", "message", "codec"),
    [
        ("UnicodeDecodeError", "'charmap' codec can't decode byte 0x81 in position 1", "charmap"),
        ("UnicodeEncodeError", "'ascii' codec can't encode character '\\xe9'", "ascii"),
        ("UnicodeDecodeError", "'cp932' codec can't decode byte 0x81", "cp932"),
        ("UnicodeDecodeError", "'utf-8' codec can't decode byte 0x81", None),
    ],
)
def test_encoding_of_the_system_has_a_name(kind: str, message: str, codec: str | None) -> None:
    name, facts = explained(message, kind)
    assert (name, facts.get("codec")) == ("encoding-assumed" if codec else "unclassified", codec)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("KeyError", "'HOME'"),  # not from the environment
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'data.csv'"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '/home/user/a.json'"),
        (
            "FileNotFoundError",
            f"[Errno 2] No such file or directory: '/quiverdb{SITE}/other/a.json'",
        ),
        ("FileNotFoundError", f"[Errno 2] No such file or directory: '{FILES[0]}'"),
    ],
)
def test_other_error_is_unclassified(kind: str, message: str) -> None:
    assert explained(message, kind)[0] == "unclassified"


@pytest.mark.parametrize("kind", ["ValueError", "RuntimeError"])
def test_magic_number_of_another_file_format_is_no_bytecode(kind: str) -> None:
    assert explained("bad magic number in 'quiverdb.db'", kind)[0] == "unclassified"


def test_unknown_time_zone_is_no_missing_dependency_if_tzdata_is_installed() -> None:
    error = StepError(
        type="ZoneInfoNotFoundError", message="'No time zone found with key Europe/Olso'", trace=""
    )

    def install(fields: Fields) -> None:
        installed = fields["exercise"]["steps"]["distributions"]["value"]
        installed["tzdata"] = {"version": "2026.1", "folder": SITE}

    failure = Failure.of("import", error)
    assert step_error(failure, evidence(install), EXPECTATION).name == "unclassified"
    assert step_error(failure, evidence(), EXPECTATION).name == "missing-dependency"


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
