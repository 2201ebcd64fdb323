from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import endpoint
from containers import engine as engines
from containers.endpoint import Endpoint
from containers.engine import Engine
from tests.helpers import engine_server
from tests.helpers.engine_server import EngineServer
from verification.models.base import DataError
from verification.models.errors import TestbedFailure, WrongUse
from verification.session import hosts
from verification.session.hosts import EngineChoice


def write(folder: Path, text: str) -> Path:
    """Write a file of engines, and return its path."""
    path = folder / "engines.toml"
    path.write_text(text)
    return path


def test_engines_of_the_options_and_of_the_file_are_selected(tmp_path: Path) -> None:
    path = write(tmp_path, '[[engines]]\nname = "b"\nworkers = 6\n[[engines]]\nname = "c"\n')
    assert hosts.choices(["a"], path) == (
        EngineChoice(name="a"),
        EngineChoice(name="b", workers=6),
        EngineChoice(name="c"),
    )
    assert hosts.choices([], None) == ()


def test_engine_that_is_selected_twice_is_wrong_use(tmp_path: Path) -> None:
    path = write(tmp_path, '[[engines]]\nname = "a"\nworkers = 2\n')
    for names, file in ((["a", "a"], None), (["a"], path)):
        with pytest.raises(WrongUse, match="--engine a"):
            hosts.choices(names, file)


@pytest.mark.parametrize(
    "text",
    ["", "engines = []", '[[engines]]\nname = "a"\nworkers = 0', "[[engines]]\nname = 3", "]"],
)
def test_file_that_is_not_valid_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"engines\.toml"):
        hosts.choices([], write(tmp_path, text))


def test_file_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"missing\.toml"):
        hosts.choices([], tmp_path / "missing.toml")


Servers = dict[str, EngineServer]


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Two fake engines, each with a context."""
    with contextlib.ExitStack() as stack:
        running = {
            name: stack.enter_context(engine_server.running(tmp_path / f"{name}.sock"))
            for name in ("one", "two")
        }

        def of_context(name: str) -> Endpoint:
            if name not in running:
                raise WrongUse(f"docker context {name}: no such context")
            return Endpoint(url=running[name].url, origin=f"docker context {name}")

        monkeypatch.setattr(engines, "of_context", of_context)
        yield running


def end(server: EngineServer) -> None:
    """End a fake engine, and remove its socket."""
    server.shutdown()
    server.server_close()
    Path(server.url.removeprefix("unix://")).unlink()


def opened(stack: contextlib.ExitStack, *names: str) -> tuple[hosts.OpenHost, ...]:
    """Open the engines with these names."""
    chosen = [EngineChoice(name=name) for name in names]
    return hosts.open_hosts(stack, chosen, None, provision=False)


def listed(server: EngineServer) -> int:
    """Return how often the containers of an engine were listed, which each sweep does."""
    return server.paths("GET").count("/containers/json")


def test_each_engine_is_swept_at_the_start_and_at_the_end(servers: Servers) -> None:
    with contextlib.ExitStack() as stack:
        first, second = opened(stack, "one", "two")
        assert first.host.run == second.host.run
        assert [host.host.engine.name for host in (first, second)] == ["one", "two"]
        before = [listed(server) for server in servers.values()]
    assert all(before)
    after = [listed(server) for server in servers.values()]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1]


@pytest.mark.parametrize("name", ["one", "two"])
def test_end_of_one_of_several_engines_is_no_failure(servers: Servers, name: str) -> None:
    with contextlib.ExitStack() as stack:
        opened(stack, "one", "two")
        end(servers[name])
    other = next(server for key, server in servers.items() if key != name)
    assert listed(other) > 1, "the other engine is swept"


def test_end_of_the_only_engine_is_a_failure(servers: Servers) -> None:
    stack = contextlib.ExitStack()
    opened(stack, "one")
    end(servers["one"])
    with pytest.raises(TestbedFailure) as raised:
        stack.close()
    assert raised.value.cause == "engine-unreachable"


@pytest.mark.usefixtures("servers")
def test_failed_removal_on_an_engine_that_answers_is_a_failure() -> None:
    def fail() -> None:
        raise TestbedFailure("machine-lost", "network", "it is in use")

    stack = contextlib.ExitStack()
    _, second = opened(stack, "one", "two")
    second.stack.callback(fail)
    with pytest.raises(TestbedFailure) as raised:
        stack.close()
    assert raised.value.cause == "machine-lost"


def test_engine_that_does_not_answer_is_named(servers: Servers) -> None:
    end(servers["two"])
    with contextlib.ExitStack() as stack, pytest.raises(TestbedFailure) as raised:
        opened(stack, "one", "two")
    assert (raised.value.cause, raised.value.where) == ("engine-unreachable", "engine two")


@pytest.mark.usefixtures("servers")
def test_unknown_context_is_wrong_use() -> None:
    with contextlib.ExitStack() as stack, pytest.raises(WrongUse, match="three"):
        opened(stack, "one", "three")


def test_default_context_is_the_engine_of_docker(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Endpoint(url=servers["one"].url, origin="the default socket")
    monkeypatch.setattr(engines, "endpoints", lambda: iter([own]))
    with contextlib.ExitStack() as stack:
        (first,) = opened(stack, endpoint.DEFAULT_CONTEXT)
    assert isinstance(first.host.engine, Engine)
    assert (first.host.engine.url, first.host.engine.name) == (own.url, "default")
