"""The beta-binomial distribution: how many of a pivot's answers pass, if pass rates differ from pivot to pivot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE = 0.95
_GRID = 64
_STEPS = 200
_NARROW = 1e-12
_EDGE = 1e-12
_GOLDEN = (math.sqrt(5) - 1) / 2


class CannotFitError(ValueError):
    """Counts do not determine a beta-binomial; the message is the reason."""


@dataclass(frozen=True, slots=True)
class BetaBinomial:
    """A beta-binomial: pass rates have a beta distribution with a = mean / spread and b = (1 - mean) / spread.

    A spread of 0 is the binomial, in which all pivots have the pass rate `mean`.
    """

    mean: float
    spread: float

    @property
    def correlation(self) -> float:
        """The correlation of two answers to one pivot, 1 / (a + b + 1), from 0 to 1."""
        return self.spread / (1 + self.spread)

    def probability(self, passed: int, asked: int) -> float:
        """Return the probability that `passed` of `asked` answers pass."""
        logs = [math.log(math.comb(asked, passed))]
        logs += [math.log(self.mean + i * self.spread) for i in range(passed)]
        logs += [math.log(1 - self.mean + i * self.spread) for i in range(asked - passed)]
        logs += [-math.log1p(i * self.spread) for i in range(asked)]
        return math.exp(math.fsum(logs))

    def passes_later(self, failed: int, more: int) -> float:
        """Return the probability that any of `more` answers passes, after `failed` ones of which none has passed.

        The pass rate then has the beta distribution of a and b + failed, and no further answer passes with probability
        B(a, b + failed + more) / B(a, b + failed).
        """
        none = math.fsum(
            math.log(1 - self.mean + i * self.spread) - math.log1p(i * self.spread)
            for i in range(failed, failed + more)
        )
        return -math.expm1(none)


def fit(counts: Mapping[tuple[int, int], int]) -> BetaBinomial:
    """Fit a beta-binomial by maximum likelihood to the number of pivots by (answers that passed, answers).

    The log-likelihood is, up to a constant, the sum over pivots of log(mean + i spread) for i < passed, plus that of
    log(1 - mean + i spread) for i < failed, minus that of log(1 + i spread) for i < answers (Griffiths 1973, Biometrics
    29, 637; in these parameters Smith 1983, AS 189). For each spread it is concave in the mean. Answers that stop once
    some rule is met have the same likelihood, so that they may be fitted as well.

    Raises CannotFitError, with the reason, for fewer than two pivots with several answers, and if no answer passed, if
    none failed, or if no pivot has both, since the likelihood then has no maximum.
    """
    pivots = {key: number for key, number in counts.items() if key[1] and number}
    several = sum(number for (_, asked), number in pivots.items() if asked > 1)
    if several < 2:  # noqa: PLR2004 (what differs between pivots takes two)
        raise CannotFitError("fewer than two pivots have several graded answers")
    if not any(passed for passed, _ in pivots):
        raise CannotFitError("no answer passed")
    if all(passed == asked for passed, asked in pivots):
        raise CannotFitError("no answer failed")
    if not any(0 < passed < asked for passed, asked in pivots):
        raise CannotFitError("no pivot has both passed and failed")
    likelihood = _Likelihood(pivots)
    correlations = [step / _GRID for step in range(_GRID)] + [1 - 2.0**-step for step in range(7, 21)]
    values = [likelihood.profile(each)[0] for each in correlations]
    best = max(range(len(values)), key=values.__getitem__)
    low, high = correlations[max(0, best - 1)], correlations[min(len(correlations) - 1, best + 1)]
    found = _highest(likelihood, low, high)
    if best == 0 and likelihood.profile(0.0)[0] >= likelihood.profile(found)[0]:
        found = 0.0
    return BetaBinomial(likelihood.profile(found)[1], found / (1 - found))


def largest_rate(failed: int) -> float:
    """Return the largest pass rate that is compatible with so many failures and no pass: 1 - 0.05^(1 / failed).

    It is the upper end of a one-sided 95 % interval (Clopper & Pearson 1934); 1 without any answer.
    """
    return -math.expm1(math.log(1 - CONFIDENCE) / failed) if failed else 1.0


class _Likelihood:
    """The log-likelihood of counts, as sums over i: how many pivots have more than i answers that passed, or failed."""

    def __init__(self, pivots: Mapping[tuple[int, int], int]) -> None:
        most = max(asked for _, asked in pivots)
        self._passed, self._failed, self._asked = ([0] * most for _ in range(3))
        for (passed, asked), number in pivots.items():
            for i in range(passed):
                self._passed[i] += number
            for i in range(asked - passed):
                self._failed[i] += number
            for i in range(asked):
                self._asked[i] += number

    def profile(self, correlation: float) -> tuple[float, float]:
        """Return the largest log-likelihood at a correlation, and the mean at which it is."""
        spread = correlation / (1 - correlation)
        mean = self._mean(spread)
        value = math.fsum(
            (
                *_logs(self._passed, mean, spread),
                *_logs(self._failed, 1 - mean, spread),
                *(-each for each in _logs(self._asked, 1.0, spread)),
            )
        )
        return value, mean

    def _mean(self, spread: float) -> float:
        """Return the mean at which the slope is 0: by Newton's method, and by halves where a step would leave."""
        low, high = _EDGE, 1 - _EDGE
        mean = self._passed[0] / (self._passed[0] + self._failed[0])
        for _ in range(_STEPS):
            slope = bend = 0.0
            for i, (passed, failed) in enumerate(zip(self._passed, self._failed, strict=True)):
                one, other = mean + i * spread, 1 - mean + i * spread
                slope += passed / one - failed / other
                bend -= passed / one**2 + failed / other**2
            if slope > 0:
                low = mean
            else:
                high = mean
            step = -slope / bend
            if abs(step) < _NARROW:
                break
            mean = mean + step if low < mean + step < high else (low + high) / 2
        return mean


def _logs(numbers: Sequence[int], start: float, spread: float) -> list[float]:
    return [number * math.log(start + i * spread) for i, number in enumerate(numbers) if number]


def _highest(likelihood: _Likelihood, low: float, high: float) -> float:
    """Return the correlation of the largest likelihood between two others, by golden sections (Kiefer 1953)."""
    one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_one, at_other = likelihood.profile(one)[0], likelihood.profile(other)[0]
    for _ in range(60):
        if high - low < 1e-9:  # noqa: PLR2004 (the likelihood is flat at its top: no more digits are known)
            break
        if at_one >= at_other:
            high, other, at_other = other, one, at_one
            one = high - _GOLDEN * (high - low)
            at_one = likelihood.profile(one)[0]
        else:
            low, one, at_one = one, other, at_other
            other = low + _GOLDEN * (high - low)
            at_other = likelihood.profile(other)[0]
    return (low + high) / 2
