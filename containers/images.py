"""Build a content-addressed image from a recipe, from Debian packages or from a registry.

The host first downloads all files that a Dockerfile needs and checks their hashes. The build has no
network.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

import docker
import docker.errors
import filelock
from docker.models.containers import Container

from containers import cache, image_registry, node_packages, temporary
from containers import engine as engines
from containers.commands import execute
from containers.engine_client import ENGINE_ERRORS, reason_of
from containers.progress import PROGRESS, print_line, step
from containers.recipe import LINUX_PLATFORMS, Recipe
from containers.recipe import load as load_recipe
from containers.state import locked, state_folder
from verification.models.errors import TestbedFailure
from verification.models.release import file_sha256
from verification.models.testbed import Image

LABEL_PACKAGES = "quiverdb-e2e.packages"
"""The label with the versions of what was downloaded for an image and is not fixed by its tag."""
_ARCHIVE = "QUIVERDB_E2E_DEBIAN_ARCHIVE"
_SYSTEMS = {"linux": "Linux", "windows": "Windows"}
_COPY_SECONDS = 1800
"""The time limit for a response of an engine during a copy."""
_MMDEBSTRAP = (("mmdebstrap",), ("mmdebstrap", "debian-archive-keyring"))
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DPKG_STATUS = "/var/lib/dpkg/status"
_SOURCES = "/etc/apt/sources.list"
_FIELD = re.compile(r"^(Package|Status|Version): (.*)$", re.M)
# Without policy-rc.d, a package could start its service.
_INSTALL = """
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
apt-get -q --yes --no-install-recommends --option=APT::Sandbox::User=root \\
  --option=Dpkg::Options::=--force-unsafe-io install /packages/*.deb </dev/null
rm -r /packages /usr/sbin/policy-rc.d
rm -rf /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/lib/apt/lists/*
find /var/log -type f -delete
"""
_LISTS: dict[str, Path] = {}
_LISTS_LOCK = threading.Lock()


class ImageUnavailable(Exception):
    """The image is not available on this host. The message is the reason, one line."""


class NoMatchingFile(TestbedFailure):
    """The upstream index has no file of a locked package for this Python and platform."""


def missing_images(engine: engines.Engine | None, names: Iterable[str]) -> set[str]:
    """Return the images that must be built: those of ``names``, and the images that they need.

    Images for another system than that of the engine are never built. Without an engine, all
    images for Linux are missing, because an engine that this project starts runs on Linux.

    Raises:
        TestbedFailure: ``engine-unreachable``: the engine does not list its images.
        WrongUse: a recipe is unknown or invalid.
    """
    if engine is None:
        return _needed_images(names, "linux", lambda _: False)
    try:
        with contextlib.closing(engine.client()) as client:

            def exists(recipe: Recipe) -> bool:
                return _find(client, recipe.name, recipe.tag()) is not None

            return _needed_images(names, engine.os, exists)
    except ENGINE_ERRORS as error:
        raise TestbedFailure("engine-unreachable", "images", str(error)) from error


def _needed_images(names: Iterable[str], system: str, exists: Callable[[Recipe], bool]) -> set[str]:
    """Return the images for ``system`` that do not exist, and the images that they need."""
    needed: set[str] = set()
    unchecked = list(names)
    while unchecked:
        recipe = load_recipe(unchecked.pop())
        if recipe.name in needed or recipe.os != system or exists(recipe):
            continue
        needed.add(recipe.name)
        unchecked += recipe.required_recipes()
    return needed


def ensure(engine: engines.Engine, name: str) -> Image:
    """Return the image of the recipe ``name``. Pull or build it if the engine does not have it.

    Raises:
        TestbedFailure: ``image-build-failed`` or ``disk-full``, with the last lines of the output.
        ImageUnavailable: this host cannot build the recipe.
        WrongUse: the recipe is unknown or invalid.
    """
    recipe = load_recipe(name)
    if recipe.os != engine.os:
        raise ImageUnavailable(
            f"{name} needs a {_SYSTEMS[recipe.os]}-container engine, "
            f"but the engine at {engine.url} runs {engine.os} containers"
        )
    tag = recipe.tag()
    client = engine.client(timeout_seconds=1800)
    try:
        reference = engine.registry.reference(tag) if engine.registry else None
        if engine.registry and reference is None:
            print_line(f"image {name}: the list of the registry does not have this recipe")
        if image := _find(client, name, tag, reference):
            return image
        verb = "pulling" if reference else "building"
        with locked(f"image-{name}"):
            if image := _find(client, name, tag, reference):
                return image  # another thread or run made it before it released the lock
            with step(f"image {name}: {verb}"):
                if reference:
                    image_registry.pull(client, reference, tag)
                else:
                    _build(engine, client, recipe, tag)
        image = _find(client, name, tag)
        if image is None:
            raise _failed(name, "the engine reported success, but does not have the image")
        return image
    except (*ENGINE_ERRORS, OSError) as error:
        raise _failed(name, str(error)) from error
    finally:
        client.close()


def copy(image: Image, source: engines.Engine, target: engines.Engine) -> Image:
    """Copy an image to another engine, unless that engine has it. Return it as it is there.

    Raises:
        TestbedFailure: ``image-differs``: the other engine has another image with the same tag.
            ``image-build-failed`` or ``disk-full``: an engine refuses the copy.
        ImageUnavailable: the other engine runs containers of another system or architecture.
    """
    if (source.os, source.architecture) != (target.os, target.architecture):
        raise ImageUnavailable(
            f"{image.name} is an image for {source.os} on {source.architecture}, but the engine "
            f"{target.name} runs {target.os} containers on {target.architecture}"
        )
    try:
        with (
            contextlib.closing(source.client(_COPY_SECONDS)) as from_client,
            contextlib.closing(target.client(_COPY_SECONDS)) as to_client,
            locked(f"image-{image.name}-{target.name}"),
        ):
            copied = _find(to_client, image.name, image.tag)
            if copied is None:
                with step(f"image {image.name}: copying to engine {target.name}"):
                    archive = from_client.images.get(image.id).save(named=image.tag)
                    to_client.images.load(cast("bytes", archive))  # sent in chunks
                copied = _find(to_client, image.name, image.tag)
            if copied is None:
                raise _failed(image.name, f"the engine {target.name} does not have the copy")
            if _layers(from_client, image) != _layers(to_client, copied):
                raise TestbedFailure(
                    "image-differs",
                    f"engine {target.name}",
                    f"{image.tag} is {copied.id[:19]} there, but {image.id[:19]} on the engine "
                    f"{source.name}",
                    {"image": (image.tag,), "engines": (source.name, target.name)},
                )
            return copied
    except (*ENGINE_ERRORS, OSError) as error:
        raise _failed(image.name, f"engine {target.name}: {error}") from error


def _layers(client: docker.DockerClient, image: Image) -> tuple[str, ...]:
    """Return what identifies the content of an image. Its id depends on the store of the engine."""
    attributes = client.images.get(image.id).attrs
    return (str(attributes["Created"]), *attributes["RootFS"]["Layers"])


def _find(
    client: docker.DockerClient, name: str, tag: str, reference: str | None = None
) -> Image | None:
    """Return the image with this tag. With a reference, it must be the image of the registry."""
    try:
        image = client.images.get(tag)
    except docker.errors.ImageNotFound:
        return None
    if reference and not image_registry.has_digest(image, reference):
        return None
    return Image(
        name=name,
        tag=tag,
        id=str(image.id),
        created=str(image.attrs["Created"]),
        packages=tuple((image.labels or {}).get(LABEL_PACKAGES, "").split()),
    )


def _failed(name: str, reason: str) -> TestbedFailure:
    line = " ".join(reason.split())[-600:]
    if "no space left on device" in line.lower():
        line += ". Free disk space: ./e2e clean removes the images of this project"
        return TestbedFailure("disk-full", f"image {name}", line)
    return TestbedFailure("image-build-failed", f"image {name}", line)


def _build(engine: engines.Engine, client: docker.DockerClient, recipe: Recipe, tag: str) -> None:
    obstacle = _mmdebstrap_obstacle() if recipe.packages else None
    packages: dict[str, str] = {}
    if recipe.base and not obstacle:
        base_image = ensure(engine, recipe.base)
        base, packages = base_image.tag, _versions(base_image.packages)
        if recipe.packages:
            base = f"{tag}-base"
            packages |= _install(client, recipe, base_image.tag, base)
    elif recipe.suite and not obstacle:
        base = f"{tag}-base"
        packages = _bootstrap(client, recipe, base)
    elif recipe.registry:
        base = _pull(client, recipe.registry)
        packages = {"registry": recipe.registry}
    else:
        raise ImageUnavailable(f"{recipe.name} is built from Debian packages, but {obstacle}")
    arguments = {"BASE": base, **recipe.arguments}
    for argument, name in recipe.uses.items():
        used = ensure(engine, name)
        arguments[argument] = used.tag
        packages |= {f"{name}/{key}": value for key, value in _versions(used.packages).items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        context: list[tuple[str, Path]] = []
        if not recipe.has_dockerfile:
            (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n", "utf-8")
            context.append(("Dockerfile", folder / "Dockerfile"))
        if recipe.source:
            suite, *names = recipe.source
            paths = fetch_source((suite, *recipe.source_else), names, folder)
            context += [(f"source/{path.name}", path) for path in paths]
            packages |= {f"source/{path.name}": file_sha256(path) for path in paths}
        labels = {engines.LABEL_IMAGE: recipe.name, LABEL_PACKAGES: _package_list(packages)}
        _docker_build(client, recipe, arguments, tag, labels, context)


def _pull(client: docker.DockerClient, reference: str) -> str:
    try:
        return str(client.images.pull(reference).id)
    except ENGINE_ERRORS as error:
        reason = reason_of(error)[:200]
        raise ImageUnavailable(f"{reference} cannot be pulled: {reason}") from error


# ---- from Debian packages ----


def _mmdebstrap_obstacle() -> str | None:
    if shutil.which("mmdebstrap"):
        return None
    obstacle = engines.provision_obstacle()
    if obstacle is None:
        return None
    fix = engines.package_fix("mmdebstrap")
    return f"mmdebstrap is not installed, and {obstacle}. To fix it, {fix}"


def debian_sources(suite: str) -> list[str]:
    """Return apt source lines for ``suite``, with the archive that the apt of this host uses.

    ``QUIVERDB_E2E_DEBIAN_ARCHIVE`` names another archive, such as the archive of one day, and after
    a space its security archive. With an empty list mmdebstrap uses its default archive.
    """
    if named := os.environ.get(_ARCHIVE):
        archive, _, security = named.partition(" ")
        # The lists of an archive of one day expire.
        options = "[check-valid-until=no] "
        return _source_lines(options + archive, suite, security and options + security)
    result = subprocess.run(
        ("apt-get", "indextargets", "--format", "$(ORIGIN)\t$(CODENAME)\t$(REPO_URI)"),
        capture_output=True,
        text=True,
        check=False,
    )
    archive = security = ""
    for line in result.stdout.splitlines():
        origin, codename, uri, *_ = [*line.split("\t"), "", ""]
        if origin == "Debian" and codename.endswith("-security"):
            security = security or uri
        elif origin == "Debian":
            archive = archive or uri
    return _source_lines(archive, suite, security) if archive else []


def _source_lines(archive: str, suite: str, security: str) -> list[str]:
    lines = [f"deb {archive} {suite} main"]
    if suite not in ("sid", "forky"):
        lines.append(f"deb {archive} {suite}-updates main")
        if security:
            lines.append(f"deb {security} {suite}-security main")
    return lines


def fetch_source(suites: Sequence[str], packages: Sequence[str], folder: Path) -> list[Path]:
    """Download Debian source packages into ``folder``. apt checks their signatures.

    A mirror may list a package but not have its files. Each package is therefore downloaded from
    the first of ``suites`` whose archive has its files.

    Raises:
        ImageUnavailable: this host has no apt, its apt uses no Debian archive, or no archive has
            the package.
    """
    if not shutil.which("apt-get"):
        raise ImageUnavailable(
            f"the source of {' and '.join(packages)} is downloaded with apt, "
            "but this host has no apt-get"
        )
    folder.chmod(0o755)  # apt downloads as an unprivileged user
    files: list[Path] = []
    for package in packages:
        reasons = []
        for suite in suites:
            try:
                files += _fetch_source(suite, package, folder / suite)
                break
            except ImageUnavailable as error:
                reasons.append(f"{suite}: {error}")
        else:
            raise ImageUnavailable(
                f"the source of {package} cannot be downloaded: {'; '.join(reasons)[:300]}"
            )
    return sorted(files, key=lambda path: path.name)


def _fetch_source(suite: str, package: str, folder: Path) -> list[Path]:
    apt = ["apt-get", "-q", f"--option=Dir::Etc::sourcelist={folder}/sources.list"]
    apt += ["--option=Dir::Etc::sourceparts=-", f"--option=Dir::State::lists={folder}/lists"]
    if not folder.exists():
        # Only the main archive of the suite: a mirror may have few sources of security updates.
        main_archive = [line.removeprefix("deb ") for line in debian_sources(suite)[:1]]
        if not main_archive:
            raise ImageUnavailable("the apt of this host uses no Debian archive")
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb-src {main_archive[0]}\n", "utf-8")
        _apt([*apt, "update"], folder)
    files = folder / package
    files.mkdir()
    files.chmod(0o777)
    _apt([*apt, "source", "--download-only", package], files)
    return list(files.iterdir())


def _apt(command: Sequence[str], folder: Path, config: Path | None = None) -> None:
    environment = os.environ | ({"APT_CONFIG": str(config)} if config else {})
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("E: ")]
        reason = lines[0] if lines else f"apt-get ended with exit code {result.returncode}"
        raise ImageUnavailable(reason.removeprefix("E: ")[:200])


def _apt_settings() -> list[str]:
    """Return the host's apt settings for proxy, CA and expiry."""
    result = subprocess.run(("apt-config", "dump"), capture_output=True, text=True, check=False)
    names = ("::Proxy ", "::CaInfo ", "::Check-Valid-Until ")
    lines = [line for line in result.stdout.splitlines() if line.startswith("Acquire::")]
    return [line for line in lines if any(name in line for name in names)]


@contextlib.contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """Yield an empty folder for the mmdebstrap of a recipe. Runs of one recipe wait for another.

    apt downloads as an unprivileged user, who may not enter a folder below a home folder. The
    folder is therefore outside the state folder, and so is its lock: runs with different state
    folders use the same one.
    """
    scratch = temporary.shared_folder() / f"quiverdb-e2e-scratch-{os.getuid()}-{name}"
    with filelock.FileLock(f"{scratch}.lock", fallback_to_soft=False):
        shutil.rmtree(scratch, ignore_errors=True)  # from a killed build
        scratch.mkdir(mode=0o755, parents=True)
        yield scratch
        shutil.rmtree(scratch, ignore_errors=True)


def _bootstrap(client: docker.DockerClient, recipe: Recipe, tag: str) -> dict[str, str]:
    """Make an image with a new Debian system. Return the versions of its packages."""
    engines.install_packages(*_MMDEBSTRAP)
    with _scratch(recipe.name) as scratch:
        log = state_folder() / f"image-{recipe.name}.log"
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(recipe.packages)}",
            "--dpkgopt=force-unsafe-io",  # an interrupted build is not continued
            *(f"--aptopt={line}" for line in _apt_settings()),
            str(recipe.suite),
            "-",
            *debian_sources(str(recipe.suite)),
        ]
        print_line(f"image {recipe.name}: {recipe.suite} with {len(recipe.packages)} packages")
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, env=_environment(scratch)
            )
            assert process.stdout is not None  # noqa: S101  (stdout is a pipe)
            repository, _, version = tag.rpartition(":")
            try:
                client.api.import_image_from_stream(
                    iter(lambda: process.stdout.read(1 << 20), b""),  # type: ignore[union-attr]
                    repository=repository,
                    tag=version,
                    changes=[f"LABEL {engines.LABEL_IMAGE}={recipe.name}"],
                )
            finally:
                process.stdout.close()
                code = process.wait()
        if code:
            client.images.remove(tag, force=True)
            lines = " | ".join(log.read_text("utf-8", "replace").strip().splitlines()[-3:])
            raise _failed(
                recipe.name, f"mmdebstrap ended with exit code {code}: {lines} (log: {log})"
            )
    with _started(client, recipe, tag) as container:
        return _installed_packages(_file(container, _DPKG_STATUS))


def _install(client: docker.DockerClient, recipe: Recipe, base: str, tag: str) -> dict[str, str]:
    """Add Debian packages to an image. Return the versions of all its packages.

    The apt of the host downloads the packages. They are installed in a container without a network.

    Raises:
        ImageUnavailable: the packages cannot be downloaded.
        TestbedFailure: ``image-build-failed``: a package cannot be installed.
    """
    print_line(f"image {recipe.name}: adding {len(recipe.packages)} packages")
    with _started(client, recipe, base) as container, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "status").write_bytes(_file(container, _DPKG_STATUS))
        _download_packages(recipe, folder, _apt_lists(recipe, container))
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                for path in sorted((folder / "archives").glob("*.deb")):
                    tar.add(path, f"packages/{path.name}")
            packed.seek(0)
            container.put_archive("/", packed)
        result = execute(container, ["sh", "-ec", _INSTALL])
        if result.code:
            raise _failed(
                recipe.name, f"apt-get ended with exit code {result.code}: {result.output}"
            )
        repository, _, version = tag.rpartition(":")
        changes = [f"LABEL {engines.LABEL_IMAGE}={recipe.name}", 'CMD ["sleep", "infinity"]']
        container.commit(repository, version, pause=False, changes=changes)
        return _installed_packages(_file(container, _DPKG_STATUS))


@contextlib.contextmanager
def _started(client: docker.DockerClient, recipe: Recipe, image: str) -> Iterator[Container]:
    """Run a container of an image, which ends and is removed after half an hour at the latest."""
    container = client.containers.run(
        image,
        ["sleep", "1800"],
        name=engines.build_name(),
        detach=True,
        auto_remove=True,
        labels={engines.LABEL_IMAGE: recipe.name},
        network_mode="none",
        user="root",
    )
    try:
        yield container
    finally:
        with contextlib.suppress(docker.errors.APIError):  # its end can remove it at the same time
            container.remove(force=True)


def _file(container: Container, path: str) -> bytes:
    stream, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        member = tar.extractfile(tar.next() or path)
        return member.read() if member else b""


def _download_packages(recipe: Recipe, folder: Path, config: Path) -> None:
    """Download the packages that the system of ``folder/status`` needs for those of the recipe."""
    (folder / "archives" / "partial").mkdir(parents=True)
    _apt(
        [
            "apt-get",
            "-q",
            "--yes",
            f"--option=Dir::State::status={folder}/status",
            f"--option=Dir::Cache::archives={folder}/archives",
            "--download-only",
            "install",
            *recipe.packages,
        ],
        folder,
        config,
    )


def _apt_lists(recipe: Recipe, container: Container) -> Path:
    """Return the apt configuration with the package lists of the suite of a recipe.

    The lists are downloaded once in a process, so all its images have the same state of the suite.
    """
    suite = recipe.debian_suite()
    with _LISTS_LOCK:
        if suite not in _LISTS:
            engines.install_packages(*_MMDEBSTRAP)
            folder = Path(tempfile.mkdtemp(prefix="quiverdb-e2e-apt-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            for name in ("etc/apt", "var/lib/apt/lists/partial", "var/cache/apt"):
                (folder / name).mkdir(parents=True)
            sources = debian_sources(suite) or [_file(container, _SOURCES).decode("utf-8")]
            (folder / "etc/apt/sources.list").write_text("\n".join((*sources, "")), "utf-8")
            settings = [
                f'Dir "{folder}/";',
                'Dir::Etc::TrustedParts "/etc/apt/trusted.gpg.d/";',
                'APT::Sandbox::User "root";',  # another user cannot enter the temporary folder
                'APT::Install-Recommends "false";',
                'Acquire::Languages "none";',
                *_apt_settings(),
            ]
            if _KEYRING.is_file():
                settings.append(f'Dir::Etc::Trusted "{_KEYRING}";')
            (folder / "apt.conf").write_text("\n".join(settings), "utf-8")
            (folder / "status").touch()
            _apt(
                ["apt-get", "-q", f"--option=Dir::State::status={folder}/status", "update"],
                folder,
                folder / "apt.conf",
            )
            _LISTS[suite] = folder / "apt.conf"
        return _LISTS[suite]


def _installed_packages(status: bytes) -> dict[str, str]:
    """Return the versions of the installed packages in the format of /var/lib/dpkg/status."""
    versions = {}
    for paragraph in status.decode("utf-8", "replace").split("\n\n"):
        fields = dict(_FIELD.findall(paragraph))
        if fields.get("Status", "").endswith(" installed"):
            versions[fields["Package"]] = fields["Version"]
    return versions


def _package_list(versions: Mapping[str, str]) -> str:
    return " ".join(f"{name}={version}" for name, version in sorted(versions.items()))


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return dict(package.split("=", 1) for package in packages)


def _environment(scratch: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}


# ---- from a Dockerfile ----


def download_wheels(lock: Path, into: Path, *, python: str, platforms: Iterable[str] = ()) -> Path:
    """Download the files that ``lock`` lists with the pip of this Python. Return their folder.

    ``lock`` is a requirements file with hashes. The folder contains only these files. Its name is
    that of ``into`` and a hash of the lock, the Python and the platforms. Another checkout with
    another lock therefore uses another folder.

    Raises:
        NoMatchingFile: the upstream index has no file of a package for this Python and platform.
        TestbedFailure: ``image-build-failed`` or ``disk-full`` with pip's last line, or
            ``cache-damaged``.
    """
    platforms = tuple(platforms) or LINUX_PLATFORMS
    inputs = lock.read_bytes() + repr((python, platforms)).encode()
    into = into.with_name(f"{into.name}-{hashlib.sha256(inputs).hexdigest()[:12]}")
    return cache.cached_folder(into, lambda folder: fetch_wheels(lock, folder, python, platforms))


def fetch_wheels(lock: Path, folder: Path, python: str, platforms: Iterable[str]) -> None:
    """Download the files that ``lock`` lists into ``folder``, without the cache.

    Raises:
        NoMatchingFile: the upstream index has no file of a package for this Python and platform.
        TestbedFailure: ``image-build-failed`` or ``disk-full`` with pip's last line.
    """
    abis = [f"cp{python.replace('.', '')}", "none"]
    if not python.endswith("t"):
        abis.insert(1, "abi3")  # a free-threaded Python has no stable ABI (PEP 703)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += [f"--python-version={python.removesuffix('t')}", "--implementation=cp"]
    command += [f"--abi={abi}" for abi in abis]
    command += [f"--platform={name}" for name in platforms]
    command += [f"--requirement={lock}", f"--dest={folder}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise _download_failure(result.stderr, result.returncode, lock)


def _download_failure(errors: str, code: int, lock: Path) -> TestbedFailure:
    error_lines = [line for line in errors.splitlines() if line.startswith("ERROR")]
    reason = " ".join(error_lines or errors.splitlines()[-2:] or [f"exit code {code}"])
    where = f"pip download -r {lock.name}"
    if "No space left on device" in errors:
        return TestbedFailure("disk-full", where, reason)
    # pip reports no matching distribution also if the index does not answer.
    if "No matching distribution" in errors and "Retrying" not in errors:
        return NoMatchingFile("image-build-failed", where, reason)
    return TestbedFailure("image-build-failed", where, reason)


def _docker_build(
    client: docker.DockerClient,
    recipe: Recipe,
    arguments: dict[str, str],
    tag: str,
    labels: dict[str, str],
    additional_files: Iterable[tuple[str, Path]] = (),
) -> None:
    context = [*recipe.files(), *additional_files]
    lock = recipe.requirements
    if lock.exists():
        into = state_folder() / "downloads" / recipe.name
        wheels = download_wheels(lock, into, python=recipe.python, platforms=recipe.platforms)
        context += [(f"wheels/{path.name}", path) for path in sorted(wheels.glob("[!.]*"))]
        if (recipe.folder / "package-lock.json").exists():
            into = state_folder() / "downloads" / f"{recipe.name}-node"
            unused = recipe.unused_node_packages
            context += node_packages.download(recipe.folder, wheels, into, unused)
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, path in context:
                info = tar.gettarinfo(path.resolve(), name)  # the file, not a link to it
                info.uid = info.gid = 0
                info.uname = info.gname = "root"
                info.mtime = 0
                with path.open("rb") as file:
                    tar.addfile(info, file)
        packed.seek(0)
        output = ""
        for event in client.api.build(
            fileobj=packed,
            custom_context=True,
            tag=tag,
            buildargs=arguments,
            labels=labels,
            network_mode="none",
            rm=True,
            forcerm=True,
            decode=True,
        ):
            line = str(event.get("stream") or "").strip()
            if PROGRESS.verbose and line.startswith("Step "):
                print_line(f"image {recipe.name}: {line[:100]}")
            if line:
                output = f"{output[-1500:]} | {line}"
            if "error" in event:
                # The engine repeats the complete command, which may be long.
                error = re.sub(
                    r"^The command '.*' returned", "it returned", event["error"], flags=re.S
                )
                raise _failed(recipe.name, f"{output[-400:]} | {error}")


def tar_of(files: dict[str, bytes], folder: str, *, mode: int = 0o644, owner: int = 0) -> bytes:
    """Return a tar archive of ``folder`` with ``files`` (path to content) for the engine.

    ``owner`` is the number of the user and the group of all its folders and files.
    """
    buffer = io.BytesIO()
    top = PurePosixPath(folder.strip("/"))
    subfolders = {path for name in files for path in (top / name).parents if top in path.parents}
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in (top, *sorted(subfolders)):
            info = tarfile.TarInfo(str(path))
            info.type = tarfile.DIRTYPE
            info.mode = 0o755
            info.uid = info.gid = owner
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(str(top / name))
            info.size = len(content)
            info.mode = mode
            info.uid = info.gid = owner
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
