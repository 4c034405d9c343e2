"""Conversations into pivots: every assistant turn is one, with everything before it as its input.

Reads the shape of Nemotron-Agentic-v1 and any list of Chat Completions messages with tools. Values go from the row into
the store as the texts that they are; the items of a conversation are written once, and its pivots' inputs spliced from
them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.data.jsonparts import as_string, decoded, is_array, string
from pytest_fcpivot.data.messages import EMPTY, Call, Message, read_messages, read_tools, result_of, text_of
from pytest_fcpivot.data.rows import StoredPivot, stem_of
from pytest_fcpivot.data.selection import stable_hash
from pytest_fcpivot.errors import RowProblem
from pytest_fcpivot.jsontext import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


# What of a row does not become metadata of its pivots: what they hold already, and the expert's thinking.
_NOT_METADATA = frozenset({"messages", "tools", "reasoning", "uuid", "id", "trajectory_id"})
_TEXT_ROLES = frozenset({"system", "user", "developer"})


@dataclass(frozen=True, slots=True)
class SkippedTurn:
    """An assistant turn that is no pivot, by its place among the conversation's messages, and why."""

    line: int
    message: int
    reason: str


def is_conversation(row: Mapping[str, bytes]) -> bool:
    """Tell whether a row, given as the texts of its members, is a conversation."""
    return is_array(row.get("messages"))


class Conversation:
    """A conversation, given as the texts of its row's members; raises RowProblem with the reason if it is broken.

    `flags` fills with what is odd about it while its turns are read.
    """

    def __init__(self, row: Mapping[str, bytes], line: int) -> None:
        self._line = line
        self.flags: set[str] = set()
        self._messages = read_messages(row["messages"] if is_conversation(row) else b"[]", line)
        self._tools, self._n_tools = read_tools(row.get("tools", b"null"), line, self.flags)
        self._trajectory = _trajectory(row)
        self._stem = stem_of(self._trajectory, "c")
        self._flags_key = b'"fcpivot_flags":' if "flags" in row else b'"flags":'
        self._own = [
            b"%s:%s" % (as_string(key), value)
            for key, value in row.items()
            if key not in _NOT_METADATA and value != b"null"
        ]
        self._n_turns = sum(message.role == "assistant" for message in self._messages)
        if not self._n_turns:
            raise RowProblem(line, "messages: no assistant turn among them, so there is no pivot in it")

    def ids(self) -> list[str]:
        """Return the ids of its turns' pivots."""
        return [f"{self._stem}-d{depth}" for depth in range(self._n_turns)]

    def turns(self, split: str | None = None) -> Iterator[StoredPivot | SkippedTurn]:
        """Yield its assistant turns, in order."""
        trajectory_hash = stable_hash("shard", self._trajectory)
        flagged, metadata = 0, b"{%s}" % b",".join(self._own)
        items = _Items(self.flags)
        turn = step = depth = 0
        for place, message in enumerate(self._messages):
            if message.role != "assistant":
                items.add(message)
                if message.role == "user":
                    turn, step = turn + 1, 0
                continue
            items.expect_no_more()
            text = text_of(bytes(message.content), self.flags)
            calls = message.calls()
            written = [call.written() for call in calls]
            reason = _no_pivot(text, calls) if items.text else "the conversation begins with it: nothing to answer"
            if reason is not None:
                yield SkippedTurn(self._line, place, reason)
            else:
                if len(self.flags) != flagged:
                    noted = self._flags_key + json.dumps(sorted(self.flags)).encode()
                    flagged, metadata = len(self.flags), b"{%s}" % b",".join([*self._own, noted])
                id_ = f"{self._stem}-d{depth}"
                kind, expected = _expected(text, written)
                yield StoredPivot(
                    id_,
                    split,
                    self._trajectory,
                    stable_hash("sample", id_),
                    trajectory_hash,
                    max(0, turn - 1),
                    step,
                    depth,
                    kind,
                    [call.name for call in calls],
                    self._n_tools,
                    expected,
                    b"%s]" % items.text,
                    self._tools,
                    b"{}",
                    metadata,
                    self._line,
                )
            items.add_turn(text, calls, written)
            step += 1
            depth += 1


def _trajectory(row: Mapping[str, bytes]) -> str:
    """Return the conversation's own id, or one of its content."""
    for key in ("trajectory_id", "uuid", "id"):
        raw = row.get(key, b"null")
        value = string(raw) or (raw.decode() if raw.lstrip(b"-").isdigit() else None)
        if value:
            return well_formed(value)
    from hashlib import blake2b  # noqa: PLC0415 (few files need it)

    text = json.dumps([decoded(row.get(key, b"null")) for key in ("messages", "tools")], sort_keys=True)
    return f"c-{blake2b(text.encode(), digest_size=6).hexdigest()}"


def _no_pivot(text: bytes, calls: list[Call]) -> str | None:
    """Say why a turn cannot be a pivot, if it cannot."""
    if not calls:
        return "neither text nor calls" if text == EMPTY else None
    return next(filter(None, map(Call.fault, calls)), None)


def _expected(text: bytes, calls: list[bytes]) -> tuple[str, bytes]:
    """Return the type of what the expert did, and the action as the data sets write it."""
    if not calls:
        return "message", b'{"type":"message","content":%s}' % text
    actions = [b'{"type":"function_call",%s}' % call for call in calls]
    if len(actions) == 1:
        return "function_call", actions[0]
    return "function_call_batch", b'{"type":"function_call_batch","calls":[%s]}' % b",".join(actions)


class _Items:
    """The conversation so far, as JSON texts of Responses items; results are paired with their calls."""

    def __init__(self, flags: set[str]) -> None:
        self.text = bytearray()  # a JSON array that is still open: each pivot's input is what there is when it comes
        self._flags = flags
        self._waiting: dict[str, str] = {}  # the last calls without a result: the ids that they have here, and had
        self._ids: set[str] = set()
        self._calls = 0
        self._strays = 0

    def add(self, message: Message) -> None:
        """Add a message that is not the assistant's."""
        role = message.role
        if role in ("tool", "function"):  # the latter in the API's first form
            self._result(message)
            return
        if role == "user":
            self.expect_no_more()
        role = role if role in _TEXT_ROLES else "user"
        self._add(b'{"role":"%s","content":%s}' % (role.encode(), text_of(bytes(message.content), self._flags)))

    def add_turn(self, text: bytes, calls: list[Call], written: list[bytes]) -> None:
        """Add what the assistant said and called."""
        if text != EMPTY:
            self._add(b'{"role":"assistant","content":%s}' % text)
        for call, members in zip(calls, written, strict=True):
            identifier = as_string(self._identifier(None if call.id is None else str(call.id)))
            self._add(b'{"type":"function_call","call_id":%s,%s}' % (identifier, members))

    def _add(self, item: bytes) -> None:
        self.text += b"," if self.text else b"["
        self.text += item

    def expect_no_more(self) -> None:
        """Note that calls which have no result by now will not get one."""
        if self._waiting:
            self._flags.add("calls-without-results")
            self._waiting.clear()

    def _identifier(self, own: str | None) -> str:
        told = own or f"call_{self._calls}"
        self._calls += 1
        identifier, number = told, 1
        while identifier in self._ids:  # one id, one call: a result would be taken for that of the other
            number += 1
            identifier = f"{told}_{number}"
        self._ids.add(identifier)
        self._waiting[identifier] = told
        return identifier

    def _result(self, message: Message) -> None:
        told = None if message.tool_call_id is None else str(message.tool_call_id)
        found = next((id_ for id_, had in self._waiting.items() if not told or had == told), None)
        if found is not None:
            identifier = found
            del self._waiting[found]
        else:
            self._flags.add("results-without-calls")
            identifier = told or f"stray_{self._strays}"
            self._strays += 1
        self._add(
            b'{"type":"function_call_output","call_id":%s,"output":%s}'
            % (as_string(identifier), result_of(bytes(message.content)))
        )
