"""A pivot's conversation as messages with roles, for clients that ask for those in place of a transcript.

They are those of `PivotView.messages`, which an agent in pytest gets, in blocks: a call is a block of the assistant's
message, and a result one of a user's message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import decoded, shown
from pytest_fcpivot.serve.problems import RequestProblem
from pytest_fcpivot.serve.prompt import functions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.model import PivotView
    from pytest_fcpivot.serve.tools import Mode

_ROLES = frozenset({"system", "user", "assistant"})


def messages(mode: Mode, view: PivotView) -> list[dict[str, Any]]:
    """Return the conversation as messages; with generic tools, the system's message begins with the functions.

    Raises RequestProblem with status 404, upon which clients ask for the prompt, for what blocks cannot hold.
    """
    found: list[dict[str, Any]] = []
    for message in view.messages:
        role = "user" if message["role"] == "tool" else message["role"]
        if role not in _ROLES:
            raise _no_messages(f"the role {shown(role)} of a message")
        blocks = list(_blocks(message))
        if message["role"] == "tool" and found and found[-1]["blocks"][0]["type"] == "tool_result":
            found[-1]["blocks"] += blocks
        else:
            found.append({"role": role, "blocks": blocks, "detail": None})
    if mode == "generic":
        listed = functions(view.tools)
        if found and found[0]["role"] == "system":
            found[0]["blocks"][0]["text"] = f"{listed}\n\n{found[0]['blocks'][0]['text']}"
        else:
            found.insert(0, {"role": "system", "blocks": [_text(listed)], "detail": None})
    return found


def _blocks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = message["content"]
    if message["role"] == "tool":
        own = message["tool_call_id"]
        yield {
            "type": "tool_result",
            "tool_call_id": own,
            "blocks": [_text(content)],
            "is_error": False,
            "detail": None,
        }
        return
    if content is not None:
        yield _text(content)
    for call in message.get("tool_calls", ()):
        function = call["function"]
        try:
            given = decoded(function["arguments"])
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise _no_messages(f"a call of {shown(function['name'])} whose arguments are not a JSON object")
        yield {"type": "tool_call", "id": call["id"], "name": function["name"], "input": given, "detail": None}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "detail": None}


def _no_messages(what: str) -> RequestProblem:
    return RequestProblem(404, "no_messages", f"this conversation has {what}, which messages cannot hold: use /prompt")
