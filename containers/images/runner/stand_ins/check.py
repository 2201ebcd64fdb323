"""Check the inputs of a stand-in action that is written in JavaScript.

Usage: python -m stand_ins.check ACTION

The values of the inputs and the version go to file descriptor 3, as JSON.
"""

from __future__ import annotations

import json
import os
import sys

from .toolkit import inputs, run


def main() -> None:
    """Check the inputs and write their values."""
    values = inputs(sys.argv[1])
    result = {"version": values.version, "inputs": values.values()}
    os.write(3, json.dumps(result).encode())


if __name__ == "__main__":
    run(main)
