"""Times as bars on one axis: the phases of the slowest cells, and the jobs of the workflow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verification.models.report import JobRecord, PipelinePart
from verification.models.results import CellResult

WIDTH = 1000
"""The length of the axis, in the units of the plot."""
REST = "rest"
"""The phase of a cell that is no command: start and end of its machine, most of all."""
_MOST = 40  # rows of the plot of timings: more show nothing
_NARROWEST = 4.0


@dataclass(frozen=True)
class Bar:
    """One phase."""

    name: str
    x: float
    width: float
    seconds: float


@dataclass(frozen=True)
class Timing:
    """One cell with a bar for each phase."""

    id: str
    seconds: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class JobBar:
    """One job of the workflow; without ``bar`` it did not run."""

    job: JobRecord
    bar: Bar | None
    after: float
    """The seconds from the start of the first job."""


def timings(
    cells: Iterable[tuple[CellResult, Sequence[tuple[str, float]]]],
) -> tuple[Timing, ...]:
    """Return the slowest cells, each given with its phases, the slowest first."""
    slowest = sorted(
        ((cell, phases) for cell, phases in cells if cell.seconds),
        key=lambda pair: -pair[0].seconds,
    )[:_MOST]
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
    """Return the jobs on one axis; none if the report has no times of jobs."""
    ran = pipeline.jobs if pipeline else ()
    moments = [moment for job in ran for moment in (job.start, job.end) if moment is not None]
    if not moments:
        return ()
    first, span = min(moments), max(moments) - min(moments) or 1.0
    return tuple(_job(job, first, span) for job in ran)


def _job(job: JobRecord, first: float, span: float) -> JobBar:
    if job.start is None or job.end is None:
        return JobBar(job, None, 0.0)
    after, seconds = job.start - first, job.end - job.start
    width = max(_NARROWEST, WIDTH * seconds / span)
    name = job.result.lower().replace(" ", "-")
    return JobBar(job, Bar(name, round(WIDTH * after / span, 1), round(width, 1), seconds), after)
