from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.helpers.sample_evidence import CELL, evidence
from verification import rules
from verification.rules.catalogue import CatalogueError, catalogue
from verification.rules.finding import finding

SOURCES = sorted(Path(rules.__file__).parent.glob("*.py"))


def strings(tree: ast.AST) -> list[str]:
    """Return the string constants in a syntax tree."""
    nodes = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [value for value in nodes if isinstance(value, str)]


def test_finding_becomes_a_cause_at_a_location_of_the_cell() -> None:
    fault = finding("crash", "signal", code=-11, signal="SIGSEGV")
    cause = fault.at(evidence(), "import")
    assert (cause.name, cause.severity, cause.where) == ("crash", "broken", f"{CELL}: import")
    assert cause.message == catalogue()["crash"].message("signal", fault.facts)
    assert cause.facts == {"code": -11, "signal": "SIGSEGV"}
    assert fault.at(evidence()).where == CELL
    assert fault.cause("a.whl").where == "a.whl"


def test_risk_has_the_lesser_severity() -> None:
    fault = finding("silent-fallback", "installed", installed="1", published="2")
    assert fault.at(evidence()).severity == "broken"
    assert fault.as_risk().at(evidence()).severity == "flawed"
    assert (fault.risk, fault.as_risk().risk) == (False, True)


@pytest.mark.parametrize(
    ("name", "form", "facts"),
    [("no-cause", "signal", {}), ("crash", "no-form", {}), ("crash", "signal", {"code": 1})],
)
def test_finding_without_template_or_fact_is_refused(
    name: str, form: str, facts: dict[str, int]
) -> None:
    with pytest.raises(CatalogueError):
        finding(name, form, **facts)


def test_rules_name_only_forms_of_the_catalogue() -> None:
    unknown = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "finding"):
                continue
            name, form = node.args[:2]
            if isinstance(name, ast.Constant) and isinstance(form, ast.Constant):
                entry = catalogue().get(str(name.value)) if name.value in catalogue() else None
                if entry is None or form.value not in entry.messages:
                    unknown.append((source.name, name.value, form.value))
    assert unknown == []


def test_every_message_of_the_catalogue_is_used_by_a_rule() -> None:
    constants = defaultdict(set)
    for source in SOURCES:
        for value in strings(ast.parse(source.read_text("utf-8"))):
            constants[value].add(source.name)
    # "-at" is appended for a known frame; a change of paths or keys is the name of a form.
    composed = {f"{form}-at" for form in ("seconds", "stalled")} | {"added", "removed", "changed"}
    unused = [
        (entry.name, form)
        for entry in catalogue().values()
        for form in entry.messages
        if form not in constants and form not in composed
    ]
    assert unused == []
