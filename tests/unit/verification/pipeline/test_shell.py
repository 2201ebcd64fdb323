from __future__ import annotations

import pytest

from verification.pipeline.shell import commands, option, without_comments


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b; c && d || e | f", [("a", "b"), ("c",), ("d",), ("e",), ("f",)]),
        ("if ! a; then b; else c; fi", [("a",), ("b",), ("c",), ("fi",)]),
        ("X=1 Y='2 3' a", [("a",)]),
        ("a 'b; c' \"d && e\"", [("a", "b; c", "d && e")]),
        ("a > out 2>&1 < in", [("a",)]),
        ("a # b\n# c\nd", [("a",), ("d",)]),
        ("a x#y", [("a", "x#y")]),
        ("a <<EOF\nb\nEOF\nc", [("a",), ("c",)]),
        ("a <<-'END'\n  b\n  END\nc", [("a",), ("c",)]),
        ("a $(b c)", [("b", "c"), ("a", "$(b c)")]),
        ('x="$(b)"', [("b",)]),
        ("sh -c 'a; b'", [("a",), ("b",)]),
        ("sudo -E env A=b c", [("c",)]),
        ("/usr/bin/a.exe b", [("a", "b")]),
        ("a \\\n  b", [("a", "b")]),
        ("uv run --with x --python 3.12 a b", [("a", "b")]),
        ("a ${{ x && y }} b", [("a", "${{ x && y }}", "b")]),
        ("a 'unclosed", [("a", "'", "unclosed")]),
    ],
)
def test_script_has_its_commands(script: str, expected: list[tuple[str, ...]]) -> None:
    assert list(commands(script)) == expected


def test_script_in_a_deep_nesting_ends() -> None:
    assert list(commands("$(" * 200 + "a" + ")" * 200)) is not None


def test_option_has_the_value_after_its_name() -> None:
    words = ("twine", "upload", "-r", "test", "--url=x")

    assert option(words, "-r", "--repository") == "test"
    assert option(words, "--url") == "x"
    assert option(words, "--other") == ""


def test_comment_lines_are_left_out() -> None:
    assert without_comments("a\n  # b\nc # d") == "a\nc # d"
