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
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.hosted_runners import HostedRunner, hosted_runner

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


def test_settings_that_cibuildwheel_refuses_for_the_platform_fail_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = {"linux": "cibuildwheel: invalid archs", "windows": "other"}
    request = REQUEST.model_copy(update={"selected": {}, "refused": refused})
    engine, queue = run_build(monkeypatch, AssertionError("unexpected build"), request)
    assert engine.answer["error"] == refused["linux"]
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


MACOS_WHEEL = "quiverdb-1.0-cp313-cp313-macosx_11_0_arm64.whl"
SDIST = "quiverdb-1.0.tar.gz"


@pytest.fixture
def existing(tmp_path: Path) -> list[Path]:
    """Return the files in place of the builds: two wheels and a source distribution."""
    files = [tmp_path / name for name in (WHEEL, MACOS_WHEEL, SDIST)]
    for path in files:
        path.write_bytes(path.name.encode())
    return files


def copy_existing(
    label: str, existing: list[Path], **request: object
) -> tuple[_Engine, BuildQueue]:
    """Serve a request of a job on this runner with existing files."""
    runner = hosted_runner(label)
    assert runner is not None
    engine: Any = _Engine()
    queue = BuildQueue(engine, RUN, existing, (runner,))
    queue.submit(REQUEST.model_copy(update=request), runner)
    queue.close(wait=True)
    return engine, queue


@pytest.mark.parametrize(
    ("label", "kinds", "names"),
    [
        ("ubuntu-22.04", ("wheel",), {WHEEL}),
        ("macos-15", ("wheel",), {MACOS_WHEEL}),
        ("ubuntu-latest", ("wheel", "sdist"), {WHEEL, SDIST}),
        ("windows-2022", ("sdist",), {SDIST}),
    ],
)
def test_existing_files_of_the_runner_replace_the_build(
    existing: list[Path], label: str, kinds: tuple[str, ...], names: set[str]
) -> None:
    engine, queue = copy_existing(label, existing, kinds=kinds)
    assert engine.batches[0].keys() - {"build.log"} == names
    assert {file.name for file in (*queue.wheels, *queue.sdists)} == names
    assert all(file.reused for file in queue.wheels)
    assert engine.answer["unsupported"] == ""


def test_missing_wheel_of_a_runner_is_unsupported(existing: list[Path]) -> None:
    engine, queue = copy_existing("windows-2022", existing)
    assert "windows-2022" in engine.answer["unsupported"]
    assert (engine.answer["error"], queue.wheels, queue.failures) == ("", [], [])


@pytest.mark.parametrize("label", ["macos-15", "ubuntu-24.04-arm", "windows-11-arm"])
def test_runner_without_a_builder_is_unsupported(label: str) -> None:
    runner = hosted_runner(label)
    engine: Any = _Engine()
    queue = BuildQueue(engine, RUN)
    queue.submit(REQUEST, runner)
    queue.close(wait=True)
    assert label in engine.answer["unsupported"]
    assert "--wheels" in engine.answer["unsupported"]
