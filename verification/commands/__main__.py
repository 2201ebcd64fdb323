"""``python -m verification.commands COMMAND ...``: run one command in this environment."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from verification.commands import exit_codes, parser
from verification.models import printable
from verification.models.errors import WrongUse
from verification.parent import die_with_parent


def main(words: Sequence[str]) -> int:
    """Run the command, confirm its exit code to the launcher and return it."""
    confirm = exit_codes.confirmation()
    if "TOX_ENV_NAME" in os.environ:  # tox sets it, also in the environments of the launcher
        die_with_parent(signal.SIGTERM)

    def run() -> int:
        options, pytest_words = parser.parse(words)
        if options.command in parser.ENVIRONMENTS:
            raise WrongUse(f"{options.command} is not run this way; run ./e2e {options.command}")
        module = importlib.import_module(f"verification.commands.{options.command}")
        from containers import temporary  # in a damaged environment this import can fail

        with temporary.process_folder():
            if options.command in parser.PYTEST_COMMANDS:
                return int(module.run(options, pytest_words))
            return int(module.run(options))

    with printable.printable_output():
        code = exit_codes.exit_code_of(run, deferred=words[:1] == ["gate"])
        try:
            sys.stdout.flush()
        except OSError as error:
            exit_codes.print_error(f"the output could not be written: {error.strerror}")
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes the stream again at exit
    confirm(code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
