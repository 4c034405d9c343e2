"""Rewards of a replay against those that the rollouts have on record."""

from __future__ import annotations

import pytest

from pytest_fcpivot.runs import CaseRecord
from pytest_fcpivot.runs.own_rewards import OwnRewards
from pytest_fcpivot.runs.reader import DamagedLineError
from pytest_fcpivot.runs.rollouts import row_of


def record(pivot: str, reward: float | None, repeat: int = 1, *, own: bool = True) -> CaseRecord:
    """Return a result."""
    return CaseRecord(pivot, pivot, "message", None, repeat=repeat, reward=reward, own=own)


@pytest.mark.parametrize(
    ("results", "lines"),
    [
        ([], []),
        ([record("a", 1.0), record("b", 0.1 + 0.2)], ["rewards equal to the file's own: 2 of 2"]),
        ([record("a", None), record("other", 1.0), record("a", 0.0, own=False)], []),
        ([record("c", 1.0), record("a", 1.0, 3)], ["rollouts without a recorded reward: 1"]),
        (
            [record("a", 0.0), record("a", 1.0, 2)],
            [
                "rewards equal to the file's own: 0 of 2",
                "  others: a (1 in the file, 0 here), a[r2] (0.5 in the file, 1 here)",
            ],
        ),
    ],
)
def test_lines(results: list[CaseRecord], lines: list[str]) -> None:
    """What is equal is counted, what differs is listed, and errors, strangers and tests of the user's are left out."""
    found = OwnRewards({("a", 1): 1.0, ("a", 2): 0.5, ("b", 1): 0.3, ("c", 1): None})
    for result in results:
        found.add(result)
    assert list(found.lines()) == lines


def test_many_that_differ() -> None:
    """Of many that differ a few are listed, and the rest counted."""
    found = OwnRewards({(f"p{number}", 1): 0.0 for number in range(9)})
    for number in range(9):
        found.add(record(f"p{number}", 1.0))
    first, others = found.lines()
    assert first == "rewards equal to the file's own: 0 of 9"
    assert others.endswith("p4 (0 in the file, 1 here) and 4 more")


@pytest.mark.parametrize("reward", ["1e308", "-0.1", "1.5", "9" * 400])
def test_a_reward_that_is_none_is_damage(reward: str) -> None:
    """A rollout whose reward is a number, but not from 0 to 1, is no row that a mean can be made of."""
    with pytest.raises(DamagedLineError, match="reward: a number from 0 to 1 is needed"):
        row_of(b'{"response": null, "reward": ' + reward.encode() + b"}")
