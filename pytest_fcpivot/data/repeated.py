"""Recognises rows that NeMo Gym repeats so that each is run several times: equal except for the rollout's number."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.agent_refs import agent_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.data.rows import StoredPivot

ROLLOUT_INDEX = "_ng_rollout_index"
_IN_METADATA = f'"{ROLLOUT_INDEX}"'.encode()


def rollout_index(row: Mapping[str, Any]) -> int | None:
    """Return the number, from 0, of the rollout that a row is for; None if the row does not name one."""
    value = row.get(ROLLOUT_INDEX)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class RepeatedRows:
    """Collects the rows that name a rollout, by pivot."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[bytes, int, set[int]]] = {}  # by id: hash and line of the first, all numbers
        self.others = False  # whether there are also pivots that are not numbered repeats

    def is_one_more(self, pivot: StoredPivot, line: int) -> bool:
        """Return whether a row repeats an earlier one; raises RowProblem if their contents or numbers do not fit."""
        metadata = pivot.metadata if isinstance(pivot.metadata, bytes) else pivot.metadata.encode()
        number = rollout_index(json.loads(metadata)) if _IN_METADATA in metadata else None
        if number is None:
            self.others = True
            return False
        content = _content_of(pivot, agent_of(metadata))
        known = self._seen.get(pivot.id)
        if known is None:
            self._seen[pivot.id] = content, line, {number}
            return False
        first, where, numbers = known
        if first != content:
            raise RowProblem(line, f"it has the id {pivot.id!r} of line {where}, but other content: not a repeat of it")
        if number in numbers:
            raise RowProblem(line, f"duplicate id {pivot.id!r}, with the same {ROLLOUT_INDEX} {number} as before")
        numbers.add(number)
        return True

    def each(self) -> int | None:
        """Return the number of rows per pivot; None if it differs, since a run repeats all pivots equally often."""
        counts = {len(numbers) for _, _, numbers in self._seen.values()} | ({1} if self.others else set())
        return counts.pop() if len(counts) == 1 else (None if counts else 1)

    def several(self) -> int:
        """Return the number of pivots with more than one row."""
        return sum(len(numbers) > 1 for _, _, numbers in self._seen.values())


def _content_of(pivot: StoredPivot, agent: str | None) -> bytes:
    """Return a hash of everything that affects the request and its grade; the agent selects the grader's settings."""
    digest = blake2b(digest_size=16)
    for text in (pivot.input, pivot.tools, pivot.params, pivot.expected_action, agent or ""):
        digest.update(text if isinstance(text, bytes) else text.encode())
        digest.update(b"\n")
    return digest.digest()
