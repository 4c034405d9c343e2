"""Converts messages of any known form, one by one, to the types of `data.messages`; unknown forms raise RowProblem.

Besides the published form, these are known: lists, objects and calls in a JSON string; a single call or message without
its list; the roles and keys of ShareGPT; calls without the nested `function`; arguments under the names of other APIs;
and the content blocks of Anthropic's API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import one_line, well_formed
from pytest_fcpivot.data.calls_in_text import looks_like_a_call, may_hold_a_call
from pytest_fcpivot.data.jsonparts import (
    decoded,
    fields,
    is_array,
    is_object,
    is_string,
    objects,
    objects_or_texts,
    string,
    unwrapped,
)
from pytest_fcpivot.data.messages import (
    ABSENT,
    EMPTY,
    ROLES,
    Call,
    Function,
    Message,
    is_plain,
    read_regular,
    text_of,
    tool_names,
)
from pytest_fcpivot.data.shapes.blocks import split_blocks

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields

NULL = b"null"
_CALLING = "calling"
# The names of roles in other formats; a message with one of the last two consists only of calls.
_ALIASES = {
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "model", "ai", "chatgpt", "bot"), "assistant"),
    **dict.fromkeys(("observation", "tool_response", "tool_result", "function_response", "ipython"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), _CALLING),
}
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value")
_READ = frozenset((*_ROLE_KEYS, *_CONTENT_KEYS, "tool_calls", "function_call", "tool_call_id", "name", "weight"))
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_CALL_TYPES = frozenset({None, "function", "function_call", "tool_call", "tool_use"})
_CONTENT_ELSEWHERE = frozenset({"text", "parts", "message", "output", "response", "answer", "contents"})
_BLANK = (EMPTY, b"[]", b"{}")
_MARKS = ("train", "train_on_turn", "trainable", "loss")  # in other formats, false here means weight 0
_CALL_LIKE = re.compile(r"tool|func|call|invo|action", re.IGNORECASE)
_NAMES = frozenset({"name", "function", "tool", "tool_name", "toolName", "action"})
_ARGUMENTS = frozenset((*ARGUMENT_KEYS, "arguments_json", "kwargs", "action_input", "tool_input", "functionCall"))


@dataclass(slots=True)
class Turns:
    """A conversation's messages, and for each its index in the list that it was read from.

    One message may become several, for example if its blocks are results; `has_blocks` is then true. `tools` are lists
    of tools found inside messages, each with its location for messages.
    """

    messages: list[Message] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    has_blocks: bool = False
    tools: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, message: Message, place: int) -> None:
        """Append a message."""
        self.messages.append(message)
        self.places.append(place)


def read_turns(given: bytes, line: int, key: str = "messages") -> Turns:
    """Read a conversation's messages from the member `key`: a list, or a JSON string that contains one.

    Raises RowProblem if there are none, or if one is not understood. Texts are not checked for calls written as text.
    """
    text = json_member(given, key, line, otherwise=f"no {key} (a list that is not empty): ")
    if is_object(text):
        text = b"[%s]" % text
    if not is_array(text):
        raise RowProblem(line, f"no {key} (a list that is not empty)")
    try:
        regular = read_regular(text)
    except msgspec.DecodeError:
        regular = None
    if regular and is_plain(regular):
        return Turns(regular, list(range(len(regular))))
    turns = _one_by_one(text, line, key)
    if not turns.messages:
        raise RowProblem(line, f"no {key} (a list that is not empty)")
    return turns


def json_member(value: bytes, key: str, line: int, otherwise: str = "") -> bytes:
    """Return a member, or the JSON inside it if it is a string; raises RowProblem if the string is not JSON."""
    try:
        return unwrapped(value)
    except (ValueError, RecursionError) as error:
        raise RowProblem(line, f"{otherwise}{key}: a string that is not JSON: {error}") from error


def _one_by_one(text: bytes, line: int, key: str) -> Turns:
    found = objects(text)
    if found is None:
        place = next(n for n, each in enumerate(decoded(text)) if not isinstance(each, dict))
        raise RowProblem(line, f"{key}[{place}]: a message is an object with a role")
    turns = Turns()
    for place, value in enumerate(found):
        where = f"{key}[{place}]"
        role = _role(value, where, line)
        content = _first(value, _CONTENT_KEYS)
        if role == _CALLING:
            calls = _calls(json_member(content, where, line), where, line)
            if not calls:
                raise RowProblem(line, f"{where}: no calls in a message that should be calls")
            turns.add(Message("assistant", tool_calls=calls, weight=_weight(value, where, line)), place)
            continue
        identifier = _identifier(value.get("tool_call_id"))
        _note_tools(value, where, turns)
        if is_array(content) and (blocks := split_blocks(role, content, where, line)) is not None:
            turns.has_blocks = True
            if blocks.calls and (listed := _calls_of(value, role, where, line)):
                if {call.id for call in listed} != {call.id for call in blocks.calls}:
                    raise RowProblem(line, f"{where}: calls both in tool_calls and in the content, and not the same")
                blocks.calls = listed
            for result in blocks.results:
                turns.add(result, place)
            if blocks.said or blocks.calls or not blocks.results:
                weight = _weight(value, where, line) if role == "assistant" else None
                said = msgspec.Raw(blocks.content)
                turns.add(Message(role, said, tool_calls=blocks.calls, tool_call_id=identifier, weight=weight), place)
            continue
        calls = _calls_of(value, role, where, line)
        if role == "assistant":
            _refuse_what_would_be_lost(value, where, line)
        if content == NULL and not calls:
            _refuse_another_content(value, role, where, line)
        weight = _weight(value, where, line) if role == "assistant" else None
        raw = msgspec.Raw(content)
        turns.add(Message(role, raw, tool_calls=calls, tool_call_id=identifier, weight=weight), place)
    return turns


def _role(value: Fields, where: str, line: int) -> str:
    given = string(_first(value, _ROLE_KEYS))
    if given is None:
        raise RowProblem(line, f"{where}: a message is an object with a role")
    role = _ALIASES.get(given.lower(), given)
    if role != _CALLING and role not in ROLES:
        known = ", ".join(sorted(ROLES | _ALIASES.keys()))
        raise RowProblem(line, f"{where}: unknown role {one_line(given, 60)!r}; known: {known}")
    return role


def _first(value: Fields, keys: tuple[str, ...]) -> bytes:
    return next((value[key] for key in keys if key in value), NULL)


def _identifier(text: bytes | None) -> str | int | None:
    number = text is not None and text.lstrip(b"-").isdigit()
    return (text or b"").decode() if number else string(text)


def _weight(value: Fields, where: str, line: int) -> float | None:
    """Return a message's weight, 0 for a turn that is marked as not to be learned; None if it has none."""
    for key in _MARKS:
        mark = decoded(value.get(key, NULL))
        if mark is not None and (mark == 0 or (isinstance(mark, str) and mark.strip().lower() in ("false", "0"))):
            return 0.0
    given = value.get("weight", NULL)
    weight = decoded(given)
    if weight is not None and not isinstance(weight, int | float):
        raise RowProblem(line, f"{where}: weight: a number is expected, 0 for a turn that is not to be learned")
    return None if weight is None else float(weight)


# ---------------------------------------------------------------- calls


def _calls_of(value: Fields, role: str, where: str, line: int) -> list[Call]:
    """Return a message's calls; raises RowProblem if another role has calls, or if two places hold different calls."""
    if role != "assistant":
        for key in ("tool_calls", "function_call"):
            if _has_a_name(json_member(value.get(key, NULL), f"{where}.{key}", line)):
                raise RowProblem(line, f"{where}: {key} in a message of the role {role}, where it would be lost")
        return []
    listed = json_member(value.get("tool_calls", NULL), f"{where}.tool_calls", line)
    calls = _calls(listed, f"{where}.tool_calls", line)
    single = json_member(value.get("function_call", NULL), f"{where}.function_call", line)
    if single == NULL:
        return calls
    members = fields(single) if is_object(single) else None
    if members is None:
        raise RowProblem(line, f"{where}.function_call: an object with name and arguments is expected")
    if all(each in (NULL, EMPTY) for each in members.values()):
        return calls
    call = read_call(members, f"{where}.function_call", line)
    if calls and [each.written() for each in calls] != [call.written()]:
        raise RowProblem(line, f"{where}: calls both in tool_calls and in function_call, and not the same")
    return calls or [call]


def _has_a_name(listed: bytes) -> bool:
    """Return whether a call, or any call of a list, names its function."""
    found = [fields(listed)] if is_object(listed) else objects(listed) if is_array(listed) else None
    return any(each and (string(each.get("name")) or is_object(each.get("function"))) for each in found or ())


def _calls(listed: bytes, where: str, line: int) -> list[Call]:
    if listed == NULL:
        return []
    if is_object(listed):
        return [read_call(fields(listed) or {}, where, line)]
    if not is_array(listed):
        raise RowProblem(line, f"{where}: a list of calls is expected")
    try:
        found = objects_or_texts(listed) or _none_of(listed)
    except ValueError as error:
        raise RowProblem(line, f"{where}: a string that is not JSON: {error}") from error
    return [read_call(each, f"{where}[{n}]", line) for n, each in enumerate(found)]


def _none_of(listed: bytes) -> list[Fields]:
    """Return an empty list for an empty one; for one of other values, an empty call, which is refused when read."""
    return [{}] if decoded(listed) else []


def read_call(value: Fields, where: str, line: int) -> Call:
    """Read a call, given as its members; raises RowProblem if its form is not known."""
    kind = string(value.get("type", NULL))
    if kind not in _CALL_TYPES:
        raise RowProblem(line, f"{where}: calls of type {kind!r:.80} are not known, and this one would be lost")
    inner = json_member(value["function"], where, line) if is_object_text(value.get("function")) else NULL
    function = (fields(inner) or {}) if is_object(inner) else {}
    name = string(function.get("name")) or string(value.get("name"))
    if name is None:
        raise RowProblem(line, f"{where}: a call needs a name, a string")
    arguments = _arguments(function, where, line)
    if arguments is ABSENT:
        arguments = _arguments(value, where, line)
    return Call(Function(well_formed(name), arguments), _identifier(value.get("id", value.get("tool_call_id"))))


def is_object_text(value: bytes | None) -> bool:
    """Return whether a JSON text is an object, or a string that begins like one."""
    return is_object(value) or (is_string(value) and (string(value) or "").lstrip().startswith("{"))


def _arguments(members: Fields, where: str, line: int) -> msgspec.Raw:
    """Return a call's arguments from any of ARGUMENT_KEYS, ABSENT without such a key; null counts as no arguments."""
    there = [key for key in ARGUMENT_KEYS if key in members]
    given = [key for key in there if members[key] != NULL] or there[:1]
    if len({members[key] for key in given}) > 1:
        raise RowProblem(line, f"{where}: several keys hold different arguments: {', '.join(given)}")
    return msgspec.Raw(members[given[0]]) if given else ABSENT


# ---------------------------------------------------------------- what would be lost


def _refuse_what_would_be_lost(value: Fields, where: str, line: int) -> None:
    for key, member in value.items():
        if key not in _READ and (looks_like_calls(key, member) or _is_called_calls(key, member)):
            raise RowProblem(
                line,
                f"{where}.{one_line(key, 60)} looks like calls, and would be lost; calls are read from tool_calls, "
                "function_call and tool_use blocks",
            )


def _is_called_calls(key: str, member: bytes) -> bool:
    """Return whether an unknown key ends in "call" or "calls" and holds a string or a list that is not empty."""
    return key.lower().endswith(("call", "calls")) and (is_string(member) or is_array(member)) and member not in _BLANK


def _refuse_another_content(value: Fields, role: str, where: str, line: int) -> None:
    """Raise RowProblem for a message without content that may have it under an unknown key."""
    for key, member in value.items():
        if key in _READ or key in ("id", "type") or (role == "assistant" and key not in _CONTENT_ELSEWHERE):
            continue
        if member[:1] in (b'"', b"[", b"{") and member not in _BLANK:
            raise RowProblem(
                line,
                f"{where}: it has no {' or '.join(_CONTENT_KEYS)}, but {one_line(key, 60)}, which is not read and "
                "would be lost; rename the key to content, or leave it out",
            )


def _note_tools(value: Fields, where: str, turns: Turns) -> None:
    for key, member in value.items():
        if key not in _READ and b"name" in member and looks_like_tools(member):
            turns.tools.append((f"{where}.{one_line(key, 60)}", member))


def looks_like_calls(key: str, value: bytes) -> bool:
    """Return whether an unknown key seems to hold a call or a list of calls, by the members or by its name."""
    if b"{" not in value:
        return False
    try:
        value = unwrapped(value)
    except (ValueError, RecursionError):
        return False  # an ordinary text
    listed = [fields(value)] if is_object(value) else objects(value) if is_array(value) else None
    members = [each for each in listed or () if each]
    by_key = bool(_CALL_LIKE.search(key)) or key in _ARGUMENTS
    return (by_key and bool(members)) or any(map(_is_call, members))


def _is_call(members: Fields) -> bool:
    if not _NAMES.isdisjoint(members) and not _ARGUMENTS.isdisjoint(members):
        return True
    return is_object(members.get("function")) or is_object(members.get("functionCall"))


def looks_like_tools(value: bytes) -> bool:
    """Return whether a value is a list of tools, or a string that contains one."""
    try:
        value = unwrapped(value)
        listed = objects(value) if is_array(value) else None
    except (ValueError, RecursionError):
        return False
    described = {"parameters", "input_schema", "inputSchema", "description"}
    if not listed:
        return False
    return all(
        is_object(each.get("function")) or ("name" in each and not described.isdisjoint(each)) for each in listed
    )


def refuse_calls_in_text(turns: Turns, tools: bytes, line: int, key: str) -> None:
    """Raise RowProblem if an assistant message contains calls as text; `tools` are those on offer, as JSON."""
    said = [
        (text_of(bytes(message.content), set()), place)
        for message, place in zip(turns.messages, turns.places, strict=True)
        if message.role == "assistant" and not message.calls()
    ]
    if not may_hold_a_call(text for text, _ in said):
        return
    names = tool_names(tools, line)
    for text, place in said:
        if looks_like_a_call(text, names):
            raise RowProblem(
                line,
                f"{key}[{place}]: the expert's call is written as text, and would be read as a message; if it is in "
                "<tool_call> tags, fcpivot prepare --calls-in-text=hermes reads it",
            )


def system_message(text: bytes) -> Message | None:
    """Return a system message with a text given beside the messages; None if the text is empty."""
    return None if text in (NULL, EMPTY, b"[]") else Message("system", msgspec.Raw(text))
