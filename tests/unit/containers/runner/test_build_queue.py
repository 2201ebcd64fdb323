"""The wheel builds that jobs request, with a fake engine and a fake builder."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from containers import builder, images
from containers.engine import Run
from containers.runner.build_queue import BuildQueue, BuildRequest
from containers.runner.hosted_runners import HostedRunner
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse

RUN = Run(id="1", owner="a:b:c:d")
WHEEL = "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
LINUX = HostedRunner(label="ubuntu-latest", system="linux", cpu="x86_64")
REQUEST = BuildRequest(
    container="c1",
    source="/job/package",
    selected={"linux": ("cp313-manylinux_x86_64",), "windows": ("cp313-win_amd64",)},
    results_folder="/job/answer",
)


class _Engine:
    """A fake engine with one container. It records the files copied into the container."""

    def __init__(self, *, is_lost: bool = False) -> None:
        self.batches: list[dict[str, bytes]] = []
        self.is_lost = is_lost
        self.containers = self

    def client(self) -> Any:
        return self

    def close(self) -> None:
        """Close nothing."""

    def get(self, name: str) -> Any:
        if self.is_lost:
            raise docker.errors.NotFound(name)
        assert name == REQUEST.container
        return self

    def get_archive(self, path: str) -> tuple[list[bytes], dict[str, Any]]:
        assert path == REQUEST.source
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            info = tarfile.TarInfo("package/pyproject.toml")
            info.size = 4
            tar.addfile(info, io.BytesIO(b"toml"))
        return [packed.getvalue()], {}

    def put_archive(self, folder: str, data: bytes) -> None:
        assert folder == REQUEST.results_folder
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {member.name: tar.extractfile(member) for member in tar}
        self.batches.append({name: file.read() for name, file in files.items() if file})

    @property
    def answer(self) -> dict[str, Any]:
        """The answer to the job: the content of the last copied file, `done.json`."""
        assert list(self.batches[-1]) == ["done.json"]
        return dict(json.loads(self.batches[-1]["done.json"]))


def run_build(
    monkeypatch: pytest.MonkeyPatch,
    result: Path | Exception,
    request: BuildRequest = REQUEST,
) -> tuple[_Engine, BuildQueue]:
    """Serve a request; a fake builder returns or raises `result`. Return engine and queue."""

    def build(_engine: object, source: Path, run: Run, *, platform: str) -> Path:
        assert (run, platform) == (RUN, "linux")
        assert (source / "pyproject.toml").read_bytes() == b"toml"
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(builder, "build", build)
    engine: Any = _Engine()
    queue = BuildQueue(engine, RUN)
    queue.submit(request, LINUX)
    queue.close(wait=True)
    return engine, queue


def test_wheel_is_copied_before_the_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / WHEEL
    wheel.write_bytes(b"wheel")
    log = tmp_path / "build.log"
    log.write_text("built\n")
    monkeypatch.setattr(builder, "log_path", lambda *_: log)
    engine, queue = run_build(monkeypatch, wheel)

    assert engine.batches[0] == {WHEEL: b"wheel", "build.log": b"built\n"}
    assert (engine.answer["error"], engine.answer["unsupported"]) == ("", "")
    (record,) = queue.wheels
    assert (record.name, record.platform, record.reused) == (WHEEL, "linux", False)
    assert queue.failures == []


@pytest.mark.parametrize(
    ("selected", "key"),
    [
        ((), "error"),
        (("cp312-manylinux_x86_64",), "unsupported"),
        (("cp313-manylinux_x86_64", "x"), "unsupported"),
    ],
)
def test_request_for_other_wheels_than_the_builder_can_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, selected: tuple[str, ...], key: str
) -> None:
    request = REQUEST.model_copy(update={"selected": {"linux": selected}})
    engine, queue = run_build(monkeypatch, AssertionError("unexpected build"), request)

    assert [name for name in ("error", "unsupported") if engine.answer[name]] == [key]
    assert [name for name in selected if name not in engine.answer[key]] == []
    assert (queue.wheels, queue.failures) == ([], [])


@pytest.mark.parametrize(
    ("error", "reason", "cause"),
    [
        (BuildFailed("linux", "no compiler", "/none"), "linux: no compiler", None),
        (WrongUse("no source"), "no source", None),
        (TestbedFailure("disk-full", "builder", "full"), "full", "disk-full"),
        (images.ImageUnavailable("no image"), "no image", "image-build-failed"),
    ],
)
def test_failed_build_is_a_failure_of_the_job_or_of_the_testbed(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str, cause: str | None
) -> None:
    engine, queue = run_build(monkeypatch, error)

    assert reason in engine.answer["error"]
    assert [failure.cause for failure in queue.failures] == ([cause] if cause else [])
    assert queue.wheels == []


@pytest.mark.parametrize("is_stopped", [False, True])
def test_lost_container_is_a_failure_until_the_queue_is_stopped(*, is_stopped: bool) -> None:
    engine: Any = _Engine(is_lost=True)
    queue = BuildQueue(engine, RUN)
    if is_stopped:
        queue.stop()
    queue.submit(REQUEST, LINUX)
    queue.close(wait=True)

    assert [failure.cause for failure in queue.failures] == ([] if is_stopped else ["machine-lost"])
