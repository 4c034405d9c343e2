"""How much two runs of one unchanged agent differ, and how often that alone would turn a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.runs.gate import FAIL, INCONCLUSIVE, PASS, REGRESSION, word_of
from pytest_fcpivot.runs.rewards import totals_of
from pytest_fcpivot.stats.clusters import spread
from pytest_fcpivot.stats.interval import Interval, mean_interval
from pytest_fcpivot.stats.student_t import student_t_cdf

if TYPE_CHECKING:
    from pytest_fcpivot.runs.comparing import Comparison
    from pytest_fcpivot.stats.paired import Difference

RERUNS = 4


@dataclass(frozen=True, slots=True)
class Turns:
    """What reruns of an unchanged agent would do to a verdict.

    `word` is the most likely verdict, `first` and `second` those of the two runs, None where a run has none (the first
    one as a baseline). `turned` is the expected number of four reruns with another verdict than `word`.
    """

    rule: str
    word: str
    first: str | None
    second: str
    turned: float


@dataclass(frozen=True, slots=True)
class SameAgent:
    """Two runs of an unchanged agent: the share of pivots that flipped, with its interval, and the noise of a run.

    `noise` is the standard deviation of the mean reward from run to run.
    """

    flip_rate: Interval
    noise: float
    turns: tuple[Turns, ...]


def same_agent(
    found: Comparison, *, fail_under: float | None = None, max_drop: float | None = None
) -> SameAgent | None:
    """Measure two runs of one agent, and how rerunning it would turn a verdict; None without a common graded pivot.

    The change between the two runs has the variance of two runs' noise, so a run has half of it, v. The agent's own
    mean is known from both with v/2, so that a further run's mean is distributed around theirs with 3/2 v, as Student's
    t. A drop is measured from the first run, and the ends of its interval are as far from the change as they are now.
    """
    difference, means = found.difference, found.means
    if difference is None or means is None:
        return None
    flipped = {id(flip.pair) for flip in (*found.lost, *found.won)}
    by_trajectory: dict[str, list[float]] = {}
    for pair in found.pairs:
        by_trajectory.setdefault(pair.new.trajectory_id, []).append(float(id(pair) in flipped))
    rate = mean_interval(by_trajectory)
    assert rate is not None  # noqa: S101 (there are pairs)
    found_spread = spread(totals_of((pair.new.trajectory_id, 1, pair.change) for pair in found.pairs))
    noise = found_spread.error / math.sqrt(2)
    further = noise * math.sqrt(1.5)
    turns = []
    if fail_under is not None:
        turns.append(_of_mark(fail_under, means, further, found_spread.df))
    if max_drop is not None:
        turns.append(_of_drop(max_drop, difference, further, found_spread.df))
    return SameAgent(rate, noise, tuple(turns))


def _of_mark(mark: float, means: tuple[float, float], further: float, df: float) -> Turns:
    fails = _below(mark, math.fsum(means) / 2, further, df)
    words = [PASS if mean >= mark else FAIL for mean in means]
    word = FAIL if fails > 0.5 else PASS  # noqa: PLR2004 (the likelier one)
    return Turns(f"mean reward of at least {mark:g}", word, words[0], words[1], RERUNS * min(fails, 1 - fails))


def _of_drop(max_drop: float, difference: Difference, further: float, df: float) -> Turns:
    centre = difference.change / 2  # the agent's own mean, measured from the first run
    up, down = difference.high - difference.change, difference.change - difference.lowest
    regression = _below(-max_drop - up, centre, further, df)
    not_passed = _below(-max_drop + down, centre, further, df)
    shares = {REGRESSION: regression, INCONCLUSIVE: not_passed - regression, PASS: 1 - not_passed}
    word = max(shares, key=lambda each: shares[each])
    return Turns(
        f"drop of at most {max_drop:g}", word, None, word_of(difference, max_drop), RERUNS * (1 - shares[word])
    )


def _below(bound: float, centre: float, scale: float, df: float) -> float:
    """Return the probability that a further run is below a bound."""
    if math.isinf(scale):
        return 0.5
    if scale == 0:
        return float(centre < bound)
    return student_t_cdf((bound - centre) / scale, df)
