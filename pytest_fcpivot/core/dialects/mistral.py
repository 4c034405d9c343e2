"""Mistral: `[TOOL_CALLS]find{"city": "Lyon"}`, with `[ARGS]` before the arguments, or `[TOOL_CALLS][{"name": …}]`.

If the server strips the special tokens, `find{"city": "Lyon"}` remains.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, last, quoted, stands
from pytest_fcpivot.core.dialects.jsoncalls import after_space, calls_of, name_in, one_object, values

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "mistral"
MARKS = ("[TOOL_CALLS]",)
_MARK = "[TOOL_CALLS]"
_HEADER = re.compile(r"\s*([^\s\[\]{}\"]+)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*(?=(\{)|\Z|\[TOOL_CALLS\])")
_BARE = re.compile(
    r"(?<![\w.\-/])(?P<word>[A-Za-z_][\w.\-/]*+)(?:\[CALL_ID\][^\[{]{0,40})?(?:\[ARGS\])?(?P<blank>[ \t]*+)(?=\{)"
)
_BEGUN = re.compile(r"\{\s*(?:\"|\Z)")
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
    """Find calls of tools on offer, without the special tokens, that are all of the text or the rest of it."""
    if last(text, "{") < at:
        return None  # which rules out most messages
    begin = after_space(text, at)
    while header := _BARE.search(text, at):
        at, start = header.end(), header.start()
        name = header["word"]
        if start > begin and name not in tools.names:
            # What was said before may have run into the name, its mark being stripped.
            name = name.rpartition(".")[2]
            start = header.end("word") - len(name)
        if name not in tools.names or quoted(text, start) or (start > begin and header["blank"]):
            continue
        calls, at, sound = _chain(text, name, at, tools)
        if sound and after_space(text, at) == len(text):
            return Attempt(start, len(text), tuple(calls))
        # With a blank between the name and a broken object, it may be a sentence.
        if not sound and not header["blank"] and _BEGUN.match(text, at):
            return Attempt(start, len(text), (*calls[:-1], (calls[-1][0], text[at:])))
    return None


def _chain(text: str, name: str, at: int, tools: Tools) -> tuple[list[Call], int, bool]:
    """Read consecutive calls, of which the first one's name has been read.

    Returns them, their end, and whether all are sound; the last one is broken if not, and the end is its beginning.
    """
    calls: list[Call] = []
    while True:
        read = one_object(text, at)
        if read is None:
            return [*calls, (name, "")], at, False
        calls.append((name, json.dumps(read[0])))
        at = read[1]
        following = _BARE.match(text, after_space(text, at))
        if following is None or following["word"] not in tools.names:
            return calls, at, True
        name, at = following["word"], following.end()


def _call(text: str, header: re.Match[str], stop: int) -> tuple[Call, int]:
    read = one_object(text, header.end()) if header[2] else None
    if read is not None:
        return (header[1], json.dumps(read[0])), read[1]
    return (header[1], text[header.start() : stop].strip()), stop


def write(calls: Sequence[Call], special: bool) -> str:
    """Write each call with its marks, as the models since 2025 do; both marks are special tokens."""
    mark, separator = (_MARK, "[ARGS]") if special else ("", "")
    return "".join(f"{mark}{name}{separator}{arguments}" for name, arguments in calls)
