"""The variance of a mean over pivots whose trajectories are independent, while pivots of one trajectory are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_EQUAL = 1e-12


class Totals(NamedTuple):
    """One trajectory: its number of pivots, and the sum of their values (rewards, or differences of rewards)."""

    n: float
    total: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over trajectories: its variance, the degrees of freedom of that variance, and the number of trajectories.

    `variance` is infinite for a single trajectory, from which it cannot be known.
    """

    mean: float
    variance: float
    df: float
    clusters: int

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(self.variance)


def spread(trajectories: Sequence[Totals]) -> Spread:
    """Return the mean per pivot with its variance, from at least one trajectory of at least one pivot.

    The variance is the jackknife's, (G-1)/G * sum(d_g^2), where d_g = (S_g - n_g * mean) / (n - n_g) is how much the
    mean moves if trajectory g is left out (Efron & Stein 1981). Unlike the residuals themselves, these do not shrink
    for a trajectory that is large enough to pull the mean towards itself.

    The degrees of freedom are those of a chi-squared distribution with the mean and variance of the sum of d_g^2
    (Satterthwaite 1946), with the variance estimated from the d_g^2 themselves: ((G-1)/G)^2 * 2 * S^2 / (Q - S^2/G),
    where S = sum(d_g^2) and Q = sum(d_g^4), and at least 1, at most G - 2. They are few where a few trajectories make
    most of the variance. The factor and the bound are for few trajectories: without them, intervals from ten
    trajectories cover the truth in 92.5 % of all cases in place of 93 (benchmarks/interval_coverage.py).
    """
    count = len(trajectories)
    n = math.fsum(each.n for each in trajectories)
    mean = math.fsum(each.total for each in trajectories) / n
    if count == 1:
        return Spread(mean, math.inf, 1.0, count)
    squares = [((each.total - each.n * mean) / (n - each.n)) ** 2 for each in trajectories]
    sum_of_squares = math.fsum(squares)
    varies = math.fsum(square * square for square in squares) - sum_of_squares**2 / count
    most = max(1.0, count - 2.0)
    df = most
    if varies > _EQUAL * sum_of_squares**2:
        df = min(most, max(1.0, 2 * sum_of_squares**2 / varies * ((count - 1) / count) ** 2))
    return Spread(mean, (count - 1) / count * sum_of_squares, df, count)
