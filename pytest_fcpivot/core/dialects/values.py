"""Decodes parameter values that a dialect writes as bare text; only the tool's schema determines their type."""

from __future__ import annotations

import json
from typing import Any

from pytest_fcpivot.core.dialects.pythonic import literal

_KINDS_OF_PYTHON = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_DEPTH = 8
_NOT_JSON = object()


def typed(text: str, schema: Any) -> Any:
    """Decode a parameter's text into a value of a type that its schema allows.

    Text stays text if the schema allows strings or names no type: digits may be a telephone number. Otherwise it is
    read as JSON, and for arrays, objects and booleans also as a Python literal. Text that is neither stays text.
    """
    kinds = _kinds(schema)
    bare = text.strip()
    if "null" in kinds and bare in ("null", "None"):
        return None
    if not kinds or "string" in kinds:
        return text
    value = _decoded(bare)
    if value is _NOT_JSON and kinds & {"array", "object", "boolean"}:
        value = literal(bare, _NOT_JSON)
    return text if value is _NOT_JSON else value


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _kinds(schema: Any, depth: int = 0) -> frozenset[str]:
    """Return the JSON types that a schema allows; empty if it does not name any. References are not followed."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        return frozenset()
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset((kind,))
    if isinstance(kind, list):
        return frozenset(part for part in kind if isinstance(part, str))
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return frozenset().union(*(_kinds(part, depth + 1) for part in schema[key]))
    listed = schema.get("enum")
    known = listed if isinstance(listed, list) else [schema["const"]] if "const" in schema else []
    return frozenset(_KINDS_OF_PYTHON.get(type(value), "null") for value in known)
