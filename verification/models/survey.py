"""The results of a survey: one gate for each release of a list."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from verification.models.base import Model
from verification.models.verdict import Outcome, Verdict


class PinnedRelease(Model):
    """A release of a package."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class PlatformOutcome(Model):
    """The result for one platform or Python, such as ``Linux x86-64``."""

    name: str
    outcome: Outcome | None
    """The worst outcome; null if the run does not cover it."""
    text: str = ""
    """The cause in a few words, or why it is not covered."""


class SurveyResult(Model):
    """The result of one release."""

    release: PinnedRelease
    verdict: Verdict
    reason: str = ""
    """Why the gate did not finish, or why an item without a cause is not verified; else empty."""
    platforms: tuple[PlatformOutcome, ...] = ()
    causes: tuple[str, ...] = ()
    """The names of the causes that count, the most severe first."""
    seconds: float = Field(default=0.0, ge=0)
    """The duration of the description and the gate, in seconds."""
    report: str = ""
    """The folder of its report, below the folder of the survey; empty if there is none."""


class Survey(Model):
    """The content of ``survey.json``."""

    schema_version: Literal[1] = 1
    verdict: Verdict
    """The worst verdict: failed, testbed-failure, unverified, verified, in this order."""
    finished: bool
    """False if the survey was interrupted or still runs."""
    started: str
    """The time of the start in UTC."""
    command: str
    """The command line, as typed."""
    suite_version: str
    suite_commit: str
    results: tuple[SurveyResult, ...]
    """The result of each release, in the order of the list."""
