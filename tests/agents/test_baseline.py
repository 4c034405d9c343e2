"""The bundled baseline: what it earns on the sample, and that no data makes it raise or run on."""

from __future__ import annotations

import json
from functools import cache
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import FunctionCall, Message, grade, load_pivots
from pytest_fcpivot.agents import RuleAgent, asks
from pytest_fcpivot.core.model import PivotView

MARGIN = 0.05  # of the mean reward above always asking back; the sample gives about 0.075
SECONDS = 5.0  # of the processor, for the worst input here, on a slow one; most take a few milliseconds

FIND = {
    "type": "function",
    "name": "find_account",
    "description": "Find an account.",
    "parameters": {
        "type": "object",
        "properties": {"email": {"type": "string", "format": "email"}, "customer_number": {"type": "string"}},
        "required": ["email", "customer_number"],
    },
}
CANCEL = {
    "type": "function",
    "name": "cancel_account",
    "parameters": {"type": "object", "properties": {"account_id": {"type": "string"}}, "required": ["account_id"]},
}
DETAILS = {"email": "jo@example.com", "customer_number": "K12345"}


def answer(items: Any, tools: Any) -> FunctionCall | Message:
    """Return the agent's action for a conversation and tools of any shape."""
    return RuleAgent()(PivotView("p", json.dumps(items), json.dumps(tools), "{}"))


def user(text: Any) -> dict[str, Any]:
    """Return a user item."""
    return {"role": "user", "content": text}


def called(name: Any, arguments: Any, output: Any) -> list[dict[str, Any]]:
    """Return a call and its result."""
    return [
        {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments},
        {"type": "function_call_output", "call_id": "c", "output": output},
    ]


def tool(parameters: Any, name: Any = "get_order") -> dict[str, Any]:
    """Return a tool with these parameters."""
    return {"type": "function", "name": name, "description": "Read an order.", "parameters": parameters}


def needs(schema: Any, **more: Any) -> dict[str, Any]:
    """Return the parameters of a tool with one required argument."""
    return {"type": "object", "properties": {"order_id": schema}, "required": ["order_id"], **more}


@cache
def rewards() -> list[tuple[bool, float, float]]:
    """Return for each pivot of the sample: is a message expected, the baseline's reward, the reward of asking back."""
    agent, found = RuleAgent(), []
    for pivot in load_pivots():
        expected, view = pivot.expected_action, pivot.view()
        found.append((not expected.calls, grade(expected, agent(view)).reward, grade(expected, asks(view)).reward))
    return found


def test_it_earns_more_on_the_sample_than_asking_back() -> None:
    """The mean reward is above that of an agent which always asks back by a clear margin."""
    found = rewards()
    mean, floor = (sum(column) / len(found) for column in list(zip(*found, strict=True))[1:])
    assert mean >= floor + MARGIN


def test_it_answers_some_expected_calls_fully_right() -> None:
    """At least one in ten expected calls of the sample is right in name and arguments."""
    calls = [reward for message, reward, _ in rewards() if not message]
    assert sum(reward == 1.0 for reward in calls) >= len(calls) / 10


def test_it_writes_a_message_where_one_is_expected() -> None:
    """At least nine in ten expected messages of the sample get one."""
    messages = [reward for message, reward, _ in rewards() if message]
    assert sum(messages) >= 0.9 * len(messages)


def test_it_is_deterministic() -> None:
    """Two agents give the same actions, in any order of the pivots."""
    pivots = load_pivots()[::3]
    forward = [RuleAgent()(pivot.view()) for pivot in pivots]
    backward = [RuleAgent()(pivot.view()) for pivot in reversed(pivots)]
    assert forward == backward[::-1]


def test_it_calls_the_tool_whose_arguments_the_user_gave() -> None:
    """A look-up is called with the details of the turn, under the names that the schema gives."""
    action = answer([user("Hello, jo@example.com, customer number K12345, please find my account")], [FIND, CANCEL])
    assert isinstance(action, FunctionCall)
    assert (action.name, json.loads(action.arguments)) == ("find_account", DETAILS)


def test_it_asks_back_when_a_required_argument_is_missing() -> None:
    """Without a value for every required argument no tool is called."""
    assert isinstance(answer([user("please find my account, jo@example.com")], [FIND]), Message)


def test_it_repeats_no_call_that_was_made() -> None:
    """A call with the same name and arguments, in whatever order and spacing, is not made again."""
    turn = user("Find my account: jo@example.com, customer number K12345")
    assert isinstance(answer([turn], [FIND]), FunctionCall)
    again = '{ "customer_number":"K12345",  "email":"jo@example.com" }'
    assert isinstance(answer([*called("find_account", again, "{}"), turn], [FIND]), Message)


def test_it_repeats_no_call_of_the_sample() -> None:
    """No action on the sample is a call that stands in its conversation already."""
    agent = RuleAgent()
    for pivot in load_pivots():
        action = agent(pivot.view())
        if isinstance(action, FunctionCall):
            made = [(i["name"], json.loads(i["arguments"])) for i in pivot.input if i.get("type") == "function_call"]
            assert (action.name, json.loads(action.arguments)) not in made, pivot.id


def test_it_acts_on_the_proposal_that_the_user_confirms() -> None:
    """After a yes to a question, the words and values of that question count as the user's."""
    account = called("find_account", json.dumps(DETAILS), '{"account_id": "A-77"}')
    proposal = {"role": "assistant", "content": "Shall I cancel account A-77 for good?"}
    yes, other = user("Yes, do"), user("Is that free of charge?")
    assert answer([user("Hello"), *account, proposal, yes], [CANCEL]) == FunctionCall(
        "cancel_account", {"account_id": "A-77"}
    )
    assert isinstance(answer([user("Hello"), *account, proposal, other], [CANCEL]), Message)


ORDER = [user("Please get order F-12345")]
NONSENSE: list[Any] = [None, True, 1, -0.5, "", "a", [], {}, [[]], [None, 1, {}, "a"], {"a": 1}, {"type": [[], {}]}]
PATTERNS = ["(", "[", "[[]]", "^(a+)+$", "\\", "{9999999999}", "*" * 500]
REFERENCES = ["", "#", "#/", "#/$defs/x", "#/properties", "http://x", "/" * 500]
WILD: dict[str, tuple[Any, Any]] = {
    "nothing": ([], []),
    "no lists": ("text", {"a": 1}),
    "null": (None, None),
    "items of no shape": ([*NONSENSE, {"role": []}, {"type": {}}], [tool(needs({}))]),
    "no user turn": ([{"role": "system", "content": "Be brief"}], [tool(needs({}))]),
    "a result without a call": ([{"type": "function_call_output", "output": '{"order_id": "F-1"}'}], [tool(needs({}))]),
    "content of no shape": ([*map(user, NONSENSE), user([1, {"text": None}])], [tool(needs({}))]),
    "tools of no shape": (ORDER, [*NONSENSE, {"name": None}, {"name": ["get_order"]}]),
    "no parameters": (ORDER, [{"name": "get_order"}]),
    "parameters of no shape": (ORDER, [tool(bad) for bad in NONSENSE]),
    "required of no shape": (ORDER, [tool({"required": bad}) for bad in NONSENSE]),
    "properties of no shape": (ORDER, [tool(needs({}, properties=bad)) for bad in NONSENSE]),
    "schemas of no shape": (ORDER, [tool(needs(bad)) for bad in NONSENSE]),
    "types of no shape": (ORDER, [tool(needs({"type": bad})) for bad in NONSENSE]),
    "enums of no shape": (ORDER, [tool(needs({"enum": bad})) for bad in NONSENSE]),
    "references to nothing": (ORDER, [tool(needs({"$ref": bad})) for bad in [*REFERENCES, *NONSENSE]]),
    "patterns of no shape": (ORDER, [tool(needs({"pattern": bad})) for bad in [*PATTERNS, *NONSENSE]]),
    "results of no shape": ([*ORDER, *(item for bad in NONSENSE for item in called("f", bad, bad))], [tool(needs({}))]),
    "names of no shape": (
        [*ORDER, *(item for bad in NONSENSE for item in called(bad, "{}", "[1]"))],
        [tool(needs({}))],
    ),
    "deep results": ([*ORDER, *called("f", "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900)], [tool(needs({}))]),
    "endless result": ([*ORDER, *called("f", "{}", "[" * 100_000)], [tool(needs({}))]),
    "odd numbers": (
        [user("order 1e999 " + "9" * 500), *called("f", "{}", '{"order": [NaN, 1e999]}')],
        [tool(needs({"type": "number"}))],
    ),
    "lone surrogate": ([user("order \ud800 F-\ud800")], [tool(needs({"type": "string", "pattern": "F-"}))]),
    "long texts": ([user("Aa'" * 200_000), user("a.@" * 200_000), user("1-" * 200_000)], [tool(needs({}))] * 50),
    "many tools": (ORDER * 500, [tool(needs({"type": "string"}), f"get_order_{n}") for n in range(3_000)]),
    "wide schemas": (
        [user("order id F-12345 " * 200)] * 9,
        [tool({"properties": {}, "required": [f"order_id_{n}" for n in range(3_000)]}) for _ in range(300)],
    ),
    "many results": (
        [item for n in range(2_000) for item in called("get_x", "{}", json.dumps({"order_id": f"F-{n}"}))],
        [tool(needs({}))] * 50,
    ),
}


@pytest.mark.parametrize("case", WILD)
def test_no_shape_of_the_data_makes_it_raise_or_run_on(case: str) -> None:
    """Whatever stands in a conversation or a tool, an action comes back, and soon."""
    items, tools = WILD[case]
    start = process_time()
    action = answer(items, tools)
    assert process_time() - start < SECONDS
    assert isinstance(action, FunctionCall | Message)


RECURSIVE = {
    "itself": needs({"$ref": "#"}),
    "a property": needs({"$ref": "#/properties/order_id"}),
    "each other": needs({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    "through a union": needs({"anyOf": [{"type": "null"}, {"$ref": "#"}]}),
    "through items": needs({"type": "array", "items": {"$ref": "#/properties/order_id"}}),
    "by many ways": {
        "type": "object",
        "properties": {f"order_{n}": {"$ref": "#"} for n in range(50)},
        "required": [f"order_{n}" for n in range(50)],
    },
}


@pytest.mark.parametrize("case", RECURSIVE)
def test_a_recursive_schema_ends(case: str) -> None:
    """A schema that refers to itself gives an action as well, and soon."""
    start = process_time()
    assert isinstance(answer(ORDER, [tool(RECURSIVE[case])] * 20), FunctionCall | Message)
    assert process_time() - start < SECONDS


KEYS = st.sampled_from(
    ["type", "role", "content", "output", "arguments", "name", "description", "parameters", "properties", "required"]
) | st.sampled_from(["items", "enum", "anyOf", "allOf", "$ref", "pattern", "format", "text", "order_id", "email"])
WORDS = st.sampled_from(
    ["user", "assistant", "function_call", "function_call_output", "get_order", "find_order", "yes", "order?", "[1]"]
) | st.sampled_from(
    ["object", "string", "array", "integer", "boolean", "number", "null", "date", "#", "order_id", "F-1"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=20)
SHAPES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6),
    max_leaves=30,
)


@given(items=SHAPES | st.lists(SHAPES, max_size=6), tools=SHAPES | st.lists(SHAPES, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_shapes_never_make_it_raise(items: Any, tools: Any) -> None:
    """Random JSON as the conversation and the tools gives an action, and the same one each time."""
    action = answer(items, tools)
    assert isinstance(action, FunctionCall | Message)
    assert answer(items, tools) == action


@given(schema=SHAPES, items=st.lists(SHAPES, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_schemas_never_make_it_raise(schema: Any, items: Any) -> None:
    """Random JSON as the schema of an argument gives an action, and any call has that argument."""
    action = answer([*items, *ORDER], [tool(needs(schema))])
    if isinstance(action, FunctionCall):
        assert set(json.loads(action.arguments)) == {"order_id"}
