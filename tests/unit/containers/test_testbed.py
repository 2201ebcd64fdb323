from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from containers import testbed as testbeds
from containers.engine import Engine, Run
from containers.machine import Machine
from containers.network import NetworkHandle
from containers.testbed import Testbed
from verification.models.errors import TestbedFailure
from verification.models.index_log import IndexRequest
from verification.models.testbed import EgressProof, IndexHosts, NetworkObservation, Upload

ENGINE = Engine(url="unix:///sock", origin="a test", version="20.10", os="linux")
RUN = Run(id="1", owner="a:b:c:d")


def test_testbed_can_be_passed_to_another_process_as_json() -> None:
    closed = NetworkObservation(reached=False, resolver="closed")
    testbed = Testbed(
        network=NetworkHandle(engine=ENGINE, run=RUN, name="closed", ca_certificate="PEM"),
        index="0123",
        hosts=IndexHosts(index="a.invalid", files="b.invalid", upload="c.invalid"),
        uploads=(Upload(command=("twine", "upload"), code=0, output="done"),),
        egress=EgressProof(open=closed, machines=closed),
    )
    copy = Testbed.model_validate_json(testbed.model_dump_json())
    assert copy == testbed
    assert (copy.engine, copy.run) == (ENGINE, RUN)


LINE = IndexRequest(time="2026-03-01T10:00:00Z", client="10.0.0.2", path="/simple/")
STARTED = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
HANDLE = NetworkHandle(engine=ENGINE, run=RUN, name="closed", ca_certificate="PEM")
HOSTS = IndexHosts(index="a.invalid", files="b.invalid", upload="c.invalid")


@pytest.mark.parametrize("is_lost", [False, True])
def test_requests_of_a_machine_are_recorded_even_if_it_is_lost(
    is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["10.0.0.2"]
    machine = SimpleNamespace(
        client="client", address_and_start_time=lambda: (addresses.pop(), STARTED)
    )
    asked: list[tuple[Any, ...]] = []

    def read_log(*arguments: Any) -> list[IndexRequest]:
        asked.append(arguments)
        return [LINE]

    monkeypatch.setattr(testbeds, "read_log", read_log)
    kept: list[list[IndexRequest]] = []
    testbed = Testbed(network=HANDLE, index="0123", hosts=HOSTS)

    def run_machine() -> None:
        with testbed.recorded_requests(cast("Machine", machine), kept.append):
            assert not kept
            if is_lost:
                raise TestbedFailure("machine-lost", "debian-13", "no answer")

    if is_lost:
        with pytest.raises(TestbedFailure, match="no answer"):
            run_machine()
    else:
        run_machine()
    assert kept == [[LINE]]
    assert asked == [("client", "0123", STARTED, "10.0.0.2")]
