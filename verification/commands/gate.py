"""``./e2e gate``: run pytest on the gate's tests, and return the exit code of the verdict."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from verification.commands import exit_codes, parser
from verification.models.errors import ExitCode, TestbedFailure, WrongUse

if TYPE_CHECKING:
    # pytest must be the first to import it: it rewrites the asserts of its plugins on import.
    from verification.commands.gate_plugin import Controller

CONTROLLER = "e2e-controller"
"""The name of the controller among pytest's plugins."""
ARGUMENTS = (
    *("tests/gate", "--profile=gate", "-n", "auto", "--dist=load", "--maxschedchunk=1"),
    *("-rN", "--timeout=900"),
)
"""The options of pytest that precede those of the user."""


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run the gate; `rest` are options of pytest.

    Raises:
        WrongUse: an option or what it names cannot be used.
        TestbedFailure: the run ended without a verdict.
    """
    observer = _Observer()
    code = pytest.main([*ARGUMENTS, *parser.pytest_arguments(options, rest)], plugins=[observer])
    if observer.controller and observer.controller.code is not None:
        return observer.controller.code
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return ExitCode.UNVERIFIED
    if code == pytest.ExitCode.OK and not (observer.controller and observer.controller.began):
        return ExitCode.VERIFIED  # pytest printed what an option such as --collect-only asks for
    raise TestbedFailure(
        "testbed-defect",
        "pytest",
        f"it ended with {int(code)} before a verdict. {exit_codes.CRASH_ADVICE}",
    )


class _Observer:
    """Turns pytest's usage errors into wrong use, and keeps the controller of the run."""

    controller: Controller | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_parse(self) -> Generator[None, pytest.Config, pytest.Config]:
        """Report an unknown option or plugin in one line."""
        try:
            return (yield)
        except pytest.UsageError as error:
            raise WrongUse(usage_line(error)) from None
        except ImportError as error:
            raise WrongUse(f"gate: {error}") from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self) -> Generator[None, object, object]:
        """Report options that exclude one another in one line."""
        try:
            return (yield)
        except pytest.UsageError as error:
            raise WrongUse(usage_line(error)) from None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep the controller."""
        self.controller = config.pluginmanager.get_plugin(CONTROLLER)


def usage_line(error: pytest.UsageError) -> str:
    """Return the line of argparse's output that names the error."""
    lines = [line for argument in error.args for line in str(argument).splitlines()]
    errors = [line.partition(": error: ")[2] for line in lines if ": error: " in line]
    return f"gate: {errors[0]}" if errors else " ".join(" ".join(lines).split())
