"""The agent for the Responses API: it sends the pivot's input unchanged, except for what servers refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_fcpivot.agents.openai.base import OpenAIAgent
from pytest_fcpivot.agents.openai.connection import RESPONSES
from pytest_fcpivot.core.chat import arguments_text, content_text

if TYPE_CHECKING:
    from pytest_fcpivot.agents.openai.tool_names import ToolNames
    from pytest_fcpivot.agents.openai.tools import Offer
    from pytest_fcpivot.core.model import PivotView

_MAX_ID_LENGTH = 64
_STATUSES = ("in_progress", "completed", "incomplete")
_ASSISTANT_PARTS = frozenset(("output_text", "refusal"))
_INPUT_PARTS = frozenset(("input_text", "input_image", "input_file"))


class ResponsesAgent(OpenAIAgent):
    """Ask through the Responses API; a call returns a Response as a dict."""

    name: ClassVar[str] = "openai"
    path: ClassVar[str] = RESPONSES
    conversation: ClassVar[str] = "input"
    fields: ClassVar[frozenset[str]] = frozenset(
        (
            "store",
            "stream",
            "temperature",
            "top_p",
            "max_output_tokens",
            "reasoning",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
        )
    )

    def _request(self, pivot: PivotView, offer: Offer) -> dict[str, Any]:
        settings = self.settings
        request = {
            "model": settings.model,
            "input": responses_input(pivot.input, offer.names),
            "store": False,  # nothing of a benchmark should stay on a server
            "stream": False,  # some servers and gateways stream unless they are told not to
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_output_tokens": settings.max_output_tokens,
            "reasoning": {"effort": settings.reasoning_effort} if settings.reasoning_effort else None,
            # If `strict` is missing, OpenAI makes the tools strict, which forces the model to give every optional
            # argument.
            "tools": [{"type": "function", "strict": False, **tool} for tool in offer.tools] or None,
            "tool_choice": offer.choice,
            "parallel_tool_calls": offer.parallel,
        }
        return {key: value for key, value in request.items() if value is not None}

    def _read(self, answer: dict[str, Any], offer: Offer) -> None:
        items = answer.get("output")
        if not isinstance(items, list):
            raise self._empty("no output", answer)
        for item in items if offer.names else ():
            if isinstance(item, dict) and item.get("type") == "function_call" and isinstance(item.get("name"), str):
                item["name"] = offer.names.own(item["name"])


def responses_input(items: list[dict[str, Any]], names: ToolNames) -> list[dict[str, Any]]:
    """Return the items of a conversation in a form that servers accept.

    A call without a result gets an empty one; a result without a call, or a second result, becomes a user message. Ids
    that servers refuse (repeated ones, or ones with the prefix of another kind of item) are removed or replaced.
    Reasoning is kept only if it has encrypted content, since a server cannot use any other.
    """
    builder = _InputBuilder(items, names)
    for place, item in enumerate(items):
        builder.add(place, item)
    return builder.finish()


class _InputBuilder:
    """Builds the items; adds an empty result for each call that has none after the run of calls that it is in."""

    def __init__(self, items: list[dict[str, Any]], names: ToolNames) -> None:
        self._items: list[dict[str, Any]] = []
        self._names = names
        self._item_ids: set[str] = set()
        self._missing: list[str] = []  # the ids of the current parallel calls that have no result anywhere
        self._pair(items)

    def _pair(self, items: list[dict[str, Any]]) -> None:
        """Find each call's result (in order, where ids repeat), and a unique id for each call."""
        self._call_ids: dict[int, str] = {}  # by the place of a call, and of its result
        waiting: dict[str, list[int]] = {}
        taken = {str(item["call_id"]) for item in items if item.get("call_id")}
        given: set[str] = set()
        self._answered: set[int] = set()
        for place, item in enumerate(items):
            raw = str(item.get("call_id") or item.get("id") or "")
            if item.get("type") == "function_call":
                waiting.setdefault(raw, []).append(place)
                call_id = raw
                if not raw or len(raw) > _MAX_ID_LENGTH or raw in given:
                    call_id, count = f"call_{place}", 1
                    while call_id in taken:
                        call_id, count = f"call_{place}_{count}", count + 1
                given.add(call_id)
                taken.add(call_id)
                self._call_ids[place] = call_id
            elif item.get("type") == "function_call_output" and waiting.get(str(item.get("call_id"))):
                call = waiting[str(item.get("call_id"))].pop(0)
                self._answered.add(call)
                self._call_ids[place] = self._call_ids[call]

    def add(self, place: int, item: dict[str, Any]) -> None:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "function_call":
            self._call(place, item)
        elif kind == "reasoning":
            if item.get("encrypted_content") is not None:
                kept = ("type", "id", "summary", "content", "encrypted_content")
                self._items.append({key: item[key] for key in kept if item.get(key) is not None})
        else:
            self._answer_missing()
            if kind == "function_call_output":
                self._result(place, item)
            elif kind == "message":
                self._message(item)
            elif kind is not None:
                self._items.append({key: value for key, value in item.items() if value is not None})

    def finish(self) -> list[dict[str, Any]]:
        self._answer_missing()
        return self._items

    def _call(self, place: int, item: dict[str, Any]) -> None:
        arguments = arguments_text(item.get("arguments"))
        call_id = self._call_ids[place]
        name = self._names.sent(str(item.get("name", "")))
        call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        self._items.append({**call, **self._marks(item, "fc")})
        if place not in self._answered:
            self._missing.append(call_id)

    def _result(self, place: int, item: dict[str, Any]) -> None:
        output = item.get("output")
        if not isinstance(output, str) and not _has_parts(output, _INPUT_PARTS):
            output = json.dumps(output, ensure_ascii=False)
        if place in self._call_ids:
            result = {"type": "function_call_output", "call_id": self._call_ids[place], "output": output}
            self._items.append(result)
        else:
            text = output if isinstance(output, str) else content_text(output)
            self._items.append({"role": "user", "content": f"[tool result] {text}"})

    def _message(self, item: dict[str, Any]) -> None:
        role, content = item.get("role", "user"), item.get("content")
        assistant = role == "assistant"
        if assistant and not content_text(content):
            return  # an empty message carries nothing, and some servers refuse it
        marks = self._marks(item, "msg") if assistant else {}
        kind = {"type": item["type"]} if item.get("type") else {}
        # A list of parts of an assistant is sent unchanged only if a server made it, which shows by its id.
        whole = (
            "id" in marks and _has_parts(content, _ASSISTANT_PARTS) if assistant else _has_parts(content, _INPUT_PARTS)
        )
        if whole and assistant:
            # such an item needs all of these fields, even if the row lacks some
            self._items.append({"type": "message", "role": role, "content": content, "status": "completed", **marks})
        elif whole:
            self._items.append({**kind, "role": role, "content": content})
        else:
            self._items.append({**kind, "role": role, "content": content_text(content)})

    def _marks(self, item: dict[str, Any], prefix: str) -> dict[str, str]:
        """Return an item's id and status, each only if servers accept it."""
        marks, mark = {}, item.get("id")
        if isinstance(mark, str) and mark.startswith(f"{prefix}_") and len(mark) <= _MAX_ID_LENGTH:
            if mark not in self._item_ids:
                marks["id"] = mark
            self._item_ids.add(mark)
        if item.get("status") in _STATUSES:
            marks["status"] = item["status"]
        return marks

    def _answer_missing(self) -> None:
        outputs = ({"type": "function_call_output", "call_id": call, "output": ""} for call in self._missing)
        self._items.extend(outputs)
        self._missing = []


def _has_parts(content: Any, kinds: frozenset[str]) -> bool:
    """Return whether a content is a list, not empty, of parts of these kinds only."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(part, dict) and part.get("type") in kinds for part in content)
    )
