"""Amazon Bedrock's Converse API: its answer, and content blocks, which are recognised by their only key.

The message inside has the role `assistant`; `openai.read_message` reads it, as for every SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.shapes.openai import read_message, tool_result
from pytest_fcpivot.core.shapes.reading import MISSING, Reading, Shape, first, get, is_cut_off, is_list, served_call
from pytest_fcpivot.core.shapes.unknown import not_understood

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes.reading import Read

_BESIDE_INPUT = frozenset(("toolUseId", "type"))
_PASSED_OVER = frozenset(("reasoningContent", "guardContent", "cachePoint", "image", "document", "video", "audio"))
_KEYS = _PASSED_OVER | {"text", "toolUse", "toolResult", "citationsContent"}
_MALFORMED = ("malformed_tool_use", "malformed_model_output")


def _read_block(block: Any, read: Read) -> Reading:
    (key,) = block
    inside = block[key]
    if key == "toolUse":
        if get(inside, "type") == "server_tool_use":
            return Reading(answer=block)
        return Reading([served_call(inside, "name", "input", _BESIDE_INPUT)], answer=block)
    if key == "toolResult":
        return tool_result(block, read)
    if key == "text":
        return Reading(text=inside, is_part=True, answer=block)
    if key == "citationsContent":
        return Reading(text=_cited(inside), is_part=True, answer=block)
    return Reading(answer=block)


def _cited(inside: Any) -> str | None:
    pieces = [get(piece, "text") for piece in get(inside, "content")] if is_list(get(inside, "content")) else []
    return "".join(piece for piece in pieces if isinstance(piece, str)) if pieces else None


def _is_block(thing: Any) -> bool:
    if not isinstance(thing, Mapping) or len(thing) != 1:
        return False
    (key,) = thing
    return key in _KEYS and isinstance(thing[key], str if key == "text" else Mapping)


def _read_converse(answer: Any, read: Read) -> Reading:
    message = get(get(answer, "output"), "message")
    if message is None:
        raise not_understood(answer)
    reading = read_message(message, read)
    reason = get(answer, "stopReason")
    reading.cut_off, reading.answer = is_cut_off(reason), answer
    if reason in _MALFORMED and not reading.calls and reading.text is None:
        reading.malformed = ""
    return reading


CONVERSE = Shape(lambda thing: first(get(thing, "output"), "message") is not MISSING, _read_converse)
BLOCK = Shape(_is_block, _read_block)
