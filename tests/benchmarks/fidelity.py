"""Run the gate on the newest releases of well-known packages, and write docs/fidelity.md.

Run ``python3 -m tests.benchmarks.fidelity`` in the root folder of the repository, in the
environment of the suite. ``fidelity.toml`` and ``fidelity_second.toml`` have the packages, and
``fidelity_alarms.toml`` the judgement of each alarm. Results are kept for each package in the state
folder: a further run continues, and only makes the page again if all results are there. ``--again
NAME`` runs a package again. ``--kept`` runs nothing and makes the page from the kept results.

The exit code is 0 if each alarm is judged and true, 1 if an alarm is false or not judged, 3 if a
package has no result, and 4 for wrong use.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from containers.progress import step
from containers.state import state_folder
from verification.models.base import Model, load_toml, read_json, validate
from verification.models.cause import Cause, Severity
from verification.models.errors import ExitCode, TestbedFailure, WrongUse
from verification.models.report import Report
from verification.models.survey import PinnedRelease
from verification.models.verdict import SIGNS, Outcome
from verification.session import survey
from verification.session.survey import GateOptions

ROOT = Path(__file__).parents[2]
SAMPLES = (
    Path(__file__).with_name("fidelity.toml"),
    Path(__file__).with_name("fidelity_second.toml"),
)
"""The samples of the table; no package is in two of them."""
ALARMS = Path(__file__).with_name("fidelity_alarms.toml")
PAGE = ROOT / "docs" / "fidelity.md"
MACHINES = ("debian-13", "debian-11", "debian-forky", "windows-wine", "windows-wine-vcredist")
INSPECTION = "(inspected)"
"""In the place of a machine: no machine of the table installs the wheel."""
_CELLS = "uv-venv or uv-system"
_JOBS = 2
_GATE = GateOptions(MACHINES, ("--no-provision", "-n1", "--profile=full", "-k", _CELLS))
# The facts of a cause that say what it is about, the most exact first.
_SUBJECTS = ("symbol", "library", "module", "distribution", "function", "path", "part")


class LeftPackage(Model):
    """A drawn package without a wheel that a machine can use."""

    name: str
    reason: str = Field(min_length=1)


class Source(Model):
    """Where the list of packages comes from."""

    title: str
    repository: str
    commit: str
    file: str
    date: datetime.date
    ranking: str


class Sample(Model):
    """The content of a file of a sample."""

    file: str
    """The name of the file."""
    drawn: datetime.date
    seed: int
    size: int
    """The number of packages in the table."""
    left: tuple[LeftPackage, ...]
    list: tuple[str, ...]
    source: Source
    release: tuple[PinnedRelease, ...]

    @property
    def packages(self) -> tuple[PinnedRelease, ...]:
        """The releases of the table.

        Raises:
            WrongUse: the releases are not those that the seed draws.
        """
        order = random.Random(self.seed).sample(self.list, len(self.list))  # noqa: S311  (no secret)
        left = {package.name for package in self.left}
        drawn = [name for name in order if name not in left][: self.size]
        releases = {release.name: release for release in self.release}
        if unknown := [name for name in drawn if name not in releases]:
            raise WrongUse(f"{self.file}: the seed draws {unknown[0]}; add its release")
        return tuple(releases[name] for name in drawn)


class Judgement(Model):
    """The judgement of an alarm: a table of ``fidelity_alarms.toml``."""

    package: str
    cause: str
    about: tuple[str, ...] = Field(min_length=1)
    """Shell patterns of what the cause is about."""
    machines: tuple[str, ...] = ("*",)
    """Shell patterns of the machines."""
    verdict: Literal["true", "false", "wine"]
    """``wine`` if Wine is at fault, and the alarm does not blame the package."""
    evidence: str = Field(min_length=1)
    """A public issue, or what was measured and how."""

    def fits(self, alarm: Alarm) -> bool:
        """Return True if this is the judgement of an alarm."""
        return (self.package, self.cause) == (alarm.package, alarm.cause) and all(
            any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)
            for value, patterns in ((alarm.about, self.about), (alarm.machine, self.machines))
        )


class _Judgements(Model):
    judgement: tuple[Judgement, ...] = ()


class Alarm(NamedTuple):
    """What the suite says against a wheel on a machine, without notes."""

    package: str
    machine: str
    cause: str
    about: str
    """What the cause is about, such as a library."""


class Row(NamedTuple):
    """The result of one wheel on one machine."""

    wheel: str
    machine: str
    outcome: Outcome
    alarms: tuple[Alarm, ...]


Judge = Mapping[Alarm, Judgement | None]


def load_sample(path: Path) -> Sample:
    """Return the packages of a sample. Raise a `DataError` if the file does not fit the model."""
    return validate(Sample, {**load_toml(path), "file": path.name}, path.name)


def load_samples() -> tuple[Sample, ...]:
    """Return all samples. Raise a `DataError` if a file does not fit the model."""
    return tuple(map(load_sample, SAMPLES))


def load_judgements(path: Path = ALARMS) -> tuple[Judgement, ...]:
    """Return the judgements. Raise a `DataError` if the file does not fit the model."""
    return validate(_Judgements, load_toml(path), path.name).judgement


# ---- one package ----


def _folder_of(release: PinnedRelease) -> Path:
    return state_folder() / "fidelity" / f"{release.name}-{release.version}"


def kept_result(release: PinnedRelease) -> Report | str:
    """Return the kept report of the gate, or that there is none."""
    kept = _folder_of(release) / "results.json"
    return read_json(Report, kept) if kept.is_file() else "not run"


def result_of(release: PinnedRelease, *, again: bool) -> Report | str:
    """Return the kept or new report of the gate, or the failure in one line."""
    folder = _folder_of(release)
    kept = folder / "results.json"
    if again or not kept.is_file():
        with step(f"fidelity: {release}"):
            result = survey.run(release, folder, _GATE)
        if not result.report:
            return result.reason
        shutil.copy2(folder / "report" / "results.json", kept)
    return read_json(Report, kept)


# ---- alarms ----


def rows(package: str, report: Report) -> Iterator[Row]:
    """Yield the result of each wheel on each machine, with the causes of its inspection.

    A wheel that no machine of the table installs is listed if its inspection raises an alarm.
    """
    inspections = {wheel.file: wheel for wheel in report.static.wheels}
    for cell in report.cells:
        inspection = inspections.get(cell.wheel)
        static = inspection.causes if inspection else ()
        causes = (*report.static.causes, *static, *cell.causes)
        alarms = _alarms(package, cell.machine, causes)
        if not alarms and cell.outcome not in (Outcome.WORKS, Outcome.REFUSED):
            alarms = (Alarm(package, cell.machine, cell.outcome, cell.reason),)
        yield Row(cell.wheel, cell.machine, cell.outcome, alarms)
    for file in sorted(inspections.keys() - {cell.wheel for cell in report.cells}):
        if alarms := _alarms(package, INSPECTION, inspections[file].causes):
            yield Row(file, INSPECTION, Outcome.UNVERIFIED, alarms)


def _alarms(package: str, machine: str, causes: Iterable[Cause]) -> tuple[Alarm, ...]:
    alarms = (
        Alarm(package, machine, cause.name, about(cause))
        for cause in causes
        if cause.severity is not Severity.NOTE and not cause.follows
    )
    return tuple(dict.fromkeys(alarms))


def about(cause: Cause) -> str:
    """Return what a cause is about: a symbol, library, module ... or else its location."""
    facts = (cause.facts.get(name) for name in _SUBJECTS)
    return next((str(fact) for fact in facts if fact), cause.where)


def judge(alarms: Iterable[Alarm], judgements: Sequence[Judgement]) -> Judge:
    """Return the judgement of each alarm; None if it has none."""
    return {
        alarm: next((judgement for judgement in judgements if judgement.fits(alarm)), None)
        for alarm in alarms
    }


# ---- the page ----


def page(
    samples: Sequence[Sample],
    results: Mapping[PinnedRelease, Sequence[Row] | str],
    judged: Judge,
    facts: Mapping[str, str],
) -> str:
    """Return the text of docs/fidelity.md."""
    table = [row for result in results.values() if not isinstance(result, str) for row in result]
    counts = Counter(_verdict(judged[alarm]) for row in table for alarm in row.alarms)
    inspected = sum(row.machine == INSPECTION for row in table)
    lines = [
        "# Verdicts about packages of others",
        "",
        f"{len(results)} packages, {len(table) - inspected} pairs of wheel and machine, "
        f"{inspected} more wheels with alarms of the inspection only. Alarms: "
        f"{counts['true']} true, **{counts['false']} false**, {counts['wine']} that name Wine as "
        f"the obstacle, {counts['not judged']} not judged.",
        "",
        "`python3 -m tests.benchmarks.fidelity` makes this page. "
        + " ".join(f"{name}: {value}." for name, value in facts.items()),
        "",
        *map(_sample_line, samples),
        "- **Run**: the suite's own gate with a subject and a smoke test that are made from the "
        "wheels, as by `./e2e init`. The smoke test imports each package and each extension "
        "module, and imports them again in a new process. It makes no call that is specific to a "
        "package.",
        f"- **Cells**: uv on {', '.join(MACHINES)}; only machines with a wheel for their system.",
        "- **Alarm**: a cause of severity *broken* or *flawed*, of the inspection or of the cell. "
        "It is *true* if a public report or a measurement confirms it. The evidence is below the "
        "table. Notes are not in the table.",
        "",
    ]
    left = [package for sample in samples for package in sample.left]
    lines += [f"- {package.name} left the sample: {package.reason}" for package in left]
    lines += ["| wheel | machine | outcome | alarms |", "|---|---|---|---|"]
    for release, result in results.items():
        if isinstance(result, str):
            lines.append(f"| {release.name} {release.version} | | no result | {_cell(result)} |")
            continue
        for row in result:
            alarms = "; ".join(
                f"{alarm.cause} `{_cell(alarm.about)}`: **{_verdict(judged[alarm])}**"
                for alarm in row.alarms
            )
            wheel = f"`{row.wheel}`" if row.wheel else f"{release.name} {release.version}"
            outcome = f"{SIGNS[row.outcome]} {row.outcome}"
            lines.append(f"| {wheel} | {row.machine} | {outcome} | {alarms} |")
    lines += ["", "## Evidence", "", "| package | cause | about | verdict | evidence |"]
    lines.append("|---|---|---|---|---|")
    used = {judgement: None for judgement in judged.values() if judgement}
    lines += [
        f"| {judgement.package} | {judgement.cause} | {_cell(', '.join(judgement.about))} | "
        f"{judgement.verdict} | {_cell(judgement.evidence)} |"
        for judgement in sorted(used, key=lambda judgement: (judgement.package, judgement.cause))
    ]
    return "\n".join(lines) + "\n"


def _sample_line(sample: Sample) -> str:
    source = sample.source
    return (
        f"- **{sample.size} packages**: drawn on {sample.drawn} with the seed {sample.seed} from "
        f"the {len(sample.list)} packages in `tests/benchmarks/{sample.file}`, before any of them "
        "ran. They are among the most downloaded packages with native wheels: the list is from "
        f"`{source.file}` of {source.repository}, commit {source.commit[:12]}, {source.date}."
    )


def _verdict(judgement: Judgement | None) -> str:
    return judgement.verdict if judgement else "not judged"


def _cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def measure(options: argparse.Namespace) -> int:
    """Run the packages, write the page, and return the exit code.

    Raises:
        WrongUse: the sample has no such package, or not the releases that the seed draws.
    """
    samples, judgements = load_samples(), load_judgements()
    packages = [package for sample in samples for package in sample.packages]
    names = {package.name for package in packages}
    if unknown := sorted({*options.only, *options.again} - names):
        raise WrongUse(f"{unknown[0]}: not in the sample; its packages: {', '.join(sorted(names))}")
    selected = [package for package in packages if package.name in (options.only or names)]
    with ThreadPoolExecutor(options.jobs) as pool:
        reports = pool.map(
            lambda package: (
                kept_result(package)
                if options.kept
                else result_of(package, again=package.name in options.again)
            ),
            selected,
        )
        found = dict(zip(selected, reports, strict=True))
    results: dict[PinnedRelease, Sequence[Row] | str] = {
        package: report if isinstance(report, str) else tuple(rows(package.name, report))
        for package, report in found.items()
    }
    table = [row for result in results.values() if not isinstance(result, str) for row in result]
    judged = judge((alarm for row in table for alarm in row.alarms), judgements)
    for alarm, judgement in judged.items():
        if judgement is None:
            print(f"not judged: {', '.join(alarm)}")
    for package, result in results.items():
        if isinstance(result, str):
            print(f"no result: {package.name}: {result}")
    if not options.only:
        reports_of = [report for report in found.values() if not isinstance(report, str)]
        days = sorted(report.started[:10] for report in reports_of)
        PAGE.write_text(page(samples, results, judged, {"Runs": _range(days)}), "utf-8")
    verdicts = {_verdict(judgement) for judgement in judged.values()}
    if verdicts & {"false", "not judged"}:
        return ExitCode.PACKAGE_FAILED
    failed = any(isinstance(result, str) for result in results.values())
    return ExitCode.TESTBED_FAILED if failed else ExitCode.VERIFIED


def _range(days: Sequence[str]) -> str:
    return " to ".join(sorted({days[0], days[-1]})) if days else "none"


def main() -> int:
    """Run the benchmark; print a failure in one line."""
    summary = __doc__.partition("\n")[0] if __doc__ else ""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="no page")
    parser.add_argument("--again", action="append", default=[], metavar="NAME")
    parser.add_argument("--kept", action="store_true", help="run nothing: use the kept results")
    parser.add_argument("--jobs", type=int, default=_JOBS, help="packages at the same time")
    try:
        return measure(parser.parse_args())
    except (TestbedFailure, WrongUse) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
