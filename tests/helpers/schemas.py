"""Return the JSON Schema of a model, and the fields of a model as Markdown tables."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from verification.models.base import Model

Schema = Mapping[str, JsonValue]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Untitled(GenerateJsonSchema):
    """Leaves out titles, because they only repeat the names of the fields."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


class _AllRequired(_Untitled):
    """Makes all fields required, for a model that writes all its fields."""

    def field_is_required(self, field: object, total: bool) -> bool:  # noqa: ARG002
        return True


def schema(model: type[Model], *, all_required: bool = True) -> dict[str, JsonValue]:
    """Return the JSON Schema of a serialized model. The docstrings of fields are descriptions.

    With ``all_required``, all fields are required.
    """
    generator = _AllRequired if all_required else _Untitled
    root = model.model_json_schema(mode="serialization", schema_generator=generator)
    definitions = root.pop("$defs", {})
    _add_descriptions(root, model)
    for name, definition in definitions.items():
        for candidate in _models().get(name.partition("_")[0], ()):
            # Two modules can have a class of the same name.
            if _keys(candidate) == set(definition.get("properties", ())):
                _add_descriptions(definition, candidate)
    return {"$schema": _DIALECT, **root, "$defs": definitions}


def _add_descriptions(definition: dict[str, dict[str, dict[str, str]]], model: type[Model]) -> None:
    for name, field in model.model_fields.items():
        property_ = definition.get("properties", {}).get(field.serialization_alias or name)
        if property_ is not None and (text := _docstring(model, name)):
            property_.setdefault("description", text)


def _keys(model: type[Model]) -> set[str]:
    return {
        field.serialization_alias or name
        for name, field in model.model_fields.items()
        if not field.exclude
    }


@functools.cache
def _models() -> dict[str, list[type[Model]]]:
    """Return all models by class name."""
    models: dict[str, list[type[Model]]] = {}
    pending = [Model]
    while pending:
        model = pending.pop()
        pending += model.__subclasses__()
        if "[" not in model.__name__:
            models.setdefault(model.__name__, []).append(model)
    return models


def _docstring(model: type[Model], field: str) -> str:
    """Return the string below a field in its class, or in the base class that defines it."""
    for base in model.__mro__:
        name = base.__name__.partition("[")[0]
        if text := _docstrings(base.__module__).get((name, field)):
            return text
    return ""


@functools.cache
def _docstrings(module: str) -> dict[tuple[str, str], str]:
    if not module.startswith("verification."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        (node.name, field.target.id): " ".join(text.value.value.split())
        for node in classes
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


# ---- Markdown ----


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(heads), ["---"] * len(heads), *map(list, rows)]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells) + "\n"


def code(*words: str) -> str:
    """Return each word as Markdown code, separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def page(model: type[Model], title: str, *, all_required: bool = True) -> str:
    """Return the fields of ``model`` under ``title``, and the fields of all models that it uses."""
    root = _without_type_arguments(schema(model, all_required=all_required))
    text = f"## {title}\n\n" + _fields(root)
    for name, definition in sorted(_items(root["$defs"])):
        text += f"## {name}\n\n"
        if description := definition.get("description"):
            text += f"{' '.join(str(description).split())}\n\n"
        text += (
            _fields(definition)
            if definition.get("properties")
            else f"{type_description(definition)}\n\n"
        )
    return text


def _without_type_arguments(root: Schema) -> Schema:
    """Return a schema with one definition of ``ExerciseStep``, not one for each type of its value.

    A reference to it gets the key ``argument``, which describes the type.
    """
    definitions: dict[str, JsonValue] = {}
    references: dict[str, dict[str, JsonValue]] = {}
    for name, definition in _items(root["$defs"]):
        base = name.partition("_")[0]
        if base == name or base not in _models():
            definitions[name] = {**definition}
            continue
        properties = _schema_of(definition["properties"])
        value = _schema_of(properties["value"])
        argument = type_description({**value}).removesuffix("null").removesuffix(" or ")
        references[f"#/$defs/{name}"] = {"$ref": f"#/$defs/{base}", "argument": argument}
        varying = {"type": "varies", "description": value.get("description", "")}
        definitions[base] = {
            "description": inspect.getdoc(_models()[base][0]),
            "properties": {**properties, "value": varying},
        }

    def rewrite(value: JsonValue) -> JsonValue:
        if isinstance(value, list):
            return [rewrite(item) for item in value]
        if not isinstance(value, dict):
            return value
        items = {key: rewrite(item) for key, item in value.items()}
        return {**items, **references.get(str(value.get("$ref")), {})}

    return _schema_of(rewrite({**root, "$defs": definitions}))


def _fields(definition: Schema) -> str:
    rows = (
        (code(name), type_description(field), str(field.get("description", "")))
        for name, field in _items(definition["properties"])
    )
    return table(("key", "kind", "meaning"), rows)


def _items(value: JsonValue) -> Iterator[tuple[str, Schema]]:
    assert isinstance(value, dict)
    for name, item in value.items():
        yield name, _schema_of(item)


def _schema_of(value: JsonValue | None) -> Schema:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue | None) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def type_description(definition: Schema) -> str:
    """Return a short description of the type in a JSON Schema."""
    if "$ref" in definition:
        name = str(definition["$ref"]).rsplit("/", 1)[-1]
        argument = definition.get("argument")
        return f"[{name}](#{name.lower()})" + (f" with the value {argument}" if argument else "")
    if "const" in definition:
        return code(json.dumps(definition["const"]))
    if options := _list(definition.get("anyOf")):
        return " or ".join(
            dict.fromkeys(type_description(_schema_of(option)) for option in options)
        )
    if values := _list(definition.get("enum")):
        return " or ".join(code(str(value)) for value in values)
    if items := _list(definition.get("prefixItems")):
        return f"list of {', '.join(type_description(_schema_of(item)) for item in items)}"
    name = str(definition.get("type", "any JSON"))
    if name == "array":
        return f"list of {type_description(_schema_of(definition.get('items')))}"
    if name == "object" and isinstance(definition.get("additionalProperties"), dict):
        return f"{type_description(_schema_of(definition['additionalProperties']))} by name"
    if "pattern" in definition:
        return f"string like {code(str(definition['pattern']))}"
    return name
