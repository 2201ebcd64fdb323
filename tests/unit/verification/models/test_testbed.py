from __future__ import annotations

import pytest

from verification.models.testbed import EgressProof, IndexHosts, NetworkObservation


@pytest.mark.parametrize(
    ("reached", "resolver", "egress"),
    [
        (False, "closed", ()),
        (False, "not asked", ()),
        (True, "closed", ("it reached the beacon outside",)),
        (False, "open", ("names outside are resolved",)),
        (True, "open", ("it reached the beacon outside", "names outside are resolved")),
    ],
)
def test_the_ways_out_are_in_words(reached: bool, resolver: str, egress: tuple[str, ...]) -> None:
    values = {"reached": reached, "resolver": resolver}
    observed = NetworkObservation.model_validate(values)
    assert observed.egress == egress
    proof = EgressProof(open=observed, machines=observed)
    assert proof.model_dump() == {"open": values, "machines": values}


def test_the_hosts_of_an_index_are_distinct() -> None:
    hosts = IndexHosts(index="b.invalid", files="a.invalid", upload="b.invalid")
    assert hosts.all() == ["a.invalid", "b.invalid"]
