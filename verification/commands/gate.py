"""``./e2e gate``: run the gate's tests with pytest, and return the exit code of the verdict."""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from verification.commands import exit_codes, parser
from verification.models.errors import ExitCode, TestbedFailure, WrongUse

if TYPE_CHECKING:
    # pytest must import this module first, because it rewrites the asserts of its plugins then.
    from verification.commands.gate_plugin import Controller

CONTROLLER = "e2e-controller"
"""The name of the controller among pytest's plugins."""
WITHOUT_WARNINGS = ("-p", "no:unraisableexception")
"""An interrupt leaves programs unfinished. pytest would raise Python's warning about them at its
end, and the exit code of the verdict would be lost."""
ARGUMENTS = (
    *("tests/gate", "--profile=gate", "-n", "auto"),
    *("-rN", "--timeout=900", *WITHOUT_WARNINGS),
)
"""The options of pytest before those of the user."""
_UNRECOGNIZED = "unrecognized arguments: "
"""The beginning of argparse's error about unknown options."""


def run(options: argparse.Namespace, pytest_words: Sequence[str]) -> int:
    """Run the gate and return the exit code. `pytest_words` are options of pytest.

    Raises:
        WrongUse: an option or its value cannot be used.
        TestbedFailure: the run ended without a verdict.
    """
    observer = _Observer()
    arguments = parser.pytest_arguments(options, pytest_words)
    if work := os.environ.get("QUIVERDB_E2E_TOX_WORK_DIR"):
        arguments = ["-o", f"cache_dir={work}/pytest", *arguments]  # the checkout may be read-only
    code = pytest.main([*ARGUMENTS, *arguments], plugins=[observer])
    if observer.controller and observer.controller.code is not None:
        return observer.controller.code
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return ExitCode.UNVERIFIED
    if code == pytest.ExitCode.OK and not (observer.controller and observer.controller.has_started):
        return ExitCode.VERIFIED  # an option such as --collect-only runs no test
    raise TestbedFailure(
        "testbed-defect",
        "pytest",
        f"it ended with {int(code)} before a verdict. {exit_codes.CRASH_ADVICE}",
    )


class _Observer:
    """Converts pytest's usage errors to `WrongUse`, and remembers the controller of the run."""

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
        """Report in one line that options cannot be combined."""
        try:
            return (yield)
        except pytest.UsageError as error:
            raise WrongUse(usage_line(error)) from None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Remember the controller."""
        self.controller = config.pluginmanager.get_plugin(CONTROLLER)


def usage_line(error: pytest.UsageError) -> str:
    """Return the line of argparse's output with the error."""
    lines = [line for argument in error.args for line in str(argument).splitlines()]
    errors = [line.partition(": error: ")[2] for line in lines if ": error: " in line]
    if errors and errors[0].startswith(_UNRECOGNIZED):
        return parser.unrecognized("gate", errors[0].removeprefix(_UNRECOGNIZED).split())
    return f"gate: {errors[0]}" if errors else " ".join(" ".join(lines).split())
