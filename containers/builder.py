"""Build the wheel of a source folder for one platform with cibuildwheel, and cache it by content.

cibuildwheel builds, repairs and tests a Linux wheel in a manylinux_2_28 container. It builds
Windows wheels on Windows only. For a Windows wheel, this module therefore cross-compiles and runs
the build and repair steps of the project's own ``[tool.cibuildwheel]``. It does not run the tests
of the wheel, because they need Windows. Both containers have no network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import tomllib
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import docker
import docker.errors
import pydantic
import requests

from containers import cache, images
from containers import engine as engines
from containers.progress import print_line, step
from containers.recipe import load as load_recipe
from containers.state import state_folder
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.machine import OperatingSystem

LABEL_BUILD = "quiverdb-e2e.build"
_PYTHON = "cp313"
_TAGS: dict[OperatingSystem, str] = {"linux": "manylinux_2_28_x86_64", "windows": "win_amd64"}
_RECIPES: dict[str, str] = {"linux": "builder", "windows": "builder-windows"}
_BUILD_SECONDS = 1800
_KILLED = 128 + signal.SIGKILL
_FORMAT = b"1"
"""Raised when this module builds another wheel of the same source."""
_EPOCH = "1577836800"
"""The time stamp of all files in a wheel (reproducible-builds.org, SOURCE_DATE_EPOCH), in seconds:
the first of January 2020. A constant, so that a wheel's bytes depend on its content alone."""

# What a build, a test run or an editor leaves behind; never part of a wheel.
_IGNORED_ANYWHERE = {
    ".git",
    ".hypothesis",
    ".idea",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".venv",
    ".vscode",
    "__pycache__",
}
_IGNORED_AT_TOP = {"build", "dist", "third_party", "wheelhouse"}
_IGNORED_SUFFIXES = (".pyc", ".egg-info", ".dist-info")

# All else of the caller's environment stays away from cibuildwheel: CIBW_*, PIP_* and what tells
# a CI provider would change the build or its output.
_PASSED = (
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "HOME",
    "LANG",
    "PATH",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
)

_HEADING = re.compile(r"[A-Z][\w -]*(?:container image \S+?)?\.\.\.")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What says best why a build failed: the first line that matches the first pattern that matches.
_ERROR_LINES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\S+:\d+(?::\d+)?: (?:fatal )?error: ",
        r"(?i)undefined (?:symbol|reference)|multiple definition of|^ld(?:\.lld)?: ",
        r"^CMake Error",
        r"^(?:FAILED|ERROR) \S+\.py",
        r"^(?:auditwheel|delvewheel): error|Error: Unable to find library",
        r"^[\w.]*(?:Error|Exception): ",
        r"^(?:ERROR|error)\b",
    )
)
# What the testbed says when it fails itself, by its cause.
_TESTBED = (
    ("disk-full", "no space left on device"),
    ("machine-lost", "the container shell has exited"),
    ("engine-unreachable", "cannot connect to the docker daemon"),
    ("engine-unreachable", "error response from daemon"),
    ("engine-unreachable", "because docker is too old"),
)
_NOT_IN_WHEELHOUSE = re.compile(r"No matching distribution found for (\S+)")


def build(
    engine: engines.Engine,
    source: Path,
    run: engines.Run,
    *,
    platform: OperatingSystem = "linux",
    manylinux_image: str | None = None,
) -> Path:
    """Return the wheel of ``source`` for ``platform``; it is built unless it was before.

    The wheel is in the state folder, under a hash of all that decides its content. Nothing is
    written into ``source``. ``manylinux_image`` names another image to build the Linux wheel in,
    such as the official one; a build in it has a network, as it has everywhere else.

    Raises:
        WrongUse: ``source`` is no folder with a ``pyproject.toml``, or changes meanwhile.
        BuildFailed: the source does not build, its wheel cannot be repaired or fails its tests.
        TestbedFailure: the engine, the image or cibuildwheel is not as needed.
        images.ImageUnavailable: the builder's image cannot be made on this host.
    """
    if not source.is_dir():
        raise WrongUse(f"{source}: there is no such folder; name the one with pyproject.toml")
    if not (source / "pyproject.toml").is_file():
        raise WrongUse(f"{source}: there is no pyproject.toml in it; name the folder that has one")
    recipe = load_recipe(_RECIPES[platform])
    official = manylinux_image if platform == "linux" else None
    digest = source_hash(source)
    key = _key(digest, official or recipe.tag(), platform)
    kept = state_folder() / "wheels" / key
    if cache.is_intact(kept):
        name = _wheel_in(kept).name
        print_line(f"wheel for {platform}: {name} was built from this source before")

    def make(into: Path) -> None:
        image = official or images.ensure(engine, recipe.name).tag
        log = state_folder() / "logs" / f"build-{platform}-{key}.log"
        log.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-build-") as scratch:
            job = _BuildJob(
                engine=engine,
                tree=Path(scratch) / "project",
                output=Path(scratch) / "output",
                image=image,
                recipe=None if official else recipe.name,
                labels={**run.labels(), LABEL_BUILD: uuid.uuid4().hex},
                log=log,
                title=f"wheel for {platform}",
            )
            job.output.mkdir()
            copy_source(source, job.tree)
            if source_hash(job.tree) != digest:
                raise WrongUse(f"{source}: files changed while they were copied; run it again")
            with step(f"{job.title}: building it from {source} (log: {log})"):
                (_build_linux if platform == "linux" else _build_windows)(job)
            wheel = _checked(job, _TAGS[platform])
            shutil.copyfile(wheel, into / wheel.name)

    return _wheel_in(cache.built_folder(kept, make))


def recipes(platforms: Iterable[str]) -> list[str]:
    """Return the names of the images that wheels for these platforms are built in."""
    return [_RECIPES[platform] for platform in platforms]


def log_path(platform: OperatingSystem, wheel: Path) -> Path:
    """Return the log of the build that made this wheel."""
    return state_folder() / "logs" / f"build-{platform}-{wheel.parent.name}.log"


def source_hash(source: Path) -> str:
    """Return the hash of the names, executable bits and contents of the files that matter."""
    digest = hashlib.sha256()
    for name in source_files(source):
        path = source / name
        if path.is_symlink():
            kind, content = "link", os.fsencode(path.readlink())
        else:
            kind, content = "program" if path.stat().st_mode & 0o100 else "file", path.read_bytes()
        # Lengths keep apart what would else run into one another.
        digest.update(f"{kind}\0{len(content)}\0".encode() + os.fsencode(name) + b"\0" + content)
    return digest.hexdigest()


def source_files(source: Path) -> list[str]:
    """Return the names, relative to ``source``, of the files that matter for a build.

    In a git work tree these are the files that git has or would add, else all; never what builds
    and tests leave behind.
    """
    listed = _git_files(source)
    if listed is None:
        listed = (path.relative_to(source).as_posix() for path in source.rglob("*"))
    return sorted(
        name
        for name in listed
        if not _is_ignored(name) and ((source / name).is_file() or (source / name).is_symlink())
    )


def _git_files(source: Path) -> Iterable[str] | None:
    command = ("git", "-c", "safe.directory=*", "-C", str(source), "ls-files", "-z")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            (*command, "--cached", "--others", "--exclude-standard"),
            env=environment,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None  # there is no git
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    # None, too, of a folder that git ignores as a whole, such as an unpacked release.
    return names if done.returncode == 0 and "pyproject.toml" in names else None


def _is_ignored(name: str) -> bool:
    parts = name.split("/")
    return (
        parts[0] in _IGNORED_AT_TOP
        or not _IGNORED_ANYWHERE.isdisjoint(parts)
        or any(part.endswith(_IGNORED_SUFFIXES) for part in parts)
    )


def copy_source(source: Path, into: Path) -> None:
    """Copy the files that matter, with their executable bits and one time stamp for all."""
    for name in source_files(source):
        path, copy = source / name, into / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(path.readlink())
            continue
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.utime(copy, (int(_EPOCH), int(_EPOCH)))


def _key(digest: str, image: str, platform: str) -> str:
    whole = hashlib.sha256(_FORMAT)
    for part in (digest, image, _cibuildwheel_version(), platform):
        whole.update(b"\0" + part.encode())
    return whole.hexdigest()[:16]


def _cibuildwheel_version() -> str:
    try:
        return importlib.metadata.version("cibuildwheel")
    except importlib.metadata.PackageNotFoundError:
        raise TestbedFailure(
            "image-build-failed",
            "cibuildwheel",
            f"it is not installed for {sys.executable}; run: pip install --group build",
        ) from None


def _wheel_in(folder: Path) -> Path:
    return next(folder.glob("*.whl"))


# ---- one build ----


@dataclasses.dataclass(frozen=True)
class _BuildJob:
    """One build: the container it runs in, where its source is and where its wheel goes."""

    engine: engines.Engine
    tree: Path
    output: Path
    image: str
    recipe: str | None
    """The recipe of the image, which is then used without a network; None: an image of others."""
    labels: dict[str, str]
    log: Path
    title: str

    def failed(self, code: int, lines: list[str]) -> BuildFailed | TestbedFailure:
        """Return what the failure with these lines of output is: the package's or the testbed's."""
        for cause, words in _TESTBED:
            if said := next((line for line in lines if words in line.lower()), None):
                return TestbedFailure(cause, self.title, f"{said.strip()} (log: {self.log})")
        if self.recipe:
            for line in lines:
                if missing := _NOT_IN_WHEELHOUSE.search(line):
                    message = f"the build needs {missing[1]}, and the image does not have it; "
                    message += f"add it to images/{self.recipe}/requirements.in (log: {self.log})"
                    return TestbedFailure("image-build-failed", f"image {self.recipe}", message)
        return BuildFailed(self.title, f"{error_line(lines)} (exit code {code})", str(self.log))

    def remove_container(self) -> None:
        """Remove what the build left on the engine; nothing, if it ended by itself."""
        label = f"{LABEL_BUILD}={self.labels[LABEL_BUILD]}"
        # What the engine does not remove now, the next run's sweep does.
        with (
            contextlib.suppress(docker.errors.DockerException, requests.RequestException),
            contextlib.closing(self.engine.client(timeout_seconds=60)) as client,
        ):
            for container in client.containers.list(
                all=True, filters={"label": label}, ignore_removed=True
            ):
                container.remove(force=True, v=True)

    def follow(self, output: Iterable[bytes], stop: Callable[[], None]) -> list[str]:
        """Write ``output`` to the log, say its headings and return its lines.

        ``stop`` is called when it takes longer than any build should.

        Raises:
            BuildFailed: it took that long.
        """
        lines = []
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            stop()

        timer = threading.Timer(_BUILD_SECONDS, expire)
        timer.daemon = True
        timer.start()
        try:
            with self.log.open("w", encoding="utf-8") as log:
                for raw in output:
                    line = _COLOURS.sub("", raw.decode("utf-8", "replace").rstrip())
                    log.write(f"{line}\n")
                    log.flush()
                    lines.append(line)
                    if _HEADING.fullmatch(line):
                        print_line(f"{self.title}: {line}")
        finally:
            timer.cancel()
        if expired.is_set():
            message = (
                f"it did not end in {_BUILD_SECONDS} s; its last line: {error_line(lines[-1:])}"
            )
            raise BuildFailed(self.title, message, str(self.log))
        return lines


def error_line(lines: list[str]) -> str:
    """Return the line of a failed build's output that says why, or else its last lines."""
    for pattern in _ERROR_LINES:
        for number, line in enumerate(lines):
            if pattern.search(line):
                # CMake writes its message below the location.
                more = lines[number : number + 4] if line.startswith("CMake Error") else [line]
                return " ".join(" ".join(more).split())[:500]
    last = [line.strip() for line in lines if line.strip()][-3:]
    return " | ".join(last)[-500:] or "no output"


def _checked(job: _BuildJob, tag: str) -> Path:
    built = sorted(job.output.glob("*.whl"))
    names = ", ".join(path.name for path in built) or "none"
    if len(built) != 1 or tag not in built[0].stem.split("-")[-1].split("."):
        message = f"one wheel tagged {tag} was expected, and there is: {names}"
        raise BuildFailed(job.title, message, str(job.log))
    return built[0]


# ---- Linux: cibuildwheel ----


def _build_linux(job: _BuildJob) -> None:
    if shutil.which("docker") is None:
        raise TestbedFailure(
            "engine-unreachable",
            "cibuildwheel",
            "it needs the program `docker`, which is not on PATH. On Debian: "
            "apt-get install docker-cli, or docker.io where there is no such package",
        )
    process = subprocess.Popen(
        _linux_command(job),
        cwd=job.tree,
        env=_linux_environment(job),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None  # noqa: S101  (Popen was given a pipe)
    try:
        with process:
            try:
                lines = job.follow(process.stdout, process.kill)
            except BaseException:
                process.kill()
                raise
    finally:
        job.remove_container()
    if process.returncode:
        raise job.failed(process.returncode, lines)


def _linux_command(job: _BuildJob) -> list[str]:
    command = [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--archs", "x86_64"]
    return [*command, "--output-dir", str(job.output), str(job.tree)]


def _linux_environment(job: _BuildJob) -> dict[str, str]:
    # cibuildwheel does not pull an image that the engine has (its oci_container.py).
    arguments = [f"'--label={key}={value}'" for key, value in job.labels.items()]
    if job.recipe:
        arguments.append("--network=none")
    return {
        **{key: os.environ[key] for key in _PASSED if key in os.environ},
        **job.engine.environment(),
        # In our image its lock decides which virtualenv there is, not cibuildwheel's constraints.
        **({"CIBW_DEPENDENCY_VERSIONS": "latest"} if job.recipe else {}),
        "CIBW_BUILD": f"{_PYTHON}-manylinux_x86_64",
        "CIBW_CONTAINER_ENGINE": (
            f"docker; create_args: {' '.join(arguments)}; disable_host_mount: true"
        ),
        "CIBW_MANYLINUX_X86_64_IMAGE": job.image,
        "PYTHONUNBUFFERED": "1",
        "SOURCE_DATE_EPOCH": _EPOCH,
    }


# ---- Windows: cross-compiled ----


def _build_windows(job: _BuildJob) -> None:
    client = job.engine.client()
    try:
        container = client.containers.create(
            job.image,
            ["sh", "-e", "-c", _windows_script(job)],
            environment={"SOURCE_DATE_EPOCH": _EPOCH},
            labels=job.labels,
            network_mode="none",
        )
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                tar.add(job.tree, "project", filter=_owned_by_root)
            packed.seek(0)
            container.put_archive("/", packed)
        container.start()
        lines = job.follow(_lines(container.logs(stream=True, follow=True)), job.remove_container)
        container.reload()
        state = container.attrs["State"]
        code = int(state["ExitCode"])
        if state["OOMKilled"] or code == _KILLED:
            raise TestbedFailure(
                "machine-lost", job.title, f"killed while it built (log: {job.log})"
            )
        if code:
            raise job.failed(code, lines)
        stream, _ = container.get_archive("/output/.")
        with tempfile.TemporaryFile() as packed:
            packed.writelines(stream)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as tar:
                tar.extractall(job.output, filter="data")
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise TestbedFailure("machine-lost", job.title, " ".join(str(error).split())) from error
    finally:
        client.close()
        job.remove_container()


def _windows_script(job: _BuildJob) -> str:
    """Return what cibuildwheel would do on Windows, as far as it can be done elsewhere."""
    options = _windows_options(job)
    before, repair = _command(options.before_build), _command(options.repair_wheel_command)
    # _PYTHON_HOST_PLATFORM is how a build back end that cross-compiles learns the wheel's platform
    # (scikit-build-core, wheel_tag.py).
    script = [
        "mkdir -p /output",
        "cd /project",
        *(["echo 'Running before_build...'", before] if before else []),
        "echo 'Building wheel...'",
        "_PYTHON_HOST_PLATFORM=win-amd64 python -m build --wheel --outdir /tmp/built .",
        "wheel=$(echo /tmp/built/*.whl)",
        "echo 'Repairing wheel...'",
        repair or 'cp "$wheel" /output',
    ]
    words = {"{package}": "/project", "{project}": "/project", "{dest_dir}": "/output"}
    text = "\n".join(script).replace("{wheel}", '"$wheel"')
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _option_name(field: str) -> str:
    return field.replace("_", "-")


class _CibuildwheelOptions(pydantic.BaseModel):
    """The options of cibuildwheel that a Windows wheel is built by; others may be there."""

    model_config = pydantic.ConfigDict(frozen=True, alias_generator=_option_name)

    before_build: str | list[str] = ""
    # The default is cibuildwheel's own (its defaults.toml).
    repair_wheel_command: str | list[str] = "delvewheel repair -w {dest_dir} {wheel}"


def _windows_options(job: _BuildJob) -> _CibuildwheelOptions:
    try:
        project = tomllib.loads((job.tree / "pyproject.toml").read_text("utf-8"))
        options = project.get("tool", {}).get("cibuildwheel", {})
        return _CibuildwheelOptions.model_validate({**options, **options.get("windows", {})})
    except (ValueError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        message = f"pyproject.toml cannot be read: {reason}"
        raise BuildFailed(job.title, message, str(job.log)) from error


def _command(option: str | list[str]) -> str:
    return option if isinstance(option, str) else " && ".join(option)


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
