"""Kimi K2: `<|tool_call_begin|>functions.find:0<|tool_call_argument_begin|>{"city": "Lyon"}<|tool_call_end|>`.

If the server strips the special tokens, `functions.find:0{"city": "Lyon"}` remains.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, quoted, stands
from pytest_fcpivot.core.dialects.jsoncalls import after_space, one_object

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "kimi"
MARKS = ("<|tool_calls_section_begin|>", "<|tool_call_argument_begin|>")
_SECTION = "<|tool_calls_section_begin|>"
_OPEN = re.compile(
    r"(?:<\|tool_calls_section_begin\|>\s*)?<\|tool_call_begin\|>(?=[^<]*<\|tool_call_argument_begin\|>)"
)
_FIRST = re.compile(rf"{_OPEN.pattern}|{re.escape(_SECTION)}")
_HEADER = re.compile(r"\s*(?:functions\.)?([^<\n]*?[^<\s])(?::\d+)?\s*<\|tool_call_argument_begin\|>")
_CLOSE = "<|tool_call_end|>"
_END_OF_SECTION = re.compile(r"\s*<\|tool_calls_section_end\|>")
_STOP = re.compile(r"<\|tool_call_end\|>|(?=<\|tool_call(?:_begin|s_section_end)\|>)|\Z")
_BARE = re.compile(r"functions\.([\w.\-/]+):\d+\s*(?=\{)")


def find(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find a call, including the token that opens its section if the call is the first one there."""
    while opened := _FIRST.search(text, at):
        header = _HEADER.match(text, opened.end())
        if header:
            call, end = _call(text, header)
            closed = _END_OF_SECTION.match(text, end)
            return Attempt(opened.start(), closed.end() if closed else end, (call,))
        if stands(text, opened.start(), opened.end()) or not opened[0].endswith(_SECTION):
            return Attempt(opened.start(), len(text))
        at = opened.end()
    return None


def find_bare(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find a call without the special tokens: the function's number shows that it is one, whichever tool it names."""
    while header := _BARE.search(text, at):
        at = header.end()
        if quoted(text, header.start()):
            continue
        read = one_object(text, at)
        call = (header[1], json.dumps(read[0]) if read else text[at:])
        return Attempt(header.start(), read[1] if read else len(text), (call,))
    return None


def _call(text: str, header: re.Match[str]) -> tuple[Call, int]:
    read = one_object(text, header.end())
    if read is not None:
        end = after_space(text, read[1])
        if text.startswith(_CLOSE, end):
            return (header[1], json.dumps(read[0])), end + len(_CLOSE)
        if end == len(text):  # servers strip the token that ends both the call and the answer
            return (header[1], json.dumps(read[0])), end
    stop = _STOP.search(text, header.end())
    end = stop.end() if stop else len(text)
    return (header[1], text[header.start() : end]), end


def write(calls: Sequence[Call], special: bool) -> str:
    """Write a section of calls, numbered from 0; all of its marks are special tokens."""
    begin, separator, end = ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", _CLOSE) if special else ("", "", "")
    inside = "".join(
        f"{begin}functions.{name}:{place}{separator}{arguments}{end}" for place, (name, arguments) in enumerate(calls)
    )
    return f"{_SECTION}{inside}<|tool_calls_section_end|>" if special else inside
