"""Converts conversations whose tools, calls and results are text in the Hermes form to structured ones.

The conversion covers `<tools>` in the system text, the instructions about these tags, `<tool_call>` in the assistant's
messages and `<tool_response>` in the results. It is complete or not done at all: a row with a tag that cannot be parsed
is refused.
"""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import one_line, well_formed
from pytest_fcpivot.data.calls_in_text import looks_like_a_call
from pytest_fcpivot.data.jsonparts import as_string, fields, part, string
from pytest_fcpivot.data.messages import ABSENT, TOOL_ROLES, Call, Function, Message, read_tools, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.shapes.turns import Turns

# The sentences about the tags in the known templates (Hermes 2 and 3, Qwen 2.5 and 3), in any spacing and case. They
# are removed; if a system text mentions the tags in other words, the row is refused.
_CALL_TAGS, _RESULT_TAGS = r"<tool_call>\s*</tool_call>", r"<tool_response>\s*</tool_response>"
_OBJECT = r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*"  # the inside of one that is nested twice at most
_IF_NOT_RELEVANT = "If available tools are not relevant in assisting with user query, just respond in natural"
_AFTER_CALLING = "After calling & executing the functions, you will be provided with"
_WITH_BOTH = "For each function call,? return a json object,? with function name and arguments within"
_THOUGHTS = r"You must use <scratch_pad>\s*</scratch_pad> XML tags to record your reasoning and planning before"

_PATTERNS = (
    r"#+ Tools(?=\s)",
    r"You are a function calling AI model\.",
    r"You are provided with function signatures within <tools>\s*</tools> XML tags[.:]?",
    r"You may call one or more functions to assist with the user query\.",
    rf"{_IF_NOT_RELEVANT} conversational language\.",
    r"Don't make assumptions about what values to plug into functions\.",
    rf"{_AFTER_CALLING} function results within {_RESULT_TAGS} XML tags\.",
    r"Here are the available tools:",
    r"Use the following pydantic model json schema for each tool call you will make:",
    r"For each function call,? return a json object,? with the following pydantic model json schema(?: for each)?:",
    rf"{_WITH_BOTH} {_CALL_TAGS} XML tags(?: as follows)?(?: with the following schema)?[.:]",
    rf"""\{{{_OBJECT}['"]title['"]: ['"]FunctionCall['"]{_OBJECT}\}}""",
    rf"Each function call should be enclosed within {_CALL_TAGS} XML tags\.",
    rf"{_THOUGHTS} you call the functions as follows\.",
    r"Example:(?=\s*<(?:scratch_pad|tool_call)>)",
    r"<scratch_pad>[^<]*</scratch_pad>(?=\s*<tool_call>)",
    r"<tool_call>\s*\{[^{}]*<[^{}]*>[^{}]*\}\s*</tool_call>",  # the template: {"name": <function-name>, …}
)
_INSTRUCTIONS = [re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE) for pattern in _PATTERNS]
_TOOLS = re.compile(r"<tools>(?=\s*[\[{])(.*?)</tools>", re.DOTALL)
_TAGS = re.compile(r"</?(?:tools|tool_call|tool_response)>")
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_RESPONSE = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)
_BLANK_LINES = re.compile(r"\n\s*\n(?:\s*\n)+")
_OF_A_RESULT = frozenset({"name", "content", "tool_call_id", "role"})


def from_hermes(turns: Turns, tools: bytes, line: int, key: str) -> tuple[bytes, bool]:
    """Convert a conversation in place; returns its tools, and whether there was anything to convert.

    Raises RowProblem, which names the message, if anything cannot be parsed.
    """
    messages: list[Message] = []
    places: list[int] = []
    converted = False
    for message, place in zip(turns.messages, turns.places, strict=True):
        where = f"{key}[{place}]" if place >= 0 else "system"
        text = string(text_of(bytes(message.content), set())) or ""
        if message.role in ("system", "developer") and _TAGS.search(text):
            found, text = _tools_of(text, where, line)
            tools = _one_list(tools, found, where, line)
            new = [Message(message.role, _raw(text))] if text else []
        elif message.role == "assistant" and not message.calls() and looks_like_a_call(as_string(text)):
            new = [_calling(message, text, where, line)]
        elif message.role in (*TOOL_ROLES, "user") and _TAGS.search(text) and "tool_response>" in text:
            new = list(_results(message, text, where, line))
        else:
            new = [message]
        converted = converted or new != [message]
        messages += new
        places += [place] * len(new)
    turns.messages, turns.places = messages, places
    return tools, converted


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(as_string(text))


def _one_list(given: bytes, found: list[Any], where: str, line: int) -> bytes:
    """Return the tools as JSON, from the row or the text; raises RowProblem if both have tools and they differ."""
    if not found:
        return given
    written = part(found)
    if given not in (b"null", b"[]"):
        of_row, of_text = (read_tools(each, line, set())[0] for each in (given, written))
        if json.loads(of_row) != json.loads(of_text):
            raise RowProblem(line, f"{where}: <tools> differ from the row's tools: which are on offer is not known")
        return given
    return written


# ---------------------------------------------------------------- the system text


def _tools_of(text: str, where: str, line: int) -> tuple[list[Any], str]:
    """Return the tools in a system text, and the rest of it, without them and without the instructions about tags."""
    found: list[Any] = []
    for block in _TOOLS.finditer(text):
        found += _listed(block[1], where, line)
    rest = _TOOLS.sub("", text)
    for known in _INSTRUCTIONS:
        rest = known.sub("", rest)
    if (tag := _TAGS.search(rest)) is not None:
        near = rest[max(0, tag.start() - 60) : tag.end() + 60]
        raise RowProblem(
            line,
            f"{where}: {tag[0]} in a system text is unclosed, or is mentioned in words of no known template: "
            f"{one_line(near, 140)!r}; remove them",
        )
    return found, _BLANK_LINES.sub("\n\n", rest).strip()


def _listed(text: str, where: str, line: int) -> list[Any]:
    """Read tools: a list, or one object per line."""
    try:
        value = _parsed(text.strip())
    except ValueError:
        try:
            value = [_parsed(each) for each in text.strip().splitlines() if each.strip()]
        except ValueError as error:
            raise RowProblem(line, f"{where}: <tools> that do not parse: {error}") from error
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in listed):
        raise RowProblem(line, f"{where}: <tools> must hold objects")
    return listed


def _parsed(text: str) -> Any:
    """Decode JSON, or the equivalent Python literal, which the published Hermes datasets contain as well.

    Raises ValueError for anything else.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError as error:
        reason = error
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"neither JSON nor a Python literal: {reason}") from None
    return value


# ---------------------------------------------------------------- calls and results


def _calling(message: Message, text: str, where: str, line: int) -> Message:
    calls = [_call(found[1], where, line) for found in _CALL.finditer(text)]
    rest = _CALL.sub("", text)
    if not calls or _TAGS.search(rest) or looks_like_a_call(as_string(rest)):
        raise RowProblem(line, f"{where}: a call is written as text, but not as <tool_call>…</tool_call>")
    return Message(message.role, _raw(rest.strip()), tool_calls=calls, weight=message.weight)


def _call(text: str, where: str, line: int) -> Call:
    members = _members_of(text.strip(), where, line)
    name = string(members.get("name"))
    if name is None:
        raise RowProblem(line, f"{where}: a <tool_call> must hold an object with name and arguments")
    keys = [key for key in ("arguments", "parameters") if key in members]
    if len(keys) > 1:
        raise RowProblem(line, f"{where}: a <tool_call> with both arguments and parameters")
    arguments = msgspec.Raw(members[keys[0]]) if keys else ABSENT
    return Call(Function(well_formed(name), arguments))


def _members_of(text: str, where: str, line: int) -> Fields:
    """Return the members of an object as JSON texts, copied from the text if that is JSON."""
    try:
        return fields(text.encode()) or {}
    except (ValueError, RecursionError):
        pass
    try:
        value = _parsed(text)
    except ValueError as error:
        raise RowProblem(line, f"{where}: a <tool_call> that does not parse: {error}") from error
    return {str(key): part(each) for key, each in value.items()} if isinstance(value, dict) else {}


def _results(message: Message, text: str, where: str, line: int) -> Iterator[Message]:
    """Yield a message for each result, and one for the user's text around them."""
    results = [found[1].strip() for found in _RESPONSE.finditer(text)]
    rest = _RESPONSE.sub("", text).strip()
    if not results or _TAGS.search(rest):
        raise RowProblem(line, f"{where}: a <tool_response> without its opening or closing tag")
    if rest and message.role != "user":
        raise RowProblem(line, f"{where}: text beside <tool_response> in a result: {one_line(rest, 80)!r}")
    for result in results:
        yield Message("tool", _output(result), tool_call_id=message.tool_call_id if len(results) == 1 else None)
    if rest:
        yield Message("user", _raw(rest))


def _output(text: str) -> msgspec.Raw:
    """Return the content of a result that is an object with the tool's name and `content`; else its whole text."""
    try:
        value = _parsed(text)
    except ValueError:
        return _raw(text)
    if isinstance(value, dict) and "content" in value and value.keys() <= _OF_A_RESULT:
        return msgspec.Raw(part(value["content"]))
    return _raw(text)
