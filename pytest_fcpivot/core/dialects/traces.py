"""Recognises traces of an attempted call that no dialect can read, such as broken or cut-off marks.

A text with such a trace is not a message: a model that is rewarded for messages must not be rewarded for the rubble of
a call. Marks that a sentence mentions, quotations, and code in a fence are no traces.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.dialects.jsoncalls import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.dialects.attempts import Tools

_BAR = "[|\uff5c]"
_MARK = re.compile(
    rf"""</?tool_calls?>|<function=|<parameter=|</?arg_(?:key|value)>|</?function_calls>|</?minimax:tool_call>
    |<{_BAR}tool[\u2581_][^<>\n]{{1,40}}{_BAR}>|</?\s?{_BAR}\s?DSML\s?{_BAR}
    |<\|(?:python_tag|python_start|python_end|channel|constrain|message|call)\|>
    |\[(?:TOOL_CALLS|ARGS|CALL_ID)\]|(?<!\w)to=functions""",
    re.VERBOSE,
)
_BEGINS_OF_MARKS = ("<", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "to=functions")
_WHOLE_MARKS = (
    *("<tool_call>", "</tool_call>", "<function=", "<parameter=", "<arg_key>", "<arg_value>", "[TOOL_CALLS]"),
    *("<|python_tag|>", "<|python_start|>", "<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|channel|>"),
    *("<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581call\u2581begin\uff5c>", "<think>", "[THINK]"),
    *("<|start|>assistant", "commentary to=functions.", "functions."),
)
_SHORTEST_REST = 2  # characters of a mark that is cut off after other text
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_WINDOW = 200  # characters that are looked at around a mark
_QUOTES = "`\"'\u201c\u201d\u2018\u2019\u00ab\u00bb"
_AFTER_MENTION = " \t\n.,;:!?)"

_NAME_KEYS, _ARGUMENT_KEYS = ("name", "function", "tool"), ("arguments", "parameters", "args")
_ALL_KEYS = (*_NAME_KEYS, *_ARGUMENT_KEYS, "type", "id", "tool_calls")
_FURTHER_KEYS = frozenset((*_ALL_KEYS, "call_id", "index"))
_BEGUN_JSON = re.compile(
    r"""\[?\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?(?:"(?P<key>[a-z_]*)(?:"\s*(?::\s*(?:"(?P<value>[^"\n]*)"?)?)?)?)?\Z"""
)
_NAME_THEN_KEY = re.compile(rf'\[?\s*\{{\s*"(?:{"|".join(_NAME_KEYS)})"\s*:\s*"[^"\n]*"\s*,\s*(?:"(\w*)"?\s*:?\s*)?\Z')
_NAME_THEN_ARGUMENTS = re.compile(
    rf"\[?\s*\{{\s*\W{{0,3}}(?:{'|'.join(_NAME_KEYS)})\b(?:(?!description).){{1,200}}?"
    rf"\b(?:{'|'.join(_ARGUMENT_KEYS)})\b\W{{1,6}}\{{",
    re.DOTALL,
)
_ARGUMENTS = re.compile(rf"[\"'](?:{'|'.join(_ARGUMENT_KEYS)})[\"']")
_STRING = re.compile(r"[\"']([^\"'\n]{1,200})[\"']")
_HEAD = 400  # characters of a broken object in which its tool's name stands
_NAME_AND_OBJECT = re.compile(
    r"""\s*(?:(?!json\b|JSON\b)(?=[^\s{}"'`]{0,99}\w)[^\s{}"'`]{1,100}\{\s*(?:"|\}|\Z)  # a name and JSON
    |[\w.\-/:]{1,100}(?:\{\s*\w+"\s*:|\{?\s*"\w+"\s*:|\{\s*'\w+'\s*:)  # with a character that is missing or wrong
    |<[^<>\n]{1,60}>\s*[\[{]\s*["{])  # a damaged mark, and JSON""",
    re.VERBOSE,
)
_LIST_OF_CALLS = re.compile(r"\s*\[[^\s()\[\]]{1,100}\(\s*(?:\)|\Z|[A-Za-z_]\w*\s*(?:[\"'=]|\Z))")
# The end of a call whose beginning is missing.
_JSON_KEY, _KEYWORD = re.compile(r"\w[\"']\s*:\s*[\"'\d\[{tfn-]"), re.compile(r"\w=[\"'\d\[{TFN-]")
_RUBBLE = re.compile(r"[\"'\w.)\]}]\s*(\}|\)\s*\])\s*\Z")
_RUN_IN = re.compile(r"(?<![\w.\-/])([\w.\-/]++)\{\s*[\"}]")
_NAME_BEGUN = re.compile(r"(?P<list>\[)?\s*(?P<name>[\w.\-/]*)\s*(?P<open>[({])?\Z")
_NUMBERED = re.compile(r"\s*functions?\.(?:[^\s{]{0,100}\{|[\w.\-/]+(?::\d*)?\s*(?:\{|\Z))")
_ADDRESSED = re.compile(
    r"""\s*(?:(?:(?:assistant|commentary|analysis|final)[ \t]*){1,3}to=|to=functions|commentary\s*\Z
    |(?:assistant)?(?:commentary|analysis)?[^\n{]{0,12}\bfunctions?\.[^\s{]{1,100}\s*(?:json|code)?\s*\{)""",
    re.VERBOSE,
)
_NAMELESS_FENCE = re.compile(r"function[ \t]*([\w.\-/]+)[ \t]*(?:\r?\n\s*(?:`|\Z)|\Z)")


def attempts_call(text: str, tools: Tools) -> bool:
    """Return whether a text in which no dialect finds a call shows nevertheless that one was attempted."""
    stripped = text.strip()
    if stripped[:1] in _QUOTES and stripped[-1:] in _QUOTES and not stripped.startswith("```"):
        text = stripped[1:-1]  # a call in quotes and nothing else
    return (
        _is_json_call(text, tools)
        or _is_other_call(text, tools)
        or _ends_in_mark(text)
        or any(not _is_mentioned(text, mark.start(), mark.end()) for mark in _marks(text))
    )


def _marks(text: str) -> Iterator[re.Match[str]]:
    """Yield the marks outside of code fences that follow other text."""
    if not any(begin in text for begin in _BEGINS_OF_MARKS):
        return
    fences = [fence.span() for fence in _FENCE.finditer(text)] if "```" in text else []
    if fences and not text[: fences[0][0]].strip():
        fences.pop(0)
    place = 0
    for mark in _MARK.finditer(text):
        while place < len(fences) and fences[place][1] <= mark.start():
            place += 1
        if place == len(fences) or mark.start() < fences[place][0]:
            yield mark


def _is_mentioned(text: str, start: int, end: int) -> bool:
    """Return whether a mark is quoted, or a word of a sentence."""
    before, after = text[max(0, start - _WINDOW) : start], text[end : end + _WINDOW]
    line = before[before.rfind("\n") + 1 :]
    if not line.strip():
        return False
    if line.count("`") % 2 and "`" in after:
        return True
    if line[-1] in _QUOTES and any(quote in after for quote in _QUOTES):
        return True
    return line[-1] in " \t(" and (after[:1] in _AFTER_MENTION or text[start:end].endswith("="))


def _ends_in_mark(text: str) -> bool:
    """Return whether a text is the beginning of a mark, or ends in a line that is one."""
    tail = text[-_WINDOW:].rstrip()
    last_line = tail[tail.rfind("\n") + 1 :].strip()
    whole = len(last_line) == len(text.strip())
    if not last_line or len(last_line) < _SHORTEST_REST - whole:
        return False
    return any(mark.startswith(last_line) for mark in _WHOLE_MARKS)


def _is_json_call(text: str, tools: Tools) -> bool:
    """Return whether a text is JSON, broken or not, in the form of calls."""
    begin = len(text) - len(text.lstrip())
    if text[begin : begin + 1] not in ("{", "["):
        return False
    decoded, _, whole = values(text, begin)
    if whole:
        parts = [part for value in decoded for part in (value if isinstance(value, list) else [value])]
        if parts and all(map(_has_form_of_call, parts)):
            return True
    elif begun := _BEGUN_JSON.match(text, begin):
        return _is_begun_call(begun["key"], begun["value"])
    elif _NAME_THEN_ARGUMENTS.match(text, begin):
        return True
    elif cut_off := _NAME_THEN_KEY.match(text, begin):
        return any(key.startswith(cut_off[1] or "") for key in _ARGUMENT_KEYS)
    head = text[begin : begin + _HEAD]
    named = any(found[1] in tools.names for found in _STRING.finditer(head))
    return named and '"description"' not in head and _ARGUMENTS.search(text, begin) is not None


def _has_form_of_call(value: object) -> bool:
    if not isinstance(value, dict) or not value.keys() <= _FURTHER_KEYS:
        return False
    named = any(isinstance(value.get(key), str) for key in _NAME_KEYS)
    return named and any(isinstance(value.get(key), dict) for key in _ARGUMENT_KEYS)


def _is_begun_call(key: str | None, value: str | None) -> bool:
    if value is None:
        return key is None or any(known.startswith(key) for known in _ALL_KEYS)
    if key == "type":
        return "function".startswith(value)
    return key in _NAME_KEYS


def _is_other_call(text: str, tools: Tools) -> bool:
    """Return whether a text begins with the broken form of a call without marks, or is cut off within one."""
    if any(form.match(text) for form in (_NAME_AND_OBJECT, _LIST_OF_CALLS, _NUMBERED, _ADDRESSED)):
        return True
    stripped = text.strip()
    if begun := _NAME_BEGUN.match(stripped):
        name = begun["name"]
        if begun["list"] and not begun["open"] and any(known.startswith(name) for known in tools.names):
            return True
        if name in tools.names:
            return True
    if ended := _RUBBLE.search(text, max(0, len(text) - _WINDOW)):
        if ended[1] == "}" and text.count("}") > text.count("{") and _JSON_KEY.search(text):
            return True
        if ended[1] != "}" and text.count("]") > text.count("[") and _KEYWORD.search(text):
            return True
    fence = _NAMELESS_FENCE.match(stripped)
    if fence and fence[1] in tools.names:
        return True
    names = tuple(tools.names)
    return "{" in text and any(found[1].endswith(names) for found in _RUN_IN.finditer(text))
