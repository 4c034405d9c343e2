"""Finds the JSON types that a tool's schema allows for a parameter, where a dialect writes values as bare text."""

from __future__ import annotations

import re
from typing import Any

_KINDS_OF_PYTHON = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_DEPTH = 8


def parameter_types(parameters: Any, name: str) -> frozenset[str]:
    """Return the JSON types that a tool's parameters allow for one of them; empty if the schema does not name any.

    References are followed within the schema.
    """
    return frozenset().union(*(_kinds(schema, parameters) for schema in _schemas_of(parameters, name, parameters, 0)))


def _schemas_of(schema: Any, name: str, root: Any, depth: int) -> list[Any]:
    """Return the schemas of a property, in an object's schema and in those that it is put together of."""
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > _DEPTH:
        return []
    properties = schema.get("properties")
    found = [properties[name]] if isinstance(properties, dict) and name in properties else []
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema[key] if isinstance(schema.get(key), list) else ():
            found += _schemas_of(part, name, root, depth + 1)
    for key in ("then", "else"):
        found += _schemas_of(schema.get(key), name, root, depth + 1)
    if found:
        return found
    patterns = schema.get("patternProperties")
    for pattern, part in patterns.items() if isinstance(patterns, dict) else ():
        if _matches(pattern, name):
            found.append(part)
    if not found and isinstance(schema.get("additionalProperties"), dict):
        found.append(schema["additionalProperties"])
    return found


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _kinds(schema: Any, root: Any, depth: int = 0) -> frozenset[str]:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > _DEPTH:
        return frozenset()
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset((kind,))
    if isinstance(kind, list):
        return frozenset(part for part in kind if isinstance(part, str))
    listed = schema.get("enum")
    known = listed if isinstance(listed, list) else [schema["const"]] if "const" in schema else []
    if known:
        return frozenset(_KINDS_OF_PYTHON.get(type(value), "null") for value in known)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return frozenset().union(*(_kinds(part, root, depth + 1) for part in schema[key]))
    parts = schema["allOf"] if isinstance(schema.get("allOf"), list) else []
    limits = [kinds for kinds in (_kinds(part, root, depth + 1) for part in parts) if kinds]
    return frozenset.intersection(*limits) if limits else frozenset()


def _resolved(schema: Any, root: Any) -> Any:
    """Follow a schema's references to other places of the tool's parameters."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        schema = root
        for step in reference[1:].split("/")[1:]:
            schema = schema.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(schema, dict) else None
    return None
