"""Times as bars on one axis: the phases of the slowest cells, and the jobs of the workflow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verification.models.report import JobRecord, PipelinePart
from verification.models.results import CellResult

WIDTH = 1000
"""The length of the axis, in the units of the plot."""
OTHER = "other"
"""The phase outside the commands of a cell. It is mainly the start and end of the machine."""
_MAX_ROWS = 40
_MIN_BAR_WIDTH = 4.0


@dataclass(frozen=True)
class Bar:
    """One phase. ``x`` and ``width`` are in the units of the plot."""

    name: str
    x: float
    width: float
    seconds: float


@dataclass(frozen=True)
class Timing:
    """One cell, with one bar for each phase."""

    id: str
    seconds: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class JobBar:
    """One job of the workflow."""

    job: JobRecord
    bar: Bar | None
    """None if the job did not run."""
    after: float
    """Its start, in seconds after the start of the first job."""


def timings(
    cells: Iterable[tuple[CellResult, Sequence[tuple[str, float]]]],
) -> tuple[Timing, ...]:
    """Return the slowest cells, the slowest first. Each cell comes with its phases."""
    slowest = sorted(
        ((cell, phases) for cell, phases in cells if cell.seconds),
        key=lambda pair: -pair[0].seconds,
    )[:_MAX_ROWS]
    longest = slowest[0][0].seconds if slowest else 1.0
    return tuple(
        Timing(cell.id, cell.seconds, tuple(_bars(phases, longest))) for cell, phases in slowest
    )


def _bars(phases: Sequence[tuple[str, float]], longest: float) -> Iterable[Bar]:
    x = 0.0
    for name, seconds in phases:
        width = WIDTH * seconds / longest
        yield Bar(name, round(x, 1), round(width, 1), seconds)
        x += width


def job_bars(pipeline: PipelinePart | None) -> tuple[JobBar, ...]:
    """Return the jobs on one axis; empty if the report has no times of jobs."""
    jobs = pipeline.jobs if pipeline else ()
    times = [time for job in jobs for time in (job.start, job.end) if time is not None]
    if not times:
        return ()
    first, span = min(times), max(times) - min(times) or 1.0
    return tuple(_job(job, first, span) for job in jobs)


def _job(job: JobRecord, first: float, span: float) -> JobBar:
    if job.start is None or job.end is None:
        return JobBar(job, None, 0.0)
    after, seconds = job.start - first, job.end - job.start
    width = max(_MIN_BAR_WIDTH, WIDTH * seconds / span)
    name = job.result.lower().replace(" ", "-")
    return JobBar(job, Bar(name, round(WIDTH * after / span, 1), round(width, 1), seconds), after)
