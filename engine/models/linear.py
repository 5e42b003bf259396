"""Linear models in closed form, batched over events: a centred two-pass over each event's own rows.

Every function takes estimation returns (N, R), the K regressors of the estimation rows (N, K, R) and of the event window
(N, K, L), the benchmark first; a row counts where the return and every regressor that the model uses is present.
Sums run over the contiguous axis, so an event's numbers do not depend on the batch it is in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.models.fits import NormalFits
from engine.models.moments import EPS, at_least_one, benchmark_of, counted, deviations, over, put, reasons, total
from engine.orthonormal import back_substituted, orthonormal

Floats = npt.NDArray[np.float64]
DEPENDENT = 1e-12  # of a factor's variance left by the factors before it: less is rounding, not a factor of its own


def market(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Market model: R_it = alpha + beta R_mt + e_it by least squares.

    MacKinlay (1997), eq. 3 and 8; Campbell, Lo & MacKinlay (1997), eq. 4.3.3 and 4.4.9 for V.
    """
    benchmark, event_benchmark = benchmark_of(regressors), benchmark_of(event_regressors)
    present = np.isfinite(returns) & np.isfinite(benchmark)
    n, missing = counted(present)
    x_mean, dx, sxx, x_noise = deviations(benchmark, missing, n)
    y_mean, dy, syy, y_noise = deviations(returns, missing, n)
    flat_market = sxx <= x_noise
    sxx = np.where(flat_market, np.nan, sxx)
    beta = total(dx * dy) / sxx
    residuals = beta[:, None] * dx
    np.subtract(dy, residuals, out=residuals)
    rss = total(residuals * residuals)
    put(residuals, missing, np.nan)
    dof = n - 2
    s2 = over(rss, dof)
    ahead = event_benchmark - x_mean[:, None]
    basis = np.empty((*event_benchmark.shape, 2))
    basis[:, :, 0] = (1 / np.sqrt(at_least_one(n)))[:, None]
    basis[:, :, 1] = ahead / np.sqrt(sxx)[:, None]
    alpha = y_mean - beta * x_mean
    return NormalFits(
        names=("alpha", "beta_market"),
        coefficients=np.stack([alpha, beta], axis=1),
        n_obs=n,
        dof=dof,
        sigma=np.sqrt(s2),
        r2=1 - rss / np.where(syy > 0, syy, np.nan),
        residuals=residuals,
        expected=alpha[:, None] + beta[:, None] * event_benchmark,
        forecast_basis=basis,
        degenerate=reasons(
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
    n, missing = counted(present)
    y_mean, dy, syy, y_noise = deviations(returns, missing, n)
    means, flat = np.empty((len(returns), k)), np.zeros(len(returns), bool)
    centred, ahead = np.empty(regressors.shape), np.empty(event_regressors.shape)
    for j in range(k):
        means[:, j], centred[:, j], sxx, noise = deviations(np.ascontiguousarray(regressors[:, j]), missing, n)
        ahead[:, j] = event_regressors[:, j] - means[:, j, None]
        flat |= sxx <= noise
    unit, upper, steps = orthonormal(centred, ahead, DEPENDENT)
    shares = np.stack([total(unit[:, j] * dy) for j in range(k)], axis=1)
    residuals, expected = dy, np.repeat(y_mean[:, None], event_regressors.shape[2], axis=1)
    for j in range(k):
        residuals = residuals - shares[:, j, None] * unit[:, j]
        expected = expected + shares[:, j, None] * steps[:, j]
    betas = back_substituted(upper, shares)
    alpha = y_mean
    for j in range(k):
        alpha = alpha - betas[:, j] * means[:, j]
    first = np.repeat((1 / np.sqrt(at_least_one(n)))[:, None, None], event_regressors.shape[2], axis=1)
    rss, dof = total(residuals * residuals), n - k - 1
    put(residuals, missing, np.nan)
    s2 = over(rss, dof)
    return NormalFits(
        names=("alpha", *(f"beta_{j}" for j in range(k))),
        coefficients=np.column_stack([alpha, betas]),
        n_obs=n,
        dof=dof,
        sigma=np.sqrt(s2),
        r2=1 - rss / np.where(syy > 0, syy, np.nan),
        residuals=residuals,
        expected=expected,
        forecast_basis=np.concatenate([first, steps.transpose(0, 2, 1)], axis=2),
        degenerate=reasons(
            dof,
            constant_returns=syy <= y_noise,
            constant_factor=flat,
            collinear_factors=np.asarray(np.isnan(upper).any(axis=(1, 2))),
            exact_fit=~(s2 > EPS * syy),
        ),
    )


def market_adjusted(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Market-adjusted return: the expected return is the benchmark's; k = 0, sigma^2 = var(ddof 1), V = I.

    Brown & Warner (1985), eq. 2.
    """
    return _without_coefficients(returns, benchmark_of(regressors), benchmark_of(event_regressors))


def matched(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Control portfolio: the expected return is that of named peers, the firm itself left out; k = 0, sigma^2 = var(ddof 1),
    V = I.

    The portfolio is the first regressor, equal or value weighted (``[model] peers``, ``weights``). Barber & Lyon (1997),
    section 3.2, with several control firms in place of one.
    """
    return _without_coefficients(returns, benchmark_of(regressors), benchmark_of(event_regressors))


def raw(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Raw return: the expected return is zero; k = 0, sigma^2 = var(ddof 1), V = I. No benchmark is looked at.

    Brown & Warner (1980), who compare it with the models that expect something.
    """
    events, length = len(returns), event_regressors.shape[2]
    return _without_coefficients(returns, np.zeros(returns.shape), np.zeros((events, length)))


def _without_coefficients(returns: Floats, benchmark: Floats, event_benchmark: Floats) -> NormalFits:
    """The expected return is (N, L) ``event_benchmark`` as it stands; nothing is estimated but the spread."""
    present = np.isfinite(returns) & np.isfinite(benchmark)
    n, missing = counted(present)
    difference = np.where(present, returns - benchmark, np.nan)
    ss = deviations(difference, missing, n)[2]
    noise = deviations(returns, missing, n)[3] + deviations(benchmark, missing, n)[3]
    events, length = event_benchmark.shape
    return NormalFits(
        names=(),
        coefficients=np.empty((events, 0)),
        n_obs=n,
        dof=n - 1,
        sigma=np.sqrt(over(ss, n - 1)),
        r2=np.full(events, np.nan),
        residuals=difference,
        expected=event_benchmark.copy(),
        forecast_basis=np.empty((events, length, 0)),
        degenerate=reasons(n - 1, exact_fit=ss <= noise),
    )


def mean_adjusted(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Mean-adjusted return: the expected return is the estimation-window mean; no benchmark is looked at.

    Brown & Warner (1985), eq. 1; MacKinlay (1997), eq. 1.
    """
    present = np.isfinite(returns)
    n, missing = counted(present)
    mean, residuals, rss, noise = deviations(returns, missing, n)
    put(residuals, missing, np.nan)
    events, length = len(returns), event_regressors.shape[2]
    return NormalFits(
        names=("alpha",),
        coefficients=mean[:, None],
        n_obs=n,
        dof=n - 1,
        sigma=np.sqrt(over(rss, n - 1)),
        r2=np.zeros(events),
        residuals=residuals,
        expected=np.repeat(mean[:, None], length, axis=1),
        forecast_basis=np.repeat((1 / np.sqrt(at_least_one(n)))[:, None, None], length, axis=1),
        degenerate=reasons(n - 1, constant_returns=rss <= noise),
    )
