"""The base of every model, and one-line errors for data that does not fit its model."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TypeVar

import pydantic


class Model(pydantic.BaseModel):
    """A frozen value. An unknown key is an error."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


AnyModel = TypeVar("AnyModel", bound=Model)


class DataError(ValueError):
    """Data does not fit its model. The message is one line: where, which field, what is wrong."""


def parse_json(model: type[AnyModel], text: str | bytes, origin: str) -> AnyModel:
    """Return the model that ``text`` holds as JSON; ``origin`` names the text in an error.

    Raises:
        DataError: the text is not JSON, or does not fit the model.
    """
    try:
        # A file name on a machine need not be UTF-8; pydantic's own parser refuses such a string.
        return model.model_validate(json.loads(text))
    except pydantic.ValidationError as error:
        raise DataError(f"{origin}: {error_line(error)}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not JSON: {error}") from None


def read_json(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the model that a JSON file holds.

    Raises:
        DataError: the file cannot be read, is not JSON, or does not fit the model.
    """
    return parse_json(model, _read(path), path.name)


def read_toml(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the model that a TOML file holds.

    Raises:
        DataError: the file cannot be read, is not TOML, or does not fit the model.
    """
    try:
        # JSON in between: it turns TOML's dates into text.
        text = json.dumps(tomllib.loads(_read(path).decode("utf-8")), default=str)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not TOML: {error}") from None
    return parse_json(model, text, path.name)


def error_line(error: pydantic.ValidationError) -> str:
    """Return the first fault of a validation and the number of further ones, in one line."""
    first, *others = error.errors(include_url=False, include_input=False)
    field = ".".join(str(part) for part in first["loc"]) or "the whole"
    message = " ".join(str(first["msg"]).split())
    more = f" (and {len(others)} more)" if others else ""
    return f"{field}: {message}{more}"[:400]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror or error}") from None
