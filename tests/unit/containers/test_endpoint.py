from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from containers import endpoint
from containers.endpoint import Endpoint
from verification.models.errors import WrongUse


def _write_context(folder: Path, name: str, content: object) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps(content))


def _context(url: str) -> dict[str, Any]:
    return {"Name": "any", "Metadata": {}, "Endpoints": {"docker": {"Host": url}}}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


def test_docker_host_comes_before_the_context(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_context(config, "mine", _context("tcp://context.example.invalid:2375"))
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    monkeypatch.setenv("DOCKER_HOST", "tcp://host.example.invalid:2375")
    assert list(endpoint.endpoints()) == [
        Endpoint(url="tcp://host.example.invalid:2375", origin="DOCKER_HOST", named_by_user=True)
    ]


def test_current_context_comes_before_the_sockets(config: Path) -> None:
    _write_context(config, "mine", _context("tcp://context.example.invalid:2375"))
    (config / "config.json").write_text('{"currentContext": "mine"}')
    assert list(endpoint.endpoints()) == [
        Endpoint(
            url="tcp://context.example.invalid:2375",
            origin="docker context mine",
            named_by_user=True,
        )
    ]


def test_docker_context_overrides_the_current_context(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "other"):
        _write_context(config, name, _context(f"tcp://{name}.example.invalid:2375"))
    (config / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    (found,) = endpoint.endpoints()
    assert found.url == "tcp://other.example.invalid:2375"


def test_default_folder_of_contexts_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["HOME"]) / ".docker"
    _write_context(folder, "mine", _context("tcp://home.example.invalid:2375"))
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    (found,) = endpoint.endpoints()
    assert found.url == "tcp://home.example.invalid:2375"


@pytest.mark.parametrize(
    "text",
    [None, "{}", "not json", "[]", '{"currentContext": "default"}', '{"currentContext": ""}'],
)
def test_default_socket_is_first_without_a_context(config: Path, text: str | None) -> None:
    if text is not None:
        (config / "config.json").write_text(text)
    found = next(endpoint.endpoints())
    assert (found.url, found.named_by_user) == ("unix:///var/run/docker.sock", False)


@pytest.mark.parametrize("content", [None, {}, {"Endpoints": None}, {"Endpoints": {"docker": {}}}])
def test_invalid_named_context_is_wrong_use(
    config: Path, monkeypatch: pytest.MonkeyPatch, content: object
) -> None:
    if content is not None:
        _write_context(config, "missing", content)
    monkeypatch.setenv("DOCKER_CONTEXT", "missing")
    with pytest.raises(WrongUse, match="docker context missing"):
        list(endpoint.endpoints())


def test_podman_socket_of_the_user_comes_after_the_default_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    socket = tmp_path / "podman" / "podman.sock"
    assert f"unix://{socket}" not in [found.url for found in endpoint.endpoints()]
    socket.parent.mkdir()
    socket.touch()
    first, second, *_ = endpoint.endpoints()
    assert first.url == "unix:///var/run/docker.sock"
    assert (second.url, second.named_by_user) == (f"unix://{socket}", False)
