"""How far a run verifies each file of the release."""

from __future__ import annotations

from collections.abc import Iterator

from verification.models.release import Release
from verification.models.report import FileCoverage, FileResult, Report
from verification.models.results import Coverage
from verification.models.verdict import Verdict
from verification.wheel.wheel_inspection import check_names

_REASONS = {
    Coverage.MACHINES: "no machine of the run downloaded it",
    Coverage.INSPECTED_ONLY: "no machine of this project runs {tag}",
    Coverage.UNVERIFIED: "no machine of the profile runs {tag}",
    Coverage.NOT_SELECTED: "no machine for {tag} is selected",
    Coverage.UNDECLARED: "the subject does not declare {tag}",
}
"""Why no machine installed a wheel, by the coverage of its platform."""


def file_results(report: Report, release: Release) -> tuple[FileResult, ...]:
    """Return each file of the release, sorted by name. ``report`` has the cells and inspections."""
    inspections = {wheel.file: wheel for wheel in report.static.wheels}
    results = {result.name: result for result in _not_read(release)}
    published = release.origin == "release"
    for wheel in release.wheels:
        inspection = inspections.get(wheel.name)
        checks = check_names(inspection, published=published) if inspection else ()
        results[wheel.name] = _wheel(report, wheel.name, checks)
    return tuple(results[name] for name in sorted(results))


def with_cells(report: Report) -> tuple[FileResult, ...]:
    """Return the files of a report, with what its cells say about them."""
    return tuple(
        file if file.coverage is FileCoverage.NOT_READ else _wheel(report, file.name, file.checks)
        for file in report.files
    )


def _wheel(report: Report, name: str, checks: tuple[str, ...]) -> FileResult:
    """Return the result of a wheel. `checks` are the names of the checks of its inspection."""
    cells = [cell for cell in report.cells if cell.wheel == name]
    verdicts = {cell.verdict for cell in cells}
    coverage, reason = FileCoverage.INSPECTED, _reason(report, name)
    if Verdict.FAILED in verdicts:
        coverage, reason = FileCoverage.FAILED, ""
    elif Verdict.VERIFIED in verdicts:
        coverage, reason = FileCoverage.VERIFIED, ""
    elif cells:
        reason = "no cell that downloaded it has a verdict about the package"
    return FileResult(
        name=name,
        coverage=coverage,
        machines=tuple(dict.fromkeys(cell.machine for cell in cells)),
        checks=checks,
        reason=reason,
    )


def _reason(report: Report, name: str) -> str:
    """Return why no machine installed a wheel. A platform with machines comes first."""
    platforms = [platform for platform in report.platforms if name in platform.wheels]
    platforms.sort(key=lambda platform: list(_REASONS).index(platform.coverage))
    if not platforms:
        return _REASONS[Coverage.MACHINES]
    return _REASONS[platforms[0].coverage].format(tag=platforms[0].tag)


def _not_read(release: Release) -> Iterator[FileResult]:
    reasons = {path.name: "the suite verifies wheels only" for path in release.additional}
    reasons |= dict.fromkeys(
        release.undeclared,
        "not downloaded, because the subject does not declare its platform and Python, and no "
        "machine runs it",
    )
    reasons |= release.not_fetched
    for name, reason in reasons.items():
        yield FileResult(name=name, coverage=FileCoverage.NOT_READ, reason=reason)
