"""Splits a list of Responses items into the assistant's turns, and makes an expected action of each turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import SUBMIT_MESSAGE, to_action
from pytest_fcpivot.core.errors import ActionError, RowProblem
from pytest_fcpivot.data.calls_in_text import looks_like_a_call, may_hold_a_call
from pytest_fcpivot.data.conversations import SkippedTurn, own_id
from pytest_fcpivot.data.jsonparts import as_string, decoded, joined, string
from pytest_fcpivot.data.messages import tool_names
from pytest_fcpivot.data.rows import EXPECTED, OWN, PARAMS, expected_action_json, read_row, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.rows import StoredPivot

_CUSTOM = "custom_tool_call"
_GIVEN_ROLES = frozenset({"user", "system", "developer", "tool"})


def is_given(item: Fields) -> bool:
    """Return whether an item is input to the assistant (a message to it, a result), rather than its own output."""
    kind = string(item.get("type"))
    return (kind or "").endswith("_output") or string(item.get("role")) in _GIVEN_ROLES


def action_of(items: list[Fields], line: int, tools: bytes) -> bytes | None:
    """Return the assistant's items as an expected action, by the rule of NeMo Gym's verifier; None if they hold none.

    `tools` are the tools on offer, as JSON. Raises RowProblem for an item that is not understood, and for a call that
    lacks a part or is written as text.
    """
    if any(string(item.get("type")) == _CUSTOM for item in items):
        raise RowProblem(line, f"output: a {_CUSTOM} has no JSON arguments, and would be lost")
    values: list[Any] = [{key: decoded(value) for key, value in item.items()} for item in items]
    try:
        # a call of submit_message remains a call
        action = to_action(values, frozenset({SUBMIT_MESSAGE}))
    except ActionError as error:
        raise RowProblem(line, f"output: {error}") from error
    if action.malformed is not None or action.kind == "none":
        return None
    said = as_string(action.message or "")
    if not action.calls and may_hold_a_call((said,)) and looks_like_a_call(said, tool_names(tools, line)):
        raise RowProblem(line, "output: the call is written as text, and would be read as a message")
    return expected_action_json(action).encode()


class Rollout:
    """A trajectory given as the request's items and the items that followed; each assistant turn of these is a pivot.

    It can be used like a Conversation: `stem`, `n_turns`, `flags` and `turns()` mean the same. `row` holds the members
    that become metadata, `params` those of the request, except its items. Raises RowProblem if the row is broken.
    """

    def __init__(
        self, row: Fields, given: list[Fields], output: list[Fields], params: Fields, *, line: int, trajectory: str
    ) -> None:
        self.flags: set[str] = set()
        # what an exported row says of its pivot would be said of each turn
        self._row = {key: value for key, value in row.items() if key != OWN}
        self._line, self._params, self._trajectory = line, params, trajectory
        self.stem = stem_of(trajectory, "c")
        self._first = len(list(turns_of(given)))
        self._turns = [(len(given) + start, len(given) + end) for start, end in turns_of(output)]
        self._items = [joined(item) for item in (*given, *output)]
        self._fields = [*given, *output]
        self.n_turns = len(self._turns)
        self._actions = [
            action_of(self._fields[start:end], line, params.get("tools", b"null")) for start, end in self._turns
        ]
        if not self.n_turns:
            raise RowProblem(line, "output: it contains no assistant turn")
        # All pivots are made before the first is yielded, so that a broken row yields none of them.
        self._pivots = [self._pivot(number) for number in range(self.n_turns)]

    def turns(self, split: str | None = None) -> Iterator[StoredPivot | SkippedTurn]:
        """Yield the assistant's turns in order, as pivots or as skipped turns."""
        for pivot in self._pivots:
            if isinstance(pivot, SkippedTurn) or pivot.split is not None:
                yield pivot
            else:
                yield pivot._replace(split=split)

    def _pivot(self, number: int) -> StoredPivot | SkippedTurn:
        start, _ = self._turns[number]
        action = self._actions[number]
        if action is None:
            return SkippedTurn(self._line, start, "neither text nor calls")
        if start == 0:
            return SkippedTurn(self._line, start, "the conversation begins with it: nothing to answer")
        depth = self._first + number
        users = [place for place in range(start) if string(self._fields[place].get("role")) == "user"]
        last = users[-1] if users else -1
        earlier = [begin for begin, _ in turns_of(self._fields[:start]) if begin > last]
        place = b'{"turn":%d,"step":%d,"depth":%d}' % (max(0, len(users) - 1), len(earlier), depth)
        row = {**self._row, "info": place}
        params = {**self._params, "input": b"[%s]" % b",".join(self._items[:start])}
        try:
            pivot = read_row({**row, PARAMS: joined(params), EXPECTED: action}, self._line)
        except RowProblem as problem:
            if "arguments of" not in problem.reason:
                raise
            return SkippedTurn(self._line, start, problem.reason.removeprefix("expected_action: "))
        return pivot.of_trajectory(self._trajectory, f"{self.stem}-d{depth}")


def turns_of(items: list[Fields]) -> Iterator[tuple[int, int]]:
    """Yield the start and end index of each assistant turn; reasoning is part of the turn that it begins."""
    begun: int | None = None
    for place, item in enumerate(items):
        if is_given(item):
            if begun is not None:
                yield begun, place
            begun = None
        elif begun is None:
            begun = place
    if begun is not None:
        yield begun, len(items)


def trajectory_id(row: Fields) -> str | None:
    """Return the row's own id for its trajectory, with the rollout's number if it has one; None without an id."""
    identity = own_id(row)
    number = row.get("_ng_rollout_index", b"null")
    return f"{identity}-r{int(number)}" if identity is not None and number.isdigit() else identity
