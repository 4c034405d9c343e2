"""Conversations into pivots: every quirk of the published rows, and what holds for any conversation at all."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from row_reading import pivots_of

from pytest_fcpivot import Pivot
from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data import synth
from pytest_fcpivot.data.conversations import Conversation, SkippedTurn, is_conversation
from pytest_fcpivot.data.jsonparts import fields, part, string
from pytest_fcpivot.data.messages import text_of
from pytest_fcpivot.data.rowreader import RowReader

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures"))

from model_server import _check_chat, _RefusedError

Json = dict[str, Any]

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANY_NAME = re.compile(".*", re.DOTALL)  # a client renames tools for its server; the order of messages is no client's
HELLO: Json = {"role": "user", "content": "Hello"}


def calling(*calls: Any, text: str | None = None, ids: bool = True, thought: str | None = None) -> Json:
    """Return an assistant turn that calls f with each of the arguments."""
    made = [{"type": "function", "function": {"name": "f", "arguments": arguments}} for arguments in calls]
    if ids:
        made = [{"id": f"id{number}", **call} for number, call in enumerate(made)]
    return {"role": "assistant", "content": text, "tool_calls": made, "reasoning_content": thought}


def saying(text: Any, **fields: Any) -> Json:
    """Return an assistant turn of text."""
    return {"role": "assistant", "content": text, **fields}


def result(content: Any, call: str | None = None) -> Json:
    """Return a tool's result."""
    return {"role": "tool", "content": content} | ({} if call is None else {"tool_call_id": call})


def read(*messages: Json, **fields: Any) -> tuple[list[Pivot], list[SkippedTurn]]:
    """Return the pivots of a conversation and its skipped turns."""
    row = {"uuid": "u", "messages": list(messages), "tools": [], **fields}
    before = copy.deepcopy(row)
    found = list(pivots_of(row, 7))
    assert row == before, "the row that was read has changed"
    return [one for one in found if isinstance(one, Pivot)], [one for one in found if isinstance(one, SkippedTurn)]


def only(*messages: Json, **fields: Any) -> Pivot:
    """Return the last pivot of a conversation."""
    return read(*messages, **fields)[0][-1]


def calls_of(pivot: Pivot) -> list[tuple[str, str]]:
    """Return the expected calls."""
    return [(call.name, call.arguments) for call in pivot.expected_action.calls]


def pairs(pivot: Pivot) -> dict[str, str]:
    """Return the results in a pivot's input, by the arguments of the call that each is paired with."""
    asked = {item["call_id"]: item["arguments"] for item in pivot.input if item.get("type") == "function_call"}
    return {
        asked.get(item["call_id"], "none"): item["output"]
        for item in pivot.input
        if item.get("type") == "function_call_output"
    }


def flags(pivot: Pivot) -> list[str]:
    """Return what is odd about a pivot."""
    found: list[str] = pivot.metadata.get("flags", [])
    return found


# One turn as a pivot


def test_every_assistant_turn_is_a_pivot() -> None:
    """A conversation gives a pivot for each assistant turn, with its place, and everything before it as its input."""
    pivots, skipped = read(
        {"role": "system", "content": "Be brief."},
        HELLO,
        calling('{"a": 1}'),
        result("one", "id0"),
        saying("It is one."),
        {"role": "user", "content": "And two?"},
        saying("Two."),
    )
    assert not skipped
    assert [(p.id, p.trajectory_id, p.turn, p.step, p.depth, p.source_line, p.n_tools) for p in pivots] == [
        ("u-d0", "u", 0, 0, 0, 7, 0),
        ("u-d1", "u", 0, 1, 1, 7, 0),
        ("u-d2", "u", 1, 0, 2, 7, 0),
    ]
    assert [p.expected_action.kind for p in pivots] == ["function_call", "message", "message"]
    assert [p.expected_action.message for p in pivots] == [None, "It is one.", "Two."]
    begin = [{"role": "system", "content": "Be brief."}, HELLO]
    exchange = [
        {"type": "function_call", "call_id": "id0", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "id0", "output": "one"},
    ]
    end = [{"role": "assistant", "content": "It is one."}, {"role": "user", "content": "And two?"}]
    assert [p.input for p in pivots] == [begin, begin + exchange, begin + exchange + end]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('{"b":2,"a":  1.0}', '{"b":2,"a":  1.0}'),
        ({"a": {"b": [1, None, "é"]}}, '{"a": {"b": [1, null, "é"]}}'),
        ([1, "x"], '[1, "x"]'),
        ([], "[]"),
        ({}, "{}"),
        ("", "{}"),
        (None, "{}"),
    ],
)
def test_arguments_of_any_type(arguments: Any, text: str) -> None:
    """Arguments are JSON text: a string to the letter, an object or a list encoded, nothing as no arguments."""
    found, later = read(HELLO, calling(arguments), result("r"), saying("Done."))[0]
    ((name, told),) = calls_of(found)
    shown = next(item for item in later.input if item.get("type") == "function_call")
    assert name == shown["name"] == "f"
    assert told == shown["arguments"]
    assert json.loads(told) == json.loads(text)
    if isinstance(arguments, str) and arguments:
        assert told == text


def test_several_calls_are_a_batch() -> None:
    """The calls of one turn are one action, in order, and one pivot; one call in a list is no batch."""
    pivots, _ = read(HELLO, calling({"a": 1}, {"a": 2}, {"a": 3}), result("x"), result("y"), result("z"), saying("Ok."))
    assert [p.expected_action.kind for p in pivots] == ["function_call_batch", "message"]
    assert [json.loads(arguments)["a"] for _, arguments in calls_of(pivots[0])] == [1, 2, 3]
    assert only(HELLO, calling({})).expected_action.kind == "function_call"


def test_text_beside_calls() -> None:
    """What the expert says beside calls is no part of the expected action, and stays in the conversation after it."""
    first, second = read(HELLO, calling("{}", text="Let me see."), result("r", "id0"), saying("Here."))[0]
    assert first.expected_action.message is None
    assert [item.get("content") for item in second.input][:2] == ["Hello", "Let me see."]


@pytest.mark.parametrize("empty", [{"tool_calls": None}, {}, {"tool_calls": []}, {"function_call": None}])
def test_text_turns_without_calls(empty: Json) -> None:
    """A text turn is a message, whether its calls are null, missing or an empty list."""
    pivot = only(HELLO, saying("Hi.", **empty))
    assert (pivot.expected_action.kind, pivot.expected_action.message) == ("message", "Hi.")


@pytest.mark.parametrize(
    "turn",
    [
        saying(""),
        saying(None),
        saying(None, tool_calls=None),
        saying("", tool_calls=[]),
        {"role": "assistant"},
        saying([]),
        saying([{"type": "text", "text": ""}]),
        saying("", reasoning_content="I had better say nothing."),
    ],
)
def test_a_turn_with_neither_text_nor_calls(turn: Json) -> None:
    """Such a turn is skipped with its line, its place and the reason; the turns around it keep their depth."""
    pivots, skipped = read(HELLO, saying("One."), HELLO, turn, HELLO, saying("Three."))
    assert skipped == [SkippedTurn(7, 3, "neither text nor calls")]
    assert [(p.depth, p.turn) for p in pivots] == [(0, 0), (2, 2)]
    assert [item["role"] for item in pivots[1].input] == ["user", "assistant", "user", "user"]


def test_a_turn_with_nothing_before_it() -> None:
    """A conversation that the assistant begins has a turn that is no pivot, and says why."""
    pivots, skipped = read(saying("Welcome!"), HELLO, saying("Hi."))
    ((place, reason),) = [(one.message, one.reason) for one in skipped]
    assert place == 0
    assert "nothing to answer" in reason
    assert [item["content"] for item in pivots[0].input] == ["Welcome!", "Hello"]


def test_an_empty_system_text() -> None:
    """An empty system text stays in the conversation as it is."""
    pivot = only({"role": "system", "content": ""}, HELLO, saying("Hi."))
    assert pivot.input == [{"role": "system", "content": ""}, HELLO]


def test_the_developer_role() -> None:
    """A developer message stays one."""
    assert only({"role": "developer", "content": "Be brief."}, HELLO, saying("Hi.")).input[0]["role"] == "developer"


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text"])
def test_content_in_parts(kind: str) -> None:
    """Text in a list of parts is joined, in the input and as the expected message."""
    parts = [{"type": kind, "text": "One"}, {"type": "image_url", "image_url": {}}, {"type": kind, "text": "Two"}]
    pivot = only({"role": "user", "content": parts}, saying(parts))
    assert pivot.input[0]["content"] == pivot.expected_action.message == "One\nTwo"
    assert string(text_of(part(parts), set())) == "One\nTwo"


# Results


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ("plain", "plain"),
        ("", ""),
        ({"a": [1, None]}, {"a": [1, None]}),
        ([{"a": 1}, 2], [{"a": 1}, 2]),
        ([], []),
        (True, True),
        (False, False),
        (None, None),
        (3.5, 3.5),
        ([{"type": "text", "text": "in parts"}], "in parts"),
    ],
)
def test_results_of_any_type(content: Any, output: Any) -> None:
    """A result that is no text is JSON text in the input."""
    found = only(HELLO, calling("{}"), result(content, "id0"), saying("Ok.")).input[-1]["output"]
    assert isinstance(found, str)
    assert (found if isinstance(content, str) or output == "in parts" else json.loads(found)) == output


@pytest.mark.parametrize(
    ("turns", "paired", "odd"),
    [
        ([calling("1", "2", ids=False), result("a"), result("b")], {"1": "a", "2": "b"}, []),
        ([calling("1", "2"), result("a"), result("b")], {"1": "a", "2": "b"}, []),
        ([calling("1", "2"), result("b", "id1"), result("a", "id0")], {"1": "a", "2": "b"}, []),
        ([calling("1", "2"), result("b", "id1"), result("a")], {"1": "a", "2": "b"}, []),
        ([calling("1", "2", ids=False), result("a")], {"1": "a"}, ["calls-without-results"]),
        ([calling("1", ids=False), result("a"), result("b")], {"1": "a", "none": "b"}, ["results-without-calls"]),
        ([calling("1"), result("b", "other")], {"none": "b"}, ["calls-without-results", "results-without-calls"]),
        ([result("b")], {"none": "b"}, ["results-without-calls"]),
        ([calling("1"), HELLO, result("late")], {"none": "late"}, ["calls-without-results", "results-without-calls"]),
        (
            [calling("1", ids=False), result("a"), saying("And"), calling("2", ids=False), result("b")],
            {"1": "a", "2": "b"},
            [],
        ),
        (
            [calling("1", ids=False), saying("Hm."), calling("2", ids=False), result("b")],
            {"2": "b"},
            ["calls-without-results"],
        ),
    ],
)
def test_results_are_paired_with_their_calls(turns: list[Json], paired: dict[str, str], odd: list[str]) -> None:
    """A result belongs to the call that it names, else to the first open call; what does not fit is flagged."""
    pivot = only(HELLO, *turns, {"role": "user", "content": "So?"}, saying("Ok."))
    assert pairs(pivot) == paired
    assert flags(pivot) == odd


def test_a_call_id_that_is_used_again() -> None:
    """With the same id in two turns, a result is that of the later call, also for an agent that speaks chat."""
    pivot = only(HELLO, calling("1"), HELLO, calling("2"), result("of the second", "id0"), saying("Ok."))
    answers: dict[str, str] = {}
    for message in pivot.view().messages:
        answers |= {call["id"]: call["function"]["arguments"] for call in message.get("tool_calls") or []}
        if message["role"] == "tool":
            answers[answers.pop(message["tool_call_id"])] = message["content"]
    assert answers == {"1": "", "2": "of the second"}


def test_flags_begin_where_the_oddity_is() -> None:
    """A pivot is flagged for what stands before it, and not for what comes later."""
    pivots, _ = read(HELLO, saying("Hi."), HELLO, calling("{}"), HELLO, saying("Bye."), result("stray"), saying("?"))
    assert list(map(flags, pivots)) == [
        [],
        [],
        ["calls-without-results"],
        ["calls-without-results", "results-without-calls"],
    ]


def test_the_form_of_the_first_api() -> None:
    """A single `function_call` is a call, and the message of the role `function` is its result, not a user's words."""
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    first, second = read(HELLO, call, {"role": "function", "name": "f", "content": "one"}, saying("One."))[0]
    assert calls_of(first) == [("f", '{"a": 1}')]
    assert pairs(second) == {'{"a": 1}': "one"}
    assert flags(second) == []
    assert [item.get("role") for item in second.input] == ["user", None, None]


def test_calls_without_the_wrapping_function() -> None:
    """A call may have its name and arguments beside its id."""
    turn = {"role": "assistant", "tool_calls": [{"id": "x", "name": "f", "arguments": {"a": 1}}]}
    assert calls_of(only(HELLO, turn)) == [("f", '{"a": 1}')]


# Tools


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def tools_of(*tools: Any) -> list[Json]:
    """Return the tools of a pivot with these tools, and check their number."""
    pivot = only(HELLO, saying("Hi."), tools=list(tools))
    assert pivot.n_tools == len(tools) == len(pivot.tools)
    return pivot.tools


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": SCHEMA}},
        {"type": "function", "name": "f", "description": "Does f.", "parameters": SCHEMA},
        {"name": "f", "description": "Does f.", "parameters": SCHEMA},
    ],
)
def test_tools_are_flat(tool: Json) -> None:
    """Nested and flat tools come out flat, with all that they say."""
    assert tools_of(tool) == [{"type": "function", "name": "f", "description": "Does f.", "parameters": SCHEMA}]


def test_strict_is_kept() -> None:
    """A tool that calls itself strict stays so."""
    assert tools_of({"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}})[0]["strict"]


@pytest.mark.parametrize(
    ("parameters", "read_as"),
    [
        ({"parameters": SCHEMA}, {**SCHEMA, "required": ["a"]}),
        ({"parameters": {**SCHEMA, "required": []}}, {**SCHEMA, "required": []}),
        ({"parameters": {}}, {"required": ["a"]}),
    ],
)
def test_required_beside_parameters(parameters: Json, read_as: Json) -> None:
    """`required` beside the schema goes into it, unless the schema has its own; the pivot is flagged."""
    function = {"name": "f", **parameters, "required": ["a"]}
    pivot = only(HELLO, saying("Hi."), tools=[{"type": "function", "function": function}])
    assert pivot.tools == [{"type": "function", "name": "f", "parameters": read_as}]
    assert flags(pivot) == ["required-beside-parameters"]


@pytest.mark.parametrize(
    "parameters",
    [{}, {"type": "string"}, {"properties": {}}, {"type": "object", "properties": {"a": {"enum": ["x", 1]}}}, None],
)
def test_odd_schemas_are_kept(parameters: Any) -> None:
    """A schema that is no good is kept as it is, and one that is missing stays missing; both can be shown as chat."""
    given_tool = {"name": "f"} if parameters is None else {"name": "f", "parameters": parameters}
    (tool,) = tools_of({"type": "function", "function": given_tool})
    assert tool == {"type": "function", **given_tool}
    view = only(HELLO, saying("Hi."), tools=[given_tool]).view()
    assert view.chat_tools[0]["function"]["name"] == "f"


def test_duplicate_names_are_kept_and_flagged() -> None:
    """Two tools of one name stay two, each with its schema, and the pivot is flagged."""
    both = [{"name": "f", "parameters": SCHEMA}, {"name": "f", "parameters": {"type": "object"}}, {"name": "g"}]
    pivot = only(HELLO, saying("Hi."), tools=both)
    assert [tool.get("parameters") for tool in pivot.tools] == [SCHEMA, {"type": "object"}, None]
    assert flags(pivot) == ["duplicate-tool-names"]


@pytest.mark.parametrize("count", [0, 1, 372])
def test_any_number_of_tools(count: int) -> None:
    """A conversation may have no tools at all, or hundreds."""
    assert [tool["name"] for tool in tools_of(*({"name": f"t.{n}"} for n in range(count)))] == [
        f"t.{n}" for n in range(count)
    ]


@pytest.mark.parametrize("tools", [None, "[]", '[{"name": "f"}]'])
def test_tools_that_are_null_or_text(tools: Any) -> None:
    """Tools may be null, or JSON text, as some exports have them."""
    assert len(only(HELLO, saying("Hi."), tools=tools).tools) == (tools is not None and len(json.loads(tools)))


# What the agent sees, and what it does not


THOUGHT = "the expert thinks of a zebra"


def test_reasoning_is_nowhere() -> None:
    """The expert's thinking is neither in what the agent sees, at this pivot or a later one, nor in the metadata."""
    think = {"reasoning_content": THOUGHT, "reasoning": THOUGHT}
    pivots, skipped = read(
        HELLO,
        calling("{}", thought=THOUGHT),
        result("r", "id0"),
        saying("One.", **think),
        HELLO,
        saying("", **think),
        HELLO,
        saying("Two.", reasoning_details=[{"text": THOUGHT}], thinking=THOUGHT),
        reasoning=THOUGHT,
    )
    assert len(pivots) == 3
    assert not any(THOUGHT in getattr(p, name) for p in pivots for name in Pivot.__slots__ if name.endswith("_json"))
    assert not any(THOUGHT in repr((p, p.expected_action, p.view().messages, p.view().input)) for p in pivots)
    assert THOUGHT not in repr(skipped)


def test_metadata() -> None:
    """The row's other fields are metadata, which the agent's view does not have; null is left out."""
    pivot = only(HELLO, saying("Hi."), license="CC-BY-4.0", used_in=["x"], extra=None, messages_total=2)
    assert pivot.metadata == {"license": "CC-BY-4.0", "used_in": ["x"], "messages_total": 2}
    view = pivot.view()
    assert not hasattr(view, "metadata")
    assert (view.input, view.tools, view.params) == ([HELLO], [], {})


# Ids


@pytest.mark.parametrize(
    ("fields", "trajectory", "pivot"),
    [
        ({"uuid": "0f8fad5b-d9cb-469f-a165-70867728950e"}, "0f8fad5b-d9cb-469f-a165-70867728950e", None),
        ({"uuid": None, "id": "chat-1"}, "chat-1", "chat-1-d0"),
        ({"trajectory_id": 5}, "5", "t5-d0"),
        ({"uuid": "", "id": 0}, "0", "t0-d0"),
    ],
)
def test_ids_of_the_row(fields: Json, trajectory: str, pivot: str | None) -> None:
    """A conversation's own id names its trajectory, and its pivots with their depth."""
    found = only(HELLO, saying("Hi."), **fields)
    assert (found.trajectory_id, found.id) == (trajectory, pivot or f"{trajectory}-d0")


@pytest.mark.parametrize("own", ["a b/c", "ü", "x" * 200, "a::b[1]", "\ud800", "-"])
def test_ids_are_safe(own: str) -> None:
    """Any id makes a pivot's id that node ids, shells and file names can have."""
    found = only(HELLO, saying("Hi."), uuid=own)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}-d0", found.id)
    found.trajectory_id.encode()


def test_ids_of_the_content() -> None:
    """Without an id of its own, a conversation is named by its content: the same for the same, another for another."""
    row: Json = {"messages": [HELLO, saying("Hi.")], "tools": []}
    other: Json = {"messages": [HELLO, saying("Ho.")], "tools": []}
    first, again, second = (
        [one.id for one in pivots_of(each, 1) if isinstance(one, Pivot)] for each in (row, row, other)
    )
    assert first == again
    assert first != second
    assert re.fullmatch(r"c-[0-9a-f]{12}-d0", first[0])


def test_a_call_that_no_grader_could_read() -> None:
    """A turn whose arguments are text that is no JSON is left out, with the reason; the conversation goes on."""
    pivots, skipped = read(HELLO, calling('{"a": 1'), result("x", "id0"), saying("Hi."))
    assert [(turn.message, turn.reason) for turn in skipped] == [(1, "the arguments of 'f' are not JSON")]
    assert [pivot.id for pivot in pivots] == ["u-d1"]
    assert pivots[0].input[1]["arguments"] == '{"a": 1'


def test_contents_that_are_not_text() -> None:
    """Texts of a list are joined, plain ones too; what is no text is left out, and the pivot is flagged."""
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    plain = only({"role": "user", "content": ["One", {"type": "text", "text": "Two"}]}, saying("Hi."))
    assert (plain.input[0]["content"], flags(plain)) == ("One\nTwo", [])
    shown = only({"role": "user", "content": ["One", image]}, saying("Hi."))
    assert (shown.input[0]["content"], flags(shown)) == ("One", ["content-that-is-not-text"])


def test_a_row_with_flags_of_its_own() -> None:
    """A row's own field named flags stays what it was."""
    found = only(HELLO, calling({}), HELLO, saying("Hi."), flags="mine")
    assert found.metadata == {"flags": "mine", "fcpivot_flags": ["calls-without-results"]}


# Broken rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "no messages"),
        ({"messages": None}, "no messages"),
        ({"messages": "Hello"}, "no messages"),
        ({"messages": [HELLO, "Hi."]}, r"messages\[1\]: .*object with a role"),
        ({"messages": [{"content": "Hi."}]}, r"messages\[0\]: .*role"),
        ({"messages": [{"role": None}]}, r"messages\[0\]: .*role"),
        ({"messages": [HELLO]}, "no assistant turn"),
        ({"messages": [HELLO, saying("Hi.")], "tools": {}}, "tools must be a list"),
        ({"messages": [HELLO, saying("Hi.")], "tools": [1]}, "tools must be a list"),
        ({"messages": [HELLO, saying("Hi.")], "tools": "[}"}, "tools: a string that is not JSON"),
        ({"messages": [HELLO, saying("Hi.")], "tools": "none"}, "tools: a string that is not JSON"),
        ({"messages": [HELLO, saying("Hi.")], "tools": '"none"'}, "tools must be a list"),
        ({}, "no messages"),
        (
            {"messages": [HELLO, {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]},
            r"messages\[1\]\.tool_calls\[0\]: a call needs a name",
        ),
        ({"messages": [HELLO, {"role": "assistant", "tool_calls": [None]}]}, r"tool_calls\[0\]: a call needs a name"),
    ],
)
def test_broken_rows(row: Json, reason: str) -> None:
    """A conversation that cannot be read says where it is wrong, with its line."""
    with pytest.raises(RowProblem, match=reason) as raised:
        list(pivots_of(row, 12))
    assert raised.value.line == 12


def test_a_broken_turn_spoils_the_whole_conversation() -> None:
    """A broken row gives its reason before the first pivot, so that no half of a conversation is taken."""
    bad = {"role": "assistant", "tool_calls": [{"function": {}}]}
    with pytest.raises(RowProblem):
        pivots_of({"messages": [HELLO, saying("Hi."), HELLO, bad]}, 1)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_values(opening: str) -> None:
    """A value as deep as JSON is decoded is either taken or a problem of its row, never a crash."""
    closing = "]" if opening == "[" else "}"
    depths = range(900, 1000, 3)
    for depth in depths:
        text = f"{opening * depth}1{closing * depth}"
        for line in (
            f'{{"messages":[{{"role":"user"}},{{"role":"tool","content":{text}}},{{"role":"assistant","content":"x"}}]}}',
            f'{{"messages":[{{"role":"user"}},{{"role":"assistant","content":"x"}}],"extra":{text}}}',
        ):
            try:
                row = json.loads(line)
            except RecursionError:
                break
            try:
                assert len(list(pivots_of(row, 1))) == 1
            except RowProblem as problem:
                assert "deep" in problem.reason  # noqa: PT017 (either is well)


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"messages": []}, True),
        ({"messages": [], "responses_create_params": {}}, True),
        ({"messages": None}, False),
        ({}, False),
        ([], False),
        ("messages", False),
        (None, False),
    ],
)
def test_what_a_conversation_is(row: Any, answer: bool) -> None:
    """A conversation is an object with a list of messages."""
    members = fields(json.dumps(row).encode())
    assert (members is not None and is_conversation(members)) is answer


# What holds for any conversation


words = st.text(max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
contents = st.one_of(
    words, st.none(), st.lists(st.builds(lambda text: {"type": "text", "text": text}, words), max_size=3)
)
call_ids = st.sampled_from(["a", "b", "c"])


@st.composite
def tool_calls(draw: st.DrawFn) -> Json:
    """Return a call as some source writes it."""
    arguments = draw(st.dictionaries(words, json_values, max_size=2) | st.lists(words, max_size=2))
    function = {
        "name": draw(st.sampled_from(["f", "g.h", "weather"])),
        "arguments": draw(st.sampled_from([arguments, json.dumps(arguments)])),
    }
    own = draw(st.none() | call_ids)
    return {"type": "function", "function": function} | ({} if own is None else {"id": own})


assistant_turns = st.builds(
    lambda content, calls, thought: (
        {"role": "assistant", "content": content} | ({} if calls == [] else {"tool_calls": calls}) | thought
    ),
    contents,
    st.none() | st.lists(tool_calls(), max_size=3),
    st.sampled_from([{}, {"reasoning_content": THOUGHT}, {"reasoning": THOUGHT}]),
)
tool_turns = st.builds(result, words | json_values, st.none() | call_ids)
other_turns = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "system", "developer"]), contents
)
messages = (
    st.lists(assistant_turns | tool_turns | other_turns, min_size=1, max_size=14)
    .map(lambda turns: [HELLO, *turns])
    .filter(lambda turns: any(turn["role"] == "assistant" for turn in turns))
)
conversations = st.builds(
    lambda turns, tools, own: {"messages": turns, "tools": tools, **own},
    messages,
    st.lists(st.builds(lambda name, schema: {"name": name, "parameters": schema}, words, json_values), max_size=3),
    st.sampled_from([{}, {"uuid": "u"}, {"id": 3}]),
)


@PROPERTY
@given(conversations)
def test_all_turns_are_counted(row: Json) -> None:
    """Pivots and skipped turns together are the assistant turns, and each knows which turn it is."""
    places = [place for place, message in enumerate(row["messages"]) if message["role"] == "assistant"]
    found = list(pivots_of(row, 3))
    assert len(found) == len(places)
    for depth, (one, place) in enumerate(zip(found, places, strict=True)):
        if isinstance(one, SkippedTurn):
            assert (one.line, one.message) == (3, place)
            continue
        assert (one.depth, one.source_line) == (depth, 3)
        users = [at for at in range(place) if row["messages"][at]["role"] == "user"]
        assert (one.turn, one.step) == (len(users) - 1, sum(users[-1] < at < place for at in places))
        calls = row["messages"][place].get("tool_calls") or []
        assert len(one.expected_action.calls) == len(calls)
        assert one.expected_action.kind != "none"
    ids = [one.id for one in found if isinstance(one, Pivot)]
    assert len(set(ids)) == len(ids)


@PROPERTY
@given(conversations)
def test_inputs_are_prefixes(row: Json) -> None:
    """Each pivot's input is JSON, is exactly what its turn had before it, and begins the next one's."""
    before: list[Json] = []
    for one in pivots_of(row, 1):
        if isinstance(one, SkippedTurn):
            continue
        assert one.input[: len(before)] == before
        before = one.input
        place = [at for at, turn in enumerate(row["messages"]) if turn["role"] == "assistant"][one.depth or 0]
        cut = {**row, "messages": [*row["messages"][:place], saying("the end")]}
        alone = list(pivots_of(cut, 1))[-1]
        assert isinstance(alone, Pivot)
        assert alone.input_json == one.input_json
        assert alone.tools_json == one.tools_json
        assert json.loads(one.tools_json) is not None
        kinds = {item.get("type", "message") for item in one.input}
        assert kinds <= {"message", "function_call", "function_call_output"}


@PROPERTY
@given(conversations)
def test_the_conversation_says_the_same(row: Json) -> None:
    """No words are lost or made up: texts, calls and results of the messages are those of the items, in order."""
    *_, last = pivots_of({**row, "messages": [*row["messages"], saying("the end")]}, 1)
    assert isinstance(last, Pivot)
    told: list[Any] = []
    for message in row["messages"]:
        if message["role"] == "tool":
            told.append("result")
            continue
        text = string(text_of(part(message["content"]), set()))
        told += [text] if text or message["role"] != "assistant" else []
        told += [call["function"]["name"] + "()" for call in message.get("tool_calls") or []]
    found = []
    for item in last.input:
        kind = item.get("type", "message")
        found.append({"message": item.get("content"), "function_call": f"{item.get('name')}()"}.get(kind, "result"))
    assert found == told


@PROPERTY
@given(conversations)
def test_a_flag_for_every_oddity_of_results(row: Json) -> None:
    """A conversation is unflagged exactly if calls and results, before its last pivot, are balanced turn by turn."""
    *_, last = pivots_of({**row, "messages": [*row["messages"], saying("the end")]}, 1)
    assert isinstance(last, Pivot)
    waiting: deque[str | None] = deque()
    odd = set()
    for message in [*row["messages"], HELLO]:
        if message["role"] == "tool":
            own = message.get("tool_call_id")
            if own is None and waiting:
                waiting.popleft()
            elif own in waiting and own is not None:
                waiting.remove(own)
            else:
                odd.add("results-without-calls")
        elif message["role"] in ("assistant", "user"):
            if waiting and message is not HELLO:
                odd.add("calls-without-results")
            waiting = deque(call.get("id") for call in message.get("tool_calls") or []) or deque()
    found = set(flags(last)) - {"duplicate-tool-names", "required-beside-parameters"}
    # The last turn's own calls have had no chance yet.
    assert found == odd or found - odd == {"calls-without-results"}


@PROPERTY
@given(conversations)
def test_servers_take_the_chat_form(row: Json) -> None:
    """The conversation of every pivot is one that a strict server of the chat API takes."""
    for one in pivots_of(row, 1):
        if isinstance(one, Pivot):
            accepted(one)


@PROPERTY
@given(conversations)
def test_no_thoughts_of_the_expert(row: Json) -> None:
    """Nothing of a pivot holds the expert's thinking."""
    for one in pivots_of(row, 1):
        assert THOUGHT not in repr(one)
        if isinstance(one, Pivot):
            assert not any(THOUGHT in getattr(one, name) for name in Pivot.__slots__ if name.endswith("_json"))


def meaning(value: Any) -> Any:
    """Return a value with the JSON in its texts decoded: what was read by Python's rules is written in its letters."""
    if isinstance(value, dict):
        return {key: meaning(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return list(map(meaning, value))
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def test_a_member_of_another_type() -> None:
    """A call's id that is a number departs from the shape, and leaves every text as it was."""
    odd = {"city": "São", "n": 1.10}
    turns = [HELLO, calling(odd), result(odd), saying("Hi.")]
    turns[1]["tool_calls"][0]["id"] = 7
    turns[2]["tool_call_id"] = 7
    line = json.dumps({"uuid": "u", "messages": turns}, ensure_ascii=False).replace("1.1}", "1.10}").encode()
    read = RowReader().read(line, 1)
    assert isinstance(read, Conversation)
    last = [turn.pivot() for turn in read.turns() if not isinstance(turn, SkippedTurn)][-1]
    assert last.input[1]["arguments"] == last.input[2]["output"] == '{"city": "São", "n": 1.10}'
    assert last.input[1]["call_id"] == last.input[2]["call_id"] == "7"
    assert flags(last) == []


def test_an_integer_that_python_does_not_decode() -> None:
    """It makes its row broken wherever it stands, or its turn if it is in a call's own text."""
    digits = "9" * 5_000
    talk = '{"uuid":"u","messages":[{"role":"user","content":%s},{"role":"assistant","content":"x"}],"tools":%s}'
    schema = '[{"type":"function","function":{"name":"f","parameters":{"n":%s}}}]'
    for line in (
        talk % (f"[{digits}]", "[]"),
        talk % ('"Hi"', schema % digits),
        f'{{"k":{digits},{(talk % ("1", "[]"))[1:]}',
    ):
        with pytest.raises(RowProblem, match="not JSON: Exceeds the limit"):
            RowReader().read(line.encode(), 1)
    assert isinstance(RowReader().read((talk % (f'"{digits}"', "[]")).encode(), 1), Conversation)
    for arguments in (f'{{"n": {digits}}}', "[" * 100_000 + "]" * 100_000):
        pivots, skipped = read(HELLO, calling(arguments), result("x", "id0"), saying("Hi."))
        assert [turn.reason for turn in skipped] == ["the arguments of 'f' are not JSON"]
        assert len(pivots) == 1


def test_tools_in_a_string_with_a_lone_surrogate() -> None:
    """They come into the store as text that UTF-8 can hold."""
    found = only(HELLO, saying("Hi."), tools='[{"function": {"name": "f", "description": "\ud800"}}]')
    found.tools_json.encode()
    assert found.tools[0]["description"] == "\ud800"


@pytest.mark.parametrize(
    "extra",
    [{"function_call": {}}, {"function_call": {"name": None, "arguments": None}}, {"tool_calls": [{"id": "c"}]}],
)
@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
def test_members_that_say_nothing(role: str, extra: Json) -> None:
    """What does not matter for a message does not spoil its conversation; a call of the API's first form counts."""
    if role == "assistant":
        extra = {**extra, "tool_calls": [], "function_call": {"name": "g", "arguments": "{}"}}
    found = only(HELLO, {"role": role, "content": None, **extra}, HELLO, saying("Hi."))
    called = [item["name"] for item in found.input if item.get("type") == "function_call"]
    assert called == (["g"] if role == "assistant" else [])


@PROPERTY
@given(conversations)
def test_a_conversation_that_departs_from_the_shape(row: Json) -> None:
    """What msgspec refuses (a lone surrogate in a thought) is read by Python's rules into the same pivots."""
    odd = {**row, "messages": [*row["messages"], saying("the end", reasoning_content="\ud800")]}
    plain = {**row, "messages": [*row["messages"], saying("the end", reasoning_content="x")]}
    if "uuid" not in row:
        odd, plain = {**odd, "uuid": "u"}, {**plain, "uuid": "u"}
    for one, other in zip(pivots_of(odd, 1), pivots_of(plain, 1), strict=True):
        assert type(one) is type(other)
        if isinstance(one, Pivot) and isinstance(other, Pivot):
            assert meaning(one.input) == meaning(other.input)
            for name in ("id", "tools", "metadata", "turn", "step", "n_tools"):
                assert getattr(one, name) == getattr(other, name), name
            assert [call.name for call in one.expected_action.calls] == [
                call.name for call in other.expected_action.calls
            ]
            assert one.expected_action.message == other.expected_action.message


def accepted(pivot: Pivot) -> None:
    """Check a pivot's conversation as a strict server would."""
    body = {"model": "puppet", "messages": pivot.view().messages}
    try:
        _check_chat(body, ANY_NAME)
    except _RefusedError as refusal:
        raise AssertionError(f"{pivot.id}: {refusal}: {body['messages']}") from refusal


@pytest.mark.parametrize("split", ["interactive_agent", "tool_calling"])
def test_generated_rows(split: Any) -> None:
    """1,000 pivots of each published split: every one is a strict server's chat, and its view holds no answer."""
    count = 0
    for line, text in enumerate(synth.agentic_lines(1_000, 5, split), 1):
        row = json.loads(text)
        turns = [(at, turn) for at, turn in enumerate(row["messages"]) if turn["role"] == "assistant"]
        for (place, turn), one in zip(turns, pivots_of(row, line), strict=True):
            if isinstance(one, SkippedTurn):
                continue
            count += 1
            accepted(one)
            unseen(one, row["messages"][:place], turn)
    assert count == 1_000


def unseen(pivot: Pivot, before: list[Json], turn: Json) -> None:
    """Check that a pivot's view has neither the answer nor the thinking, unless the conversation has it already."""
    view = pivot.view()
    shown = json.dumps([view.input, view.tools, view.params], ensure_ascii=False)
    earlier = json.dumps([{**message, "reasoning_content": None} for message in before], ensure_ascii=False)
    answers = [pivot.expected_action.message, turn.get("reasoning_content")]
    answers += [call.arguments for call in pivot.expected_action.calls]
    for answer in answers:
        if not answer or len(answer) < 30:
            continue
        quoted = json.dumps(answer, ensure_ascii=False)[1:-1]
        assert quoted not in shown or quoted in earlier or answer in earlier
