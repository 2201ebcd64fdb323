"""The base class of every model, and one-line errors for data that does not fit its model."""

from __future__ import annotations

import json
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import pydantic
from pydantic.fields import FieldInfo

from verification.models.errors import ExitCode


class Model(pydantic.BaseModel):
    """A frozen value. An unknown key is an error."""

    # A process builds the validators of the models that it uses, and not of all.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", defer_build=True)


AnyModel = TypeVar("AnyModel", bound=Model)


class DataError(ValueError):
    """Data does not fit its model. The message is one line: where, which field, what is wrong."""

    exit_code = ExitCode.WRONG_USE


def validate(
    model: type[AnyModel], data: pydantic.JsonValue, origin: str, supplied: str = ""
) -> AnyModel:
    """Return the model that ``data`` holds; ``origin`` names the data in an error.

    ``supplied`` is a key that the reader has added to the data.

    Raises:
        DataError: the data do not fit the model.
    """
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        raise DataError(f"{origin}: {error_line(error, model, supplied)}") from None


def parse_json(model: type[AnyModel], text: str | bytes, origin: str) -> AnyModel:
    """Return the model that ``text`` holds as JSON; ``origin`` names the text in an error.

    Raises:
        DataError: the text is not JSON, or does not fit the model.
    """
    try:
        # A file name on a machine need not be UTF-8; pydantic's own parser refuses such a string.
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not JSON: {error}") from None
    return validate(model, data, origin)


def read_json(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the model that a JSON file holds.

    Raises:
        DataError: the file cannot be read, is not JSON, or does not fit the model.
    """
    return parse_json(model, _read(path), path.name)


def load_toml(path: Path) -> dict[str, pydantic.JsonValue]:
    """Return the tables of a TOML file.

    Raises:
        DataError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(_read(path).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not TOML: {error}") from None


def read_toml(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the model that a TOML file holds.

    Raises:
        DataError: the file cannot be read, is not TOML, or does not fit the model.
    """
    return validate(model, load_toml(path), path.name)


def read_tables(model: type[AnyModel], path: Path) -> Mapping[str, AnyModel]:
    """Return the named tables of a TOML file; the model has the table's name in its ``name``.

    Raises:
        DataError: the file cannot be read, is not TOML, or a table does not fit the model.
    """
    found = {}
    for name, table in load_toml(path).items():
        origin = f"{path.name}: {name}"
        if not isinstance(table, dict):
            raise DataError(f"{origin}: it is not a table; write [{name}]")
        if "name" in table:
            raise DataError(f"{origin}: it has a key name; the name is in [{name}]")
        found[name] = validate(model, {"name": name, **table}, origin, supplied="name")
    return found


def error_line(error: pydantic.ValidationError, model: type[Model], supplied: str = "") -> str:
    """Return the first fault of a validation and the number of further ones, in one line.

    ``supplied`` is a key of the model that is not in the data but comes from the reader.
    """
    # An unknown key first: where another one is missing, it is that one, misspelt.
    first, *others = sorted(
        error.errors(include_url=False, include_input=False),
        key=lambda one: one["type"] != "extra_forbidden",
    )
    field = ".".join(str(part) for part in first["loc"]) or "the whole"
    message = " ".join(str(first["msg"]).removeprefix("Value error, ").split())
    if first["type"] == "extra_forbidden":
        known = (key for key in _keys(model, first["loc"][:-1]) if key != supplied)
        message = f"unknown key; there are: {', '.join(known)}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{field}: {message}"[:400] + more


def _keys(model: type[Model], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the model at ``path`` below ``model``."""
    for part in path:
        if field := model.model_fields.get(str(part)):
            model = _model_in(field) or model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _model_in(field: FieldInfo) -> type[Model] | None:
    """Return the model that the annotation of a field names, such as ``tuple[Model, ...]``."""
    annotations = [field.annotation]
    while annotations:
        annotation = annotations.pop()
        if isinstance(annotation, type) and issubclass(annotation, Model):
            return annotation
        annotations += typing.get_args(annotation)
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror or error}") from None
