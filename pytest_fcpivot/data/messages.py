"""Chat messages and their calls, read in one pass over a row's text; values that go into the store stay texts.

A message of the published shape is read by its types; one that departs from them in any way has all of its row decoded
by Python's own rules, and becomes the same thing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_fcpivot.chat import is_text_part
from pytest_fcpivot.data.jsonparts import NULL, as_string, decoded, is_array, is_json, is_string, part, string
from pytest_fcpivot.errors import RowProblem
from pytest_fcpivot.jsontext import well_formed

EMPTY = b'""'
_NO_ARGUMENTS = b'"{}"'


class Function(msgspec.Struct):
    """What is called, and its arguments: text or any other value."""

    name: str
    arguments: msgspec.Raw = NULL


class Call(msgspec.Struct):
    """A call that the assistant makes."""

    function: Function
    id: str | None = None

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name

    def written(self) -> bytes:
        """Return name and arguments as an item's members; arguments are a string that holds JSON."""
        arguments = bytes(self.function.arguments)
        if arguments in (b"null", EMPTY):
            arguments = _NO_ARGUMENTS
        elif not is_string(arguments):
            arguments = as_string(arguments)
        return b'"name":%s,"arguments":%s' % (as_string(self.function.name), arguments)

    def fault(self) -> str | None:
        """Say what is wrong with the arguments, if a grader could not read them."""
        arguments = string(bytes(self.function.arguments))
        if not arguments or is_json(arguments):
            return None
        return f"the arguments of {self.name!r:.80} are not JSON"


class Message(msgspec.Struct):
    """A message of a conversation; what it says further (the expert's thinking) is passed over."""

    role: str
    content: msgspec.Raw = NULL
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None

    def calls(self) -> list[Call]:
        """Return the calls that are made; `function_call` is the API's first form."""
        if self.tool_calls is None and self.function_call is not None:
            return [Call(self.function_call)]
        return self.tool_calls or []


_read = msgspec.json.Decoder(list[Message]).decode


def read_messages(text: bytes, line: int) -> list[Message]:
    """Read a conversation's messages.

    Raises RowProblem if there are none, one is no object with a role, or a call has no name.
    """
    try:
        messages = _read(text)
    except msgspec.DecodeError:
        value = decoded(text)
        messages = [_message(each, f"messages[{n}]", line) for n, each in enumerate(value)]
    if not messages:
        raise RowProblem(line, "no messages (a list that is not empty)")
    return messages


def _message(value: Any, where: str, line: int) -> Message:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise RowProblem(line, f"{where}: a message is an object with a role")
    listed, single, told = value.get("tool_calls"), value.get("function_call"), value.get("tool_call_id")
    calls = [
        _call(each, f"{where}.tool_calls[{n}]", line)
        for n, each in enumerate(listed if isinstance(listed, list) else ())
    ]
    return Message(
        value["role"],
        part(value.get("content")),
        calls if isinstance(listed, list) else None,
        told if isinstance(told, str) else None,
        _call(single, f"{where}.function_call", line).function if isinstance(single, dict) else None,
    )


def _call(value: Any, where: str, line: int) -> Call:
    inner = value.get("function") if isinstance(value, dict) else None
    function = inner if isinstance(inner, dict) else value
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowProblem(line, f"{where}: a call needs a name, a string")
    own = value.get("id")
    return Call(
        Function(well_formed(function["name"]), part(function.get("arguments"))), own if isinstance(own, str) else None
    )


class _Described(msgspec.Struct):
    """What decides whether a tool's function is the tool's flat form as it is."""

    name: str
    type: msgspec.Raw = NULL
    required: msgspec.Raw = NULL


class _Tool(msgspec.Struct):
    function: msgspec.Raw


_read_tools = msgspec.json.Decoder(list[_Tool]).decode
_read_described = msgspec.json.Decoder(_Described).decode


def read_tools(text: bytes, line: int, flags: set[str]) -> tuple[bytes, int]:
    """Return tools in their flat form, and their number; note in `flags` what is odd about them.

    `text` may also be a JSON string that holds them. Raises RowProblem if they are no list of objects.
    """
    if is_string(text):
        text = (string(text) or "").strip().encode("utf-8", "surrogatepass")
    if text == b"null":
        return b"[]", 0
    try:
        tools = _nested_tools(text)
    except (msgspec.DecodeError, _IrregularError):
        tools = _irregular_tools(text, line, flags)
    names = {name for name, _ in tools}
    if len(names) < len(tools):
        flags.add("duplicate-tool-names")
    return b"[%s]" % b",".join([flat for _, flat in tools]), len(tools)


class _IrregularError(Exception):
    """A tool departs from the published shape."""


def _nested_tools(text: bytes) -> list[tuple[str, bytes]]:
    """Read tools whose functions are their flat form already, but for the type."""
    tools = []
    for tool in _read_tools(text):
        function = bytes(tool.function)
        described = _read_described(function)
        if described.type is not NULL or described.required is not NULL:
            raise _IrregularError
        tools.append((described.name, b'{"type":"function",%s' % function[1:]))
    return tools


def _irregular_tools(text: bytes, line: int, flags: set[str]) -> list[tuple[str, bytes]]:
    try:
        value = decoded(text)
    except ValueError as error:
        raise RowProblem(line, f"tools: a string that is not JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise RowProblem(line, "tools must be a list of objects")
    tools = []
    for tool in value:
        function = tool.get("function")
        flat = _flat_tool(function if isinstance(function, dict) else tool, flags)
        tools.append((str(flat.get("name")), bytes(part(flat))))
    return tools


def _flat_tool(function: dict[str, Any], flags: set[str]) -> dict[str, Any]:
    flat = {"type": "function", **{key: value for key, value in function.items() if key not in ("type", "required")}}
    required = function.get("required")
    if required is None:
        return flat
    flags.add("required-beside-parameters")
    parameters = flat.get("parameters")
    if isinstance(required, list) and isinstance(parameters, dict) and "required" not in parameters:
        flat["parameters"] = {**parameters, "required": required}
    elif isinstance(required, list) and parameters is None:
        flat["parameters"] = {"type": "object", "properties": {}, "required": required}
    return flat


def text_of(content: bytes, flags: set[str]) -> bytes:
    """Return the text of a message as a JSON string: a string, or the texts of a list joined, else the value.

    What of a list is no text (images) is left out, and noted in `flags`.
    """
    if is_string(content):
        return content
    if content == b"null":
        return EMPTY
    if not is_array(content):
        return as_string(content)
    parts = _list(content)
    if parts is None:
        return as_string(content)
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
    if is_array(content):
        parts = _list(content)
        if parts and all(map(is_text_part, parts)):
            return as_string("\n".join(each["text"] for each in parts))
    return as_string(content)


def _list(content: bytes) -> list[Any] | None:
    try:
        parts: list[Any] = decoded(content)
    except RecursionError:  # no list of texts, then; its own text is kept
        return None
    return parts
