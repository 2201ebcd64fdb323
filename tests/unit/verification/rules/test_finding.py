from __future__ import annotations

from tests.helpers.sample_evidence import CELL, evidence
from verification.rules.finding import finding


def test_a_finding_becomes_a_cause_at_a_place_of_the_cell() -> None:
    cause = finding("crash", "killed", code=-11).at(evidence(), "import")
    assert (cause.name, cause.severity, cause.where) == ("crash", "broken", f"{CELL}: import")
    assert cause.message.startswith("killed; expected ")
    assert cause.facts == {"code": -11}
    assert finding("crash", "killed").at(evidence()).where == CELL


def test_a_risk_has_the_lesser_severity() -> None:
    fault = finding("silent-fallback", "older")
    assert fault.at(evidence()).severity == "broken"
    assert fault.as_risk().at(evidence()).severity == "flawed"
    assert (fault.risk, fault.as_risk().risk) == (False, True)
