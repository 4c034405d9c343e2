"""Recognises replies which report that the model's output was malformed: a fault of the model, which is graded.

Every server words such reports differently, and the words of one server may be those of another one's outage. So only
the exact wordings in the table of quirks count; any other reply remains an error of the service.
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
class Report:
    """A server's report about the model's output: the server (by its wording), the fault, and the model's raw text."""

    server: str
    fault: str
    reason: str
    status: int | None = None
    raw: str | None = None


def report_in_error(error: BaseException) -> Report | None:
    """Return the report about the model's output that an error contains; None if it contains none."""
    status = getattr(error, "status_code", None)
    body = error_body_of(error)
    if isinstance(error, ReplyError) and isinstance(error.body, dict):
        report = _report_in_choice(error.body)
        if report is not None:
            return report
    while body is not None and isinstance(status, int):
        for quirk in QUIRKS:
            if isinstance(quirk.shown_by, ErrorText):
                fits, raw = quirk.shown_by.raw_in(status, body)
                if fits:
                    return Report(quirk.server, quirk.fault, one_line(body.message, 300), status, raw)
        body = body.upstream  # the error of the server behind a gateway, if the gateway passes it on
        status = int(body.code) if body is not None and body.code.isdecimal() else status
    return None


def report_in_answer(answer: Mapping[str, Any]) -> Report | None:
    """Return the report about the model's output that the finish reason of a completion's only choice makes."""
    choices = answer.get("choices")
    only = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    return _report_in_choice(only) if isinstance(only, dict) else None


def _report_in_choice(choice: Mapping[str, Any]) -> Report | None:
    message = choice.get("message")
    if isinstance(message, dict) and (message.get("tool_calls") or message.get("content")):
        return None  # it holds an answer
    for quirk in QUIRKS:
        if isinstance(quirk.shown_by, ChoiceEnd) and quirk.shown_by.fits(choice):
            reason = ", ".join(f"{name}: {end}" for name, end in quirk.shown_by.ended.items())
            return Report(quirk.server, quirk.fault, reason)
    return None


def take_out(answer: dict[str, Any]) -> None:
    """Remove from a server's answer, in place, the marks that only this module may set."""
    answer.pop(REFUSED_BY_SERVER, None)
    if answer.get("type") == MALFORMED_OUTPUT:
        del answer["type"]


def is_from_report(answer: Mapping[str, Any]) -> bool:
    """Return whether an answer was made by `output_of`, rather than sent by the server."""
    return answer.get("type") == MALFORMED_OUTPUT or REFUSED_BY_SERVER in answer


def output_of(report: Report, where: str, own_name: Callable[[str], str], usage: Any = None) -> dict[str, Any]:
    """Return the model's output that a reply reports, in the form in which an agent returns it.

    `own_name` converts a tool's name as sent to the server into the pivot's own. Raises ReplyError with the cause
    CALL_REFUSED if the reply does not contain the complete call, and with HISTORY_REFUSED for a refused history.
    """
    if report.fault == HISTORY:
        raise ReplyError(
            f"{where} refused the conversation itself, not the model's answer: {report.reason}; a call in the "
            "row's input has arguments that are not JSON",
            HISTORY_REFUSED,
            status_code=report.status,
        )
    seen = {"server": report.server, "status": report.status, "reason": report.reason}
    if report.fault == UNPARSED:
        output = {"type": MALFORMED_OUTPUT, "text": report.raw or "", **seen}
        return output if usage is None else {**output, "usage": usage}
    calls = None if report.raw is None else calls_in(report.raw)
    if not calls:
        lacks = "does not hold the call" if not report.raw else f"holds no complete call: {one_line(report.raw, 120)!r}"
        raise ReplyError(
            f"{where} refused the model's call, and its reply {lacks}: {report.reason}",
            CALL_REFUSED,
            status_code=report.status,
        )
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call_{place}", "type": "function", "function": {"name": own_name(name), "arguments": arguments}}
            for place, (name, arguments) in enumerate(calls)
        ],
        REFUSED_BY_SERVER: {**seen, "text": report.raw},
    }


def calls_in(text: str) -> list[tuple[str, str]] | None:
    """Read a text that consists only of one or several complete calls; None for any other text."""
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
