"""``python -m verification.commands COMMAND ...``: run one command in this environment."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from verification.commands import common, parser
from verification.models.errors import WrongUse


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit code."""

    def run() -> int:
        options, _ = parser.parse(words)
        if options.command in parser.ENVIRONMENTS:
            raise WrongUse(f"{options.command}: run it as ./e2e {options.command}")
        module = importlib.import_module(f"verification.commands.{options.command}")
        return int(module.run(options))

    return common.exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
