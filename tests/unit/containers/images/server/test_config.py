"""A configuration that cannot be read."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.forge_server import launch


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for text in (None, "{", "[]"):
        path = tmp_path / "broken.json"
        if text is not None:
            path.write_text(text)
        process = launch(path)
        process.communicate(timeout=20)
        assert process.returncode == 2
        assert len((tmp_path / "stderr").read_text().splitlines()) == 1
