"""The accepted shapes of an agent's output: one module for each SDK or API, and one table of all shapes.

Dicts and SDK objects are read alike, by their fields, without importing any SDK. An object with a `type` is read as
that type, one with a `role` as a message; only an object with neither is recognised by its other fields. An object that
matches no shape raises ActionError; nothing is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.model import Action, FunctionCall, Message
from pytest_fcpivot.core.shapes import ai_sdk, anthropic, bedrock, gemini, langchain, ollama, openai, pydantic_ai
from pytest_fcpivot.core.shapes.reading import (
    MISSING,
    Reading,
    Shape,
    combined,
    function_call,
    get,
    is_list,
    nothing,
    shown_type,
    text_part,
)
from pytest_fcpivot.core.shapes.unknown import ACCEPTED_SHAPES, not_understood

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.shapes.reading import Read, Reader

__all__ = ["ACCEPTED_SHAPES", "MALFORMED_OUTPUT", "Reading", "read_output"]

# The `type` of the dict that represents an output which the model's server could not parse; `text` is the raw output.
MALFORMED_OUTPUT = "malformed_output"


def _read_malformed(thing: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    text = get(thing, "text")
    if not isinstance(text, str):
        raise ActionError(f"a {MALFORMED_OUTPUT} needs its text, a string; got {shown_type(text)}")
    return Reading(malformed=text, cut_off=openai.is_cut_off_completion(thing), answer=thing)


def _read_plain_call(call: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    return Reading([function_call(get(call, "name"), get(call, "arguments"))], answer=call)


# Readers by `type`. The first entries are shared by several SDKs.
_BY_TYPE: Mapping[str, Reader] = {
    "text": text_part,
    **dict.fromkeys(("image", "audio", "video", "file", "text-plain"), nothing),
    MALFORMED_OUTPUT: _read_malformed,
    **openai.TYPES,
    **anthropic.TYPES,
    **langchain.TYPES,
    **ai_sdk.TYPES,
}
# Shapes that are recognised by their fields, tried in this order: the ones with the most distinctive fields come first.
_BY_FIELDS: tuple[Shape, ...] = (
    Shape(lambda thing: get(thing, "name") is not MISSING and get(thing, "arguments") is not MISSING, _read_plain_call),
    openai.COMPLETION,
    bedrock.CONVERSE,
    pydantic_ai.RUN,
    openai.RESPONSE,
    pydantic_ai.PART,
    pydantic_ai.MESSAGE,
    pydantic_ai.DEFERRED,
    gemini.RESPONSE,
    gemini.CONTENT,
    gemini.CANDIDATE,
    gemini.PART,
    ollama.RESPONSE,
    openai.CHOICE,
    ai_sdk.RESULT,
    bedrock.BLOCK,
    langchain.STATE,
    openai.CALLS_ONLY,
)
_SCALARS = (str, bytes, bytearray, bool, int, float, type)


def read_output(output: Any) -> Reading:
    """Read whatever an agent returned; raises ActionError, which describes the output, if no shape matches."""
    try:
        return _read_whole(output)
    except RecursionError as error:
        raise ActionError(f"a {type(output).__name__} that is nested too deep to be read") from error


def _read_whole(output: Any) -> Reading:
    if type(output) is list:  # first, because training loops usually return a list
        return _read_list(output)
    if output is None:
        return Reading()
    if isinstance(output, str):
        return Reading(text=output, answer=output)
    if isinstance(output, Action):
        return Reading(list(output.calls), output.message, output.malformed, answer=output)
    return _read(output)


def _read(thing: Any) -> Reading:
    if type(thing) is not dict:
        if isinstance(thing, FunctionCall):
            return Reading([thing], answer=thing)
        if isinstance(thing, Message):
            return Reading(text=thing.content, answer=thing)
        if is_list(thing) and not hasattr(thing, "_fields"):
            return _read_list(thing)
        if thing is None or isinstance(thing, _SCALARS):
            raise not_understood(thing)
    kind = get(thing, "type")
    if isinstance(kind, str):
        reader = _BY_TYPE.get(kind)
        if reader is None:
            raise not_understood(thing)
        return reader(thing, _read)
    role = get(thing, "role")
    if role == gemini.ROLE:
        return gemini.read_content(thing, _read)
    if role is not MISSING and role is not None:
        return openai.read_message(thing, _read)
    for shape in _BY_FIELDS:
        if shape.fits(thing):
            return shape.read(thing, _read)
    raise not_understood(thing)


def _read_list(items: Any) -> Reading:
    """Read a list of Responses output items, of calls, or of the parts of a message: all calls, else the text."""
    readings = []
    for place, item in enumerate(items, 1):
        if is_list(item) and not hasattr(item, "_fields"):
            raise ActionError(
                f"item {place} of {len(items)} in a list is a {type(item).__name__}; return one flat list"
            )
        try:
            readings.append(_read(item))
        except ActionError as error:
            raise ActionError(f"item {place} of {len(items)} in a list: {error}") from error
    if len(readings) == 1:
        readings[0].answer = items
        return readings[0]
    return combined(readings, items)
