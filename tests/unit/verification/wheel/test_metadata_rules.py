"""The rules of the index for metadata."""

from __future__ import annotations

import pytest
from packaging.metadata import InvalidMetadata, Metadata

from verification.wheel.metadata_rules import description_fault, faults, first_fault


def metadata(**fields: object) -> Metadata:
    raw = {"metadata_version": "2.4", "name": "app", "version": "1.0", **fields}
    return Metadata.from_raw(raw)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, []),
        ({"classifiers": ["Typing :: Typed"], "home_page": "https://example.invalid"}, []),
        ({"classifiers": ["Klingon"]}, ["classifier"]),
        ({"version": "1.0+here"}, ["version"]),
        ({"summary": "x" * 513, "home_page": "here"}, ["summary", "home-page"]),
        ({"requires_dist": ["a @ https://example.invalid/a.whl"]}, ["requires-dist"]),
    ],
)
def test_fields_that_the_index_refuses_are_reported(
    fields: dict[str, object], names: list[str]
) -> None:
    assert [fault.field for fault in faults(metadata(**fields))] == names


def test_description_must_render() -> None:
    assert description_fault(metadata(description="A title\n=====\n")) is not None
    assert description_fault(metadata(description="Text.")) is None


def test_fault_of_the_metadata_version_comes_first() -> None:
    names = ("summary", "version", "metadata-version", "classifier")
    found = [InvalidMetadata(name, name) for name in names]
    assert first_fault(found).field == "metadata-version"
    assert first_fault(found[::3]).field == "classifier"
