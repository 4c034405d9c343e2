"""Replies which say that the model's own output was malformed: those are the model's answers, not the service's faults.

Every server words it in its own way, and some words of one are those of another's outage. So there is a table of exact
signatures, and what is not in it stays an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.answer_flags import REFUSED_BY_SERVER
from pytest_fcpivot.core.dialects import Tools, read_calls
from pytest_fcpivot.core.error_bodies import error_body_of
from pytest_fcpivot.core.errors import ReplyError
from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_fcpivot.core.error_bodies import ErrorBody

# What a reply means: output that could not be parsed; a call that was parsed and refused; a request whose own
# conversation was refused, which is the row's fault.
UNPARSED, REFUSED_CALL, HISTORY = "unparsed", "refused call", "history"
CALL_REFUSED, HISTORY_REFUSED = "call refused", "history refused"  # the causes of errors
_FAILED_GENERATION = "failed_generation"
_GROQ = "tool_use_failed"


@dataclass(frozen=True, slots=True)
class Signature:
    """How one server words it: the status, what the message is as a whole, and the error's code or type if that tells.

    The model's text is the message's group `raw`, or the body's field `raw_field`; many servers keep it to themselves.
    """

    server: str
    means: str
    statuses: tuple[int, ...]
    message: re.Pattern[str]
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    raw_field: str | None = None

    def raw_in(self, status: int | None, body: ErrorBody) -> tuple[bool, str | None]:
        """Tell whether an error has this signature, and the model's text in it."""
        found = self.message.fullmatch(body.message) if status in self.statuses else None
        if (
            found is None
            or (self.codes and body.code not in self.codes)
            or (self.types and body.type not in self.types)
        ):
            return False, None
        raw = body.fields.get(self.raw_field) if self.raw_field else found.groupdict().get("raw")
        return True, raw if isinstance(raw, str) else None


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


SIGNATURES = (
    Signature(
        "llama.cpp",
        UNPARSED,
        (500,),
        _words(r"The model produced output that does not match the expected [\w.-]+ format"),
        types=("server_error",),
    ),
    # Its older builds; the text begins where the parser stopped.
    Signature(
        "llama.cpp",
        UNPARSED,
        (500,),
        _words(r"Failed to parse input at pos \d+: (?P<raw>.*)"),
        types=("server_error",),
    ),
    Signature(
        "llama.cpp",
        HISTORY,
        (400, 500),
        _words(r"Failed to parse tool call arguments as JSON: .+"),
        codes=("400", "500"),
    ),
    Signature(
        "Ollama",
        UNPARSED,
        (500,),
        _words(r"error parsing tool call: raw='(?P<raw>.*)', err=.*"),
        types=("api_error", ""),
    ),
    Signature(
        "Ollama",
        UNPARSED,
        (500,),
        _words(r"(?:failed to parse XML: )?XML syntax error on line \d+: .+"),
        types=("api_error",),
    ),
    Signature(
        "Ollama",
        UNPARSED,
        (500,),
        _words(r"expected element type <\w+> but have <\w+>"),
        types=("api_error",),
    ),
    Signature(
        "Groq",
        UNPARSED,
        (400,),
        _words(
            r"Failed to call a function\. Please adjust your prompt\.(?: See 'failed_generation' for more details\.)?"
        ),
        codes=(_GROQ,),
        raw_field=_FAILED_GENERATION,
    ),
    # The words are those of llama.cpp's refusal of a history, without a colon and what follows: the code tells.
    Signature(
        "Groq",
        UNPARSED,
        (400,),
        _words(r"Failed to parse tool call arguments as JSON"),
        codes=(_GROQ,),
        raw_field=_FAILED_GENERATION,
    ),
    Signature(
        "Groq",
        REFUSED_CALL,
        (400,),
        _words(r"Tool choice is none, but model called a tool"),
        codes=(_GROQ,),
        raw_field=_FAILED_GENERATION,
    ),
    Signature(
        "Groq",
        REFUSED_CALL,
        (400,),
        _words(r"tool call validation failed: .+"),
        codes=(_GROQ,),
        raw_field=_FAILED_GENERATION,
    ),
    # With a required call, vLLM reads the whole output as a list of calls; this is its name for that list.
    Signature(
        "vLLM",
        UNPARSED,
        (400,),
        _words(r"1 validation error for list\[function-wrap\[__log_extra_fields__\(\)\]\]\n  Invalid JSON: .+"),
        types=("BadRequestError",),
    ),
    # The decoder of gpt-oss models' output.
    Signature(
        "vLLM",
        UNPARSED,
        (400, 500),
        _words(r"unexpected tokens remaining in message header: .+"),
        types=("BadRequestError", "InternalServerError"),
    ),
)


@dataclass(frozen=True, slots=True)
class ChoiceSignature:
    """How one server words it in the choice of a completion that has no call and no text: by how the choice ended."""

    server: str
    ended: Mapping[str, str]

    def fits(self, choice: Mapping[str, Any]) -> bool:
        """Tell whether a choice ended so."""
        return all(choice.get(name) == value for name, value in self.ended.items())


CHOICE_SIGNATURES = (
    ChoiceSignature("Gemini", {"finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL"}),
    ChoiceSignature("OpenRouter", {"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a server told of the model's output: which server by its wording, what it means, and the model's text."""

    server: str
    means: str
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
        for signature in SIGNATURES:
            fits, raw = signature.raw_in(status, body)
            if fits:
                return Told(signature.server, signature.means, one_line(body.message, 300), status, raw)
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
    for signature in CHOICE_SIGNATURES:
        if signature.fits(choice):
            return Told(
                signature.server, UNPARSED, ", ".join(f"{name}: {end}" for name, end in signature.ended.items())
            )
    return None


def take_out(answer: dict[str, Any]) -> None:
    """Take out of a server's answer, in place, what only this module puts there."""
    answer.pop(REFUSED_BY_SERVER, None)
    if answer.get("type") == MALFORMED_OUTPUT:
        del answer["type"]


def is_told(answer: Mapping[str, Any]) -> bool:
    """Tell whether an answer is what `output_of` made of a reply, rather than the reply."""
    return answer.get("type") == MALFORMED_OUTPUT or REFUSED_BY_SERVER in answer


def output_of(told: Told, where: str, own_name: Callable[[str], str], usage: Any = None) -> dict[str, Any]:
    """Return the model's output that a reply tells of, as an agent returns it.

    `own_name` turns the name of a tool as it was sent into the pivot's own. Raises ReplyError, with a cause of its own,
    for a call whose complete text the reply does not hold, and for a refused history.
    """
    if told.means == HISTORY:
        raise ReplyError(
            f"{where} refused the conversation itself, not what the model made of it: {told.reason}; a call in the "
            "row's input has arguments that are not JSON",
            HISTORY_REFUSED,
            status_code=told.status,
        )
    seen = {"server": told.server, "status": told.status, "reason": told.reason}
    if told.means == UNPARSED:
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
