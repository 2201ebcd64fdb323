from __future__ import annotations

from containers.engine import Engine, Run
from containers.network import NetworkHandle
from containers.testbed import Testbed
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
