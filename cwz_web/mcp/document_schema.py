"""The JSON Schema of template documents in parts: as a whole, it has 70 KB, which would fill a conversation."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

Schema = dict[str, Any]

# The part of everything but the layers.
DOCUMENT = "document"
DEFINITIONS = "#/$defs/"
# The form of a value that is calculated from the row, which most properties of layers can have.
EXPRESSION = {
    "description": 'An expression in CEL over the fields, such as {"value": "price < 20 ? 60 : 40", "default": 40}.',
    "type": "object",
}
MAX_EXPECTED = 600


def list_parts(schema: Schema) -> list[str]:
    """Return the names of the parts: `document`, and the types of layers."""
    return [DOCUMENT, *sorted(_layer_types(schema))]


def get_part(schema: Schema, name: str) -> Schema | None:
    """Return a part with the definitions that it uses, or None if there is no such part.

    Args:
        schema: The whole schema.
        name: `document`, or a type of layers.
    """
    if name == DOCUMENT:
        part = {key: value for key, value in schema.items() if key not in ("$defs", "$schema", "$id", "title")}
    elif name in (types := _layer_types(schema)):
        part = schema["$defs"][types[name]]
    else:
        return None
    part = dict(_compact(part))
    definitions: Schema = {}
    waiting = list(_used(part))
    while waiting:
        used = waiting.pop()
        if used not in definitions:
            definitions[used] = EXPRESSION if used == "Expression" else _compact(schema["$defs"][used])
            waiting += _used(definitions[used])
    return part | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})


def describe_expected(schema: Schema, document: Any, path: Sequence[str]) -> str:
    """Return the schema of the value at a path of a document as JSON; empty if it is not known or long.

    Args:
        schema: The whole schema.
        document: The document, whose layers say which types they have.
        path: The keys and positions that lead to the value.
    """
    found: Schema = schema
    value = document
    for key in path:
        value = _child(value, key)
        properties = found.get("properties", {})
        if found.get("type") == "array" or "items" in found:
            found = _resolve(schema, found.get("items", {}))
        elif key in properties:
            found = _resolve(schema, properties[key])
        elif isinstance(found.get("additionalProperties"), dict):
            found = _resolve(schema, found["additionalProperties"])
        else:
            return ""
        found = _of_type(schema, found, value)
    text = json.dumps(_compact(found), ensure_ascii=False)
    return text if found is not schema and len(text) <= MAX_EXPECTED else ""


def _layer_types(schema: Schema) -> dict[str, str]:
    """Return the names of the definitions of layers, by type."""
    try:
        mapping = schema["properties"]["layers"]["items"]["discriminator"]["mapping"]
        return {str(name): str(reference).removeprefix(DEFINITIONS) for name, reference in mapping.items()}
    except (KeyError, TypeError, AttributeError):
        return {}


def _compact(schema: Any, *, is_properties: bool = False) -> Any:
    """Return a schema without titles, and with references in the place of layers and of expressions."""
    if isinstance(schema, list):
        return [_compact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if is_properties:
        return {name: _compact(value) for name, value in schema.items()}
    if "discriminator" in schema and "oneOf" in schema:
        types = ", ".join(sorted(schema["discriminator"].get("mapping", ())))
        return {"description": f"An object with a `type`: {types}. Each is a part of its own."}
    if set(schema.get("properties", ())) == {"value", "default"} and "CEL" in json.dumps(schema["properties"]):
        return {"$ref": f"{DEFINITIONS}Expression"}
    return {
        name: _compact(value, is_properties=name == "properties") for name, value in schema.items() if name != "title"
    }


def _used(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith(DEFINITIONS):
            yield reference.removeprefix(DEFINITIONS)
        for value in schema.values():
            yield from _used(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _used(value)


def _resolve(schema: Schema, part: Any) -> Schema:
    reference = part.get("$ref", "") if isinstance(part, dict) else ""
    found = schema.get("$defs", {}).get(reference.removeprefix(DEFINITIONS), part) if reference else part
    return found if isinstance(found, dict) else {}


def _of_type(schema: Schema, found: Schema, value: Any) -> Schema:
    """Return the alternative of a schema that a layer's type selects."""
    mapping = found.get("discriminator", {}).get("mapping", {})
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind in mapping:
        return _resolve(schema, {"$ref": mapping[kind]})
    return found


def _child(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return None
