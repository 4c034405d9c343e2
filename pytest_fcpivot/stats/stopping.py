"""Decide early what a whole run would say, from its first trajectories in a random order.

The data are finite and their sizes are known, so the question is not what the model's true rate is, but what is still
to come in this run. Trajectories are the units: their pivots are not independent.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final

from pytest_fcpivot.stats.betting import SumTest, lower_bound
from pytest_fcpivot.stats.paired import ALPHA
from pytest_fcpivot.stats.widths import Widths, WidthsSoFar

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROUNDING = 1e-9
_A_LARGE_ONE_COSTS = 20

LEAST_SEEN: Final = 60
_SHARE_SEEN = 0.05
_WIDENED = 1.1
_GROWTH = 1.05  # how much more must have been seen until the variance is estimated again
_SLACK = 0.01


def large_from(sizes: Sequence[int]) -> int:
    """Return the size from which trajectories are asked before all others, and counted exactly.

    What a bet may win is limited by the largest trajectory that is still to come: one of 300 pivots could overturn what
    hundreds of small ones say. About twenty calls more are needed for each pivot of its size (less if the mean is far
    from the mark, more if it is close). So the largest trajectories are asked first, as many as make the sum of their
    calls and of twenty times the size of the largest of the others as small as it can be.
    """
    asked, best, found = 0, math.inf, 0
    ordered = sorted(sizes, reverse=True)
    for position, size in enumerate(ordered):
        if position and size == ordered[position - 1]:
            asked += size
            continue
        if asked + _A_LARGE_ONE_COSTS * size < best:
            best, found = asked + _A_LARGE_ONE_COSTS * size, size + 1
        asked += size
    return found


class MeanAgainstMark:
    """Whether the mean reward of a whole run is at least `mark`, as trajectories arrive.

    `sizes` has the number of rewards of each trajectory, in the order in which they are seen. The first `large` were
    put first for their size, and are only counted; the order of the others is random.

    `failing` and `passing` are the evidence that the whole run fails, and that it passes. Whoever stops when the
    evidence against the truth reaches 1/alpha errs with a probability of at most alpha. It is infinite when what is
    left cannot change the answer any more.
    """

    def __init__(self, mark: float, sizes: Sequence[int], large: int) -> None:
        self._mark = mark
        self._sizes = sizes
        self._large = large
        self._seen = 0
        self._n = sum(sizes)
        self._n_left = self._n
        self._low = self._high = 0.0
        self._lows: list[float] = []
        self._highs: list[float] = []
        self._largest = max(sizes[large:], default=0)
        self._fail: SumTest | None = None
        self._pass: SumTest | None = None

    @property
    def seen(self) -> int:
        """The number of trajectories seen."""
        return self._seen

    @property
    def failing(self) -> float:
        """The evidence that the mean is less than the mark."""
        if self._high + self._n_left < self._mark * self._n - _ROUNDING * self._n:
            return math.inf
        return self._fail.evidence if self._fail else 1.0

    @property
    def passing(self) -> float:
        """The evidence that the mean is at least the mark."""
        if self._low > self._mark * self._n + _ROUNDING * self._n:
            return math.inf
        return self._pass.evidence if self._pass else 1.0

    def see(self, low: float, high: float) -> None:
        """Take the next trajectory's sum of rewards: if every missing answer was wrong, and if each was right."""
        if self._seen == self._large:
            self._begin()
        size = self._sizes[self._seen]
        self._seen += 1
        self._n_left -= size
        self._low += low
        self._high += high
        if self._fail and self._pass:
            self._lows.append(low - self._mark * size)
            self._highs.append(self._mark * size - high)
            self._pass.see(self._lows[-1])
            self._fail.see(self._highs[-1])

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Return the ends of the confidence sequence of the whole run's mean; each is wrong in at most `alpha`."""
        low, high = self._low / self._n, (self._high + self._n_left) / self._n
        if self._lows:
            count, mark, largest = len(self._sizes) - self._large, self._mark, self._largest
            least, most = -mark * largest, (1 - mark) * largest
            over = lower_bound(self._lows, count, least, most, alpha)
            under = -lower_bound(self._highs, count, -most, -least, alpha)
            low = max(low, mark + (self._low_of_large + over) / self._n)
            high = min(high, mark + (self._high_of_large + under) / self._n)
        return low, high

    def _begin(self) -> None:
        """Begin to bet: on each trajectory's sum of (reward - mark), whose sum over all is 0 at the mark."""
        counted = self._n - self._n_left
        self._low_of_large = self._low - self._mark * counted
        self._high_of_large = self._high - self._mark * counted
        count = len(self._sizes) - self._large
        self._pass = SumTest(count, -self._mark * self._largest, -self._low_of_large)
        self._fail = SumTest(count, -(1 - self._mark) * self._largest, self._high_of_large)


class Zone(Enum):
    """What the word of a whole run is, for a gate with a largest drop."""

    DROPPED = "the interval of the change lies below minus the drop"
    HELD = "it lies above"
    BETWEEN = "neither; a drop of as much as may be missed is ruled out"
    OPEN = "neither; a drop of more than may be missed is still possible"


class WordAgainstBaseline:
    """What a whole run would say of a drop against its baseline, as trajectories arrive.

    `sizes` and `base` have the number of pairs of each trajectory and the sum of the baseline's rewards over them, in
    the order in which they are seen. The first `large` were put first for their size, and are only counted; the order
    of the others is random. `max_drop`, and `alpha` of the intervals, are the gate's. With `may_miss`, it matters too
    whether a drop larger than that is ruled out.

    The word follows from where the mean change of the whole run lies: below -max_drop - h, above -max_drop + h', or
    between, where h and h' are half the widths of its intervals (`paired.difference`). They are estimated from a
    twentieth of the trajectories, but at least 60, and again as more arrive, and are taken to be wrong by up to 10 %.
    (Were they estimated only once, one run in seven of quiet data would be contradicted close to a bound.) The mean is
    bet on. `zone` is what is left when all else is rejected at `error`; None until then.
    """

    def __init__(
        self,
        max_drop: float,
        sizes: Sequence[int],
        base: Sequence[float],
        large: int,
        *,
        alpha: float = ALPHA,
        error: float = ALPHA,
        may_miss: float | None = None,
    ) -> None:
        self.zone: Zone | None = None
        self._max_drop = max_drop
        self._sizes = sizes
        self._large = large
        self._alpha = alpha
        self._must_differ = math.ceil(1 - math.log2(alpha))  # fewer go the same way by chance (`paired.difference`)
        self._error = error
        self._may_miss = may_miss
        self._n = sum(sizes)
        self._seen = 0
        self._count = len(sizes) - large
        n_of_large = sum(sizes[:large])
        self._low = _Reading(WidthsSoFar(self._n, len(sizes), large, n_of_large))
        self._high = _Reading(WidthsSoFar(self._n, len(sizes), large, n_of_large))
        self._least = -max(base[large:], default=0.0)
        self._most = max((size - old for size, old in zip(sizes[large:], base[large:], strict=True)), default=0.0)
        self._look_at = large + max(LEAST_SEEN, math.ceil(_SHARE_SEEN * self._count))
        # a word between two others can be missed in two ways, so each of those gets half of the error
        self._dropped = _Bound(self._high.negative, self._count, -self._most, error / 2)
        self._held = _Bound(self._low.rest, self._count, self._least, error / 2)
        self._not_dropped = _Bound(self._low.rest, self._count, self._least, error)
        self._not_held = _Bound(self._high.negative, self._count, -self._most, error)
        self._ruled_out = _Bound(self._low.rest, self._count, self._least, error)
        self._open = _Bound(self._high.negative, self._count, -self._most, error)

    @property
    def seen(self) -> int:
        """The number of trajectories seen."""
        return self._seen

    def see(self, low: float, high: float) -> None:
        """Take the next trajectory's sum of changes: if every missing answer was wrong, and if each was right."""
        size, large = self._sizes[self._seen], self._seen < self._large
        self._seen += 1
        self._low.add(low, size, large=large)
        self._high.add(high, size, large=large)
        if self.zone is not None or large:
            return
        for bound in (self._dropped, self._held, self._not_dropped, self._not_held, self._ruled_out, self._open):
            bound.see_last()
        if self._seen >= self._look_at:
            self._look_at = math.ceil(self._seen * _GROWTH)
            self._place()
        if self._left() is not None:
            self._place()
            self.zone = self._left()

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Return the ends of the confidence sequence of the whole run's mean change; each is wrong in at most `alpha`.

        With nothing seen of the trajectories in random order, they are -1 and 1.
        """
        if not self._low.rest:
            return -1.0, 1.0
        low = lower_bound(self._low.rest, self._count, self._least, self._most, alpha)
        high = -lower_bound(self._high.negative, self._count, -self._most, -self._least, alpha)
        return (self._low.of_large + low) / self._n, (self._high.of_large + high) / self._n

    def _left(self) -> Zone | None:
        if self._dropped.rejected and self._high.differ >= self._must_differ:
            return Zone.DROPPED
        if self._held.rejected:
            return Zone.HELD
        if self._not_dropped.rejected and self._not_held.rejected:
            if self._may_miss is None or self._ruled_out.rejected:
                return Zone.BETWEEN
            if self._open.rejected:
                return Zone.OPEN
        return None

    def _place(self) -> None:
        """Put each bound to where the widths, as estimated now, have it."""
        n, drop, miss = self._n, self._max_drop, self._may_miss
        low, high = self._low, self._high
        a, b = low.widths.estimate(self._alpha), high.widths.estimate(self._alpha)
        slack = _SLACK * n
        self._dropped.place(high.of_large - _to_drop(drop, b, _WIDENED) * n, b.plain * slack)
        # whether enough of all trajectories differ may still be open: neither is taken for granted then
        held = _to_hold(drop, a, _WIDENED, enough_differ=low.differ >= self._must_differ)
        not_held = _to_hold(drop, b, 1 / _WIDENED, enough_differ=True)
        self._held.place(held * n - low.of_large, a.cautious * slack)
        self._not_dropped.place(_to_drop(drop, a, 1 / _WIDENED) * n - low.of_large, a.plain * slack)
        self._not_held.place(high.of_large - not_held * n, b.cautious * slack)
        if miss is not None:
            ruled_out = _to_hold(miss, a, _WIDENED, enough_differ=low.differ >= self._must_differ)
            still_open = _to_hold(miss, b, 1 / _WIDENED, enough_differ=True)
            self._ruled_out.place(ruled_out * n - low.of_large, a.cautious * slack)
            self._open.place(high.of_large - still_open * n, b.cautious * slack)


def _to_drop(drop: float, widths: Widths, wider: float) -> float:
    """Return the mean change below which the plain interval lies below -drop."""
    return -drop - widths.plain * wider


def _to_hold(drop: float, widths: Widths, wider: float, *, enough_differ: bool) -> float:
    """Return the mean change above which the interval lies above -drop.

    It is the cautious one, which is never inside the plain one, unless the plain one lies above zero and enough
    trajectories differ.
    """
    cautious = max(widths.plain * wider - drop, (widths.cautious * wider - drop) / widths.shrunk)
    return min(widths.plain * wider, cautious) if enough_differ else cautious


class _Reading:
    """The trajectories seen, with each missing answer read in one way."""

    def __init__(self, widths: WidthsSoFar) -> None:
        self.widths = widths
        self.of_large = 0.0
        self.differ = 0
        self.rest: list[float] = []
        self.negative: list[float] = []

    def add(self, change: float, size: int, *, large: bool) -> None:
        self.widths.add(change, size, large=large)
        self.differ += abs(change) > _ROUNDING
        if large:
            self.of_large += change
        else:
            self.rest.append(change)
            self.negative.append(-change)


class _Bound:
    """A test of a sum's bound, which may be put elsewhere: that is as if it had been there from the start."""

    def __init__(self, seen: Sequence[float], count: int, floor: float, alpha: float) -> None:
        self._seen = seen
        self._count = count
        self._floor = floor
        self._enough = 1 / alpha
        self._test: SumTest | None = None

    @property
    def rejected(self) -> bool:
        return self._test is not None and self._test.evidence >= self._enough

    def see_last(self) -> None:
        """Take the last of what is seen."""
        if self._test is not None and self._test.evidence < self._enough:
            self._test.see(self._seen[-1])

    def place(self, bound: float, slack: float) -> None:
        """Test at least the given bound; one that is stricter by up to twice the slack stays as it is."""
        if self._test is None or not bound <= self._test.bound <= bound + 2 * slack + _ROUNDING:
            self._test = SumTest(self._count, self._floor, bound + slack)
            self._test.see_all(self._seen, self._enough)
