"""Random trajectories whose pivots have something in common, for the scripts that simulate runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


def own_rate(draw: random.Random, rate: float, correlation: float) -> float:
    """Draw a trajectory's own rate, so that outcomes in it have the given correlation, and the mean is `rate`."""
    if correlation == 0 or rate <= 0 or rate >= 1:
        return rate
    scale = (1 - correlation) / correlation
    return draw.betavariate(rate * scale, (1 - rate) * scale)
