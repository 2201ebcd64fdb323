from __future__ import annotations

import os
from typing import Any

import docker.errors
import pytest

from containers import processors
from containers.engine import Engine


class _Client:
    def __init__(self, told: dict[str, Any] | Exception) -> None:
        self.told = told
        self.closed = False

    def info(self) -> dict[str, Any]:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the processors 2 and 5."""
    processors._usable.cache_clear()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 2})


def _engine(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, Any] | Exception, url: str = "unix:///sock"
) -> Engine:
    monkeypatch.setattr(Engine, "client", lambda *_: _Client(told))
    return Engine(url=url, origin="a test", version="20.10", os="linux")


BOTH = {"CPUSet": True, "NCPU": 2}


def test_each_holder_has_a_processor_of_its_own_while_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = _engine(monkeypatch, BOTH)
    with processors.reserve(engine) as first, processors.reserve(engine) as second:
        assert {first, second} == {"2", "5"}
        with processors.reserve(engine) as third:
            assert third in {"2", "5"}
        with processors.reserve(engine) as third:
            assert third in {"2", "5"}
    with processors.reserve(engine) as again:
        assert again == "2", "what was held is free again"


@pytest.mark.parametrize(
    "told",
    [
        {"CPUSet": False, "NCPU": 2},
        {"CPUSet": True, "NCPU": 4},
        {},
        docker.errors.DockerException("gone"),
    ],
    ids=["without cpusets", "other processors than ours", "says nothing", "gone"],
)
def test_an_engine_that_cannot_is_not_asked_to(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, Any] | Exception
) -> None:
    with processors.reserve(_engine(monkeypatch, told)) as number:
        assert number == ""


def test_an_engine_elsewhere_has_other_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    with processors.reserve(_engine(monkeypatch, BOTH, "tcp://192.0.2.1:2375")) as number:
        assert number == ""
