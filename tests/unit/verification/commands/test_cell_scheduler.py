from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest

from verification.commands import cell_scheduler
from verification.commands.cell_scheduler import CellScheduler, RunOnce, Workers

TESTS = ["short", "long", "middle", "short too"]
SECONDS = {"short": 1.0, "long": 60.0, "middle": 10.0, "short too": 1.0}


class FakeWorker:
    """A worker that records the tests that it gets."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.sent: list[list[int]] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        """Record the indices of tests."""
        self.sent.append(indices)

    @property
    def tests(self) -> list[str]:
        """The tests that the worker got, without their repetitions."""
        assert all(first == second for first, second in self.sent)
        return [TESTS[first] for first, _ in self.sent]


class Placement:
    """Workers whose name begins with the name of their engine."""

    def __init__(self, allowed: dict[str, Collection[str]] | None = None) -> None:
        self._allowed = allowed or {}

    def engine_of(self, node: Any) -> str:
        """Return the first letter of the name of a worker."""
        return str(node.gateway.id)[0]

    def engines_for(self, test: str) -> Collection[str] | None:
        """Return the engines that the test of this class has set."""
        return self._allowed.get(test)

    def seconds(self, test: str) -> float:
        """Return the seconds of a test."""
        return SECONDS[test]


@pytest.fixture(autouse=True)
def worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the configuration of a test be the number of its workers."""
    monkeypatch.setattr(cell_scheduler, "parse_tx_spec_config", range)


def started(
    *names: str, allowed: dict[str, Collection[str]] | None = None
) -> tuple[CellScheduler, list[FakeWorker]]:
    """Return a scheduler with workers that have their first tests."""
    scheduler = CellScheduler(cast("pytest.Config", len(names)), Placement(allowed))
    workers = [FakeWorker(name) for name in names]
    for worker in workers:
        scheduler.add_node(worker)
    for worker in workers:
        assert not scheduler.tests_finished
        scheduler.add_node_collection(worker, TESTS)
    assert scheduler.collection_is_completed
    scheduler.schedule()
    return scheduler, workers


def end(scheduler: CellScheduler, worker: FakeWorker) -> None:
    """Let a worker end the repetition before its test, if it has one, and then its test."""
    if len(worker.sent) > 1:
        scheduler.mark_test_complete(worker, worker.sent[-2][0])
    scheduler.mark_test_complete(worker, worker.sent[-1][0])


def test_worker_gets_one_test_at_a_time_and_the_longest_first() -> None:
    scheduler, (worker,) = started("a1")
    assert worker.tests == ["long"]
    for expected in (["long", "middle"], ["long", "middle", "short"]):
        end(scheduler, worker)
        assert worker.tests == expected
    end(scheduler, worker)
    assert not scheduler.tests_finished
    end(scheduler, worker)
    assert worker.tests == ["long", "middle", "short", "short too"]
    assert scheduler.tests_finished


def test_idle_worker_gets_the_test_that_a_busy_one_does_not_need() -> None:
    scheduler, (busy, idle) = started("a1", "a2")
    for _ in range(3):
        end(scheduler, idle)
    assert (busy.tests, idle.tests) == (["long"], ["middle", "short", "short too"])
    assert not scheduler.tests_finished
    end(scheduler, busy)
    assert scheduler.tests_finished


def test_test_runs_on_an_engine_that_can_run_it() -> None:
    scheduler, (one, two) = started("a1", "b1", allowed={"long": ["b"], "middle": ["a", "b"]})
    assert (one.tests, two.tests) == (["middle"], ["long"])
    assert not scheduler.tests_finished


def test_test_that_no_engine_can_run_is_sent_to_any() -> None:
    _, (worker,) = started("a1", allowed={"long": ["c"]})
    assert worker.tests == ["long"]


def test_test_of_an_engine_that_ends_runs_on_another_one_before_the_end() -> None:
    scheduler, (one, two) = started("a1", "b1")
    for _ in range(3):
        end(scheduler, two)
    assert one.tests == ["long"]
    assert scheduler.move("long", "a")
    assert scheduler.move("long", "a"), "each phase of the test asks"
    end(scheduler, one)
    assert scheduler.lost == {"a"}
    assert (one.tests, two.tests[-1]) == (["long"], "long")
    assert not scheduler.tests_finished
    end(scheduler, two)
    assert scheduler.tests_finished


def test_engine_that_has_ended_gets_no_other_test() -> None:
    scheduler, (one, two) = started("a1", "b1")
    scheduler.move("long", "a")
    end(scheduler, one)
    end(scheduler, two)
    assert one.tests == ["long"]
    assert two.tests == ["middle", "long"]


def test_test_stays_on_its_engine_if_no_other_one_can_run_it() -> None:
    scheduler, (one, two) = started("a1", "b1", allowed={"long": ["a"]})
    assert not scheduler.move("long", "a")
    end(scheduler, one)
    assert one.tests == ["long"]
    assert not scheduler.move("middle", "b"), "no engine is left"
    end(scheduler, two)
    end(scheduler, two)
    assert two.tests == ["middle", "short", "short too"], "they report that their engine has ended"


def test_test_of_a_worker_that_dies_is_returned_once() -> None:
    scheduler, (one, two) = started("a1", "a2")
    assert scheduler.remove_node(one) == "long"
    assert scheduler.nodes == [two]
    for _ in range(3):
        end(scheduler, two)
    assert scheduler.tests_finished
    assert scheduler.remove_node(two) is None


def test_worker_that_dies_before_it_is_added_is_unknown() -> None:
    scheduler, _ = started("a1")
    with pytest.raises(KeyError):
        scheduler.remove_node(FakeWorker("a2"))


def test_new_worker_gets_the_next_test() -> None:
    scheduler, _ = started("a1")
    new = FakeWorker("a2")
    scheduler.add_node(new)
    scheduler.schedule()
    assert new.tests == []
    scheduler.add_node_collection(new, TESTS)
    scheduler.schedule()
    assert new.tests == ["middle"]


def test_workers_with_different_tests_are_an_error() -> None:
    scheduler, _ = started("a1")
    new = FakeWorker("a2")
    scheduler.add_node(new)
    with pytest.raises(RuntimeError, match="a2"):
        scheduler.add_node_collection(new, TESTS[:2])


def test_worker_that_ends_gets_no_test() -> None:
    scheduler, (worker,) = started("a1")
    worker.shutting_down = True
    end(scheduler, worker)
    assert worker.tests == ["long"]


def test_run_once_skips_each_repetition() -> None:
    calls: list[object] = []
    plugin = RunOnce()

    def protocol(item: object, nextitem: object) -> None:
        assert plugin.pytest_runtest_protocol(cast("pytest.Item", item)) is None
        calls.append(nextitem)

    item = cast(
        "pytest.Item", SimpleNamespace(ihook=SimpleNamespace(pytest_runtest_protocol=protocol))
    )
    assert [plugin.pytest_runtest_protocol(item) for _ in range(4)] == [True] * 4
    assert calls == [None, None]


def test_workers_are_divided_by_the_shares_of_the_engines() -> None:
    workers = Workers([("one", 4), ("two", 2)])
    names = [workers.add(f"gw{number}") for number in range(6)]
    assert (names.count("one"), names.count("two")) == (4, 2)
    lost = next(f"gw{number}" for number, name in enumerate(names) if name == "two")
    workers.remove(lost)
    assert workers.add("gw6") == "two"
    assert workers.engine_of("gw6") == "two"


def test_workers_without_named_engines_use_the_only_one() -> None:
    workers = Workers([])
    assert [workers.add("gw0"), workers.add("gw1")] == ["", ""]
