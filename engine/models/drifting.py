"""Betas that drift: the newest rows decide, and the errors of their own one-day forecasts say how far the line moves.

At each estimation row the rule forecasts from the rows before it alone, as it does for the event window from the whole
estimation window; no event-window return changes a fit. A forecast from weights w has the covariance sigma^2 V with
V = I + X0 A X0', A = (X'WX)^-1 X'W^2X (X'WX)^-1. With e_t the forecast errors and v_t their V,
sigma^2 = mean of e_t^2 / v_t: unbiased for a constant beta, larger where beta drifts. The e_t are the estimation-window
abnormal returns, dof is their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.models.fits import REFIT, NormalFits
from engine.models.moments import EPS, NOISE, Bools, benchmark_of, counted, deviations, over, reasons, total

Floats = npt.NDArray[np.float64]
Weights = Callable[[Bools], Floats]
FEWEST = 3  # rows that a line and its spread need


@dataclass(frozen=True)
class _Line:
    """A weighted least-squares line of N events.

    x_mean, y_mean, slope: (N,). level, tilt, bend: (N,) with a forecast at x in need of [level + d tilt, d bend], d = x - x_mean,
    as its row of the basis B, V = I + B B'. flat: (N,) whether the benchmark does not vary.
    """

    x_mean: Floats
    y_mean: Floats
    slope: Floats
    level: Floats
    tilt: Floats
    bend: Floats
    flat: Bools


def rolling(returns: Floats, regressors: Floats, event_regressors: Floats, *, window: int) -> NormalFits:
    """Rolling market model: least squares on the last ``window`` rows that hold a return; sigma^2 from its one-day forecasts.

    Rolling betas: Fama & MacBeth (1973), section 3; forecast errors over their spread: Brown, Durbin & Evans (1975), eq. 2.
    """

    def last(present: Bools) -> Floats:
        newer = np.cumsum(present[:, ::-1], axis=1)[:, ::-1]
        return np.asarray(present & (newer <= window), dtype=np.float64)

    return _drifting(returns, regressors, event_regressors, last, max(window, FEWEST))


def exponential(returns: Floats, regressors: Floats, event_regressors: Floats, *, half_life: float) -> NormalFits:
    """Exponentially weighted market model: weighted least squares, w = 2^(-age / ``half_life``) with age in sessions.

    sigma^2 from the one-day forecasts, the first after two half-lives of returns. Weights: J.P. Morgan & Reuters (1996),
    RiskMetrics, section 5.2, lambda = 2^(-1 / half_life); forecast errors over their spread: Brown, Durbin & Evans (1975).
    """

    def decaying(present: Bools) -> Floats:
        age = np.arange(present.shape[1])[::-1]
        return np.asarray(present * np.exp2(-age / half_life), dtype=np.float64)

    return _drifting(returns, regressors, event_regressors, decaying, max(math.ceil(2 * half_life), FEWEST))


def _drifting(
    returns: Floats, regressors: Floats, event_regressors: Floats, weights: Weights, first: int
) -> NormalFits:
    """weights: of the rows before a forecast, the last row being the newest. first: returns before the first forecast."""
    benchmark, event_benchmark = benchmark_of(regressors), benchmark_of(event_regressors)
    present = np.isfinite(returns) & np.isfinite(benchmark)
    n, missing = counted(present)
    x, y = np.where(present, benchmark, 0.0), np.where(present, returns, 0.0)
    before: npt.NDArray[np.int64] = np.asarray(np.cumsum(present, axis=1) - present)
    errors, standardised = np.full(returns.shape, np.nan), np.zeros(returns.shape)
    for t in range(first, returns.shape[1]):
        line = _line(x[:, :t], y[:, :t], weights(present[:, :t]))
        asked = present[:, t] & (before[:, t] >= first) & ~line.flat
        error = y[:, t] - line.y_mean - line.slope * (x[:, t] - line.x_mean)
        spread = np.sqrt(1 + (_basis(line, x[:, t : t + 1]) ** 2).sum(axis=2)[:, 0])
        errors[:, t] = np.where(asked, error, np.nan)
        standardised[:, t] = np.where(asked, error / spread, 0.0)
    dof = np.isfinite(errors).sum(axis=1)
    s2 = over(total(standardised * standardised), dof)
    last = _line(x, y, weights(present))
    _, _, syy, y_noise = deviations(returns, missing, n)
    return NormalFits(
        names=("alpha", "beta_market"),
        coefficients=np.stack([last.y_mean - last.slope * last.x_mean, last.slope], axis=1),
        n_obs=n,
        dof=dof,
        sigma=np.sqrt(s2),
        r2=np.full(len(returns), np.nan),
        residuals=errors,
        expected=last.y_mean[:, None] + last.slope[:, None] * (event_benchmark - last.x_mean[:, None]),
        forecast_basis=_basis(last, event_benchmark),
        degenerate=reasons(
            np.where(n > first, np.maximum(dof, 1), 0),
            constant_returns=syy <= y_noise,
            constant_benchmark=last.flat,
            exact_fit=~(s2 > EPS * syy),
        ),
        lacks={REFIT: "fits again by least squares on all rows, as this model does not"},
    )


def _line(x: Floats, y: Floats, w: Floats) -> _Line:
    """The weighted line through (N, m) points; a weight of zero leaves a row out."""
    sum_w = np.maximum(total(w), np.finfo(np.float64).tiny)
    x_mean, y_mean = total(w * x) / sum_w, total(w * y) / sum_w
    dx, dy = x - x_mean[:, None], y - y_mean[:, None]
    sxx = total(w * dx * dx)
    flat = sxx <= NOISE**2 * total(w * x * x)
    sxx = np.where(flat, np.nan, sxx)
    w2 = w * w
    level = np.sqrt(total(w2)) / sum_w
    tilt = total(w2 * dx) / (sum_w * sxx) / np.where(level > 0, level, np.nan)
    bend = np.sqrt(np.maximum(total(w2 * dx * dx) / sxx**2 - tilt * tilt, 0.0))
    return _Line(x_mean, y_mean, total(w * dx * dy) / sxx, level, tilt, bend, flat)


def _basis(line: _Line, ahead: Floats) -> Floats:
    """(N, L, 2) of B for the benchmark (N, L) of the rows that are forecast."""
    d = ahead - line.x_mean[:, None]
    return np.stack([line.level[:, None] + d * line.tilt[:, None], d * line.bend[:, None]], axis=2)
