from __future__ import annotations

from pathlib import Path

import pytest

from verification.models import base
from verification.models.base import (
    DataError,
    Model,
    load_toml,
    parse_json,
    read_json,
    read_tables,
    read_toml,
)


class _Cell(Model):
    id: str
    names: tuple[str, ...] = ()


class _Named(Model):
    name: str
    id: str


@pytest.mark.parametrize("text", ["", "{", "\udce9", "[" * 100_000])
def test_text_that_is_not_json_gives_a_one_line_error(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_json(_Cell, text, "a.json")
    assert str(error.value).startswith("a.json: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "field"),
    [("{}", "id"), ('{"id": 1}', "id"), ('{"id": "a", "new": 1}', "new"), ('{"new": 1}', "new")],
)
def test_an_error_names_the_field(text: str, field: str) -> None:
    with pytest.raises(DataError, match=f"^a.json: {field}: "):
        parse_json(_Cell, text, "a.json")


def test_data_of_another_type_is_an_error_without_a_field() -> None:
    with pytest.raises(DataError, match=r"^a\.json: "):
        parse_json(_Cell, "[]", "a.json")


def test_an_unknown_key_is_reported_with_the_known_keys() -> None:
    with pytest.raises(DataError, match=r": id, names$"):
        parse_json(_Cell, '{"id": "a", "new": 1}', "a.json")


def test_further_faults_are_counted() -> None:
    with pytest.raises(DataError, match=r"^a.json: id: .*\b1\b[^\n]*$"):
        parse_json(_Cell, '{"id": null, "names": 2}', "a.json")


def test_a_table_of_a_toml_file_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[one]\nid = "a"\n[two]\nid = "b"\n', "utf-8")
    named = read_tables(_Named, tmp_path / "a.toml")
    assert {name: (model.name, model.id) for name, model in named.items()} == {
        "one": ("one", "a"),
        "two": ("two", "b"),
    }


@pytest.mark.parametrize("text", ["one = 1", '[one]\nid = "a"\nname = "x"', "[one]"])
def test_a_bad_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"^a\.toml: one: "):
        read_tables(_Named, tmp_path / "a.toml")


def test_an_error_names_the_path_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images" / "debian-13" / "recipe.toml"
    path.parent.mkdir(parents=True)
    path.write_text("name =", "utf-8")
    with pytest.raises(DataError, match=r"^recipe\.toml\b"):
        load_toml(path)
    monkeypatch.setattr(base, "_ROOT", tmp_path)
    with pytest.raises(DataError, match=r"^images/debian-13/recipe\.toml\b"):
        load_toml(path)


def test_a_file_name_that_is_not_utf8_is_read() -> None:
    assert parse_json(_Cell, '{"id": "a", "names": ["caf\\udce9"]}', "a.json").names == (
        "caf\udce9",
    )


def test_files_are_read_and_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('id = "a"\nnames = ["b"]\n', "utf-8")
    (tmp_path / "a.json").write_text('{"id": "a", "names": ["b"]}', "utf-8")

    assert read_toml(_Cell, tmp_path / "a.toml") == read_json(_Cell, tmp_path / "a.json")
    with pytest.raises(DataError, match=r"b\.toml: .*No such file"):
        read_toml(_Cell, tmp_path / "b.toml")
