"""The exceptions of the testbed and of wrong use, with their exit codes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class ExitCode(enum.IntEnum):
    """The exit codes of every command of this project."""

    VERIFIED = 0
    PACKAGE_FAILED = 1
    TESTBED_FAILED = 3
    WRONG_USE = 4
    UNVERIFIED = 5


class WrongUse(Exception):
    """The command line is wrong, or a file that it names. The one-line message says what to do."""

    exit_code = ExitCode.WRONG_USE


class TestbedFailure(Exception):
    """The testbed failed, not the package. ``cause`` is a testbed cause of ``causes.toml``."""

    __test__ = False  # pytest must not collect it, although its name starts with Test
    exit_code = ExitCode.TESTBED_FAILED

    def __init__(
        self,
        cause: str,
        where: str,
        message: str,
        facts: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """``facts`` are the values in the message, by name."""
        super().__init__(f"{cause}: {where}: {message}")
        self.cause = cause
        self.where = where
        self.message = message
        self.facts = dict(facts or {})


class BuildFailed(Exception):
    """The build of the subject failed. ``log`` has the last lines of the builder's output."""

    exit_code = ExitCode.PACKAGE_FAILED
    cause = "build-failed"
    facts: Mapping[str, str | int | float | bool | tuple[str, ...]] = MappingProxyType({})
    """The facts of the cause."""

    def __init__(self, where: str, message: str, log: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where
        self.message = message
        self.log = log


class WheelRefused(BuildFailed):
    """A wheel of the release is too large to be inspected or installed."""

    cause = "wheel-too-large"

    def __init__(
        self,
        where: str,
        message: str,
        facts: Mapping[str, str | int | float | bool | tuple[str, ...]],
    ) -> None:
        super().__init__(where, message, "")
        self.facts = facts
