"""Conversations for Responses: as they are, but for what servers refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import ModelServer, ask_all, view_of

from pytest_fcpivot.agents.openai import OPENAI_AGENTS
from pytest_fcpivot.agents.openai.responses import responses_input
from pytest_fcpivot.agents.openai.tool_names import ToolNames

Item = dict[str, Any]
HI: Item = {"role": "user", "content": "Hi"}
TEXT = [{"type": "output_text", "text": "Hello", "annotations": []}]
SAID: Item = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": TEXT}


def called(call_id: str, **fields: Any) -> Item:
    """Return a function call item."""
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def result(call_id: str, output: Any = "ok") -> Item:
    """Return a function call output item."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def converted(items: list[Item]) -> list[Item]:
    """Return the items as they are sent, with no name to map."""
    return responses_input(items, ToolNames(()))


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([HI, SAID, HI], id="messages"),
        pytest.param([{"role": "developer", "content": "Be kind"}, HI], id="developer"),
        pytest.param(
            [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}], "type": "message"}], id="parts"
        ),
        pytest.param([HI, called("c", id="fc_1", status="completed"), result("c")], id="call"),
        pytest.param([HI, called("a"), called("b"), result("b"), result("a")], id="crossed results"),
        pytest.param([HI, called("a"), HI, result("a")], id="late result"),
        pytest.param([HI, called("a"), result("a", [{"type": "input_text", "text": "x"}])], id="result of parts"),
        pytest.param(
            [HI, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}], id="encrypted reasoning"
        ),
        pytest.param([HI, {"type": "web_search_call", "id": "ws_1", "status": "completed"}], id="another kind"),
        pytest.param([HI, {**SAID, "content": [{"type": "refusal", "refusal": "No."}]}], id="refusal"),
    ],
)
def test_kept(items: list[Item]) -> None:
    """What servers accept is sent as it is."""
    assert converted(items) == items


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([HI, {"type": "reasoning", "id": "rs_1", "encrypted_content": None}], [HI], id="reasoning"),
        pytest.param([HI, result("x")], [HI, {"role": "user", "content": "[tool result] ok"}], id="orphan result"),
        pytest.param(
            [HI, result("x", [{"type": "input_text", "text": "a"}])],
            [HI, {"role": "user", "content": "[tool result] a"}],
            id="orphan result of parts",
        ),
        pytest.param(
            [HI, called("a"), result("a"), result("a", "again")],
            [HI, called("a"), result("a"), {"role": "user", "content": "[tool result] again"}],
            id="second result",
        ),
        pytest.param([HI, result("a"), called("a"), result("a", 2)], [
            HI, {"role": "user", "content": "[tool result] ok"}, called("a"), result("a", "2")], id="result too early"),
        pytest.param([HI, called("a"), HI], [HI, called("a"), result("a", ""), HI], id="no result"),
        pytest.param([HI, called("a")], [HI, called("a"), result("a", "")], id="no result at the end"),
        pytest.param(
            [HI, called("a"), called("b"), result("b")],
            [HI, called("a"), called("b"), result("a", ""), result("b")],
            id="no result for one of two",
        ),
        pytest.param(
            [HI, called("a"), result("a", {"é": 1}), called("b"), result("b", None)],
            [HI, called("a"), result("a", '{"é": 1}'), called("b"), result("b", "null")],
            id="results that are not text",
        ),
        pytest.param(
            [HI, called("a"), result("a", "1"), called("a"), result("a", "2")],
            [HI, called("a"), result("a", "1"), called("call_3"), result("call_3", "2")],
            id="the same id twice",
        ),
        pytest.param(
            [HI, called("a" * 65), called("call_1"), result("a" * 65), result("call_1")],
            [HI, called("call_1_1"), called("call_1"), result("call_1_1"), result("call_1")],
            id="an id too long",
        ),
        pytest.param(
            [HI, called("", id="x"), result("x")], [HI, called("x"), result("x")], id="no call id"
        ),
        pytest.param(
            [HI, called("a", id="call_a", status=None, extra=1), result("a")],
            [HI, called("a"), result("a")],
            id="another kind's id, unknown fields",
        ),
        pytest.param(
            [HI, called("a", id="fc_1"), result("a"), called("b", id="fc_1"), result("b")],
            [HI, called("a", id="fc_1"), result("a"), called("b"), result("b")],
            id="the same item id twice",
        ),
        pytest.param(
            [HI, called("a", arguments={"x": 1}), called("b", arguments=None), called("c", arguments=""), result("a"),
             result("b"), result("c")],
            [HI, called("a", arguments='{"x": 1}'), called("b"), called("c"), result("a"), result("b"), result("c")],
            id="arguments that are not text",
        ),
        pytest.param(
            [HI, SAID, SAID],
            [HI, SAID, {"type": "message", "role": "assistant", "content": "Hello"}],
            id="message twice",
        ),
        pytest.param([HI, {"role": "assistant", "content": None}, {**SAID, "content": []}], [HI], id="says nothing"),
        pytest.param([{"role": "user", "content": None}], [{"role": "user", "content": ""}], id="null content"),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], [HI], id="parts of the other API"
        ),
        pytest.param([{"type": "item_reference", "id": "x", "note": None}], [{"type": "item_reference", "id": "x"}],
                     id="null fields"),
        pytest.param([HI, {"content": "no role"}], [HI], id="nothing known"),
    ],
)  # fmt: skip
def test_made_good(items: list[Item], expected: list[Item]) -> None:
    """What servers refuse is changed as little as possible, with nothing lost that a model could see."""
    assert converted(items) == expected


IDS = st.sampled_from(["a", "b", "call_1", "x" * 70, ""])
ITEMS = st.lists(
    st.builds(called, IDS, id=st.sampled_from(["fc_1", "fc_2", "odd"]))
    | st.builds(result, IDS, st.sampled_from(["ok", None, {"a": 1}]))
    | st.sampled_from([HI, SAID, {"type": "reasoning", "id": "rs_1", "encrypted_content": None}]),
    max_size=8,
)


@given(ITEMS)
def test_paired(items: list[Item]) -> None:
    """Whatever the ids, each call has an id of its own and exactly one result after it, and no result is lost."""
    sent = converted(items)
    calls = [item["call_id"] for item in sent if item.get("type") == "function_call"]
    results = [item["call_id"] for item in sent if item.get("type") == "function_call_output"]
    orphans = [item for item in sent if str(item.get("content")).startswith("[tool result]")]
    assert len(set(calls)) == len(calls) == sum(item.get("type") == "function_call" for item in items)
    assert sorted(calls) == sorted(results)
    assert all(sent.index(call) < sent.index(answer) for call, answer in _pairs(sent))
    empty = sum(item.get("output") == "" for item in sent)
    assert len(results) - empty + len(orphans) == sum(item.get("type") == "function_call_output" for item in items)
    assert all(0 < len(call) <= 64 for call in calls)


def _pairs(sent: list[Item]) -> list[tuple[Item, Item]]:
    calls = {item["call_id"]: item for item in sent if item.get("type") == "function_call"}
    return [(calls[item["call_id"]], item) for item in sent if item.get("type") == "function_call_output"]


@pytest.fixture(scope="module")
def server() -> Any:
    """Run a server."""
    with ModelServer() as running:
        yield running


HARD: list[list[Item]] = [
    [HI, called("a"), called("a"), result("a"), HI, result("b", None), SAID, SAID],
    [called("a"), called("b"), result("b", {"x": [1]}), HI],
    [HI, {**SAID, "content": []}, called("a", arguments=""), result("a", [{"type": "input_text", "text": "x"}])],
    [HI, {"role": "developer", "content": "Hm"}, called("x.y", name="x.y"), called("x_y", name="x_y"), HI],
]


@pytest.mark.parametrize("kind", OPENAI_AGENTS.values(), ids=OPENAI_AGENTS)
def test_accepted(kind: Any, server: ModelServer) -> None:
    """Conversations with every fault are accepted through each agent."""
    assert len(ask_all(kind(model="m", base_url=server.url, api_key="k"), [view_of(items, "f") for items in HARD])) == 4
