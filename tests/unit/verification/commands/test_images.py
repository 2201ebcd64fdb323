"""The command that pushes images, with a fake engine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from containers import engine as engines
from containers import image_registry
from containers import images as engine_images
from containers.images import ImageUnavailable
from verification.commands import images, parser
from verification.models.errors import TestbedFailure, WrongUse
from verification.scenarios import machines

LOCATION = "registry.example.com/team"


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the engine and the registry. Return the tags of the pushed images."""
    tags: list[str] = []
    client = SimpleNamespace(close=lambda: None)
    engine = SimpleNamespace(client=lambda **_: client)
    monkeypatch.setattr(engines, "ensure", lambda **_: engine)

    def ensure(_engine: object, name: str) -> SimpleNamespace:
        if name == "windows-servercore":
            raise ImageUnavailable("an engine for Windows containers is missing")
        return SimpleNamespace(tag=f"quiverdb-e2e/{name}:1")

    def push(_client: object, _location: str, tag: str) -> str:
        tags.append(tag)
        return f"sha256:{len(tags):064x}"

    monkeypatch.setattr(engine_images, "ensure", ensure)
    monkeypatch.setattr(image_registry, "push", push)
    return tags


def run(path: Path, *words: str) -> int:
    options, _ = parser.parse(["images", f"--registry={LOCATION}", f"--digests={path}", *words])
    return images.run(options)


def test_images_of_a_profile_are_pushed_and_listed(pushed: list[str], tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    assert run(path, "--profile=quick") == 0
    digests = image_registry.load(LOCATION, path).digests
    assert set(digests) == {tag.removeprefix("quiverdb-e2e/") for tag in pushed}
    quick = {spec.image for spec in machines.load().values() if "quick" in spec.profiles}
    assert {f"{name}:1" for name in (*quick, "index", "runner")} <= set(digests)


def test_image_that_this_host_cannot_make_is_left_out(pushed: list[str], tmp_path: Path) -> None:
    path = tmp_path / "images.toml"
    assert run(path, "--machine=windows-servercore") == 0
    assert pushed
    assert "windows-servercore:1" not in image_registry.load(LOCATION, path).digests


def test_failed_push_keeps_the_list(
    pushed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.toml"
    path.write_text("old", "utf-8")

    def refuse(*_: object) -> str:
        raise TestbedFailure("image-build-failed", "image", "denied")

    monkeypatch.setattr(image_registry, "push", refuse)
    with pytest.raises(TestbedFailure):
        run(path, "--profile=quick")
    assert path.read_text("utf-8") == "old"
    assert pushed == []


def test_registry_without_a_namespace_is_wrong_use(tmp_path: Path) -> None:
    options, _ = parser.parse(["images", "--registry=example.com", f"--digests={tmp_path / 'x'}"])
    with pytest.raises(WrongUse, match=r"^--registry "):
        images.run(options)
