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

_ROOT = Path(__file__).parents[2]


class Model(pydantic.BaseModel):
    """A frozen value. An unknown key is an error."""

    # Each process builds only the validators of the models that it uses.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", defer_build=True)


AnyModel = TypeVar("AnyModel", bound=Model)


class DataError(ValueError):
    """Data does not fit its model. The message is one line: where, which field, what is wrong."""

    exit_code = ExitCode.WRONG_USE


def validate(
    model: type[AnyModel], data: pydantic.JsonValue, origin: str, supplied: str = ""
) -> AnyModel:
    """Return ``data`` as a model; ``origin`` names the data in an error.

    ``supplied`` is a key that the caller added to the data.

    Raises:
        DataError: the data does not fit the model.
    """
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        raise DataError(f"{origin}: {error_line(error, model, supplied)}") from None


def parse_json(model: type[AnyModel], text: str | bytes, origin: str) -> AnyModel:
    """Return JSON as a model; ``origin`` names the text in an error.

    Raises:
        DataError: the text is not JSON, or does not fit the model.
    """
    try:
        # File names of a machine can contain bytes that are not UTF-8. pydantic's parser refuses
        # such a string.
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not JSON: {error}") from None
    return validate(model, data, origin)


def read_json(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the content of a JSON file as a model.

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
    except (ValueError, RecursionError) as error:  # ValueError also for a wrong date
        raise DataError(f"{_name(path)} is not TOML: {error}") from None


def read_toml(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the content of a TOML file as a model.

    Raises:
        DataError: the file cannot be read, is not TOML, or does not fit the model.
    """
    return validate(model, load_toml(path), _name(path))


def read_tables(model: type[AnyModel], path: Path) -> Mapping[str, AnyModel]:
    """Return the tables of a TOML file by name. The field ``name`` of each model is that name.

    Raises:
        DataError: the file cannot be read, is not TOML, or a table does not fit the model.
    """
    models = {}
    for name, table in load_toml(path).items():
        origin = f"{_name(path)}: {name}"
        if not isinstance(table, dict):
            raise DataError(f"{origin}: is not a table; write [{name}]")
        if "name" in table:
            raise DataError(f"{origin}: remove the key name; the name is in [{name}]")
        models[name] = validate(model, {"name": name, **table}, origin, supplied="name")
    return models


def error_line(error: pydantic.ValidationError, model: type[Model], supplied: str = "") -> str:
    """Return one line with the first fault of a validation and the number of further faults.

    ``supplied`` is a key of the model that the caller adds to the data.
    """
    # An unknown key comes first: it is often a misspelt key that is then reported as missing.
    first, *others = sorted(
        error.errors(include_url=False, include_input=False),
        key=lambda fault: fault["type"] != "extra_forbidden",
    )
    field = ".".join(str(part) for part in first["loc"]) or "top level"
    message = " ".join(str(first["msg"]).removeprefix("Value error, ").split())
    if first["type"] == "extra_forbidden":
        known = (key for key in _keys(model, first["loc"][:-1]) if key != supplied)
        message = f"unknown key; the known keys are: {', '.join(known)}"
    count = f" (and {len(others)} more)" if others else ""
    return f"{field}: {message}"[:400] + count


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


def _name(path: Path) -> str:
    """Return the path relative to the suite's checkout; outside of it, only the name."""
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
