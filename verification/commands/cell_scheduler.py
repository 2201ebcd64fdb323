"""Give each worker one cell at a time, the longest first, on an engine that has its machine.

pytest-xdist starts a test only when the next one is known, so that a worker always has a test that
no other worker can take. Here each cell is therefore sent twice: `RunOnce` runs it the first time,
and skips the second one. A cell can then move to another engine until the end of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

import pytest
from xdist.workermanage import WorkerController, parse_tx_spec_config


class RunOnce:
    """Makes a worker run every second test that the scheduler sends. The others are repetitions."""

    def __init__(self) -> None:
        self._is_repetition = False
        self._runs = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a test completely, or do nothing."""
        if self._runs:
            return None
        self._is_repetition = not self._is_repetition
        if not self._is_repetition:
            return True
        self._runs = True
        try:
            # Without a next test, pytest ends all fixtures of this one.
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        finally:
            self._runs = False
        return True


class Workers:
    """The engine of each worker. Each engine has its share of the workers."""

    def __init__(self, shares: Sequence[tuple[str, int]]) -> None:
        """``shares`` has the number of workers of each engine, by its name."""
        self._shares = dict(shares) or {"": 1}
        self._engines: dict[str, str] = {}
        self._running: Counter[str] = Counter()

    def add(self, worker: str) -> str:
        """Return the engine of a new worker."""
        engine = min(self._shares, key=lambda name: (self._running[name] + 1) / self._shares[name])
        self._engines[worker] = engine
        self._running[engine] += 1
        return engine

    def remove(self, worker: str) -> None:
        """Record that a worker has ended. A new one takes its place on the engine."""
        self._running[self._engines[worker]] -= 1

    def engine_of(self, worker: str) -> str:
        """Return the engine of a worker."""
        return self._engines[worker]


class Placement(Protocol):
    """Which engine a worker uses, and which tests can run there."""

    def engine_of(self, node: WorkerController) -> str:
        """Return the engine of a worker."""

    def engines_for(self, test: str) -> Collection[str] | None:
        """Return the engines on which a test can run; None for any."""

    def seconds(self, test: str) -> float:
        """Return the expected seconds of a test."""


class CellScheduler:
    """Sends the tests of a gate to the workers. It is a scheduler of pytest-xdist."""

    def __init__(self, config: pytest.Config, placement: Placement) -> None:
        self._worker_count = len(parse_tx_spec_config(config))
        self._placement = placement
        self._tests: tuple[str, ...] | None = None
        """The names of the tests, the same in each worker; None before a worker has them."""
        self._nodes: list[WorkerController] = []
        self._ready: set[WorkerController] = set()
        """The workers that have collected their tests."""
        self._pending: list[int] = []
        self._running: dict[WorkerController, int] = {}
        """The test that each worker runs."""
        self._repeated: set[WorkerController] = set()
        """The workers that have the repetition of their test before them."""
        self._lost: set[str] = set()
        """The engines that have ended."""
        self._moving: set[int] = set()
        """The tests that run again on another engine when they have ended."""

    # ---- the interface of pytest-xdist ----

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers."""
        return list(self._nodes)

    @property
    def collection_is_completed(self) -> bool:
        """True if the first workers have collected their tests."""
        return self._tests is not None and len(self._ready) >= self._worker_count

    @property
    def tests_finished(self) -> bool:
        """True if all tests have ended."""
        return self.collection_is_completed and not self.has_pending

    @property
    def has_pending(self) -> bool:
        """True if a test has not ended."""
        return bool(self._pending or self._running)

    def add_node(self, node: WorkerController) -> None:
        """Add a worker."""
        self._nodes.append(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Record the tests that a worker has collected.

        Raises:
            RuntimeError: another worker has other tests.
        """
        tests = tuple(collection)
        if self._tests is None:
            self._tests = tests
            # The order of tests of equal length stays that of their collection.
            self._pending = sorted(
                range(len(tests)), key=lambda index: -self._placement.seconds(tests[index])
            )
        elif tests != self._tests:
            raise RuntimeError(f"worker {node.gateway.id} has collected other tests")
        self._ready.add(node)

    def schedule(self) -> None:
        """Send a test to each worker that has none."""
        for node in self._nodes:
            self._send(node)

    def mark_test_complete(
        self,
        node: WorkerController,
        item_index: int,
        duration: float = 0,  # noqa: ARG002
    ) -> None:
        """Record that a test or its repetition has ended. Send the next one after a test."""
        if node in self._repeated:
            self._repeated.discard(node)
            return
        self._repeated.add(node)
        del self._running[node]
        if item_index in self._moving:
            self._moving.discard(item_index)
            self._pending.insert(0, item_index)
            self.schedule()
        else:
            self._send(node)

    def mark_test_pending(self, item: str) -> None:
        """Run a test again."""
        self._pending.insert(0, self._index(item))
        self.schedule()

    def remove_pending_tests_from_node(
        self, node: WorkerController, indices: Sequence[int]
    ) -> None:
        """Do nothing. No worker has a test that another one could run."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Remove a worker that has ended. Return the test that it ran, or None.

        Raises:
            KeyError: it ended before it was added.
        """
        if node not in self._nodes:
            raise KeyError(node)
        self._nodes.remove(node)
        self._repeated.discard(node)
        index = self._running.pop(node, None)
        self.schedule()
        if index is None or self._tests is None:
            return None
        self._moving.discard(index)
        return self._tests[index]

    # ---- engines that end ----

    def move(self, test: str, engine: str) -> bool:
        """Record that an engine has ended while it ran a test. Return True if the test runs again.

        It does not if no other engine can run it.
        """
        self._lost.add(engine)
        index = self._index(test)
        if index not in self._moving and not self._engines_for(test) - self._lost:
            return False
        self._moving.add(index)
        return True

    @property
    def lost(self) -> frozenset[str]:
        """The engines that have ended."""
        return frozenset(self._lost)

    def _send(self, node: WorkerController) -> None:
        """Send the next test to a worker, unless it runs one."""
        if node in self._running or node not in self._ready or node.shutting_down:
            return
        assert self._tests is not None
        engine = self._placement.engine_of(node)
        for position, index in enumerate(self._pending):
            if engine in self._engines_for(self._tests[index]):
                del self._pending[position]
                self._running[node] = index
                node.send_runtest_some([index, index])
                return

    def _index(self, test: str) -> int:
        assert self._tests is not None
        return self._tests.index(test)

    def _engines_for(self, test: str) -> set[str]:
        """Return the engines on which a test runs: those that answer, or else those that do not.

        A test that no engine with workers can run reports this on any engine.
        """
        present = {self._placement.engine_of(node) for node in self._nodes}
        allowed = self._placement.engines_for(test)
        able = (present if allowed is None else present & set(allowed)) or present
        return able - self._lost or able
