"""Llama 3: `<|python_tag|>{"name": "find", "parameters": {"city": "Lyon"}}`, several calls separated by `;`, or Python.

Without the tag, `bare` reads the JSON object.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, quoted
from pytest_fcpivot.core.dialects.jsoncalls import calls_of, name_in, values
from pytest_fcpivot.core.dialects.pythonic import calls_at

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "llama3"
MARKS = ("<|python_tag|>",)
_MARK = "<|python_tag|>"
_END = re.compile(r"\s*(?:<\|(?:eom_id|eot_id)\|>)?\s*")
_SEPARATOR = re.compile(r"\s*;")


def find(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find the calls after the tag; everything up to the end of the text belongs to them."""
    tried = False
    while (start := text.find(_MARK, at)) >= 0:
        at = start + len(_MARK)
        if quoted(text, start):
            continue
        calls = _calls(text, at)
        if calls:
            return Attempt(start, len(text), tuple(calls))
        if tried:
            continue  # what follows was searched at the tag before
        tried = True
        name = name_in(text[at:])
        if name or not text[:start].strip():
            return Attempt(start, len(text), ((name, text[at:]),) if name else ())
    return None


def _calls(text: str, at: int) -> list[Call]:
    calls: list[Call] = []
    while True:
        decoded, end, _ = values(text, at)
        found = calls_of(decoded)
        if not found:
            read = calls_at(text, at)
            if read is None:
                return []
            found, end = read
            # Llama's built-in tools are called by a method: brave_search.call(…).
            found = [(name.removesuffix(".call"), arguments) for name, arguments in found]
        calls += found
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            closed = _END.match(text, end)
            return calls if closed and closed.end() == len(text) else []
        at = separator.end()


def write(calls: Sequence[Call], special: bool) -> str:
    """Write the calls after the tag, which is a special token, with semicolons between them."""
    written = "; ".join(
        f'{{"name": {json.dumps(name, ensure_ascii=False)}, "parameters": {arguments}}}' for name, arguments in calls
    )
    return f"{_MARK if special else ''}{written}"
