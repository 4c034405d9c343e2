"""One refusal of every request is a fault of the run, not of its rows: a run that gets nothing else is stopped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fcpivot.runs.record import CaseRecord

_MOST, _TRAJECTORIES = 16, 5
_WIDTH = 400
# What differs from request to request in the same words: numbers, places in lists, and ids of requests.
_VARIES = re.compile(r"\b(?=\w*\d)[\w-]+")


class Refusals:
    """Counts in which words a model's server refused requests, until it has given an answer to grade."""

    def __init__(self) -> None:
        self._answered = False
        self._counts: dict[str, int] = {}
        self._trajectories: dict[str, set[str]] = {}

    def add(self, record: CaseRecord) -> str | None:
        """Count one result; returns why the run is to stop, if the server refuses everything in the same way."""
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
