"""Pivots in Chat Completions form: conversations that servers accept, with nothing lost that a model could see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Pivot


def view_of(items: list[dict[str, Any]], tools: list[Any] | None = None) -> Any:
    """Return the view of a pivot with this conversation."""
    params = {"input": items, "tools": tools}
    row = {"responses_create_params": params, "expected_action": {"type": "message", "content": "Hi"}}
    return Pivot.from_row(row).view()


def messages_of(*items: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a conversation as chat messages."""
    found: list[dict[str, Any]] = view_of(list(items)).messages
    return found


def user(content: Any) -> dict[str, Any]:
    """Return a user item."""
    return {"role": "user", "content": content}


def said(*texts: str) -> dict[str, Any]:
    """Return an assistant message item."""
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": parts}


def called(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """Return a function call item."""
    return {"type": "function_call", "id": call_id, "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str, output: Any = "ok") -> dict[str, Any]:
    """Return a function call output item."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def chat_call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """Return a call as it stands in a chat message."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_message(call_id: str, content: str = "ok") -> dict[str, Any]:
    """Return a tool message."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def calls_message(*call_ids: str, content: str | None = None) -> dict[str, Any]:
    """Return an assistant message with calls."""
    return {"role": "assistant", "content": content, "tool_calls": [chat_call(call_id) for call_id in call_ids]}


HI = user("Hi")


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        pytest.param(
            [{"role": "system", "content": ""}, HI], [{"role": "system", "content": ""}, HI], id="empty system"
        ),
        pytest.param(
            [{"role": "developer", "content": "Be kind"}], [{"role": "system", "content": "Be kind"}], id="developer"
        ),
        pytest.param([{**HI, "type": "message"}], [HI], id="typed user"),
        pytest.param([user([{"type": "input_text", "text": "Hi"}])], [HI], id="parts"),
        pytest.param(
            [user([{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}])],
            [user("a\nb")],
            id="two parts",
        ),
        pytest.param([HI, said("Hello")], [HI, {"role": "assistant", "content": "Hello"}], id="assistant"),
        pytest.param(
            [HI, {"role": "assistant", "content": "Hello"}], [HI, {"role": "assistant", "content": "Hello"}], id="plain"
        ),
        pytest.param([HI, {"type": "reasoning", "summary": [{"text": "secret"}]}], [HI], id="reasoning"),
        pytest.param([HI, said("")], [HI], id="empty assistant"),
        pytest.param([HI, called("c1"), result("c1")], [HI, calls_message("c1"), tool_message("c1")], id="call"),
        pytest.param(
            [HI, said("Wait."), called("c1"), result("c1")],
            [HI, calls_message("c1", content="Wait."), tool_message("c1")],
            id="text before a call",
        ),
        pytest.param(
            [HI, said(""), called("c1"), result("c1")],
            [HI, calls_message("c1"), tool_message("c1")],
            id="empty text before",
        ),
        pytest.param(
            [HI, called("c1"), called("c2"), result("c2", "two"), result("c1", "one")],
            [HI, calls_message("c1", "c2"), tool_message("c1", "one"), tool_message("c2", "two")],
            id="parallel calls, results crossed",
        ),
        pytest.param(
            [HI, called("c1"), result("c1"), called("c2"), result("c2")],
            [HI, calls_message("c1"), tool_message("c1"), calls_message("c2"), tool_message("c2")],
            id="calls in turn",
        ),
        pytest.param(
            [HI, called("c1"), user("Hello?")],
            [HI, calls_message("c1"), tool_message("c1", ""), user("Hello?")],
            id="no result",
        ),
        pytest.param(
            [HI, called("c1"), result("c1", "one"), result("c1", "two")],
            [HI, calls_message("c1"), tool_message("c1", "one"), user("[tool result] two")],
            id="two results for one call",
        ),
        pytest.param([HI, result("c9", "late")], [HI, user("[tool result] late")], id="orphan result"),
        pytest.param(
            [HI, called("c1"), result("c1", {"é": [1]})],
            [HI, calls_message("c1"), tool_message("c1", '{"é": [1]}')],
            id="result is an object",
        ),
        pytest.param(
            [HI, called("c1"), result("c1", None)],
            [HI, calls_message("c1"), tool_message("c1", "null")],
            id="result is null",
        ),
        pytest.param(
            [HI, called("c1", arguments=""), result("c1")],
            [HI, calls_message("c1"), tool_message("c1")],
            id="no arguments",
        ),
    ],
)
def test_conversations(items: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    """Each kind of item becomes the chat message that servers expect."""
    assert messages_of(*items) == messages


def test_instructions_come_first() -> None:
    """Instructions beside a string input are a system message before the user's."""
    params = {"input": "Hi", "instructions": "Be kind"}
    row = {"responses_create_params": params, "expected_action": {"type": "message", "content": ""}}
    assert Pivot.from_row(row).view().messages == [{"role": "system", "content": "Be kind"}, HI]


def test_thoughts_are_never_shown() -> None:
    """The expert's reasoning does not reach the messages."""
    thought = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "secret"}]}
    assert "secret" not in json.dumps(messages_of(HI, thought, called("c1"), thought, result("c1"), said("Done")))


@pytest.mark.parametrize(
    ("tool", "function"),
    [
        (
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        ),
        (
            {"type": "function", "name": "a.b", "description": None, "parameters": {"type": "object"}, "strict": None},
            {"name": "a.b", "parameters": {"type": "object"}},
        ),
        ({"type": "function", "name": "f"}, {"name": "f", "parameters": {"type": "object", "properties": {}}}),
        (
            {"type": "function", "name": "f", "parameters": None, "strict": False},
            {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
        ),
    ],
)
def test_tools(tool: dict[str, Any], function: dict[str, Any]) -> None:
    """A flat tool becomes a nested one; what is null is left out."""
    assert view_of([HI], [tool]).chat_tools == [{"type": "function", "function": function}]


def test_no_tools() -> None:
    """A pivot without tools has none in either form."""
    assert view_of([HI]).chat_tools == view_of([HI]).tools == []


def test_agents_cannot_disturb_each_other() -> None:
    """What an agent does to its messages and tools is not seen by the next view."""
    pivot = Pivot.from_row(
        {
            "responses_create_params": {"input": [HI], "tools": [{"type": "function", "name": "f"}]},
            "expected_action": {"type": "message", "content": ""},
        }
    )
    first = pivot.view()
    first.messages[0]["content"] = "changed"
    first.input.clear()
    first.chat_tools[0]["function"]["name"] = "changed"
    second = pivot.view()
    assert second.messages == second.input == [HI]
    assert second.chat_tools[0]["function"]["name"] == "f"


ids = st.sampled_from(["c1", "c2", "c3"])
items_of_any_kind = st.one_of(
    st.builds(user, st.sampled_from(["u1", "u2", ""])),
    st.builds(said, st.sampled_from(["a1", "a2", ""])),
    st.just({"type": "reasoning", "summary": [{"text": "secret"}]}),
    st.builds(called, ids),
    st.builds(result, ids, st.sampled_from(["r1", "r2", ""])),
)


@settings(deadline=None)
@given(st.lists(items_of_any_kind, min_size=1, max_size=10))
@example([called("c1"), called("c1"), result("c1", "r1"), result("c1", "r2")])
def test_servers_accept_every_conversation(items: list[dict[str, Any]]) -> None:
    """Every call is answered once, right after its message, and no tool message stands without its call."""
    messages = messages_of(*items)
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
            continue
        assert not waiting
        if "tool_calls" in message:
            waiting = [call["id"] for call in message["tool_calls"]]
            assert len(set(waiting)) == len(waiting)
        else:
            assert isinstance(message["content"], str)
    assert not waiting


@settings(deadline=None)
@given(st.lists(items_of_any_kind, min_size=1, max_size=10))
@example([called("c1"), called("c1"), result("c1", "r1"), result("c1", "r2")])
def test_nothing_visible_is_lost(items: list[dict[str, Any]]) -> None:
    """Every text, call and result of the conversation is in the messages, and no thought is."""
    written = json.dumps(messages_of(*items))
    for kind in ("u1", "u2", "a1", "a2", "r1", "r2"):
        assert written.count(f"{kind}") == json.dumps(items).count(f'"{kind}"')
    assert written.count('"function": {') == sum(item.get("type") == "function_call" for item in items)
    assert "secret" not in written


odd = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["message", "function_call", "assistant", "x"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "name", "call_id", "output"]), inner, max_size=4
        ),
    ),
    max_leaves=8,
)
odd_items = st.dictionaries(
    st.sampled_from(["type", "role", "content", "name", "arguments", "call_id", "id", "output"]), odd, max_size=5
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(odd_items, min_size=1, max_size=4), st.lists(odd_items, max_size=2))
@example([user([{"type": "input_text", "text": 5}]), said("Hi"), {"role": "assistant", "content": [{"text": [1]}]}], [])
def test_odd_items_do_not_break_an_agent(items: list[dict[str, Any]], tools: list[dict[str, Any]]) -> None:
    """Rows hold anything: an agent that asks for messages and tools gets lists of objects all the same."""
    view = view_of(items, tools)
    assert all(message.keys() >= {"role", "content"} for message in view.messages)
    assert [found["type"] for found in view.chat_tools] == ["function"] * len(tools)
