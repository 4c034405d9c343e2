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


@dataclass(frozen=True, slots=True)
class Difference:
    """The change of the mean reward from one run to another, over `n` pivots in `clusters` trajectories.

    `low` and `high` are the ends of its confidence interval at 1 - `alpha`; `lowest` and `highest` are those of a more
    cautious one, which also allows for changes that are too rare to have been seen. `p` is the two-sided p-value of
    there being no change.
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

    That interval is a point if no pivot has changed, and too short while few have. `lowest` and `highest` are therefore
    computed with two more trajectories of mean size, in one of which every pivot is lost, and in the other won; as with
    the two successes and failures that Agresti & Coull (1998) add to a proportion. Without any change they are about
    ±3.9 / G from G trajectories. A change that hits a share of 3.7 / G of all trajectories, as a whole, is seen in none
    of G with probability 0.025.

    If nothing has changed, and each trajectory is as likely to lose as to win, all of them go the same way with
    probability 2^(1-G). `p` is never lower, and as long as that is over `alpha`, the interval is [-1, 1]: under six
    trajectories at 0.05. benchmarks/comparing.py has how often the bounds are wrong.
    """
    found = spread(trajectories)
    n = round(math.fsum(each.n for each in trajectories))
    by_chance = 2.0 ** (1 - found.clusters)
    low, high = (-1.0, 1.0) if by_chance > alpha else _around(trajectories, alpha)
    size = n / found.clusters
    cautious = _around([*trajectories, Totals(size, -size), Totals(size, size)], alpha)
    return Difference(
        change=found.mean,
        low=low,
        high=high,
        lowest=min(low, cautious[0]),
        highest=max(high, cautious[1]),
        p=max(_two_sided(found.mean, found.variance, found.df), min(1.0, by_chance)),
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
