"""GLM 4.5 and later: `<tool_call>find<arg_key>city</arg_key><arg_value>Lyon</arg_value></tool_call>`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, last, quoted
from pytest_fcpivot.core.dialects.values import bare, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "glm"
MARKS = ("<tool_call>",)
_OPEN = re.compile(r"<tool_call>\s*([^\s<>{}\[\]\"'`]+)\s*(?=(<arg_key>)|</tool_call>)")
_PAIR = re.compile(r"\s*<arg_key>\s*([^<]*?)\s*</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_CLOSE = re.compile(r"\s*</tool_call>")
_NEXT = re.compile(r"</tool_call>|(?=<tool_call>)|\Z")


def find(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find a block that begins with a function's name; a block without arguments counts only for a tool on offer."""
    while opened := _OPEN.search(text, at):
        name, at = opened[1], opened.end()
        if not opened[2] and (name not in tools.names or quoted(text, opened.start())):
            continue
        arguments: dict[str, Any] = {}
        # Checking for a closing tag first keeps a text of many opening tags and no closing one from costing O(n²).
        while last(text, "</arg_value>") >= at and (pair := _PAIR.match(text, at)):
            arguments[pair[1]] = typed(pair[2], tools.types(name, pair[1]))
            at = pair.end()
        if closed := _CLOSE.match(text, at):
            return Attempt(opened.start(), closed.end(), ((name, json.dumps(arguments)),))
        stop = _NEXT.search(text, at)
        end = stop.end() if stop else len(text)
        return Attempt(opened.start(), end, ((name, text[opened.start() : end]),))
    return None


def write(calls: Sequence[Call], _special: bool) -> str:
    """Write each call in a tag, its strings as they are and other values as JSON; no tag is a special token."""
    return "\n".join(_written(name, json.loads(arguments)) for name, arguments in calls)


def _written(name: str, arguments: dict[str, Any]) -> str:
    pairs = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{bare(value)}</arg_value>\n" for key, value in arguments.items()
    )
    return f"<tool_call>{name}\n{pairs}</tool_call>"
