"""Replace expressions that are a plain name: `${{ matrix.os }}`, `${{ github.ref_name }}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"\$\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values of the names that are known into a text; the others stay as they are."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1], match[0])

    return _NAME.sub(value, text)


def is_filled(text: str) -> bool:
    """Tell whether no expression is left in a text."""
    return "${{" not in text
