"""Rows with a list of chat messages, of any API, and beside it tools, a system text and settings of the request."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.data.conversations import Conversation, id_of_content, own_id
from pytest_fcpivot.data.jsonparts import as_string, fields, is_object, is_string, joined, string
from pytest_fcpivot.data.messages import EMPTY, read_tools, text_of
from pytest_fcpivot.data.rows import EXPECTED, PARAMS
from pytest_fcpivot.data.shapes.turns import (
    NULL,
    is_object_text,
    json_member,
    looks_like_calls,
    looks_like_tools,
    read_turns,
    refuse_calls_in_text,
    system_message,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.messages import Message
    from pytest_fcpivot.data.shapes.how import How
    from pytest_fcpivot.data.shapes.turns import Turns

SYSTEM_KEYS = ("system", "system_prompt")
TOOL_KEYS = ("tools", "functions")  # "functions" is from the first version of the API
# Settings of a request that a row of chat may have beside its messages.
SETTINGS = (
    "parallel_tool_calls",
    "tool_choice",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "response_format",
    "reasoning_effort",
)
# Members that are more than metadata, and that rows of the published shape do not have.
NOT_PLAIN = frozenset((*SYSTEM_KEYS, "functions", "function_call", "response", "choices", *SETTINGS))
# Other names that may hold a system text; whether the model was shown such a text is not known.
_SYSTEM_LIKE = re.compile(r"(?i)sys(?:tem)?[_ -]?(?:prompt|message|instructions?|text|content)?")
_OLD_CHOICE = "function_call"
_MODES = {"any": b'"required"', "auto": b'"auto"', "none": b'"none"'}


def read_chat(row: Fields, line: int, how: How, key: str = "messages") -> Conversation:
    """Read a row whose messages are under `key`; raises RowProblem if it cannot be read completely."""
    turns = read_turns(row.get(key, NULL), line, key)
    how.saw("anthropic" if turns.has_blocks else "chat" if key == "messages" else "sharegpt")
    return conversation_of(turns, row, line, how, key)


def conversation_of(turns: Turns, row: Fields, line: int, how: How, key: str) -> Conversation:
    """Make a conversation from its messages and the row's other members; raises RowProblem as `read_chat` does."""
    tools = tools_beside(row, line)
    _refuse_tools_of_messages(turns, tools, line)
    _put_system_first(turns, row, line)
    if how.calls_in_text == "hermes":
        from pytest_fcpivot.data.shapes.hermes import from_hermes  # noqa: PLC0415 (only where it is asked for)

        tools, converted = from_hermes(turns, tools, line, key)
        if converted:
            how.saw("hermes")
    refuse_calls_in_text(turns, tools, line, key)
    settings = {name: row[name] for name in SETTINGS if row.get(name, NULL) != NULL}
    _read_choice(settings, row.get(_OLD_CHOICE, NULL), line)
    extras = [name for name in (*SYSTEM_KEYS, "functions", *SETTINGS, _OLD_CHOICE) if row.get(name, NULL) != NULL]
    keys = (key, "tools", *extras)
    members = {name: value for name, value in row.items() if name not in (key, *extras)}
    conversation = Conversation(
        {**members, "messages": turns.messages, "tools": tools},
        line,
        trajectory=own_id(row) or id_of_content(row, keys),
        params=joined(settings),
        places=turns.places,
        odd=how.odd,
    )
    refuse_what_would_be_lost(conversation, line)
    return conversation


def tools_beside(row: Fields, line: int) -> bytes:
    """Return a row's tools, as JSON, from any of TOOL_KEYS; raises RowProblem if two of them differ."""
    empty = (NULL, b"[]")
    given = [row[key] for key in TOOL_KEYS if key in row and json_member(row[key], key, line) not in empty]
    if len(given) > 1 and len({read_tools(each, line, set())[0] for each in given}) > 1:
        raise RowProblem(line, f"{' and '.join(TOOL_KEYS)} differ, and it is not known which are on offer")
    return given[0] if given else row.get("tools", NULL)


def _refuse_tools_of_messages(turns: Turns, tools: bytes, line: int) -> None:
    """Raise RowProblem for tools inside a message, unless they equal the row's tools."""
    on_offer = read_tools(tools, line, set())[0] if turns.tools else b""
    for where, given in turns.tools:
        if json.loads(read_tools(given, line, set())[0]) != json.loads(on_offer):
            raise RowProblem(
                line,
                f"{where} looks like tools, which the agent would not be offered; tools are read from "
                f"{' or '.join(TOOL_KEYS)} beside the messages",
            )


def _put_system_first(turns: Turns, row: Fields, line: int) -> None:
    """Turn a system text beside the messages into their first message, unless it is there already."""
    given = [(key, row[key]) for key in SYSTEM_KEYS if row.get(key, NULL) not in (NULL, EMPTY, b"[]")]
    texts = {key: text_of(value, set()) for key, value in given}
    if any(is_object(value) or value[0] in b"0123456789tf-" for _, value in given):
        raise RowProblem(line, f"{given[0][0]}: a text, or a list of texts, is expected")
    if len(set(texts.values())) > 1:
        raise RowProblem(line, f"{' and '.join(texts)} differ, and it is not known which one the model was shown")
    for text in set(texts.values()):
        message = system_message(text)
        first = turns.messages[0]
        if message is None or (first.role == "system" and text_of(bytes(first.content), set()) == text):
            return
        turns.messages = [message, *turns.messages]
        turns.places = [-1, *turns.places]


def _read_choice(settings: Fields, old: bytes, line: int) -> None:
    """Convert a tool choice of another API, or of the API's first version, to the form of Chat Completions."""
    if old != NULL and "tool_choice" not in settings:
        settings["tool_choice"] = old
    choice = settings.get("tool_choice", NULL)
    if is_string(choice):
        if is_object_text(choice):
            settings["tool_choice"] = choice = json_member(choice, "tool_choice", line)
        elif choice == b'"any"':  # Mistral's name for it
            settings["tool_choice"] = _MODES["any"]
    members = (fields(choice) or {}) if is_object(choice) else {}
    kind, name = string(members.get("type")), string(members.get("name"))
    if kind in _MODES:
        settings["tool_choice"] = _MODES[kind]
    elif name is not None and kind in (None, "tool"):
        settings["tool_choice"] = b'{"type":"function","name":%s}' % as_string(name)
    if members.get("disable_parallel_tool_use") == b"true":
        settings.setdefault("parallel_tool_calls", b"false")


def refuse_what_would_be_lost(conversation: Conversation, line: int) -> None:
    """Raise RowProblem if calls, tools or a system text seem to be under keys that are not read."""
    metadata, messages = conversation.metadata, conversation.messages
    if not conversation.n_tools:
        _refuse_tools_elsewhere(metadata, messages, line)
    if EXPECTED in metadata and PARAMS not in metadata:
        raise RowProblem(line, f"{EXPECTED} beside messages: it would be lost; it belongs beside {PARAMS}")
    for key, value in metadata.items():
        if is_string(value) and value != EMPTY and _SYSTEM_LIKE.fullmatch(key) and bytes(messages[0].content) != value:
            raise RowProblem(
                line,
                f"{one_line(key, 60)} looks like a system text, which the agent would not see; rename the key to "
                "system, or leave it out",
            )
    suspects = [key for key, value in metadata.items() if b"arguments" in value and looks_like_calls(key, value)]
    if not suspects:
        return
    if messages[-1].role != "assistant":
        where = "the messages end before the assistant's turn"
    elif not any(message.calls() for message in messages):
        where = "the messages have none"
    else:
        return
    raise RowProblem(
        line,
        f"{one_line(suspects[0], 60)} looks like calls, {where}, and they would be lost; write them into the messages, "
        "or leave the key out",
    )


def _refuse_tools_elsewhere(metadata: Fields, messages: Sequence[Message], line: int) -> None:
    for key, value in metadata.items():
        if value[:1] in (b"[", b'"') and b"name" in value and looks_like_tools(value):
            raise RowProblem(
                line,
                f"{one_line(key, 60)} looks like tools, which the agent would not be offered; tools are read from "
                f"{' or '.join(TOOL_KEYS)}: rename the key, or leave it out",
            )
    for message in messages:
        if message.role in ("system", "developer") and tools_in_text(bytes(message.content)):
            raise RowProblem(
                line,
                "the system text holds tools (<tools>), which the agent would not be offered as tools; "
                "fcpivot prepare --calls-in-text=hermes reads them",
            )


def tools_in_text(content: bytes) -> bool:
    """Return whether a system text, given as JSON, holds tools in the Hermes form."""
    return (b"<tools>" in content or b"u003ctools" in content) and b"{" in content
