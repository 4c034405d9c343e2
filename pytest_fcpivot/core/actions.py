"""Conversion of whatever an agent returns into one Action.

Arguments stay the string that the model wrote. The rule that picks the action from a list of Responses items is that
of NeMo Gym's verifier: all calls in order if there are any, else the first text of the first assistant message that
has text. `core.shapes` holds one reader for each accepted shape.
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
# How arguments that a server left empty are read: as the text "", which is not JSON, or as an object without fields.
EmptyArguments = Literal["text", "object"]
EMPTY_ARGUMENTS = get_args(EmptyArguments)
_NO_FIELDS = "{}"


def to_action(
    output: Any,
    tool_names: frozenset[str] = frozenset(),
    *,
    empty_arguments: EmptyArguments = "text",
    reading: Reading | None = None,
) -> Action:
    """Turn an agent's output into one Action.

    `tool_names` are the names of the pivot's own tools: a call of the shared tool `submit_message` counts as a message
    unless the pivot itself offers a tool of that name. With `empty_arguments="object"`, arguments that are the empty
    text are read as `{}`; null or missing arguments have been turned into the empty text before. `reading` is what
    `read_output` made of the output, if that has been called already. Raises ActionError for any output that is not
    understood; it names the output and the accepted shape that comes nearest.
    """
    if isinstance(output, Action) and not output.calls:
        return output
    return chosen(reading or read_output(output), tool_names, empty_arguments)


def chosen(reading: Reading, tool_names: frozenset[str], empty_arguments: EmptyArguments) -> Action:
    """Choose the action among the calls and the text of an output, by the rules of `to_action`."""
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
    """Read calls of `submit_message` as a message; like any message, it is ignored if there is a real call as well."""
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
