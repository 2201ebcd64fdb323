"""Make the programs of the image importable under their names in the image."""

from __future__ import annotations

import sys
from pathlib import Path

RUNNER = Path(__file__).resolve().parents[5] / "containers" / "images" / "runner"
if str(RUNNER) not in sys.path:
    sys.path.append(str(RUNNER))
