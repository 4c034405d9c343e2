"""The types that the openai package declares for request bodies, as checks that read all of a body."""

from __future__ import annotations

from functools import cache
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

__all__ = ["check_body"]

_TYPES: dict[str, Any] = {
    "chat/completions": CompletionCreateParamsNonStreaming,
    "responses": ResponseCreateParamsNonStreaming,
}


def check_body(path: str, body: dict[str, Any]) -> None:
    """Raise ValidationError, with the place, for a body that the client's type for this API's path does not have."""
    _validator(path).validate_python(body, strict=True)


@cache
def _validator(path: str) -> SchemaValidator:
    return SchemaValidator(_thorough(TypeAdapter(_TYPES[path]).core_schema))


def _thorough(schema: Any) -> Any:
    """Return a schema that reads iterables, which pydantic leaves unread, and takes no field that is not declared."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_thorough, schema))
    if not isinstance(schema, dict):
        return schema
    thorough = {key: _thorough(part) for key, part in schema.items()}
    if thorough.get("type") == "generator":
        thorough["type"] = "list"
    if thorough.get("type") == "typed-dict":
        thorough["extra_behavior"] = "forbid"
    return thorough
