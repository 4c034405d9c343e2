"""Splits the content of messages that is a list of blocks, which in Anthropic's API include calls and results."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import one_line, well_formed
from pytest_fcpivot.data.jsonparts import joined, objects, string
from pytest_fcpivot.data.messages import ABSENT, EMPTY, TOOL_ROLES, Call, Function, Message

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields

_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})  # of the expert, which the agent never sees
# Marks of blocks that are probably calls of a format that is not supported: ignoring them would lose the calls.
_CALL_LIKE = re.compile(r"tool|func|call", re.IGNORECASE)
_KEYS_OF_CALLS = frozenset({"toolUse", "toolResult", "functionCall", "functionResponse", "toolCall", "toolName"})


@dataclass(slots=True)
class Blocks:
    """The parts of a content: results, calls, and as `content` the list of the other blocks."""

    results: list[Message] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """The blocks that are neither calls, results nor reasoning, as a JSON list."""
        return b"[%s]" % b",".join(self.said)


def split_blocks(role: str, content: bytes, where: str, line: int) -> Blocks | None:
    """Split a content into its parts; None if it has only texts, images and the like.

    Raises RowProblem for an unknown block that looks like a call or a result, and for a known one in a message of the
    wrong role.
    """
    listed = objects(content)
    if listed is None:
        return None  # a list of texts, or a value
    if role in TOOL_ROLES and any(string(block.get("type")) != "tool_result" for block in listed):
        return None  # the whole content is the result
    found, plain = Blocks(), True
    for number, block in enumerate(listed):
        place = f"{where}.content[{number}]"
        kind = string(block.get("type"))
        if kind == "tool_use":
            _expect(role, ("assistant",), kind, place, line)
            found.calls.append(_call(block, place, line))
        elif kind == "tool_result":
            _expect(role, ("user", "tool"), kind, place, line)
            found.results.append(_result(block))
        elif kind in _THOUGHTS and role == "assistant":
            pass
        elif _looks_like_a_call(kind, block):
            raise RowProblem(
                line,
                f"{place}: a block of type {one_line(str(kind), 60)!r} looks like a call or a result, but is not known "
                "and would be lost; known are tool_use and tool_result",
            )
        else:
            found.said.append(joined(block))
            continue
        plain = False
    return None if plain else found


def _expect(role: str, roles: tuple[str, ...], kind: str, where: str, line: int) -> None:
    if role not in roles:
        raise RowProblem(line, f"{where}: a {kind} block in a message of the role {role}, not of {' or '.join(roles)}")


def _call(block: Fields, where: str, line: int) -> Call:
    name = string(block.get("name"))
    if name is None:
        raise RowProblem(line, f"{where}: a call needs a name, a string")
    arguments = msgspec.Raw(block["input"]) if "input" in block else ABSENT
    return Call(Function(well_formed(name), arguments), string(block.get("id")))


def _result(block: Fields) -> Message:
    content = block.get("content", EMPTY)
    return Message("tool", msgspec.Raw(content), tool_call_id=string(block.get("tool_use_id")))


def _looks_like_a_call(kind: str | None, block: Fields) -> bool:
    return bool(kind and _CALL_LIKE.search(kind)) or not _KEYS_OF_CALLS.isdisjoint(block)
