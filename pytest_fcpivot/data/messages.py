"""Chat messages and their calls, read in one pass over a row's text; values that go into the store stay texts.

A conversation whose messages have the published types is read by them; one that departs from these in any way is read
member by member, to the same things.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.chat import TextPart, is_text_part
from pytest_fcpivot.data.jsonparts import (
    as_string,
    decoded,
    fields,
    in_string,
    is_array,
    is_json,
    is_object,
    is_string,
    joined,
    objects,
    refuse_long_integers,
    string,
)
from pytest_fcpivot.errors import RowProblem
from pytest_fcpivot.jsontext import well_formed

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields

EMPTY = b'""'
_NULL = msgspec.Raw(b"null")
_NO_ARGUMENTS = b'"{}"'


class Function(msgspec.Struct, gc=False):
    """What is called, and its arguments: text or any other value."""

    name: str
    arguments: msgspec.Raw = _NULL


class Call(msgspec.Struct, gc=False):
    """A call that the assistant makes."""

    function: Function
    id: str | int | None = None

    def written(self) -> bytes:
        """Return name and arguments as an item's members; arguments are a string that holds JSON."""
        arguments = bytes(self.function.arguments)
        if arguments in (b"null", EMPTY):
            arguments = _NO_ARGUMENTS
        elif not is_string(arguments):
            arguments = in_string(arguments)
        return b'"name":%s,"arguments":%s' % (as_string(self.function.name), arguments)

    def fault(self) -> str | None:
        """Say what is wrong with the arguments, if a grader could not read them."""
        arguments = string(bytes(self.function.arguments))
        if not arguments or is_json(arguments):
            return None
        return f"the arguments of {self.function.name!r:.80} are not JSON"


class Message(msgspec.Struct, gc=False):
    """A message of a conversation; what it says further (the expert's thinking) is passed over."""

    role: str
    content: msgspec.Raw = _NULL
    tool_calls: list[Call] | None = None
    tool_call_id: str | int | None = None
    function_call: Function | None = None

    def calls(self) -> list[Call]:
        """Return the calls that are made; `function_call` is the API's first form."""
        if not self.tool_calls and self.function_call is not None:
            return [Call(self.function_call)]
        return self.tool_calls or []


_read = msgspec.json.Decoder(list[Message]).decode


def read_messages(messages: bytes | list[Message], line: int) -> list[Message]:
    """Read a conversation's messages, unless they have been read already.

    Raises RowProblem if there are none, one is no object with a role, or a call has no name.
    """
    if isinstance(messages, bytes):
        messages = _messages_in(messages, line)
    if not messages:
        raise RowProblem(line, "no messages (a list that is not empty)")
    return messages


def _messages_in(text: bytes, line: int) -> list[Message]:
    if not is_array(text):
        return []
    try:
        return _read(text)
    except msgspec.DecodeError:
        return _irregular_messages(text, line)


def _irregular_messages(text: bytes, line: int) -> list[Message]:
    """Read messages one by one, values still as texts, where the shape is not the published one."""
    found = objects(text)
    if found is None:
        place = next(n for n, each in enumerate(decoded(text)) if not isinstance(each, dict))
        raise RowProblem(line, f"messages[{place}]: a message is an object with a role")
    return [_message(each, f"messages[{n}]", line) for n, each in enumerate(found)]


def _message(value: Fields, where: str, line: int) -> Message:
    role = string(value.get("role"))
    if role is None:
        raise RowProblem(line, f"{where}: a message is an object with a role")
    listed, single = value.get("tool_calls", b"null"), value.get("function_call", b"null")
    calls: list[Call] = []
    if role == "assistant" and is_array(listed):
        calls = [_call(each, f"{where}.tool_calls[{n}]", line) for n, each in enumerate(objects(listed) or [{}])]
    if role == "assistant" and not calls and is_object(single):
        members = fields(single) or {}
        if any(each != b"null" for each in members.values()):
            calls = [_call(members, f"{where}.function_call", line)]
    return Message(role, msgspec.Raw(value.get("content", b"null")), calls, _identifier(value.get("tool_call_id")))


def _call(value: Fields, where: str, line: int) -> Call:
    inner = value.get("function", b"null")
    function = (fields(inner) or {}) if is_object(inner) else value
    name = string(function.get("name"))
    if name is None:
        raise RowProblem(line, f"{where}: a call needs a name, a string")
    arguments = msgspec.Raw(function.get("arguments", b"null"))
    return Call(Function(well_formed(name), arguments), _identifier(value.get("id")))


def _identifier(text: bytes | None) -> str | int | None:
    number = text is not None and text.lstrip(b"-").isdigit()
    return (text or b"").decode() if number else string(text)


class _Function(
    msgspec.Struct, tag_field="type", tag="function", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A tool's function, which is the tool's flat form once it has the type."""

    name: str
    description: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    strict: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Tool(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tool of the published shape."""

    function: _Function
    type: msgspec.Raw = _NULL


_read_tools = msgspec.json.Decoder(list[Tool]).decode
_write_functions = msgspec.json.Encoder().encode


def read_tools(tools: bytes | list[Tool], line: int, flags: set[str]) -> tuple[bytes, int]:
    """Return tools in their flat form, and their number; note in `flags` what is odd about them.

    They are text, which may also be a JSON string that holds them, or have been read already. Raises RowProblem if they
    are no list of objects.
    """
    try:
        names, flat = _tools_in(tools, line, flags) if isinstance(tools, bytes) else _flat_tools(tools)
    except ValueError as error:
        raise RowProblem(line, f"tools: a string that is not JSON: {error}") from error
    if len(set(names)) < len(names):
        flags.add("duplicate-tool-names")
    return flat, len(names)


def _tools_in(text: bytes, line: int, flags: set[str]) -> tuple[list[str], bytes]:
    """Return the tools' names, and their flat forms as one text."""
    given = string(text)
    if given is not None:
        text = _text_in(given)
    if text == b"null":
        return [], b"[]"
    try:
        return _flat_tools(_read_tools(text))
    except msgspec.DecodeError:
        return _irregular_tools(text, line, flags)


def _text_in(text: str) -> bytes:
    """Return the JSON that a string holds."""
    if not text.strip():
        return b"null"
    try:
        raw = text.strip().encode()
    except UnicodeEncodeError:  # lone surrogates
        return json.dumps(json.loads(text)).encode()
    refuse_long_integers(raw)
    return raw


def _flat_tools(tools: list[Tool]) -> tuple[list[str], bytes]:
    functions = [tool.function for tool in tools]
    return [function.name for function in functions], _write_functions(functions)


def _irregular_tools(text: bytes, line: int, flags: set[str]) -> tuple[list[str], bytes]:
    tools = objects(text) if is_array(text) else None
    if tools is None:
        decoded(text)  # a string may hold what is not JSON, and is told so
        raise RowProblem(line, "tools must be a list of objects")
    names, flat = [], []
    for tool in tools:
        function = tool.get("function", b"null")
        members = fields(function) if is_object(function) else tool
        names.append(string((members or {}).get("name")) or "")
        flat.append(_flat_tool(members or {}, flags))
    return names, b"[%s]" % b",".join(flat)


def _flat_tool(function: Fields, flags: set[str]) -> bytes:
    flat = {"type": b'"function"', **{key: value for key, value in function.items() if key not in ("type", "required")}}
    required = function.get("required", b"null")
    if required != b"null":
        flags.add("required-beside-parameters")
        parameters = flat.get("parameters", b"null")
        members = fields(parameters) if is_object(parameters) else None
        if is_array(required) and members is not None and "required" not in members:
            flat["parameters"] = joined({**members, "required": required})
        elif is_array(required) and parameters == b"null":
            flat["parameters"] = b'{"type":"object","properties":{},"required":%s}' % required
    return joined(flat)


def text_of(content: bytes, flags: set[str]) -> bytes:
    """Return the text of a message as a JSON string: a string, or the texts of a list joined, else the value.

    What of a list is no text (images) is left out, and noted in `flags`.
    """
    if is_string(content):
        return content
    if content == b"null":
        return EMPTY
    if not is_array(content):
        return in_string(content)
    parts = _list(content)
    if parts is None:
        return in_string(content)
    texts = [
        each if isinstance(each, str) else each["text"] for each in parts if isinstance(each, str) or is_text_part(each)
    ]
    if len(texts) < len(parts):
        flags.add("content-that-is-not-text")
    return as_string("\n".join(texts))


def result_of(content: bytes) -> bytes:
    """Return a call's result as a JSON string: a string, a list of text parts as their text, else the value."""
    if is_string(content):
        return content
    texts = _texts_of_parts(content) if is_array(content) else None
    return as_string("\n".join(texts)) if texts else in_string(content)


class _TextPart(msgspec.Struct, gc=False):
    type: TextPart
    text: str


_read_text_parts = msgspec.json.Decoder(list[_TextPart]).decode


def _texts_of_parts(content: bytes) -> list[str] | None:
    """Return the texts of a list of text parts; None if one of its items is something else."""
    try:
        return [each.text for each in _read_text_parts(content)]
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:
        parts = _list(content) or []
        return [each["text"] for each in parts] if all(map(is_text_part, parts)) else None


def _list(content: bytes) -> list[Any] | None:
    try:
        parts: list[Any] = decoded(content)
    except RecursionError:  # no list of texts, then; its own text is kept
        return None
    return parts
