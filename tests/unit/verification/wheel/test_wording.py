from __future__ import annotations

import re

import pytest

from verification.wheel.wording import byte_size, listing


@pytest.mark.parametrize(
    ("names", "limit", "listed", "others"),
    [
        ("", 3, "", ""),
        ("A", 3, "A", ""),
        ("ABC", 3, "A, B, C", ""),
        ("ABCD", 3, "A, B, C", "1"),
        ("ABCD", 2, "A, B", "2"),
    ],
)
def test_listing_has_the_first_names_and_the_number_of_others(
    names: str, limit: int, listed: str, others: str
) -> None:
    text = listing(iter(names), limit)
    assert text.startswith(listed)
    assert re.findall(r"[A-D]|\d", text) == [*names[:limit], *others]
    assert limit != 3 or listing(names) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.0 KiB"), (1536, "1.5 KiB"), (2**20 - 1, "1024.0 KiB"), (3 * 2**19, "1.5 MiB")],
)
def test_byte_size_is_in_kib_or_mib(size: int, text: str) -> None:
    assert byte_size(size) == text
    assert byte_size(2**20) == "1.0 MiB"
