"""Outputs as JSON text: whatever an agent may return is read back as the same action, and usage is found anywhere."""

from __future__ import annotations

import json
import types
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.model import Action, FunctionCall, Message
from pytest_fcpivot.core.usage import Usage, usage_of
from pytest_fcpivot.runs.output import (
    MOST_CHARACTERS,
    action_json,
    output_json,
    refuse_too_long,
)
from pytest_fcpivot.runs.reader import LONGEST

PROPERTY = settings(deadline=None)
Namespace = types.SimpleNamespace


def strictly(text: str) -> Any:
    """Read JSON as other languages do: without NaN and infinities."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def reads_back(output: Any) -> None:
    """Check that the stored text is one line of strict ASCII JSON with the output's own action."""
    text = output_json(output)
    assert text.isascii()
    assert "\n" not in text
    assert to_action(strictly(text)) == to_action(output)


def as_namespace(value: Any) -> Any:
    """Turn a dict into an object with the same fields, all the way down except inside arguments."""
    if isinstance(value, dict):
        return Namespace(**{key: v if key == "arguments" else as_namespace(v) for key, v in value.items()})
    return [as_namespace(item) for item in value] if isinstance(value, list) else value


any_text = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["add", "find", "submit_message", "ädd.x", ""])
arguments = st.one_of(any_text, st.dictionaries(any_text, json_values, max_size=3), json_values)
named = st.fixed_dictionaries({"name": names, "arguments": arguments})
calls = st.one_of(
    named,
    named.map(lambda call: {"type": "function_call", "call_id": "c1", **call}),
    named.map(lambda call: {"type": "function", "id": "c1", "function": call}),
)
parts = st.lists(
    st.builds(lambda kind, text: {"type": kind, "text": text}, st.sampled_from(["output_text", "refusal"]), any_text),
    max_size=2,
)
messages = st.builds(
    lambda content: {"type": "message", "role": "assistant", "content": content}, st.one_of(any_text, parts)
)
reasoning = st.just({"type": "reasoning", "summary": [], "id": "r1"})
chat_messages = st.builds(
    lambda content, called: {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"type": "function", "id": f"c{n}", "function": call} for n, call in enumerate(called)],
    },
    st.none() | any_text,
    st.lists(named, max_size=2),
)
items = st.lists(st.one_of(calls, messages, reasoning), max_size=3)
responses = st.builds(
    lambda output, tools: {"id": "resp", "status": "completed", "output": output, "tools": tools, "model": "m"},
    items,
    st.lists(json_values, max_size=2),
)
completions = st.builds(
    lambda message: {"id": "chat", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]},
    chat_messages,
)
ours = st.one_of(
    st.builds(FunctionCall, names, arguments),
    st.builds(Message, any_text),
    st.builds(lambda pair: Action(tuple(pair)), st.lists(st.builds(FunctionCall, names, arguments), max_size=3)),
    st.builds(lambda text: Action(message=text), any_text),
)
plain = st.one_of(st.none(), any_text, calls, messages, chat_messages, items, responses, completions)
outputs = st.one_of(
    plain,
    plain.map(as_namespace),
    ours,
    items.map(tuple),
    st.lists(st.one_of(calls, calls.map(as_namespace), st.builds(FunctionCall, names, arguments)), max_size=3),
    st.lists(st.one_of(calls.map(types.MappingProxyType), messages.map(as_namespace)), max_size=2).map(tuple),
)


@PROPERTY
@given(outputs)
def test_an_output_is_read_back_as_the_same_action(output: Any) -> None:
    """Whatever shape an agent returns, its stored text has the same action, in strict ASCII JSON."""
    reads_back(output)


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1768002749.0,
    "model": "some-model",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": "These are repeated by the service.",
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}],
    "top_p": 1.0,
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "name": "add", "arguments": '{"a": 1}', "call_id": "c1", "id": "fc_1"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "hello", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    },
}
COMPLETION = {
    "id": "chatcmpl_1",
    "object": "chat.completion",
    "created": 1768002749,
    "model": "some-model",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
                    {"id": "c2", "type": "function", "function": {"name": "find", "arguments": "{"}},
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
}
USAGE = Usage(input=100, cached=40, output=20, reasoning=5)


def sdk_objects() -> list[Any]:
    """Return what the openai client returns, whole and in parts."""
    from openai.types.chat import ChatCompletion  # noqa: PLC0415 (an extra)
    from openai.types.responses import Response  # noqa: PLC0415

    response, completion = Response.model_validate(RESPONSE), ChatCompletion.model_validate(COMPLETION)
    message = completion.choices[0].message
    return [response, completion, response.output, tuple(response.output), response.output[1], message]


@pytest.mark.parametrize("which", range(6))
def test_objects_of_the_openai_client(which: int) -> None:
    """A Response, a ChatCompletion and their parts, as the client returns them, are stored as their own action."""
    pytest.importorskip("openai")
    output = sdk_objects()[which]
    assert to_action(output).calls[0] == FunctionCall("add", '{"a": 1}')
    reads_back(output)
    reads_back([output] if which > 3 else output)


class NamedCall(NamedTuple):
    """A call as a named tuple."""

    name: str
    arguments: str


class PropertyCall:
    """A call whose fields are computed."""

    @property
    def name(self) -> str:
        """The tool."""
        return "add"

    @property
    def arguments(self) -> str:
        """The arguments."""
        return '{"a": 1}'


class ClassCall:
    """A call whose fields are those of its class."""

    name = "add"
    arguments = '{"a": 1}'


@pytest.mark.parametrize(
    "call", [NamedCall("add", '{"a": 1}'), PropertyCall(), ClassCall()], ids=lambda c: type(c).__name__
)
@pytest.mark.parametrize("wrap", [lambda call: [call], lambda call: {"output": [call]}], ids=["list", "response"])
def test_calls_of_ones_own_classes(wrap: Any, call: Any) -> None:
    """Calls that are objects without fields of their own in them are stored as the action that they were graded as."""
    output = wrap([call][0])
    assert to_action(output).calls == (FunctionCall("add", '{"a": 1}'),)
    reads_back(output)


@pytest.mark.parametrize("wrap", [lambda call: call, lambda call: [call, call]], ids=["alone", "list"])
def test_a_pivots_own_submit_message(wrap: Any) -> None:
    """A call that is stored by its fields stays a call: what its name means is the pivot's to say."""

    class Submitted(PropertyCall):
        name = "submit_message"

    output, own = wrap(Submitted()), frozenset({"submit_message"})
    stored = strictly(output_json(output))
    assert to_action(stored, own) == to_action(output, own)
    assert to_action(stored, own).calls[0].name == "submit_message"


@pytest.mark.parametrize(
    "output",
    [
        {"name": "add", "arguments": {"a": float("nan")}},
        {"name": "add", "arguments": "{}", "score": float("-inf")},
        {"output": [{"type": "message", "role": "assistant", "content": "hi", "logprob": float("inf")}]},
    ],
)
def test_numbers_that_json_lacks(output: Any) -> None:
    """NaN and infinities do not make a line of results that other readers refuse."""
    reads_back(output)


def test_both_answers_in_one_object() -> None:
    """An object with `choices` and `output` is stored with the one that was read."""
    reads_back({"choices": [{"message": {"role": "assistant", "content": "hi"}}], "output": []})


def test_a_response_is_stored_without_what_it_repeats() -> None:
    """The tools, instructions and settings that a Response echoes are not stored; its items and usage are."""
    stored = strictly(output_json(RESPONSE))
    assert set(stored) == {"id", "created_at", "model", "status", "output", "usage"}
    assert stored["output"] == RESPONSE["output"]
    assert usage_of(stored) == USAGE


def test_the_clients_response_is_stored_without_what_it_repeats() -> None:
    """The same holds for the client's own object."""
    pytest.importorskip("openai")
    stored = strictly(output_json(sdk_objects()[0]))
    assert not {"tools", "instructions", "tool_choice", "temperature", "metadata"} & set(stored)
    assert [item["type"] for item in stored["output"]] == ["reasoning", "function_call", "message"]


@pytest.mark.parametrize("output", [3.14, b"bytes", object(), {"name": "add", "arguments": {(1,): 1}}, [[1]], {1, 2}])
def test_what_is_no_action_is_still_one_line_of_json(output: Any) -> None:
    """An output that no action can be read from has a text too, so that its error has its line."""
    text = output_json(output)
    assert text.isascii()
    strictly(text)


def test_an_output_that_refers_to_itself() -> None:
    """Endless outputs end as a short text."""
    loop: dict[str, Any] = {"name": "add", "arguments": "{}"}
    loop["self"] = loop
    reads_back(loop)
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    reads_back({"name": "add", "arguments": "{}", "deep": deep})


@pytest.mark.parametrize("make", [dict, as_namespace])
@pytest.mark.parametrize("answer", [RESPONSE, COMPLETION], ids=["response", "completion"])
def test_usage_under_the_names_of_either_api(answer: dict[str, Any], make: Any) -> None:
    """Tokens are found in dicts and objects of both APIs."""
    assert usage_of(make(answer)) == USAGE


def test_usage_of_the_openai_client() -> None:
    """Tokens are found in the client's own objects."""
    pytest.importorskip("openai")
    assert [usage_of(answer) for answer in sdk_objects()[:2]] == [USAGE, USAGE]


@pytest.mark.parametrize(
    ("output", "usage"),
    [
        (None, None),
        ("text", None),
        ([], None),
        ((), None),
        ({}, None),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": {"total_tokens": 7}}, None),
        ({"usage": "many"}, None),
        ({"usage": {"input_tokens": 7}}, Usage(7, 0, 0, 0)),
        ({"usage": {"completion_tokens": 7, "completion_tokens_details": None}}, Usage(0, 0, 7, 0)),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, Usage(0, 0, 0, 0)),
        ({"usage": {"input_tokens": -4, "output_tokens": "9"}}, Usage(0, 0, 0, 0)),
        ({"usage": {"input_tokens": True, "output_tokens": 1.5}}, Usage(0, 0, 0, 0)),
        ({"usage": {"input_tokens": 10**400, "output_tokens": 3}}, Usage(0, 0, 3, 0)),
    ],
)
def test_odd_usage(output: Any, usage: Usage | None) -> None:
    """Usage that is missing in part counts as 0 there, and what is no count counts as 0 too."""
    assert usage_of(output) == usage


@pytest.mark.parametrize(
    ("action", "written"),
    [
        (None, None),
        (Action(), None),
        (Action(message="hi"), {"type": "message", "content": "hi"}),
        (Action(message=""), {"type": "message", "content": ""}),
        (
            Action((FunctionCall("add", "{"),)),
            {"type": "function_call", "name": "add", "arguments": "{"},
        ),
        (
            Action((FunctionCall("add", "{}"), FunctionCall("find", "[]")), "text beside"),
            {
                "type": "function_call_batch",
                "calls": [
                    {"type": "function_call", "name": "add", "arguments": "{}"},
                    {"type": "function_call", "name": "find", "arguments": "[]"},
                ],
            },
        ),
    ],
)
def test_actions_are_written_as_the_data_sets_write_them(action: Action | None, written: Any) -> None:
    """An action has the form of `expected_action`, and none is null."""
    assert strictly(action_json(action)) == written


@PROPERTY
@given(st.lists(st.tuples(any_text, any_text), max_size=3), any_text)
def test_actions_are_written_as_json_does(named_calls: list[tuple[str, str]], message: str) -> None:
    """The text of an action is what the JSON encoder writes, to the character."""
    written = [{"type": "function_call", "name": name, "arguments": text} for name, text in named_calls]
    action = Action(tuple(FunctionCall(name, text) for name, text in named_calls), None if written else message)
    whole: dict[str, Any] = {"type": "function_call_batch", "calls": written}
    if len(written) < 2:
        whole = written[0] if written else {"type": "message", "content": message}
    assert action_json(action) == json.dumps(whole)


@pytest.mark.parametrize(
    "output",
    [
        "\u00e4" * (MOST_CHARACTERS + 1),
        {"name": "book", "arguments": json.dumps({"a": "x" * MOST_CHARACTERS})},
        {"role": "assistant", "content": "hello", "beside": "x" * (40 << 20)},
    ],
    ids=["message", "call", "what stands beside a message"],
)
def test_a_line_is_never_longer_than_its_reader_allows(output: Any) -> None:
    """An answer that is too long is refused before it is graded; what is too long beside an answer is left out."""
    action = to_action(output)
    if action.message == "hello":
        refuse_too_long(action)
        assert to_action(json.loads(output_json(output))) == action
    else:
        with pytest.raises(ActionError, match="cannot be recorded, and it is not graded"):
            refuse_too_long(action)
    assert len(output_json(output)) + len(action_json(action)) < LONGEST


def test_the_longest_answer_fits_into_a_line() -> None:
    """An answer of as many characters as are allowed, of those that take the most room, is recorded whole."""
    message = "\U0001f600" * (MOST_CHARACTERS // 2) + "\u00e4" * (MOST_CHARACTERS // 2)
    action = to_action(message)
    refuse_too_long(action)
    assert json.loads(output_json(message)) == message
    assert len(output_json(message)) + len(action_json(action)) < LONGEST
