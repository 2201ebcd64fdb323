"""Name the cause of a failed step of the exercise from its exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from packaging.utils import canonicalize_name

from verification.models.cause import FactValue
from verification.models.evidence import CellEvidence, StepError
from verification.models.expectation import Expectation
from verification.rules import install_paths as paths
from verification.rules import loader_messages
from verification.rules.finding import Finding, finding
from verification.rules.install_error import FULL_DISK
from verification.rules.load_path import wrong_load_path
from verification.wheel import stdlib

INTERPOSED = "Interposed"
"""The exception that a use of the subject raises if the code of another library answers."""
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_NO_ATTRIBUTE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_FRAME = re.compile(r'^  File "([^"<][^"]*)", line \d+', re.MULTILINE)
_NO_TIME_ZONE = re.compile(r"ZoneInfoNotFoundError: .*?[Nn]o time zone found with key ([\w/+-]+)")
_BAD_PROGRAM = re.compile(r"Bad \w+ executable\b.*")  # GitPython
_NO_PROGRAM = re.compile(r"(?:\[Errno 2\]).*: '([\w.+-]+)'$")
# A line of the traceback that starts a program. Windows does not name the program in its error.
_STARTED = re.compile(r"\b(?:run|call|check_\w+|Popen|getoutput)\(\[?\s*f?['\"]([\w.+-]+)")
_NO_VARIABLE = re.compile(r"KeyError: '([A-Z][A-Z0-9_]*)'")
_NO_HOME = re.compile(r"[Cc]ould not determine home directory|[Cc]an't determine home directory")
_CODEC = re.compile(r"Unicode(?:De|En)codeError: '([\w-]+)' codec can't")
_NO_FILE = re.compile(r"No such file or directory: '([^']+)'")
_BAD_MAGIC = re.compile(r"bad magic number in '([\w.]+)'")
_ENOUGH_SPACE = 50_000_000
"""With so many free bytes no step of the exercise can fill the disk."""


class Failure(NamedTuple):
    """The exception of a failed step."""

    step: str
    type: str
    message: str
    """Type and message of the exception."""
    trace: str = ""
    """The traceback; empty if there is none."""

    @classmethod
    def of(cls, step: str, error: StepError) -> Failure:
        """Return the failure of a step."""
        return cls(step, error.type, f"{error.type}: {error.message}", error.trace)

    @classmethod
    def not_reached(cls, step: str) -> Failure:
        """Return the failure of a step that the exercise did not reach."""
        return cls(step, "", "")


def step_error(failure: Failure, evidence: CellEvidence, expectation: Expectation) -> Finding:
    """Return the fault of a failed step."""
    for rule in _RULES:
        if fault := rule(failure, evidence, expectation):
            return fault
    name = "round-trip-failed" if failure.step == "round-trip" else "unclassified"
    if not failure.message:
        return finding(name, "not-reached")
    return finding(name, "step", error=failure.type, message=failure.message[:300])


def _full_disk(failure: Failure, evidence: CellEvidence, _: Expectation) -> Finding | None:
    if (evidence.free_bytes or 0) < _ENOUGH_SPACE and FULL_DISK.search(failure.message):
        facts: dict[str, FactValue] = {"free_bytes": evidence.free_bytes or 0}
        return finding("disk-full", "step", message=failure.message[:300], **facts)
    return None


def _syntax_error(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == "SyntaxError":
        return finding("syntax-error", "step", message=failure.message[:300])
    return None


def _load_path(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    return wrong_load_path(failure.message, failure.trace, evidence, expectation)


def _loader(failure: Failure, evidence: CellEvidence, expectation: Expectation) -> Finding | None:
    return loader_messages.explain(failure.message, evidence, expectation.libraries)


def _missing_module(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    # Another message of the package can mention a module.
    is_import = failure.type == "ImportError" or "ModuleNotFoundError" in failure.message
    match = _NO_MODULE.search(failure.message)
    if not is_import or not match:
        return None
    module, package = match[1], match[1].split(".")[0]
    if _was_installed(module, evidence, expectation):
        return finding("record-mismatch", "gone", module=module)
    if package in stdlib.NAMES:
        return finding("standard-library-mismatch", "module", module=module)
    missing = module if package == expectation.module else package
    return finding("missing-dependency", "module", module=missing)


def _was_installed(module: str, evidence: CellEvidence, expectation: Expectation) -> bool:
    """Return whether the installation added this module of the package, or the package itself."""
    if not module.startswith(f"{expectation.module}."):
        return module == expectation.module
    file = f"/{module.replace('.', '/')}.py"
    return any(path.as_posix().endswith(file) for path in paths.added_paths(evidence))


def _missing_name_of(failure: Failure) -> tuple[str, str] | None:
    """Return a module and the name that it does not have, if this is the error."""
    if match := _NO_NAME.search(failure.message):
        return match[2], match[1]
    if failure.type == "AttributeError" and (match := _NO_ATTRIBUTE.search(failure.message)):
        return match[1], match[2]
    return None


def _missing_name(failure: Failure, _: CellEvidence, expectation: Expectation) -> Finding | None:
    missing = _missing_name_of(failure)
    if not missing or missing[0].split(".")[0] == expectation.module:
        return None
    module, name = missing
    is_standard = module.split(".")[0] in stdlib.NAMES
    cause = "standard-library-mismatch" if is_standard else "missing-dependency"
    return finding(cause, "symbol", symbol=name, module=module)


def _interposed(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == INTERPOSED:
        message = failure.message.removeprefix(f"{INTERPOSED}: ")[:400]
        return finding("symbol-interposition", "answered", message=message)
    return None


def _interpreter_ended(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if failure.type == "SystemExit":
        return finding("crash", "exit", message=failure.message)
    return None


def _permission(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if "PermissionError" in failure.message:
        return finding("permission", "step", message=failure.message[:300])
    return None


def _dependency_attribute(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    """Return the fault of a dependency that no longer has what the package uses."""
    if not (missing := _missing_name_of(failure)):
        return None
    module, name = missing
    if dependency := _dependency(module, evidence, expectation):
        facts = {"module": module, "attribute": name, **dependency}
        return finding("dependency-broken", "attribute", **facts)
    return None


def _failed_dependency(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    """Return the fault of a dependency whose own code fails when the package imports it."""
    files = _FRAME.findall(failure.trace)
    if failure.type not in ("AttributeError", "ImportError") or not files:
        return None
    # The import system has frames without a file of its own.
    inner = paths.path_type(evidence)(files[-1])
    top = paths.top_level_name(inner)
    if inner not in paths.added_paths(evidence) or top is None:
        return None
    if dependency := _dependency(top, evidence, expectation):
        message = failure.message[:300]
        return finding("dependency-broken", "inside", message=message, **dependency)
    return None


def _dependency(
    module: str, evidence: CellEvidence, expectation: Expectation
) -> dict[str, str] | None:
    """Return name and version of the installed distribution that provides a module.

    A distribution with another name than its module is recognised if it begins or ends with it.
    pip belongs to the machine and is no dependency.
    """
    top = canonicalize_name(module.partition(".")[0])
    if top == canonicalize_name(expectation.module) or top.replace("-", "_") in stdlib.NAMES:
        return None
    installed = {
        name: distribution
        for name, distribution in paths.distributions(evidence).items()
        if name != "pip"
    }
    names = [name for name in installed if name == top] or [
        name
        for name in installed
        if name.startswith(top) or name.endswith(top)
        if name != expectation.project
    ]
    if not names:
        return None
    return {"dependency": names[0], "version": installed[names[0]].version}


def _time_zones(failure: Failure, evidence: CellEvidence, _: Expectation) -> Finding | None:
    match = _NO_TIME_ZONE.search(failure.message)
    # With the time zones of tzdata, the package asks for one that does not exist.
    if match and "tzdata" not in paths.distributions(evidence):
        return finding("missing-dependency", "time-zones", key=match[1], module="tzdata")
    return None


def _program(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    if match := _BAD_PROGRAM.search(failure.message):
        return finding("missing-program", "reported", message=match[0][:200])
    if failure.type != "FileNotFoundError" or "subprocess.py" not in failure.trace:
        return None
    match = _NO_PROGRAM.search(failure.message) or _STARTED.search(failure.trace)
    return finding("missing-program", "program", program=match[1]) if match else None


def _environment(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    match = _NO_VARIABLE.fullmatch(failure.message)
    if match and "os.environ" in failure.trace:
        return finding("environment-assumed", "variable", variable=match[1])
    if _NO_HOME.search(failure.message):
        return finding("environment-assumed", "home", message=failure.message[:200])
    return None


def _encoding(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    match = _CODEC.search(failure.message)
    # If the code itself names UTF-8, the system's encoding is not the cause.
    if match and match[1].lower().replace("-", "") != "utf8":
        return finding("encoding-assumed", "codec", codec=match[1], message=failure.message[:200])
    return None


def _data_file(
    failure: Failure, evidence: CellEvidence, expectation: Expectation
) -> Finding | None:
    """Return the fault if the package opens a file of its own that is not installed."""
    if failure.type == "FileNotFoundError" and (match := _NO_FILE.search(failure.message)):
        sought = match[1].replace("\\\\", "\\")
    elif failure.type in ("ImportError", "ModuleNotFoundError") and (
        (match := _NO_MODULE.search(failure.message))
        and match[1].startswith(f"{expectation.module}.")
    ):
        sought = f"/{match[1].replace('.', '/')}.py"
    else:
        return None
    path = paths.path_type(evidence)(sought)
    end = path.as_posix().lower()
    for installed in sorted(paths.added_paths(evidence)):
        if installed.as_posix().lower().endswith(end):
            if installed.as_posix().endswith(path.as_posix()):
                return None
            facts = {"sought": sought, "path": installed.as_posix()}
            return finding("missing-data-file", "case", **facts)
    # A missing module has a separate cause. A file elsewhere is not a file of the package.
    is_own = path.is_absolute() and paths.top_level_name(path.parent) == expectation.module
    if failure.type == "FileNotFoundError" and is_own:
        return finding("missing-data-file", "absent", sought=sought)
    return None


def _bytecode(failure: Failure, _: CellEvidence, __: Expectation) -> Finding | None:
    match = _BAD_MAGIC.search(failure.message)
    if match and failure.type == "ImportError":  # other formats of files have a magic number too
        return finding("stale-bytecode", "magic", module=match[1])
    return None


_RULES: tuple[Callable[[Failure, CellEvidence, Expectation], Finding | None], ...] = (
    _full_disk,
    _syntax_error,
    _load_path,
    _loader,
    _bytecode,
    _time_zones,
    _program,
    _environment,
    _encoding,
    _data_file,
    _missing_module,
    _dependency_attribute,
    _failed_dependency,
    _missing_name,
    _interposed,
    _interpreter_ended,
    _permission,
)
"""The first rule that applies returns the cause."""
