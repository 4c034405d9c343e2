"""What is sent: each request body, in depth, against the types that the client's own package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from client_types import check_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from served import tool, view_of

from pytest_fcpivot import load_pivots
from pytest_fcpivot.agents.openai import OPENAI_AGENTS
from pytest_fcpivot.agents.openai.system_messages import with_one_system_message

if TYPE_CHECKING:
    from pytest_fcpivot import PivotView
    from pytest_fcpivot.agents.openai.base import OpenAIAgent

EVERY = pytest.mark.parametrize("kind", OPENAI_AGENTS.values(), ids=OPENAI_AGENTS)
URL = "http://localhost:1/v1"
EVERY_SETTING: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "max_output_tokens": 7,
    "reasoning_effort": "low",
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "seed": 3,
    "message_tool": True,
}


def body_of(agent: OpenAIAgent, view: PivotView) -> dict[str, Any]:
    """Return the body that an agent builds for a pivot."""
    return agent._request(view, agent._offer(view))


def check(agent: OpenAIAgent, view: PivotView) -> dict[str, Any]:
    """Check the body for a pivot, and the one that is sent where later system messages are refused."""
    body = body_of(agent, view)
    check_body(agent.path, body)
    mended = with_one_system_message(body[agent.conversation])
    if mended is not None:
        check_body(agent.path, {**body, agent.conversation: mended})
    return body


@EVERY
@pytest.mark.parametrize("more", [{}, EVERY_SETTING], ids=["plain", "every setting"])
def test_sample(kind: type[OpenAIAgent], more: dict[str, Any]) -> None:
    """Each body for the bundled sample is one of the client's type."""
    agent = kind(model="m", base_url=URL, **more)
    for pivot in load_pivots():
        check(agent, pivot.view())


TEXT = st.sampled_from(["Hi", "", "ö\n", "<tool_call>"])
PARTS = st.lists(
    st.sampled_from(
        [
            {"type": "input_text", "text": "Hi"},
            {"type": "output_text", "text": "Hello", "annotations": []},
            {"type": "refusal", "refusal": "No."},
            {"type": "text", "text": "Hi"},
            {"type": "input_image", "image_url": "data:,", "detail": "auto"},
            {"type": "odd"},
        ]
    ),
    max_size=2,
)
IDS = st.sampled_from(["a", "b", "fc_1", "msg_1", "x" * 70, "", None])
STATUS = st.sampled_from(["completed", "in_progress", "odd", None])
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": TEXT | PARTS | st.none()},
    optional={"type": st.just("message"), "id": IDS, "status": STATUS, "note": st.just(1)},
)
CALLS = st.fixed_dictionaries(
    {
        "type": st.just("function_call"),
        "call_id": IDS,
        "name": st.sampled_from(["f", "a.b", "x" * 70]),
        "arguments": st.sampled_from(["{}", "", '{"a": 1}', "{oops", None, {"a": 1}]),
    },
    optional={"id": IDS, "status": STATUS, "note": st.just(1)},
)
RESULTS = st.fixed_dictionaries(
    {
        "type": st.just("function_call_output"),
        "call_id": IDS,
        "output": TEXT | PARTS | st.sampled_from([None, 1, {"a": [1]}]),
    },
    optional={"id": IDS, "status": STATUS},
)
REASONING = st.fixed_dictionaries(
    {"type": st.just("reasoning"), "id": st.just("rs_1"), "summary": st.just([])},
    optional={"encrypted_content": st.sampled_from(["x", None]), "status": STATUS},
)
TOOLS = st.lists(
    st.sampled_from(
        [
            tool("f"),
            tool("a.b", description="Adds.", strict=True),
            tool("x" * 70, strict=None, note=1),
            {"type": "function", "name": "bare"},
            {"type": "function", "name": "null", "description": None, "parameters": None},
        ]
    ),
    max_size=3,
)
CHOICES = st.sampled_from(["auto", "none", "required", "f", None, {"type": "function", "name": "f"}, {"type": 1}, 7])


@EVERY
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    items=st.lists(MESSAGES | CALLS | RESULTS | REASONING, min_size=1, max_size=8),
    tools=TOOLS,
    choice=CHOICES,
    more=st.sampled_from([{}, EVERY_SETTING]),
)
def test_any_conversation(
    kind: type[OpenAIAgent], items: list[dict[str, Any]], tools: list[Any], choice: Any, more: dict[str, Any]
) -> None:
    """Whatever a conversation holds, the body is one of the client's type."""
    view = view_of(items, *tools, tool_choice=choice, parallel_tool_calls=True)
    check(kind(model="m", base_url=URL, **more), view)


@EVERY
def test_fields(kind: type[OpenAIAgent]) -> None:
    """The fields that can be left out are those that requests have beside the model and the conversation."""
    view = view_of("Hi", "f", tool_choice="auto", parallel_tool_calls=True)
    found: set[str] = set()
    for url in (URL, "https://api.openai.com/v1"):
        found |= body_of(kind(model="m", base_url=url, api_key="k", **EVERY_SETTING), view).keys()
    assert found - {"model", kind.conversation} == kind.fields


def test_thoroughness() -> None:
    """The check reads the lists of a body: what pydantic alone would leave unread is refused, with its place."""
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    check_body("chat/completions", body)
    with pytest.raises(ValidationError, match=r"messages\.0\.\S+\.content"):
        check_body("chat/completions", {**body, "messages": [{"role": "user", "content": 1}]})
    with pytest.raises(ValidationError, match=r"messages\.0\.\S+\.note"):
        check_body("chat/completions", {**body, "messages": [{"role": "user", "content": "Hi", "note": 1}]})
    with pytest.raises(ValidationError, match=r"tools\.0\."):
        check_body("responses", {"model": "m", "input": "Hi", "tools": [{"type": "function", "name": 1}]})
