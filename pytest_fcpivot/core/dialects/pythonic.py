"""Calls written as Python: `[find(city="Lyon", seats=2), book(id=1)]`, with or without the marks of Llama 4 and LFM2.

Only literals of JSON and Python are accepted as values. Python's own parser is not used, because it emits warnings for
the invalid escapes that models write, and warnings concern the whole process.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Tools, last, stands

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "pythonic"
MARKS = ("<|python_start|>", "<|tool_call_start|>")
_MARK = re.compile(r"<\|(?:python_start|tool_call_start)\|>")
_END = re.compile(r"\s*(?:<\|(?:python_end|tool_call_end|eom|eot|im_end)\|>)?\s*")
_FUNCTION = re.compile(r"\s*([A-Za-z_][\w.\-/]*)\s*\(\s*")
_LIST = re.compile(r"\[\s*([A-Za-z_][\w.\-/]*)\s*\(\s*(?=[A-Za-z_]\w*\s*=|\))")
_CUT_OFF = re.compile(r"[\w.\-/]+\(\s*[A-Za-z_]\w*\s*=")
_KEYWORD = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*")
_TOKEN = re.compile(
    r"""\s*(?:(?P<open>[\[({])|(?P<word>[A-Za-z]+)|(?P<number>[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_ESCAPE = re.compile(r"\\(?:U([0-9a-fA-F]{8})|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": "", "\\": "\\", "'": "'", '"': '"', "/": "/"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CLOSING = {"[": "]", "(": ")", "{": "}"}


class _NoLiteralError(ValueError):
    """The text is not a literal that is supported here."""


def find(text: str, at: int, _tools: Tools) -> Attempt | None:
    """Find calls after a mark of Llama 4 or LFM2."""
    while mark := _MARK.search(text, at):
        read = calls_at(text, mark.end())
        if read is not None:
            calls, end = read
            closed = _END.match(text, end)
            return Attempt(mark.start(), closed.end() if closed else end, tuple(calls))
        first = _first_function(text, mark.end())
        if first:
            return Attempt(mark.start(), len(text), ((first, text[mark.end() :]),))
        if stands(text, mark.start(), mark.end()):
            return Attempt(mark.start(), len(text))
        at = mark.end()
    return None


def find_bare(text: str, at: int, tools: Tools) -> Attempt | None:
    """Find calls of tools on offer that are all of the text or, in a list, the rest of it; complete or broken."""
    start = _after(text, at)
    if (found := _bare_at(text, start, tools)) is not None:
        return found
    for listed in _LIST.finditer(text, start + 1):
        begin = listed.start()
        if listed[1] not in tools.names or text[begin - 1] in "`\"'":
            continue
        # Within a line a broken list may be an example.
        found = _bare_at(text, begin, tools, broken=text[begin - 1] not in " \t:")
        if found is not None:
            return found
    return None


def _bare_at(text: str, start: int, tools: Tools, *, broken: bool = True) -> Attempt | None:
    first = _first_function(text, start)
    if first not in tools.names or first is None:
        return None
    read = calls_at(text, start)
    if read is not None and _after(text, read[1]) == len(text):
        return Attempt(start, len(text), tuple(read[0])) if all(c[0] in tools.names for c in read[0]) else None
    if not broken:
        return None
    # A broken list that begins with a call of a tool is an attempt, and so is a bare call that is cut off; a bare call
    # that is followed by more may be code or prose.
    cut_off = text.startswith("[", start) or (last(text, ")") < start and _CUT_OFF.match(text, start))
    return Attempt(start, len(text), ((first, text[start:]),)) if cut_off else None


def calls_at(text: str, at: int) -> tuple[list[Call], int] | None:
    """Read one call or a list of calls with keyword arguments; returns them and their end, None for anything else."""
    start = _after(text, at)
    try:
        if not text.startswith("[", start):
            name, arguments, end = _call(text, start)
            return [(name, json.dumps(arguments))], end
        calls, at = [], start + 1
        while True:
            name, arguments, at = _call(text, at)
            calls.append((name, json.dumps(arguments)))
            at = _after(text, at)
            if text.startswith("]", at):
                return calls, at + 1
            if not text.startswith(",", at):
                return None
            at += 1
    except (_NoLiteralError, RecursionError, ValueError):
        return None


def literal(text: str, default: Any) -> Any:
    """Return the value of a text that is one literal of Python or JSON; `default` for any other text."""
    try:
        value, end = _value(text, 0)
    except (_NoLiteralError, RecursionError, ValueError):
        return default
    return default if text[end:].strip() else value


def _first_function(text: str, at: int) -> str | None:
    start = _after(text, at)
    function = _FUNCTION.match(text, start + text.startswith("[", start))
    return function[1] if function else None


def _call(text: str, at: int) -> tuple[str, dict[str, Any], int]:
    function = _FUNCTION.match(text, at)
    if function is None:
        raise _NoLiteralError
    arguments: dict[str, Any] = {}
    at = function.end()
    while not text.startswith(")", at):
        keyword = _KEYWORD.match(text, at)
        if keyword is None or keyword[1] in arguments:
            raise _NoLiteralError
        arguments[keyword[1]], at = _value(text, keyword.end())
        at = _after(text, at)
        if text.startswith(",", at):
            at = _after(text, at + 1)
        elif not text.startswith(")", at):
            raise _NoLiteralError
    return function[1], arguments, at + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    token = _TOKEN.match(text, at)
    if token is None:
        raise _NoLiteralError
    if token["open"]:
        return _container(text, token.end(), token["open"])
    if token["word"]:
        if token["word"] not in _WORDS:
            raise _NoLiteralError
        return _WORDS[token["word"]], token.end()
    if token["number"]:
        number = token["number"].replace("_", "")
        return (int(number) if number.lstrip("+-").isdigit() else float(number)), token.end()
    return _ESCAPE.sub(_unescaped, token["string"][1:-1]), token.end()


def _container(text: str, at: int, opened: str) -> tuple[Any, int]:
    parts: list[Any] = []
    pairs: dict[str, Any] = {}
    at = _after(text, at)
    while not text.startswith(_CLOSING[opened], at):
        value, at = _value(text, at)
        at = _after(text, at)
        if opened == "{":
            if not isinstance(value, str) or not text.startswith(":", at):
                raise _NoLiteralError
            pairs[value], at = _value(text, at + 1)
            at = _after(text, at)
        else:
            parts.append(value)
        if text.startswith(",", at):
            at = _after(text, at + 1)
        elif not text.startswith(_CLOSING[opened], at):
            raise _NoLiteralError
    return (pairs if opened == "{" else parts), at + 1


def _after(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    return chr(int(code, 16)) if code else _ESCAPED.get(found[4], found[0])


def write(calls: Sequence[Call], special: bool) -> str:
    """Write the calls as a list, between Llama 4's marks, which are special tokens."""
    inside = ", ".join(
        f"{name}({', '.join(f'{key}={_python(value)}' for key, value in json.loads(arguments).items())})"
        for name, arguments in calls
    )
    return f"<|python_start|>[{inside}]<|python_end|>" if special else f"[{inside}]"


def _python(value: Any) -> str:
    """Write a JSON value as a literal of Python; raises ValueError for NaN and infinities, which are none."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_python(key)}: {_python(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    if isinstance(value, str):
        return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):x}", json.dumps(value, ensure_ascii=False))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no literal of Python")
    return repr(value)
