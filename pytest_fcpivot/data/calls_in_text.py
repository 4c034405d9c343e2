"""Calls that were written as text: how an expert's message is known to hold one, in any dialect.

Messages are first looked at as they stand in their rows, as JSON, so that nearly all are passed at the cost of three
searches.
"""

from __future__ import annotations

from pytest_fcpivot.data.jsonparts import string

# What the dialects mark calls with, without the `<` that may be escaped.
_MARKS = (
    *(b"tool_call>", b"tool_calls>", b"|tool_call", b"function_call>", b"function_calls>", b"function=", b"invoke "),
    *(b"|python_", b"[TOOL_CALLS]", b"DSML", b"to=functions.", "tool▁call".encode(), b"tool\\u2581call", b"tool_sep"),
)


def may_hold_a_call(contents: bytes) -> bool:
    """Tell whether contents, given as JSON one after the other, have a mark of a dialect: worth to be looked at."""
    if b"<" not in contents and b"\\u003c" not in contents and b"[TOOL_CALLS]" not in contents:
        return False
    return any(mark in contents for mark in _MARKS)


def looks_like_a_call(content: bytes) -> bool:
    """Tell whether a content, given as JSON, attempts a call; one that is quoted is talked about."""
    if not may_hold_a_call(content):
        return False
    from pytest_fcpivot.dialects import looks_like_call  # noqa: PLC0415 (hardly any message has a mark)

    return looks_like_call(string(content) or "") is not None
