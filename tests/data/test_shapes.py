"""Rows of other people's shapes: read as what they are, or refused with the reason; nothing is lost or made up."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Pivot, load_pivots
from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.conversations import SkippedTurn
from pytest_fcpivot.data.rowreader import RowReader
from pytest_fcpivot.data.rows import StoredPivot

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

SCHEMA = {"type": "object", "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}}}
FUNCTION = {"name": "switch", "description": "Switch a lamp.", "parameters": SCHEMA}
FLAT = [{"type": "function", **FUNCTION}]
NESTED = [{"type": "function", "function": FUNCTION}]
ARGUMENTS = '{"room": "hall", "on": true}'
ASKED = {"role": "user", "content": "Light in the hall, please."}
CALL = {"id": "k1", "type": "function", "function": {"name": "switch", "arguments": ARGUMENTS}}
CALLING = {"role": "assistant", "content": "One moment.", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "k1", "content": "on"}
SAID = {"role": "assistant", "content": "It is on."}
TALK: Json = {"uuid": "u", "messages": [ASKED, CALLING, RESULT, SAID], "tools": NESTED}
PIVOT: Json = {
    "trajectory_id": 3,
    "info": {"turn": 0, "step": 0, "depth": 0},
    "responses_create_params": {"input": [ASKED], "tools": FLAT},
    "expected_action": {"type": "function_call", "name": "switch", "arguments": ARGUMENTS},
}


def read(row: Any, **how: Any) -> tuple[list[Pivot], list[SkippedTurn], RowReader]:
    """Return the pivots of a row, the turns that were left out, and the reader; its row is read by its looks alone."""
    reader = RowReader(**how)
    found = reader.read(json.dumps(row).encode(), 4)
    turns = [found] if isinstance(found, StoredPivot) else list(found.turns())
    pivots = [turn.pivot() for turn in turns if isinstance(turn, StoredPivot)]
    return pivots, [turn for turn in turns if isinstance(turn, SkippedTurn)], reader


def changed(row: Json, **members: Any) -> Json:
    """Return a copy of a row with other members."""
    return {**copy.deepcopy(row), **members}


def is_the_lamp(pivots: list[Pivot]) -> None:
    """Check that these are the two pivots of the lamp: the call, and what was said after its result."""
    first, second = pivots
    ((name, arguments),) = [(call.name, json.loads(call.arguments)) for call in first.expected_action.calls]
    assert (name, arguments) == ("switch", json.loads(ARGUMENTS))
    assert first.input == [ASKED]
    assert [tool["name"] for tool in first.tools] == ["switch"]
    assert first.tools[0]["parameters"] == SCHEMA
    assert second.expected_action.message == "It is on."
    assert [item.get("type", item.get("role")) for item in second.input if item.get("role") != "assistant"] == [
        "user",
        "function_call",
        "function_call_output",
    ]
    assert (second.input[-1]["output"], second.input[-1]["call_id"]) == ("on", second.input[-2]["call_id"])


ANTHROPIC: list[Json] = [
    ASKED,
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "a zebra"},
            {"type": "text", "text": "One moment."},
            {"type": "tool_use", "id": "k1", "name": "switch", "input": {"room": "hall", "on": True}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "k1", "content": "on"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "It is on."}]},
]
SHAREGPT = [
    {"from": "human", "value": ASKED["content"]},
    {"from": "function_call", "value": json.dumps({"name": "switch", "arguments": {"room": "hall", "on": True}})},
    {"from": "observation", "value": "on"},
    {"from": "gpt", "value": "It is on."},
]
CONVERSATIONS: dict[str, tuple[Json, str]] = {
    "messages as text": (changed(TALK, messages=json.dumps(TALK["messages"])), "chat"),
    "tools as text": (changed(TALK, tools=json.dumps(NESTED)), "chat"),
    "one tool": (changed(TALK, tools=NESTED[0]), "chat"),
    "one tool as text": (changed(TALK, tools=json.dumps(NESTED[0])), "chat"),
    "a schema as text": (
        changed(TALK, tools=[{"type": "function", "function": {**FUNCTION, "parameters": json.dumps(SCHEMA)}}]),
        "chat",
    ),
    "calls as text": (
        changed(TALK, messages=[ASKED, {**CALLING, "tool_calls": json.dumps([CALL])}, RESULT, SAID]),
        "chat",
    ),
    "one call": (changed(TALK, messages=[ASKED, {**CALLING, "tool_calls": CALL}, RESULT, SAID]), "chat"),
    "one call as text": (
        changed(TALK, messages=[ASKED, {**CALLING, "tool_calls": json.dumps(CALL)}, RESULT, SAID]),
        "chat",
    ),
    "function as text": (
        changed(
            TALK,
            messages=[
                ASKED,
                {**CALLING, "tool_calls": [{**CALL, "function": json.dumps(CALL["function"])}]},
                RESULT,
                SAID,
            ],
        ),
        "chat",
    ),
    "functions": (
        {
            "uuid": "u",
            "functions": [FUNCTION],
            "messages": [
                ASKED,
                {"role": "assistant", "content": None, "function_call": CALL["function"]},
                {"role": "function", "name": "switch", "content": "on"},
                SAID,
            ],
        },
        "chat",
    ),
    "anthropic": (
        {"uuid": "u", "messages": ANTHROPIC, "tools": [{"name": "switch", "input_schema": SCHEMA}]},
        "anthropic",
    ),
    "sharegpt": ({"id": "u", "conversations": SHAREGPT, "tools": json.dumps([FUNCTION])}, "sharegpt"),
    "sharegpt as text": ({"id": "u", "conversations": json.dumps(SHAREGPT), "tools": [FUNCTION]}, "sharegpt"),
    "roles of its own for calls": (
        changed(
            TALK,
            messages=[
                ASKED,
                {"role": "tool_call", "content": json.dumps([CALL["function"]])},
                {"role": "tool_response", "content": "on"},
                SAID,
            ],
        ),
        "chat",
    ),
}


@pytest.mark.parametrize("title", CONVERSATIONS)
def test_conversations_of_every_shape(title: str) -> None:
    """The same conversation, however it is written, has the same two pivots, and its shape is told."""
    row, shape = CONVERSATIONS[title]
    pivots, left_out, reader = read(row)
    is_the_lamp(pivots)
    assert (left_out, reader.found) == ([], shape)
    assert [pivot.id for pivot in pivots] == ["u-d0", "u-d1"]
    assert "zebra" not in repr([vars_of(pivot) for pivot in pivots])


def vars_of(pivot: Pivot) -> list[Any]:
    """Return all that a pivot holds."""
    return [getattr(pivot, name) for name in Pivot.__slots__]


@pytest.mark.parametrize("title", CONVERSATIONS)
def test_after_a_row_of_the_published_shape(title: str) -> None:
    """A row is read in the same way after others that are read by their types."""
    row, _ = CONVERSATIONS[title]
    reader = RowReader()
    for line in range(3):
        reader.read(json.dumps({**TALK, **dict.fromkeys(row)} | TALK).encode(), line)
    found = reader.read(json.dumps(row).encode(), 4)
    assert not isinstance(found, StoredPivot)
    is_the_lamp([turn.pivot() for turn in found.turns() if isinstance(turn, StoredPivot)])


@pytest.mark.parametrize("key", ["parameters", "args", "input", "arguments"])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("value", [{"room": "hall", "on": True}, ARGUMENTS])
def test_other_names_for_arguments(key: str, wrapped: bool, value: Any) -> None:
    """Arguments under the names that other APIs have for them are arguments."""
    call: Json = {"name": "switch", key: value}
    turn = {"role": "assistant", "content": "", "tool_calls": [{"function": call} if wrapped else call]}
    ((pivot,), _, _) = read(changed(TALK, messages=[ASKED, turn]))
    assert json.loads(pivot.expected_action.calls[0].arguments) == {"room": "hall", "on": True}


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "switch"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "switch", "payload": {}}]},
        {"role": "assistant", "content": None, "function_call": {"name": "switch"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "k1", "name": "switch"}]},
        {"role": "function_call", "content": '{"name": "switch"}'},
    ],
)
def test_a_call_without_arguments(turn: Json) -> None:
    """A missing key is not `{}`: the turn is no pivot; later ones are flagged for what they have to show."""
    pivots, left_out, _ = read(changed(TALK, messages=[ASKED, turn, RESULT, SAID]))
    assert [(one.message, "no arguments" in one.reason) for one in left_out] == [(1, True)]
    assert [pivot.id for pivot in pivots] == ["u-d1"]
    assert [item["arguments"] for item in pivots[0].input if item.get("type") == "function_call"] == [""]
    assert "calls-without-arguments" in pivots[0].metadata["flags"]


@pytest.mark.parametrize(
    ("mark", "learned"),
    [
        ({"weight": 0}, False),
        ({"weight": 0.0}, False),
        ({"weight": 1}, True),
        ({"weight": None}, True),
        ({"train": False}, False),
        ({"train": True}, True),
        ({"loss": False}, False),
        ({"weight": False}, False),
        ({"train_on_turn": 0.0}, False),
        ({"train": "False"}, False),
        ({"loss": [1, 0]}, True),
    ],
)
def test_turns_that_are_not_to_be_learned(mark: Json, learned: bool) -> None:
    """A turn of weight 0 stays in the conversation, and is no pivot; its depth is counted."""
    pivots, left_out, _ = read(changed(TALK, messages=[ASKED, {**SAID, **mark}, ASKED, SAID]))
    assert [pivot.id for pivot in pivots] == (["u-d0", "u-d1"] if learned else ["u-d1"])
    assert pivots[-1].input[1] == {"role": "assistant", "content": "It is on."}
    assert ["not to be learned" in one.reason for one in left_out] == ([] if learned else [True])


@pytest.mark.parametrize("key", ["system", "system_prompt"])
@pytest.mark.parametrize("value", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
def test_a_system_text_beside_the_messages(key: str, value: Any) -> None:
    """It is the first item, once, also where the messages have it already; an empty one is nothing."""
    system = {"role": "system", "content": "Be brief."}
    for row in (changed(TALK, **{key: value}), changed(TALK, **{key: value}, messages=[system, *TALK["messages"]])):
        pivots, _, _ = read(row)
        assert [pivot.input[0] for pivot in pivots] == [system, system]
        assert [item.get("role") for item in pivots[0].input] == ["system", "user"]
    assert read(changed(TALK, **{key: ""}))[0][0].input == [ASKED]
    sharegpt = {"id": "u", "conversations": SHAREGPT, key: value, "tools": [FUNCTION]}
    assert read(sharegpt)[0][0].input == [system, ASKED]


@pytest.mark.parametrize(
    ("members", "params"),
    [
        ({"parallel_tool_calls": False, "temperature": 0.2}, {"parallel_tool_calls": False, "temperature": 0.2}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": None}, {}),
        ({"function_call": "none"}, {"tool_choice": "none"}),
        ({"function_call": {"name": "switch"}}, {"tool_choice": {"type": "function", "name": "switch"}}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "tool", "name": "switch", "disable_parallel_tool_use": True}},
            {"tool_choice": {"type": "function", "name": "switch"}, "parallel_tool_calls": False},
        ),
    ],
)
def test_settings_of_the_request(members: Json, params: Json) -> None:
    """Settings beside the messages are what the agent is asked with, and no metadata."""
    pivots, _, _ = read(changed(TALK, **members, note="mine"))
    assert [pivot.view().params for pivot in pivots] == [params, params]
    assert pivots[0].metadata == {"note": "mine"}


# Rows of one pivot


REQUEST: Json = {"model": "m", "messages": [ASKED], "tools": NESTED, "temperature": 0}
COMPLETION = {"id": "cmpl-1", "choices": [{"finish_reason": "tool_calls", "message": CALLING}]}
ITEM = {"type": "function_call", "call_id": "k1", "name": "switch", "arguments": ARGUMENTS}
SINGLE: dict[str, tuple[Json, str, str]] = {
    "request and response": ({"request": REQUEST, "response": COMPLETION}, "request-response", "cmpl-1-d0"),
    "both as text": (
        {"id": "log 1", "request": json.dumps(REQUEST), "response": json.dumps(COMPLETION)},
        "request-response",
        "log-1-1c7f5f-d0",
    ),
    "bodies": (
        {"custom_id": "x", "request": {"body": REQUEST}, "response": {"status_code": 200, "body": COMPLETION}},
        "request-response",
        "cmpl-1-d0",
    ),
    "messages and response": ({**REQUEST, "response": COMPLETION}, "request-response", "cmpl-1-d0"),
    "anthropic": (
        {
            "request": {"system": "", "messages": [ASKED], "tools": [{"name": "switch", "input_schema": SCHEMA}]},
            "response": {"id": "msg_1", "type": "message", **ANTHROPIC[1]},
        },
        "request-response",
        "msg_1-d0",
    ),
    "responses log": ({"id": "resp_9", "input": [ASKED], "tools": FLAT, "output": [ITEM]}, "responses-log", "resp_9"),
    "input is text": (
        {
            "id": "resp_9",
            "input": ASKED["content"],
            "tools": FLAT,
            "output": [{"type": "reasoning", "summary": []}, ITEM],
        },
        "responses-log",
        "resp_9",
    ),
    "responses exchange": (
        {"request": {"input": [ASKED], "tools": FLAT}, "response": {"id": "resp_9", "output": [ITEM]}},
        "request-response",
        "resp_9",
    ),
    "query and answers": (
        {
            "id": 12,
            "query": ASKED["content"],
            "tools": json.dumps([FUNCTION]),
            "answers": json.dumps([{"name": "switch", "arguments": json.loads(ARGUMENTS)}]),
        },
        "query-answers",
        "t12",
    ),
    "texts of a pivot row": (
        {
            "id": "p",
            "responses_create_params": json.dumps({"input": json.dumps([ASKED]), "tools": json.dumps(FLAT)}),
            "expected_action": json.dumps(PIVOT["expected_action"]),
        },
        "fc-pivot",
        "p",
    ),
}


@pytest.mark.parametrize("title", SINGLE)
def test_rows_of_one_pivot(title: str) -> None:
    """A log, a question with its answers and a row that is a pivot are one pivot each, with its tools and its call."""
    row, shape, own = SINGLE[title]
    (pivot,), _, reader = read(row)
    ((name, arguments),) = [(call.name, json.loads(call.arguments)) for call in pivot.expected_action.calls]
    assert (name, arguments) == ("switch", json.loads(ARGUMENTS))
    assert pivot.input == [ASKED]
    assert [tool["parameters"] for tool in pivot.tools] == [SCHEMA]
    assert (reader.found, pivot.id) == (shape, own)


def test_what_was_said_before_a_response_is_no_pivot() -> None:
    """Only the response of a log is a pivot; earlier answers stand in the request, and are those of other rows."""
    row = {"request": {**REQUEST, "messages": [ASKED, CALLING, RESULT]}, "response": {"choices": [{"message": SAID}]}}
    (pivot,), _, _ = read(row)
    assert (pivot.expected_action.message, pivot.depth) == ("It is on.", 1)
    assert pivot.params == {"temperature": 0}
    assert pivot.metadata["model"] == "m"


def test_the_action_of_a_responses_log_is_the_verifiers() -> None:
    """Calls come before text; without one, it is the first text of the first message that has one."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]}
    (several,), _, _ = read({"input": "x", "output": [said, ITEM, ITEM]})
    assert several.expected_action.kind == "function_call_batch"
    (text,), _, _ = read({"input": "x", "output": [said, {**said, "content": []}]})
    assert text.expected_action.message == "Wait."


ROLLOUT: Json = {
    "responses_create_params": {"input": [{"role": "system", "content": "Be brief."}, ASKED], "tools": FLAT},
    "response": {
        "id": "resp_5",
        "output": [
            {"type": "reasoning", "summary": []},
            ITEM,
            {"type": "function_call_output", "call_id": "k1", "output": "on"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is on."}]},
            {"role": "user", "content": "And off."},
            {**ITEM, "call_id": "k2"},
            {**ITEM, "call_id": "k3", "arguments": "{"},
            {"type": "function_call_output", "call_id": "k2", "output": "off"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Off."}]},
        ],
    },
    "reward": 1.0,
}


def test_rollouts_of_several_turns() -> None:
    """Each turn of a rollout without an expected action is a pivot; one that cannot be read is left out, and told."""
    pivots, left_out, reader = read({**ROLLOUT, "id": 8, "_ng_task_index": 2, "_ng_rollout_index": 3})
    assert reader.found == "rollout"
    assert [(p.id, p.turn, p.step, p.depth) for p in pivots] == [
        ("t8-r3-d0", 0, 0, 0),
        ("t8-r3-d1", 0, 1, 1),
        ("t8-r3-d3", 1, 1, 3),
    ]
    assert [p.expected_action.kind for p in pivots] == ["function_call", "message", "message"]
    assert [len(p.input) for p in pivots] == [2, 5, 10]
    assert ["not JSON" in one.reason for one in left_out] == [True]
    assert {p.trajectory_id for p in pivots} == {"8-r3"}
    assert pivots[0].metadata["reward"] == 1.0
    (one,), _, _ = read({**ROLLOUT, "expected_action": PIVOT["expected_action"]})
    assert one.expected_action.calls[0].name == "switch"
    anonymous = [[p.id for p in read(row)[0]] for row in (ROLLOUT, ROLLOUT, {**ROLLOUT, "reward": 0.0})]
    assert anonymous[0] == anonymous[1] == anonymous[2]


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ({"meta_info": {"turn": 2, "step": 1, "assistant_depth": 4}}, (2, 1, 4)),
        ({"meta_info": {"turn": 2, "depth": 4}}, (2, None, 4)),
        ({"info": {"turn": 1, "step": 0, "depth": 1}, "meta_info": {"assistant_depth": 9}}, (1, 0, 1)),
        ({"info": None, "meta_info": '{"turn": 0, "step": 2, "assistant_depth": 2}'}, (0, 2, 2)),
        ({"info": '{"turn": 0, "step": 1, "depth": 1}'}, (0, 1, 1)),
        ({"meta_info": "harbour"}, (None, None, None)),
    ],
)
def test_places_of_sister_sets(places: Json, found: tuple[int | None, ...]) -> None:
    """Turn, step and depth come from `info`, or from `meta_info`, whose assistant_depth is the depth."""
    (pivot,), _, _ = read({key: value for key, value in PIVOT.items() if key != "info"} | places)
    assert (pivot.turn, pivot.step, pivot.depth) == found


def test_the_expected_action_of_a_row_is_the_authority() -> None:
    """A message that looks like a call stays the message that the row says it is."""
    text = "<tool_call>\n{}\n</tool_call>"
    (pivot,), _, _ = read({**PIVOT, "expected_action": {"type": "message", "content": text}})
    assert pivot.expected_action.message == text


def test_odd_tools_are_kept() -> None:
    """A tool that a server brings stays as it is, and parameters that are no schema are not made one."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    listed = {"name": "f", "parameters": {"city": {"description": "city", "type": "str"}}}
    ((pivot, _), _, _) = read(changed(TALK, tools=[search, listed, *NESTED]))
    assert pivot.tools == [search, {"type": "function", **listed}, *FLAT]


# Refused


def talk_of(*turns: Json, **members: Any) -> Json:
    """Return a conversation of these turns after a question."""
    return changed(TALK, messages=[ASKED, *turns], **members)


TEXT_CALL = '<tool_call>\n{"name": "switch", "arguments": {}}\n</tool_call>'
REFUSED: dict[str, tuple[Any, str]] = {
    "unknown role": (
        talk_of({"role": "critic", "content": "x"}, SAID),
        r"messages\[1\]: unknown role 'critic'",
    ),
    "messages are words": (changed(TALK, messages="Hello"), "no messages .*not JSON"),
    "calls are words": (
        talk_of({**CALLING, "tool_calls": "switch"}),
        r"messages\[1\]\.tool_calls: a string that is not JSON",
    ),
    "calls are a number": (talk_of({**CALLING, "tool_calls": 3}), r"messages\[1\]\.tool_calls: a list of calls"),
    "custom call": (
        talk_of({**CALLING, "tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "x"}}]}),
        "calls of type 'custom' are not known, and this one would be lost",
    ),
    "unknown key of calls": (talk_of({**SAID, "toolCalls": [CALL]}), r"messages\[1\]\.toolCalls looks like calls"),
    "unknown key with a call": (
        talk_of({**SAID, "plan": [{"name": "switch", "arguments": {}}]}),
        r"messages\[1\]\.plan looks like calls",
    ),
    "unknown block": (
        talk_of({"role": "assistant", "content": [{"type": "tool-call", "toolName": "switch", "args": {}}]}),
        r"messages\[1\]\.content\[0\]: a block of type 'tool-call' looks like a call",
    ),
    "server's block": (
        talk_of({"role": "assistant", "content": [{"type": "server_tool_use", "name": "s", "input": {}}]}),
        "server_tool_use.* would be lost",
    ),
    "block without a type": (
        talk_of({"role": "assistant", "content": [{"functionCall": {"name": "switch", "args": {}}}]}),
        "looks like a call",
    ),
    "block in the wrong place": (
        talk_of({"role": "user", "content": [{"type": "tool_use", "name": "switch", "input": {}}]}, SAID),
        "tool_use block in a message of the role user",
    ),
    "calls twice": (
        talk_of(
            {
                "role": "assistant",
                "tool_calls": [CALL],
                "content": [{"type": "tool_use", "id": "z", "name": "f", "input": {}}],
            }
        ),
        "calls both in tool_calls and in the content",
    ),
    "arguments twice": (
        talk_of({"role": "assistant", "tool_calls": [{"name": "f", "arguments": {}, "parameters": {"a": 1}}]}),
        "several keys hold different arguments",
    ),
    "weight is a word": (talk_of({**SAID, "weight": "none"}), "weight: a number"),
    "tools under another name": (
        {"messages": [ASKED, SAID], "available_tools": [FUNCTION]},
        "available_tools looks like tools, which the agent would not be offered",
    ),
    "tools in a text of another name": (
        {"messages": [ASKED, SAID], "api_list": json.dumps([FUNCTION])},
        "api_list looks like tools",
    ),
    "tools and functions": (
        changed(TALK, functions=[{**FUNCTION, "name": "other"}]),
        "tools and functions differ",
    ),
    "calls beside the messages": (
        {"messages": [ASKED, SAID], "ground_truth": [{"name": "switch", "arguments": {}}]},
        "ground_truth looks like calls, the messages have none",
    ),
    "a call as text": (
        talk_of({"role": "assistant", "content": TEXT_CALL}),
        r"messages\[1\]: .*--calls-in-text=hermes",
    ),
    "a call as escaped text": (
        talk_of({"role": "assistant", "content": "\u003ctool_call> {}"}),
        "the expert's call is written as text",
    ),
    "a call as text in a part": (
        talk_of({"role": "assistant", "content": [{"type": "text", "text": TEXT_CALL}]}),
        "the expert's call is written as text",
    ),
    **{
        f"a call as text: {title}": (
            {"messages": [ASKED, {"role": "assistant", "content": text}], **tools},
            r"messages\[1\]: the expert's call is written as text",
        )
        for title, text, tools in (
            ("JSON", '{"name": "switch", "arguments": {}}', {"tools": NESTED}),
            ("a list", '[{"name": "switch", "parameters": {"on": true}}]', {"tools": NESTED}),
            ("a fence", '```json\n{"name": "switch", "arguments": {}}\n```', {"tools": NESTED}),
            ("JSON, no tools", '{"name": "switch", "arguments": {}}', {}),
            ("Python", '[switch(room="hall")]', {"tools": NESTED}),
            ("Python, words", '[Lamp Switch API(room="hall", on=True)]', {}),
            ("NVIDIA", '<TOOLCALL>[{"name": "switch", "arguments": {}}]</TOOLCALL>', {"tools": NESTED}),
            ("Glaive", '<functioncall> {"name": "switch", "arguments": \'{}\'} <|endoftext|>', {}),
            ("ReAct", "Thought: dark.\nAction: switch\nAction Input: {}", {}),
            ("behind a thought", '<think>dark</think>\n{"name": "switch", "arguments": {}}', {"tools": NESTED}),
        )
    },
    "a call as text in a log": (
        {"input": "x", "tools": FLAT, "output": [{"type": "message", "role": "assistant", "content": TEXT_CALL}]},
        "output: the call is written as text",
    ),
    "another key of contents": (
        talk_of({"role": "user", "text": "And?"}, SAID),
        r"messages\[1\]: it has no content or value",
    ),
    "parts": (talk_of({"role": "model", "parts": [{"text": "Yes."}]}, SAID), r"messages\[1\]: .* but parts, which is"),
    "a result's other key": (
        talk_of(CALLING, {"role": "tool", "tool_call_id": "k1", "output": "on"}, SAID),
        r"messages\[2\]: it has no content or value, but output",
    ),
    "a user's calls": (
        talk_of({"role": "user", "content": "x", "tool_calls": [CALL]}, SAID),
        r"messages\[1\]: tool_calls in a message of the role user",
    ),
    "two forms of calls": (
        talk_of({"role": "assistant", "tool_calls": [CALL], "function_call": {"name": "f", "arguments": "{}"}}),
        "calls both in tool_calls and in function_call, and not the same",
    ),
    "calls that are Python": (
        talk_of({"role": "assistant", "content": None, "function_calls": "switch(on=True)"}),
        r"messages\[1\]\.function_calls looks like calls",
    ),
    "tools of a message": (
        {"messages": [{"role": "system", "content": "x", "functions": json.dumps([FUNCTION])}, ASKED, SAID]},
        r"messages\[0\]\.functions looks like tools",
    ),
    "an expected action beside messages": (
        changed(TALK, expected_action={"type": "message", "content": "x"}),
        "expected_action beside messages: it would be lost",
    ),
    "an answer behind the last turn": (
        talk_of(CALLING, RESULT, SAID, ASKED, ground_truth=[{"name": "switch", "arguments": {}}]),
        "ground_truth looks like calls, the messages end before",
    ),
    "a system text of another name": (changed(TALK, System="Be brief."), "System looks like a system text"),
    "Alpaca": ({"instruction": "a", "input": "b", "output": "[]"}, "instruction beside input and output"),
    "output is words": ({"input": "b", "output": "It is on."}, "output: a text, but a Response has a list"),
    "items without a type": (
        {"input": "b", "output": [{"name": "switch", "arguments": "{}"}], "tools": FLAT},
        r"output\[0\]: an item without a type",
    ),
    "functions beside items": (
        {"input": "b", "output": [ITEM], "functions": [FUNCTION]},
        "functions looks like tools, which the agent would not be offered",
    ),
    "a failed rollout": (
        {"responses_create_params": {"input": "x"}, "response": {"output": [ITEM], "error": {"code": "x"}}},
        "there is no answer",
    ),
    "a call in another dialect": (talk_of({"role": "assistant", "content": "[TOOL_CALLS] [{}]"}), "written as text"),
    "a call behind words": (talk_of({"role": "assistant", "content": "Yes. [TOOL_CALLS] [{}]"}), "written as text"),
    "one list": ([TALK], "not an array; if the file is one list, write each of its objects on a line"),
    "a call as text in ShareGPT": (
        {"conversations": [SHAREGPT[0], {"from": "gpt", "value": TEXT_CALL}], "tools": [FUNCTION]},
        r"conversations\[1\]: the expert's call",
    ),
    "tools as text": (
        {"messages": [{"role": "system", "content": f"<tools>{json.dumps(FUNCTION)}</tools>"}, ASKED, SAID]},
        "the system text holds tools",
    ),
    "two systems": (changed(TALK, system="a", system_prompt="b"), "system and system_prompt differ"),
    "system is an object": (changed(TALK, system={"a": 1}), "system: a text"),
    "two choices": (
        {"request": REQUEST, "response": {"choices": [{"message": SAID}, {"message": SAID}]}},
        "2 answers, and it is not known which one is right",
    ),
    "streamed": ({"request": REQUEST, "response": {"choices": [{"delta": {}}]}}, "if it was streamed"),
    "error": ({"request": REQUEST, "response": {"error": {"message": "no"}}}, "response: an error, not an answer"),
    "unknown response": ({"request": REQUEST, "response": {"text": "hi"}}, "no answer in a known form; its keys: text"),
    "nothing said": (
        {"request": REQUEST, "response": {"choices": [{"message": {"role": "assistant", "content": None}}]}},
        "response: neither text nor calls",
    ),
    "previous response": (
        {"input": "x", "output": [ITEM], "previous_response_id": "resp_1"},
        "previous_response_id: what was said before is not in the row",
    ),
    "custom item": (
        {"input": "x", "output": [{"type": "custom_tool_call", "name": "f", "input": "x"}]},
        "custom_tool_call",
    ),
    "failed Response": ({"input": "x", "output": [ITEM], "status": "failed"}, "there is no answer"),
    "no answers": ({"query": "x", "answers": "[]", "tools": []}, "answers: a list of calls that is not empty"),
    "answer without arguments": ({"query": "x", "answers": [{"name": "f"}]}, "has no arguments under any key"),
    "tools beside a pivot": (
        {**PIVOT, "responses_create_params": {"input": "x"}, "tools": FLAT},
        "tools beside responses_create_params",
    ),
    "nothing known": (
        {"prompt": "x", "completion": "y"},
        "no messages, no conversations, .*; the row has the keys prompt, completion",
    ),
    "no keys": ({}, "the row has no keys"),
}


@pytest.mark.parametrize("title", REFUSED)
def test_refused(title: str) -> None:
    """What cannot be read whole is refused with the place and the reason, before any pivot of it is handed out."""
    row, reason = REFUSED[title]
    with pytest.raises(RowProblem, match=reason) as raised:
        read(row)
    assert raised.value.line == 4
    reader = RowReader()
    reader.read(json.dumps(TALK).encode(), 1)
    with pytest.raises(RowProblem, match=reason):  # and in the same way after a row that is well
        reader.read(json.dumps(row).encode(), 2)


@pytest.mark.parametrize(
    "text",
    [
        "Write `<tool_call>` before it.",
        "The tag <b>bold</b> and function=3, [x]",
        "a < b",
        '{"name": "Ann", "arguments": ["for", "against"]}',
        "[sighs (quietly)]",
        "Say `<TOOLCALL>[]`.",
        'So: ```{"name": "switch", "arguments": {}}``` is how.',
    ],
)
def test_messages_that_talk_of_tags(text: str) -> None:
    """A message that only mentions what calls are marked with is a message."""
    pivots, _, _ = read(talk_of({"role": "assistant", "content": text}))
    assert pivots[0].expected_action.message == text


@pytest.mark.parametrize(
    "extra",
    [
        {"thinking": "x", "reasoning_details": [{"text": "x"}]},
        {"annotations": [], "audio": None, "refusal": None, "name": "bot"},
        {"tool_call_count": 2, "tools_used": ["switch"], "timestamp": 3.5},
        {"metadata": {"model": "m"}},
    ],
)
def test_keys_that_are_no_calls(extra: Json) -> None:
    """What a message says further, and is no call, does not matter."""
    is_the_lamp(read(talk_of(CALLING, RESULT, {**SAID, **extra}))[0])


def test_five_shapes_in_one_file(tmp_path: Path) -> None:
    """Rows of different shapes in one file are each read as what they are."""
    rows = [
        TALK,
        PIVOT,
        CONVERSATIONS["sharegpt"][0] | {"id": "s"},
        SINGLE["query and answers"][0],
        SINGLE["responses log"][0],
        CONVERSATIONS["anthropic"][0] | {"uuid": "a"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found = [pivot.id for pivot in load_pivots(path)]
    assert found == ["u-d0", "u-d1", "t3-d0", "s-d0", "s-d1", "t12", "resp_9", "a-d0", "a-d1"]


def test_anonymous_rows_that_differ_beside_their_messages() -> None:
    """Two rows with the same messages and another system text or other settings have ids of their own."""
    anonymous = {key: value for key, value in TALK.items() if key != "uuid"}
    rows = [anonymous, {**anonymous, "system": "a"}, {**anonymous, "system": "b"}, {**anonymous, "temperature": 1}]
    assert len({read(row)[0][0].id for row in rows}) == 4


@pytest.mark.parametrize(
    ("members", "turn"),
    [
        ({}, {**CALLING, "function_call": CALL["function"]}),
        ({}, {**CALLING, "function_call": {"name": "", "arguments": ""}}),
        ({}, {**CALLING, "tool_calls": [json.dumps(CALL)]}),
        ({"tools": [json.dumps(FUNCTION)]}, CALLING),
        ({"system_prompt": None, "messages_of": NESTED}, CALLING),
    ],
)
def test_the_same_in_other_words(members: Json, turn: Json) -> None:
    """A call that stands twice is one, and what is JSON text one by one is read as what it holds."""
    is_the_lamp(read(changed(TALK, messages=[ASKED, turn, RESULT, SAID], **members))[0])


def test_tools_of_a_message_that_are_the_rows() -> None:
    """They are on offer, and nothing is lost."""
    talk = changed(TALK, messages=[{**ASKED, "tools": NESTED}, CALLING, RESULT, SAID])
    is_the_lamp(read(talk)[0])


@pytest.mark.parametrize("choice", ["any", '{"type": "any"}', {"type": "any"}])
def test_words_for_a_choice_that_must_be_made(choice: Any) -> None:
    """Each API's word for it, also as text, is that of the requests that are sent."""
    assert read(changed(TALK, tool_choice=choice))[0][0].params == {"tool_choice": "required"}
