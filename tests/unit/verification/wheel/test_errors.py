"""The errors of the inspection have the facts that their causes need."""

from __future__ import annotations

from verification.wheel.errors import BadWheel, UnreadableBinary, WheelTooLarge


def test_wheel_that_is_too_large_has_its_file_and_facts() -> None:
    error = WheelTooLarge("a-1-py3-none-any.whl", "too many members", {"limit": "members"})
    assert isinstance(error, BadWheel)
    assert (error.file, dict(error.facts)) == ("a-1-py3-none-any.whl", {"limit": "members"})
    assert str(error) == "too many members"


def test_library_that_no_loader_reads_is_damaged() -> None:
    assert (UnreadableBinary.cause, UnreadableBinary.risk) == ("damaged-library", False)
