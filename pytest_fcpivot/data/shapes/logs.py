"""Logs of one exchange with a model: request and response, of Chat Completions, Anthropic's or the Responses API.

Each row gives one pivot, whose expected action is the response. Earlier assistant turns are part of the request; they
are the responses of other rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.data.conversations import SkippedTurn, id_of_content, own_id
from pytest_fcpivot.data.jsonparts import (
    as_string,
    decoded,
    fields,
    is_array,
    is_object,
    is_string,
    joined,
    objects,
    string,
    unwrapped,
)
from pytest_fcpivot.data.messages import EMPTY
from pytest_fcpivot.data.rows import EXPECTED, PARAMS, StoredPivot, read_row, stem_of
from pytest_fcpivot.data.shapes.chat import SYSTEM_KEYS, conversation_of
from pytest_fcpivot.data.shapes.items import Rollout, action_of, is_given, trajectory_id
from pytest_fcpivot.data.shapes.turns import NULL, json_member, looks_like_tools, read_turns

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.shapes.how import How

_ANSWERS = ("choices", "output", "message", "content")
CUT_OFF = "expected-answer-cut-off"
_CUT_OFF_REASONS = frozenset({"length", "max_tokens", "MAX_TOKENS"})
# The settings of a Responses request, which the Response repeats; the agent gets them as `params`.
_SETTINGS = (
    "parallel_tool_calls",
    "tool_choice",
    "temperature",
    "top_p",
    "max_output_tokens",
    "max_tool_calls",
    "reasoning",
    "text",
    "truncation",
)
_IDS = frozenset({"id", "uuid", "trajectory_id"})
# Beside input and output, these show that a row is not of the Responses API, or hold text the agent would not see.
_NOT_OF_LOGS = ("instruction", "history", *SYSTEM_KEYS)
_ITEMS = frozenset({"input", "output", "tools", "instructions", *_SETTINGS})


def is_response(value: bytes) -> bool:
    """Return whether a member holds a model's response as an object, rather than only its text."""
    members = _object(value)
    return bool(members) and any(key in members for key in (*_ANSWERS, "body", "error"))


def _object(value: bytes) -> Fields:
    try:
        value = unwrapped(value)
        return (fields(value) or {}) if is_object(value) else {}
    except (ValueError, RecursionError):
        return {}


def read_exchange(row: Fields, line: int, how: How) -> StoredPivot | Rollout:
    """Read a row of `request` and `response`; raises RowProblem if it cannot be read completely."""
    how.saw("request-response")
    request, response = (_body(row[key], key, line) for key in ("request", "response"))
    rest = {key: value for key, value in row.items() if key not in ("request", "response")}
    return _exchange(rest, request, response, line, how)


def read_messages_and_response(row: Fields, line: int, how: How) -> StoredPivot | Rollout:
    """Read a row that is itself a request, with `response` or `choices` added; raises RowProblem if it is broken."""
    how.saw("request-response")
    if row.get("response", NULL) != NULL:
        response = _body(row["response"], "response", line)
    else:
        response = {"choices": row["choices"]}
    rest = {key: value for key, value in row.items() if key not in ("response", "choices")}
    return _exchange({}, rest, response, line, how)


def _body(value: bytes, key: str, line: int) -> Fields:
    text = json_member(value, key, line)
    members = fields(text) if is_object(text) else None
    if members is None:
        raise RowProblem(line, f"{key}: an object is expected")
    return _body(members["body"], f"{key}.body", line) if members.get("body", NULL) != NULL else members


def _exchange(rest: Fields, request: Fields, response: Fields, line: int, how: How) -> StoredPivot | Rollout:
    error = response.get("error", NULL)
    if error != NULL:
        raise RowProblem(line, f"response: an error, not an answer: {shown(decoded(error))}")
    identity = own_id(rest) or own_id(request) or own_id(response)
    if is_array(json_member(response.get("output", NULL), "response.output", line)):
        if "input" not in request:
            raise RowProblem(line, "the response is of the Responses API, but the request has no input")
        kept = {key: value for key, value in response.items() if key not in _ITEMS and key not in _IDS}
        whole = {**rest, "response_details": joined(kept), **request, "output": response["output"]}
        whole = {key: value for key, value in whole.items() if key not in _IDS}
        if identity is not None:
            whole["id"] = as_string(identity)
        return _items_log(whole, response, line, how)
    message = _message_of(response, line, how)
    given = json_member(request.get("messages", NULL), "request.messages", line)
    if is_string(given) or not is_array(given):
        raise RowProblem(line, "a request without messages (a list)")
    separator = b"," if objects(given) else b""
    messages = b"%s%s%s]" % (given.rstrip()[:-1], separator, message)
    turns = read_turns(messages, line)
    members = {key: value for key, value in request.items() if key not in ("messages", *_IDS)}
    row = {**rest, **members, "messages": messages}
    if identity is not None:
        row = {**{key: value for key, value in row.items() if key not in _IDS}, "id": as_string(identity)}
    conversation = conversation_of(turns, row, line, how, "messages")
    how.saw("request-response")
    *_, last = conversation.turns()
    how.flags |= conversation.flags
    if isinstance(last, SkippedTurn):
        raise RowProblem(line, f"response: {last.reason}")
    return last


def _message_of(response: Fields, line: int, how: How) -> bytes:
    """Return the answer as a chat message."""
    choices = json_member(response.get("choices", NULL), "response.choices", line)
    if choices != NULL:
        listed = objects(choices) if is_array(choices) else None
        if not listed:
            raise RowProblem(line, "response.choices: a list that is not empty is expected; there is no answer")
        if len(listed) > 1:
            raise RowProblem(line, f"response.choices: {len(listed)} answers, and it is not known which one is right")
        choice = listed[0]
        _note_cut_off(choice.get("finish_reason", NULL), how)
        if not is_object(choice.get("message")):
            raise RowProblem(line, "response.choices[0]: no message; if it was streamed, join its parts first")
        return choice["message"]
    if is_object(response.get("message")):  # Ollama's own API
        _note_cut_off(response.get("done_reason", NULL), how)
        return response["message"]
    if response.get("role") == b'"assistant"' and "content" in response:  # Anthropic's API
        _note_cut_off(response.get("stop_reason", NULL), how)
        return joined({"role": response["role"], "content": response["content"]})
    keys = ", ".join(sorted(response)[:12]) or "none"
    raise RowProblem(line, f"response: no answer in a known form; its keys: {keys}; known: choices, output, content")


def _note_cut_off(reason: bytes, how: How) -> None:
    if is_string(reason) and decoded(reason) in _CUT_OFF_REASONS:
        how.flags.add(CUT_OFF)


def read_responses_log(row: Fields, line: int, how: How) -> StoredPivot | Rollout:
    """Read a row of `input` and `output`; raises RowProblem if it cannot be read completely."""
    how.saw("responses-log")
    for key in _NOT_OF_LOGS:
        if row.get(key, NULL) not in (NULL, EMPTY, b"[]"):
            raise RowProblem(line, f"{key} beside input and output: it would be lost; a Response has instructions")
    if is_string(row["output"]) and not (string(row["output"]) or "").lstrip().startswith(("[", "{")):
        raise RowProblem(line, "output: a text, but a Response has a list of items")
    return _items_log(row, row, line, how)


def _items_log(row: Fields, response: Fields, line: int, how: How) -> StoredPivot | Rollout:
    look_at_status(response, line, how)
    for key in ("previous_response_id", "conversation"):
        if row.get(key, NULL) != NULL:
            raise RowProblem(line, f"{key}: what was said before is not in the row, and the agent would not see it")
    output = _item_list(row["output"], "output", line)
    params = {key: row[key] for key in ("input", "tools", "instructions", *_SETTINGS) if row.get(key, NULL) != NULL}
    rest = {key: value for key, value in row.items() if key not in _ITEMS and value != NULL}
    return pivots_of_items(rest, params, output, line)


def look_at_status(response: Fields, line: int, how: How) -> None:
    """Set the flag of a Response that was cut off; raises RowProblem for one that failed and holds no answer."""
    status = response.get("status", NULL)
    if status in (b'"failed"', b'"cancelled"') or response.get("error", NULL) != NULL:
        raise RowProblem(line, f"a Response that failed (status {shown(decoded(status))}): there is no answer")
    if status == b'"incomplete"':
        how.flags.add(CUT_OFF)


def pivots_of_items(rest: Fields, params: Fields, output: list[Fields], line: int) -> StoredPivot | Rollout:
    """Read a request and the items that answered it: one pivot, or the turns of a trajectory.

    `rest` are the row's other members, which include its ids. Raises RowProblem if it cannot be read completely.
    """
    metadata = {key: value for key, value in rest.items() if key not in _IDS}
    if params.get("tools", NULL) in (NULL, b"[]"):
        for key, value in metadata.items():
            if value[:1] in (b"[", b'"') and b"name" in value and looks_like_tools(value):
                raise RowProblem(line, f"{one_line(key, 60)} looks like tools, which the agent would not be offered")
    untyped = [n for n, item in enumerate(output) if "type" not in item and "role" not in item]
    if untyped:
        raise RowProblem(line, f"output[{untyped[0]}]: an item without a type; every item of a Response has one")
    if not any(map(is_given, output)):
        action = action_of(output, line, params.get("tools", NULL))
        if action is None:
            raise RowProblem(line, "output: neither text nor calls")
        identity = own_id(rest)
        ids = {} if identity is None else {"id": as_string(stem_of(identity, "r"))}
        return read_row({**metadata, **ids, PARAMS: joined(params), EXPECTED: action}, line)
    given = given_items(params, line)
    identity = trajectory_id(rest)
    others = {key: value for key, value in params.items() if key not in ("input", "instructions")}
    if identity is None:
        whole = {"input": _joined_items(given), "output": _joined_items(output), "tools": params.get("tools", NULL)}
        identity = id_of_content(whole, whole)
    return Rollout(metadata, given, output, others, line=line, trajectory=identity)


def given_items(params: Fields, line: int) -> list[Fields]:
    """Return the input items of a request, preceded by its instructions as a system message."""
    given = params.get("input", NULL)
    items: list[Fields] = []
    instructions = params.get("instructions", NULL)
    if is_string(instructions) and instructions != EMPTY:
        items.append({"role": b'"system"', "content": instructions})
    elif is_array(instructions):
        items += objects(instructions) or []
    if is_string(given):
        return [*items, {"role": b'"user"', "content": given}]
    return [*items, *_item_list(given, "input", line)]


def _item_list(given: bytes, key: str, line: int) -> list[Fields]:
    text = json_member(given, key, line)
    found = objects(text) if is_array(text) else None
    if not found:
        raise RowProblem(line, f"{key}: a list of items that is not empty is expected")
    return found


def _joined_items(items: list[Fields]) -> bytes:
    return b"[%s]" % b",".join(joined(item) for item in items)
