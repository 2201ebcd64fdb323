"""Expectation, outcome and verdict, and the exit codes of the verdicts."""

from __future__ import annotations

import enum

from verification.models.errors import ExitCode


class ExpectationKind(enum.StrEnum):
    """What a cell must show. It follows from the tags that the subject declares, or the scenario.

    If none of the declared wheels fits the machine, the installer must refuse. A scenario can
    require a refusal itself (`Scenario.refusal`).
    """

    WORKS = "works"
    REFUSES = "refuses"


class Outcome(enum.StrEnum):
    """What happened in a cell."""

    WORKS = "works"
    WORKS_FLAWED = "works-flawed"
    REFUSED = "refused"
    FALLS_BACK = "falls-back"
    FAILS = "fails"
    UNVERIFIED = "unverified"
    TESTBED = "testbed-failure"


class Verdict(enum.StrEnum):
    """The result of a cell, an item or a run. It decides the exit code."""

    VERIFIED = "verified"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    TESTBED = "testbed-failure"


SIGNS = {
    Outcome.WORKS: "✔",
    Outcome.WORKS_FLAWED: "▲",
    Outcome.REFUSED: "⊘",
    Outcome.FALLS_BACK: "↓",
    Outcome.FAILS: "✘",
    Outcome.UNVERIFIED: "?",
    Outcome.TESTBED: "⚠",
}
EXIT_CODES = {
    Verdict.VERIFIED: ExitCode.VERIFIED,
    Verdict.FAILED: ExitCode.PACKAGE_FAILED,
    Verdict.TESTBED: ExitCode.TESTBED_FAILED,
    Verdict.UNVERIFIED: ExitCode.UNVERIFIED,
}
