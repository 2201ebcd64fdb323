"""Several Docker daemons on this host, which stand in for the engines of several hosts.

Each daemon runs in its own network, process, mount and host name namespace, with its own
``/run`` and ``/var/lib/docker``. A bridge connects them. It is in another network namespace, so no
packet reaches the network of this host. The namespaces end with their processes, and the processes
end with this one. Only the folders and control groups of a killed process remain, and the next
`engines` removes them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from docker import DockerClient

from containers.endpoint import Endpoint
from containers.engine import Engine, connect
from containers.owner import identity, is_dead
from containers.state import state_folder

CGROUP = "quiverdb-e2e-engines"
"""The control group of the containers of all these engines, in each hierarchy."""
_NETWORK = "198.18.0"
"""The network of the engines, which is reserved for tests of devices (RFC 2544)."""
_START_SECONDS = 60
_CHUNK_BYTES = 1 << 20
# `setpriv` and `--kill-child` end the processes with this one. The first process of a process
# namespace takes all others with it.
_NAMESPACE = ("setpriv", "--pdeathsig=KILL", "unshare", "--net", "--uts", "--mount", "--pid")
_NAMESPACE_OPTIONS = ("--fork", "--kill-child", "--mount-proc")
# The interface appears when the daemon's process exists.
_DAEMON = """
set -e
if [ "$4" ]; then
    mount --bind "$4" "$1/shared"
    mount -o remount,bind,ro "$1/shared"
fi
mount --bind "$1/run" /run
mkdir -p /var/lib/docker
mount --bind "$1/data" /var/lib/docker
hostname "$2"
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip address add "$3/24" dev eth0
ip link set eth0 up
shift 4
exec dockerd "$@"
"""


@dataclasses.dataclass(frozen=True)
class StartedEngine:
    """A running daemon."""

    name: str
    """The name, which is also the host name of its node in a swarm."""
    folder: Path
    address: str
    """The address at which the other engines reach it."""
    pid: int
    """The id of the daemon's process on this host."""
    namespace: subprocess.Popen[bytes]
    """The process that has the daemon as child."""
    cgroup: str

    @property
    def url(self) -> str:
        """The address of its socket on this host."""
        return f"unix://{self.folder}/run/docker.sock"

    def connect(self) -> Engine:
        """Return the engine.

        Raises:
            ConnectionError: it does not answer.
        """
        answer = connect(Endpoint(url=self.url, origin=self.name))
        if isinstance(answer, str):
            raise ConnectionError(answer)
        return answer

    @contextlib.contextmanager
    def client(self) -> Iterator[DockerClient]:
        """Connect a client for the block."""
        client = DockerClient(base_url=self.url, timeout=600)
        try:
            yield client
        finally:
            client.close()

    def kill(self) -> None:
        """Kill the daemon, its containerd and its containers, and wait for their end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.namespace.wait()
        _remove_cgroups(self.cgroup)


@contextlib.contextmanager
def engines(
    count: int, folder: Path, *, source: Engine | None = None, images: Sequence[str] = ()
) -> Iterator[tuple[StartedEngine, ...]]:
    """Run daemons for the block. Their files are in new folders of ``folder``.

    The path of ``folder`` is short, because the path of a socket has at most 107 bytes. Only root
    can start the daemons. ``images`` are tags of images of the engine ``source``, which the daemons
    have. Do not remove these images during the block: usually the daemons use their files.

    Raises:
        RuntimeError: a daemon does not answer. The message has the end of its log.
    """
    sweep()
    owner = identity(os.getpid())
    record = _records() / f"{owner}-{time.monotonic_ns()}"
    folders = [folder.resolve() / f"engine-{number}" for number in range(1, count + 1)]
    for one in folders:
        for part in ("run", "data", "shared"):
            (one / part).mkdir(parents=True)
    record.write_text("\n".join(map(str, folders)), "utf-8")
    started: list[StartedEngine] = []
    bridge = _start_namespace("exec sleep infinity", (), None)
    try:
        root = _image_store(source) if source else None
        if source and root:
            for one in folders:
                _share_images(source, images, root, one)
        bridge_pid = _child(bridge)
        _configure(bridge_pid, "ip link add engines type bridge", "ip link set engines up")
        for number, one in enumerate(folders, 1):
            cgroup = f"/{CGROUP}/{record.name}-{number}"
            started.append(_start(one, number, bridge_pid, cgroup, root))
        for engine in started:
            _wait(engine)
        if source and images and root is None:
            copy_images(source, images, started)
        yield tuple(started)
    finally:
        for engine in started:
            engine.kill()
        bridge.kill()
        bridge.wait()
        _remove(record)


def copy_images(source: Engine, tags: Sequence[str], targets: Sequence[StartedEngine]) -> None:
    """Copy images to several engines. They are read once, and also the layers that they share.

    Raises:
        RuntimeError: the images cannot be saved or loaded.
    """
    names = ("save", *(target.name for target in targets))
    with contextlib.ExitStack() as stack:
        start = functools.partial(subprocess.Popen, stdout=subprocess.PIPE)
        save = stack.enter_context(start(("docker", "--host", source.url, "save", *tags)))
        loads = [
            stack.enter_context(
                start(("docker", "--host", target.url, "load", "--quiet"), stdin=subprocess.PIPE)
            )
            for target in targets
        ]
        assert save.stdout
        while chunk := save.stdout.read(_CHUNK_BYTES):
            for load in loads:
                assert load.stdin
                load.stdin.write(chunk)
        for load in loads:
            load.communicate()
    for name, process in zip(names, (save, *loads), strict=True):
        if process.returncode:
            raise RuntimeError(f"{name}: images are not copied, exit code {process.returncode}")


def _image_store(source: Engine) -> Path | None:
    """Return the folder of an engine on this host whose images other daemons can use in place."""
    with contextlib.closing(source.client()) as client:
        info = client.info()
    root = Path(info["DockerRootDir"])
    layers = root / "image" / "overlay2" / "layerdb"
    is_local = source.url.startswith("unix://") and layers.is_dir()
    return root if is_local and info["Driver"] == "overlay2" else None


def _share_images(source: Engine, tags: Sequence[str], root: Path, folder: Path) -> None:
    """Write the image store of a daemon that has not started. The files of its layers are links.

    The daemon has ``root``, the folder of the other engine, as ``shared``, and cannot write to it.
    """
    shared, store = folder / "shared", Path("image", "overlay2")
    layers = folder / "data" / "overlay2"
    contents = folder / "data" / store / "imagedb" / "content" / "sha256"
    for path in (contents, layers / "l"):
        path.mkdir(parents=True)
    repositories: dict[str, dict[str, str]] = {}
    with contextlib.closing(source.client()) as client:
        images = {tag: str(client.images.get(tag).id) for tag in tags}
    for tag, image in images.items():
        repositories.setdefault(tag.rpartition(":")[0], {})[tag] = image
        name = image.removeprefix("sha256:")
        config = (root / store / "imagedb" / "content" / "sha256" / name).read_text("utf-8")
        (contents / name).write_text(config, "utf-8")
        chain = ""
        for diff in json.loads(config)["rootfs"]["diff_ids"]:
            # The id of a layer with its parents (OCI image specification, "Layer ChainID").
            chain = f"sha256:{sha256(f'{chain} {diff}'.encode()).hexdigest()}" if chain else diff
            layer = Path("layerdb", "sha256", chain.removeprefix("sha256:"))
            if (folder / "data" / store / layer).exists():
                continue
            shutil.copytree(root / store / layer, folder / "data" / store / layer)
            cache = (root / store / layer / "cache-id").read_text("utf-8")
            (layers / cache / "work").mkdir(parents=True)
            (layers / cache / "diff").symlink_to(shared / "overlay2" / cache / "diff")
            for file in (root / "overlay2" / cache / part for part in ("link", "lower")):
                if file.exists():  # a first layer has no lower ones
                    shutil.copy(file, layers / cache)
            link = (layers / cache / "link").read_text("utf-8")
            (layers / "l" / link).symlink_to(Path("..", cache, "diff"))
    path = folder / "data" / store / "repositories.json"
    path.write_text(json.dumps({"Repositories": repositories}), "utf-8")


def write_contexts(started: Sequence[StartedEngine], config: Path) -> None:
    """Add a Docker context with the name of each engine to a folder of Docker's configuration.

    Raises:
        subprocess.CalledProcessError: a context has this name.
    """
    config.mkdir(parents=True, exist_ok=True)
    file = config / "config.json"
    if not file.exists():
        file.write_text("{}", "utf-8")
    for engine in started:
        command = ("docker", "context", "create", engine.name, f"--docker=host={engine.url}")
        variables: Mapping[str, str] = {**os.environ, "DOCKER_CONFIG": str(config)}
        subprocess.run(command, env=variables, check=True, capture_output=True)


def sweep() -> None:
    """Remove the folders and control groups that killed processes left."""
    for record in _records().iterdir():
        age_hours = (time.time() - record.stat().st_mtime) / 3600
        if is_dead(record.name.rpartition("-")[0], age_hours):
            _remove(record)


def _records() -> Path:
    folder = state_folder() / "engines"
    folder.mkdir(exist_ok=True)
    return folder


def _remove(record: Path) -> None:
    """Remove what a record names, and then the record."""
    for hierarchy in _hierarchies():
        for path in (hierarchy / CGROUP).glob(f"{record.name}-*"):
            _remove_cgroups(f"/{CGROUP}/{path.name}")
        with contextlib.suppress(OSError):  # it does not exist, or other engines use it
            (hierarchy / CGROUP).rmdir()
    for folder in record.read_text("utf-8").splitlines():
        if Path(folder).exists():
            shutil.rmtree(folder)
    record.unlink()


def _hierarchies() -> list[Path]:
    """Return the folders of the hierarchies of control groups; one for version 2."""
    root = Path("/sys/fs/cgroup")
    return [root, *(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())]


def _remove_cgroups(name: str) -> None:
    """Remove a control group. Its processes have ended, but the kernel may still count them."""
    for hierarchy in _hierarchies():
        group = hierarchy / name.lstrip("/")
        folders = [path for path in group.rglob("*") if path.is_dir()] if group.exists() else []
        for folder in (*sorted(folders, reverse=True), *([group] if group.exists() else ())):
            for _ in range(100):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.02)


def _start_namespace(
    script: str, arguments: Sequence[str], log: Path | None
) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        return subprocess.Popen(
            [*_NAMESPACE, *_NAMESPACE_OPTIONS, "sh", "-c", script, "sh", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _start(folder: Path, number: int, bridge: int, cgroup: str, root: Path | None) -> StartedEngine:
    address = f"{_NETWORK}.{10 + number}"
    options = (
        f"--cgroup-parent={cgroup}",
        "--exec-opt=native.cgroupdriver=cgroupfs",
        f"--insecure-registry={_NETWORK}.0/24",
    )
    arguments = (str(folder), folder.name, address, str(root or ""), *options)
    process = _start_namespace(_DAEMON, arguments, folder / "log")
    pid = _child(process)
    link = f"engine{number}"
    _configure(
        bridge,
        f"ip link add {link} type veth peer name eth0 netns {pid}",
        f"ip link set {link} master engines up",
    )
    return StartedEngine(folder.name, folder, address, pid, process, cgroup)


def _configure(pid: int, *commands: str) -> None:
    """Run commands in the network namespace of a process."""
    for command in commands:
        subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *command.split()], check=True)


def _child(process: subprocess.Popen[bytes]) -> int:
    """Return the id of the only child of a process, after the child has its namespaces."""
    namespace = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1]
                if int(parent) == process.pid and (folder / "ns/net").readlink() != namespace:
                    return int(folder.name)
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} has not started")


def _wait(engine: StartedEngine) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and engine.namespace.poll() is None:
        with contextlib.suppress(ConnectionError):
            engine.connect()
            return
        time.sleep(0.05)
    log = (engine.folder / "log").read_text("utf-8", errors="replace")
    raise RuntimeError(f"{engine.name} does not answer: {log[-1000:]}")
