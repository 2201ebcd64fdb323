"""A container with Chromium and without a network: it renders pages of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from containers import limits
from containers.commands import CommandResult, ManagedContainer, execute, read_file, start
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS, engine_failure
from containers.images import tar_of
from containers.network import new_container
from verification.models.errors import TestbedFailure
from verification.models.testbed import Image

IMAGE = "browser"
"""The recipe of its image."""
_FOLDER = "/home/user"
_SECONDS = 120
_PICTURE = """
import sys
from playwright.sync_api import sync_playwright
page_file, width, height, scale, target = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
    size = {"width": int(width), "height": int(height) or 100}
    page = browser.new_page(viewport=size, device_scale_factor=float(scale))
    page.goto("file://" + page_file)
    page.screenshot(path=target, full_page=height == "0")
    browser.close()
"""


class View(NamedTuple):
    """The part of a page that a picture shows."""

    width: int
    """In CSS pixels."""
    height: int = 0
    """In CSS pixels; 0 for the whole page."""
    scale: float = 1.0
    """The number of pixels of the picture for each CSS pixel."""


class Browser(ManagedContainer):
    """The running container."""

    def __init__(self, engine: Engine, image: Image, run: Run) -> None:
        self._container = new_container(engine, image).with_kwargs(
            **limits.options(engine, run, "browser", image.tag),
            network=None,  # otherwise the library selects a network
            network_mode="none",
            labels=run.labels(),
            shm_size="256m",
        )

    def __enter__(self) -> Self:
        """Start the container.

        Raises:
            TestbedFailure: ``machine-lost``: it cannot start.
        """
        start(self._container, "machine-lost", "browser")
        return self

    def execute(self, files: Mapping[str, bytes], command: Sequence[str]) -> CommandResult:
        """Copy files into the user's folder, and run a command there for at most two minutes.

        Raises:
            ENGINE_ERRORS: the engine or the container is gone.
        """
        container = self._container.get_wrapped_container()
        container.put_archive("/", tar_of(dict(files), _FOLDER, owner=1000))
        return execute(container, ["timeout", str(_SECONDS), *command], folder=_FOLDER)

    def picture(self, page: str, view: View) -> bytes:
        """Return a page as PNG.

        Raises:
            TestbedFailure: ``machine-lost``: the browser or the engine failed.
        """
        files = {"picture.html": page.encode("utf-8", "backslashreplace")}
        target = f"{_FOLDER}/picture.png"
        arguments = (f"{_FOLDER}/picture.html", *map(str, view), target)
        try:
            result = self.execute(files, ["python", "-c", _PICTURE, *arguments])
            container = self._container.get_wrapped_container()
            content = None if result.code else read_file(container, target)
        except ENGINE_ERRORS as error:
            raise engine_failure(error, "machine-lost", "browser") from error
        if not content:
            message = f"exit code {result.code}: {' '.join(result.output.split())[-300:]}"
            raise TestbedFailure("machine-lost", "browser", message)
        return content
