"""How much of a mean's uncertainty is the model's own: what its repeated answers to one pivot differ by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.stats.clusters import Totals, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HALVED = 1 / 4  # an interval of half the width needs a quarter of the variance


@dataclass(frozen=True, slots=True)
class Noise:
    """The model's own part of the variance of the mean reward.

    `share` is that part, from 0 to 1. `repeats` is the number of repeats of each pivot that would halve the interval,
    None if no number would, because the pivots themselves differ too much.
    """

    share: float
    repeats: int | None


def noise(rewards: Mapping[str, Sequence[Sequence[float]]]) -> Noise | None:
    """Return the model's own part of the variance of the mean reward; None without repeats, or without any variance.

    `rewards` maps a trajectory to the rewards of its pivots, each with those of all its repeats. The mean weighs
    answers alike. The variance of the mean is that of `clusters.spread`; the model's part is the sum over pivots of
    k * s^2 / n^2, where s^2 is the variance of the k rewards of one pivot, and n the number of all answers.
    """
    pivots = [values for trajectory in rewards.values() for values in trajectory if values]
    repeated = [values for values in pivots if len(values) > 1]
    if not repeated or len(rewards) < 2:  # noqa: PLR2004 (one trajectory has no variance)
        return None
    totals = [
        Totals(sum(map(len, trajectory)), math.fsum(map(math.fsum, trajectory)))
        for trajectory in rewards.values()
        if any(trajectory)
    ]
    variance = spread(totals).variance
    answers = sum(map(len, pivots))
    # pivots that were answered once are taken to be as noisy as the others
    of_one_answer = math.fsum(map(_variance, repeated)) / len(repeated)
    own = math.fsum(len(values) * (_variance(values) if len(values) > 1 else of_one_answer) for values in pivots)
    own /= answers**2
    if variance <= 0 or math.isinf(variance):
        return None
    share = min(1.0, own / variance)
    rest = _HALVED - (1 - share)  # what the model's part may be of today's variance
    repeats = math.ceil(answers / len(pivots) * share / rest - 1e-9) if rest > 0 else None
    return Noise(share, repeats)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
