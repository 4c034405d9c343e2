"""Hermes and Qwen: `<tool_call>{"name": "find", "arguments": {"city": "Lyon"}}</tool_call>`.

The agent openai-prompt asks models for this form, so it is read leniently: a block may hold several calls or a code
fence, may lack its closing tag at the end of the text, and may use other names for the keys.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, begins_line, quoted, quotes, stands
from pytest_fcpivot.core.dialects.jsoncalls import calls_of, name_in, values

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "hermes"
OPEN, CLOSE = "<tool_call>", "</tool_call>"
MARKS = (OPEN,)
_FENCE = re.compile(r"\s*```\w*")
_END = re.compile(rf"\s*(?:```)?\s*(?:{CLOSE}|(?={OPEN})|\Z)")
_END_OF_LINE = re.compile(r"[ \t]*(?:\r?\n|\Z)")


def find(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find a `tool_call` block, complete or broken."""
    while (start := text.find(OPEN, at)) >= 0:
        inside = start + len(OPEN)
        calls, end = sound_block(text, inside)
        if calls and not quotes(text, start, end):
            return Attempt(start, end, tuple(calls))
        rubble, end, closed = _rubble(text, inside)
        if _is_block(text, start, inside, closed):
            name = name_in(rubble)
            return Attempt(start, end, ((name, rubble),) if name else ())
        at = inside
    return None


def sound_block(text: str, inside: int) -> tuple[list[Call], int]:
    """Return the calls of a block of valid JSON and its end, even if strings in it hold tags; else no calls and -1."""
    fence = _FENCE.match(text, inside)
    decoded, end, _ = values(text, fence.end() if fence else inside)
    closed = _END.match(text, end)
    calls = calls_of(decoded)
    return (calls, closed.end()) if calls and closed else ([], -1)


def _is_block(text: str, start: int, inside: int, closed: int) -> bool:
    """Return whether a tag begins a block, and is not merely mentioned; `closed`: the end of its closing tag, or -1."""
    if stands(text, start, inside):
        return True
    if quoted(text, start) or not begins_line(text, start):
        return False
    return _FENCE.match(text, inside) is not None or (closed >= 0 and _END_OF_LINE.match(text, closed) is not None)


def _rubble(text: str, inside: int) -> tuple[str, int, int]:
    """Return the text up to the next tag, the position after it, and that position again if the tag closes, else -1."""
    following = text.find(OPEN, inside)
    stop = len(text) if following < 0 else following
    close = text.find(CLOSE, inside, stop)
    if close < 0:
        return text[inside:stop].strip(), stop, -1
    end = close + len(CLOSE)
    return text[inside:close].strip(), end, end


def write(calls: Sequence[Call], _special: bool) -> str:
    """Write each call as a block; its tags are no special tokens."""
    return "\n".join(write_call(name, arguments) for name, arguments in calls)


def write_call(name: str, arguments: Any) -> str:
    """Write one call; arguments that are not JSON text are encoded."""
    try:
        value = json.loads(arguments if isinstance(arguments, str) else "")
    except (ValueError, RecursionError):
        value = ""
    if isinstance(value, str):  # a JSON string would be read as the text in it
        arguments = json.dumps(arguments, ensure_ascii=False)
    return f'{OPEN}\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {arguments}}}\n{CLOSE}'
