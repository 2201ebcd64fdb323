"""Check the inputs of a stand-in action that is written in JavaScript.

Usage: python -m stand_ins.check ACTION
"""

from __future__ import annotations

import sys

from .toolkit import Inputs, run

if __name__ == "__main__":
    run(lambda: Inputs(sys.argv[1]).check())
