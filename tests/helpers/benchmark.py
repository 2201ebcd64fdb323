"""Run a benchmark like a command of the suite."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from verification.commands.exit_codes import interruptible
from verification.models.errors import ExitCode, TestbedFailure, WrongUse


def run(
    name: str, measure: Callable[[argparse.Namespace], ExitCode], options: argparse.Namespace
) -> ExitCode:
    """Measure, and return the exit code. Print a failure in one line, with the benchmark's name."""
    try:
        with interruptible():
            return measure(options)
    except KeyboardInterrupt:
        return ExitCode.UNVERIFIED
    except (TestbedFailure, WrongUse) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
