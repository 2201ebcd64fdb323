from __future__ import annotations

from pathlib import Path

import pytest

from verification.models.base import DataError, Model, parse_json, read_json, read_toml


class _Cell(Model):
    id: str
    names: tuple[str, ...] = ()


@pytest.mark.parametrize("text", ["", "{", "\udce9", "[" * 100_000])
def test_text_that_is_not_json_is_one_line(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_json(_Cell, text, "a.json")
    assert str(error.value).startswith("a.json: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "field"),
    [("[]", "the whole"), ("{}", "id"), ('{"id": 1}', "id"), ('{"id": "a", "new": 1}', "new")],
)
def test_an_error_names_the_field(text: str, field: str) -> None:
    with pytest.raises(DataError, match=f"^a.json: {field}: "):
        parse_json(_Cell, text, "a.json")


def test_further_errors_are_counted() -> None:
    with pytest.raises(DataError, match=r"\(and 1 more\)$"):
        parse_json(_Cell, '{"id": 1, "names": 2}', "a.json")


def test_a_file_name_that_is_not_utf8_is_read() -> None:
    assert parse_json(_Cell, '{"id": "a", "names": ["caf\\udce9"]}', "a.json").names == (
        "caf\udce9",
    )


def test_files_are_read_and_a_missing_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('id = "a"\nnames = ["b"]\n', "utf-8")
    (tmp_path / "a.json").write_text('{"id": "a", "names": ["b"]}', "utf-8")

    assert read_toml(_Cell, tmp_path / "a.toml") == read_json(_Cell, tmp_path / "a.json")
    with pytest.raises(DataError, match=r"b\.toml: it cannot be read"):
        read_toml(_Cell, tmp_path / "b.toml")
