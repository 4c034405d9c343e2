"""Ollama's own API: a chat response, with arguments as an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.shapes.openai import read_message
from pytest_fcpivot.core.shapes.reading import MISSING, Shape, get, is_cut_off
from pytest_fcpivot.core.shapes.unknown import refuse_error

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes.reading import Read, Reading


def _read_response(response: Any, read: Read) -> Reading:
    refuse_error(response)
    if get(response, "done") is False:
        raise ActionError("a chunk of a stream from Ollama (done is false); return the whole answer")
    reading = read_message(get(response, "message"), read)
    reading.text = reading.text or None  # Ollama always sends content, and "" if there is no text
    reading.cut_off, reading.answer = is_cut_off(get(response, "done_reason")), response
    return reading


def _is_response(thing: Any) -> bool:
    return isinstance(get(thing, "done"), bool) and get(get(thing, "message"), "role") is not MISSING


RESPONSE = Shape(_is_response, _read_response)
