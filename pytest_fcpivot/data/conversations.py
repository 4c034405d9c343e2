"""Conversations into pivots: every assistant turn is one, with everything before it as its input.

Messages and tools are those of Nemotron-Agentic-v1 and of Chat Completions; `shapes` makes them of others. Values go
from the row into the store as the texts that they are; the items of a conversation are written once, and its pivots'
inputs spliced from them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.data.jsonparts import as_string, decoded, fields, is_array, joined, string
from pytest_fcpivot.data.messages import EMPTY, TOOL_ROLES, Call, Message, read_tools, result_of, text_of
from pytest_fcpivot.data.rows import StoredPivot, stem_of
from pytest_fcpivot.data.selection import stable_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# What of a row does not become metadata of its pivots: what they hold already, and the expert's thinking.
_NOT_METADATA = frozenset({"messages", "tools", "reasoning", "uuid", "id", "trajectory_id"})
_TEXT_ROLES = {"system": b"system", "developer": b"developer", "user": b"user"}
_COMMA, _CLOSE = b",]"
_NOTHING = b'"arguments":""'  # how a call without arguments is written
NOT_TO_BE_LEARNED = "marked as not to be learned"
NO_ARGUMENTS = "calls-without-arguments"  # in what a pivot's agent is shown


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
    """A conversation, given as its row's members; raises RowProblem with the reason if it is broken.

    Members are texts, but for messages, and tools that have been read already; `text` is then that of the whole row.
    `trajectory` is its id, where that is not to be read off the row; `params` are the request's settings, `places` says
    which message of the source each of them was, and `odd` what was odd about the row. `flags` fills with what is odd
    about the conversation while its turns are read.
    """

    def __init__(
        self,
        row: Mapping[str, Any],
        line: int,
        text: bytes = b"",
        *,
        trajectory: str | None = None,
        params: bytes = b"{}",
        places: Sequence[int] | None = None,
        odd: Iterable[str] = (),
    ) -> None:
        self._line = line
        self.flags: set[str] = set(odd)
        self._messages: list[Message] = row["messages"]
        if not self._messages:
            raise RowProblem(line, "no messages (a list that is not empty)")
        self._tools, self.n_tools = read_tools(row.get("tools") or [], line, self.flags)
        self._trajectory = trajectory or own_id(row) or id_of_content((fields(text) or {}) if text else row)
        self.stem = stem_of(self._trajectory, "c")
        self._flags_key = "fcpivot_flags" if "flags" in row else "flags"
        self.metadata = {key: value for key, value in row.items() if key not in _NOT_METADATA and value != b"null"}
        self._params = params
        self._places = places
        self.n_turns = [message.role for message in self._messages].count("assistant")
        if not self.n_turns:
            raise RowProblem(line, "messages: no assistant turn among them, so there is no pivot in it")

    @property
    def messages(self) -> Sequence[Message]:
        """The messages, which nobody changes."""
        return self._messages

    def turns(self, split: str | None = None) -> Iterator[StoredPivot | SkippedTurn]:
        """Yield its assistant turns, in order."""
        trajectory_hash = stable_hash("shard", self._trajectory)
        flagged, metadata = 0, joined(self.metadata)
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
            if message.weight == 0:
                reason: str | None = NOT_TO_BE_LEARNED
            elif not items:
                reason = "the conversation begins with it: nothing to answer"
            elif calls:
                reason = _fault_of(calls)
            else:
                reason = "neither text nor calls" if text == EMPTY else None
            written = [call.written() for call in calls]
            if reason is not None:
                yield SkippedTurn(self._line, place if self._places is None else self._places[place], reason)
            else:
                if len(self.flags) != flagged:
                    noted = json.dumps(sorted(self.flags)).encode()
                    flagged, metadata = len(self.flags), joined({**self.metadata, self._flags_key: noted})
                if calls:
                    kind, expected = expected_calls(written)
                else:
                    kind, expected = "message", b'{"type":"message","content":%s}' % text
                id_ = f"{self.stem}-d{depth}"
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
                    [call.function.name for call in calls],
                    self.n_tools,
                    expected,
                    items.closed(),
                    self._tools,
                    self._params,
                    metadata,
                    self._line,
                )
            if text != EMPTY:
                items.say(text)
            for call, members in zip(calls, written, strict=True):
                items.call(call.id, members)
                if members.endswith(_NOTHING):
                    self.flags.add(NO_ARGUMENTS)
            step += 1
            depth += 1


def own_id(row: Mapping[str, bytes]) -> str | None:
    """Return the id that a conversation has of its own, if it has one."""
    for key in ("trajectory_id", "uuid", "id"):
        raw = row.get(key, b"null")
        value = string(raw) or (raw.decode() if raw.lstrip(b"-").isdigit() else None)
        if value:
            return well_formed(value)
    return None


def id_of_content(row: Mapping[str, bytes], keys: Iterable[str] = ("messages", "tools")) -> str:
    """Return an id that these members of a row make: the same for the same."""
    from hashlib import blake2b  # noqa: PLC0415 (few files need it)

    text = json.dumps([decoded(row.get(key, b"null")) for key in keys], sort_keys=True)
    return f"c-{blake2b(text.encode(), digest_size=6).hexdigest()}"


def _fault_of(calls: list[Call]) -> str | None:
    """Say why calls cannot be a pivot, if they cannot."""
    for call in calls:
        if (fault := call.fault()) is not None:
            return fault
    return None


def expected_calls(calls: list[bytes]) -> tuple[str, bytes]:
    """Return the type of what the expert did, and the action as the data sets write it; calls as their members."""
    if len(calls) == 1:
        return "function_call", b'{"type":"function_call",%s}' % calls[0]
    actions = b",".join([b'{"type":"function_call",%s}' % call for call in calls])
    return "function_call_batch", b'{"type":"function_call_batch","calls":[%s]}' % actions


class _Items:
    """The conversation so far, as JSON texts of Responses items; results are paired with their calls."""

    def __init__(self, flags: set[str]) -> None:
        self._text = bytearray(b"[")  # an array that is still open, with a comma behind each item
        self._flags = flags
        self._waiting: dict[str, str] = {}  # the last calls without a result: the ids that they have here, and had
        self._ids: set[str] = set()
        self._calls = 0
        self._strays = 0

    def __bool__(self) -> bool:
        return len(self._text) > 1

    def closed(self) -> bytes:
        """Return the array of the items so far, of which there is one at least."""
        self._text[-1] = _CLOSE
        array = bytes(self._text)
        self._text[-1] = _COMMA
        return array

    def add(self, message: Message) -> None:
        """Add a message that is not the assistant's."""
        role = message.role
        if role in TOOL_ROLES:
            self._result(message)
            return
        if role == "user":
            self.expect_no_more()
        text = text_of(bytes(message.content), self._flags)
        self._text += b'{"role":"%s","content":%s},' % (_TEXT_ROLES[role], text)

    def say(self, text: bytes) -> None:
        """Add a text of the assistant's."""
        self._text += b'{"role":"assistant","content":%s},' % text

    def call(self, own: str | int | None, members: bytes) -> None:
        """Add a call of the assistant's, by the id that it has in the conversation."""
        told = str(own) if own not in (None, "") else f"call_{self._calls}"
        self._calls += 1
        identifier, number = told, 1
        while identifier in self._ids:  # one id, one call: a result would be taken for that of the other
            number += 1
            identifier = f"{told}_{number}"
        self._ids.add(identifier)
        self._waiting[identifier] = told
        self._text += b'{"type":"function_call","call_id":%s,%s},' % (as_string(identifier), members)

    def expect_no_more(self) -> None:
        """Note that calls which have no result by now will not get one."""
        if self._waiting:
            self._flags.add("calls-without-results")
            self._waiting.clear()

    def _result(self, message: Message) -> None:
        told = "" if message.tool_call_id is None else str(message.tool_call_id)
        for identifier, had in self._waiting.items():
            if not told or had == told:
                del self._waiting[identifier]
                break
        else:
            self._flags.add("results-without-calls")
            identifier = told or f"stray_{self._strays}"
            self._strays += 1
        self._text += b'{"type":"function_call_output","call_id":%s,"output":%s},' % (
            as_string(identifier),
            result_of(bytes(message.content)),
        )
