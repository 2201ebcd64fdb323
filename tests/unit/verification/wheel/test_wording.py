from __future__ import annotations

import pytest

from verification.wheel.wording import byte_size, listing


@pytest.mark.parametrize(
    ("names", "limit", "text"),
    [
        ("", 3, ""),
        ("a", 3, "a"),
        ("abc", 3, "a, b, c"),
        ("abcd", 3, "a, b, c and 1 more"),
        ("abcd", 2, "a, b and 2 more"),
    ],
)
def test_the_first_names_are_listed(names: str, limit: int, text: str) -> None:
    assert listing(iter(names), limit) == text
    assert limit != 3 or listing(names) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.0 KiB"), (1536, "1.5 KiB"), (2**20 - 1, "1024.0 KiB"), (3 * 2**19, "1.5 MiB")],
)
def test_a_size_is_in_kib_or_mib(size: int, text: str) -> None:
    assert byte_size(size) == text
    assert byte_size(2**20) == "1.0 MiB"
