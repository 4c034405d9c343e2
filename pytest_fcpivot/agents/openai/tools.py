"""Prepares a pivot's tools in a form that servers accept, and the choice of tools that the model may or must call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.agents.openai.tool_names import ToolNames
from pytest_fcpivot.core.actions import SUBMIT_MESSAGE
from pytest_fcpivot.core.chat import offered_tools, tool_choice
from pytest_fcpivot.core.errors import AgentError

if TYPE_CHECKING:
    from pytest_fcpivot.agents.openai.settings import OpenAISettings
    from pytest_fcpivot.core.model import PivotView

_MESSAGE_TOOL = {
    "name": SUBMIT_MESSAGE,
    "description": "Send a message to the user",
    "parameters": {
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
        "additionalProperties": False,
    },
}
# The keywords of JSON Schema that OpenAI's strict mode supports. A tool that uses any other is refused.
# fmt: off
_STRICT_KEYWORDS = frozenset((
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "definitions", "description", "enum",
    "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems", "minimum",
    "multipleOf", "pattern", "properties", "required", "title", "type",
))
# fmt: on
_STRICT_FORMATS = frozenset(("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"))
_STRICT_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Offer:
    """The fields of a request that concern tools, in the form of the Responses API, with the names that are sent.

    `choice` is a mode or an object of the Responses API; `choice` and `parallel` are None if nothing is to be sent.
    """

    tools: list[dict[str, Any]]
    names: ToolNames
    choice: str | dict[str, Any] | None
    parallel: bool | None

    @classmethod
    def of(cls, pivot: PivotView, settings: OpenAISettings, *, map_names: bool = True) -> Offer:
        """Make the offer for a pivot; raises AgentError if the settings force a tool that the pivot does not have."""
        tools = _cleaned(pivot.tools)
        own = [tool["name"] for tool in tools]
        must_call = settings.message_tool and SUBMIT_MESSAGE not in own
        if must_call:
            tools.append(dict(_MESSAGE_TOOL))
            own.append(SUBMIT_MESSAGE)
        names = ToolNames([*own, *_called(pivot)] if map_names else ())
        if not tools:
            return cls([], names, None, None)  # servers refuse an empty list of tools, and a choice without tools
        params = pivot.params
        parallel = settings.parallel_tool_calls
        if parallel is None and isinstance(params.get("parallel_tool_calls"), bool):
            parallel = params["parallel_tool_calls"]
        choice = tool_choice(settings.tool_choice or ("required" if must_call else params.get("tool_choice")))
        if isinstance(choice, dict) and choice["type"] == "function":
            if choice["name"] in own:
                choice["name"] = names.sent(choice["name"])
            elif settings.tool_choice is None:
                choice = None  # a fault of the data, which servers would refuse
            else:
                raise AgentError(
                    f"pivot {pivot.id} has no tool {choice['name']!r} to force (tool choice); it has {_shortly(own)}. "
                    "Choose auto, none or required, or select pivots that have the tool"
                )
        if names:
            tools = [{**tool, "name": names.sent(tool["name"])} for tool in tools]
        return cls(tools, names, choice, parallel)


def _called(pivot: PivotView) -> list[str]:
    """Return the names of the calls in the conversation, whose tools may no longer be on offer."""
    return [str(item.get("name", "")) for item in pivot.input if item.get("type") == "function_call"]


def _shortly(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")  # noqa: PLR2004 (enough to see the difference)


def _cleaned(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools that can be offered, with `strict` only where the schema is."""
    cleaned = offered_tools(tools)
    for tool in cleaned:
        if "strict" in tool:
            # Some data set `strict` for schemas that are not, and servers refuse a request with one such tool.
            tool["strict"] = tool["strict"] is True and is_strict(tool["parameters"])
    return cleaned


def is_strict(schema: Any, depth: int = 0) -> bool:
    """Return whether strict mode accepts a schema: supported keywords, and closed objects that require all members."""
    if not isinstance(schema, dict) or depth > 2 * _STRICT_DEPTH or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    properties = schema.get("properties", {})
    if "object" in kinds or "properties" in schema:
        required = schema.get("required", [])
        if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
            return False
        if not isinstance(required, list) or sorted(map(str, required)) != sorted(properties):
            return False
    if "array" in kinds and "items" not in schema:
        return False
    if kind is None and schema.keys().isdisjoint(("$ref", "anyOf", "enum", "const")):
        return False
    if str(schema.get("format", "date")) not in _STRICT_FORMATS:
        return False
    parts = list(properties.values())
    for key in ("$defs", "definitions"):
        parts += schema[key].values() if isinstance(schema.get(key), dict) else [None] * (key in schema)
    parts += [schema["items"]] if "items" in schema else []
    parts += schema["anyOf"] if isinstance(schema.get("anyOf"), list) else [None] * ("anyOf" in schema)
    return all(is_strict(part, depth + 1) for part in parts)
