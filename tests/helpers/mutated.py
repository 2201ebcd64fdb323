"""Change valid files as damage and attacks do. hypothesis then finds the shortest change."""

from __future__ import annotations

from hypothesis import strategies as st

_VALUES = tuple(
    value.to_bytes(size, "little")
    for size in (1, 2, 4, 8)
    for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
)
"""The values at which fields of files overflow, become negative, or point beyond the end."""


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Return valid data with one to four changes.

    They are other, missing or repeated bytes, and deep nesting.
    """
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        change = draw(st.sampled_from(("value", "bytes", "nest", "cut", "remove", "repeat")))
        length = draw(st.integers(1, 64))
        match change:
            case "value":
                value = draw(st.sampled_from(_VALUES))
                data = data[:start] + value + data[start + len(value) :]
            case "bytes":
                value = draw(st.binary(min_size=1, max_size=8))
                data = data[:start] + value + data[start + len(value) :]
            case "nest":
                data = data[:start] + draw(st.sampled_from((b"[", b"{", b'{"a":'))) * 3000
            case "cut":
                data = data[:start]
            case "remove":
                data = data[:start] + data[start + length :]
            case _:
                data = data[: start + length] + data[start:]
    return data
