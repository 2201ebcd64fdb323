from __future__ import annotations

import pytest
from pydantic import ValidationError

from verification.reproduction import substitutes
from verification.scenarios import installers, scenarios


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("poetry", "poetry"),
        ("Microsoft  Store", "store-python"),
        ("uv tool", "uv-environment"),
        ("mamba", "conda"),
        ("Zscaler", "tls-proxy"),
    ],
)
def test_a_name_that_users_write_leads_to_its_substitute(text: str, name: str) -> None:
    found = substitutes.named(text)
    assert found
    assert found.name == name


def test_an_installer_of_the_suite_has_no_substitute() -> None:
    known = {*installers.load(), *(name for table in scenarios.load().values() for name in table)}
    assert [name for name in known if substitutes.named(name)] == []


def test_a_workaround_with_an_unknown_placeholder_is_an_error() -> None:
    table = next(iter(substitutes.load().values())).model_dump()
    values = {**table, "workaround": "pip install {project}=={version}"}
    with pytest.raises(ValidationError, match="version"):
        substitutes.Substitute.model_validate(values)


def test_names_are_unique_and_installers_exist() -> None:
    items = substitutes.load().values()
    names = [name for item in items for name in {item.name, *item.names}]
    assert len(names) == len(set(names))
    assert {item.installer for item in items} <= {"", *installers.load()}
    assert all(item.installer == "" for item in items if not item.runs)
