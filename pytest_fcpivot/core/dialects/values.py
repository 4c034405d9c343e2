"""Decodes parameter values that a dialect writes as bare text; only the tool's schema determines their type."""

from __future__ import annotations

import json
from typing import Any

from pytest_fcpivot.core.dialects.pythonic import literal

_NOT_JSON = object()


def typed(text: str, kinds: frozenset[str]) -> Any:
    """Decode a parameter's text into a value of one of the JSON types that its schema allows.

    Text stays text if strings are allowed, or no type is known: digits may be a telephone number. Otherwise it is
    read as JSON, and for arrays, objects and booleans also as a Python literal. Text that is neither stays text.
    """
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


def bare(value: Any) -> str:
    """Write a value as bare text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
