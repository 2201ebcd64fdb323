"""The rules of the index for the file of a wheel."""

from __future__ import annotations

import io

import pytest
from packaging.version import Version

from tests.helpers.live_answers import (
    ARCHIVE_ROWS,
    NAME,
    NAME_ROWS,
    Row,
    members,
    packed,
    without_page,
)
from verification.wheel.wheel_rules import UploadClaim, record_differs, wheel_refusal

CLAIM = UploadClaim("rows", Version("1.0"))


@pytest.mark.parametrize("row", [*NAME_ROWS, *ARCHIVE_ROWS], ids=lambda row: row.id)
def test_refusal_has_the_words_of_the_live_index(row: Row) -> None:
    content = packed(members()) if row.content is None else row.content
    refusal = wheel_refusal(io.BytesIO(content), row.filename, CLAIM)
    assert (refusal is None) == (row.status == 200)
    answer = without_page(row.answer)
    if refusal is not None:
        assert refusal.reason.startswith(answer.removesuffix("...").removesuffix(" See "))


def test_missing_licence_is_refused() -> None:
    claim = UploadClaim("rows", Version("1.0"), ("LICENSE",))
    refusal = wheel_refusal(io.BytesIO(packed(members())), NAME, claim)
    assert refusal is not None
    assert "License-File LICENSE does not exist" in refusal.reason


def test_difference_of_record_is_found() -> None:
    assert not record_differs(io.BytesIO(packed(members())), NAME)
    assert record_differs(io.BytesIO(packed(members(RECORD=b""))), NAME)
