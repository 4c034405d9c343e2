"""Flags for what is odd about an answer apart from its grade; they are counted in the summary and kept in the result.

All flags are derived from the answer itself, so that a replayed run counts the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.call_marks import may_attempt_call
from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.shapes import Reading, read_output

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Action

MALFORMED = "malformed"  # what the model wrote could not be parsed
CUT_OFF = "cut_off"  # the answer ended because it reached its token limit
REFUSED_CALL = "refused_call"  # the server rejected the model's call, and its error quotes that call
CALL_LIKE = "call_like"  # a message whose text looks like an attempted call
NO_ARGUMENTS = "no_arguments"  # a call whose arguments were null, missing or the empty text
ONE_OF_SEVERAL_CHOICES = "one_of_several_choices"  # several alternative answers, of which one had calls
READ_DIFFERENTLY = "read_differently"  # a replayed answer: the action graded then is not the one read from it now
SYSTEM_MOVED = "system_messages_moved"  # the server took the conversation only after later system messages were moved
FLAGS = (
    MALFORMED,
    REFUSED_CALL,
    CUT_OFF,
    CALL_LIKE,
    NO_ARGUMENTS,
    ONE_OF_SEVERAL_CHOICES,
    READ_DIFFERENTLY,
    SYSTEM_MOVED,
)
# Flags of answers that were probably not read as the model meant them.
UNREAD = frozenset((MALFORMED, CUT_OFF, CALL_LIKE))

# In the output of a bundled agent: the field for its notes on the request, and the note on moved system messages.
AGENT_NOTES, SYSTEM_MESSAGES, MOVED = "fcpivot", "system_messages", "moved"

# The field of an output that marks a call which the server refused.
REFUSED_BY_SERVER = "refused_by_server"


def flags_of(
    output: Any,
    action: Action | None,
    tool_names: frozenset[str] = frozenset(),
    reading: Reading | None = None,
) -> tuple[str, ...]:
    """Return the flags of an answer, given as the agent returned it and as the action that was read from it.

    `tool_names` are the tools on offer: a text in some of the dialects counts as a call only if it names one of them.
    `reading` is what `read_output` made of the output, if that has been called already.
    """
    try:
        reading = reading or read_output(output)
    except ActionError:  # a user's own test may have made an action from it all the same
        reading = Reading()
    message = None if action is None else action.message
    odd = {
        MALFORMED: action is not None and action.malformed is not None,
        REFUSED_CALL: isinstance(output, Mapping) and bool(output.get(REFUSED_BY_SERVER)),
        CUT_OFF: reading.cut_off,
        CALL_LIKE: message is not None and _attempts_call(message, tool_names),
        NO_ARGUMENTS: any(call.arguments == "" for call in reading.calls),
        ONE_OF_SEVERAL_CHOICES: reading.one_of_several,
        SYSTEM_MOVED: _moved_system_messages(output),
    }
    return tuple([flag for flag, is_so in odd.items() if is_so])


def _attempts_call(message: str, tool_names: frozenset[str]) -> bool:
    if not may_attempt_call(message):
        return False
    from pytest_fcpivot.core.dialects import looks_like_call  # noqa: PLC0415 (loads fifteen modules; rarely needed)

    return looks_like_call(message, tool_names) is not None


def _moved_system_messages(output: Any) -> bool:
    notes = output.get(AGENT_NOTES) if isinstance(output, Mapping) else None
    return isinstance(notes, Mapping) and notes.get(SYSTEM_MESSAGES) == MOVED
