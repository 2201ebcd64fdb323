"""Run the index: `python3 -m index.main CONFIG.json`."""

from __future__ import annotations

from server.start import main

from .app import IndexApp
from .config import load

if __name__ == "__main__":
    main("index", lambda path: IndexApp(load(path)))
