"""Vercel's AI SDK, whose output is JSON from a JavaScript process: a result, and the parts of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.shapes.openai import tool_result
from pytest_fcpivot.core.shapes.reading import (
    MISSING,
    Reading,
    Shape,
    combined,
    get,
    is_cut_off,
    is_list,
    nothing,
    served_call,
)
from pytest_fcpivot.core.shapes.unknown import refuse_error, refuse_unread

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes.reading import Read

_BESIDE_INPUT = frozenset(
    (
        *("type", "toolCallId", "dynamic", "invalid", "error", "title", "providerExecuted", "providerMetadata"),
        *("providerOptions", "experimental_providerMetadata"),
    )
)


def _read_call(part: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    if get(part, "providerExecuted") is True:
        return Reading(answer=part)
    key = "args" if get(part, "input") is MISSING and get(part, "args") is not MISSING else "input"
    return Reading([served_call(part, "toolName", key, _BESIDE_INPUT)], answer=part)


def _read_tool_result(part: Any, read: Read) -> Reading:
    return Reading(answer=part) if get(part, "providerExecuted") is True else tool_result(part, read)


def _read_result(result: Any, read: Read) -> Reading:
    refuse_error(result)
    steps = get(result, "steps")
    if is_list(steps) and len(steps) > 1:
        raise ActionError(
            f"a result of the AI SDK with {len(steps)} steps: at a pivot the first is the action; offer the tools "
            "without `execute`, or return the first step"
        )
    content, text = get(result, "content"), get(result, "text")
    reading = (
        combined([_read_bare_call(call, read) for call in get(result, "toolCalls") or ()], result)
        if is_list(get(result, "toolCalls"))
        else Reading()
    )
    if not reading.calls and is_list(content) and content:
        reading = combined(map(read, content), result)
    elif not reading.calls:
        reading.text = text if isinstance(text, str) and text else None
    if not reading.calls and not reading.text:
        refuse_unread(result, "toolCalls", "text")
    reading.cut_off, reading.answer, reading.is_part = is_cut_off(get(result, "finishReason")), result, False
    return reading


def _read_bare_call(call: Any, read: Read) -> Reading:
    """Read an element of `toolCalls`; older versions of the SDK give it no type."""
    return _read_call(call, read) if get(call, "toolName") is not MISSING else read(call)


def _is_result(thing: Any) -> bool:
    if is_list(get(thing, "toolCalls")):
        return True
    has_answer = isinstance(get(thing, "text"), str) or is_list(get(thing, "content"))
    return has_answer and isinstance(get(thing, "finishReason"), str)


TYPES = {
    "tool-call": _read_call,
    "tool-result": _read_tool_result,
    "tool-error": _read_tool_result,
    **dict.fromkeys(("source", "tool-approval-request", "step-start"), nothing),
}
RESULT = Shape(_is_result, _read_result)
