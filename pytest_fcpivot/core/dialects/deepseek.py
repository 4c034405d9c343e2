"""DeepSeek V3, R1 and 3.1: `<|tool▁call▁begin|>find<|tool▁sep|>{"city": "Lyon"}<|tool▁call▁end|>` within a section.

V3 and R1 write the word `function`, the separator and the name, and the arguments in a code fence. The tokens contain
full-width bars; some servers write them in ASCII. The `invoke` module reads the form of later models.
"""

from __future__ import annotations

import json
import re

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, stands
from pytest_fcpivot.core.dialects.jsoncalls import after_space, one_object

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


def _call(text: str, header: re.Match[str]) -> tuple[Call, int]:
    name = header["old"] or header["new"]
    read = one_object(text, header.end())
    closed = _CLOSE.match(text, after_space(text, read[1])) if read else None
    if read and closed:
        return (name, json.dumps(read[0])), closed.end()
    stop = _STOP.search(text, header.end())
    end = stop.end() if stop else len(text)
    return (name, text[header.start() : end]), end
