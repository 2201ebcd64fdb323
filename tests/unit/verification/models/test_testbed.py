from __future__ import annotations

from typing import Literal

import pytest

from verification.models.testbed import EgressProof, IndexHosts, NetworkObservation

Resolver = Literal["closed", "open", "not asked"]


@pytest.mark.parametrize("resolver", ["closed", "not asked"])
def test_a_closed_network_has_no_egress(resolver: Resolver) -> None:
    assert NetworkObservation(reached=False, resolver=resolver).egress == ()


def test_each_observed_egress_is_listed() -> None:
    (beacon,) = NetworkObservation(reached=True, resolver="closed").egress
    (names,) = NetworkObservation(reached=False, resolver="open").egress
    assert NetworkObservation(reached=True, resolver="open").egress == (beacon, names)
    assert beacon != names


def test_the_egress_proof_has_the_observations_of_both_networks() -> None:
    open_network = NetworkObservation(reached=True, resolver="not asked")
    closed_network = NetworkObservation(reached=False, resolver="closed")
    assert EgressProof(open=open_network, machines=closed_network).model_dump() == {
        "open": {"reached": True, "resolver": "not asked"},
        "machines": {"reached": False, "resolver": "closed"},
    }


def test_the_host_names_of_an_index_are_distinct() -> None:
    hosts = IndexHosts(index="b.invalid", files="a.invalid", upload="b.invalid")
    assert hosts.all() == ["a.invalid", "b.invalid"]
