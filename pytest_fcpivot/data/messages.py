"""Types for chat messages in the form of the published datasets, decoded in one pass; values to be stored stay JSON.

A row that departs from these types, even by a single unknown member, is read by `data.shapes`, with the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from pytest_fcpivot.core.chat import TextPart, is_text_part
from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.calls_in_text import may_hold_a_call
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
    objects_or_texts,
    string,
    unwrapped,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.data.jsonparts import Fields

EMPTY = b'""'
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
TOOL_ROLES = frozenset({"tool", "function"})  # "function" is from the first version of the API
SCHEMA_KEYS = ("input_schema", "inputSchema")  # other APIs' names for a tool's parameters
_NULL = msgspec.Raw(b"null")
ABSENT = msgspec.Raw(b"")  # the value for arguments whose key is missing, so that they are unknown
_NO_ARGUMENTS = b'"{}"'
_BRACKET = b"["[0]
_SCHEMA_AS_TEXT = b'"parameters":"'


class Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The name of the called function, and its arguments: a string or any other JSON value, or `ABSENT`."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    arguments: msgspec.Raw = ABSENT


class Call(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A call by the assistant."""

    function: Function
    id: str | int | None = None
    type: Literal["function"] | None = None
    index: int | None = None

    def written(self) -> bytes:
        """Return name and arguments as the members of an item; the arguments are a string of JSON, or an empty one."""
        arguments = bytes(self.function.arguments)
        if arguments in (b"null", EMPTY):
            arguments = _NO_ARGUMENTS
        elif not arguments:
            arguments = EMPTY
        elif not is_string(arguments):
            arguments = in_string(arguments)
        return b'"name":%s,"arguments":%s' % (as_string(self.function.name), arguments)

    def fault(self) -> str | None:
        """Return why a grader could not read the arguments; None if it could."""
        raw = bytes(self.function.arguments)
        if not raw:
            return f"the call of {self.function.name!r:.80} has no arguments under any key that is known"
        arguments = string(raw)
        if not arguments or is_json(arguments):
            return None
        return f"the arguments of {self.function.name!r:.80} are not JSON"


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message of a conversation; other members, such as the expert's reasoning, are accepted but not kept.

    A `weight` of 0 marks a turn that is not to be learned.
    """

    role: str
    content: msgspec.Raw = _NULL
    reasoning_content: msgspec.Raw = _NULL
    tool_calls: list[Call] | None = None
    tool_call_id: str | int | None = None
    function_call: Function | None = None
    name: msgspec.Raw = _NULL
    reasoning: msgspec.Raw = _NULL
    refusal: msgspec.Raw = _NULL
    weight: float | None = None

    def calls(self) -> list[Call]:
        """Return the message's calls, from `tool_calls` or from `function_call` (the first version of the API)."""
        if not self.tool_calls and self.function_call is not None:
            return [Call(self.function_call)]
        return self.tool_calls or []


read_regular = msgspec.json.Decoder(list[Message]).decode


def is_plain(messages: Sequence[Message]) -> bool:
    """Return whether messages of the published types hold nothing that needs a closer look.

    They do if a role is unknown, calls are given twice or by another role than the assistant, the content of anything
    but a result is a list (its blocks may be calls), or an assistant's text looks like a call written as text.
    """
    texts = []
    for message in messages:
        role = message.role
        if message.function_call is not None and (message.tool_calls or role != "assistant"):
            return False
        if message.tool_calls and role != "assistant":
            return False
        if role == "tool":
            continue
        content = bytes(message.content)
        if content[0] == _BRACKET or role not in ROLES:
            return False
        if role == "assistant" and not message.tool_calls and message.function_call is None:
            texts.append(content)
    return not may_hold_a_call(texts)  # one search over all texts is faster


class _Function(
    msgspec.Struct, tag_field="type", tag="function", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A tool's function; encoded with its `type` tag, it is the flat form of the tool."""

    name: str
    description: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    strict: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Tool(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tool in the form of the published datasets."""

    function: _Function
    type: msgspec.Raw = _NULL


_read_tools = msgspec.json.Decoder(list[Tool]).decode
_write_functions = msgspec.json.Encoder().encode


def read_tools(tools: bytes | list[Tool], line: int, flags: set[str]) -> tuple[bytes, int]:
    """Return tools in their flat form as JSON, and their number; adds a flag to `flags` for anything unusual.

    `tools` is a JSON list, a JSON string that contains one, or a list that was decoded already. Raises RowProblem if it
    is not a list of objects.
    """
    try:
        names, flat = _tools_in(tools, line, flags) if isinstance(tools, bytes) else _flat_tools(tools)
    except ValueError as error:
        raise RowProblem(line, f"tools: a string that is not JSON: {error}") from error
    if len(set(names)) < len(names):
        flags.add("duplicate-tool-names")
    return flat, len(names)


def tool_names(tools: bytes, line: int) -> list[str]:
    """Return the names of tools, given as for `read_tools`."""
    flat, _ = read_tools(tools, line, set())
    return [name for tool in objects(flat) or () if (name := string(tool.get("name")))]


def _tools_in(text: bytes, line: int, flags: set[str]) -> tuple[list[str], bytes]:
    """Return the tools' names, and the list of their flat forms as JSON."""
    text = unwrapped(text)
    if text == b"null":
        return [], b"[]"
    try:
        return _flat_tools(_read_tools(text))
    except msgspec.DecodeError:
        return _irregular_tools(text, line, flags)


def _flat_tools(tools: list[Tool]) -> tuple[list[str], bytes]:
    functions = [tool.function for tool in tools]
    flat = _write_functions(functions)
    if _SCHEMA_AS_TEXT in flat:
        flat = _with_schemas(flat)
    return [function.name for function in functions], flat


def _with_schemas(flat: bytes) -> bytes:
    """Return flat tools in which parameters given as JSON text are replaced by the schema itself."""
    return b"[%s]" % b",".join([_flat_tool(tool, set()) for tool in objects(flat) or []])


def _irregular_tools(text: bytes, line: int, flags: set[str]) -> tuple[list[str], bytes]:
    if is_object(text) and not {"name", "function"}.isdisjoint(fields(text) or ()):
        text = b"[%s]" % text  # a single tool without its list
    tools = objects_or_texts(text) if is_array(text) else None
    if tools is None:
        decoded(text)  # raises ValueError if a string's content is not JSON
        raise RowProblem(line, "tools must be a list of objects")
    names: list[str] = []
    flat: list[bytes] = []
    for tool in tools:
        function = unwrapped(tool.get("function", b"null"))
        members = (fields(function) or {}) if is_object(function) else tool
        name, kind = string(members.get("name")), string(tool.get("type"))
        if not is_object(function) and not (kind in (None, "function") or (kind == "custom" and name is not None)):
            names.append(name or f"{kind}:{len(names)}")
            flat.append(joined(tool))  # a tool that the server provides, such as a search, is kept unchanged
            continue
        if name is None:
            raise RowProblem(line, f"tools[{len(names)}]: a tool needs a name, a string")
        names.append(name)
        flat.append(_flat_tool(members, flags))
    return names, b"[%s]" % b",".join(flat)


def _flat_tool(function: Fields, flags: set[str]) -> bytes:
    flat = {"type": b'"function"', **{key: value for key, value in function.items() if key not in ("type", "required")}}
    other = next((key for key in SCHEMA_KEYS if key in flat), None)
    if other is not None and flat.get("parameters", b"null") == b"null":
        flat["parameters"] = flat.pop(other)
    if is_string(flat.get("parameters")) and is_json(string(flat["parameters"]) or "null"):
        flat["parameters"] = unwrapped(flat["parameters"])
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
    """Return the text of a message as a JSON string.

    A string is returned unchanged, the texts of a list are joined, and any other value becomes its JSON text. Elements
    of a list that are not text (images) are left out, which adds a flag to `flags`.
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
    """Return a call's result as a JSON string: a string unchanged, text parts joined, any other value as JSON text."""
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
    except RecursionError:  # cannot be a list of texts; the caller keeps it as JSON text
        return None
    return parts
