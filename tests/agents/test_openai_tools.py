"""Tools as servers accept them: names, duplicates, schemas and strictness."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from served import tool, view_of

from pytest_fcpivot.agents.openai import OpenAISettings
from pytest_fcpivot.agents.openai.tool_names import ToolNames
from pytest_fcpivot.agents.openai.tools import Offer, is_strict

ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Names that often collide once their odd characters are gone.
NAMES = st.lists(st.text("ab._/ é", max_size=4) | st.text(max_size=3) | st.text("x.", min_size=62, max_size=68))


@given(NAMES)
@example(["a.b", "a_b", "a/b", "a_b_2", "a b"])
@example(["x" * 64, "x" * 65, "x" * 66, "x" * 62 + "_2"])
@example(["", "_", "."])
def test_names_map_one_to_one(names: list[str]) -> None:
    """Every name gets an allowed one of its own and comes back; allowed names stay as they are."""
    mapping = ToolNames(names)
    known = set(names)
    sent = {name: mapping.sent(name) for name in known}
    assert all(ALLOWED.fullmatch(name) for name in sent.values())
    assert len(set(sent.values())) == len(known)
    assert all(mapping.own(name) == own for own, name in sent.items())
    assert all(sent[name] == name for name in known if ALLOWED.fullmatch(name))
    assert bool(mapping) is any(not ALLOWED.fullmatch(name) for name in known)


@given(NAMES)
def test_names_map_the_same_each_time(names: list[str]) -> None:
    """The mapping depends on the names alone; a name said twice changes nothing."""
    first, second = ToolNames(names), ToolNames([*names, *names])
    assert [first.sent(name) for name in names] == [second.sent(name) for name in names]


def test_names_examples() -> None:
    """Odd characters become underscores, long names are cut, and collisions get a number."""
    names = ["cal.add", "cal/add", "cal_add", "y" * 70, "y" * 71]
    mapping = ToolNames(names)
    assert [mapping.sent(name) for name in names] == ["cal_add_2", "cal_add_3", "cal_add", "y" * 64, "y" * 62 + "_2"]
    assert mapping.own("made_up") == mapping.sent("made_up") == "made_up"


CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def closed(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has exactly these properties."""
    return {**CLOSED, "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**closed(), "$schema": "http://json-schema.org/draft-07/schema#"}, True),
        (closed(a={"type": ["string", "null"]}, b={"enum": [1, 2]}), True),
        (closed(a={"type": "array", "items": closed(b={"type": "integer", "minimum": 0})}), True),
        ({**closed(a={"$ref": "#/$defs/a"}), "$defs": {"a": closed()}}, True),
        (closed(a={"anyOf": [closed(), {"type": "null"}]}), True),
        (closed(a={"type": "string", "format": "date"}), True),
        ({"type": "object"}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**closed(a={"type": "string"}), "required": []}, False),
        ({**CLOSED, "required": ["ghost"]}, False),
        (closed(a={"type": "object"}), False),
        (closed(a={"type": "array"}), False),
        (closed(a={"type": "array", "items": {"type": "object"}}), False),
        (closed(a={"anyOf": [{"type": "object"}, {"type": "null"}]}), False),
        ({**CLOSED, "$defs": {"a": {"type": "object"}}}, False),
        (closed(a={}), False),
        (closed(a=True), False),
        (closed(a={"type": "string", "default": "x"}), False),
        (closed(a={"type": "string", "format": "uri"}), False),
        (closed(a={"type": "string", "format": []}), False),
        (closed(a={"oneOf": [{"type": "string"}]}), False),
        ({**CLOSED, "required": None}, False),
        ({**CLOSED, "properties": []}, False),
        (closed(a={"anyOf": None}), False),
    ],
)
def test_strict(schema: dict[str, Any], strict: bool) -> None:
    """A schema is strict if all its objects are closed and whole, and it uses nothing else than strict mode knows."""
    assert is_strict(schema) is strict
    offer = Offer.of(view_of("Hi", tool("f", parameters=schema, strict=True)), OpenAISettings(model="m"))
    assert offer.tools[0]["strict"] is strict


def test_strict_is_bounded() -> None:
    """A schema nested without end is not strict."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        schema = closed(a=schema)
    assert not is_strict(schema)


def test_cleaned() -> None:
    """Of two tools with one name the first stays; null and missing fields are made good, nameless tools are dropped."""
    tools = [
        tool("f", description=None, strict=None),
        tool("f", description="The second"),
        {"type": "function", "name": "g", "parameters": None, "description": "No parameters", "strict": False},
        {"type": "function", "name": "h", "parameters": {"required": []}},
        {"type": "function", "parameters": {}},
        {"type": "function", "name": ""},
    ]
    empty = {"type": "object", "properties": {}}
    assert Offer.of(view_of("Hi", *tools), OpenAISettings(model="m")).tools == [
        {"name": "f", "parameters": empty},
        {"name": "g", "parameters": empty, "description": "No parameters", "strict": False},
        {"name": "h", "parameters": {**empty, "required": []}},
    ]
