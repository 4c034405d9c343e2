"""Tests of the sum of a finite set of numbers, drawn one by one in random order, that may be looked at after each draw.

A test by betting (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"; 2020,
"Confidence sequences for sampling without replacement"): one starts with a wealth of 1 and bets against the hypothesis
at odds that are fair under it. As long as the hypothesis is true, the wealth never grows by expectation, and so it ever
reaches 1/alpha with a probability of at most alpha, however often one looks (Ville's inequality).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The part of the wealth at stake with each draw. A fifth of the first wealth follows each of these fractions, so that
# nothing has to be known about the numbers: one of the five is good enough for any spread and any distance of the mean.
# Sixteen fractions decide no sooner.
_FRACTIONS = (0.02, 0.08, 0.25, 0.55, 0.95)
_ROUNDING = 1e-9
_PRECISE = 1e-5


class SumTest:
    """A test of "the sum of `count` numbers is at most `bound`", where none of them is less than `floor`.

    The numbers are given to `see` in random order. `evidence` is the highest wealth so far; infinite when what was seen
    leaves no doubt. A number x, given that the rest has the mean m under the hypothesis, multiplies a wealth of which
    the fraction f is at stake by 1 - f + f * (x - floor) / (m - floor). That is never negative, and under the
    hypothesis its expectation is at most 1.

    The evidence against a bound is never less than that against a higher one. All bounds that are ever rejected are
    therefore wrong with a probability of at most alpha together, and the highest of them is a confidence bound for the
    sum, after any number of draws.
    """

    __slots__ = ("_a", "_b", "_c", "_d", "_e", "_floor", "_left", "_room", "_rounding", "bound", "evidence")

    def __init__(self, count: int, floor: float, bound: float) -> None:
        self.bound = bound
        self.evidence = 1.0
        self._floor = floor
        self._left = count
        self._room = bound - count * floor  # what all numbers to come may be over their floors under the hypothesis
        self._rounding = _ROUNDING * max(1.0, abs(bound), abs(count * floor))
        self._a = self._b = self._c = self._d = self._e = 1 / len(_FRACTIONS)
        if self._room < -self._rounding:
            self.evidence = math.inf

    def see(self, number: float) -> None:
        """Take the next number."""
        over = number - self._floor
        mean = self._room / self._left
        self._left -= 1
        self._room -= over
        if self._room < -self._rounding:
            self.evidence = math.inf
        elif mean > self._rounding:
            # five lines in place of a loop: this runs for each trajectory of a run, several times
            ratio = over / mean - 1
            self._a *= 1 + _FRACTIONS[0] * ratio
            self._b *= 1 + _FRACTIONS[1] * ratio
            self._c *= 1 + _FRACTIONS[2] * ratio
            self._d *= 1 + _FRACTIONS[3] * ratio
            self._e *= 1 + _FRACTIONS[4] * ratio
            wealth = self._a + self._b + self._c + self._d + self._e
            self.evidence = max(self.evidence, wealth)

    def see_all(self, numbers: Iterable[float], enough: float = math.inf) -> None:
        """Take numbers until the evidence is `enough`."""
        for number in numbers:
            self.see(number)
            if self.evidence >= enough:
                break


def lower_bound(seen: Sequence[float], count: int, floor: float, ceiling: float, alpha: float) -> float:
    """Return the lower end of the confidence sequence of the sum of `count` numbers, after those `seen`.

    It is the highest bound that a `SumTest` rejects, found by bisection, and at least what the sum is if all other
    numbers are `floor`. None of the numbers is over `ceiling`.
    """
    so_far, left = math.fsum(seen), count - len(seen)
    low, high = so_far + left * floor, so_far + left * ceiling
    precise = _ROUNDING + (high - low) * _PRECISE
    while high - low > precise:
        middle = (low + high) / 2
        test = SumTest(count, floor, middle)
        test.see_all(seen, 1 / alpha)
        if test.evidence >= 1 / alpha:
            low = middle
        else:
            high = middle
    return low
