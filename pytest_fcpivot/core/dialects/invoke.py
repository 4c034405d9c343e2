"""DeepSeek 3.2 and 4 (DSML), MiniMax: `<invoke name="find"><parameter name="city">Lyon</parameter></invoke>`.

DSML puts its own mark into each tag, as in `<|DSML|invoke name="find">` with full-width bars, and each parameter has an
attribute that tells whether it is a string.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, begins_line, last, quoted, stands
from pytest_fcpivot.core.dialects.jsoncalls import after_space, one_object
from pytest_fcpivot.core.dialects.values import typed

NAME = "invoke"
_DSML = r"\s*[|\uff5c]\s*DSML\s*[|\uff5c]\s*"
_WRAPPERS = rf"(?:{_DSML}(?:function_calls|tool_calls)|(?:minimax:)?tool_calls?|function_calls)"
MARKS = ("DSML", "<invoke ", "<function_calls>", "<minimax:tool_call>")
_INVOKE = rf"<(?P<dsml>{_DSML})?invoke\s+name\s*=\s*\"(?P<name>[^\"\n<>]+)\"\s*>"
_OPEN = re.compile(rf"(?P<outer><{_WRAPPERS}\s*>\s*)?{_INVOKE}|<{_DSML}(?:function_calls|tool_calls)\s*>")
_FURTHER = re.compile(rf"\s*{_INVOKE}")
_PARAMETER = re.compile(
    rf"\s*<(?:{_DSML})?parameter\s+name\s*=\s*\"([^\"\n<>]+)\"(?:\s+string\s*=\s*\"(true|false)\")?\s*>"
    rf"(.*?)</(?:{_DSML})?parameter>",
    re.DOTALL,
)
_CLOSE = re.compile(rf"</(?:{_DSML})?invoke\s*>")
_CLOSE_OUTER = re.compile(rf"\s*</{_WRAPPERS}\s*>")
_NEXT = re.compile(rf"</(?:{_DSML})?invoke\s*>|(?=<(?:{_DSML})?invoke\s)|(?=</{_WRAPPERS}\s*>)|\Z")


def find(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find consecutive `invoke` tags; without DSML's mark or an outer tag they count only for a tool on offer."""
    while opened := _OPEN.search(text, at):
        start, at = opened.start(), opened.end()
        if opened["name"] is None:  # DSML's own tags around something else
            if stands(text, start, at):
                return Attempt(start, len(text))
            continue
        marked = bool(opened["outer"] or opened["dsml"])
        if quoted(text, start) or not (marked or opened["name"] in tools.names):
            continue
        calls: list[Call] = []
        further: re.Match[str] | None = opened
        while further:
            call, at, sound = _call(text, further, tools)
            calls.append(call)
            further = _FURTHER.match(text, at) if sound else None
        if marked or sound or begins_line(text, start):
            outer = _CLOSE_OUTER.match(text, at)
            return Attempt(start, outer.end() if outer else at, tuple(calls))
    return None


def _call(text: str, opened: re.Match[str], tools: Tools) -> tuple[Call, int, bool]:
    """Read one `invoke` tag; returns its call, its end, and whether it is sound.

    If it is not, the arguments of the call are the raw text of the tag.
    """
    name, at = opened["name"], opened.end()
    arguments: dict[str, Any] = {}
    sound = True
    whole = one_object(text, at)  # DeepSeek 3.2 may write the arguments as one object
    if whole is not None:
        arguments, at = whole
    # Checking for a closing tag first keeps a text of many opening tags and no closing one from costing O(n²).
    while last(text, "parameter>") >= at and (parameter := _PARAMETER.match(text, at)):
        key, is_string, value = parameter.groups()
        at = parameter.end()
        if is_string == "true":
            arguments[key] = value
        elif is_string == "false":
            try:
                arguments[key] = json.loads(value)
            except (ValueError, RecursionError):
                sound = False
        else:
            arguments[key] = typed(value, tools.types(name, key))
    closed = _CLOSE.match(text, after_space(text, at))
    if sound and closed:
        return (name, json.dumps(arguments)), closed.end(), True
    stop = _NEXT.search(text, at)
    end = stop.end() if stop else len(text)
    return (name, text[opened.start() : end].strip()), end, False
