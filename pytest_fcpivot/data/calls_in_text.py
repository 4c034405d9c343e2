"""Calls that were written as text: how an expert's message is known to hold one, in any dialect.

Messages are first looked at as they stand in their rows, as JSON, so that nearly all are passed at the cost of a few
searches.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fcpivot.data.jsonparts import string

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# What the dialects mark calls with, without the `<` that may be escaped, and where a thought ends that precedes one.
_MARKS = (
    *(b"tool_call>", b"tool_calls>", b"|tool_call", b"function_call>", b"function_calls>", b"function=", b"invoke "),
    *(b"|python_", b"DSML", b"to=functions.", "tool▁call".encode(), b"tool\\u2581call", b"tool_sep"),
    *(b"TOOLCALL>", b"functioncall>", b"</think>"),
)
_BEGINNINGS = (b'"{', b'"[', b'"```')  # of a text that may be nothing but a call
_WITHOUT_TAGS = (b"Action Input:", b"TOOL_CALLS]")  # ReAct, Mistral
# Forms of data sets alone: NVIDIA's, Glaive's and ReAct's, and ToolACE's, whose functions have names of several words.
_OTHER_FORMS = re.compile(
    r"(?<![`\"'])<(?:TOOLCALL|functioncall)>\s*[\[{]"
    r"|^[ \t]*Action:[ \t]*\S[^\n]*\n\s*Action Input:"
    r"|\A\s*\[[A-Za-z_][^\[\](){}\"'=,\n]{0,120}\((?:\s*\w+\s*=.*)?\)\s*\]\s*\Z",
    re.MULTILINE | re.DOTALL,
)
_NAMES = re.compile(r"[\"'](?:name|function|tool)[\"']\s*:\s*[\"']([^\"'\n]+)[\"']")


def may_hold_a_call(contents: Iterable[bytes]) -> bool:
    """Tell whether one of several contents, given as JSON, has a mark of a call: worth to be looked at."""
    contents = list(contents)
    for content in contents:
        if content.startswith(_BEGINNINGS):
            return True
    whole = b"".join(contents)  # what is looked for further stands in hardly any
    if any(mark in whole for mark in _WITHOUT_TAGS):
        return True
    if b"<" not in whole and b"\\u003c" not in whole:
        return False
    return any(mark in whole for mark in _MARKS)


def looks_like_a_call(content: bytes, tool_names: Collection[str] = ()) -> bool:
    """Tell whether a content, given as JSON, attempts a call; one that is quoted is talked about.

    A text that is nothing but JSON or Python may be what the user asked for: it is a call if it is one of a tool on
    offer, or if no tools are, which then stand in a text, too.
    """
    if not may_hold_a_call((content,)):
        return False
    from pytest_fcpivot.core.dialects import looks_like_call  # noqa: PLC0415 (hardly any message has a mark)

    text = string(content) or ""
    return bool(_OTHER_FORMS.search(text)) or looks_like_call(text, tool_names or _NAMES.findall(text)) is not None
