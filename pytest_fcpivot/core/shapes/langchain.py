"""LangChain and LangGraph: messages as objects, as dumped dicts or in LangChain's serialized form, and graph states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.shapes.openai import read_content, read_message
from pytest_fcpivot.core.shapes.reading import (
    MISSING,
    Reading,
    Shape,
    first,
    get,
    is_cut_off,
    is_list,
    nothing,
    served_call,
)
from pytest_fcpivot.core.shapes.unknown import not_understood, refuse_error, refused, wrong_role

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import FunctionCall
    from pytest_fcpivot.core.shapes.reading import Read

_BESIDE_ARGS = frozenset(("id", "type", "index", "error", "extras"))


def _call(call: Any) -> FunctionCall:
    """Read a tool call; the `args` of an invalid one are the model's raw text."""
    key = "arguments" if get(call, "args") is MISSING and get(call, "arguments") is not MISSING else "args"
    return served_call(call, "name", key, _BESIDE_ARGS)


def _read_call(call: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    return Reading([_call(call)], answer=call)


def _read_ai_message(message: Any, read: Read) -> Reading:
    data = get(message, "data")
    if isinstance(data, Mapping):  # as messages_to_dict writes it
        message = data
    metadata = get(message, "response_metadata")
    refuse_error(metadata)
    reason = first(metadata, "finish_reason", "stop_reason", "stopReason", "done_reason")
    reading = Reading(answer=message, cut_off=is_cut_off(reason) or get(metadata, "status") == "incomplete")
    reading.calls = _calls(message, read)
    if reading.calls:
        return reading
    content = get(message, "content")
    if isinstance(content, str):
        reading.text = content or None  # LangChain uses "" for an answer without text
    elif is_list(content):
        inside = read_content(content, read)
        reading.calls, reading.text = inside.calls, inside.text
    else:
        raise not_understood(message)
    return reading


def _calls(message: Any, read: Read) -> list[FunctionCall]:
    """Read the calls in the model's order.

    In a message assembled from chunks, only the chunks hold the raw text of the arguments. LangChain keeps calls that
    it could not decode in a separate list; both lists are merged in the order of the server's raw calls if these are
    present.
    """
    chunks = get(message, "tool_call_chunks")
    if is_list(chunks) and chunks:
        return [_call(chunk) for chunk in chunks]
    found = [call for key in ("tool_calls", "invalid_tool_calls") for call in _listed(message, key)]
    raw = get(message, "additional_kwargs")
    if not found:
        return [] if raw is MISSING else read_message({"content": None, **_raw_calls(raw)}, read).calls
    places = {get(call, "id"): place for place, call in enumerate(_listed(raw, "tool_calls"))}
    if all(get(call, "id") in places for call in found):
        found.sort(key=lambda call: places[get(call, "id")])
    return [_call(call) for call in found]


def _listed(thing: Any, key: str) -> list[Any]:
    value = get(thing, key)
    return list(value) if is_list(value) else []


def _raw_calls(raw: Any) -> dict[str, Any]:
    return {key: get(raw, key) for key in ("tool_calls", "function_call") if get(raw, key) not in (MISSING, None)}


def _read_serialized(message: Any, read: Read) -> Reading:
    path, fields = get(message, "id"), get(message, "kwargs")
    if (
        not is_list(path)
        or not path
        or path[-1] not in ("AIMessage", "AIMessageChunk")
        or not isinstance(fields, Mapping)
    ):
        raise not_understood(message)
    reading = _read_ai_message(fields, read)
    reading.answer = message
    return reading


def _read_state(state: Any, read: Read) -> Reading:
    """Read the last message of a graph's state, which must be the model's."""
    messages = get(state, "messages")
    if not messages:
        raise ActionError("the graph's state has no messages; there is no answer to grade")
    try:
        return read(messages[-1])
    except ActionError as error:
        raise ActionError(f"the last message of a graph's state: {error}") from error


def _read_other(message: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    raise wrong_role(str(get(message, "type")).removesuffix("MessageChunk").lower())


TYPES = {
    "ai": _read_ai_message,
    "AIMessageChunk": _read_ai_message,
    "constructor": _read_serialized,
    "tool_call": _read_call,
    "invalid_tool_call": _read_call,
    "tool_call_chunk": refused("is a piece of a stream; add up the chunks and return the whole message"),
    **dict.fromkeys(("server_tool_call", "server_tool_call_chunk", "server_tool_result"), nothing),
    **dict.fromkeys(("human", "system", "tool", "developer"), _read_other),
    **dict.fromkeys(("HumanMessageChunk", "SystemMessageChunk", "ToolMessageChunk"), _read_other),
}
STATE = Shape(lambda thing: is_list(get(thing, "messages")), _read_state)
