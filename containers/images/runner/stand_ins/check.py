"""Check the inputs of a stand-in that is not written in Python.

Usage: python -m stand_ins.check ACTION
"""

from __future__ import annotations

import sys

from .toolkit import Inputs, run

if __name__ == "__main__":
    run(lambda: Inputs(sys.argv[1]).check())
