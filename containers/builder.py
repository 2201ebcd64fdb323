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
from collections.abc import Callable, Iterable
from pathlib import Path

import pydantic

from containers import cache, commands, images, limits
from containers import engine as engines
from containers.engine_client import ENGINE_ERRORS
from containers.progress import print_line, step
from containers.recipe import load as load_recipe
from containers.state import state_folder
from verification.models.errors import BuildFailed, TestbedFailure, WrongUse
from verification.models.machine import OperatingSystem
from verification.models.subject import PlatformTarget

LABEL_BUILD = "quiverdb-e2e.build"
PYTHON = "cp313"
"""The interpreter tag of the Python in the images of the builder."""
_RECIPES: dict[str, str] = {"linux": "builder", "windows": "builder-windows"}
_COMPILERS: dict[OperatingSystem, str] = {
    "linux": "zig's clang for Linux",
    "windows": "MinGW-w64 for Windows (cross-compiled)",
}
"""The compilers in the images of `_RECIPES`."""
_BUILD_SECONDS = 1800
_EXIT_CODE_KILLED = 128 + signal.SIGKILL
_FORMAT_VERSION = b"1"
"""Increase it when this module builds a different wheel from the same source."""
_SOURCE_DATE_EPOCH = "1577836800"
"""The modification time of all files in a wheel, in seconds: 2020-01-01 (reproducible-builds.org,
SOURCE_DATE_EPOCH). It is constant, so that the bytes of a wheel depend only on its content."""

# The files of builds, test runs and editors. They are never part of a wheel.
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

# cibuildwheel gets no other variable of the caller. CIBW_*, PIP_* and the variables of a CI
# provider would change the build or its output.
_PASSED_VARIABLES = (
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
# The patterns of error lines, the most specific first. The first matching line is reported.
_ERROR_PATTERNS = tuple(
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
# Output that shows a failure of the testbed, with the cause.
_TESTBED_ERRORS = (
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
    python: str = PYTHON,
    manylinux_image: str | None = None,
) -> Path:
    """Return the wheel of ``source`` for ``platform``. Build it if the cache does not have it.

    ``python`` is the interpreter tag of the Python that builds it. Only another image for the Linux
    build can have a Python other than `PYTHON`. The wheel is in the state folder. The name of its
    folder is a hash of all inputs. Nothing is written into ``source``. ``manylinux_image`` names
    another image for the Linux build, such as the official one. A build in another image has a
    network.

    Raises:
        WrongUse: ``source`` is not a folder with a ``pyproject.toml``, or its files change during
            the call.
        BuildFailed: the source does not build, or its wheel cannot be repaired or fails its tests.
        TestbedFailure: the engine, the image or cibuildwheel fails.
        images.ImageUnavailable: the image of the builder is not available on this host.
    """
    if not source.is_dir():
        raise WrongUse(f"{source} is not a folder; name the folder that contains pyproject.toml")
    if not (source / "pyproject.toml").is_file():
        raise WrongUse(f"{source} has no pyproject.toml; name the folder that contains it")
    recipe = load_recipe(_RECIPES[platform])
    official = manylinux_image if platform == "linux" else None
    digest = source_hash(source)
    key = _key(digest, official or recipe.tag(), platform, *(() if python == PYTHON else (python,)))
    folder = state_folder() / "wheels" / key
    if cache.is_intact(folder):
        name = _wheel_in(folder).name
        print_line(f"wheel for {platform}: the cache has {name} of this source")

    def build_into(empty_folder: Path) -> None:
        image = official or images.ensure(engine, recipe.name).tag
        log = state_folder() / "logs" / f"build-{platform}-{key}.log"
        log.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="quiverdb-e2e-build-") as scratch:
            job = _BuildJob(
                engine=engine,
                run=run,
                tree=Path(scratch) / "project",
                output=Path(scratch) / "output",
                image=image,
                recipe=None if official else recipe.name,
                labels={**run.labels(), LABEL_BUILD: uuid.uuid4().hex},
                log=log,
                title=f"wheel for {platform}",
                python=python,
            )
            job.output.mkdir()
            copy_source(source, job.tree)
            if source_hash(job.tree) != digest:
                raise WrongUse(f"{source}: files changed while they were copied; try again")
            with step(f"{job.title}: building it from {source} (log: {log})"):
                _build_watched(job, platform)
            wheel = _built_wheel(job, platform)
            shutil.copyfile(wheel, empty_folder / wheel.name)

    return _wheel_in(cache.built_folder(folder, build_into))


def recipes(platforms: Iterable[str]) -> list[str]:
    """Return the names of the images in which the wheels for these platforms are built."""
    return [_RECIPES[platform] for platform in platforms]


def compiler(platform: OperatingSystem, manylinux_image: str | None = None) -> str:
    """Return the compiler that `build` uses for ``platform``, and the platform in words."""
    if manylinux_image and platform == "linux":
        return f"the compiler of {manylinux_image} for Linux"
    return _COMPILERS[platform]


def log_path(platform: OperatingSystem, wheel: Path) -> Path:
    """Return the path of the log of the build that made this wheel."""
    return state_folder() / "logs" / f"build-{platform}-{wheel.parent.name}.log"


def source_hash(source: Path) -> str:
    """Return the hash of the names, executable bits and contents of `source_files`."""
    digest = hashlib.sha256()
    for name in source_files(source):
        path = source / name
        if path.is_symlink():
            kind, content = "link", os.fsencode(path.readlink())
        else:
            kind, content = "program" if path.stat().st_mode & 0o100 else "file", path.read_bytes()
        # The length separates the content of a file from the next file.
        digest.update(f"{kind}\0{len(content)}\0".encode() + os.fsencode(name) + b"\0" + content)
    return digest.hexdigest()


def source_files(source: Path) -> list[str]:
    """Return the names of the source files that a build reads, relative to ``source``.

    In a git work tree these are the files that git tracks or would add. In another folder these are
    all files. The output of builds, and the files of tests and editors, are left out.
    """
    names = _git_files(source)
    if names is None:
        names = (path.relative_to(source).as_posix() for path in source.rglob("*"))
    return sorted(
        name
        for name in names
        if not _is_ignored(name) and ((source / name).is_file() or (source / name).is_symlink())
    )


def _git_files(source: Path) -> Iterable[str] | None:
    command = ("git", "-c", "safe.directory=*", "-C", str(source), "ls-files", "-z")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        result = subprocess.run(
            (*command, "--cached", "--others", "--exclude-standard"),
            env=environment,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None  # git is not installed
    names = [os.fsdecode(name) for name in result.stdout.split(b"\0") if name]
    # git may ignore the complete folder, for example an unpacked release.
    return names if result.returncode == 0 and "pyproject.toml" in names else None


def _is_ignored(name: str) -> bool:
    parts = name.split("/")
    return (
        parts[0] in _IGNORED_AT_TOP
        or not _IGNORED_ANYWHERE.isdisjoint(parts)
        or any(part.endswith(_IGNORED_SUFFIXES) for part in parts)
    )


def copy_source(source: Path, target: Path) -> None:
    """Copy `source_files` to ``target`` with their executable bits and one modification time."""
    for name in source_files(source):
        path, copy = source / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(path.readlink())
            continue
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.utime(copy, (int(_SOURCE_DATE_EPOCH), int(_SOURCE_DATE_EPOCH)))


def _key(digest: str, image: str, *others: str) -> str:
    key = hashlib.sha256(_FORMAT_VERSION)
    for part in (digest, image, _cibuildwheel_version(), *others):
        key.update(b"\0" + part.encode())
    return key.hexdigest()[:16]


def _cibuildwheel_version() -> str:
    try:
        return importlib.metadata.version("cibuildwheel")
    except importlib.metadata.PackageNotFoundError:
        raise TestbedFailure(
            "image-build-failed",
            "cibuildwheel",
            f"{sys.executable} has no cibuildwheel. Run: pip install --group build",
        ) from None


def _wheel_in(folder: Path) -> Path:
    return next(folder.glob("*.whl"))


# ---- one build ----


@dataclasses.dataclass(frozen=True)
class _BuildJob:
    """One build: its container, the folder of its source and the folder of its wheel."""

    engine: engines.Engine
    run: engines.Run
    tree: Path
    output: Path
    image: str
    recipe: str | None
    """The recipe of ``image``, or None. A build in an image without a recipe has a network."""
    labels: dict[str, str]
    log: Path
    title: str
    python: str
    """The interpreter tag of the Python that builds the wheel."""

    def failure(self, code: int, output: list[str]) -> BuildFailed | TestbedFailure:
        """Return the error of a failed build: a failure of the package or of the testbed."""
        for cause, words in _TESTBED_ERRORS:
            if line := next((line for line in output if words in line.lower()), None):
                return TestbedFailure(cause, self.title, f"{line.strip()} (log: {self.log})")
        if self.recipe:
            for line in output:
                if missing := _NOT_IN_WHEELHOUSE.search(line):
                    message = f"the build needs {missing[1]}, but the image does not contain it. "
                    message += f"Add it to images/{self.recipe}/requirements.in (log: {self.log})"
                    return TestbedFailure("image-build-failed", f"image {self.recipe}", message)
        return BuildFailed(self.title, f"{error_line(output)} (exit code {code})", str(self.log))

    @property
    def label(self) -> str:
        """The label of the containers of this build only."""
        return f"{LABEL_BUILD}={self.labels[LABEL_BUILD]}"

    def remove_container(self) -> None:
        """Remove the containers of the build that still exist."""
        # If the engine fails now, the sweep of the next run removes them.
        with (
            contextlib.suppress(*ENGINE_ERRORS),
            contextlib.closing(self.engine.client(timeout_seconds=60)) as client,
        ):
            for container in client.containers.list(
                all=True, filters={"label": self.label}, ignore_removed=True
            ):
                container.remove(force=True, v=True)

    def read_output(self, output: Iterable[bytes], stop: Callable[[], None]) -> list[str]:
        """Write ``output`` to the log, print its headings and return its lines.

        ``stop`` is called at the time limit.

        Raises:
            BuildFailed: the build reached the time limit.
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
            message = f"not finished after {_BUILD_SECONDS} s. Last line: {error_line(lines[-1:])}"
            raise BuildFailed(self.title, message, str(self.log))
        return lines


def error_line(lines: list[str]) -> str:
    """Return the error line of a failed build's output, or its last lines if there is none."""
    for pattern in _ERROR_PATTERNS:
        for number, line in enumerate(lines):
            if pattern.search(line):
                # CMake writes its message below the location.
                message = lines[number : number + 4] if line.startswith("CMake Error") else [line]
                return " ".join(" ".join(message).split())[:500]
    last_lines = [line.strip() for line in lines if line.strip()][-3:]
    return " | ".join(last_lines)[-500:] or "no output"


def _build_watched(job: _BuildJob, platform: OperatingSystem) -> None:
    """Build the wheel into the output folder.

    Raises:
        BuildFailed: the source does not build.
        TestbedFailure: the engine, the image or cibuildwheel fails, or the build met a limit.
    """
    limit_mib = limits.limits_of("builder", job.run).disk_mib
    watchdog = limits.Watchdog(job.engine, limit_mib, {"label": job.label})
    try:
        with watchdog:
            (_build_linux if platform == "linux" else _build_windows)(job)
    except (BuildFailed, TestbedFailure):
        if not watchdog.stopped:
            raise
        message = f"the build wrote more than {limit_mib} MiB (log: {job.log})"
        raise TestbedFailure("testbed-limit", job.title, message) from None


def _built_wheel(job: _BuildJob, platform: OperatingSystem) -> Path:
    """Return the wheel that the build made.

    The inspection compares its tags with those of the subject.

    Raises:
        BuildFailed: the build made no wheel or several, or the wheel is for another platform.
    """
    wheels = sorted(job.output.glob("*.whl"))
    names = ", ".join(path.name for path in wheels) or "no wheel"
    tags = wheels[0].stem.split("-")[-1].split(".") if len(wheels) == 1 else []
    targets = map(PlatformTarget.of, tags)
    if not any(t.machine_system == platform and t.system != "musl" for t in targets):
        message = f"expected one wheel for {platform} on x86-64, but the build made {names}"
        raise BuildFailed(job.title, message, str(job.log))
    return wheels[0]


# ---- Linux: cibuildwheel ----


def _build_linux(job: _BuildJob) -> None:
    if shutil.which("docker") is None:
        raise TestbedFailure(
            "engine-unreachable",
            "cibuildwheel",
            "the program `docker` is not on PATH. On Debian run: apt-get install docker-cli "
            "(before Debian 13: docker.io)",
        )
    try:
        with subprocess.Popen(
            _linux_command(job),
            cwd=job.tree,
            env=_linux_environment(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None  # noqa: S101  (stdout is a pipe)
            try:
                output = job.read_output(process.stdout, process.kill)
            except BaseException:
                process.kill()
                process.wait()  # after an interrupt, Popen waits for 0.25 s only
                raise
    finally:
        job.remove_container()
    if process.returncode:
        raise job.failure(process.returncode, output)


def _linux_command(job: _BuildJob) -> list[str]:
    command = [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--archs", "x86_64"]
    return [*command, "--output-dir", str(job.output), str(job.tree)]


def _linux_environment(job: _BuildJob) -> dict[str, str]:
    # cibuildwheel does not pull an image that the engine has (cibuildwheel, oci_container.py).
    arguments = [f"'--label={key}={value}'" for key, value in job.labels.items()]
    arguments += limits.arguments(job.engine, job.run, "builder", job.image)
    if job.recipe:
        arguments.append("--network=none")
    return {
        **{key: os.environ[key] for key in _PASSED_VARIABLES if key in os.environ},
        **job.engine.environment(),
        # The lock of our image pins virtualenv. The constraints of cibuildwheel do not apply.
        **({"CIBW_DEPENDENCY_VERSIONS": "latest"} if job.recipe else {}),
        "CIBW_BUILD": f"{job.python}-manylinux_x86_64",
        "CIBW_CONTAINER_ENGINE": (
            f"docker; create_args: {' '.join(arguments)}; disable_host_mount: true"
        ),
        "CIBW_MANYLINUX_X86_64_IMAGE": job.image,
        "PYTHONUNBUFFERED": "1",
        "SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH,
    }


# ---- Windows: cross-compiled ----


def _build_windows(job: _BuildJob) -> None:
    client = job.engine.client()
    try:
        container = client.containers.create(
            job.image,
            ["sh", "-e", "-c", _windows_script(job)],
            environment={"SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH},
            labels=job.labels,
            network_mode="none",
            **limits.options(job.engine, job.run, "builder", job.image),
        )
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                tar.add(job.tree, "project", filter=owned_by_root)
            packed.seek(0)
            container.put_archive("/", packed)
        container.start()
        output = job.read_output(
            commands.split_lines(container.logs(stream=True, follow=True)), job.remove_container
        )
        container.reload()
        state = container.attrs["State"]
        code = int(state["ExitCode"])
        if state["OOMKilled"] or code == _EXIT_CODE_KILLED:
            name = "testbed-limit" if state["OOMKilled"] else "machine-lost"
            raise TestbedFailure(name, job.title, f"the build was killed (log: {job.log})")
        if code:
            raise job.failure(code, output)
        commands.copy_from(container, "/output/.", job.output)
    except ENGINE_ERRORS as error:
        raise TestbedFailure("machine-lost", job.title, " ".join(str(error).split())) from error
    finally:
        client.close()
        job.remove_container()


def _windows_script(job: _BuildJob) -> str:
    """Return the build and repair steps of cibuildwheel on Windows as a shell script."""
    options = _windows_options(job)
    before, repair = _command(options.before_build), _command(options.repair_wheel_command)
    # A build back end that cross-compiles reads the platform of the wheel from
    # _PYTHON_HOST_PLATFORM (scikit-build-core, wheel_tag.py).
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
    placeholders = {"{package}": "/project", "{project}": "/project", "{dest_dir}": "/output"}
    text = "\n".join(script).replace("{wheel}", '"$wheel"')
    for placeholder, value in placeholders.items():
        text = text.replace(placeholder, value)
    return text


def _option_name(field: str) -> str:
    return field.replace("_", "-")


class _CibuildwheelOptions(pydantic.BaseModel):
    """The options of cibuildwheel that the build of a Windows wheel uses. Others are ignored."""

    model_config = pydantic.ConfigDict(frozen=True, alias_generator=_option_name)

    before_build: str | list[str] = ""
    # The default of cibuildwheel (its defaults.toml).
    repair_wheel_command: str | list[str] = "delvewheel repair -w {dest_dir} {wheel}"


def _windows_options(job: _BuildJob) -> _CibuildwheelOptions:
    try:
        project = tomllib.loads((job.tree / "pyproject.toml").read_text("utf-8"))
        options = project.get("tool", {}).get("cibuildwheel", {})
        return _CibuildwheelOptions.model_validate({**options, **options.get("windows", {})})
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        message = f"cannot read pyproject.toml: {reason}"
        raise BuildFailed(job.title, message, str(job.log)) from error


def _command(option: str | list[str]) -> str:
    return option if isinstance(option, str) else " && ".join(option)


def owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make root the owner of a member of an archive; a filter for ``TarFile.add``."""
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
