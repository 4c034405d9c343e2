"""Describes tools in the prompt and writes earlier calls as text, for servers without support for tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.dialects.hermes import CLOSE, OPEN

if TYPE_CHECKING:
    from pytest_fcpivot.agents.openai.tools import Offer

_INSTRUCTIONS = """\
You can call tools. Each line below describes one of them, its parameters as a JSON Schema:
<tools>
{tools}
</tools>
To call a tool, answer with one block of this form for each call, on lines of its own:
<tool_call>
{{"name": "the tool's name", "arguments": {{"a parameter": "its value"}}}}
</tool_call>
{duty} Results come back in <tool_response> blocks, in the order of the calls."""


def prompt_messages(messages: list[dict[str, Any]], offer: Offer) -> list[dict[str, Any]]:
    """Return a chat in which tools are described in the system message, and calls and results are written as text.

    The results of parallel calls become one message.
    """
    chat: list[dict[str, Any]] = []
    described = _describe(offer)
    if described and (not messages or messages[0]["role"] != "system"):
        chat.append({"role": "system", "content": described})
    after = ""  # the role of the previous message
    for message in messages:
        role, text = message["role"], str(message.get("content") or "")
        if role == "assistant":
            calls = (call["function"] for call in message.get("tool_calls", ()))
            blocks = [render_call(call["name"], call["arguments"]) for call in calls]
            text = "\n".join([*([text] if text else []), *blocks])
        elif role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        elif role == "system" and not chat and described:
            text = f"{text}\n\n{described}" if text else described
        if message["role"] == after == "tool":
            chat[-1]["content"] += f"\n{text}"
        else:
            chat.append({"role": role, "content": text})
        after = message["role"]
    return chat


def render_call(name: str, arguments: Any) -> str:
    """Write a call in the form that the prompt asks the model for; arguments that are not JSON text are encoded."""
    try:
        value = json.loads(arguments if isinstance(arguments, str) else "")
    except (ValueError, RecursionError):
        value = ""
    if isinstance(value, str):  # a JSON string would be read as the text in it
        arguments = json.dumps(arguments, ensure_ascii=False)
    return f'{OPEN}\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {arguments}}}\n{CLOSE}'


def _describe(offer: Offer) -> str:
    if not offer.tools or offer.choice == "none":
        return ""
    keys = ("name", "description", "parameters")
    tools = ({key: tool[key] for key in keys if key in tool} for tool in offer.tools)
    duty = "If no tool is needed, answer the user in plain text, without such a block."
    if offer.choice == "required":
        duty = "You must call at least one tool."
    elif isinstance(offer.choice, dict) and offer.choice["type"] == "function":
        duty = f"You must call the tool {json.dumps(offer.choice['name'], ensure_ascii=False)}."
    if offer.parallel is False:
        duty += " Call at most one tool in an answer."
    return _INSTRUCTIONS.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools), duty=duty)
