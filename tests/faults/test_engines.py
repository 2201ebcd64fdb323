"""The engines of the tests are separate, and nothing is left of them."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from containers import images
from containers.engine import Engine
from tests.helpers import engines

ROOT = Path(__file__).parents[2]
START = """
import sys
from pathlib import Path
from tests.helpers.engines import engines
with engines(1, Path(sys.argv[1])) as (engine,):
    print(engine.pid, flush=True)
    sys.stdin.read()
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start engines; use sudo")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new folder with a short path."""
    return tmp_path_factory.mktemp("e")


def remains(folder: Path) -> list[str]:
    """Return the files, control groups and processes of the engines in this folder."""
    groups = Path("/sys/fs/cgroup").glob(f"**/{engines.CGROUP}/*/")
    processes = Path("/proc").glob("[0-9]*/mountinfo")
    return [
        *(str(path) for path in (*folder.iterdir(), *groups)),
        *(path.parent.name for path in processes if has_mount(path, folder)),
    ]


def has_mount(path: Path, folder: Path) -> bool:
    """Return True if a process has mounted a part of the folder."""
    with contextlib.suppress(OSError):
        return str(folder) in path.read_text("utf-8")
    return False


def test_engines_are_separate_and_nothing_is_left(
    container_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    tag = images.ensure(container_engine, "publisher").tag
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(
            engines.engines(2, folder, source=container_engine, images=[tag])
        )
        first, second = (stack.enter_context(engine.client()) for engine in started)
        image = first.images.get(tag)
        container = first.containers.run(tag, entrypoint="sleep", command=["600"], detach=True)
        assert [one.id for one in first.containers.list(all=True)] == [container.id]
        assert second.containers.list(all=True) == []
        dockerfile = io.BytesIO(f"FROM {tag}\nRUN touch /new\n".encode())
        built, _ = second.images.build(fileobj=dockerfile, network_mode="none")
        assert built.attrs["RootFS"]["Layers"][:-1] == image.attrs["RootFS"]["Layers"]
        # The network of the engines reaches the other engine, and no other host.
        connect = "import socket,sys; socket.create_connection((sys.argv[1], 2375), 2)"
        for address, message in (
            (started[1].address, b"Connection refused"),
            ("192.0.2.1", b"Network is unreachable"),
        ):
            code, output = container.exec_run(["python3", "-c", connect, address])
            assert code
            assert message in output

        engines.write_contexts(started, tmp_path)
        variables = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
        variables.pop("DOCKER_HOST", None)
        command = ["docker", "--context", started[0].name, "ps", "--quiet", "--no-trunc"]
        listed = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
        assert listed.stdout.split() == [container.id]

        started[0].kill()
        with pytest.raises(ConnectionError):
            started[0].connect()
        assert second.ping()
        assert not any(
            has_mount(path, started[0].folder) for path in Path("/proc").glob("*/mountinfo")
        )
    assert remains(folder) == []


def test_images_of_another_storage_are_copied(
    container_engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_image_store", lambda _: None)
    tag = "quiverdb-e2e/copied:latest"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
    with contextlib.closing(container_engine.client()) as source:
        source.api.import_image_from_data(archive.getvalue(), repository=tag)
        try:
            expected = source.images.get(tag).id
            with (
                engines.engines(1, folder, source=container_engine, images=[tag]) as (started,),
                started.client() as client,
            ):
                assert client.images.get(tag).id == expected
        finally:
            source.images.remove(tag)


def test_the_next_start_removes_the_engines_of_a_killed_process(folder: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", START, str(folder)]
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        pid = Path("/proc", process.stdout.readline().decode().strip())
        assert pid.exists()
        process.kill()
    deadline = time.monotonic() + 10
    while pid.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not pid.exists()
    assert remains(folder) == [str(folder / "engine-1")]
    engines.sweep()
    assert remains(folder) == []
