from __future__ import annotations

import pytest

from verification.report import markdown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a | b\n<img>", "a \\| b &lt;img>"),
        ("C:\\new", "C:\\\\new"),
        ("a\\|b", "a\\\\\\|b"),
        ("`C:\\new` and *x*", "`C:\\new` and *x*"),
        ("`a\\|b`", "`a\\ \\|b`"),
    ],
)
def test_a_line_keeps_code_and_emphasis_and_no_html(text: str, line: str) -> None:
    assert markdown.line(text) == line


def test_escaped_text_has_no_markup() -> None:
    text = markdown.escaped("a|b <img> `c` *x* [l](m)\n# h\\")
    assert "\n" not in text
    for character in "|<`*[#":
        assert text.count(character) == text.count(f"\\{character}")
    assert text.endswith("\\\\")


def test_code_is_one_line_without_a_backtick() -> None:
    assert markdown.code("a\n`b`") == "`a 'b'`"
