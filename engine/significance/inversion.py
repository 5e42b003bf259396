"""Intervals by inversion: the constant effects that a test would not reject at alpha, two-sided.

An effect tau is taken from every CAR, in equal parts from the days of its window. The effects not rejected are the
interval of the effect that the test looks at, which need not lie around the mean CAR: a median for `sign`, a mean
weighted by precision for `patell`. Lehmann & Romano (2005), theorem 3.5.1; several firms: Fieller (1954).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.ties import SHARE

Floats = npt.NDArray[np.float64]
Ends = tuple[float, float]
NOWHERE = (float("nan"), float("nan"))
DOUBLINGS = 24  # an end farther off than 2^24 standard errors is none
REJECTED = 1 + SHARE  # times alpha: a p-value of alpha itself rejects, and is told from one above it
CLOSE, ROUGH = 1e-6, 1e-3  # of a standard error: how near an end is found, and where each look ranks everything again


def inverted(
    statistic: Callable[[float], float], quantile: float, start: float, step: float, close: float = CLOSE
) -> Ends:
    """The effects at which a statistic that falls with the effect is +quantile and -quantile; NaN where it never is.

    start, step: where the search begins, and in which units it looks, about a standard error.
    """
    statistic = cache(statistic)  # both ends start at one effect, and each search asks twice where it begins
    return (
        crossing(lambda tau: statistic(tau) - quantile, start, step, close),
        crossing(lambda tau: statistic(tau) + quantile, start, step, close),
    )


def crossing(falling: Callable[[float], float], start: float, step: float, close: float = CLOSE) -> float:
    """Where a function that falls, perhaps in steps, crosses zero; NaN where it does not within 2^24 steps."""
    from scipy.optimize import brentq

    if not step > 0:
        return float("nan")
    above = falling(start) > 0
    near = start
    for doubling in range(DOUBLINGS):
        far = start + (step if above else -step) * 2.0**doubling
        if (falling(far) > 0) != above:
            return float(brentq(falling, min(near, far), max(near, far), xtol=close * step))
        near = far
    return float("nan")


def of_weighted_sum(scar: Floats, car_se: Floats, scale: float, quantile: float) -> Ends:
    """The tau at which scale sum (CAR_i - tau)/se_i is +quantile and -quantile."""
    total, weight = float(scar.sum()), float((1 / car_se).sum())
    return (total - quantile / scale) / weight, (total + quantile / scale) / weight


def of_standardised_mean(scar: Floats, car_se: Floats, scale: float, quantile: float) -> Ends:
    """The tau at which scale sqrt(N) mean(z)/sd(z) of z_i = (CAR_i - tau)/se_i is +-quantile; NaN if unbounded.

    Fieller (1954): the roots of scale^2 N (mean z)^2 = q^2 var z, a quadratic in tau.
    """
    if not scale > 0:
        return NOWHERE
    n, weight = len(scar), 1 / car_se
    z, w = scar - scar.mean(), weight - weight.mean()
    q = (quantile / scale) ** 2 / (n * (n - 1))
    a = weight.mean() ** 2 - q * (w * w).sum()
    b = weight.mean() * scar.mean() - q * (w * z).sum()
    c = scar.mean() ** 2 - q * (z * z).sum()
    if not (a > 0 and b * b >= a * c):
        return NOWHERE
    apart = np.sqrt(b * b - a * c)
    return float((b - apart) / a), float((b + apart) / a)


def of_counts(values: Floats, fewest: int, most: int) -> Ends:
    """The tau for which from ``fewest`` to ``most`` of the values lie above it; NaN at an end that has no bound."""
    ordered, n = np.sort(values), len(values)
    low = float(ordered[n - most - 1]) if most < n else float("nan")
    high = float(ordered[n - fewest]) if fewest > 0 else float("nan")
    return low, high


def of_draws(value: float, draws: Floats, alpha: float) -> Ends:
    """value -+ the |draw| that p = (1 + b)/(1 + B) = alpha needs; NaN where the draws are too few.

    draws: (B,) the statistic under the null, which an effect shifts as it shifts the value.
    """
    last = int(np.floor(alpha * (1 + len(draws)) + SHARE))
    if last < 1:
        return NOWHERE
    beyond = float(np.sort(np.abs(draws))[-last])
    return value - beyond, value + beyond
