"""Write what an agent returned as JSON text, from which the same action is read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.answer_flags import AGENT_NOTES
from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.jsontext import quoted
from pytest_fcpivot.core.model import Action, FunctionCall, Message
from pytest_fcpivot.core.shapes import read_output
from pytest_fcpivot.runs.reader import is_too_deep

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes import Reading

# The most characters of an answer's texts together. Escaped, a character may take 12 bytes, and a line holds the texts
# twice: in the output and in the action.
MOST_CHARACTERS = 2_000_000
_LONGEST = 32 << 20  # bytes; half of the longest line that is read
_JSON_TYPES = frozenset((str, int, float, bool, type(None)))
_NO_RESPONSE = frozenset(("type", "choices"))
# The members of a Response about the answer itself, and an agent's own notes; the other members repeat the request.
_RESPONSE_KEYS = ("id", "model", "status", "error", "incomplete_details", "output", "usage", "created_at", AGENT_NOTES)


def output_json(output: Any, reading: Reading | None = None) -> str:
    """Write an agent's output as JSON text in ASCII, from which `to_action` reads the same action.

    Objects of SDKs are written as their fields, an answer without what was wrapped around it, and a Response without
    the members that repeat the request. If that gives no such text, the action alone is written; for an output that is
    not an action, the name of its type. `reading` is what `read_output` made of the output, if that has been called
    already.
    """
    text = _written(output, reading)
    return text if len(text) <= _LONGEST else json.dumps(f"an answer of {len(text) >> 20} MB, which is not recorded")


def refuse_too_long(action: Action) -> None:
    """Raise ActionError for an answer that could not be recorded whole, and so is not graded either."""
    texts = (action.message, action.malformed, *(part for call in action.calls for part in (call.name, call.arguments)))
    length = sum(len(text) for text in texts if text)
    if length > MOST_CHARACTERS:
        raise ActionError(
            f"the agent's answer has {length:,} characters; more than {MOST_CHARACTERS:,} cannot be recorded, and it "
            "is not graded"
        )


def _written(output: Any, reading: Reading | None) -> str:
    if output is None or isinstance(output, str):
        return "null" if output is None else quoted(output)
    try:
        reading = reading or read_output(output)
    except ActionError:
        reading = None
    try:
        kept = _without_request(output if reading is None else reading.answer)
        text = _ENCODER.encode(kept)
        if len(text) > _LONGEST:
            raise ValueError  # noqa: TRY301 (the action alone may be short enough)
        if is_too_deep(text.encode()):
            raise RecursionError  # noqa: TRY301 (which the encoder raises for even deeper nesting)
        if _is_json(kept) or (reading is not None and _same(read_output(json.loads(text)), reading)):
            return text
    except (TypeError, ValueError, RecursionError, ActionError):
        pass
    if reading is None:
        return json.dumps(f"{type(output).__name__}, which is not an action")
    try:
        return json.dumps(_fields(Action(tuple(reading.calls), reading.text, reading.malformed)))
    except (TypeError, ValueError, RecursionError):
        return json.dumps(f"{type(output).__name__}, which cannot be written")


def _same(one: Reading, other: Reading) -> bool:
    """Return whether two outputs were read as the same action, with the same oddities."""
    return replace(one, answer=None) == replace(other, answer=None, is_part=one.is_part)


def action_json(action: Action | None) -> str:
    """Write an action as JSON text, in the form of the data sets' expected actions; `null` if there is none."""
    if action is None:
        return "null"
    if action.malformed is not None:
        return json.dumps(_fields(action))
    calls = [
        f'{{"type": "function_call", "name": {quoted(call.name)}, "arguments": {quoted(call.arguments)}}}'
        for call in action.calls
    ]
    if len(calls) == 1:
        return calls[0]
    if calls:
        return f'{{"type": "function_call_batch", "calls": [{", ".join(calls)}]}}'
    # a user's own fixture may have put anything into an action
    return f'{{"type": "message", "content": {quoted(action.message)}}}' if isinstance(action.message, str) else "null"


def _is_json(value: Any) -> bool:
    """Return whether a value consists of JSON's own types, so that it is read back unchanged."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _is_json(part) for key, part in value.items())
    if kind is list:
        return all(map(_is_json, value))
    return kind in _JSON_TYPES


def _without_request(output: Any) -> Any:
    if not isinstance(output, Mapping) and callable(getattr(output, "model_dump", None)):
        output = _dumped(output)
    if isinstance(output, Mapping) and isinstance(output.get("output"), list) and not output.keys() & _NO_RESPONSE:
        return {key: output[key] for key in _RESPONSE_KEYS if output.get(key) is not None}
    return output


def _dumped(model: Any) -> Any:
    """Return a pydantic model's fields; raises TypeError for a look-alike, such as a mock that returns mocks."""
    fields = model.model_dump(mode="json", warnings=False)
    if not isinstance(fields, dict | list | str | int | float | None):
        raise TypeError(f"model_dump of {type(model).__name__} gives no JSON")
    return fields


def _fields(value: Any) -> Any:
    """Return a JSON-compatible value for an object; raises TypeError if it has none."""
    if isinstance(value, FunctionCall):
        return {"type": "function_call", "name": value.name, "arguments": value.arguments}
    if isinstance(value, Message):
        return {"type": "message", "role": "assistant", "content": value.content}
    if isinstance(value, Action):
        if value.malformed is not None:
            return {"type": MALFORMED_OUTPUT, "text": value.malformed}
        return [_fields(call) for call in value.calls] if value.calls else value.message
    if callable(getattr(value, "model_dump", None)):
        return _dumped(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "__dict__"):
        return vars(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = json.JSONEncoder(default=_fields, allow_nan=False)
