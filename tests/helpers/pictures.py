"""Make the pictures of the documents from a report: ``python -m tests.helpers.pictures FOLDER``.

They show ``index.html`` of the folder in a wide window and on a phone. An engine must run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from containers.browser import View
from verification.commands.card import open_browser

DOCS = Path(__file__).parents[2] / "docs"
VIEWS: Mapping[str, View] = {
    "report.png": View(width=1280, height=1150),
    "report-phone.png": View(width=390, height=1300, scale=1.5),
}
MAX_BYTES = 300_000
"""The largest picture in the repository."""


def main(folder: Path, target: Path = DOCS) -> None:
    """Write each picture.

    Raises:
        SystemExit: the folder has no page, or a picture is too large.
    """
    page = folder / "index.html"
    if not page.is_file():
        raise SystemExit(f"{folder}: this folder has no index.html; run ./e2e gate first")
    text = page.read_text("utf-8")
    with open_browser(provision=False) as browser:
        for name, view in VIEWS.items():
            picture = browser.picture(text, view)
            if len(picture) > MAX_BYTES:
                raise SystemExit(f"{name} has {len(picture)} bytes; make its view smaller")
            (target / name).write_bytes(picture)
            print(f"{target / name}: {len(picture) / 1000:.0f} kB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m tests.helpers.pictures FOLDER")
    main(Path(sys.argv[1]))
