"""Tools in a prompt, for models whose server knows nothing of them."""

from __future__ import annotations

from typing import Any

import pytest
from served import tool, view_of

from pytest_fcpivot.agents.openai import OpenAISettings
from pytest_fcpivot.agents.openai.tools import Offer
from pytest_fcpivot.core.dialects.writing import render_chat


def messages_of(*messages: dict[str, Any], tools: tuple[str, ...] = ("add",), **settings: Any) -> list[dict[str, Any]]:
    """Return the messages of a prompt."""
    offer = Offer.of(view_of("Hi", *map(tool, tools)), OpenAISettings(model="m", **settings), map_names=False)
    return render_chat(messages, offer.tools, "hermes", choice=offer.choice, parallel=offer.parallel)


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
