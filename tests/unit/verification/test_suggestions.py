from __future__ import annotations

import pytest

from verification.suggestions import did_you_mean, unknown

NAMES = ("debian-13", "alpine")


@pytest.mark.parametrize("word", ["debain-13", "Debian-31", "debian 13"])
def test_a_similar_name_is_suggested(word: str) -> None:
    assert did_you_mean(word, NAMES) == "; did you mean debian-13?"
    line = unknown("machine", word, NAMES)
    assert line.startswith(f"{word}: ")
    assert "debian-13" in line
    assert "alpine" not in line


def test_without_a_similar_name_the_line_lists_the_known_ones() -> None:
    assert did_you_mean("toaster", NAMES) == ""
    assert all(name in unknown("machine", "toaster", NAMES) for name in NAMES)
    line = unknown("machine", "toaster", NAMES, ("Debian", "Alpine Linux"))
    assert all(name in line for name in ("Debian", "Alpine Linux"))
    assert not any(name in line for name in NAMES)


def test_without_names_the_line_says_that_there_are_none() -> None:
    assert unknown("cell", "x", ()).endswith(" none")
