"""The list of digests, and what an engine pulls and pushes with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import docker.errors
import pytest

from containers import image_registry, images
from containers.image_registry import ImageRegistry
from containers.recipe import Recipe
from containers.recipe import load as load_recipe
from verification.models.errors import TestbedFailure, WrongUse

LOCATION = "registry.example.com:5000/team"
DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
NAME = "index"


class Client:
    """A client of an engine with images, by tag: the id and the references of each."""

    def __init__(self, **existing: tuple[str, Sequence[str]]) -> None:
        self.existing = dict(existing)
        self.images = self
        self.pulled: list[str] = []
        self.lines: list[dict[str, Any]] = []

    def get(self, tag: str) -> Any:
        if tag not in self.existing:
            raise docker.errors.ImageNotFound(tag)
        ident, references = self.existing[tag]
        return SimpleNamespace(
            id=ident,
            attrs={"Created": "2026", "RepoDigests": list(references)},
            labels={},
            tag=lambda *_: None,
        )

    def pull(self, reference: str) -> Any:
        self.pulled.append(reference)

        def tag(name: str) -> None:
            self.existing[name] = ("sha256:pulled", [reference])

        return SimpleNamespace(tag=tag)

    def push(self, *_: str, **__: bool) -> Any:
        return iter(self.lines)

    def close(self) -> None:
        pass


def recipe() -> Recipe:
    return load_recipe(NAME)


def key() -> str:
    return f"{NAME}:{recipe().content_hash()}"


def engine(client: Client, digests: dict[str, str]) -> Any:
    registry = ImageRegistry(location=LOCATION, digests=digests)
    return SimpleNamespace(client=lambda **_: client, os="linux", url="x", registry=registry)


def forbid(*_: object) -> Never:
    raise AssertionError("the image is built")


# ---- pull ----


def test_missing_image_is_pulled_by_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_build", forbid)
    client = Client()
    image = images.ensure(engine(client, {key(): DIGEST}), NAME)
    assert client.pulled == [f"{LOCATION}/{NAME}@{DIGEST}"]
    assert (image.tag, image.id) == (recipe().tag(), "sha256:pulled")


def test_image_of_the_registry_is_not_pulled_again() -> None:
    client = Client(**{recipe().tag(): ("sha256:1", [f"{LOCATION}/{NAME}@{DIGEST}"])})
    assert images.ensure(engine(client, {key(): DIGEST}), NAME).id == "sha256:1"
    assert client.pulled == []


def test_other_image_under_the_same_tag_is_replaced() -> None:
    client = Client(**{recipe().tag(): ("sha256:1", [f"{LOCATION}/{NAME}@{OTHER}"])})
    assert images.ensure(engine(client, {key(): DIGEST}), NAME).id == "sha256:pulled"


def test_image_that_the_list_lacks_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()

    def build(_engine: Any, _client: Any, _recipe: Recipe, tag: str) -> None:
        client.existing[tag] = ("sha256:built", [])

    monkeypatch.setattr(images, "_build", build)
    digests = {f"{NAME}:000000000000": DIGEST}
    assert images.ensure(engine(client, digests), NAME).id == "sha256:built"
    assert client.pulled == []


def test_image_that_cannot_be_pulled_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_build", forbid)
    client = Client()

    def pull(reference: str) -> Never:
        raise docker.errors.APIError("manifest unknown", explanation=f"{reference} is unknown")

    monkeypatch.setattr(client, "pull", pull)
    with pytest.raises(TestbedFailure) as raised:
        images.ensure(engine(client, {key(): DIGEST}), NAME)
    assert raised.value.cause == "image-build-failed"
    assert DIGEST in raised.value.message


# ---- push ----


def test_push_returns_the_digest_of_the_registry() -> None:
    client = Client(**{recipe().tag(): ("sha256:1", [])})
    client.lines = [{"status": "Pushed"}, {"aux": {"Digest": DIGEST, "Tag": "1"}}]
    assert image_registry.push(client, LOCATION, recipe().tag()) == DIGEST  # type: ignore[arg-type]


@pytest.mark.parametrize("lines", [[{"status": "x"}], [{"error": "denied"}, {"aux": {}}]])
def test_refused_push_is_a_failure(lines: list[dict[str, Any]]) -> None:
    client = Client(**{recipe().tag(): ("sha256:1", [])})
    client.lines = lines
    with pytest.raises(TestbedFailure) as raised:
        image_registry.push(client, LOCATION, recipe().tag())  # type: ignore[arg-type]
    assert raised.value.cause == "image-build-failed"


# ---- the list ----


def test_written_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    image_registry.write(path, {"b:2": OTHER, "a:1": DIGEST})
    registry = image_registry.load(LOCATION, path)
    assert registry.digests == {"a:1": DIGEST, "b:2": OTHER}
    assert registry.reference("quiverdb-e2e/a:1") == f"{LOCATION}/a@{DIGEST}"
    assert registry.reference("quiverdb-e2e/a:2") is None


@pytest.mark.parametrize("location", ["", "host", "host/", "/team", "host/Team", "http://h/team"])
def test_location_without_a_namespace_is_wrong_use(tmp_path: Path, location: str) -> None:
    path = tmp_path / "images.toml"
    image_registry.write(path, {})
    with pytest.raises(WrongUse, match=r"^--registry "):
        image_registry.load(location, path)


@pytest.mark.parametrize("text", [None, "x = 1", 'x = "latest"', "x ="])
def test_list_without_digests_is_wrong_use(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "images.toml"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(WrongUse, match=r"images\.toml"):
        image_registry.load(LOCATION, path)
