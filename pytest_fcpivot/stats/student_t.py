"""Student's t distribution for any number of degrees of freedom, whole or not."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_CLOSE = 1e-15
_TINY = 1e-300
_STEPS = 500
_PRECISE = 1e-11


def student_t_cdf(t: float, df: float) -> float:
    """Return P(T <= t) of Student's t distribution with `df` > 0 degrees of freedom; exact to about ten digits.

    By the regularized incomplete beta function: the two tails beyond |t| have I_x(df/2, 1/2), x = df / (df + t^2)
    (Abramowitz & Stegun 26.7.1).
    """
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    if t * t < df:  # here the part within |t| is computed, as the share outside would be rounded
        within = incomplete_beta(0.5, df / 2, t * t / (df + t * t)) / 2
        return 0.5 + within if t > 0 else 0.5 - within
    tail = incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2
    return 1 - tail if t > 0 else tail


@lru_cache(maxsize=1024)
def student_t_quantile(p: float, df: float) -> float:
    """Return the p-quantile of Student's t distribution, for 0.5 <= p < 1 and `df` >= 1 degrees of freedom.

    One degree of freedom has a closed form. For more, Newton's method solves CDF(t) = p, starting from the normal
    quantile. That start is below the solution, and the CDF is concave for t > 0, so no step overshoots.
    """
    if df == 1:
        return math.tan(math.pi * (p - 0.5))
    t = NormalDist().inv_cdf(p)
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    for _ in range(_STEPS):
        density = math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (p - student_t_cdf(t, df)) / density
        t += step
        if abs(step) <= _PRECISE * max(1.0, t):
            break
    return t


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), for a, b > 0 and 0 <= x <= 1.

    By its continued fraction (Abramowitz & Stegun 26.5.8), evaluated by Lentz's method. It converges quickly for x
    below (a + 1) / (a + b + 2); above, I_x(a, b) = 1 - I_(1-x)(b, a) is used.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    value, above, below = _TINY, _TINY, 0.0
    for step in range(_STEPS):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / _not_zero(1 + term * below)
        above = _not_zero(1 + term / above)
        value *= above * below
        if step and abs(above * below - 1) < _CLOSE:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
