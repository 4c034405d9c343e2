"""What is odd about an answer beside its grade: it is counted in the summary and stands with the result.

Everything is read off the answer itself, so that a run which is replayed counts the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.dialects import looks_like_call

if TYPE_CHECKING:
    from pytest_fcpivot.model import Action

MALFORMED = "malformed"  # what the model wrote could not be parsed
CUT_OFF = "cut_off"  # the answer ended at the limit of its tokens
REFUSED_CALL = "refused_call"  # the server refused the model's call, and said which it was
CALL_LIKE = "call_like"  # a message that attempts a call
SYSTEM_MOVED = "system_messages_moved"  # the server took the conversation only with its later system messages mended
FLAGS = (MALFORMED, REFUSED_CALL, CUT_OFF, CALL_LIKE, READ_DIFFERENTLY, SYSTEM_MOVED)
# Those that tell of an answer which was not read as what the model meant.
UNREAD = frozenset((MALFORMED, CUT_OFF, CALL_LIKE))

# What a bundled agent tells of its request, beside the server's answer.
AGENT_NOTES, SYSTEM_MESSAGES, MOVED = "fcpivot", "system_messages", "moved"

# The field of an output that tells of such a refusal.
REFUSED_BY_SERVER = "refused_by_server"
READ_DIFFERENTLY = "read_differently"  # a stored answer was graded as another action than its output is read as now

_CUT_OFF_REASONS = frozenset(("length", "max_tokens", "MAX_TOKENS"))


def flags_of(output: Any, action: Action | None, tool_names: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Name what is odd about an answer, given as the agent returned it and as the action that was read from it.

    `tool_names` are those on offer: some forms of calls count as such only with one of these names.
    """
    flags = []
    if action is not None and action.malformed is not None:
        flags.append(MALFORMED)
    if _is_cut_off(output):
        flags.append(CUT_OFF)
    if isinstance(output, Mapping) and output.get(REFUSED_BY_SERVER):
        flags.append(REFUSED_CALL)
    if action is not None and action.message and looks_like_call(action.message, tool_names):
        flags.append(CALL_LIKE)
    if _moved_system_messages(output):
        flags.append(SYSTEM_MOVED)
    return tuple(flags)


def _is_cut_off(output: Any) -> bool:
    if output is None or isinstance(output, str | list | tuple):
        return False
    choices = _get(output, "choices")
    if isinstance(choices, list | tuple) and choices:
        return _is_one_of(_get(choices[0], "finish_reason"), _CUT_OFF_REASONS)
    if isinstance(_get(output, "output"), list | tuple):
        return _is_one_of(_get(output, "status"), frozenset(("incomplete",)))
    return _is_one_of(_get(output, "stop_reason"), _CUT_OFF_REASONS)


def _moved_system_messages(output: Any) -> bool:
    notes = output.get(AGENT_NOTES) if isinstance(output, Mapping) else None
    return isinstance(notes, Mapping) and notes.get(SYSTEM_MESSAGES) == MOVED


def _is_one_of(value: Any, known: frozenset[str]) -> bool:
    return isinstance(value, str) and value in known


def _get(thing: Any, key: str) -> Any:
    return thing.get(key) if isinstance(thing, Mapping) else getattr(thing, key, None)
