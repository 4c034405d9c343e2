"""The change of a mean between two runs over the same pivots, clustered by trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.stats.clusters import Totals, spread
from pytest_fcpivot.stats.student_t import incomplete_beta, student_t_cdf, student_t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 0.05
_ROUNDING = 1e-9  # the most that the difference of two equal rewards, or means of them, is off


@dataclass(frozen=True, slots=True)
class Difference:
    """The change of the mean reward from one run to another, over `n` pivots in `clusters` trajectories.

    `lowest` and `highest` are the ends of its confidence interval at 1 - `alpha`, which is what is shown, and what
    decides. `low` and `high` are those of a shorter one, which does not allow for changes that are too rare to have
    been seen; both are on the same side of zero, or on neither. `p` is the two-sided p-value of there being no change.
    """

    change: float
    low: float
    high: float
    lowest: float
    highest: float
    p: float
    n: int
    clusters: int
    alpha: float

    @property
    def allowed_drop(self) -> float:
        """The largest drop that the data still allow; 0 if they rule out any."""
        return max(0.0, -self.lowest)

    def trajectories_for(self, drop: float) -> int | None:
        """Return about how many trajectories like these would rule out a `drop` if nothing has changed.

        The interval's width falls with the square root of the number. None if it cannot be estimated: from one
        trajectory, or for a drop of 0, which no number rules out.
        """
        if self.clusters == 1 or drop <= 0:
            return None
        return max(self.clusters, math.ceil(self.clusters * ((self.change - self.lowest) / drop) ** 2))


def difference(trajectories: Sequence[Totals], alpha: float = ALPHA) -> Difference:
    """Return the mean difference per pivot, from at least one trajectory of at least one pivot.

    A trajectory's total is the sum, over its pivots, of the new reward minus the old one, each in [-1, 1]. `low` and
    `high` are mean ± t * standard error, with the variance and the degrees of freedom of `clusters.spread`.

    That interval is a point if no pivot has changed, and too short while few have: further changes of the same kind,
    too rare to be seen in these trajectories, would add to the change. What it says of the sign holds. So its end
    beyond zero is the one that counts in `lowest` and `highest`. The others are computed with two more trajectories of
    mean size, in one of which every pivot is lost, and in the other won; as with the two successes and failures that
    Agresti & Coull (1998) add to a proportion. Without any change they are about ±3.9 / G from G trajectories. A change
    that hits a share of 3.7 / G of all trajectories, as a whole, is seen in none of G with probability 0.025.

    If nothing has changed, and each trajectory is as likely to lose as to win, k trajectories that differ go the same
    way with probability 2^(1-k). `p` is never lower, and while that is over `alpha`, no interval excludes 0: with fewer
    than six of them at 0.05. With fewer than six trajectories in all it is [-1, 1]. benchmarks/comparing.py has how
    often the bounds are wrong.
    """
    found = spread(trajectories)
    n = round(math.fsum(each.n for each in trajectories))
    by_chance = min(1.0, 2.0 ** (1 - sum(abs(each.total) > _ROUNDING for each in trajectories)))
    low = high = lowest = highest = 1.0
    if 2.0 ** (1 - found.clusters) > alpha:
        low = lowest = -1.0
    else:
        low, high = _around(trajectories, alpha)
        if by_chance > alpha:
            low, high = min(low, 0.0), max(high, 0.0)
        size = n / found.clusters
        cautious = _around([*trajectories, Totals(size, -size), Totals(size, size)], alpha)
        lowest = low if low > 0 else min(low, cautious[0])
        highest = high if high < 0 else max(high, cautious[1])
    return Difference(
        change=found.mean,
        low=low,
        high=high,
        lowest=lowest,
        highest=highest,
        p=max(_two_sided(found.mean, found.variance, found.df), by_chance),
        n=n,
        clusters=found.clusters,
        alpha=alpha,
    )


def _around(trajectories: Sequence[Totals], alpha: float) -> tuple[float, float]:
    found = spread(trajectories)
    if math.isinf(found.variance):
        return -1.0, 1.0
    half = student_t_quantile(1 - alpha / 2, found.df) * found.error
    return max(-1.0, found.mean - half), min(1.0, found.mean + half)


def _two_sided(mean: float, variance: float, df: float) -> float:
    if mean == 0:
        return 1.0
    if variance == 0:
        return 0.0
    return 2 * student_t_cdf(-abs(mean) / math.sqrt(variance), df)


def mcnemar(lost: int, won: int) -> float:
    """Return the two-sided p-value of McNemar's exact test, from the numbers of pivots lost and won.

    It takes pivots as independent (McNemar 1947; the exact binomial form).
    """
    fewer, both = min(lost, won), lost + won
    return 1.0 if both == 0 else min(1.0, 2 * incomplete_beta(both - fewer, fewer + 1, 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of a family of comparisons, adjusted so that one false alarm in any is as rare as alpha.

    By Holm's step-down method (Holm 1979), in the order given.
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
