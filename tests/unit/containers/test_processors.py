from __future__ import annotations

import os
from typing import Any

import docker.errors
import pytest

from containers import processors
from containers.engine import Engine


class _Client:
    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.closed = False

    def info(self) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restrict this process to the processors 2 and 5."""
    processors._assignable_processors.cache_clear()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 2})


def _engine(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | Exception, url: str = "unix:///sock"
) -> Engine:
    monkeypatch.setattr(Engine, "client", lambda *_: _Client(answer))
    return Engine(url=url, origin="a test", version="20.10", os="linux")


TWO_PROCESSORS = {"CPUSet": True, "NCPU": 2}


def test_reserved_processors_differ_until_all_are_reserved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = _engine(monkeypatch, TWO_PROCESSORS)
    with processors.reserve(engine) as first, processors.reserve(engine) as second:
        assert {first, second} == {"2", "5"}
        for _ in range(2):
            with processors.reserve(engine) as shared:
                assert shared in {"2", "5"}
    with processors.reserve(engine) as number:
        assert number == "2", "the reservation has ended"


@pytest.mark.parametrize(
    "answer",
    [
        {"CPUSet": False, "NCPU": 2},
        {"CPUSet": True, "NCPU": 4},
        {},
        docker.errors.DockerException("gone"),
    ],
    ids=["no cpusets", "other processors", "no answer", "engine lost"],
)
def test_no_processor_is_reserved_if_the_engine_cannot_assign_it(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | Exception
) -> None:
    with processors.reserve(_engine(monkeypatch, answer)) as number:
        assert number == ""


def test_no_processor_is_reserved_for_an_engine_on_another_computer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = _engine(monkeypatch, TWO_PROCESSORS, "tcp://192.0.2.1:2375")
    with processors.reserve(engine) as number:
        assert number == ""
