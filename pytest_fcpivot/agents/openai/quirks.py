"""The table of servers' quirks: what some servers do differently, how it is recognised, and what is done about it.

Add a row here when a server refuses or words something as no other does. Rows are matched exactly, and a reply that
matches none remains an ordinary error, since the words of one server's refusal may be those of another one's outage.
The meaning of statuses and headers is the same for all servers; `calls/faults` and `calls/waits` define it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.error_bodies import ErrorBody

# The faults, in order: the model's output could not be parsed; a call was parsed but refused; the conversation in the
# request was refused; a later system message was refused; a field of the request was refused.
UNPARSED, REFUSED_CALL, HISTORY = "unparsed", "refused call", "history"
SYSTEM_MESSAGE, REFUSED_FIELD = "system message", "refused field"
# The remedy for each fault, and the module that applies it.
REMEDIES = {
    UNPARSED: "the model's output is graded as malformed (malformed.py)",
    REFUSED_CALL: "the call is read from the reply and graded; if it is not there, an error of its own (malformed.py)",
    HISTORY: "an error that names the row's conversation, since neither model nor server is at fault (malformed.py)",
    SYSTEM_MESSAGE: "the request is sent again with its later system messages moved, and so are the next "
    "(system_messages.py)",
    REFUSED_FIELD: "the error says which option leaves the field out of requests (refused_fields.py)",
}
EXTRA_FIELD = "extra_forbidden"  # pydantic's type of an error about a field that it does not know


@dataclass(frozen=True, slots=True)
class ErrorText:
    """Matches an error by its status, by its whole message, and by its code and type where these are given.

    The model's raw text is the group `raw` of the message, or the body's field `raw_field`; often neither is sent.
    """

    statuses: tuple[int, ...]
    message: re.Pattern[str]
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    raw_field: str | None = None

    def raw_in(self, status: int | None, body: ErrorBody) -> tuple[bool, str | None]:
        """Return whether an error is such a one, and the model's text in it."""
        found = self.message.fullmatch(body.message) if status in self.statuses else None
        if (
            found is None
            or (self.codes and body.code not in self.codes)
            or (self.types and body.type not in self.types)
        ):
            return False, None
        raw = body.fields.get(self.raw_field) if self.raw_field else found.groupdict().get("raw")
        return True, raw if isinstance(raw, str) else None


@dataclass(frozen=True, slots=True)
class ChoiceEnd:
    """Matches a completion whose only choice has neither calls nor text, by the fields that tell how it ended."""

    ended: Mapping[str, str]

    def fits(self, choice: Mapping[str, Any]) -> bool:
        """Return whether a choice has all these fields."""
        return all(choice.get(name) == value for name, value in self.ended.items())


@dataclass(frozen=True, slots=True)
class Words:
    """Matches an error whose text contains these words, after removal of quotation marks and in lower case."""

    words: str


@dataclass(frozen=True, slots=True)
class FieldNamed:
    """Matches an error by a pattern for its text; the first group is the field, or several separated by commas."""

    text: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class FieldCode:
    """Matches an error by the code in its body; the body's `param` is the field."""

    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Quirk:
    """One row of the table: the server, the fault, and how a reply is recognised."""

    server: str
    fault: str
    shown_by: ErrorText | ChoiceEnd | Words | FieldNamed | FieldCode

    @property
    def remedy(self) -> str:
        """What is done about the fault, for the documentation."""
        return REMEDIES[self.fault]


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


def _groq(pattern: str) -> ErrorText:
    return ErrorText((400,), _words(pattern), codes=("tool_use_failed",), raw_field="failed_generation")


# Texts that name the refused fields at the end, and texts that begin with the field.
_FIELDS_LAST = re.compile(
    r"(?i)(?:unsupported parameter|unknown parameter|unsupported value|unrecognized request arguments? supplied"
    r"|unknown field|unrecognized field|unexpected keyword argument)s?\s*:?\s*((?:[`'\"]?[\w.]+[`'\"]?(?:,\s*)?)+)"
)
_FIELD_FIRST = re.compile(
    r"(?i)[`'\"]([\w.]+)[`'\"](?: (?:parameter|argument|field|property|option))? (?:is|are)"
    r" (?:not supported|unsupported|not permitted|not allowed|not recognized|unknown|deprecated)"
)


QUIRKS = (
    Quirk(
        "llama.cpp",
        UNPARSED,
        ErrorText(
            (500,),
            _words(r"The model produced output that does not match the expected [\w.-]+ format"),
            types=("server_error",),
        ),
    ),
    # Older builds of llama.cpp; the raw text begins where the parser stopped.
    Quirk(
        "llama.cpp",
        UNPARSED,
        ErrorText((500,), _words(r"Failed to parse input at pos \d+: (?P<raw>.*)"), types=("server_error",)),
    ),
    Quirk(
        "llama.cpp",
        HISTORY,
        ErrorText((400, 500), _words(r"Failed to parse tool call arguments as JSON: .+"), codes=("400", "500")),
    ),
    Quirk(
        "Ollama",
        UNPARSED,
        ErrorText((500,), _words(r"error parsing tool call: raw='(?P<raw>.*)', err=.*"), types=("api_error", "")),
    ),
    Quirk(
        "Ollama",
        UNPARSED,
        ErrorText((500,), _words(r"(?:failed to parse XML: )?XML syntax error on line \d+: .+"), types=("api_error",)),
    ),
    Quirk(
        "Ollama",
        UNPARSED,
        ErrorText((500,), _words(r"expected element type <\w+> but have <\w+>"), types=("api_error",)),
    ),
    Quirk(
        "Groq",
        UNPARSED,
        _groq(
            r"Failed to call a function\. Please adjust your prompt\.(?: See 'failed_generation' for more details\.)?"
        ),
    ),
    # The beginning of llama.cpp's words for a refused history; the code distinguishes the two.
    Quirk("Groq", UNPARSED, _groq(r"Failed to parse tool call arguments as JSON")),
    Quirk("Groq", REFUSED_CALL, _groq(r"Tool choice is none, but model called a tool")),
    Quirk("Groq", REFUSED_CALL, _groq(r"tool call validation failed: .+")),
    # With a required call, vLLM parses the whole output as a list of calls, and this is its error if that fails.
    Quirk(
        "vLLM",
        UNPARSED,
        ErrorText(
            (400,),
            _words(r"1 validation error for list\[function-wrap\[__log_extra_fields__\(\)\]\]\n  Invalid JSON: .+"),
            types=("BadRequestError",),
        ),
    ),
    # From the decoder for the output of gpt-oss models.
    Quirk(
        "vLLM",
        UNPARSED,
        ErrorText(
            (400, 500),
            _words(r"unexpected tokens remaining in message header: .+"),
            types=("BadRequestError", "InternalServerError"),
        ),
    ),
    Quirk("Gemini", UNPARSED, ChoiceEnd({"finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL"})),
    Quirk(
        "OpenRouter", UNPARSED, ChoiceEnd({"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"})
    ),
    # Later system messages are refused by models' chat templates (and so by vLLM, SGLang, llama.cpp with status 500,
    # and the gateways in front of them), and by some services.
    Quirk("templates of Qwen 3.5 and later, MiniMax", SYSTEM_MESSAGE, Words("system message must be at the beginning")),
    Quirk(
        "LangChain's gateways to Anthropic's models",
        SYSTEM_MESSAGE,
        Words("system message must be at beginning of message list"),
    ),
    Quirk("templates of other models", SYSTEM_MESSAGE, Words("system message must be first")),
    Quirk("Mistral, and mistral-common in vLLM", SYSTEM_MESSAGE, Words("unexpected role system after role")),
    Quirk("Mistral, and mistral-common in vLLM", SYSTEM_MESSAGE, Words("unexpected role developer after role")),
    Quirk(
        "Mistral's older templates",
        SYSTEM_MESSAGE,
        Words("roles are supported, with the exception of an initial optional system message"),
    ),
    # These templates see a later system message as a violation of the alternation.
    Quirk("templates of Gemma, Mixtral", SYSTEM_MESSAGE, Words("conversation roles must alternate")),
    Quirk("Anthropic", SYSTEM_MESSAGE, Words("role system must precede an assistant message")),
    # In order of certainty: the first of these that names a field is used.
    Quirk(
        "OpenAI",
        REFUSED_FIELD,
        FieldCode(frozenset(("unsupported_parameter", "unknown_parameter", "unsupported_value"))),
    ),
    Quirk("OpenAI and many like it", REFUSED_FIELD, FieldNamed(_FIELDS_LAST)),
    Quirk("OpenAI and many like it", REFUSED_FIELD, FieldNamed(_FIELD_FIRST)),
    Quirk(
        "vLLM, LiteLLM, Mistral",
        REFUSED_FIELD,
        FieldNamed(
            re.compile(rf"{EXTRA_FIELD}['\"],\s*['\"]loc['\"]:\s*[\[(]\s*['\"]body['\"],\s*['\"](\w+)['\"]\s*[\])]")
        ),
    ),
)


def those_with(fault: str) -> tuple[Quirk, ...]:
    """Return the rows of one fault, in their order."""
    return tuple(quirk for quirk in QUIRKS if quirk.fault == fault)
