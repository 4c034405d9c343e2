"""Calls as plain JSON, in a code fence or at the beginning of the text. Only calls of tools on offer count."""

from __future__ import annotations

import re

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, last
from pytest_fcpivot.core.dialects.jsoncalls import after_space, calls_of, name_first, values

NAME = "json"
_FENCE = re.compile(r"```[ \t]*([\w-]*)[ \t]*(?:\n|(?=[\[{]))")
_FENCE_KINDS = frozenset(("", "json", "tool_call", "tool_calls"))
_FURTHER_ON = re.compile(r"(?<=[^`\"'\[\](){},;=>])(?=(?:\[\s{0,9})?\{\s{0,9}[\"'])")
_END_OF_FENCE = re.compile(r"\s*(?:```|\Z)")


def find_fence(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find a code fence that holds only calls, or broken JSON that begins like a call."""
    while fence := _FENCE.search(text, at):
        decoded, end, _ = values(text, fence.end())
        closed = _END_OF_FENCE.match(text, end)
        close = text.find("```", fence.end())
        at = len(text) if close < 0 else close + 3
        if fence[1].lower() not in _FENCE_KINDS:
            continue
        calls = calls_of(decoded, tools.names)
        if calls and closed:
            return Attempt(fence.start(), closed.end(), tuple(calls))
        broken = _broken(text[fence.end() : len(text) if close < 0 else close], tools)
        if broken:
            return Attempt(fence.start(), at, (broken,))
    return None


def find_json(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find calls at the beginning of the text or of a line, or broken JSON there that begins like a call."""
    if (found := _json_at(text, at, tools)) is not None or "```" in text or last(text, "{") <= at:
        return found
    # What was said before the calls may have run into them, their mark being stripped.
    for begun in _FURTHER_ON.finditer(text, at + 1):
        start = begun.start()
        found = _json_at(text, start, tools) if name_first(text, start, tools.names) else None
        # Within a line it may be an example, unless nothing follows.
        if found and (text[start - 1] not in " \t:" or after_space(text, found.end) == len(text)):
            return found
    return None


def _json_at(text: str, at: int, tools: Tools) -> Attempt | None:
    calls: list[Call] = []
    end = at
    while True:
        decoded, after, _ = values(text, end + (text.startswith(";", end) and bool(calls)))
        further = calls_of(decoded, tools.names)
        if not further:
            break
        calls += further
        end = after_space(text, after)
        if not text.startswith(";", end):  # Llama's separator
            break
    if calls:
        broken = _broken(text[end + 1 :], tools) if text.startswith(";", end) else None
        return Attempt(at, len(text), (*calls, broken)) if broken else Attempt(at, end, tuple(calls))
    broken = _broken(text[at:], tools)
    return Attempt(at, len(text), (broken,)) if broken else None


def _broken(rubble: str, tools: Tools) -> Call | None:
    name = name_first(rubble, 0, tools.names)
    return (name, rubble.strip()) if name and not values(rubble, 0)[0] else None
