"""The tools of a task as ORS lists them: the pivot's own and `submit_message`, or two tools that fit every task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.actions import SUBMIT_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

Mode = Literal["per-task", "generic"]
CALL_FUNCTION = "call_function"
MESSAGE, NAME, ARGUMENTS = "message", "name", "arguments"

_SUBMIT = {
    "name": SUBMIT_MESSAGE,
    "description": "Answer the user with a message.",
    "input_schema": {
        "type": "object",
        "properties": {MESSAGE: {"type": "string", "description": "The text of the message."}},
        "required": [MESSAGE],
        "additionalProperties": False,
    },
}
_CALL = {
    "name": CALL_FUNCTION,
    "description": "Call one of the functions that the prompt lists.",
    "input_schema": {
        "type": "object",
        "properties": {
            NAME: {"type": "string", "description": "The function's name."},
            ARGUMENTS: {"type": "object", "description": "The function's arguments, as its parameters ask for."},
        },
        "required": [NAME, ARGUMENTS],
        "additionalProperties": False,
    },
}


def shared_tools(mode: Mode) -> list[dict[str, Any]]:
    """Return the tools that all tasks have."""
    return [_SUBMIT] if mode == "per-task" else [_CALL, _SUBMIT]


def task_tools(mode: Mode, tools: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools of a task, given the pivot's own; one that is named `submit_message` hides the shared one."""
    if mode == "generic":
        return shared_tools(mode)
    own = [_listed(tool) for tool in tools if isinstance(tool.get("name"), str)]
    return own if any(tool["name"] == SUBMIT_MESSAGE for tool in own) else [*own, *shared_tools(mode)]


def tools_reply(listed: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the reply that lists tools.

    It also names the tool for a text that is no call, for clients that know of one: they submit such a text by it.
    """
    terminal = next((tool for tool in listed if tool is _SUBMIT), None)
    if terminal is not None:
        terminal = {"name": SUBMIT_MESSAGE, "arg": MESSAGE, "description": terminal["description"]}
    return {"tools": listed, "terminal_tool": terminal}


def _listed(tool: dict[str, Any]) -> dict[str, Any]:
    description, parameters = tool.get("description"), tool.get("parameters")
    return {
        "name": tool["name"],
        "description": description if isinstance(description, str) else "",
        "input_schema": parameters if isinstance(parameters, dict) else None,
    }
