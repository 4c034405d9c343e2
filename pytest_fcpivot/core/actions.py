"""Whatever an agent returns, as one Action.

Arguments stay the model's own string. The rule that picks the action out of a list of Responses items is the
verifier's: calls in order if there is one, else the first text of the first assistant message that has one. How each
shape is read is told in `shapes`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_fcpivot.core.model import Action, FunctionCall
from pytest_fcpivot.core.shapes import ACCEPTED_SHAPES, MALFORMED_OUTPUT, read_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.core.shapes import Reading

__all__ = ["ACCEPTED_SHAPES", "EMPTY_ARGUMENTS", "MALFORMED_OUTPUT", "SUBMIT_MESSAGE", "EmptyArguments", "to_action"]

SUBMIT_MESSAGE = "submit_message"
# What arguments that a server left empty are: the text "", which does not decode, or an object without fields.
EmptyArguments = Literal["text", "object"]
EMPTY_ARGUMENTS = get_args(EmptyArguments)
_NO_FIELDS = "{}"


def to_action(
    output: Any, tool_names: frozenset[str] = frozenset(), *, empty_arguments: EmptyArguments = "text"
) -> Action:
    """Turn an agent's output into one Action.

    A call of the shared tool `submit_message` is a message, unless `tool_names`, the names of the pivot's own tools,
    has that name. With `empty_arguments="object"`, arguments that are the text `""` are read as `{}`; servers' calls
    with null or missing arguments have that text. Raises ActionError, naming what came and the nearest shape, for
    anything that is not understood.
    """
    if isinstance(output, Action) and not output.calls:
        return output
    return chosen(read_output(output), tool_names, empty_arguments)


def chosen(reading: Reading, tool_names: frozenset[str], empty_arguments: EmptyArguments) -> Action:
    """Choose the action out of what was read, by the rules of `to_action`."""
    calls = reading.calls
    if len(calls) == 1 and calls[0].name != SUBMIT_MESSAGE and calls[0].arguments:
        return Action((calls[0],))  # nearly every answer with a call
    if not calls:
        if reading.text is None and reading.malformed is not None:
            return Action(malformed=reading.malformed)
        return Action(message=reading.text)
    for call in calls:
        if call.name == SUBMIT_MESSAGE and SUBMIT_MESSAGE not in tool_names:
            return _without_submit_message(calls, empty_arguments)
    return Action(_with_arguments(calls, empty_arguments))


def _with_arguments(calls: Sequence[FunctionCall], empty_arguments: EmptyArguments) -> tuple[FunctionCall, ...]:
    if empty_arguments == "text":
        return tuple(calls)
    return tuple(call if call.arguments else FunctionCall(call.name, _NO_FIELDS) for call in calls)


def _without_submit_message(calls: Sequence[FunctionCall], empty_arguments: EmptyArguments) -> Action:
    """Read calls of the shared tool as text: like any text, it gives way to a real call beside it."""
    real = [call for call in calls if call.name != SUBMIT_MESSAGE]
    if real:
        return Action(_with_arguments(real, empty_arguments))
    return Action(message=_submitted_text(calls[0].arguments))


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
