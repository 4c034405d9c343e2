"""Confidence intervals of the mean reward, pass@k and pass^k.

The pivots of one trajectory share their context, so their rewards are not independent: each trajectory is one cluster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONFIDENCE = 0.95
_EXACT_TO_DF = 2
_SMALLEST_STEP = 1e-10


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean reward with its confidence interval, all in [0, 1], over `n` rewards in `clusters` trajectories."""

    mean: float
    low: float
    high: float
    n: int
    clusters: int


def student_t_quantile(p: float, df: int) -> float:
    """Return the p-quantile of Student's t distribution with `df` degrees of freedom, for 0.5 <= p < 1 and df >= 1.

    One and two degrees of freedom have closed forms. For more, Newton's method solves CDF(t) = p, starting from the
    normal quantile. That start is below the solution, and the CDF is concave for t > 0, so no step overshoots.
    """
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    if df == _EXACT_TO_DF:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    t = NormalDist().inv_cdf(p)
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    step = math.inf
    while step > _SMALLEST_STEP:
        density = math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (p - _student_t_cdf(t, df)) / density
        t += step
    return t


def _student_t_cdf(t: float, df: int) -> float:
    """Return P(T <= t) for t >= 0 and an integer `df` of at least 2 (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    theta = math.atan2(t, math.sqrt(df))
    cos_squared = math.cos(theta) ** 2
    term = math.cos(theta) if df % 2 else 1.0
    total = term
    for k in range(2 if df % 2 else 1, df - 2, 2):
        term *= cos_squared * k / (k + 1)
        total += term
    area = 2 / math.pi * (theta + math.sin(theta) * total) if df % 2 else math.sin(theta) * total
    return 0.5 + area / 2


def mean_interval(rewards: Mapping[str, Sequence[float]]) -> Interval | None:
    """Return the mean reward with its 95 % interval, clustered by trajectory; None without rewards.

    `rewards` maps a cluster (trajectory) to the rewards of its pivots, each in [0, 1]. The variance of the mean is the
    cluster-robust one, G/(G-1) * sum((S_g - n_g * mean)^2) / n^2, where G is the number of clusters and S_g the sum of
    the n_g rewards of cluster g; at least the variance of n independent samples is used. The interval is Wilson's at
    the effective sample size that this variance implies, with Student's t on G - 1 degrees of freedom (Korn & Graubard
    1998; Franco et al. 2019). It therefore stays inside [0, 1], and does not shrink to a point when all rewards are 0
    or all are 1. With a single cluster the variance is unknown, and the interval is [0, 1].
    """
    rewards = {cluster: values for cluster, values in rewards.items() if values}
    n = sum(len(values) for values in rewards.values())
    if n == 0:
        return None
    mean = math.fsum(value for values in rewards.values() for value in values) / n
    clusters = len(rewards)
    if clusters == 1:
        return Interval(mean, 0.0, 1.0, n, clusters)
    t = student_t_quantile((1 + CONFIDENCE) / 2, clusters - 1)
    low, high = _wilson(mean, _effective_size(rewards, mean, n), t)
    return Interval(mean, min(low, mean), max(high, mean), n, clusters)


def pass_at_k(counts: Iterable[Sequence[int]], k: int) -> tuple[float, float, int] | None:
    """Return pass@k, pass^k and the number of pivots behind them; None if no pivot was sampled at least k times.

    `counts` holds one pair (n samples, c of them passed) for each pivot; pivots with fewer than k samples are left out.
    pass@k is the mean over pivots of 1 - C(n-c, k) / C(n, k), an unbiased estimate of the probability that at least one
    of k samples passes (Chen et al. 2021, section 2.1). pass^k is the mean of C(c, k) / C(n, k), the same for the
    probability that all k pass (Yao et al. 2024, tau-bench, section 3).
    """
    any_passes, all_pass, pivots = [], [], 0
    for samples, passed in counts:
        if samples < k:
            continue
        pivots += 1
        ways = math.comb(samples, k)
        any_passes.append(1 - math.comb(samples - passed, k) / ways)
        all_pass.append(math.comb(passed, k) / ways)
    if not pivots:
        return None
    return math.fsum(any_passes) / pivots, math.fsum(all_pass) / pivots, pivots


def _effective_size(rewards: Mapping[str, Sequence[float]], mean: float, n: int) -> float:
    """Return the number of independent 0/1 samples whose mean would have the same variance as this mean."""
    clusters = len(rewards)
    between = math.fsum((math.fsum(values) - len(values) * mean) ** 2 for values in rewards.values())
    variance = clusters / (clusters - 1) * between / n**2
    within = math.fsum((value - mean) ** 2 for values in rewards.values() for value in values)
    variance = max(variance, within / (n - 1) / n)
    most = mean * (1 - mean)  # the variance of one 0/1 sample with this mean, the largest there is
    if variance <= 0.0 or most <= variance:
        # all rewards are equal, or differ by no more than rounding errors: count only the trajectories, which are known
        # to be independent. Otherwise the variance is the largest possible: one sample's worth.
        return float(clusters) if variance <= 0.0 else 1.0
    return most / variance


def _wilson(mean: float, size: float, t: float) -> tuple[float, float]:
    """Return Wilson's score interval of a mean at a sample size (Wilson 1927)."""
    spread = t * t / size
    centre = (mean + spread / 2) / (1 + spread)
    half = t / (1 + spread) * math.sqrt(mean * (1 - mean) / size + spread / (4 * size))
    return max(0.0, centre - half), min(1.0, centre + half)
