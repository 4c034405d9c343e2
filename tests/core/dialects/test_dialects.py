"""Text of models without calls of their own, in each family's form: read as an action, and written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot import (
    DIALECT_NAMES,
    Action,
    DialectError,
    FcPivotError,
    FunctionCall,
    Pivot,
    Tools,
    grade,
    load_pivots,
    parse_text,
    render,
    render_action,
)
from pytest_fcpivot.agents.openai import OpenAISettings
from pytest_fcpivot.agents.openai.tools import Offer
from pytest_fcpivot.core.dialects.writing import render_chat

SHARED = Path(__file__).parents[4] / "shared" / "data"
PIVOTS = load_pivots()
READERS = {pivot.id: Tools(pivot.tools) for pivot in PIVOTS}
NATIVE = {pivot.id: grade(pivot, pivot.expected_action) for pivot in PIVOTS}
FIND: dict[str, Any] = {
    "type": "function",
    "name": "find",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "seats": {"type": "integer"}, "open": {"type": "boolean"}},
    },
}
TOOLS: list[dict[str, Any]] = [FIND, {"type": "function", "name": "book"}]
CALL = FunctionCall("find", {"city": "Lyon", "seats": 2})
CALLS = Action((CALL, FunctionCall("book", {})))
BARE_VALUES = ("qwen3-coder", "glm")  # types are read by the schema
# The rows whose expected arguments are of other types than the tool's schema has, which bare text cannot show.
AGAINST_SCHEMA = {"t1533-d3", "t1633-d3", "t1794-d0", "t4361-d5"}

with_tokens = pytest.mark.parametrize("special_tokens", [True, False], ids=["tokens", "bare"])
each_dialect = pytest.mark.parametrize("dialect", DIALECT_NAMES)


@each_dialect
@with_tokens
def test_the_sample(dialect: str, special_tokens: bool) -> None:
    """On the whole sample, an answer as text gets the grade of the native one, the dialect being named or not."""
    unwritten = set()
    for pivot in PIVOTS:
        tools = READERS[pivot.id]
        try:
            text = render_action(pivot.expected_action, dialect, special_tokens=special_tokens, tools=tools)
        except DialectError:
            unwritten.add(pivot.id)
            continue
        for reader in (dialect, "auto"):
            assert grade(pivot, parse_text(text, tools, reader)) == NATIVE[pivot.id], text
    assert unwritten == (AGAINST_SCHEMA if dialect in BARE_VALUES else set())


@each_dialect
@with_tokens
@pytest.mark.parametrize("tool", ["find", "unheard_of"])
def test_rubble_is_no_message(dialect: str, special_tokens: bool, tool: str) -> None:
    """No text that a model meant as a call is a message, whole, cut off, damaged, fenced or in quotes."""
    action = Action((FunctionCall(tool, {"city": "Lyon", "seats": 2}),))
    text = render_action(action, dialect, special_tokens=special_tokens)
    header = text.index(tool) + len(tool)
    texts = [text, f'"{text}"', f"\n{text}", *(text[:end] for end in range(header + 1, len(text)))]
    if special_tokens:
        texts += [f"I look.{text}", f"I look.\n{text}", *(text[:end] for end in range(3, header))]
    if tool == "find":
        texts += [f"I look.\n{text}", f"```json\n{text}\n```"] if dialect != "pythonic" else []
    for each in texts:
        for reader in (dialect, "auto"):
            assert parse_text(each, TOOLS, reader).message is None, each


@each_dialect
def test_another_dialect(dialect: str) -> None:
    """A call in the marks of another dialect than the named one is malformed, and no message."""
    for other in {*DIALECT_NAMES} - {dialect}:
        text = render_action(Action((CALL,)), other)
        read = parse_text(text, TOOLS, dialect)
        # The two families' marks differ; JSON without marks, which they share, is not written here.
        assert read == Action(malformed=text), other


@pytest.mark.parametrize(
    "text",
    [
        "<think>I could find it",
        "<think>I could find it</think>\n",
        "[THINK]Hm",
        "<|channel|>analysis<|message|>Hm",
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant",
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>fin",
        "analysisThey want a table.",
    ],
)
def test_only_reasoning(text: str) -> None:
    """A text that is only reasoning, ended or not, is no action."""
    assert parse_text(text, TOOLS) == Action()
    assert parse_text(text, TOOLS, "harmony") == Action()


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("<think>Hm</think>Hello!", "hermes"),
        ("Hm</think>\n\nHello!", "glm"),
        ("[THINK]Hm[/THINK]Hello!", "mistral"),
        ("Hello!<|im_end|>", "hermes"),
        ("Hello!<|im_end|>\n<|endoftext|><|endoftext|>", "qwen3-coder"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>", "llama3"),
        ("Hello!</s>", "mistral"),
        ("Hello!<\uff5cend\u2581of\u2581sentence\uff5c>", "deepseek"),
        ("<|assistant|>\nHello!<|user|>", "glm"),
        (
            "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Hello!<|return|>",
            "harmony",
        ),
        ("<|channel|>final<|message|>Hello!", "harmony"),
        ("analysisHm.assistantfinalHello!", "harmony"),
        ("<|channel|>commentary<|message|>Hello!<|end|>", "harmony"),
    ],
)
def test_around_a_message(text: str, dialect: str) -> None:
    """Reasoning before a message, and the marks of its turn, are no part of it."""
    assert parse_text(text, TOOLS, dialect) == parse_text(text, TOOLS) == Action(message="Hello!")


def test_channel_without_tokens() -> None:
    """The name of harmony's channel is no part of a message, if harmony is asked for."""
    assert parse_text("finalHello!", TOOLS, "harmony") == Action(message="Hello!")
    assert parse_text("finally done", TOOLS, "harmony") == Action(message="finally done")
    assert parse_text("finalHello!", TOOLS) == Action(message="finalHello!")


@pytest.mark.parametrize("mark", ["<|im_end|>", "<|eot_id|>", "<|call|>", "</s>"])
@each_dialect
def test_end_of_turn_after_a_call(dialect: str, mark: str) -> None:
    """The mark that ends a turn is no part of a call."""
    assert parse_text(render_action(CALLS, dialect) + mark, TOOLS, dialect) == CALLS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello! I have booked the table.",
        "**Note:** 3 < 4, see [the list](https://example.org) and `find`.",
        "A call is written between <tool_call> and </tool_call>, on lines of its own.",
        'Write `<tool_call>{"name": "find", "arguments": {}}</tool_call>` to call it.',
        "The token <|tool_call_begin|> starts a call, [TOOL_CALLS] does so for Mistral, <|python_tag|> for Llama.",
        "Qwen uses `<function=find>`, and to=functions.find names the recipient for gpt-oss.",
        "As XML:\n```xml\n<tool_calls><arg_key>a</arg_key></tool_calls>\n```",
        '{"name": "Ann", "age": 3}',
        '[{"city": "Lyon"}, {"city": "Nice"}]',
        '```json\n{"name": "Ann", "arguments": {"age": 3}}\n```',
        '{"name": "find", "description": "Find a table", "parameters": {"type": "object"}}',
        '```python\nprint(find(city="Lyon"))\n```',
        "def find(city):\n    return {city: 1}",
        "<p>Price: <s>20</s></p>",
        "finally, the analysis is done",
        "functions are values",
        "[1, 2, 3]",
        "x = {1: 2}",
    ],
)
def test_messages(text: str) -> None:
    """Messages that mention marks, code, and JSON that a user asked for are messages, in every dialect."""
    for dialect in ("auto", *DIALECT_NAMES):
        assert parse_text(text, TOOLS, dialect) == Action(message=text), dialect


@each_dialect
def test_messages_of_the_sample(dialect: str) -> None:
    """Every expected message is read as itself."""
    for pivot in PIVOTS:
        if pivot.expected_action.message is not None:
            read = parse_text(pivot.expected_action.message, READERS[pivot.id], dialect)
            assert read == Action(message=pivot.expected_action.message.strip())


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the third-party rows")
def test_messages_of_real_rows() -> None:
    """Every expected message of real rows is read as itself, and so is what their assistants said before."""
    count = 0
    for name in ("nemo_gym_example.jsonl", "nemo_gym_parallel_example.jsonl"):
        for pivot in load_pivots(SHARED / name):
            tools = Tools(pivot.tools)
            said = [message["content"] for message in pivot.view().messages if message["role"] == "assistant"]
            for text in (pivot.expected_action.message, *said):
                if text is not None:
                    assert parse_text(text, tools) == Action(message=text.strip())
                    count += 1
    assert count


def test_unknown_dialect() -> None:
    """An unknown dialect is an error that lists the known ones."""
    for refused in (lambda: parse_text("Hello", [], "hermess"), lambda: render_action(CALLS, "hermess")):
        with pytest.raises(DialectError, match="unknown dialect 'hermess'; known: auto, hermes, qwen3-coder") as error:
            refused()
        assert isinstance(error.value, FcPivotError)
        assert isinstance(error.value, ValueError)
    with pytest.raises(DialectError, match="one dialect must be named"):
        render_action(CALLS, "auto")


def test_nested_tools() -> None:
    """Tools in the form of Chat Completions are understood as well."""
    nested = [{"type": "function", "function": FIND}]
    text = render_action(Action((CALL,)), "glm")
    assert parse_text(text, nested) == parse_text(text, [FIND]) == Action((CALL,))


def test_types_of_schemas() -> None:
    """References, combined schemas and patterns tell the type of a value that is written as bare text."""
    parameters = {
        "$defs": {"count": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/$defs/count"}, "loop": {"$ref": "#/properties/loop"}},
        "allOf": [{"properties": {"b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/count"}]}}}],
        "patternProperties": {"^x": {"type": "boolean"}, "(": {}},
        "additionalProperties": {"type": "array"},
    }
    arguments = {"a": 1, "b": 2, "xs": True, "other": [1], "loop": "1"}
    action = Action((FunctionCall("find", arguments),))
    tools = [{"name": "find", "parameters": parameters}]
    for dialect in BARE_VALUES:
        assert parse_text(render_action(action, dialect, tools=tools), tools) == action


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MARKS = st.sampled_from(
    [
        *(
            "<tool_call>",
            "</tool_call>",
            "</parameter>",
            "</arg_value>",
            "</think>",
            "[TOOL_CALLS]",
            "<|call|>",
            "\ud800",
        ),
        *(
            "<|python_tag|>",
            "<|im_end|>",
            "```",
            "\n",
            '"',
            "'",
            "{",
            "}",
            "\r\n",
            ";",
            "functions.find:0{",
            "</s>",
            "\0",
        ),
    ]
)
STRINGS = st.text() | st.lists(MARKS | st.text(max_size=3), max_size=4).map("".join)
KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
CALLED = st.lists(
    st.builds(FunctionCall, st.sampled_from(["find", "book"]), st.dictionaries(KEYS, JSON | STRINGS, max_size=3)),
    min_size=1,
    max_size=3,
).map(lambda calls: Action(tuple(calls)))


def decoded(action: Action) -> list[tuple[str, Any]]:
    """Return names and arguments, in which 1, 1.0 and true differ."""
    return [(call.name, json.dumps(json.loads(call.arguments), sort_keys=True)) for call in action.calls]


@settings(max_examples=60, deadline=None)
@given(CALLED, st.sampled_from(DIALECT_NAMES), st.booleans())
def test_written_calls_are_read(action: Action, dialect: str, special_tokens: bool) -> None:
    """Calls that were written are read as they were, types included, or cannot be written."""
    arguments = [json.loads(call.arguments) for call in action.calls]
    kinds = {key: type(value) for values in arguments for key, value in values.items()}
    types = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    properties = {key: {"type": types.get(kind, "null")} for key, kind in kinds.items()}
    tools = [{"name": name, "parameters": {"properties": properties}} for name in ("find", "book")]
    try:
        text = render_action(action, dialect, special_tokens=special_tokens, tools=tools)
    except DialectError:
        strings = json.dumps(arguments)
        several_types = any(type(values[key]) is not kinds[key] for values in arguments for key in values)
        marks = any(mark in strings for mark in ("</parameter>", "</arg_value>", "</think>", "functions.find"))
        assert dialect in BARE_VALUES or marks
        assert several_types or marks or any(mark in strings for mark in ("\\n", "<", "\\r"))
        return
    assert decoded(parse_text(text, tools, dialect)) == decoded(action)


@pytest.mark.parametrize(
    ("action", "dialect", "reason"),
    [
        (Action(), "hermes", "no text for no action"),
        (Action(malformed="<x>"), "hermes", "no text for a malformed call"),
        (Action((FunctionCall("find", "[1]"),)), "llama3", "no JSON object: \\[1\\]"),
        (Action((FunctionCall("find", "{oops"),)), "kimi", "are not JSON"),
        (Action((FunctionCall("find", '{"a": NaN}'),)), "pythonic", "nan is no literal of Python"),
        (Action((FunctionCall("find", {"a b": 1}),)), "pythonic", "its text is read otherwise"),
        (Action((FunctionCall("find me", {}),)), "mistral", "its text is read otherwise"),
        (Action((FunctionCall("find", {"a": "</parameter>"}),)), "qwen3-coder", "holds what the dialect itself uses"),
        (Action((FunctionCall("find", {"a": "</arg_value>"}),)), "glm", "holds what the dialect itself uses"),
        (Action(message='<tool_call>\n{"name": "find", "arguments": {}}\n</tool_call>'), "hermes", "read otherwise"),
    ],
)
def test_what_cannot_be_written(action: Action, dialect: str, reason: str) -> None:
    """What a dialect cannot express is an error that says so."""
    with pytest.raises(DialectError, match=reason):
        render_action(action, dialect)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("hermes", '<tool_call>\n{"name": "find", "arguments": {"city": "Lyon", "seats": 2}}\n</tool_call>'),
        (
            "qwen3-coder",
            (
                "<tool_call>\n<function=find>\n<parameter=city>\nLyon\n</parameter>\n<parameter=seats>\n2\n</parameter>\n"
                "</function>\n</tool_call>"
            ),
        ),
        ("llama3", '<|python_tag|>{"name": "find", "parameters": {"city": "Lyon", "seats": 2}}'),
        ("mistral", '[TOOL_CALLS]find[ARGS]{"city": "Lyon", "seats": 2}'),
        (
            "deepseek",
            (
                "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>find"
                '<\uff5ctool\u2581sep\uff5c>{"city": "Lyon", "seats": 2}<\uff5ctool\u2581call\u2581end\uff5c>'
                "<\uff5ctool\u2581calls\u2581end\uff5c>"
            ),
        ),
        (
            "glm",
            (
                "<tool_call>find\n<arg_key>city</arg_key>\n<arg_value>Lyon</arg_value>\n<arg_key>seats</arg_key>\n"
                "<arg_value>2</arg_value>\n</tool_call>"
            ),
        ),
        (
            "kimi",
            (
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.find:0<|tool_call_argument_begin|>"
                '{"city": "Lyon", "seats": 2}<|tool_call_end|><|tool_calls_section_end|>'
            ),
        ),
        (
            "harmony",
            '<|channel|>commentary to=functions.find <|constrain|>json<|message|>{"city": "Lyon", "seats": 2}<|call|>',
        ),
        ("pythonic", '<|python_start|>[find(city="Lyon", seats=2)]<|python_end|>'),
    ],
)
def test_forms(dialect: str, text: str) -> None:
    """Each dialect is written as its models write it."""
    assert render_action(Action((CALL,)), dialect) == text


@each_dialect
@with_tokens
def test_a_message_beside_calls(dialect: str, special_tokens: bool) -> None:
    """What is said before calls is written, and is no part of the action that is read."""
    said = Action(CALLS.calls, "I look.")
    text = render_action(said, dialect, special_tokens=special_tokens, tools=TOOLS)
    assert "I look." in text
    assert parse_text(text, TOOLS, dialect) == CALLS


@each_dialect
def test_prompts(dialect: str) -> None:
    """A pivot's prompt has the tools, the earlier calls in the dialect, their results, and no answer."""
    for pivot in PIVOTS[::5]:
        chat = render(pivot, dialect)
        assert {message["role"] for message in chat} <= {"system", "user", "assistant"}
        assert all(message.keys() == {"role", "content"} for message in chat)
        if pivot.tools:
            assert all(json.dumps(tool["name"], ensure_ascii=False) in chat[0]["content"] for tool in pivot.tools)
        wanted = [
            call["function"]["name"] for message in pivot.view().messages for call in message.get("tool_calls", ())
        ]
        known = Tools.named(wanted)
        spoken = [parse_text(message["content"], known, dialect) for message in chat if message["role"] == "assistant"]
        assert [call.name for action in spoken for call in action.calls] == wanted


def test_the_answer_is_not_in_the_prompt() -> None:
    """What the expert did next, and what else is known of a pivot, is nowhere in its prompt."""
    for answer in (
        {"type": "message", "content": "SECRET"},
        {"type": "function_call", "name": "find", "arguments": '{"city": "SECRET"}'},
    ):
        row = {
            "responses_create_params": {"input": "Hi", "tools": TOOLS},
            "expected_action": answer,
            "metadata": {"note": "SECRET"},
        }
        for dialect in DIALECT_NAMES:
            assert "SECRET" not in str(render(Pivot.from_row(row), dialect))


def test_the_agents_prompt() -> None:
    """The agent openai-prompt sends the prompt that is written in its dialect."""
    for pivot in PIVOTS[::5]:
        view = pivot.view()
        offer = Offer.of(view, OpenAISettings(model="m"), map_names=False)
        sent = render_chat(view.messages, offer.tools, "hermes", choice=offer.choice, parallel=offer.parallel)
        assert sent == render(view, "hermes")


def test_an_earlier_call_that_cannot_be_written() -> None:
    """An earlier call that a dialect cannot express is an error that names the pivot."""
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "1", "name": "find", "arguments": "{oops"},
        {"type": "function_call_output", "call_id": "1", "output": "no"},
    ]
    row = {
        "responses_create_params": {"input": items, "tools": TOOLS},
        "expected_action": {"type": "message", "content": "x"},
    }
    pivot = Pivot.from_row(row)
    with pytest.raises(DialectError, match=f"pivot {pivot.id}: glm cannot express the call of 'find'"):
        render(pivot, "glm")
    assert "{oops" in render(pivot, "hermes")[-2]["content"]


HOSTILE = [
    *(
        "<tool_call>",
        '<tool_call>{"name": "find", ',
        "<function=f>\n<parameter=a>",
        "<tool_call>find<arg_key>a</arg_key>",
    ),
    *("[TOOL_CALLS]find{", "<|python_tag|>", '<invoke name="find">', "to=functions.f ", "<|tool_call_begin|>"),
    *("[find(a=1), ", "find{", 'find{"a": 1} x ', "functions.find:0{", "</think>", "<think></think>", '{"a":', "["),
    *('{"name": "find", "arguments": {}};', "<|im_end|>", "function", "analysis", "\0", "\ud800", "}", '"', " "),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_texts(piece: str) -> None:
    """The time for a long text grows as its length, and no text makes the reader fail."""
    tools = Tools(TOOLS)
    taken = []
    for length in (20_000, 80_000):
        text = f"Hello {piece * (length // len(piece))}"
        began = time.process_time()
        parse_text(text, tools)
        taken.append(time.process_time() - began)
    assert taken[1] < max(10 * taken[0], 1)


def test_ten_thousand_calls() -> None:
    """Ten thousand calls in one text are ten thousand calls."""
    action = Action((CALL,) * 10_000)
    for dialect in ("hermes", "glm", "pythonic"):
        assert parse_text(render_action(action, dialect), TOOLS, dialect) == action
