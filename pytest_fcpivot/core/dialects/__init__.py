"""Calls that a model writes as text: the forms that model families were trained on, one module for each.

Nothing here knows of servers or agents. A dialect finds attempts at calls in a text (`attempts`); another one is a
module, and its name in the table below. Forms with marks of their own are looked for anywhere in a text. Forms without
(JSON, Python, what remains where a server leaves special tokens out) can be what a user asked for: they count only as
calls of tools that are on offer, and only where no form with marks is found.
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["DIALECTS", "Reading", "Tools", "is_endless", "looks_like_call", "read_calls"]

# Where two begin at the same place, the first that can read it: several use the tags of Hermes.
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
    """What was read of a text: its calls, and what stands beside them (None for nothing).

    `malformed` tells that the text attempts a call and does not say of which function, so that the whole of it cannot
    be read, and `endless` that it ends within a thought. `dialect` names the form of the first attempt.
    """

    text: str | None
    calls: tuple[Call, ...] = ()
    malformed: bool = False
    endless: bool = False
    dialect: str | None = None


def read_calls(text: str, tools: Tools) -> Reading:
    """Read a model's text, without what it thought ahead: its calls, in any dialect, and the rest.

    A call of a known function whose arguments cannot be read has for arguments the text in their place, which does not
    decode. A thought that never ends is not looked into: the text stays as it is.
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


def looks_like_call(text: str, tool_names: Iterable[str] = ()) -> str | None:
    """Name the dialect in which a message attempts a call, complete or begun; None if it is just a message.

    `tool_names` are those on offer. What is quoted, or shown in a fence beside other text, is talked about and no
    attempt.
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
    """Yield the attempts of a text in order, none inside another."""
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
