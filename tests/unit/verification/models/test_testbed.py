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


def test_an_address_that_answers_is_egress_also_if_the_beacon_is_not_reached() -> None:
    observed = NetworkObservation(reached=False, resolver="closed", addresses=("192.0.2.1",))
    (line,) = observed.egress
    assert "192.0.2.1" in line
    assert not observed.is_routed
    assert observed.model_copy(update={"gateway": "192.0.2.1"}).is_routed


def test_egress_proof_of_an_earlier_report_is_read() -> None:
    recorded = {
        "open": {"reached": True, "resolver": "not asked"},
        "machines": {"reached": False, "resolver": "closed"},
    }
    proof = EgressProof.model_validate(recorded)
    assert (proof.not_proved, proof.reachable) == ("", ())
    assert proof.machines == NetworkObservation(reached=False, resolver="closed")


def test_the_host_names_of_an_index_are_distinct() -> None:
    hosts = IndexHosts(index="b.invalid", files="a.invalid", upload="b.invalid")
    assert hosts.all() == ["a.invalid", "b.invalid"]
