"""Splits conversations into pivots: each assistant turn becomes one, with everything before it as its input.

Messages and tools have the form of Nemotron-Agentic-v1 and Chat Completions; `data.shapes` converts other forms to it.
Values are copied from the row to the store as JSON text, without decoding them. The items of a conversation are written
once, and the inputs of its pivots are prefixes of that text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.data.jsonparts import as_string, decoded, fields, is_array, joined, string
from pytest_fcpivot.data.messages import EMPTY, TOOL_ROLES, Call, Message, read_tools, result_of, text_of
from pytest_fcpivot.data.rows import SPLIT, StoredPivot, split_of, stem_of
from pytest_fcpivot.data.selection import stable_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# The members of a row that do not become metadata of its pivots: they are stored already, or the expert's reasoning.
_NOT_METADATA = frozenset({"messages", "tools", "reasoning", "uuid", "id", "trajectory_id"})
_TEXT_ROLES = {"system": b"system", "developer": b"developer", "user": b"user"}
_COMMA, _CLOSE = b",]"
_NOTHING = b'"arguments":""'  # how a call without arguments ends in an item
NOT_TO_BE_LEARNED = "marked as not to be learned"
NO_ARGUMENTS = "calls-without-arguments"  # a flag: there are such calls in the context that the agent is shown


@dataclass(frozen=True, slots=True)
class SkippedTurn:
    """An assistant turn that does not become a pivot: the row's line, the message's index from 0, and the reason."""

    line: int
    message: int
    reason: str


def is_conversation(row: Mapping[str, bytes]) -> bool:
    """Return whether a row, given as the JSON texts of its members, is a conversation: has a list of messages."""
    return is_array(row.get("messages"))


class Conversation:
    """A conversation, given as the members of its row; raises RowProblem with the reason if it is broken.

    The members are JSON texts, except the messages, and except tools that were decoded already; in that case `text` is
    the text of the whole row. `trajectory` is the conversation's id if it does not follow from the row; `params` are
    the settings of the request as JSON; `places` gives the index in the source of each message; `odd` holds flags for
    what was unusual about the row. `flags` collects these and further flags while the turns are read.
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
        self._split = split_of(row)
        left = _NOT_METADATA if self._split is None else {*_NOT_METADATA, SPLIT}
        self.metadata = {key: value for key, value in row.items() if key not in left and value != b"null"}
        self._params = params
        self._places = places
        self.n_turns = [message.role for message in self._messages].count("assistant")
        if not self.n_turns:
            raise RowProblem(line, "messages: no assistant turn among them, so there is no pivot in it")

    @property
    def messages(self) -> Sequence[Message]:
        """The messages; callers must not change them."""
        return self._messages

    def turns(self, split: str | None = None) -> Iterator[StoredPivot | SkippedTurn]:
        """Yield the assistant turns in order, as pivots or as skipped turns; `split` is for rows that name none."""
        split = self._split or split
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
    """Return the id that a row gives itself under `trajectory_id`, `uuid` or `id`; None if it has none."""
    for key in ("trajectory_id", "uuid", "id"):
        raw = row.get(key, b"null")
        value = string(raw) or (raw.decode() if raw.lstrip(b"-").isdigit() else None)
        if value:
            return well_formed(value)
    return None


def id_of_content(row: Mapping[str, bytes], keys: Iterable[str] = ("messages", "tools")) -> str:
    """Return an id derived from the content of these members of a row; equal content gives equal ids."""
    from hashlib import blake2b  # noqa: PLC0415 (few files need it)

    text = json.dumps([decoded(row.get(key, b"null")) for key in keys], sort_keys=True)
    return f"c-{blake2b(text.encode(), digest_size=6).hexdigest()}"


def _fault_of(calls: list[Call]) -> str | None:
    """Return why calls cannot be an expected action; None if they can."""
    for call in calls:
        if (fault := call.fault()) is not None:
            return fault
    return None


def expected_calls(calls: list[bytes]) -> tuple[str, bytes]:
    """Return the type of an expected action, and the action in the form of the published datasets, as JSON.

    `calls` are given as the JSON members of each call, without braces.
    """
    if len(calls) == 1:
        return "function_call", b'{"type":"function_call",%s}' % calls[0]
    actions = b",".join([b'{"type":"function_call",%s}' % call for call in calls])
    return "function_call_batch", b'{"type":"function_call_batch","calls":[%s]}' % actions


class _Items:
    """The conversation so far, as the JSON text of Responses items; pairs results with their calls."""

    def __init__(self, flags: set[str]) -> None:
        self._text = bytearray(b"[")  # an array that is still open, with a comma after each item
        self._flags = flags
        self._waiting: dict[str, str] = {}  # calls still without a result: the id here → the id in the source
        self._ids: set[str] = set()
        self._calls = 0
        self._strays = 0

    def __bool__(self) -> bool:
        return len(self._text) > 1

    def closed(self) -> bytes:
        """Return the items so far as a JSON array; there must be at least one."""
        self._text[-1] = _CLOSE
        array = bytes(self._text)
        self._text[-1] = _COMMA
        return array

    def add(self, message: Message) -> None:
        """Add a message of a role other than the assistant."""
        role = message.role
        if role in TOOL_ROLES:
            self._result(message)
            return
        if role == "user":
            self.expect_no_more()
        text = text_of(bytes(message.content), self._flags)
        self._text += b'{"role":"%s","content":%s},' % (_TEXT_ROLES[role], text)

    def say(self, text: bytes) -> None:
        """Add the text of an assistant message."""
        self._text += b'{"role":"assistant","content":%s},' % text

    def call(self, own: str | int | None, members: bytes) -> None:
        """Add a call of the assistant; `own` is its id in the source."""
        given = str(own) if own not in (None, "") else f"call_{self._calls}"
        self._calls += 1
        identifier, number = given, 1
        while identifier in self._ids:  # ids must be unique, or a result could be paired with the wrong call
            number += 1
            identifier = f"{given}_{number}"
        self._ids.add(identifier)
        self._waiting[identifier] = given
        self._text += b'{"type":"function_call","call_id":%s,%s},' % (as_string(identifier), members)

    def expect_no_more(self) -> None:
        """Flag the calls that have no result yet: the conversation has moved on, so they will not get one."""
        if self._waiting:
            self._flags.add("calls-without-results")
            self._waiting.clear()

    def _result(self, message: Message) -> None:
        given = "" if message.tool_call_id is None else str(message.tool_call_id)
        for identifier, source_id in self._waiting.items():
            if not given or source_id == given:
                del self._waiting[identifier]
                break
        else:
            self._flags.add("results-without-calls")
            identifier = given or f"stray_{self._strays}"
            self._strays += 1
        self._text += b'{"type":"function_call_output","call_id":%s,"output":%s},' % (
            as_string(identifier),
            result_of(bytes(message.content)),
        )
