"""Builds the messages for the judge from the prompt in `judge_prompt.md` and a question.

The question's texts are inserted as JSON data, in which they cannot imitate the marks of the prompt.
"""

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
# Limits on what the judge is shown: of the conversation only the end, of a long text its beginning and end.
MOST_ITEMS = 30
MOST_CHARACTERS = 24_000
MOST_OF_ITEM = 6_000
MOST_OF_MESSAGE = 16_000
_BOUNDARY_BYTES = 12
_SYSTEM, _USER = "\n<!-- system -->\n", "\n<!-- user -->\n"
_VERSION = re.compile(r"(?m)^version: (\d+)$")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_PLACEHOLDERS = frozenset(("boundary", "conversation", "left_out", "expected", "candidate"))
# The beginning of a mark or of a chat template's control token (<|im_start|>, </s>, [INST]), which JSON can escape.
_OPENING = re.compile(r"<|\[(?=/?[A-Z_]+\])")
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Question:
    """A message to judge: the agent's `candidate`, to be compared with the expert's `expected` message.

    `input_json` is the conversation before it, as JSON text of Responses items (`Pivot.input_json`). `repeat` is the
    number of the agent's repeat: each repeat has its own cached verdict. The judge is not shown it.
    """

    input_json: str = field(repr=False)
    expected: str
    candidate: str
    repeat: int = 1

    @classmethod
    def of(cls, pivot: Pivot, candidate: str, repeat: int = 1) -> Question:
        """Make the question about an answer to a pivot that expects a message."""
        return cls(pivot.input_json, pivot.expected_action.message or "", candidate, repeat)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with placeholders; `version` is its number and a hash of its two texts."""

    version: str
    system: str
    user: str

    @classmethod
    def parse(cls, text: str) -> Prompt:
        """Read a prompt in the format that is described at the top of `judge_prompt.md`.

        Raises GraderError if the version or one of the two parts is missing, or if a placeholder is unknown.
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
        """Return the system message and the user message; equal questions give equal messages.

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
        # One pass over the template, so that placeholders inside the values are not replaced.
        return [
            {"role": role, "content": _PLACEHOLDER.sub(lambda found: values[found[1]], text)}
            for role, text in (("system", self.system), ("user", self.user))
        ]


@lru_cache(maxsize=1)
def bundled_prompt() -> Prompt:
    """Read the prompt that comes with the package."""
    return Prompt.parse(PROMPT_PATH.read_text(encoding="utf-8"))


def _end_of(input_json: str) -> tuple[list[str], int]:
    """Return the last items of a conversation as lines, one JSON object each, and the number of items left out."""
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
    """Yield an item as a line of JSON; nothing for reasoning, which is not part of the conversation."""
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
    """Write a value as JSON on one line, with the beginnings of marks escaped."""
    return _OPENING.sub(lambda found: f"\\u{ord(found[0]):04x}", _encode(value))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail]} […{len(text) - limit} characters left out…] {text[-tail:]}"
