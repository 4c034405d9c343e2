"""Stop a run in which the server refuses every request in the same words: the set-up is wrong, not the data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fcpivot.runs.record import CaseRecord

_MOST, _TRAJECTORIES = 16, 5
_WIDTH = 400
# The parts of a message that vary between requests: numbers, positions in lists, and request ids.
_VARIES = re.compile(r"\b(?=\w*\d)[\w-]+")


class Refusals:
    """Counts the refusals of a model's server by their wording, until the server has given an answer to grade."""

    def __init__(self) -> None:
        self._answered = False
        self._counts: dict[str, int] = {}
        self._trajectories: dict[str, set[str]] = {}

    def add(self, record: CaseRecord) -> str | None:
        """Count one result; returns the reason if the run has to stop, or None."""
        if record.reward is not None:
            self._answered = True
        if self._answered or record.refusal is None:
            return None
        words = _VARIES.sub("#", record.refusal)
        count = self._counts[words] = self._counts.get(words, 0) + 1
        where = self._trajectories.setdefault(words, set())
        where.add(record.trajectory_id)
        if count < _MOST or len(where) < _TRAJECTORIES:
            return None
        return (
            f"the server refused {count} requests of {len(where)} trajectories in the same way, and answered none: "
            f"{record.refusal[:_WIDTH]}"
        )
