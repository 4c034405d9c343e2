"""Outputs to actions: every accepted shape, the SDK's own objects, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from pytest_fcpivot import Action, ActionError, FunctionCall, Message, to_action

CALL = FunctionCall("find", '{"n": 1}')
NESTED = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"n": 1}'}}
ITEM = {"type": "function_call", "id": "fc_1", "call_id": "fc_1", "name": "find", "arguments": '{"n": 1}'}
SAID: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
REFUSED = {**SAID, "content": [{"type": "refusal", "refusal": "I can't."}]}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
ONE, HELLO, NOTHING = Action((CALL,)), Action(message="Hello"), Action()


def response(*output: Any, status: str = "completed") -> dict[str, Any]:
    """Return a Responses API answer as JSON."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_773_000_000,
        "model": "m",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": status,
    }


def completion(*messages: dict[str, Any]) -> dict[str, Any]:
    """Return a Chat Completions answer as JSON, one choice a message."""
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": None, **message}}
        for i, message in enumerate(messages)
    ]
    return {"id": "c_1", "object": "chat.completion", "created": 1_773_000_000, "model": "m", "choices": choices}


SHAPES = [
    pytest.param("Hello", HELLO, id="text"),
    pytest.param("", Action(message=""), id="empty text"),
    pytest.param(None, NOTHING, id="None"),
    pytest.param([], NOTHING, id="empty list"),
    pytest.param(Message("Hello"), HELLO, id="Message"),
    pytest.param(CALL, ONE, id="FunctionCall"),
    pytest.param(ONE, ONE, id="Action"),
    pytest.param([CALL, CALL], Action((CALL, CALL)), id="list of FunctionCall"),
    pytest.param((CALL,), ONE, id="tuple"),
    pytest.param([Message("Hello")], HELLO, id="list of Message"),
    pytest.param([Message("Hello"), CALL], ONE, id="Message and FunctionCall"),
    pytest.param({"name": "find", "arguments": '{"n": 1}'}, ONE, id="name and text"),
    pytest.param({"name": "find", "arguments": {"n": 1}}, ONE, id="name and object"),
    pytest.param([{"name": "find", "arguments": {"n": 1}}] * 2, Action((CALL, CALL)), id="list of dicts"),
    pytest.param(ITEM, ONE, id="item"),
    pytest.param([THOUGHT, SAID, ITEM], ONE, id="items, text beside a call"),
    pytest.param([THOUGHT, SAID], HELLO, id="items, text"),
    pytest.param([THOUGHT], NOTHING, id="only reasoning"),
    pytest.param([REFUSED], NOTHING, id="only a refusal"),
    pytest.param([REFUSED, SAID], HELLO, id="refusal, then text"),
    pytest.param([{**SAID, "content": []}, SAID], HELLO, id="message without parts, then text"),
    pytest.param([{**SAID, "content": "Hello"}], HELLO, id="message of plain text"),
    pytest.param([{"type": "web_search_call", "id": "ws_1", "status": "completed"}, SAID], HELLO, id="hosted tool"),
    pytest.param(NESTED, ONE, id="nested call"),
    pytest.param([NESTED, NESTED], Action((CALL, CALL)), id="list of nested calls"),
    pytest.param({"role": "assistant", "content": "Hello"}, HELLO, id="chat message"),
    pytest.param({"role": "assistant", "content": "Hm", "tool_calls": [NESTED]}, ONE, id="chat message with calls"),
    pytest.param({"role": "assistant", "content": None, "tool_calls": None}, NOTHING, id="chat message of nulls"),
    pytest.param(
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}, HELLO, id="chat message of parts"
    ),
    pytest.param(
        {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": {"n": 1}}}]},
        ONE,
        id="raw chat call with an object",
    ),
    pytest.param(response(SAID), HELLO, id="Response as a dict"),
    pytest.param(completion({"tool_calls": [NESTED]}), ONE, id="completion as a dict"),
]


@pytest.mark.parametrize(("output", "action"), SHAPES)
def test_accepted_shapes(output: Any, action: Action) -> None:
    """Every accepted shape becomes the same action, however it is spelled, and is not changed by reading."""
    before = repr(output)
    assert to_action(output) == action
    assert repr(output) == before


@pytest.mark.parametrize(
    ("output", "action"),
    [
        pytest.param([THOUGHT, ITEM], ONE, id="call"),
        pytest.param([ITEM, {**ITEM, "call_id": "fc_2"}], Action((CALL, CALL)), id="two calls"),
        pytest.param([THOUGHT, SAID], HELLO, id="text"),
        pytest.param([SAID, ITEM], ONE, id="text and call"),
        pytest.param([REFUSED], NOTHING, id="refusal"),
        pytest.param([THOUGHT], NOTHING, id="reasoning"),
        pytest.param([], NOTHING, id="nothing"),
    ],
)
def test_openai_responses(output: list[Any], action: Action) -> None:
    """A Response of the SDK is read whole, as its list of output items, and item by item."""
    answer = Response.model_validate(response(*output))
    assert to_action(answer) == action
    assert to_action(answer.output) == action
    assert to_action(answer.model_dump()) == action
    if len(output) == 1:
        assert to_action(answer.output[0]) == action


@pytest.mark.parametrize(
    ("message", "action"),
    [
        pytest.param({"tool_calls": [NESTED]}, ONE, id="call"),
        pytest.param({"content": "Hm", "tool_calls": [NESTED, NESTED]}, Action((CALL, CALL)), id="text and calls"),
        pytest.param({"content": "Hello"}, HELLO, id="text"),
        pytest.param({"content": ""}, Action(message=""), id="empty text"),
        pytest.param({"refusal": "I can't."}, NOTHING, id="refusal"),
        pytest.param({}, NOTHING, id="nothing"),
    ],
)
def test_openai_chat_completions(message: dict[str, Any], action: Action) -> None:
    """A ChatCompletion of the SDK is read by its choice, as are the choice and its message alone."""
    answer = ChatCompletion.model_validate(completion(message))
    assert to_action(answer) == action
    assert to_action(answer.choices[0]) == action
    assert to_action(answer.choices[0].message) == action
    assert to_action(answer.model_dump()) == action


def test_an_incomplete_response_is_graded() -> None:
    """A Response that ran into its token limit is what the model said."""
    assert to_action(Response.model_validate(response(SAID, status="incomplete"))) == HELLO


def test_objects_with_the_right_fields() -> None:
    """Another SDK's objects are read by their fields."""

    @dataclass
    class Call:
        name: str
        arguments: Any

    assert to_action(Call("find", {"n": 1})) == ONE
    assert to_action([Call("find", '{"n": 1}')]) == ONE


@pytest.mark.parametrize("arguments", ["", "{oops", '{"n":  1}', "null", "\x00", "\ud800", "{}"])
def test_arguments_stay_as_written(arguments: str) -> None:
    """The model's own text of arguments is kept to the letter, decodable or not."""
    assert to_action({**ITEM, "arguments": arguments}).calls[0].arguments == arguments


@pytest.mark.parametrize(
    ("value", "text"),
    [({"b": 1, "a": None}, '{"b": 1, "a": null}'), ([1], "[1]"), (None, "null"), (7, "7"), ({}, "{}")],
)
def test_arguments_that_are_not_text_are_encoded(value: Any, text: str) -> None:
    """Arguments given as a value are written as JSON once."""
    assert to_action({"name": "f", "arguments": value}).calls[0].arguments == text
    assert FunctionCall("f", value).arguments == text


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        ('{"message": "Hello"}', HELLO),
        ('{"content": "Hello"}', HELLO),
        ('{"text": "Hello"}', HELLO),
        ('{"to": 7, "body": "Hello"}', HELLO),
        ('{"tone": "kind", "message": "Hello"}', HELLO),
        ('{"tone": "kind", "content": "Hello"}', HELLO),
        ('{"tone": "kind", "text": "Hello"}', HELLO),
        ('{"content": "Again", "message": "Hello"}', HELLO),
        ('{"text": "Again", "content": "Hello"}', HELLO),
        ('{"content": "Hello", "message": 7}', HELLO),
        ('"Hello"', HELLO),
        ("7", Action(message="7")),
        ('["Hello"]', Action(message='["Hello"]')),
        ("Hello", HELLO),
        ("{}", Action(message="")),
        ('{"message": 7}', Action(message="")),
        ("[" * 100_000, Action(message="[" * 100_000)),
    ],
)
def test_submit_message_is_a_message(arguments: str, action: Action) -> None:
    """A call of the shared message tool is the text in it."""
    assert to_action(FunctionCall("submit_message", arguments)) == action


NO_TEXT, NO_FIELDS = FunctionCall("find", ""), FunctionCall("find", "{}")
SUBMIT = FunctionCall("submit_message", '{"message": "Hello"}')


@pytest.mark.parametrize(
    ("calls", "as_text", "as_object"),
    [
        pytest.param([NO_TEXT], (NO_TEXT,), (NO_FIELDS,), id="one call"),
        pytest.param([NO_TEXT, CALL], (NO_TEXT, CALL), (NO_FIELDS, CALL), id="beside a call with arguments"),
        pytest.param([SUBMIT, NO_TEXT], (NO_TEXT,), (NO_FIELDS,), id="beside submit_message"),
        pytest.param([CALL], (CALL,), (CALL,), id="none are empty"),
    ],
)
def test_empty_arguments(
    calls: list[FunctionCall], as_text: tuple[FunctionCall, ...], as_object: tuple[FunctionCall, ...]
) -> None:
    """Arguments that a server left empty stay the text "", or are an object without fields if that is asked for."""
    assert to_action(calls) == to_action(calls, empty_arguments="text") == Action(as_text)
    assert to_action(calls, empty_arguments="object") == Action(as_object)
    assert to_action(Action(tuple(calls)), empty_arguments="object") == Action(as_object)


MALFORMED = {"type": "malformed_output", "text": "<function=find{n: 1}"}


@pytest.mark.parametrize(
    ("output", "action"),
    [
        pytest.param(MALFORMED, Action(malformed="<function=find{n: 1}"), id="alone"),
        pytest.param([MALFORMED, SAID], HELLO, id="beside a text"),
        pytest.param([MALFORMED, ITEM], ONE, id="beside a call"),
        pytest.param(Action(malformed="<oops>"), Action(malformed="<oops>"), id="an Action"),
    ],
)
def test_malformed_output(output: Any, action: Action) -> None:
    """What a server could not parse is no action, and gives way to a text or a call that could be read."""
    assert to_action(output) == action


def test_the_first_text_counts() -> None:
    """Of several texts the first one is the message: of messages, and of the parts of a message."""
    again = {**SAID, "content": [{"type": "output_text", "text": "Again"}]}
    assert to_action([SAID, again]) == HELLO
    assert to_action({**SAID, "content": [*SAID["content"], *again["content"]]}) == HELLO


def test_nesting_without_end() -> None:
    """An output that is nested too deep to be read is refused by an ActionError that says so."""
    output: Any = SAID
    for _ in range(5_000):
        output = {"role": "assistant", "content": [output]}
    with pytest.raises(ActionError, match="a dict that is nested too deep to be read"):
        to_action(output)


def test_submit_message_gives_way() -> None:
    """It counts as a call if the pivot itself has such a tool, and gives way to a real call beside it."""
    assert to_action(SUBMIT, frozenset({"submit_message"})) == Action((SUBMIT,))
    assert to_action([SUBMIT, CALL]) == to_action([CALL, SUBMIT]) == to_action(Action((CALL, SUBMIT))) == ONE
    assert to_action(SUBMIT) == to_action(Action((SUBMIT,))) == HELLO
    assert to_action([SUBMIT, FunctionCall("submit_message", '{"message": "Again"}')]) == HELLO


@pytest.mark.parametrize(
    ("output", "parts"),
    [
        pytest.param(42, ["int", "an agent may return"], id="number"),
        pytest.param(True, ["bool"], id="boolean"),
        pytest.param(b"Hello", ["bytes"], id="bytes"),
        pytest.param({}, ["dict"], id="empty dict"),
        pytest.param({"answer": "Hello"}, ["dict", "answer", "'content'"], id="unknown keys"),
        pytest.param({"Hello"}, ["set"], id="set"),
        pytest.param((part for part in "ab"), ["generator"], id="generator"),
        pytest.param(["Hello"], ["list", "str"], id="list of text"),
        pytest.param([None], ["list", "NoneType"], id="list of None"),
        pytest.param([CALL, 3], ["list", "int"], id="list with a number"),
        pytest.param([{"answer": 1}], ["list", "answer"], id="list with an unknown dict"),
        pytest.param([[CALL]], ["list"], id="list in a list"),
        pytest.param(object(), ["object"], id="object"),
        pytest.param(FunctionCall, ["type"], id="class"),
        pytest.param({"name": 7, "arguments": "{}"}, ["name", "int"], id="name is a number"),
        pytest.param({"type": "function_call", "arguments": "{}"}, ["name", "missing"], id="no name"),
        pytest.param({"name": "f"}, ["'name'", "without its arguments", "{} if there are none"], id="no arguments"),
        pytest.param({"name": "f", "arguments": {"x": {1}}}, ["'f'", "JSON", "set"], id="set in arguments"),
        pytest.param({"name": "f", "arguments": {(1, 2): 3}}, ["'f'", "JSON"], id="tuple as a key"),
        pytest.param(completion(), ["no choices", "no answer"], id="completion without choices"),
        pytest.param({"choices": [{"text": "Hello"}]}, ["choices"], id="choice without a message"),
        pytest.param(response(status="failed"), ["failed", "no answer"], id="failed Response"),
        pytest.param(response(SAID, status="cancelled"), ["cancelled"], id="cancelled Response"),
        pytest.param(Response.model_validate(response(status="failed")), ["failed"], id="failed Response object"),
    ],
)
def test_refused_outputs(output: Any, parts: list[str]) -> None:
    """What is no action raises ActionError, a TypeError, that names the type and what would be accepted."""
    with pytest.raises(ActionError) as raised:
        to_action(output)
    assert isinstance(raised.value, TypeError)
    for part in parts:
        assert part in str(raised.value)
    assert len(str(raised.value)) < 1_000


def test_arguments_that_hold_themselves() -> None:
    """Arguments that JSON cannot write because they are circular are refused by name."""
    circular: dict[str, Any] = {}
    circular["self"] = circular
    with pytest.raises(ActionError, match="'f'"):
        to_action({"name": "f", "arguments": circular})


@pytest.mark.parametrize(
    ("action", "kind"),
    [(ONE, "function_call"), (Action((CALL, CALL)), "function_call_batch"), (HELLO, "message"), (NOTHING, "none")],
)
def test_the_kind_of_an_action(action: Action, kind: str) -> None:
    """An action names its type in the words of the data sets."""
    assert action.kind == kind


@pytest.mark.parametrize(
    "output",
    [
        {"output": [], "status": []},
        {"output": [SAID], "status": {"is": "failed"}},
        {"role": "assistant", "content": [{"type": [], "text": "Hello"}]},
        {"role": ["assistant"], "content": "Hello"},
        {"type": {}, "name": "f", "arguments": []},
        {"role": "assistant", "tool_calls": [[]]},
        {"role": "assistant", "tool_calls": [{"function": [1]}]},
        {"choices": [[]]},
        {"choices": [{"message": []}]},
        {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": []}]},
        {"candidates": [{"content": [], "finishReason": {}}]},
        {"candidates": [{"content": {"parts": [[]]}}]},
        {"role": "model", "parts": {}},
        {"messages": [[]]},
        {"output": {"message": []}},
        {"type": "ai", "content": 7},
        {"type": "ai", "content": "", "tool_calls": [7], "additional_kwargs": []},
        {"lc": 1, "type": "constructor", "id": [[]], "kwargs": {}},
        {"kind": "response", "parts": [7]},
        {"toolCalls": [[]]},
        {"steps": 7, "text": "Hi", "finishReason": "stop"},
        {"done": True, "message": {"role": []}},
    ],
)
def test_wild_types(output: Any) -> None:
    """Fields of a wrong type never end in anything but an action or an ActionError."""
    try:
        assert isinstance(to_action(output), Action)
    except ActionError as error:
        assert 20 < len(str(error)) < 600  # noqa: PT017


words = st.sampled_from(
    [
        *("type", "role", "name", "arguments", "content", "text", "output", "choices", "message", "function"),
        *("tool_calls", "status", "assistant", "function_call", "output_text", "completed", "failed", "calls"),
        *("parts", "model", "candidates", "functionCall", "args", "toolUse", "input", "messages", "ai", "tool_call"),
        *("part_kind", "kind", "response", "tool-call", "toolCalls", "tool_use", "done", "error", "finish_reason"),
    ]
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), words, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=5)),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_any_json_is_an_action_or_refused(output: Any) -> None:
    """Whatever JSON an agent returns becomes an action with text in it, or an ActionError, and nothing else."""
    try:
        action = to_action(output)
    except ActionError:
        return
    assert action.message is None or isinstance(action.message, str)
    for call in action.calls:
        assert isinstance(call.name, str)
        assert isinstance(call.arguments, str)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.dictionaries(st.text(), st.integers())), min_size=1, max_size=4))
def test_both_apis_say_the_same(found: list[tuple[str, dict[str, int]]]) -> None:
    """The same calls read from a Response, a ChatCompletion and a plain list are the same action."""
    items = [{**ITEM, "name": name, "arguments": json.dumps(arguments)} for name, arguments in found]
    nested = [{**NESTED, "function": {"name": name, "arguments": json.dumps(arguments)}} for name, arguments in found]
    plain = [{"name": name, "arguments": arguments} for name, arguments in found]
    first = to_action(Response.model_validate(response(*items)))
    assert [call.name for call in first.calls] == [name for name, _ in found]
    assert first == to_action(ChatCompletion.model_validate(completion({"tool_calls": nested}))) == to_action(plain)
