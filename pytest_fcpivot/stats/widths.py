"""The widths that the intervals of a change will have over a whole run, estimated from a part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_fcpivot.stats.student_t import student_t_quantile

_EQUAL = 1e-12
_MANY = 100


@dataclass(frozen=True, slots=True)
class Widths:
    """Half the widths of the two intervals of `paired.difference`.

    The plain interval is mean ± plain; the cautious one is mean * shrunk ± cautious.
    """

    plain: float
    cautious: float
    shrunk: float


class WidthsSoFar:
    """An estimate of the widths from the trajectories so far, of `count` with `n` pivots in all.

    `large` of them are not like the rest, and stand for themselves; those seen of the rest stand for all of the rest.
    """

    __slots__ = ("_count", "_large", "_n", "_rest", "_rest_n")

    def __init__(self, n: int, count: int, large: int, n_of_large: int) -> None:
        self._n = n
        self._count = count
        self._rest_n = n - n_of_large
        self._large = _Sums(large)
        self._rest = _Sums(count - large)

    def add(self, change: float, size: int, *, large: bool) -> None:
        """Add the next trajectory's sum of changes and its number of pivots."""
        if size < self._n:  # of a single trajectory, no variance is ever known
            (self._large if large else self._rest).add(change, size, self._n)

    def estimate(self, alpha: float) -> Widths:
        """Return the widths at 1 - `alpha`; at least one of the rest must have been seen."""
        large, rest = self._large, self._rest
        mean = (large.total + rest.total / rest.size * self._rest_n) / self._n
        squares, fourths = (
            of_large + of_rest * rest.count / rest.seen
            for of_large, of_rest in zip(large.powers(mean), rest.powers(mean), strict=True)
        )
        plain = _half_width(squares, fourths, self._count, alpha)
        # the cautious interval is that of two more trajectories of mean size, one all lost, and one all won
        size = self._n / self._count
        shrunk = self._n / (self._n + 2 * size)
        lost, won = (((sign - mean * shrunk) * size / (self._n + size)) ** 2 for sign in (-1, 1))
        squares = squares * shrunk**2 + lost + won
        fourths = fourths * shrunk**4 + lost**2 + won**2
        return Widths(plain, _half_width(squares, fourths, self._count + 2, alpha), shrunk)


def _half_width(squares: float, fourths: float, count: int, alpha: float) -> float:
    """Return t * standard error, as in `clusters.spread`, from the sums of d_g^2 and of d_g^4."""
    varies = fourths - squares**2 / count
    df = most = max(1.0, count - 2.0)
    if varies > _EQUAL * squares**2:
        df = min(most, max(1.0, 2 * squares**2 / varies * ((count - 1) / count) ** 2))
    if df > _MANY:
        df = float(round(df, -1))  # where t hardly changes any more, so that it need not be worked out each time
    return student_t_quantile(1 - alpha / 2, df) * math.sqrt((count - 1) / count * squares)


class _Sums:
    """Sums over trajectories, of which the second and fourth powers of their residuals about any mean follow."""

    __slots__ = ("_fourth", "_second", "count", "seen", "size", "total")

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen = 0
        self.size = 0
        self.total = 0.0
        self._second = [0.0] * 3
        self._fourth = [0.0] * 5

    def add(self, change: float, size: int, n: int) -> None:
        self.seen += 1
        self.size += size
        self.total += change
        weight = 1 / (n - size)
        a, b = change * weight, size * weight
        aa, ab, bb = a * a, a * b, b * b
        second, fourth = self._second, self._fourth
        second[2] += bb
        fourth[4] += bb * bb
        if change:
            second[0] += aa
            second[1] += ab
            fourth[0] += aa * aa
            fourth[1] += aa * ab
            fourth[2] += aa * bb
            fourth[3] += ab * bb

    def powers(self, mean: float) -> tuple[float, float]:
        """Return the sums of d_g^2 and d_g^4, where d_g = (S_g - n_g * mean) / (n - n_g)."""
        a, b, c = self._second
        squares = a - 2 * mean * b + mean**2 * c
        a, b, c, d, e = self._fourth
        return max(0.0, squares), max(0.0, a - 4 * mean * b + 6 * mean**2 * c - 4 * mean**3 * d + mean**4 * e)
