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

RUN = Run(id="1", owner="a:b:c:d")
WHEEL = "quiverdb-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"
REQUEST = BuildRequest(
    container="c1",
    source="/job/package",
    would={"linux": ("cp313-manylinux_x86_64",), "windows": ("cp313-win_amd64",)},
    answer="/job/answer",
)


class _Engine:
    """An engine with one container, which is a folder of answers."""

    def __init__(self, *, gone: bool = False) -> None:
        self.batches: list[dict[str, bytes]] = []
        self.gone = gone
        self.containers = self

    def client(self) -> Any:
        return self

    def close(self) -> None:
        """Close nothing."""

    def get(self, name: str) -> Any:
        if self.gone:
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
        assert folder == REQUEST.answer
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {member.name: tar.extractfile(member) for member in tar}
        self.batches.append({name: file.read() for name, file in files.items() if file})

    @property
    def answer(self) -> dict[str, Any]:
        """The last file that came; it says that all is there."""
        assert list(self.batches[-1]) == ["done.json"]
        return dict(json.loads(self.batches[-1]["done.json"]))


def built(
    monkeypatch: pytest.MonkeyPatch,
    made: Path | Exception,
    request: BuildRequest = REQUEST,
) -> tuple[_Engine, BuildQueue]:
    def build(_engine: object, source: Path, run: Run, *, platform: str) -> Path:
        assert (run, platform) == (RUN, "linux")
        assert (source / "pyproject.toml").read_bytes() == b"toml"
        if isinstance(made, Exception):
            raise made
        return made

    monkeypatch.setattr(builder, "build", build)
    engine: Any = _Engine()
    builds = BuildQueue(engine, RUN)
    builds.submit(request, "linux")
    builds.close(wait=True)
    return engine, builds


def test_a_wheel_comes_before_the_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / WHEEL
    wheel.write_bytes(b"wheel")
    log = tmp_path / "build.log"
    log.write_text("built\n")
    monkeypatch.setattr(builder, "log_path", lambda *_: log)
    engine, builds = built(monkeypatch, wheel)

    assert engine.batches[0] == {WHEEL: b"wheel", "build.log": b"built\n"}
    assert (engine.answer["error"], engine.answer["unsupported"]) == ("", "")
    (record,) = builds.wheels
    assert (record.name, record.platform, record.reused) == (WHEEL, "linux", False)
    assert builds.failures == []


@pytest.mark.parametrize(
    ("selected", "key", "message"),
    [
        ((), "error", "No build identifiers selected"),
        (("cp312-manylinux_x86_64",), "unsupported", "would build cp312-manylinux_x86_64"),
        (("cp313-manylinux_x86_64", "x"), "unsupported", "the builder here builds cp313-many"),
    ],
)
def test_what_the_builder_does_not_build_is_declined(
    monkeypatch: pytest.MonkeyPatch, selected: tuple[str, ...], key: str, message: str
) -> None:
    request = REQUEST.model_copy(update={"would": {"linux": selected}})
    engine, builds = built(monkeypatch, AssertionError("nothing is built"), request)

    assert message in engine.answer[key]
    assert (builds.wheels, builds.failures) == ([], [])


@pytest.mark.parametrize(
    ("error", "message", "failure"),
    [
        (BuildFailed("linux", "no compiler", "/none"), "cibuildwheel: linux: no compiler", None),
        (WrongUse("no source"), "cibuildwheel: no source", None),
        (TestbedFailure("disk-full", "builder", "full"), "the testbed failed", "disk-full"),
        (images.ImageUnavailable("none"), "the testbed failed", "image-build-failed"),
    ],
)
def test_a_build_that_fails_is_the_job_s_failure_or_the_testbed_s(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, failure: str | None
) -> None:
    engine, builds = built(monkeypatch, error)

    assert message in engine.answer["error"]
    assert [one.cause for one in builds.failures] == ([failure] if failure else [])
    assert builds.wheels == []


@pytest.mark.parametrize("ending", [False, True])
def test_a_container_that_is_gone_is_a_failure_unless_the_run_ends(ending: bool) -> None:
    engine: Any = _Engine(gone=True)
    builds = BuildQueue(engine, RUN)
    if ending:
        builds.stop()
    builds.submit(REQUEST, "linux")
    builds.close(wait=True)

    assert [one.cause for one in builds.failures] == ([] if ending else ["machine-lost"])
