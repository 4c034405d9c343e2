"""What the judge is shown: the prompt of `judge_prompt.md`, with a question's texts as data that cannot forge marks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.chat import arguments_text, content_text, result_text
from pytest_fcpivot.core.errors import GraderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.model import Pivot

PROMPT_PATH = Path(__file__).with_name("judge_prompt.md")
# What is shown of a conversation, from its end, and of one text; the rest is left out.
MOST_ITEMS = 30
MOST_CHARACTERS = 24_000
MOST_OF_ITEM = 6_000
MOST_OF_MESSAGE = 16_000
_BOUNDARY_BYTES = 12
_SYSTEM, _USER = "\n<!-- system -->\n", "\n<!-- user -->\n"
_VERSION = re.compile(r"(?m)^version: (\d+)$")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_PLACEHOLDERS = frozenset(("boundary", "conversation", "left_out", "expected", "candidate"))
# Where a mark or a chat template's control token would begin: <|im_start|>, </s>, [INST]. In JSON both can be escaped.
_OPENING = re.compile(r"<|\[(?=/?[A-Z_]+\])")
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Question:
    """A message to judge: what an agent wrote where an expert wrote `expected`.

    `input_json` is the conversation up to there, as JSON text of Responses items (`Pivot.input_json`). `repeat` is
    that of the agent: it keeps verdicts apart and is not shown to the judge.
    """

    input_json: str = field(repr=False)
    expected: str
    candidate: str
    repeat: int = 1

    @classmethod
    def of(cls, pivot: Pivot, candidate: str, repeat: int = 1) -> Question:
        """Ask about an answer to a pivot that expects a message."""
        return cls(pivot.input_json, pivot.expected_action.message or "", candidate, repeat)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with placeholders; `version` is its number and a hash of what is sent of it."""

    version: str
    system: str
    user: str

    @classmethod
    def parse(cls, text: str) -> Prompt:
        """Read a text of the form of `judge_prompt.md`, which says what it holds.

        Raises GraderError if it lacks its version or one of its two parts, or has an unknown placeholder.
        """
        head, has_system, rest = text.partition(_SYSTEM)
        system, has_user, user = rest.partition(_USER)
        number = _VERSION.search(head)
        if number is None or not has_system or not has_user:
            raise GraderError(
                "the judge's prompt needs a line 'version: NUMBER', then a line '<!-- system -->' and a line "
                "'<!-- user -->', each with its text below"
            )
        system, user = system.strip(), user.strip()
        unknown = sorted(set(_PLACEHOLDER.findall(system + user)) - _PLACEHOLDERS)
        if unknown:
            raise GraderError(
                f"the judge's prompt has unknown placeholders: {', '.join(unknown)}; "
                f"known: {', '.join(sorted(_PLACEHOLDERS))}"
            )
        digest = blake2b(f"{len(system)}:{system}{user}".encode(), digest_size=6).hexdigest()
        return cls(f"{number[1]}-{digest}", system, user)

    def messages(self, question: Question) -> list[dict[str, str]]:
        """Write the system's and the user's message; the same question gives the same text.

        Raises GraderError for a conversation that is not JSON.
        """
        lines, left_out = _end_of(question.input_json)
        data = {
            "conversation": "\n".join(lines),
            "expected": _data(_cut(question.expected, MOST_OF_MESSAGE)),
            "candidate": _data(_cut(question.candidate, MOST_OF_MESSAGE)),
        }
        boundary = blake2b(_encode([self.version, *data.values()]).encode("utf-8", "surrogatepass"))
        values = data | {"left_out": str(left_out), "boundary": boundary.hexdigest()[: 2 * _BOUNDARY_BYTES]}
        # One pass over the template: what a value holds is not looked at.
        return [
            {"role": role, "content": _PLACEHOLDER.sub(lambda found: values[found[1]], text)}
            for role, text in (("system", self.system), ("user", self.user))
        ]


@lru_cache(maxsize=1)
def bundled_prompt() -> Prompt:
    """Read the prompt that comes with the package."""
    return Prompt.parse(PROMPT_PATH.read_text(encoding="utf-8"))


def _end_of(input_json: str) -> tuple[list[str], int]:
    """Write the last items of a conversation, one JSON object a line; also return how many items come before."""
    try:
        items = json.loads(input_json)
    except (ValueError, RecursionError) as error:
        raise GraderError(f"the judge cannot read the conversation: it is not JSON ({error})") from error
    if not isinstance(items, list):
        items = [{"role": "user", "content": items}]
    shown = [line for item in items for line in _shown(item)]
    lines: list[str] = []
    room = MOST_CHARACTERS
    for line in shown[: -MOST_ITEMS - 1 : -1]:
        room -= len(line)
        if room < 0 and lines:
            break
        lines.append(line)
    return lines[::-1], len(shown) - len(lines)


def _shown(item: Any) -> Iterator[str]:
    """Write an item as data; nothing for what is no part of the talk, such as reasoning."""
    if not isinstance(item, dict):
        yield _data({"role": "unknown", "text": _cut(_encode(item), MOST_OF_ITEM)})
        return
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "message":
        text = content_text(item.get("content"))
        yield _data({"role": str(item.get("role") or "user"), "text": _cut(text, MOST_OF_ITEM)})
    elif kind == "function_call":
        call = {
            "name": str(item.get("name", "")),
            "arguments": _cut(arguments_text(item.get("arguments")), MOST_OF_ITEM),
        }
        yield _data({"role": "assistant", "call": call})
    elif kind == "function_call_output":
        yield _data({"role": "tool", "result": _cut(result_text(item.get("output")), MOST_OF_ITEM)})
    elif kind != "reasoning":
        yield _data({"role": "unknown", "text": _cut(_encode(item), MOST_OF_ITEM)})


def _data(value: Any) -> str:
    """Write a value as JSON on one line that holds no mark."""
    return _OPENING.sub(lambda found: f"\\u{ord(found[0]):04x}", _encode(value))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail]} […{len(text) - limit} characters left out…] {text[-tail:]}"
