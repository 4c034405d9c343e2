"""Mistral: `[TOOL_CALLS]find{"city": "Lyon"}`, with `[ARGS]` before the arguments, or `[TOOL_CALLS][{"name": …}]`.

If the server strips the special tokens, `find{"city": "Lyon"}` remains.
"""

from __future__ import annotations

import json
import re

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, quoted, stands
from pytest_fcpivot.core.dialects.jsoncalls import calls_of, name_in, one_object, values

NAME = "mistral"
MARKS = ("[TOOL_CALLS]",)
_MARK = "[TOOL_CALLS]"
_HEADER = re.compile(r"\s*([^\s\[\]{}\"]+)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*(?=(\{)|\Z|\[TOOL_CALLS\])")
_BARE = re.compile(r"\s*([A-Za-z_][\w.\-/]*)(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?([ \t]*)(?=\{)")
_END = re.compile(r"\s*(?:</s>)?")


def find(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find a call, or a list of them, after the mark."""
    while (start := text.find(_MARK, at)) >= 0:
        inside = start + len(_MARK)
        following = text.find(_MARK, inside)
        stop = len(text) if following < 0 else following
        decoded, end, _ = values(text, inside)
        calls = calls_of(decoded)
        header = None if decoded else _HEADER.match(text, inside)
        if header:
            call, end = _call(text, header, stop)
            calls = [call]
        if calls and not quoted(text, start):
            closed = _END.match(text, end)
            return Attempt(start, closed.end() if closed else end, tuple(calls))
        if stands(text, start, inside):
            rubble = text[inside:stop].strip()
            name = name_in(rubble)
            return Attempt(start, stop, ((name, rubble),) if name else ())
        at = inside
    return None


def find_bare(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find a text that consists only of one call of a tool on offer, without the special tokens."""
    header = _BARE.match(text, at)
    if header is None or header[1] not in tools.names:
        return None
    read = one_object(text, header.end())
    if read is not None and not text[read[1] :].strip():
        return Attempt(at, len(text), ((header[1], json.dumps(read[0])),))
    # With a blank between the name and a broken object, it may be a sentence.
    return None if header[2] else Attempt(at, len(text), ((header[1], text[header.end() :]),))


def _call(text: str, header: re.Match[str], stop: int) -> tuple[Call, int]:
    read = one_object(text, header.end()) if header[2] else None
    if read is not None:
        return (header[1], json.dumps(read[0])), read[1]
    return (header[1], text[header.start() : stop].strip()), stop
