"""Qwen3-Coder, Nemotron: `<function=find><parameter=city>Lyon</parameter></function>`, in `<tool_call>` or not.

Llama 3.1 writes JSON in the same tags: `<function=find>{"city": "Lyon"}</function>`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, begins_line, last, quoted
from pytest_fcpivot.core.dialects.jsoncalls import after_space, one_object
from pytest_fcpivot.core.dialects.values import bare, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "qwen3-coder"
MARKS = ("<function=",)
_OPEN = re.compile(r"(?P<outer><tool_call>\s*)?<function=\s*(?P<name>[^>\n<{(]*[^>\n<{(\s])\s*(?P<sound>>)?")
_CLOSE = "</function>"
_END_OF_OUTER = re.compile(r"\s*</tool_call>")
_PARAMETER = re.compile(r"\s*<parameter=\s*([^>\n]*[^>\n\s])\s*>(.*?)</parameter>", re.DOTALL)
_NEXT = re.compile(r"</function>|<function=|</?tool_call>")


def find(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find a `function` tag, complete or broken."""
    while opened := _OPEN.search(text, at):
        start, name = opened.start(), opened["name"]
        read = _arguments(text, opened.end(), name, tools) if opened["sound"] else None
        if read is not None:
            arguments, end = read
            return Attempt(start, _after_outer(text, end, opened["outer"]), ((name, arguments),))
        stop = _NEXT.search(text, opened.end())
        closed = stop is not None and stop[0] == _CLOSE
        if not quoted(text, start) and (closed or opened["outer"] or begins_line(text, start)):
            end = len(text) if stop is None else stop.end() if closed else stop.start()
            broken: Call = (name, text[start:end].strip())
            return Attempt(start, _after_outer(text, end, opened["outer"]), (broken,))
        at = opened.end()
    return None


def _after_outer(text: str, end: int, outer: str | None) -> int:
    closed = _END_OF_OUTER.match(text, end) if outer else None
    return closed.end() if closed else end


def _arguments(text: str, at: int, name: str, tools: Tools) -> tuple[str, int] | None:
    """Return the arguments between a function's tags as JSON text, and the end of the closing tag; None if broken."""
    whole = one_object(text, at)
    if whole is not None:
        end = after_space(text, whole[1])
        return (json.dumps(whole[0]), end + len(_CLOSE)) if text.startswith(_CLOSE, end) else None
    arguments: dict[str, Any] = {}
    # Checking for a closing tag first keeps a text of many opening tags and no closing one from costing O(n²).
    while last(text, "</parameter>") >= at and (parameter := _PARAMETER.match(text, at)):
        arguments[parameter[1]] = typed(_unwrapped(parameter[2]), tools.types(name, parameter[1]))
        at = parameter.end()
    end = after_space(text, at)
    if text.startswith(_CLOSE, end):
        return json.dumps(arguments), end + len(_CLOSE)
    # If only the inner closing tag is missing, the outer one shows that the call is complete.
    return (json.dumps(arguments), end) if arguments and _END_OF_OUTER.match(text, at) else None


def _unwrapped(value: str) -> str:
    """Remove the one line break on each side that this dialect puts around a value."""
    if value.startswith("\r\n"):
        return value[2:].removesuffix("\n").removesuffix("\r")
    return value.removeprefix("\n").removesuffix("\n")


def write(calls: Sequence[Call], _special: bool) -> str:
    """Write each call in an outer tag, its strings as they are and other values as JSON; no tag is a special token."""
    return "\n".join(_written(name, json.loads(arguments)) for name, arguments in calls)


def _written(name: str, arguments: dict[str, Any]) -> str:
    parameters = "".join(f"<parameter={key}>\n{bare(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"
