"""Agents that ask a model behind an OpenAI endpoint: Responses, Chat Completions, and tools described in the prompt.

They are also for use in code: `ChatAgent(model="gpt-5-mini", base_url="http://localhost:8000/v1", temperature=0)`. The
`openai` package is needed when an agent is made, not to import this one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_fcpivot.agents.openai.chat import ChatAgent, PromptAgent
from pytest_fcpivot.agents.openai.responses import ResponsesAgent
from pytest_fcpivot.agents.openai.settings import OpenAISettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.agents.openai.base import OpenAIAgent

__all__ = ["OPENAI_AGENTS", "ChatAgent", "OpenAISettings", "PromptAgent", "ResponsesAgent"]

OPENAI_AGENTS: Mapping[str, type[OpenAIAgent]] = MappingProxyType(
    {agent.name: agent for agent in (ResponsesAgent, ChatAgent, PromptAgent)}
)
