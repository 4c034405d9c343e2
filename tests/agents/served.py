"""What tests of agents with a server share: the server of the fixtures, pivots, and a loop to ask them in."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot import Pivot, PivotView

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures"))

from model_server import ModelServer

if TYPE_CHECKING:
    from pytest_fcpivot.agents.openai.base import OpenAIAgent

_AT_ONCE = 16

__all__ = ["ModelServer", "ask", "ask_all", "tool", "view_of"]


def tool(name: str, **fields: Any) -> dict[str, Any]:
    """Return a flat function tool that takes anything."""
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, **fields}


def view_of(
    conversation: str | list[dict[str, Any]], *names: str | dict[str, Any], repeat: int = 1, **params: Any
) -> PivotView:
    """Return the view of a pivot with this conversation and tools."""
    tools = [tool(name) if isinstance(name, str) else name for name in names]
    row = {
        "responses_create_params": {"input": conversation, "tools": tools, **params},
        "expected_action": {"type": "message", "content": "Hi"},
    }
    return Pivot.from_row(row).view(repeat)


def ask_all(agent: OpenAIAgent, views: list[PivotView]) -> list[dict[str, Any]]:
    """Ask at all pivots, many at once, in a loop of their own, and close the agent in it."""

    async def gather() -> list[dict[str, Any]]:
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(view: PivotView) -> dict[str, Any]:
            async with places:
                return await agent(view)

        try:
            return await asyncio.gather(*map(one, views))
        finally:
            await agent.aclose()

    return asyncio.run(gather())


def ask(agent: OpenAIAgent, view: PivotView) -> dict[str, Any]:
    """Ask at one pivot."""
    return ask_all(agent, [view])[0]
