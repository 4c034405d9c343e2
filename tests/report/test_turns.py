"""Conversations and tools for people to read: nothing is left out, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_fcpivot.report.turns import Turn, argument_lines, parameters_of, readable, signature, turns, wanted_by


def test_every_item_is_a_turn() -> None:
    """Messages, calls, results, reasoning, and what is not known are all turns, in their order."""
    items: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "type": "message", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
        {"type": "function_call_output", "call_id": "c2", "output": {"a": 1}},
        {"role": "assistant", "content": "There."},
        {"type": "web_search_call", "id": "w"},
    ]
    assert turns(items) == [
        Turn("system", "developer", "Be brief."),
        Turn("user", "user", "Hi\n[a part of the type input_image, which is not text]"),
        Turn("reasoning", "reasoning", "Hm."),
        Turn("call", "find", '{"a": 1}'),
        Turn("result", "find", "done"),
        Turn("result", "a call that is not in the conversation", '{"a": 1}'),
        Turn("assistant", "assistant", "There."),
        Turn("other", "web_search_call", '{"type": "web_search_call", "id": "w"}'),
    ]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ('{"city": "Oslo", "odd key": [1, 2]}', ['city: "Oslo"', '"odd key": [1, 2]']),
        ("{}", []),
        ("[1]", ["[1]"]),
        ('{"a": ', ['{"a": ']),
    ],
)
def test_arguments(arguments: str, lines: list[str]) -> None:
    """Arguments have a line for each key; what is not a JSON object stays as it is."""
    assert argument_lines(arguments) == lines


@pytest.mark.parametrize(
    ("text", "laid_out"),
    [
        ('{"a": [1]}', '{\n  "a": [\n    1\n  ]\n}'),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("{a}", "{a}"),
        ("12", "12"),
        ("plain words", "plain words"),
    ],
)
def test_results(text: str, laid_out: str) -> None:
    """A result that is JSON is laid out on several lines, unless that would lose something."""
    assert readable(text) == laid_out


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"], "enum": ["a", None]}, 'string or null, one of "a", null'),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer, minimum 1, maximum 9"),
        ({"type": "array", "items": {"type": "string"}}, "array of (string)"),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}, "object {a, b?}"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({}, "anything"),
        (None, "anything"),
        (False, "false"),
    ],
)
def test_what_a_schema_wants(schema: Any, text: str) -> None:
    """A parameter's schema is told in a few words."""
    assert wanted_by(schema) == text


def test_parameters_of_a_tool() -> None:
    """Required parameters come first, and a tool has a one-line form; odd schemas have no parameters."""
    tool = {
        "name": "book",
        "parameters": {"properties": {"date": {"type": "string"}, "city": {}}, "required": ["city", 3]},
    }
    found = parameters_of(tool)
    assert [(each.name, each.required) for each in found] == [("city", True), ("date", False)]
    assert "".join(part for part, _ in signature(tool, found)) == "book(city, date?)"
    odd: list[Any] = [None, [], {"properties": []}, "x"]
    assert [parameters_of({"name": "book", "parameters": each}) for each in odd] == [[]] * len(odd)
