"""What is odd about an answer beside its grade: it is counted in the summary and stands with the result.

Everything is read off the answer itself, so that a run which is replayed counts the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fcpivot.model import Action

MALFORMED = "malformed"  # the server reported that it could not parse what the model wrote
CUT_OFF = "cut_off"  # the answer ended at the limit of its tokens
REFUSED_CALL = "refused_call"  # the server refused the model's call, and said which it was

# The field of an output that tells of such a refusal.
REFUSED_BY_SERVER = "refused_by_server"

_CUT_OFF_REASONS = frozenset(("length", "max_tokens", "MAX_TOKENS"))


def flags_of(output: Any, action: Action | None) -> tuple[str, ...]:
    """Name what is odd about an answer, given as the agent returned it and as the action that was read from it."""
    flags = []
    if action is not None and action.malformed is not None:
        flags.append(MALFORMED)
    if _is_cut_off(output):
        flags.append(CUT_OFF)
    if isinstance(output, Mapping) and output.get(REFUSED_BY_SERVER):
        flags.append(REFUSED_CALL)
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


def _is_one_of(value: Any, known: frozenset[str]) -> bool:
    return isinstance(value, str) and value in known


def _get(thing: Any, key: str) -> Any:
    return thing.get(key) if isinstance(thing, Mapping) else getattr(thing, key, None)
