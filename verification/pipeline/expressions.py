"""Replace expressions that are only a name: `${{ matrix.os }}`, `${{ github.ref_name }}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"\$\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


def replace_expressions(text: str, values: Mapping[str, str]) -> str:
    """Replace the expressions whose name has a value. Other expressions do not change."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1], match[0])

    return _NAME.sub(value, text)


def has_no_expression(text: str) -> bool:
    """Return whether a text has no expression."""
    return "${{" not in text
