"""Google's Gemini: a response, candidate, content or part of google-genai, with field names in snake or camel case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.shapes.openai import the_one, tool_result
from pytest_fcpivot.core.shapes.reading import (
    MISSING,
    Reading,
    Shape,
    combined,
    field_names,
    first,
    get,
    is_cut_off,
    is_list,
    served_call,
)
from pytest_fcpivot.core.shapes.unknown import not_understood, refuse_unread, wrong_role

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes.reading import Read

_BESIDE_ARGS = frozenset(("id",))
_PASSED_OVER = frozenset(
    (
        *("thought", "thought_signature", "inline_data", "file_data", "executable_code", "code_execution_result"),
        *("tool_call", "tool_response", "video_metadata", "part_metadata", "media_resolution"),
    )
)
# The finish reasons for output that the API could not parse.
_MALFORMED = ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE")


def _read_part(part: Any, read: Read) -> Reading:
    if isinstance(part, str):
        return Reading(text=part, is_part=True, answer=part)
    if part is None or is_list(part) or isinstance(part, bytes | int | float):
        raise not_understood(part)
    call = first(part, "function_call", "functionCall")
    if call is not MISSING:
        if first(call, "will_continue", "willContinue") is True:
            raise ActionError("a Gemini function call that is still being streamed; return the whole answer")
        return Reading([served_call(call, "name", "args", _BESIDE_ARGS)], answer=part)
    if first(part, "function_response", "functionResponse") is not MISSING:
        return tool_result(part, read)
    text = get(part, "text")
    if isinstance(text, str):
        return Reading(answer=part) if get(part, "thought") is True else Reading(text=text, is_part=True, answer=part)
    if not {_snake(name) for name in field_names(part)} <= _PASSED_OVER:
        raise not_understood(part)
    return Reading(answer=part)


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _read_content(content: Any, read: Read) -> Reading:
    role = get(content, "role")
    if role is not MISSING and role is not None and role != "model":
        raise wrong_role(role)
    parts = get(content, "parts")
    if (parts is MISSING or parts is None) and set(field_names(content)) <= {"role"} and not isinstance(content, str):
        parts = ()
    if not is_list(parts):
        raise not_understood(content)
    reading = combined([_read_part(part, read) for part in parts], content)
    reading.is_part = False
    return reading


def _read_candidate(candidate: Any, read: Read) -> Reading:
    content = get(candidate, "content")
    if candidate is None or is_list(candidate) or isinstance(candidate, str | bytes | int | float):
        raise not_understood({"candidates": [candidate]})
    reading = Reading() if content is MISSING or content is None else _read_content(content, read)
    if not reading.calls and not reading.text:
        refuse_unread(candidate, "content")
    reason = first(candidate, "finish_reason", "finishReason")
    reading.cut_off, reading.answer = is_cut_off(reason), candidate
    if getattr(reason, "value", reason) in _MALFORMED and not reading.calls and reading.text is None:
        message = first(candidate, "finish_message", "finishMessage")
        reading.malformed = message if isinstance(message, str) else ""
    return reading


def _read_response(response: Any, read: Read) -> Reading:
    candidates = get(response, "candidates")
    if is_list(candidates) and candidates:
        reading = the_one([_read_candidate(candidate, read) for candidate in candidates], "candidates")
    elif first(response, "prompt_feedback", "promptFeedback") is not MISSING:
        reading = Reading()  # the request was refused
    else:
        raise ActionError("the agent returned a Gemini response with no candidates; there is no answer to grade")
    reading.answer = response
    return reading


def _is_response(thing: Any) -> bool:
    if is_list(get(thing, "candidates")):
        return True
    return first(thing, "prompt_feedback", "promptFeedback") is not MISSING


def _is_candidate(thing: Any) -> bool:
    if is_list(get(get(thing, "content"), "parts")):
        return True
    # a candidate without content is recognised by its finish reason and message
    return get(thing, "finish_message") is not MISSING and get(thing, "finish_reason") is not MISSING


def _is_part(thing: Any) -> bool:
    if get(first(thing, "function_call", "functionCall"), "arguments") is not MISSING:
        return False  # OpenAI's old form
    keys = ("functionCall", "functionResponse", "function_response", "thought", "thought_signature", "thoughtSignature")
    return isinstance(get(first(thing, "function_call", "functionCall"), "name"), str) or any(
        get(thing, key) is not MISSING for key in keys
    )


ROLE = "model"
read_content = _read_content
RESPONSE = Shape(_is_response, _read_response)
CONTENT = Shape(lambda thing: is_list(get(thing, "parts")), _read_content)
CANDIDATE = Shape(_is_candidate, _read_candidate)
PART = Shape(_is_part, _read_part)
