"""Pivots that pass only sometimes, in stored results."""

from __future__ import annotations

from sides import rewards_of, single

from pytest_fcpivot.runs.unsteady import unsteady


def test_pivots_that_pass_sometimes() -> None:
    """Those that passed in some of their graded repeats are named in the order of ids, by the pass mark."""
    rewards = rewards_of({"t2-d0": [1.0, 0.0, None], "t1-d0": [0.5, 1.0, 0.5], "t3-d0": [1.0, 1.0, 1.0]})
    found = unsteady(rewards, 1.0)
    assert found is not None
    assert found.pivots == (("t1-d0", 1, 3), ("t2-d0", 1, 2))
    assert found.noise is not None
    assert 0 < found.noise.share <= 1
    found = unsteady(rewards, 0.5)
    assert found is not None
    assert found.pivots == (("t2-d0", 1, 2),)


def test_two_repeats() -> None:
    """Two answers are enough; a pivot that never passed is as steady as one that always did."""
    found = unsteady(rewards_of({"t1-d0": [1.0, 0.0], "t2-d0": [0.0, 0.0]}), 1.0)
    assert found is not None
    assert found.pivots == (("t1-d0", 1, 2),)


def test_without_repeats() -> None:
    """Single answers tell nothing of it."""
    assert unsteady(rewards_of(single(1.0, 0.0, None)), 1.0) is None
