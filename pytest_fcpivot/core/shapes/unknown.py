"""The errors for output that is not understood: they describe it and name the nearest shape to return instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.error_bodies import is_error
from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.shapes.reading import MISSING, field_names, first, get, is_list, shown_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.core.shapes.reading import Read, Reader, Reading

ACCEPTED_SHAPES = (
    "a string, None, Message, FunctionCall, Action, {'name', 'arguments'}, a list of calls, or the answer of an SDK as "
    "it came, as its object or as a dict (docs/agents.md lists them)"
)
_ROLES = frozenset(("user", "human", "system", "developer", "tool", "function", "ipython", "environment"))
_WHOSE = {"human": "user", "ipython": "tool", "environment": "tool"}


def not_understood(thing: Any) -> ActionError:
    """Return the error for an object of no known shape."""
    hint = next((text for fits, text in _LOOKS_LIKE if fits(thing)), None)
    advice = f"an agent may return {ACCEPTED_SHAPES}" if hint is None else f"this looks like {hint}"
    return ActionError(f"cannot read an action from {described(thing)}; {advice}")


def described(thing: Any) -> str:
    """Describe an object for a message: its Python type, with its `type` field or, for a dict, its keys."""
    kind = type(thing).__name__
    named = get(thing, "type") if not isinstance(thing, type) else MISSING
    if isinstance(named, str):
        return f"a {kind} of type {one_line(named, 60)!r}"
    if isinstance(thing, Mapping):
        return f"a {kind} with the keys {shown_keys(map(str, thing))}" if thing else f"an empty {kind}"
    module = type(thing).__module__
    return f"a {kind}" if module == "builtins" else f"a {module}.{type(thing).__qualname__}"


def wrong_role(role: Any) -> ActionError:
    """Return the error for a message whose role is not the model's."""
    if isinstance(role, str) and role in _ROLES:
        whose = _WHOSE.get(role, role)
        return ActionError(
            f"a message with the role {role!r} is a {whose} message, not an answer of the model; return the model's "
            "own message at this pivot, and nothing of the conversation before or after it"
        )
    shown_role = shown(role) if isinstance(role, str) else f"that is {type(role).__name__}"
    return ActionError(
        f"a message with an unknown role {shown_role}; a model's message has the role 'assistant', or 'model' with "
        "parts"
    )


def refused(why: str) -> Reader:
    """Return a reader that raises ActionError, for a type that is known but cannot be graded."""

    def reader(thing: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
        raise ActionError(f"{described(thing)} {why}")

    return reader


# The fields in which any of the shapes holds an answer: as text, and as an object or a list.
_TEXTS = frozenset(("content", "text", "output_text", "output", "response", "answer", "message", "completion"))
_ANSWERS = frozenset(("tool_calls", "toolCalls", "function_call", "functionCall", "calls", "messages", "choices"))


def refuse_unread(thing: Any, *read: str) -> None:
    """Raise ActionError if an object whose fields `read` hold no answer seems to have one in another field."""
    odd = [
        name
        for name in field_names(thing)
        if name not in read
        and ((name in _TEXTS and isinstance(get(thing, name), str)) or name in _ANSWERS)
        and get(thing, name)
    ]
    if odd:
        raise ActionError(
            f"{described(thing)} has no answer in {shown_keys(read)}, where this shape holds it, but has "
            f"{shown_keys(odd)}; return only the answer: {ACCEPTED_SHAPES}"
        )


def refuse_error(answer: Any) -> None:
    """Raise ActionError if an answer carries the service's error, or ended in one: an outage must not be graded."""
    error = get(answer, "error")
    if error is not MISSING and is_error(error) and not callable(error):
        reason = first(error, "message", "code", "type") if not isinstance(error, str) else error
        shown_reason = f": {one_line(str(reason)[:400], 200)}" if reason is not MISSING else ""
        raise ActionError(
            f"the answer carries an error of the service{shown_reason}; raise it, so that the call is retried"
        )
    reason = first(answer, "finish_reason", "finishReason")
    if getattr(reason, "value", reason) == "error":
        raise ActionError(
            "the answer ended in an error of the service (finish reason 'error'); raise it, so that the call is retried"
        )


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda thing: all(get(thing, key) is not MISSING for key in keys)


def _first_choice(thing: Any) -> Any:
    choices = get(thing, "choices")
    return choices[0] if is_list(choices) and choices else None


def _is_other_call(thing: Any) -> bool:
    names = set(field_names(thing))
    named = names & {"name", "tool", "tool_name", "toolName", "function", "function_name"}
    return bool(named and names & {"args", "input", "parameters", "params", "kwargs", "tool_input", "toolInput"})


# The first one that fits is the hint.
_LOOKS_LIKE: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda thing: isinstance(thing, type), "a class; return an object of it"),
    (
        inspect.isawaitable,
        "a coroutine that was never awaited; make the agent an `async def`, or await it and return its result",
    ),
    (
        lambda thing: isinstance(thing, bytes | bytearray),
        "encoded text; decode it, and return the string or the decoded JSON",
    ),
    (
        lambda thing: isinstance(thing, Iterator) or hasattr(thing, "__aiter__") or hasattr(thing, "__next__"),
        "a stream; collect it, and return the whole answer",
    ),
    (lambda thing: get(_first_choice(thing), "delta") is not MISSING, "a chunk of a stream; return the whole answer"),
    (_has("status_code", "headers"), "an HTTP response; return its decoded JSON"),
    (
        lambda thing: isinstance(thing, Mapping) and bool(thing.get("error") or thing.get("errors")),
        "a service's error; raise an exception instead, so that it is not graded as an answer",
    ),
    (_has("name", "description", "parameters"), "a tool's definition; return a call of it, {'name', 'arguments'}"),
    (_is_other_call, "a call; return {'name': …, 'arguments': …}, with the arguments as an object or as JSON text"),
    (_has("name", "arguments"), "a call; return {'name': …, 'arguments': …}, without a type"),
    (_has("name"), "a call without its arguments; return {'name': …, 'arguments': …}, {} if there are none"),
    (_has("generations"), "LangChain's LLMResult; return the message of its generation"),
    (_has("all_messages"), "a run of pydantic-ai; return its last ModelResponse"),
    (
        lambda thing: any(isinstance(get(thing, key), str) for key in ("content", "text", "response", "answer")),
        "a message; return its text, or {'role': 'assistant', 'content': …}",
    ),
)
