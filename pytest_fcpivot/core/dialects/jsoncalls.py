"""Calls written as JSON objects; most dialects wrap these in marks of their own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fcpivot.core.dialects.attempts import Call

_NAME_KEYS = ("name", "function", "tool")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_NAME = rf"[\"'](?:{'|'.join(_NAME_KEYS)})[\"']\s*:\s*[\"']([^\"'\n]+)[\"']"
_NAME_ANYWHERE = re.compile(_NAME)
_NAME_FIRST = re.compile(rf"\s*\[?\s*\{{\s*(?:[\"']type[\"']\s*:\s*[\"']function[\"']\s*,\s*)?{_NAME}")
_DECODER = json.JSONDecoder()
_RANGE, _LONGEST_TOKEN = 4096, 16
# How JSON's containers begin. This rules out other text without the decoder, whose errors count all lines before them.
_CONTAINER = re.compile(r"\{\s*[\"}]|\[\s*[\[{\"\]\d\-tfnNI]")
_SPACE = re.compile(r"\s*")


def values(text: str, at: int) -> tuple[list[Any], int, bool]:
    """Decode consecutive JSON objects and arrays from a position on.

    Returns them, the end of the last one, and whether the text ends there too. Decoding stops at the first fault; the
    caller must check the text that follows.
    """
    found: list[Any] = []
    while True:
        start = after_space(text, at)
        if not _CONTAINER.match(text, start):
            return found, at, bool(found) and start == len(text)
        try:
            value, at = _decode(text, start)
        except (ValueError, RecursionError):
            return found, at, False
        found.append(value)


def one_object(text: str, at: int) -> tuple[dict[str, Any], int] | None:
    """Decode the JSON object that begins at a position, after white space; returns it and its end, None if broken."""
    start = after_space(text, at)
    if text[start : start + 1] != "{" or not _CONTAINER.match(text, start):
        return None
    try:
        value, end = _decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value, end


def _decode(text: str, start: int) -> tuple[Any, int]:
    """Decode the JSON value at a position, and return it with its end; raises what the decoder raises.

    An error of the decoder counts all lines of the text before it. Hence a short range is tried first, so that a long
    text of broken values does not cost O(n²).
    """
    if len(text) - start > _RANGE:
        try:
            value, end = _DECODER.raw_decode(text[start : start + _RANGE])
        except json.JSONDecodeError as error:
            if error.pos < _RANGE - _LONGEST_TOKEN and not error.msg.startswith("Unterminated"):
                raise
        else:
            return value, start + end
    return _DECODER.raw_decode(text, start)


def after_space(text: str, at: int) -> int:
    """Return the position of the first character from `at` on that is not white space."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


def calls_of(decoded: list[Any], tool_names: frozenset[str] | None = None) -> list[Call]:
    """Read decoded values as calls; returns an empty list if any of them is something else.

    With `tool_names`, only calls of these tools count, and each needs arguments; without, arguments may be missing. A
    tool's definition, which has a description, is no call then.
    """
    calls: list[Call] = []
    for value in decoded:
        for part in value if isinstance(value, list) else [value]:
            call = _call(part, strict=tool_names is not None)
            if call is None or (tool_names is not None and call[0] not in tool_names):
                return []
            calls.append(call)
    return calls


def _call(value: Any, *, strict: bool) -> Call | None:
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in _NAME_KEYS if key in value), None)
    if isinstance(name, dict):
        return _call(name, strict=strict)  # as Chat Completions nests it
    arguments = [value[key] for key in _ARGUMENT_KEYS if key in value]
    if not isinstance(name, str) or not name or (strict and (not arguments or "description" in value)):
        return None
    written = arguments[0] if arguments else {}
    return name, written if isinstance(written, str) else json.dumps(written)


def name_in(rubble: str) -> str | None:
    """Return the function that broken JSON means to call; None without a name, or if it is valid JSON but no call."""
    found = _NAME_ANYWHERE.search(rubble)
    return found[1] if found and not values(rubble, 0)[2] else None


def name_first(text: str, at: int, tool_names: frozenset[str]) -> str | None:
    """Return the tool's name if the JSON at a position, valid or broken, begins with the name of a tool on offer."""
    found = _NAME_FIRST.match(text, at)
    return found[1] if found and found[1] in tool_names else None
