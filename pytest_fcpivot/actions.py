"""Whatever an agent returns, as one Action.

Arguments stay the model's own string. The rule that picks the action out of a list of Responses items is the
verifier's: calls in order if there is one, else the first text of the first assistant message that has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_fcpivot.errors import ActionError
from pytest_fcpivot.model import Action, FunctionCall, Message

SUBMIT_MESSAGE = "submit_message"
# The type of the dict that stands for an output which the model's server could not parse; `text` is what it was.
MALFORMED_OUTPUT = "malformed_output"
ACCEPTED_SHAPES = (
    "a string, None, Message, FunctionCall, Action, {'name', 'arguments'}, a list of calls, a list of Responses output "
    "items, an openai Response or ChatCompletion (object or dict), or a chat message with tool_calls"
)
_MISSING = object()


def to_action(output: Any, tool_names: frozenset[str] = frozenset()) -> Action:
    """Turn an agent's output into one Action.

    A call of the shared tool `submit_message` is a message, unless `tool_names`, the names of the pivot's own tools,
    has that name. Raises ActionError, naming the type and the accepted shapes, for anything that is not understood.
    """
    if output is None:
        return Action()
    if isinstance(output, str):
        return Action(message=output)
    calls: Sequence[FunctionCall]
    if isinstance(output, Action):
        if output.malformed is not None:
            return output
        calls, message = output.calls, output.message
    elif isinstance(output, Message):
        return Action(message=output.content)
    elif isinstance(output, list | tuple):
        calls, message = _from_items(output)
    elif isinstance(output, Mapping) and output.get("type") == MALFORMED_OUTPUT:
        return malformed_action(output)
    else:
        calls, message = _from_object(output)
    if not calls:
        return Action(message=message)
    for call in calls:
        if call.name == SUBMIT_MESSAGE and SUBMIT_MESSAGE not in tool_names:
            return _without_submit_message(calls)
    return Action(tuple(calls))


def malformed_action(written: Mapping[str, Any]) -> Action:
    """Read the dict that stands for an output which could not be parsed; raises ActionError without its text."""
    text = written.get("text")
    if not isinstance(text, str):
        raise ActionError(f"a {MALFORMED_OUTPUT} needs its text, a string; got {_shown(written.get('text', _MISSING))}")
    return Action(malformed=text)


def _without_submit_message(calls: Sequence[FunctionCall]) -> Action:
    """Read calls of the shared tool as text: like any text, it gives way to a real call beside it."""
    real = tuple(call for call in calls if call.name != SUBMIT_MESSAGE)
    return Action(real) if real else Action(message=_submitted_text(calls[0].arguments))


def _submitted_text(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, dict):
        texts = [value[key] for key in ("message", "content", "text") if isinstance(value.get(key), str)]
        texts += [text for text in value.values() if isinstance(text, str)]
        return texts[0] if texts else ""
    return value if isinstance(value, str) else arguments


def _get(thing: Any, key: str) -> Any:
    """Read a field of a dict or of an SDK's object; `_MISSING` if it has none."""
    if isinstance(thing, Mapping):
        return thing.get(key, _MISSING)
    return getattr(thing, key, _MISSING)


def _from_object(output: Any) -> tuple[Sequence[FunctionCall], str | None]:
    if isinstance(output, FunctionCall):
        return (output,), None
    choices = _get(output, "choices")
    if isinstance(choices, list | tuple):
        return _from_completion(output, choices)
    items = _get(output, "output")
    if isinstance(items, list | tuple) and _get(output, "type") is _MISSING:
        _refuse_failed_response(output)
        return _from_items(items)
    calls, message, understood = _from_item(output)
    if not understood:
        raise _not_understood(output)
    return calls, message


def _from_completion(output: Any, choices: Sequence[Any]) -> tuple[Sequence[FunctionCall], str | None]:
    if not choices:
        raise ActionError("the agent returned a chat completion with no choices; there is no answer to grade")
    message = _get(choices[0], "message")
    if message is _MISSING or message is None:
        raise _not_understood(output)
    return _from_chat_message(message)


def _refuse_failed_response(output: Any) -> None:
    """Raise for a Response that the server says failed: an outage is not an empty answer."""
    if _get(output, "status") not in ("failed", "cancelled"):  # a tuple: what is there may not be hashable
        return
    raise ActionError(f"the agent returned a Response with status {_get(output, 'status')!r}; there is no answer")


def _from_items(items: Sequence[Any]) -> tuple[Sequence[FunctionCall], str | None]:
    """Pick the action out of Responses output items, or of a plain list of calls."""
    calls: list[FunctionCall] = []
    message: str | None = None
    for item in items:
        item_calls, item_message, understood = _from_item(item)
        if not understood:
            raise _not_understood(items, item)
        calls.extend(item_calls)
        if message is None:
            message = item_message
    return calls, message


def _from_item(item: Any) -> tuple[Sequence[FunctionCall], str | None, bool]:
    """Read one item as (calls, message, understood); an item of another kind, such as reasoning, is neither."""
    if isinstance(item, FunctionCall):
        return (item,), None, True
    if isinstance(item, Message):
        return (), item.content, True
    if isinstance(item, str) or item is None:
        return (), None, False
    kind = _get(item, "type")
    if kind == "function_call":
        return (_call(item),), None, True
    function = _get(item, "function")
    if kind == "function" and function not in (_MISSING, None):
        return (_call(function),), None, True
    role = _get(item, "role")
    if role is not _MISSING:
        if role != "assistant":
            return (), None, True
        calls, message = _from_chat_message(item)
        return calls, message, True
    if _get(item, "name") is not _MISSING and _get(item, "arguments") is not _MISSING:
        return (_call(item),), None, True
    if kind == "message" and isinstance(_get(item, "content"), str):
        return (), item["content"] if isinstance(item, Mapping) else item.content, True
    # any other typed item of a Responses output (reasoning, a hosted tool's call) is not an action
    return (), None, isinstance(kind, str) and kind != "function"


def _from_chat_message(message: Any) -> tuple[Sequence[FunctionCall], str | None]:
    """Read an assistant message of either API: its tool calls, if any, and its first text."""
    raw_calls = _get(message, "tool_calls")
    calls = []
    for raw in raw_calls if isinstance(raw_calls, list | tuple) else ():
        function = _get(raw, "function")
        if function not in (_MISSING, None):
            calls.append(_call(function))
    return calls, _first_text(_get(message, "content"))


def _first_text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    for part in content if isinstance(content, list | tuple) else ():
        text = _get(part, "text")
        if _get(part, "type") in ("output_text", "text") and isinstance(text, str):
            return text
    return None


def _call(item: Any) -> FunctionCall:
    name, arguments = _get(item, "name"), _get(item, "arguments")
    if not isinstance(name, str) or arguments is _MISSING:
        raise ActionError(
            f"a function call needs a name (a string) and arguments; got name {_shown(name)}, "
            f"arguments {_shown(arguments)}"
        )
    try:
        return FunctionCall(name, arguments)
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionError(f"the arguments of {name!r} cannot be written as JSON: {error}") from error


def _shown(value: Any) -> str:
    return "missing" if value is _MISSING else f"of type {type(value).__name__}"


def _not_understood(output: Any, item: Any = _MISSING) -> ActionError:
    kind = type(output).__name__
    where = "" if item is _MISSING else f" holding {type(item).__name__}"
    if isinstance(output, Mapping):
        where = f" with the keys {sorted(map(str, output))[:8]}"
    elif isinstance(item, Mapping):
        where = f" holding a dict with the keys {sorted(map(str, item))[:8]}"
    return ActionError(f"cannot read an action from {kind}{where}; an agent may return {ACCEPTED_SHAPES}")
