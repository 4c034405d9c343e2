"""Responses items and flat tools in Chat Completions form, so that servers of that API accept them.

The rules that servers check and raw conversations break: calls made side by side stand in one assistant message;
every `tool` message answers a call of the assistant message before it; every call has an answer or is dropped with
nothing lost that a model could see.
"""

from __future__ import annotations

import json
from typing import Any


def chat_messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert Responses input items to chat messages.

    Reasoning is dropped. Neighbouring calls become one assistant message; a result follows its call in call order. A
    result whose call is not in the conversation is given as a user message, since servers reject an orphan `tool`
    message; a call without a result gets an empty one when the conversation goes on after it.
    """
    builder = _ChatBuilder()
    for item in items:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "function_call":
            builder.call(item)
        elif kind == "function_call_output":
            builder.result(item)
        elif kind == "message":
            builder.message(item)
    return builder.finish()


def chat_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert flat function tools to the nested Chat Completions form; a null description is left out."""
    converted = []
    for tool in tools:
        function: dict[str, Any] = {"name": tool.get("name", "")}
        if tool.get("description") is not None:
            function["description"] = tool["description"]
        function["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
        if tool.get("strict") is not None:
            function["strict"] = tool["strict"]
        converted.append({"type": "function", "function": function})
    return converted


def content_text(content: Any) -> str:
    """Join the text of a message's content: a string, a list of parts, or null."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") or part.get("refusal") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str) and text)


class _ChatBuilder:
    """Builds the messages one item at a time; calls wait until it is known what stands beside them."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []  # calls side by side, whose message is not written yet
        self._ids: list[str] = []  # the ids that they have in the conversation, which may repeat
        self._results: dict[int, str] = {}  # by the call's place among them

    def call(self, item: dict[str, Any]) -> None:
        if self._results:
            self._close_calls()
        place = f"call_{len(self._messages)}_{len(self._calls)}"
        identifier = str(item.get("call_id") or item.get("id") or place)
        unique = f"{identifier}_{place}" if identifier in self._ids else identifier
        function = {"name": item.get("name", ""), "arguments": item.get("arguments") or "{}"}
        self._ids.append(identifier)
        self._calls.append({"id": unique, "type": "function", "function": function})

    def result(self, item: dict[str, Any]) -> None:
        output = item.get("output")
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        identifier = str(item.get("call_id"))
        waiting = [i for i, known in enumerate(self._ids) if known == identifier and i not in self._results]
        if waiting:
            self._results[waiting[0]] = text
        else:
            self._close_calls()
            self._messages.append({"role": "user", "content": f"[tool result] {text}"})

    def message(self, item: dict[str, Any]) -> None:
        role = item.get("role", "user")
        text = content_text(item.get("content"))
        if role == "assistant" and not text:
            return  # an empty turn beside a call says nothing, and some servers reject it
        self._close_calls()
        self._messages.append({"role": "system" if role == "developer" else role, "content": text})

    def finish(self) -> list[dict[str, Any]]:
        self._close_calls()
        return self._messages

    def _close_calls(self) -> None:
        if not self._calls:
            return
        last = self._messages[-1] if self._messages else None
        if last is not None and last["role"] == "assistant" and "tool_calls" not in last:
            last["tool_calls"] = self._calls  # the text that the model said just before its calls
        else:
            self._messages.append({"role": "assistant", "content": None, "tool_calls": self._calls})
        for place, call in enumerate(self._calls):
            content = self._results.get(place, "")
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
        self._calls, self._ids, self._results = [], [], {}
