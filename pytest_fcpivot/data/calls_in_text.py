"""Detects calls that are written as text in an expert's message, in any dialect.

The raw JSON of a message is searched for a few marks first, which rules out nearly all messages without decoding them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fcpivot.data.jsonparts import string

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# The marks of the dialects, without the `<`, which JSON may escape; and the end of reasoning that may precede a call.
_MARKS = (
    *(b"tool_call>", b"tool_calls>", b"|tool_call", b"function_call>", b"function_calls>", b"function=", b"invoke "),
    *(b"|python_", b"DSML", b"to=functions.", "tool▁call".encode(), b"tool\\u2581call", b"tool_sep"),
    *(b"TOOLCALL>", b"functioncall>", b"</think>"),
)
_BEGINNINGS = (b'"{', b'"[', b'"```')  # of a text that may be nothing but a call
_WITHOUT_TAGS = (b"Action Input:", b"TOOL_CALLS]")  # ReAct, Mistral
# Forms found only in datasets: NVIDIA's, Glaive's, ReAct's, and ToolACE's, whose function names may have several words.
_OTHER_FORMS = re.compile(
    r"(?<![`\"'])<(?:TOOLCALL|functioncall)>\s*[\[{]"
    r"|^[ \t]*Action:[ \t]*\S[^\n]*\n\s*Action Input:"
    r"|\A\s*\[[A-Za-z_][^\[\](){}\"'=,\n]{0,120}\((?:\s*\w+\s*=.*)?\)\s*\]\s*\Z",
    re.MULTILINE | re.DOTALL,
)
_NAMES = re.compile(r"[\"'](?:name|function|tool)[\"']\s*:\s*[\"']([^\"'\n]+)[\"']")


def may_hold_a_call(contents: Iterable[bytes]) -> bool:
    """Return whether one of several contents, given as JSON, has the mark of a call and needs a closer look."""
    contents = list(contents)
    for content in contents:
        if content.startswith(_BEGINNINGS):
            return True
    whole = b"".join(contents)  # one search over all: hardly any content has these marks
    if any(mark in whole for mark in _WITHOUT_TAGS):
        return True
    if b"<" not in whole and b"\\u003c" not in whole:
        return False
    return any(mark in whole for mark in _MARKS)


def looks_like_a_call(content: bytes, tool_names: Collection[str] = ()) -> bool:
    """Return whether a content, given as JSON, attempts a call; a quoted call is an example and does not count.

    A text that is only JSON or Python may be what the user asked for: it counts as a call if it calls a tool on offer,
    or if there are no tools at all, since they may then be written as text too.
    """
    if not may_hold_a_call((content,)):
        return False
    from pytest_fcpivot.core.dialects import looks_like_call  # noqa: PLC0415 (hardly any message has a mark)

    text = string(content) or ""
    return bool(_OTHER_FORMS.search(text)) or looks_like_call(text, tool_names or _NAMES.findall(text)) is not None
