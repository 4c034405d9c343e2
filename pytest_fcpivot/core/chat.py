"""Conversion of Responses items and flat tools to the Chat Completions form, such that servers accept them.

Servers check these rules, which raw conversations often break: parallel calls are in one assistant message; every
`tool` message answers a call of the assistant message before it; every call has an answer.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Literal, get_args

TextPart = Literal["input_text", "output_text", "text"]  # the types of a content's parts that are text
_TEXT_PARTS = get_args(TextPart)
TOOL_CHOICE_MODES = ("auto", "none", "required")


def chat_messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert Responses input items to chat messages.

    Reasoning is dropped. Calls with no result between them become one assistant message, together with the assistant's
    text around them; their results follow in the order of the calls, wherever they stood in the input. A result whose
    call is missing becomes a user message, since servers reject a `tool` message without a call; a call without a
    result gets an empty one.
    """
    answers, orphans = _match_results(items)
    builder = _ChatBuilder()
    for place, item in enumerate(items):
        kind = _kind(item)
        if kind == "function_call":
            builder.call(item, answers.get(place))
        elif kind == "function_call_output":
            if place in orphans:
                builder.orphan(item)
            else:
                builder.result()
        elif kind == "message":
            builder.message(item)
    return builder.finish()


def _kind(item: dict[str, Any]) -> str | None:
    return item.get("type") or ("message" if "role" in item else None)


def _match_results(items: list[dict[str, Any]]) -> tuple[dict[int, str], set[int]]:
    """Return the text of each call's result by the call's index, and the indexes of results without a call."""
    waiting: dict[str, deque[int]] = {}
    answers: dict[int, str] = {}
    orphans: set[int] = set()
    for place, item in enumerate(items):
        kind = _kind(item)
        if kind == "function_call":
            waiting.setdefault(_identifier(item), deque()).append(place)
        elif kind == "function_call_output":
            calls = waiting.get(_identifier(item))
            if calls:
                answers[calls.popleft()] = result_text(item.get("output"))
            else:
                orphans.add(place)
    return answers, orphans


def _identifier(item: dict[str, Any]) -> str:
    return str(item.get("call_id") or item.get("id"))


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


def offered_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the flat tools that can be offered: of several with the same name the first, and none without a name.

    Parameters are an object's schema even for a tool without parameters, as servers require; a null description, or
    null in place of `strict`, is left out.
    """
    offered: dict[str, dict[str, Any]] = {}
    for tool in tools:
        name = tool.get("name")
        if not isinstance(name, str) or not name or name in offered:
            continue
        parameters = tool.get("parameters")
        parameters = {"type": "object", "properties": {}, **(parameters if isinstance(parameters, dict) else {})}
        offered[name] = {"name": name, "parameters": parameters}
        offered[name].update((key, tool[key]) for key in ("description", "strict") if tool.get(key) is not None)
    return list(offered.values())


def tool_choice(value: Any) -> str | dict[str, Any] | None:
    """Read a tool choice in the form of either API, or a tool's name; None for any other value."""
    if isinstance(value, str):
        return value if value in TOOL_CHOICE_MODES else {"type": "function", "name": value}
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return None
    if value["type"] != "function":
        return value
    nested = value.get("function")
    name = value.get("name") or (nested.get("name") if isinstance(nested, dict) else None)
    return {"type": "function", "name": name} if isinstance(name, str) else None


def content_text(content: Any) -> str:
    """Join the text of a message's content: a string, a list of parts, or null."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") or part.get("refusal") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def result_text(output: Any) -> str:
    """Write a tool's result as text: a string as it is, a list of text parts as their text, else JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, list) and output and all(map(is_text_part, output)):
        return content_text(output)
    return json.dumps(output, ensure_ascii=False)


def is_text_part(part: Any) -> bool:
    """Return whether a part of a content, in either API's form, is text."""
    return isinstance(part, dict) and part.get("type") in _TEXT_PARTS and isinstance(part.get("text"), str)


def arguments_text(arguments: Any) -> str:
    """Write a call's arguments as JSON text: a string unchanged; null and the empty text become `{}`."""
    if not isinstance(arguments, str):
        arguments = "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False)
    return arguments or "{}"


class _ChatBuilder:
    """Builds the messages item by item; calls are held back until it is known which text and calls go with them."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []  # parallel calls whose assistant message is not written yet
        self._results: list[str] = []
        self._said: list[str] = []  # the assistant's text among these calls
        self._answered = False  # a result of theirs has been seen, so what follows belongs to the next turn
        self._ids: set[str] = set()

    def call(self, item: dict[str, Any], result: str | None) -> None:
        if self._answered:
            self._close_calls()
        function = {"name": item.get("name", ""), "arguments": arguments_text(item.get("arguments"))}
        self._calls.append({"id": self._unique(item), "type": "function", "function": function})
        self._results.append(result or "")

    def _unique(self, item: dict[str, Any]) -> str:
        identifier = wanted = str(item.get("call_id") or item.get("id") or "call")
        number = 1
        while identifier in self._ids:
            number += 1
            identifier = f"{wanted}_{number}"
        self._ids.add(identifier)
        return identifier

    def result(self) -> None:
        self._answered = bool(self._calls)

    def orphan(self, item: dict[str, Any]) -> None:
        self._close_calls()
        self._messages.append({"role": "user", "content": f"[tool result] {result_text(item.get('output'))}"})

    def message(self, item: dict[str, Any]) -> None:
        role = item.get("role") or "user"
        text = content_text(item.get("content"))
        if role == "assistant":
            if not text:
                return  # an empty message carries nothing, and some servers reject it
            if self._calls and not self._answered:
                self._said.append(text)
                return
        self._close_calls()
        self._messages.append({"role": "system" if role == "developer" else role, "content": text})

    def finish(self) -> list[dict[str, Any]]:
        self._close_calls()
        return self._messages

    def _close_calls(self) -> None:
        if not self._calls:
            return
        last = self._messages[-1] if self._messages else None
        if last is None or last["role"] != "assistant" or "tool_calls" in last:
            last = {"role": "assistant", "content": None}
            self._messages.append(last)
        texts = [text for text in (last["content"], *self._said) if text]  # the message before the calls joins theirs
        last["content"] = "\n".join(texts) or None
        last["tool_calls"] = self._calls
        for call, result in zip(self._calls, self._results, strict=True):
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        self._calls, self._results, self._said, self._answered = [], [], [], False
