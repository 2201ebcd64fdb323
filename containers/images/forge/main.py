"""Run the forge: `python3 -m forge.main CONFIG.json`."""

from __future__ import annotations

from server.start import main

from .app import ForgeApp
from .config import load

if __name__ == "__main__":
    main("forge", lambda path: ForgeApp(load(path)))
