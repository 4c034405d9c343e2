"""Sides of comparisons, made without a run on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.runs.comparing import Side
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.rewards import Rewards

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ABOUT: dict[str, Any] = {
    "format": 1,
    "agent": "my_agent:answer",
    "grader": {"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.1}},
    "data": [{"name": "data.jsonl", "path": "data.jsonl", "sha256": "a" * 64, "pivots": 9, "selected": 9}],
    "repeats": 1,
    "options": {},
    "sessions": [{"started": "2026-01-01T00:00:00", "ended": "2026-01-01T00:01:00", "exit_status": 1}],
    "counts": {"selected": 9, "passed": 9, "failed": 0, "errors": 0, "not_run": 0, "skipped": 0},
}

# By pivot: the reward of each repeat. A pivot named t1-d0 belongs to the trajectory t1.
Table = dict[str, list[float | None]]


def rewards_of(table: Mapping[str, Iterable[float | None]], *, place: str = "data.jsonl") -> Rewards:
    """Return the rewards of a table."""
    rewards = Rewards()
    for pivot, values in table.items():
        for repeat, reward in enumerate(values, 1):
            name = pivot if repeat == 1 else f"{pivot}[r{repeat}]"
            record = CaseRecord(pivot, pivot.partition("-")[0], "message", None, repeat=repeat, reward=reward)
            rewards.add(record, f"{place}::{name}")
    return rewards


def side(
    table: Mapping[str, Iterable[float | None]], name: str = "run", *, place: str = "data.jsonl", **about: Any
) -> Side:
    """Return a side with the rewards of a table."""
    return Side(name, None, ABOUT | about, rewards_of(table, place=place))


def single(*rewards: float | None) -> Table:
    """Return a table of single answers, each a trajectory of its own."""
    return {f"t{number}-d0": [reward] for number, reward in enumerate(rewards)}
