"""Draw runs that might be: rewards and flips of given rates, which are more alike inside of a trajectory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence


class Imagined(NamedTuple):
    """One trajectory: its pivots, the sum of the baseline's rewards (0 or 1 each), and the change of that sum."""

    size: int
    base: int
    change: int


def imagine_rewards(draw: random.Random, sizes: Iterable[int], mean: float, correlation: float) -> list[Imagined]:
    """Draw a run: in each trajectory, rewards are 1 with a rate of its own, which has a beta distribution."""
    return [Imagined(size, _some_of(draw, size, _own_rate(draw, mean, correlation)), 0) for size in sizes]


def imagine_changes(
    draw: random.Random, sizes: Iterable[int], mean: float, correlation: float, *, flips: float, change: float
) -> list[Imagined]:
    """Draw a baseline and the changes of another run: a share of `flips` of all pivots, lost or won.

    Which of both they are depends on a rate of the trajectory's own. A `change` of the mean that is larger than the
    share of flips makes that share larger.
    """
    flips = min(1.0, max(flips, abs(change)))
    drawn = []
    for size in sizes:
        flipped = _some_of(draw, size, flips)
        lost = _some_of(draw, flipped, _own_rate(draw, (1 - change / flips) / 2 if flips else 0.5, correlation))
        kept = _some_of(draw, size - flipped, _own_rate(draw, mean, correlation))
        drawn.append(Imagined(size, lost + kept, flipped - 2 * lost))
    return drawn


def deviation_of_mean(sizes: Iterable[int], mean: float, correlation: float) -> float:
    """Return the standard deviation of a run's mean reward, for rewards as `imagine_rewards` draws them."""
    sizes = list(sizes)
    variance = math.fsum(size * (1 + (size - 1) * correlation) for size in sizes) * mean * (1 - mean)
    return math.sqrt(variance) / sum(sizes)


def deviation_of_change(sizes: Iterable[int], correlation: float, *, flips: float, change: float) -> float:
    """Return the standard deviation of a run's mean change, for changes as `imagine_changes` draws them."""
    sizes = list(sizes)
    flips = min(1.0, max(flips, abs(change)))
    # the direction of two flips of one trajectory has the covariance correlation * (1 - (change / flips)^2)
    shared = correlation * (flips**2 - change**2)
    variance = math.fsum(size * (flips - change**2) + size * (size - 1) * shared for size in sizes)
    return math.sqrt(variance) / sum(sizes)


def correlation_of(trajectories: Iterable[Sequence[float]]) -> float | None:
    """Return how much alike the rewards of a trajectory are: their intraclass correlation, from 0 to 0.9.

    By the estimator of the analysis of variance (Donner & Koval 1980). None if no trajectory has several rewards, or if
    all rewards are equal.
    """
    groups = [list(values) for values in trajectories if values]
    n, count = sum(map(len, groups)), len(groups)
    if count <= 1 or n <= count:
        return None
    mean = math.fsum(map(math.fsum, groups)) / n
    between = math.fsum(len(values) * (math.fsum(values) / len(values) - mean) ** 2 for values in groups) / (count - 1)
    within = math.fsum((value - math.fsum(values) / len(values)) ** 2 for values in groups for value in values)
    within /= n - count
    size = (n - math.fsum(len(values) ** 2 for values in groups) / n) / (count - 1)
    total = between + (size - 1) * within
    return None if total <= 0 else min(0.9, max(0.0, (between - within) / total))


def _own_rate(draw: random.Random, rate: float, correlation: float) -> float:
    if correlation <= 0 or rate <= 0 or rate >= 1:
        return rate
    scale = (1 - correlation) / correlation
    return draw.betavariate(rate * scale, (1 - rate) * scale)


def _some_of(draw: random.Random, number: int, rate: float) -> int:
    return sum(draw.random() < rate for _ in range(number))
