"""Linear models in closed form, batched over events: a centred two-pass over each event's own rows.

Every function takes estimation returns (N, R), the K regressors of the estimation rows (N, K, R) and of the event window
(N, K, L), the benchmark first; a row counts where the return and every regressor that the model uses is present.
Sums run over the contiguous axis, so an event's numbers do not depend on the batch it is in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.models.fits import NormalFits
from engine.orthonormal import orthonormal

Floats = npt.NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
DEPENDENT = 1e-12  # of a factor's variance left by the factors before it: less is rounding, not a factor of its own


def market(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Market model: R_it = alpha + beta R_mt + e_it by least squares.

    MacKinlay (1997), eq. 3 and 8; Campbell, Lo & MacKinlay (1997), eq. 4.3.3 and 4.4.9 for V.
    """
    benchmark, event_benchmark = _first(regressors), _first(event_regressors)
    present = np.isfinite(returns) & np.isfinite(benchmark)
    n = present.sum(axis=1)
    x_mean, dx, x_noise = _centred(benchmark, present, n)
    y_mean, dy, y_noise = _centred(returns, present, n)
    sxx, sxy, syy = _sum(dx * dx), _sum(dx * dy), _sum(dy * dy)
    flat_market = sxx <= x_noise
    sxx = np.where(flat_market, np.nan, sxx)
    beta = sxy / sxx
    residuals = dy - beta[:, None] * dx
    rss = _sum(residuals * residuals)
    dof = n - 2
    s2 = _over(rss, dof)
    ahead = event_benchmark - x_mean[:, None]
    basis = np.empty((*event_benchmark.shape, 2))
    basis[:, :, 0] = (1 / np.sqrt(_at_least_one(n)))[:, None]
    basis[:, :, 1] = ahead / np.sqrt(sxx)[:, None]
    alpha = y_mean - beta * x_mean
    return NormalFits(
        names=("alpha", "beta_market"),
        coefficients=np.stack([alpha, beta], axis=1),
        n_obs=n,
        dof=dof,
        sigma=np.sqrt(s2),
        r2=1 - rss / np.where(syy > 0, syy, np.nan),
        residuals=np.where(present, residuals, np.nan),
        expected=alpha[:, None] + beta[:, None] * event_benchmark,
        forecast_basis=basis,
        degenerate=_reasons(
            dof, constant_returns=syy <= y_noise, constant_benchmark=flat_market, exact_fit=~(s2 > EPS * syy)
        ),
    )


def factor(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Several factors: R_it = alpha + sum_j beta_j F_jt + e_it by least squares.

    Fama & French (1993), eq. 1, for the regression; Campbell, Lo & MacKinlay (1997), eq. 4.4.9 for V. The centred
    factors are made orthonormal, and the same steps take the event rows to V = I + B B'.
    """
    k = regressors.shape[1]
    present = np.isfinite(returns) & np.isfinite(regressors).all(axis=1)
    n = present.sum(axis=1)
    y_mean, dy, y_noise = _centred(returns, present, n)
    syy = _sum(dy * dy)
    means, flat = np.empty((len(returns), k)), np.zeros(len(returns), bool)
    centred, ahead = np.empty(regressors.shape), np.empty(event_regressors.shape)
    for j in range(k):
        means[:, j], centred[:, j], noise = _centred(np.ascontiguousarray(regressors[:, j]), present, n)
        ahead[:, j] = event_regressors[:, j] - means[:, j, None]
        flat |= _sum(centred[:, j] * centred[:, j]) <= noise
    unit, upper, steps = orthonormal(centred, ahead, DEPENDENT)
    shares = np.stack([_sum(unit[:, j] * dy) for j in range(k)], axis=1)
    residuals, expected = dy, np.repeat(y_mean[:, None], event_regressors.shape[2], axis=1)
    for j in range(k):
        residuals = residuals - shares[:, j, None] * unit[:, j]
        expected = expected + shares[:, j, None] * steps[:, j]
    betas = _back_substituted(upper, shares)
    alpha = y_mean
    for j in range(k):
        alpha = alpha - betas[:, j] * means[:, j]
    first = np.repeat((1 / np.sqrt(_at_least_one(n)))[:, None, None], event_regressors.shape[2], axis=1)
    rss, dof = _sum(residuals * residuals), n - k - 1
    s2 = _over(rss, dof)
    return NormalFits(
        names=("alpha", *(f"beta_{j}" for j in range(k))),
        coefficients=np.column_stack([alpha, betas]),
        n_obs=n,
        dof=dof,
        sigma=np.sqrt(s2),
        r2=1 - rss / np.where(syy > 0, syy, np.nan),
        residuals=np.where(present, residuals, np.nan),
        expected=expected,
        forecast_basis=np.concatenate([first, steps.transpose(0, 2, 1)], axis=2),
        degenerate=_reasons(
            dof,
            constant_returns=syy <= y_noise,
            constant_factor=flat,
            collinear_factors=np.asarray(np.isnan(upper).any(axis=(1, 2))),
            exact_fit=~(s2 > EPS * syy),
        ),
    )


def _back_substituted(upper: Floats, right: Floats) -> Floats:
    """Solve R b = r for every event; upper: (N, k, k), right: (N, k)."""
    solved = right.copy()
    for j in reversed(range(right.shape[1])):
        for i in range(j + 1, right.shape[1]):
            solved[:, j] -= upper[:, j, i] * solved[:, i]
        solved[:, j] /= upper[:, j, j]
    return solved


def market_adjusted(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Market-adjusted return: the expected return is the benchmark's; k = 0, sigma^2 = var(ddof 1), V = I.

    Brown & Warner (1985), eq. 2.
    """
    benchmark, event_benchmark = _first(regressors), _first(event_regressors)
    present = np.isfinite(returns) & np.isfinite(benchmark)
    n = present.sum(axis=1)
    difference = np.where(present, returns - benchmark, np.nan)
    _, centred, _ = _centred(difference, present, n)
    ss = _sum(centred * centred)
    noise = _centred(returns, present, n)[2] + _centred(benchmark, present, n)[2]
    events, length = event_benchmark.shape
    return NormalFits(
        names=(),
        coefficients=np.empty((events, 0)),
        n_obs=n,
        dof=n - 1,
        sigma=np.sqrt(_over(ss, n - 1)),
        r2=np.full(events, np.nan),
        residuals=difference,
        expected=event_benchmark.copy(),
        forecast_basis=np.empty((events, length, 0)),
        degenerate=_reasons(n - 1, exact_fit=ss <= noise),
    )


def mean_adjusted(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Mean-adjusted return: the expected return is the estimation-window mean; no benchmark is looked at.

    Brown & Warner (1985), eq. 1; MacKinlay (1997), eq. 1.
    """
    present = np.isfinite(returns)
    n = present.sum(axis=1)
    mean, residuals, noise = _centred(returns, present, n)
    rss = _sum(residuals * residuals)
    events, length = len(returns), event_regressors.shape[2]
    return NormalFits(
        names=("alpha",),
        coefficients=mean[:, None],
        n_obs=n,
        dof=n - 1,
        sigma=np.sqrt(_over(rss, n - 1)),
        r2=np.zeros(events),
        residuals=np.where(present, residuals, np.nan),
        expected=np.repeat(mean[:, None], length, axis=1),
        forecast_basis=np.repeat((1 / np.sqrt(_at_least_one(n)))[:, None, None], length, axis=1),
        degenerate=_reasons(n - 1, constant_returns=rss <= noise),
    )


def _first(regressors: Floats) -> Floats:
    """The benchmark: the first regressor, (N, R) contiguous."""
    return np.ascontiguousarray(regressors[:, 0])


def _sum(rows: Floats) -> Floats:
    return np.asarray(np.ascontiguousarray(rows).sum(axis=-1))


def _at_least_one(n: npt.NDArray[np.int64]) -> Floats:
    return np.maximum(n, 1).astype(np.float64)


def _over(total: Floats, dof: npt.NDArray[np.int64]) -> Floats:
    """total / dof, NaN where there is no degree of freedom."""
    return total / np.where(dof > 0, dof, np.nan)


def _centred(values: Floats, present: npt.NDArray[np.bool_], n: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Mean over the present rows; deviations from it, zero in the missing rows; and the sum of squared deviations
    that rounding alone can leave in a constant series."""
    complete = bool(present.all())  # as most batches are: the same numbers with fewer passes over the rows
    kept = values if complete else np.where(present, values, 0.0)
    mean = _sum(kept) / _at_least_one(n)
    noise = (4 * EPS) ** 2 * _sum(kept * kept)
    deviation = kept - mean[:, None]
    if not complete:
        deviation *= present
    return mean, deviation, noise


def _reasons(dof: npt.NDArray[np.int64], **cases: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_]:
    """The first case that holds for each event, "" for none; too few rows comes before all."""
    reasons = np.full(len(dof), "", dtype="U24")
    for reason, holds in reversed(cases.items()):
        reasons[holds] = reason
    reasons[dof < 1] = "no_degrees_of_freedom"
    return reasons
