"""DeepSeek V3, R1 and 3.1: `<|tool▁call▁begin|>find<|tool▁sep|>{"city": "Lyon"}<|tool▁call▁end|>` within a section.

V3 and R1 write the word `function`, the separator and the name, and the arguments in a code fence. The tokens contain
full-width bars; some servers write them in ASCII. The `invoke` module reads the form of later models.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, stands
from pytest_fcpivot.core.dialects.jsoncalls import after_space, one_object

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "deepseek"
MARKS = ("tool\u2581call", "tool_sep")


def _token(*words: str) -> str:
    inside = r"[\u2581_]".join(words)
    return rf"<[|\uff5c]{inside}[|\uff5c]>"


_SECTION = _token("tool", "calls", "begin")
_OPEN = re.compile(rf"(?:{_SECTION}\s*)?{_token('tool', 'call', 'begin')}(?=[^<]*{_token('tool', 'sep')})|{_SECTION}")
_HEADER = re.compile(
    rf"\s*(?:function\s*{_token('tool', 'sep')}\s*(?P<old>[^<\n]*[^<\s])[ \t]*\r?\n\s*```(?:json)?"
    rf"|(?P<new>[^<\n]*?[^<\s])\s*{_token('tool', 'sep')})\s*"
)
_BARE = re.compile(r"function[ \t]{0,9}([\w.\-/]{1,200}+)[ \t]{0,9}\r?\n\s{0,9}```(?:json)?\s{0,9}(?=\{)")
_FENCE_END = re.compile(r"\s*(?:```|\Z)")
_CLOSE = re.compile(rf"\s*(?:```)?\s*(?:{_token('tool', 'call', 'end')}|\Z)")
_STOP = re.compile(rf"{_token('tool', 'call', 'end')}|(?={_token('tool', 'call', 'begin')})|\Z")
_END_OF_SECTION = re.compile(rf"\s*{_token('tool', 'calls', 'end')}")


def find(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find a call, including the token that opens its section if the call is the first one there."""
    while opened := _OPEN.search(text, at):
        header = _HEADER.match(text, opened.end())
        if header:
            call, end = _call(text, header)
            closed = _END_OF_SECTION.match(text, end)
            return Attempt(opened.start(), closed.end() if closed else end, (call,))
        if stands(text, opened.start(), opened.end()):
            return Attempt(opened.start(), len(text))
        at = opened.end()
    return None


def find_bare(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find a call of a tool on offer as V3 and R1 write it, without the special tokens."""
    while header := _BARE.search(text, at):
        at = header.end()
        if header[1] in tools.names:
            read = one_object(text, at)
            closed = _FENCE_END.match(text, read[1]) if read else None
            call = (header[1], json.dumps(read[0]) if read and closed else text[at:])
            return Attempt(header.start(), closed.end() if closed else len(text), (call,))
    return None


def _call(text: str, header: re.Match[str]) -> tuple[Call, int]:
    name = header["old"] or header["new"]
    read = one_object(text, header.end())
    closed = _CLOSE.match(text, after_space(text, read[1])) if read else None
    if read and closed:
        return (name, json.dumps(read[0])), closed.end()
    stop = _STOP.search(text, header.end())
    end = stop.end() if stop else len(text)
    return (name, text[header.start() : end]), end


def write(calls: Sequence[Call], special: bool) -> str:
    """Write a section of calls as DeepSeek 3.1 does; all of its marks are special tokens."""
    if not special:
        return "".join(f"{name}{arguments}" for name, arguments in calls)
    begin, separator, end = (f"<\uff5ctool\u2581{mark}\uff5c>" for mark in ("call\u2581begin", "sep", "call\u2581end"))
    inside = "".join(f"{begin}{name}{separator}{arguments}{end}" for name, arguments in calls)
    return f"<\uff5ctool\u2581calls\u2581begin\uff5c>{inside}<\uff5ctool\u2581calls\u2581end\uff5c>"
