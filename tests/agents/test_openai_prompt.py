"""Calls in a model's text: read where they are meant, left alone where they are not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from served import tool, view_of

from pytest_fcpivot.agents.openai import OpenAISettings
from pytest_fcpivot.agents.openai.prompt import parse_answer, prompt_messages, render_call
from pytest_fcpivot.agents.openai.tools import Offer

TOOLS = frozenset({"add", "find"})
CALL = '{"name": "add", "arguments": {"a": 1}}'
ADD = ("add", '{"a": 1}')


def block(inside: str) -> str:
    """Return a block as a model is asked to write it."""
    return f"<tool_call>\n{inside}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "rest", "calls"),
    [
        pytest.param("Hello!", "Hello!", [], id="text"),
        pytest.param("  \n", None, [], id="nothing"),
        pytest.param(block(CALL), None, [ADD], id="block"),
        pytest.param(f"One moment.\n{block(CALL)}\n", "One moment.", [ADD], id="text before"),
        pytest.param(f"{block(CALL)}{block(CALL)}", None, [ADD, ADD], id="two blocks"),
        pytest.param(f"<tool_call>{CALL}", None, [ADD], id="no closing tag"),
        pytest.param(f"<tool_call>{CALL}<tool_call>{CALL}", None, [ADD, ADD], id="no closing tags"),
        pytest.param(block(f"{CALL}\n{CALL}"), None, [ADD, ADD], id="two in one block"),
        pytest.param(block(f"[{CALL}, {CALL}]"), None, [ADD, ADD], id="list in a block"),
        pytest.param(block(f"```json\n{CALL}\n```"), None, [ADD], id="fence in a block"),
        pytest.param(block('{"name": "unknown", "arguments": {}}'), None, [("unknown", "{}")], id="unknown in a block"),
        pytest.param(block('{"name": "add"}'), None, [("add", "{}")], id="no arguments"),
        pytest.param(block('{"tool": "add", "args": {"a": 1}}'), None, [ADD], id="tool and args"),
        pytest.param(block('{"function": "add", "parameters": {"a": 1}}'), None, [ADD], id="function and parameters"),
        pytest.param(block(f'{{"type": "function", "function": {CALL}}}'), None, [ADD], id="nested"),
        pytest.param(
            block('{"name": "add", "arguments": " {oops"}'), None, [("add", " {oops")], id="arguments as text"
        ),
        pytest.param(block('{"name": "add", "arguments": null}'), None, [("add", "null")], id="null arguments"),
        pytest.param(
            block('{"name": "add", "arguments": {"a": }}'),
            None,
            [("add", '{"name": "add", "arguments": {"a": }}')],
            id="broken",
        ),
        pytest.param(f"<tool_call>{CALL[:-2]}", None, [("add", CALL[:-2])], id="cut off"),
        pytest.param(block("{'name': 'add'}"), None, [("add", "{'name': 'add'}")], id="not JSON"),
        pytest.param(block(CALL + "}"), None, [("add", CALL + "}")], id="a brace too many"),
        pytest.param(block("add it"), block("add it"), [], id="no name"),
        pytest.param(block('{"x": {"name": "add"}}'), block('{"x": {"name": "add"}}'), [], id="JSON, not a call"),
        pytest.param(f"{block('oops')} {block(CALL)}", block("oops"), [ADD], id="one of two"),
        pytest.param("<tool_call>", "<tool_call>", [], id="only the tag"),
        pytest.param(
            block('{"name": "add", "arguments": {"t": "</tool_call> <tool_call> </think>"}}'),
            None,
            [("add", '{"t": "</tool_call> <tool_call> </think>"}')],
            id="tags in a string",
        ),
        pytest.param(f"<think>add?</think>{block(CALL)}", None, [ADD], id="thought"),
        pytest.param(f"<think>{block(CALL)}</think>\nDone.", "Done.", [], id="a call only thought of"),
        pytest.param(f"Let me <tool_call> it.</think>\n{block(CALL)}", None, [ADD], id="thought begun in the template"),
        pytest.param(
            f"I could {block(CALL)}</think>Hello!", "Hello!", [], id="a call thought of, begun in the template"
        ),
        pytest.param("Hm.</think>\n\nHello!", "Hello!", [], id="thought without a beginning"),
        pytest.param(f"<think>{block(CALL)}", None, [], id="endless thought"),
        pytest.param(f"Sure:\n```json\n{CALL}\n```\nDone.", "Sure:\n\nDone.", [ADD], id="fence"),
        pytest.param(f"```\n[{CALL}]\n```", None, [ADD], id="fenced list"),
        pytest.param(f"```json{CALL}```", None, [ADD], id="fence on one line"),
        pytest.param(f"```json\n{CALL}", None, [ADD], id="fence without an end"),
        pytest.param(f"```json\n{CALL}\n```\n```json\n{CALL}\n```", None, [ADD, ADD], id="two fences"),
        pytest.param(f"```python\n{CALL}\n```", f"```python\n{CALL}\n```", [], id="another language"),
        pytest.param('```json\n{"name": "Ann"}\n```', '```json\n{"name": "Ann"}\n```', [], id="fenced data"),
        pytest.param(
            '```json\n{"name": "Ann", "arguments": {}}\n```',
            '```json\n{"name": "Ann", "arguments": {}}\n```',
            [],
            id="fenced unknown name",
        ),
        pytest.param('```json\n{"name": "add"}\n```', '```json\n{"name": "add"}\n```', [], id="fenced, no arguments"),
        pytest.param(f"```sh\nls\n```\n```json\n{CALL}\n```", "```sh\nls\n```", [ADD], id="fence after another"),
        pytest.param(f"\n{CALL}\n", None, [ADD], id="bare"),
        pytest.param(f"[{CALL}, {CALL}]", None, [ADD, ADD], id="bare list"),
        pytest.param(f"{CALL}\n{CALL}", None, [ADD, ADD], id="bare, one after the other"),
        pytest.param(f"I call {CALL}", f"I call {CALL}", [], id="bare inside text"),
        pytest.param('{"name": "Ann", "arguments": 1}', '{"name": "Ann", "arguments": 1}', [], id="bare data"),
        pytest.param("[]", "[]", [], id="empty list"),
        pytest.param(f'[{CALL}, "x"]', f'[{CALL}, "x"]', [], id="list of more than calls"),
        pytest.param("[" * 50_000, "[" * 50_000, [], id="too deep"),
    ],
)
def test_parse(text: str, rest: str | None, calls: list[tuple[str, str]]) -> None:
    """Calls and the text beside them are told apart."""
    assert parse_answer(text, TOOLS) == (rest, calls)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TAGS = st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "</think>", "```", "```json\n", "\n", '"', "{", "}"])
TEXTS = st.lists(TAGS | st.text(max_size=4)).map("".join)


@given(
    st.lists(st.tuples(st.text(min_size=1), st.dictionaries(TEXTS, TEXTS | JSON, max_size=3)), min_size=1, max_size=3)
)
@example([("add", {"a": "</tool_call>\n<tool_call>"}), ("</think>", {"```": "</think>"})])
def test_written_calls_are_read(calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Calls written the way a model is asked to are read as they are, whatever their strings hold."""
    text = "\n".join(render_call(name, json.dumps(arguments, ensure_ascii=False)) for name, arguments in calls)
    rest, read = parse_answer(text, frozenset())
    assert rest is None
    assert [(name, json.loads(arguments)) for name, arguments in read] == calls


@given(TEXTS, TEXTS)
def test_any_text(before: str, after: str) -> None:
    """No text makes the parser fail, and text without a mark of a call or thought stays text."""
    text = before + CALL + after
    rest, calls = parse_answer(text, TOOLS)
    assert rest or calls or "think" in text or not text.strip()
    if not any(mark in before + after for mark in ("<tool_call>", "think", "```")) and before.strip():
        assert (rest, calls) == (text.strip(), []) or calls


@given(st.text())
def test_broken_arguments_are_written_as_text(arguments: str) -> None:
    """Earlier arguments that are not JSON are shown as a string, and read back as they were."""
    _, calls = parse_answer(render_call("add", arguments), TOOLS)
    try:
        assert json.dumps(json.loads(calls[0][1])) == json.dumps(json.loads(arguments))
    except ValueError:
        assert calls == [("add", arguments)]


def test_decoded_arguments_are_encoded() -> None:
    """Earlier arguments that the data hold decoded are written as JSON."""
    assert parse_answer(render_call("add", {"a": 1}), TOOLS) == (None, [ADD])


def messages_of(*messages: dict[str, Any], tools: tuple[str, ...] = ("add",), **settings: Any) -> list[dict[str, Any]]:
    """Return the messages of a prompt."""
    offer = Offer.of(view_of("Hi", *map(tool, tools)), OpenAISettings(model="m", **settings), map_names=False)
    return prompt_messages(list(messages), offer)


HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize("settings", [{"tool_choice": "none"}, {"tools": ()}])
def test_nothing_to_describe(settings: dict[str, Any]) -> None:
    """Without tools, or when none may be called, nothing is said about them."""
    assert messages_of(HI, **settings) == [HI]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "If no tool is needed, answer the user in plain text"),
        ({"tool_choice": "required"}, "You must call at least one tool."),
        ({"message_tool": True}, "You must call at least one tool."),
        ({"tool_choice": "add"}, 'You must call the tool "add".'),
        ({"parallel_tool_calls": False}, "Call at most one tool in an answer."),
    ],
)
def test_duty(settings: dict[str, Any], words: str) -> None:
    """What a request says about the choice of tools is said in words."""
    system, user = messages_of(HI, **settings)
    assert system["role"] == "system"
    assert words in system["content"]
    assert user == HI


def test_one_system_message_first() -> None:
    """Only the first system message is joined; a later one stays in its place."""
    later = {"role": "system", "content": "Later."}
    first, *rest = messages_of({"role": "system", "content": ""}, HI, later)
    assert first["content"].startswith("You can call tools.")
    assert rest == [HI, later]
