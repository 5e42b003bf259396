"""Betas of shares that do not trade at every close: what the market did the day before and after counts too.

The corrected beta comes from the rows at which the benchmark's neighbours are known inside the event's own estimation window:
no lead crosses its end, no lag its start. Mean, sigma and V are taken over all its rows, as in the market model.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.models.along import along
from engine.models.fits import NormalFits
from engine.models.linear import DEPENDENT, market
from engine.models.moments import benchmark_of, counted, deviations, total
from engine.orthonormal import back_substituted, orthonormal

Floats = npt.NDArray[np.float64]
UNDEFINED = 1e-6  # of 1 + 2 rho: less leaves nothing to divide by


def scholes_williams(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """b = (b(-1) + b(0) + b(+1)) / (1 + 2 rho), a = mean(R) - b mean(R_m); sigma^2 = RSS / (M - 2), V of the market model.

    b(j) is the least-squares slope of R_t on R_m,t+j, rho the correlation of R_mt with R_m,t-1, all four over the rows t with
    R_t, R_m,t-1, R_mt and R_m,t+1; the means over all M rows. Scholes & Williams (1977), their consistent estimator.
    """
    ols, nobody = market(returns, regressors, event_regressors), np.zeros(len(returns))
    columns = _neighbours(benchmark_of(regressors), 1)
    present = np.isfinite(returns) & np.isfinite(columns).all(axis=1)
    n, missing = counted(present)
    _, dy, _, _ = deviations(returns, missing, n)
    before, same, after = (deviations(np.ascontiguousarray(columns[:, j]), missing, n) for j in range(3))
    flat = np.zeros(len(returns), bool)
    slopes = nobody.copy()
    for _, dx, sxx, noise in (before, same, after):
        flat |= sxx <= noise
        slopes = slopes + total(dx * dy) / np.where(sxx > noise, sxx, np.nan)
    lagged, now = before[1], same[1]
    spread = np.sqrt(total(lagged * lagged) * total(now * now))
    divisor = 1 + 2 * total(lagged * now) / np.where(spread > 0, spread, np.nan)
    undefined = np.abs(divisor) < UNDEFINED
    beta = slopes / np.where(undefined, np.nan, divisor)
    return along(
        returns, regressors, event_regressors, ols, beta, nobody,
        {"too_few_neighbours": n < 3, "constant_benchmark": flat, "undefined_beta": undefined},
    )  # fmt: skip


def dimson(returns: Floats, regressors: Floats, event_regressors: Floats, *, leads_lags: int) -> NormalFits:
    """b = sum_j b_j of R_t = c + sum_{j=-k..k} b_j R_m,t+j by least squares, a = mean(R) - b mean(R_m); sigma^2 = RSS of this
    line / (M - 2), V of the market model.

    k = ``leads_lags``. The regression is over the rows t with R_t and R_m of all days t - k to t + k, the means over all M rows.
    Dimson (1979), eq. 5-6, the aggregated coefficients.
    """
    ols = market(returns, regressors, event_regressors)
    columns = _neighbours(benchmark_of(regressors), leads_lags)
    present = np.isfinite(returns) & np.isfinite(columns).all(axis=1)
    (n, missing), k = counted(present), columns.shape[1]
    _, dy, _, _ = deviations(returns, missing, n)
    centred, flat = np.empty(columns.shape), np.zeros(len(returns), bool)
    for j in range(k):
        _, centred[:, j], sxx, noise = deviations(np.ascontiguousarray(columns[:, j]), missing, n)
        flat |= sxx <= noise
    unit, upper, _ = orthonormal(centred, np.empty((len(returns), k, 0)), DEPENDENT)
    shares = np.stack([total(unit[:, j] * dy) for j in range(k)], axis=1)
    beta = total(back_substituted(upper, shares))
    return along(
        returns, regressors, event_regressors, ols, beta, np.zeros(len(returns)),
        {
            "too_few_neighbours": n < k + 2,
            "constant_benchmark": flat,
            "collinear_neighbours": np.asarray(np.isnan(upper).any(axis=(1, 2))),
        },
    )  # fmt: skip


def _neighbours(benchmark: Floats, k: int) -> Floats:
    """(N, 2k + 1, R) the benchmark of t - k, ..., t, ..., t + k at each row t; NaN beyond the estimation window."""
    rows = benchmark.shape[1]
    shifted = np.full((len(benchmark), 2 * k + 1, rows), np.nan)
    for j in range(-k, k + 1):
        there = slice(max(-j, 0), max(rows - max(j, 0), 0))
        taken = slice(max(j, 0), max(rows + min(j, 0), 0))
        shifted[:, j + k, there] = benchmark[:, taken]
    return shifted
