"""Build the wheels that the jobs of a run request, outside the closed network.

A job requests a build by a line of output (``images/runner/stand_ins/wheels.py``). The queue copies
the wheel and the log into the job's container, and the answer last.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker.errors
import requests
from docker.models.containers import Container

from containers import builder, images
from containers.engine import Engine, Run
from containers.runner.tar_archive import archive_of
from verification.models.base import Model
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.machine import OperatingSystem
from verification.models.pipeline import BuiltWheel

_IDENTIFIERS: dict[OperatingSystem, str] = {
    "linux": "cp313-manylinux_x86_64",
    "windows": "cp313-win_amd64",
}
"""The build identifier of cibuildwheel for what the builder builds."""


class BuildRequest(Model):
    """What a job asks for."""

    container: str
    source: str
    """The folder of the source in the container."""
    would: Mapping[OperatingSystem, tuple[str, ...]]
    """The build identifiers that cibuildwheel selects, by platform."""
    answer: str
    """The folder in the container that the answer belongs in."""


class BuildAnswer(Model):
    """What came of it."""

    error: str = ""
    unsupported: str = ""
    """Why the builder cannot build what cibuildwheel would."""
    reused: bool = False
    """Whether the wheel was built before, from the same files."""
    seconds: float = 0.0


class BuildQueue:
    """The builds of one run, at most two at a time."""

    def __init__(self, engine: Engine, run: Run) -> None:
        self.wheels: list[BuiltWheel] = []
        self.failures: list[TestbedFailure] = []
        self._engine = engine
        self._run = run
        self._pool = ThreadPoolExecutor(2)
        self._ending = threading.Event()

    def submit(self, request: BuildRequest, platform: OperatingSystem) -> None:
        """Build a wheel for a platform in the background."""
        self._pool.submit(self._serve, request, platform)

    def stop(self) -> None:
        """Report no further failures: what the builds need is about to be removed."""
        self._ending.set()

    def close(self, *, wait: bool) -> None:
        """Drop what has not begun, and wait for the rest if asked to."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _serve(self, request: BuildRequest, platform: OperatingSystem) -> None:
        with contextlib.closing(self._engine.client()) as client:
            try:
                container = client.containers.get(request.container)
                answer, files = self._build(container, request, platform)
            except (docker.errors.DockerException, requests.RequestException, OSError) as error:
                if not self._ending.is_set():
                    self.failures.append(TestbedFailure("machine-lost", "runner", str(error)))
                return
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                # The answer comes last: it says that all is there.
                for batch in (files, {"done.json": answer.model_dump_json().encode()}):
                    container.put_archive(request.answer, archive_of(batch))

    def _build(
        self, container: Container, request: BuildRequest, platform: OperatingSystem
    ) -> tuple[BuildAnswer, dict[str, bytes]]:
        """Build a wheel; return the answer, and the wheel and its log by their names."""
        if declined := _declined(request.would[platform], platform):
            return declined, {"build.log": b""}
        began = time.time()
        try:
            with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-checkout-") as scratch:
                source = _fetch(container, request.source, Path(scratch))
                wheel = builder.build(self._engine, source, self._run, platform=platform)
        except BuildFailed as error:
            log = _read(Path(error.log))
            return BuildAnswer(error=f"cibuildwheel: {error}"), {"build.log": log}
        except WrongUse as error:
            return BuildAnswer(error=f"cibuildwheel: {error}"), {"build.log": b""}
        except TestbedFailure as failure:
            self.failures.append(failure)
        except images.ImageUnavailable as error:
            self.failures.append(TestbedFailure("image-build-failed", "builder", str(error)))
        else:
            content = wheel.read_bytes()
            reused = wheel.stat().st_mtime < began - 0.5
            seconds = time.time() - began
            self.wheels.append(
                BuiltWheel(
                    name=wheel.name,
                    sha256=hashlib.sha256(content).hexdigest(),
                    platform=platform,
                    reused=reused,
                    seconds=seconds,
                )
            )
            log = _read(builder.log_path(platform, wheel))
            answer = BuildAnswer(reused=reused, seconds=seconds)
            return answer, {wheel.name: content, "build.log": log}
        failed = BuildAnswer(error=f"the testbed failed: {self.failures[-1]}")
        return failed, {"build.log": b""}


def _declined(selected: Sequence[str], platform: OperatingSystem) -> BuildAnswer | None:
    """Return why the builder does not build what cibuildwheel would; None if it does."""
    own = _IDENTIFIERS[platform]
    if not selected:
        return BuildAnswer(error="cibuildwheel: No build identifiers selected")
    if list(selected) == [own]:
        return None
    return BuildAnswer(
        unsupported=f"cibuildwheel would build {', '.join(selected)}, and the builder here builds "
        f"{own}"
    )


def _fetch(container: Container, folder: str, into: Path) -> Path:
    """Copy a folder out of a container."""
    chunks, _ = container.get_archive(folder)
    with tempfile.TemporaryFile() as packed:
        packed.writelines(chunks)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as tar:
            tar.extractall(into, filter="data")
    return into / Path(folder).name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b"(the log of this build is gone)\n"
