"""The quick yes: where it is given, where it is not sure, and that it is what jsonschema says."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pytest_fcpivot.schema.accept import make_acceptor

VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        3,
        -1,
        0.5,
        1.0,
        2.0,
        3.0,
        "",
        "a",
        "ab",
        "abc",
        "1",
        [],
        ["a"],
        [1],
        [1, 2],
        [1, 2, 3],
    ),
    *({}, {"a": 1}, {"a": "x"}, {"a": 1, "b": 2}, {"b": 2}, {"c": 1}, {"a": [1]}, {"a": {"b": 1}}, {"a": {"b": "x"}}),
]
# Each is plain: it has an acceptor, which says yes to exactly what is valid.
PLAIN: list[Any] = [
    True,
    {},
    *({"type": kind} for kind in ("object", "array", "string", "boolean", "null", "integer", "number")),
    {"type": ["string", "null"]},
    {"type": ["integer", "array"]},
    {"properties": {"a": {"type": "integer"}}},
    {"properties": {"a": {"properties": {"b": {"type": "integer"}}}}},
    {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}},
    {"properties": {}},
    {"required": ["a"]},
    {"required": ["a", "b"]},
    {"required": []},
    {"additionalProperties": True},
    {"additionalProperties": {}},
    {"additionalProperties": False},
    {"additionalProperties": False, "properties": {"a": {}}},
    {"additionalProperties": False, "properties": {"a": {}}, "required": ["a"]},
    {"additionalProperties": True, "properties": {"a": {}}, "required": ["b"]},
    {"items": {"type": "integer"}},
    {"items": True},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"anyOf": [{"minimum": 2}, {"type": "string"}]},
    {"pattern": "b"},
    {"pattern": "^a$"},
    {"minimum": 1},
    {"maximum": 1},
    {"minimum": 0.5, "maximum": 2},
    {"minLength": 1},
    {"maxLength": 1},
    {"minLength": 0},
    {"minItems": 1},
    {"maxItems": 1},
    {"type": "integer", "minimum": 1, "maximum": 2},
    {"title": "T", "type": "integer", "description": "D", "minimum": 2, "default": 7, "maximum": 2},
    {"type": ["object", "array", "string", "boolean", "null", "integer", "number"]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    {
        "title": "T",
        "description": "D",
        "$comment": "C",
        "format": "date",
        "default": 7,
        "examples": [],
        "deprecated": True,
    },
]


@pytest.mark.parametrize("schema", PLAIN, ids=str)
def test_plain_schemas(schema: Any) -> None:
    """A plain schema has an acceptor, which says of every value what jsonschema says."""
    accepts = make_acceptor(schema)
    assert accepts is not None
    says = Draft202012Validator(schema)
    assert [accepts(value) for value in VALUES] == [says.is_valid(value) for value in VALUES]


@pytest.mark.parametrize("choices", [["a"], ["a", "ab"], ["a", 1], [1, None], []], ids=str)
def test_choices(choices: list[Any]) -> None:
    """Of an enumeration, texts are accepted quickly; of anything else it is not sure, and says no."""
    accepts = make_acceptor({"enum": choices})
    assert accepts is not None
    assert [value for value in VALUES if accepts(value)] == [text for text in choices if isinstance(text, str)]


@pytest.mark.parametrize(
    "schema",
    [
        *(False, None, 7, "object", []),
        {"$ref": "#/$defs/a"},
        {"unheard-of": 1},
        {"type": "objekt"},
        {"type": 7},
        {"type": []},
        {"type": ["string", "string"]},
        {"type": ["string", 7]},
        {"type": ["string", "objekt"]},
        {"properties": []},
        {"properties": {"a": {"type": "objekt"}}},
        {"properties": {"a": False}},
        {"required": "a"},
        {"required": [7]},
        {"required": ["a", "a"]},
        {"additionalProperties": {"type": "string"}},
        {"additionalProperties": None},
        {"items": [{}]},
        {"items": {"type": "objekt"}},
        {"enum": "a"},
        {"anyOf": []},
        {"anyOf": {}},
        {"anyOf": [{}, {"type": "objekt"}]},
        {"pattern": "("},
        {"pattern": 7},
        {"minimum": "1"},
        {"minimum": True},
        {"maximum": None},
        {"minLength": -1},
        {"minLength": True},
        {"maxLength": 1.5},
        {"minItems": "1"},
        {"maxItems": -1},
        {"title": 7},
        {"description": None},
        {"format": 7},
        {"examples": "a"},
        {"deprecated": 1},
    ],
    ids=str,
)
def test_what_is_not_plain(schema: Any) -> None:
    """What is not plain, or not well-formed, has no acceptor, alone and inside of another schema."""
    assert make_acceptor(schema) is None
    assert make_acceptor({"properties": {"a": schema}}) is None
    assert make_acceptor({"anyOf": [schema]}) is None
    assert schema is False or make_acceptor({"items": schema}) is None


def test_depth() -> None:
    """Schemas that are nested deeper than any tool's are not plain."""

    def nested(depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer"}
        for level in range(depth):
            inside = schema
            schema = {"items": inside} if level % 2 else {"anyOf": [inside]}
        return schema

    assert make_acceptor(nested(32)) is not None
    assert make_acceptor(nested(33)) is None
    assert make_acceptor({"properties": {"a": nested(31)}}) is not None
    assert make_acceptor({"properties": {"a": nested(32)}}) is None
