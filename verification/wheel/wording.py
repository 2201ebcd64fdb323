"""Format lists and sizes for messages."""

from __future__ import annotations

from collections.abc import Iterable


def listing(names: Iterable[str], limit: int = 3) -> str:
    """Return the first ``limit`` names and the number of the other names."""
    items = list(names)
    others = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + others


def byte_size(size: int) -> str:
    """Return a number of bytes in KiB or MiB."""
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
