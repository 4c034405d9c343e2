"""pydantic-ai: a ModelResponse and its parts, a run's result, and DeferredToolRequests (calls left to the caller)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.core.shapes.reading import MISSING, Reading, Shape, combined, get, is_cut_off, is_list, served_call
from pytest_fcpivot.core.shapes.unknown import not_understood, refuse_error, wrong_role

if TYPE_CHECKING:
    from pytest_fcpivot.core.shapes.reading import Read

_BESIDE_ARGS = frozenset(("tool_call_id", "id", "part_kind", "tool_kind", "provider_name", "provider_details"))
_PASSED_OVER = frozenset(("thinking", "builtin-tool-call", "builtin-tool-return", "compaction", "file"))
_REQUEST = {"user-prompt": "user", "system-prompt": "system", "tool-return": "tool", "retry-prompt": "user"}


def _read_part(part: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    kind = get(part, "part_kind")
    if kind == "tool-call":
        return Reading([served_call(part, "tool_name", "args", _BESIDE_ARGS)], answer=part)
    if kind == "text" and isinstance(get(part, "content"), str):
        return Reading(text=get(part, "content"), is_part=True, answer=part)
    if kind in _PASSED_OVER:
        return Reading(answer=part)
    if kind in _REQUEST:
        raise wrong_role(_REQUEST[kind])
    raise ActionError(
        f"a part of the unknown kind {shown(kind)} of a pydantic-ai response; return its calls or its text"
    )


def _read_message(message: Any, read: Read) -> Reading:
    if get(message, "kind") != "response":
        raise ActionError(
            f"a pydantic-ai message of the kind {shown(get(message, 'kind'))} is not an answer of the model; return "
            "the ModelResponse"
        )
    refuse_error(message)
    reading = combined(map(read, get(message, "parts")), message)
    reading.cut_off, reading.is_part = is_cut_off(get(message, "finish_reason")), False
    return reading


def _is_run(thing: Any) -> bool:
    return callable(get(thing, "new_messages")) and get(thing, "output") is not MISSING


def _read_run(run: Any, read: Read) -> Reading:
    """Read the only model response of a run's result; several mean that the run continued after the first action."""
    messages = run.new_messages()
    if not is_list(messages):
        raise not_understood(run)
    responses = [message for message in messages if get(message, "kind") == "response"]
    if len(responses) != 1:
        raise ActionError(
            f"a pydantic-ai run with {len(responses)} answers of the model: at a pivot the first is the action; leave "
            "the tools to the caller (external tools), or return the first ModelResponse"
        )
    return read(responses[0])


def _read_deferred(requests: Any, read: Read) -> Reading:
    calls, approvals = get(requests, "calls"), get(requests, "approvals")
    if calls and approvals:
        raise ActionError(
            "pydantic-ai's DeferredToolRequests hold both calls and approvals, without the order in which the model "
            "made them; return the ModelResponse"
        )
    return combined(map(read, calls or approvals), requests)


PART = Shape(lambda thing: isinstance(get(thing, "part_kind"), str), _read_part)
MESSAGE = Shape(lambda thing: isinstance(get(thing, "kind"), str) and is_list(get(thing, "parts")), _read_message)
RUN = Shape(_is_run, _read_run)
DEFERRED = Shape(lambda thing: is_list(get(thing, "calls")) and is_list(get(thing, "approvals")), _read_deferred)
