"""The agents for the Chat Completions API: with the API's own tools, or with tools described in the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pytest_fcpivot.agents.openai.base import OpenAIAgent
from pytest_fcpivot.agents.openai.connection import CHAT_COMPLETIONS
from pytest_fcpivot.agents.openai.tools import Offer
from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.chat import chat_tools, content_text
from pytest_fcpivot.core.dialects import Tools, is_endless, read_calls
from pytest_fcpivot.core.dialects.hermes import NAME as HERMES
from pytest_fcpivot.core.dialects.writing import render_chat

if TYPE_CHECKING:
    from pytest_fcpivot.agents.openai.tool_names import ToolNames
    from pytest_fcpivot.core.model import PivotView

_MAX_CALL_ID_LENGTH = 40
# The finish reasons by which servers with this API report that an answer reached its token limit.
_CUT_OFF = ("length", "max_tokens", "model_length")
_FIELDS = frozenset(
    ("temperature", "top_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "seed", "stream")
)


class ChatAgent(OpenAIAgent):
    """Ask through the Chat Completions API; a call returns a chat completion as a dict."""

    name: ClassVar[str] = "openai-chat"
    path: ClassVar[str] = CHAT_COMPLETIONS
    conversation: ClassVar[str] = "messages"
    fields: ClassVar[frozenset[str]] = _FIELDS | {"tools", "tool_choice", "parallel_tool_calls"}

    def _request(self, pivot: PivotView, offer: Offer) -> dict[str, Any]:
        choice: Any = offer.choice
        if isinstance(choice, dict):
            named = choice["type"] == "function"  # other kinds of choice have no form in this API
            choice = {"type": "function", "function": {"name": choice["name"]}} if named else None
        request = {
            **self._sampling(pivot),
            "messages": _messages(pivot.messages, offer.names),
            "tools": chat_tools(offer.tools) or None,
            "tool_choice": choice,
            "parallel_tool_calls": offer.parallel,
        }
        return {key: value for key, value in request.items() if value is not None}

    def _sampling(self, pivot: PivotView) -> dict[str, Any]:
        settings = self.settings
        # OpenAI's newer models refuse the old name, and other servers know only the old one.
        limit = "max_completion_tokens" if self._endpoint.is_openai else "max_tokens"
        return {
            "model": settings.model,
            "stream": False,  # some servers and gateways stream unless they are told not to
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            limit: settings.max_output_tokens,
            "reasoning_effort": settings.reasoning_effort,
            "seed": None if settings.seed is None else settings.seed + pivot.repeat - 1,
        }

    def _read(self, answer: dict[str, Any], offer: Offer) -> None:
        message = self._message(answer)
        content = message.get("content")
        if not message.get("tool_calls") and _is_cut_off(answer) and is_endless(content_text(content)):
            # There is no answer: the token limit was reached during the reasoning.
            message["raw_content"], message["content"] = content, None
        for choice in answer["choices"] if offer.names else ():
            _name_as_own(choice, offer.names)

    def _message(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the answer's message; raises TransientAgentError if there is none."""
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise self._empty("no choices", answer)
        message = choices[0].get("message") if isinstance(choices[0], dict) else None
        if not isinstance(message, dict):
            raise self._empty("no message in its first choice", answer)
        return message


class PromptAgent(ChatAgent):
    """Ask through the Chat Completions API with the tools described in the prompt and calls read from the text.

    The first choice's message gets `tool_calls`, and `content` with the remaining text; `raw_content` is the original
    text. If the text attempts a call whose function cannot be identified, the answer is marked as malformed.
    """

    name: ClassVar[str] = "openai-prompt"
    fields: ClassVar[frozenset[str]] = _FIELDS

    def _offer(self, pivot: PivotView) -> Offer:
        return Offer.of(pivot, self.settings, map_names=False)  # a prompt can hold any name

    def _request(self, pivot: PivotView, offer: Offer) -> dict[str, Any]:
        messages = render_chat(pivot.messages, offer.tools, HERMES, choice=offer.choice, parallel=offer.parallel)
        request = {**self._sampling(pivot), "messages": messages}
        return {key: value for key, value in request.items() if value is not None}

    def _read(self, answer: dict[str, Any], offer: Offer) -> None:
        message = self._message(answer)
        content = message["raw_content"] = message.get("content")
        if message.get("tool_calls") or content is None:
            return  # the server read the calls itself, or there is nothing to read
        text = content_text(content)
        reading = read_calls(text, Tools(offer.tools))
        if reading.unanswered:
            message["content"] = None  # there is no answer: the token limit was reached during the reasoning
            return
        if reading.malformed:
            answer.update({"type": MALFORMED_OUTPUT, "text": text})  # beside what the server sent, such as the usage
            return
        # An empty answer is an empty message, as with tools.
        message["content"] = reading.text if reading.text or reading.calls else ""
        message["tool_calls"] = [
            {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(reading.calls)
        ]


def _is_cut_off(answer: dict[str, Any]) -> bool:
    return answer["choices"][0].get("finish_reason") in _CUT_OFF


def _name_as_own(choice: Any, names: ToolNames) -> None:
    """Restore the pivot's own tool names in the calls of a choice, in place."""
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else [calls]  # some servers send a single call without a list
    functions = [call.get("function") or call for call in calls if isinstance(call, dict)]
    for function in (*functions, message.get("function_call")):  # the last is the old form
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            function["name"] = names.own(function["name"])


def _messages(messages: list[dict[str, Any]], names: ToolNames) -> list[dict[str, Any]]:
    """Return a copy of the messages in which all names and ids of calls are ones that servers allow."""
    short = _short_ids(messages)
    if not names and not short:
        return messages
    changed = []
    for message in messages:
        if "tool_calls" in message:
            calls = [
                {
                    **call,
                    "id": short.get(call["id"], call["id"]),
                    "function": {**call["function"], "name": names.sent(str(call["function"]["name"]))},
                }
                for call in message["tool_calls"]
            ]
            changed.append({**message, "tool_calls": calls})
        elif "tool_call_id" in message:
            call_id = message["tool_call_id"]
            changed.append({**message, "tool_call_id": short.get(call_id, call_id)})
        else:
            changed.append(message)
    return changed


def _short_ids(messages: list[dict[str, Any]]) -> dict[str, str]:
    """Return a short id for each call id that is longer than OpenAI allows; some servers generate such ids."""
    ids = dict.fromkeys(call["id"] for message in messages for call in message.get("tool_calls", ()))
    short: dict[str, str] = {}
    for long in (known for known in ids if len(known) > _MAX_CALL_ID_LENGTH):
        count = len(short)
        while f"call_{count}" in ids or f"call_{count}" in short.values():
            count += 1
        short[long] = f"call_{count}"
    return short
