"""Reads and writes calls as text, in the forms that model families were trained on: one module per dialect.

Nothing here depends on servers or agents. A dialect finds attempted calls in a text (see `attempts`) and writes calls;
to add one, write a module and name it in the tables below. Dialects with special marks are searched for anywhere in a
text. Those without (JSON, Python, and what remains if a tokenizer drops special tokens) may also be text that a user
asked for: they count only as calls of offered tools, and only if no marked call is found. A text without a call may
still hold traces of one (see `traces`).
"""

from __future__ import annotations

import json
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
from pytest_fcpivot.core.dialects.attempts import Attempt, Call, Find, Tools, Write, quoted
from pytest_fcpivot.core.dialects.thoughts import is_endless, without_channel, without_thoughts
from pytest_fcpivot.core.dialects.traces import attempts_call
from pytest_fcpivot.core.dialects.turns import without_turn_marks
from pytest_fcpivot.core.errors import DialectError
from pytest_fcpivot.core.model import Action, FunctionCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

__all__ = ["DIALECT_NAMES", "Reading", "Tools", "is_endless", "looks_like_call", "named", "parse_text", "read_calls"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One family's form of calls: how it is found with its marks and without them, and how it is written."""

    marked: tuple[tuple[str, Find], ...]
    bare: tuple[tuple[str, Find], ...]
    write: Write


# If two match at the same position, the first one that can read the call wins: several dialects use the Hermes tags.
_MODULES = (xml, glm, invoke, hermes, kimi, deepseek, mistral, llama, pythonic, harmony)
_MARKED: tuple[tuple[str, Find], ...] = tuple((module.NAME, module.find) for module in _MODULES)
_FENCE_BARE, _JSON_BARE = (bare.NAME, bare.find_fence), (bare.NAME, bare.find_json)
_NAME_BARE = (mistral.NAME, mistral.find_bare)
_BARE: tuple[tuple[str, Find], ...] = (
    _FENCE_BARE,
    _JSON_BARE,
    (pythonic.NAME, pythonic.find_bare),
    (kimi.NAME, kimi.find_bare),
    (deepseek.NAME, deepseek.find_bare),
    _NAME_BARE,
)
_DIALECTS: dict[str, Dialect] = {
    hermes.NAME: Dialect(((hermes.NAME, hermes.find),), (_FENCE_BARE, _JSON_BARE), hermes.write),
    xml.NAME: Dialect(((xml.NAME, xml.find),), (), xml.write),
    llama.NAME: Dialect(((llama.NAME, llama.find),), (_FENCE_BARE, _JSON_BARE), llama.write),
    mistral.NAME: Dialect(((mistral.NAME, mistral.find),), (_JSON_BARE, _NAME_BARE), mistral.write),
    deepseek.NAME: Dialect(
        ((invoke.NAME, invoke.find), (deepseek.NAME, deepseek.find)),
        ((deepseek.NAME, deepseek.find_bare), _NAME_BARE),
        deepseek.write,
    ),
    glm.NAME: Dialect(((glm.NAME, glm.find),), (), glm.write),
    kimi.NAME: Dialect(((kimi.NAME, kimi.find),), ((kimi.NAME, kimi.find_bare),), kimi.write),
    harmony.NAME: Dialect(((harmony.NAME, harmony.find),), (), harmony.write),
    pythonic.NAME: Dialect(((pythonic.NAME, pythonic.find),), ((pythonic.NAME, pythonic.find_bare),), pythonic.write),
}
DIALECT_NAMES = tuple(_DIALECTS)
AUTO = "auto"
_ANY = Dialect(_MARKED, _BARE, hermes.write)
_ANY_MARK = re.compile("|".join(re.escape(mark) for module in _MODULES for mark in module.MARKS))
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_ANY_NAME = re.compile(
    r"""["'](?:name|function|tool)["']\s*:\s*"([^"\n]{1,200})"|(?<![\w.\-/])([A-Za-z_][\w.\-/]*+)(?=[({])
    |<tool_call>\s*([\w.\-/]+)\s*</tool_call>""",
    re.VERBOSE,
)
_MOST_NAMES = 1000
_PLAIN_BEGINNING = re.compile(r"\s*(?:[\w.\-/]+[({:]|[\w.\-/]+\s*\Z|analysis|assistant|commentary|final)")


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a text: its calls, and the text around them (None if there is none).

    `malformed` is true if the text attempts a call that cannot be read: one whose function cannot be identified, or one
    in another dialect than that asked for. `unanswered` is true if the text is only reasoning, ended or not. In both
    cases, `text` is the whole of it. `dialect` is that of the first call.
    """

    text: str | None
    calls: tuple[Call, ...] = ()
    malformed: bool = False
    unanswered: bool = False
    dialect: str | None = None


def named(dialect: str) -> Dialect:
    """Return a dialect by its name, with all of them as `auto`; raises DialectError for an unknown name."""
    found = _ANY if dialect == AUTO else _DIALECTS.get(dialect)
    if found is None:
        raise DialectError(f"unknown dialect {dialect!r}; known: {', '.join((AUTO, *DIALECT_NAMES))}")
    return found


def parse_text(text: str, tools: Iterable[Mapping[str, Any]] | Tools, dialect: str = AUTO) -> Action:
    """Read a model's text as an action: the calls in it, or a message.

    `tools` are the tools on offer, flat or as Chat Completions nests them; a `Tools` made of them once serves many
    texts. `dialect` is the form in which the model was asked for calls, a name in `DIALECT_NAMES`, or `auto` for any.
    Text that attempts a call that cannot be read, or one in another dialect, is a malformed call
    (`Action(malformed=text)`), and text that is only reasoning is no action (`Action()`). Raises DialectError, which is
    a ValueError too, for an unknown dialect.
    """
    reading = read_calls(text, tools if isinstance(tools, Tools) else Tools(tools), dialect)
    if reading.unanswered:
        return Action()
    if reading.malformed:
        return Action(malformed=text)
    if reading.calls:
        return Action(tuple([FunctionCall(name, arguments) for name, arguments in reading.calls]))
    return Action(message=reading.text or "")


def read_calls(text: str, tools: Tools, dialect: str = AUTO) -> Reading:
    """Read the calls in a model's text, and the rest of the text; leading reasoning is dropped.

    If the function of a call is clear but its arguments cannot be read, its arguments are the raw text in their place,
    which is not valid JSON. Raises DialectError for an unknown dialect.
    """
    asked = named(dialect)
    if not _may_attempt_call(text):
        return Reading(text.strip() or None)
    answer = without_thoughts(without_turn_marks(text), lambda rest: _sound_ranges(rest, tools, asked))
    if answer is None:
        return Reading(text.strip(), unanswered=True)
    if dialect == harmony.NAME:
        answer = without_channel(answer)
    found = list(_attempts(answer, tools, asked))
    kept, at = "", 0
    for _, attempt in found:
        kept += answer[at : attempt.start]
        at = attempt.end
    rest = (kept + answer[at:]).strip()
    readable = all(attempt.calls for _, attempt in found)
    if readable and rest:
        foreign = asked is not _ANY and any(True for _ in _attempts(rest, tools, _ANY))
        if foreign or (not found and attempts_call(answer, tools)):
            # Without marks, only a text that is nothing else is a call of a tool that is not on offer.
            found = [] if found else _unoffered(answer, tools, asked)
            readable, rest = bool(found), ""
    if not readable:
        return Reading(answer.strip() or None, malformed=True, dialect=found[0][0] if found else None)
    calls = tuple([call for _, attempt in found for call in attempt.calls])
    return Reading(rest or None, calls, dialect=found[0][0] if found else None)


def _unoffered(text: str, tools: Tools, dialect: Dialect) -> list[tuple[str, Attempt]]:
    """Return the calls, without marks, that are all of a text, whichever tools they name; none if there is more."""
    names = [next(filter(None, found.groups())) for found in _ANY_NAME.finditer(text)]
    if not names or len(names) > _MOST_NAMES:
        return []
    found = list(_attempts(text, tools.with_names(names), dialect))
    kept, at = "", 0
    for _, attempt in found:
        kept += text[at : attempt.start]
        at = attempt.end
    sound = all(_is_json(arguments) for _, attempt in found for _, arguments in attempt.calls)
    return found if sound and not (kept + text[at:]).strip() else []


def _may_attempt_call(text: str) -> bool:
    """Return whether a text may hold more than a message; cheaply rules out most messages."""
    return (
        "<" in text
        or "[" in text
        or "{" in text
        or "]" in text
        or "}" in text
        or "```" in text
        or "to=" in text
        or "functions." in text
        or _PLAIN_BEGINNING.match(text) is not None
    )


def _sound_ranges(text: str, tools: Tools, dialect: Dialect) -> list[tuple[int, int]]:
    """Return the ranges of a text's calls with valid arguments."""
    return [
        (attempt.start, attempt.end)
        for _, attempt in _attempts(text, tools, dialect)
        if attempt.calls and all(_is_json(arguments) for _, arguments in attempt.calls)
    ]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


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
    for dialect, attempt in _attempts(answer, tools, _ANY):
        if dialect != bare.NAME and quoted(answer, attempt.start):
            continue
        inside = any(start < attempt.start < end and answer[:start].strip() for start, end in shown)
        if not inside:
            return dialect
    return None


def _attempts(text: str, tools: Tools, dialect: Dialect) -> Iterator[tuple[str, Attempt]]:
    """Yield the attempted calls of a text in order, without overlaps."""
    if _ANY_MARK.search(text):
        found = False
        for pair in _scan(text, tools, dialect.marked):
            found = True
            yield pair
        if found:
            return
    for finder in dialect.bare:
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
