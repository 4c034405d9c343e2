"""Reads calls that a model writes as text, in the forms that model families were trained on: one module per dialect.

Nothing here depends on servers or agents. A dialect finds attempted calls in a text (see `attempts`); to add a dialect,
write a module and name it in the table below. Dialects with special marks are searched for anywhere in a text. Those
without (JSON, Python, and what remains if a server strips special tokens) may also be text that a user asked for: they
count only as calls of offered tools, and only if no marked call is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.core.call_marks import may_attempt_call
from pytest_fcpivot.core.dialects import (
    bare,
    deepseek,
    glm,
    harmony,
    hermes,
    invoke,
    kimi,
    llama,
    mistral,
    pythonic,
    xml,
)
from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Find, Tools, quoted
from pytest_fcpivot.core.dialects.thoughts import is_endless, without_thoughts
from pytest_fcpivot.core.model import Action, FunctionCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

__all__ = ["DIALECTS", "Reading", "Tools", "is_endless", "looks_like_call", "parse_text", "read_calls"]

# If two match at the same position, the first one that can read the call wins: several dialects use the Hermes tags.
DIALECTS = (xml, glm, invoke, hermes, kimi, deepseek, mistral, llama, pythonic, harmony)
_MARKED: tuple[tuple[str, Find], ...] = tuple((dialect.NAME, dialect.find) for dialect in DIALECTS)
_BARE: tuple[tuple[str, Find], ...] = (
    (bare.NAME, bare.find_fence),
    (bare.NAME, bare.find_json),
    (pythonic.NAME, pythonic.find_bare),
    (kimi.NAME, kimi.find_bare),
    (mistral.NAME, mistral.find_bare),
)
_ANY_MARK = re.compile("|".join(re.escape(mark) for dialect in DIALECTS for mark in dialect.MARKS))
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a text: its calls, and the text around them (None if there is none).

    `malformed` is true if the text attempts a call whose function cannot be identified; it is then not read at all, and
    `text` is the whole of it. `endless` is true if it ends inside its reasoning. `dialect` is that of the first call.
    """

    text: str | None
    calls: tuple[Call, ...] = ()
    malformed: bool = False
    endless: bool = False
    dialect: str | None = None


def read_calls(text: str, tools: Tools) -> Reading:
    """Read the calls in a model's text, in any dialect, and the rest of the text; leading reasoning is dropped.

    If the function of a call is clear but its arguments cannot be read, its arguments are the raw text in their place,
    which is not valid JSON. Reasoning that never ends is not searched for calls: the text is returned as it is.
    """
    answer = without_thoughts(text)
    if answer is None:
        return Reading(text.strip(), endless=True)
    found = list(_attempts(answer, tools))
    if not found:
        return Reading(answer.strip() or None)
    dialect = found[0][0]
    if not all(attempt.calls for _, attempt in found):
        return Reading(answer.strip() or None, malformed=True, dialect=dialect)
    kept, at = "", 0
    for _, attempt in found:
        kept += answer[at : attempt.start]
        at = attempt.end
    calls = tuple(call for _, attempt in found for call in attempt.calls)
    return Reading((kept + answer[at:]).strip() or None, calls, dialect=dialect)


def parse_text(text: str, tools: Iterable[Mapping[str, Any]], dialect: str = "auto") -> Action:
    """Read a model's text as an action: the calls in it, or a message.

    `tools` are the tools on offer, as flat function tools. Text that attempts a call that cannot be read is a malformed
    call, and reasoning that never ends is no action at all. Raises ValueError for an unknown dialect.
    """
    if dialect != "auto":
        raise ValueError(f"unknown dialect {dialect!r}; known: auto")
    reading = read_calls(text, Tools(tools))
    if reading.endless:
        return Action()
    if reading.malformed:
        return Action(malformed=text)
    if reading.calls:
        return Action(tuple(FunctionCall(name, arguments) for name, arguments in reading.calls), reading.text)
    return Action(message=reading.text or "")


def looks_like_call(text: str, tool_names: Iterable[str] = ()) -> str | None:
    """Return the dialect in which a message attempts a call, complete or not; None if it is an ordinary message.

    `tool_names` are the tools on offer. A call in quotes, or in a code fence that follows other text, is an example,
    not an attempt.
    """
    if not may_attempt_call(text):
        return None
    answer = without_thoughts(text)
    if answer is None:
        return None
    tools = Tools.named(tool_names)
    shown = [fence.span() for fence in _FENCE.finditer(answer)] if "```" in answer else []
    for dialect, attempt in _attempts(answer, tools):
        if dialect != bare.NAME and quoted(answer, attempt.start):
            continue
        inside = any(start < attempt.start < end and answer[:start].strip() for start, end in shown)
        if not inside:
            return dialect
    return None


def _attempts(text: str, tools: Tools) -> Iterator[tuple[str, Attempt]]:
    """Yield the attempted calls of a text in order, without overlaps."""
    if _ANY_MARK.search(text):
        found = False
        for pair in _scan(text, tools, _MARKED):
            found = True
            yield pair
        if found:
            return
    for finder in _BARE:
        alike = list(_scan(text, tools, (finder,)))
        if alike:
            yield from alike
            return


def _scan(text: str, tools: Tools, finders: tuple[tuple[str, Find], ...]) -> Iterator[tuple[str, Attempt]]:
    at = 0
    upcoming: dict[int, Attempt] = {}
    waiting = list(range(len(finders)))
    while True:
        for place in waiting:
            attempt = finders[place][1](text, at, tools)
            if attempt is not None:
                upcoming[place] = attempt
        if not upcoming:
            return
        first = min(upcoming, key=lambda place: (upcoming[place].start, not upcoming[place].calls, place))
        yield finders[first][0], upcoming[first]
        at = max(upcoming[first].end, at + 1)
        waiting = [place for place in upcoming if upcoming[place].start < at]
        for place in waiting:
            del upcoming[place]
