"""Agents that ask a model behind an OpenAI endpoint: Responses, Chat Completions, and tools described in the prompt.

They can also be used in code: `ChatAgent(model="gpt-5-mini", base_url="http://localhost:8000/v1", temperature=0)`. The
`openai` package is needed to make an agent, but not to import this package.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.agents.openai.base import OpenAIAgent
    from pytest_fcpivot.agents.openai.chat import ChatAgent, PromptAgent
    from pytest_fcpivot.agents.openai.responses import ResponsesAgent
    from pytest_fcpivot.agents.openai.settings import OpenAISettings

    OPENAI_AGENTS: Mapping[str, type[OpenAIAgent]]

__all__ = ["OPENAI_AGENTS", "ChatAgent", "OpenAISettings", "PromptAgent", "ResponsesAgent"]

# Imported on first use: every session needs the settings, but few need the agents.
_HOME = {"ChatAgent": "chat", "PromptAgent": "chat", "ResponsesAgent": "responses", "OpenAISettings": "settings"}


def __getattr__(name: str) -> object:
    if name == "OPENAI_AGENTS":
        agents = [__getattr__(agent) for agent in ("ResponsesAgent", "ChatAgent", "PromptAgent")]
        value: object = MappingProxyType({agent.name: agent for agent in agents})  # type: ignore[attr-defined]
    elif name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
