"""What holds of every choice of pivots, whatever their rewards."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.runs.profile.candidates import Candidate, Candidates, Rollout
from pytest_fcpivot.runs.profile.choosing import KINDS, MIXED, Rules, choose, histogram, kind_of

if TYPE_CHECKING:
    from fractions import Fraction

REWARDS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=9)
PIVOTS = st.lists(st.tuples(REWARDS, st.booleans()), max_size=30)
SHARES = st.fractions(0, 1, max_denominator=20)


def candidates(pivots: list[tuple[list[float], bool]]) -> Candidates:
    """Make candidates of rewards, and of whether a message is expected."""
    return Candidates(
        sources=(),
        pivots=tuple(
            Candidate(
                place=(0, row),
                pivot_id=f"t{row // 3}-d{row}",
                trajectory_id=f"t{row // 3}",
                expected="message" if message else "function_call",
                tool=None if message else "find",
                depth=row,
                rollouts=[Rollout(0, repeat, reward, 0, -1) for repeat, reward in enumerate(rewards, 1)],
                planned=9,
            )
            for row, (rewards, message) in enumerate(pivots)
        ),
    )


@given(PIVOTS, st.floats(0.1, 1), st.integers(1, 9))
def test_each_pivot_is_of_one_kind(pivots: list[tuple[list[float], bool]], mark: float, least: int) -> None:
    """The kinds and the histogram add up to the candidates; a mixed pivot has two outcomes, and any other has one."""
    those = candidates(pivots)
    rules = Rules(outcome_mark=mark, min_rollouts=least)
    chosen = choose(those, rules)
    assert sum(Counter(chosen.kinds)[kind] for kind in KINDS) == len(those)
    assert sum(counts.total() for counts in histogram(those, mark).values()) == len(those)
    for candidate, kind in zip(those.pivots, chosen.kinds, strict=True):
        outcomes = {reward > 0 and reward >= mark - 1e-9 for reward in candidate.rewards()}
        assert (kind == MIXED) == (len(outcomes) == 2)
        assert (kind == "unfinished") == (len(outcomes) < 2 and candidate.graded < least)


@given(PIVOTS, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_mean_keeps_all_that_a_smaller_one_keeps(
    pivots: list[tuple[list[float], bool]], one: float, other: float
) -> None:
    """--max-mean is monotone, and without it all mixed pivots are kept."""
    those = candidates(pivots)
    low, high = sorted((one, other))
    kept = [{each.place for each in choose(those, Rules(max_mean=mean)).kept} for mean in (low, high, 1.0)]
    assert kept[0] <= kept[1] <= kept[2]
    assert kept[2] == {each.place for each in those.pivots if kind_of(each, Rules()) == MIXED}


@given(PIVOTS, SHARES, st.none() | st.integers(0, 30), st.integers(0, 5))
def test_messages_never_have_more_than_their_share(
    pivots: list[tuple[list[float], bool]], share: Fraction, limit: int | None, seed: int
) -> None:
    """With any limit, the share holds; all calls are kept without a limit, and no further message would fit in."""
    those = candidates(pivots)
    kept = choose(those, Rules(message_share=share, limit=limit, seed=seed)).kept
    messages = sum(each.is_message for each in kept)
    assert messages <= share * len(kept)
    assert limit is None or len(kept) <= limit
    assert [each.place for each in kept] == sorted(each.place for each in kept)
    if limit is None:
        mixed = choose(those, Rules()).kept
        assert sum(not each.is_message for each in kept) == sum(not each.is_message for each in mixed)
        all_messages = messages == sum(each.is_message for each in mixed)
        assert all_messages or messages + 1 > share * (len(kept) + 1)


@given(PIVOTS, SHARES, st.integers(0, 5))
def test_splits_follow_trajectories(pivots: list[tuple[list[float], bool]], share: Fraction, seed: int) -> None:
    """A trajectory has one split, whatever else is kept; a larger share only moves trajectories to training."""
    those = candidates(pivots)
    by_trajectory: dict[str, set[str | None]] = {}
    chosen, more = (choose(those, Rules(split=each, seed=seed)) for each in (share, (1 + share) / 2))
    for each in those.pivots:
        by_trajectory.setdefault(each.trajectory_id, set()).add(chosen.split_of(each))
        assert more.split_of(each) == "train" or chosen.split_of(each) == "validation"
    assert all(len(splits) == 1 for splits in by_trajectory.values())
