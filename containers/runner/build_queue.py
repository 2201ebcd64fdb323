"""Build the wheels that the jobs of a run request, outside the closed network.

A job requests a build with a line of output (``images/runner/stand_ins/wheels.py``). The queue
copies the wheel and the log into the job's container, and then the answer. If the run has existing
files in place of the builds, the queue copies those that the runner of the job would build.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from docker.models.containers import Container

from containers import builder, commands, images
from containers.engine import Engine, Run
from containers.engine_client import ENGINE_ERRORS
from containers.runner.tar_archive import archive_of
from verification.models.base import Model
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.hosted_runners import HostedRunner, builds_on
from verification.models.machine import OperatingSystem
from verification.models.pipeline import BuiltWheel

_IDENTIFIERS: dict[OperatingSystem, str] = {
    "linux": "cp313-manylinux_x86_64",
    "windows": "cp313-win_amd64",
}
"""The build identifiers (cibuildwheel) of the wheels that the builder can build."""


class BuildRequest(Model):
    """The request of a job for a wheel."""

    container: str
    source: str = ""
    """The folder of the source in the container; empty if the job requests existing files."""
    kinds: tuple[Literal["wheel", "sdist"], ...] = ("wheel",)
    """What the step builds."""
    selected: Mapping[str, tuple[str, ...]] = {}
    """The build identifiers that cibuildwheel selects, by platform."""
    refused: Mapping[str, str] = {}
    """Why cibuildwheel refuses its settings, for each platform for which it does."""
    results_folder: str
    """The folder in the container for the wheel, its log and the answer."""


class BuildAnswer(Model):
    """The result of a request."""

    error: str = ""
    unsupported: str = ""
    """The reason why the builder cannot build the requested wheels."""
    reused: bool = False
    """True if an earlier build from the same files made the wheel."""
    seconds: float = 0.0


class BuildQueue:
    """The builds of one run, at most two at a time."""

    def __init__(
        self,
        engine: Engine,
        run: Run,
        existing: Sequence[Path] | None = None,
        runners: tuple[HostedRunner, ...] = (),
    ) -> None:
        """``existing`` are the files that replace the builds. ``runners`` are those of all jobs."""
        self.wheels: list[BuiltWheel] = []
        self.sdists: list[BuiltWheel] = []
        self.failures: list[TestbedFailure] = []
        self._engine = engine
        self._run = run
        self._existing = existing
        self._runners = runners
        self._pool = ThreadPoolExecutor(2)
        self._ending = threading.Event()

    def submit(self, request: BuildRequest, runner: HostedRunner | None) -> None:
        """Build the wheel for a runner in the background. None is a runner with unknown label."""
        self._pool.submit(self._serve, request, runner)

    def stop(self) -> None:
        """Report no further failures. The containers of the run are about to be removed."""
        self._ending.set()

    def close(self, *, wait: bool) -> None:
        """Cancel the builds that have not started. With ``wait``, wait for the others."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _serve(self, request: BuildRequest, runner: HostedRunner | None) -> None:
        with contextlib.closing(self._engine.client()) as client:
            try:
                container = client.containers.get(request.container)
                answer, files = self._answer(container, request, runner)
            except (*ENGINE_ERRORS, OSError) as error:
                if not self._ending.is_set():
                    self.failures.append(TestbedFailure("machine-lost", "runner", str(error)))
                return
            with contextlib.suppress(*ENGINE_ERRORS):
                # The answer is last. When it exists, the other files are complete.
                for batch in (files, {"done.json": answer.model_dump_json().encode()}):
                    container.put_archive(request.results_folder, archive_of(batch))

    def _answer(
        self, container: Container, request: BuildRequest, runner: HostedRunner | None
    ) -> tuple[BuildAnswer, dict[str, bytes]]:
        """Return the answer to a request, and the files for the job by name."""
        log = {"build.log": b""}
        if runner is None:
            reason = "the label of the runner is unknown before the run"
            return BuildAnswer(unsupported=reason), log
        if self._existing is not None:
            return self._copy(request, runner, self._existing)
        if not runner.is_native or runner.system == "macos":
            return BuildAnswer(
                unsupported=f"no builder for the runner {runner.label}; --wheels can name the "
                "wheels that it builds"
            ), log
        return self._build(container, request, runner.system)

    def _copy(
        self, request: BuildRequest, runner: HostedRunner, existing: Sequence[Path]
    ) -> tuple[BuildAnswer, dict[str, bytes]]:
        """Return the existing files that a runner would build."""
        files = {}
        for path in existing:
            is_wheel = path.suffix == ".whl"
            if ("wheel" if is_wheel else "sdist") not in request.kinds:
                continue
            if is_wheel and not builds_on(path.name, runner, self._runners):
                continue
            content = files[path.name] = path.read_bytes()
            built = BuiltWheel(
                name=path.name,
                sha256=hashlib.sha256(content).hexdigest(),
                platform=runner.system,
                reused=True,
                seconds=0,
            )
            known = self.wheels if is_wheel else self.sdists
            if built.name not in {other.name for other in known}:
                known.append(built)
        log = {"build.log": b""}
        if not files:
            kinds = " or ".join(request.kinds)
            return BuildAnswer(
                unsupported=f"--wheels has no {kinds} that the runner {runner.label} builds"
            ), log
        return BuildAnswer(reused=True), files | log

    def _build(
        self, container: Container, request: BuildRequest, platform: OperatingSystem
    ) -> tuple[BuildAnswer, dict[str, bytes]]:
        """Build a wheel. Return the answer, and the wheel and its log by name."""
        if refused := request.refused.get(platform):
            return BuildAnswer(error=refused), {"build.log": b""}
        if refusal := _refusal(request.selected[platform], platform):
            return refusal, {"build.log": b""}
        started_at = time.time()
        try:
            with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-checkout-") as scratch:
                commands.copy_from(container, request.source, Path(scratch))
                source = Path(scratch) / Path(request.source).name
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
            reused = wheel.stat().st_mtime < started_at - 0.5
            seconds = time.time() - started_at
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
        answer = BuildAnswer(error=f"the testbed failed: {self.failures[-1]}")
        return answer, {"build.log": b""}


def _refusal(selected: Sequence[str], platform: OperatingSystem) -> BuildAnswer | None:
    """Return the answer if the builder cannot build the selected identifiers, otherwise None."""
    identifier = _IDENTIFIERS[platform]
    if not selected:
        return BuildAnswer(error="cibuildwheel: No build identifiers selected")
    if list(selected) == [identifier]:
        return None
    return BuildAnswer(
        unsupported=f"cibuildwheel selects {', '.join(selected)}, but the builder can only build "
        f"{identifier}"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b"(the log of this build does not exist any more)\n"
