"""Replies which say that the model's own output was malformed: those are the model's answers, not the service's faults.

Every server words it in its own way, and some words of one are those of another's outage. So only the exact wordings in
the table of quirks count, and what is not in it stays an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.agents.openai.quirks import HISTORY, QUIRKS, UNPARSED, ChoiceEnd, ErrorText
from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.answer_flags import REFUSED_BY_SERVER
from pytest_fcpivot.core.dialects import Tools, read_calls
from pytest_fcpivot.core.error_bodies import error_body_of
from pytest_fcpivot.core.errors import ReplyError
from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CALL_REFUSED, HISTORY_REFUSED = "call refused", "history refused"  # the causes of errors


@dataclass(frozen=True, slots=True)
class Told:
    """What a server told of the model's output: which server by its wording, the fault, and the model's text."""

    server: str
    fault: str
    reason: str
    status: int | None = None
    raw: str | None = None


def told_by(error: BaseException) -> Told | None:
    """Read what an error tells of the model's output; None if it tells nothing of it."""
    status = getattr(error, "status_code", None)
    body = error_body_of(error)
    if isinstance(error, ReplyError) and isinstance(error.body, dict):
        told = _told_by_choice(error.body)
        if told is not None:
            return told
    while body is not None and isinstance(status, int):
        for quirk in QUIRKS:
            if isinstance(quirk.shown_by, ErrorText):
                fits, raw = quirk.shown_by.raw_in(status, body)
                if fits:
                    return Told(quirk.server, quirk.fault, one_line(body.message, 300), status, raw)
        body = body.upstream  # a gateway passes on what the server behind it said
        status = int(body.code) if body is not None and body.code.isdecimal() else status
    return None


def told_in(answer: Mapping[str, Any]) -> Told | None:
    """Read what a completion tells of the model's output by how its only choice ended."""
    choices = answer.get("choices")
    only = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    return _told_by_choice(only) if isinstance(only, dict) else None


def _told_by_choice(choice: Mapping[str, Any]) -> Told | None:
    message = choice.get("message")
    if isinstance(message, dict) and (message.get("tool_calls") or message.get("content")):
        return None  # there is more to read than that
    for quirk in QUIRKS:
        if isinstance(quirk.shown_by, ChoiceEnd) and quirk.shown_by.fits(choice):
            reason = ", ".join(f"{name}: {end}" for name, end in quirk.shown_by.ended.items())
            return Told(quirk.server, quirk.fault, reason)
    return None


def take_out(answer: dict[str, Any]) -> None:
    """Take out of a server's answer, in place, what only this module puts there."""
    answer.pop(REFUSED_BY_SERVER, None)
    if answer.get("type") == MALFORMED_OUTPUT:
        del answer["type"]


def is_told(answer: Mapping[str, Any]) -> bool:
    """Return whether an answer is what `output_of` made of a reply, rather than the reply."""
    return answer.get("type") == MALFORMED_OUTPUT or REFUSED_BY_SERVER in answer


def output_of(told: Told, where: str, own_name: Callable[[str], str], usage: Any = None) -> dict[str, Any]:
    """Return the model's output that a reply tells of, as an agent returns it.

    `own_name` turns the name of a tool as it was sent into the pivot's own. Raises ReplyError, with a cause of its own,
    for a call whose complete text the reply does not hold, and for a refused history.
    """
    if told.fault == HISTORY:
        raise ReplyError(
            f"{where} refused the conversation itself, not what the model made of it: {told.reason}; a call in the "
            "row's input has arguments that are not JSON",
            HISTORY_REFUSED,
            status_code=told.status,
        )
    seen = {"server": told.server, "status": told.status, "reason": told.reason}
    if told.fault == UNPARSED:
        output = {"type": MALFORMED_OUTPUT, "text": told.raw or "", **seen}
        return output if usage is None else {**output, "usage": usage}
    calls = None if told.raw is None else calls_in(told.raw)
    if not calls:
        lacks = "does not hold the call" if not told.raw else f"holds no complete call: {one_line(told.raw, 120)!r}"
        raise ReplyError(
            f"{where} refused the model's call, and its reply {lacks}: {told.reason}",
            CALL_REFUSED,
            status_code=told.status,
        )
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call_{place}", "type": "function", "function": {"name": own_name(name), "arguments": arguments}}
            for place, (name, arguments) in enumerate(calls)
        ],
        REFUSED_BY_SERVER: {**seen, "text": told.raw},
    }


def calls_in(text: str) -> list[tuple[str, str]] | None:
    """Read a text that is one call or several, complete and nothing else; None for any other text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        reading = read_calls(text, Tools.named(frozenset()))
        sound = reading.text is None and all(_is_object(arguments) for _, arguments in reading.calls)
        return list(reading.calls) if sound and reading.calls else None
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    found = list(_calls(value if isinstance(value, list) else [value]))
    return None if not found or None in found else [call for call in found if call is not None]


def _calls(values: list[Any]) -> Iterator[tuple[str, str] | None]:
    for value in values:
        call = value.get("function", value) if isinstance(value, dict) else None
        if not isinstance(call, dict) or not isinstance(call.get("name"), str) or "arguments" not in call:
            yield None
            continue
        arguments = call["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        yield (call["name"], text) if _is_object(text) else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
