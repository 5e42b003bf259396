"""The combined abnormal return of the listings of one deal: their value-weighted CAR, its money, and its standard error.

The error of a CAR is a weighted sum of the residuals of single days: with a = sum of x_t over the window,
CAR_i - E[CAR_i] = sum_d c_i(d) e_i(d), c_i(d) = 1 on the days of the window and -a'(X_i'X_i)^-1 x_i(d) on the estimation
days, zero elsewhere. Var(CAR_i) = sigma_i^2 sum_d c_i(d)^2, which is the full forecast-error variance. Two listings have
residuals that are correlated on the same calendar day and on no other, so
    Cov(CAR_i, CAR_j) = r_ij sigma_i sigma_j sum_d c_i(d) c_j(d) = r_ij h_ij se_i se_j,
r_ij the correlation of their residuals on the estimation days that both have, h_ij = sum_d c_i c_j / sqrt(sum c_i^2 sum c_j^2).
On the same days and regressors this is the variance of the portfolio's own regression.
Bradley, Desai & Kim (1988) for the combined gain; Zellner (1962) for the covariance of the residuals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.significance.parametric import correlations

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST_COMMON = 3  # days without which a correlation says nothing


@dataclass(frozen=True)
class DayErrors:
    """The errors of S CARs by calendar day, D days in order. weights: (S, D) c of each residual. residuals: (S, D) of the
    estimation days, NaN where there is none."""

    weights: Floats
    residuals: Floats


@dataclass(frozen=True)
class Combined:
    """The S sides of one deal as one.

    car: sum of weight times CAR. weights: (S,) share of each side in the value. value: sum of the values. gain: car times
    value, in their currency; gains: (S,) CAR times value of each side. se, gain_se: with the covariance of the sides; dof:
    the fewest of the sides. correlation: of the residuals, the mean over pairs; common_days: the fewest that a pair has.
    unavailable: why there is no se, "" where there is one.
    """

    car: float
    weights: Floats
    value: float
    gain: float
    gains: Floats
    se: float
    gain_se: float
    dof: int
    correlation: float
    common_days: int
    unavailable: str


def day_errors(
    residuals: Floats, residual_days: Ints, estimation_basis: Floats, window_basis: Floats, window_days: Ints
) -> DayErrors:
    """c of every day of S listings.

    residuals, residual_days: (S, R) of the estimation rows, NaN where missing, and their day numbers. estimation_basis:
    (S, R, k), the rows of X in the orthonormal coordinates of X'X; window_basis: (S, L, k) the same of the window's days;
    window_days: (S, L). A day that one listing has twice, in window and estimation, carries both weights.
    """
    present = np.isfinite(residuals)
    ahead = np.ascontiguousarray(window_basis.transpose(0, 2, 1)).sum(axis=2)
    fitted = -(np.where(present[:, :, None], estimation_basis, 0.0) * ahead[:, None, :]).sum(axis=2)
    calendar = np.union1d(residual_days[present], window_days)
    weights = np.zeros((len(residuals), len(calendar)))
    placed = np.full(weights.shape, np.nan)
    for s in range(len(residuals)):
        at = np.searchsorted(calendar, residual_days[s, present[s]])
        weights[s, at], placed[s, at] = fitted[s, present[s]], residuals[s, present[s]]
        weights[s, np.searchsorted(calendar, window_days[s])] += 1.0
    return DayErrors(weights, placed)


def combine(car: Floats, se: Floats, dof: Ints, values: Floats, errors: DayErrors) -> Combined:
    """The combined CAR and gain of S >= 2 sides; car, se, dof, values: (S,), values above zero in one currency."""
    value = float(values.sum())
    weights = values / value
    gains = car * values
    known = np.isfinite(errors.residuals)
    squares = (errors.weights * errors.weights).sum(axis=1)
    variance, r_sum, common, pairs = float((weights * weights * se * se).sum()), 0.0, known.shape[1], 0
    for i in range(len(car)):
        for j in range(i + 1, len(car)):
            r = float(correlations(errors.residuals[i], errors.residuals[j : j + 1])[0])
            h = float((errors.weights[i] * errors.weights[j]).sum() / np.sqrt(squares[i] * squares[j]))
            variance += 2 * float(weights[i] * weights[j] * se[i] * se[j]) * r * h
            r_sum, pairs, common = r_sum + r, pairs + 1, min(common, int((known[i] & known[j]).sum()))
    why = ""
    if common < FEWEST_COMMON:
        why = f"the sides have {common} estimation days in common, {FEWEST_COMMON} needed for a covariance"
    elif not np.isfinite(variance):
        why = "a side's CAR has no forecast-error variance"
    elif not variance > 0:
        why = "the combined variance is not above zero"
    error = float(np.sqrt(variance)) if not why else float("nan")
    return Combined(
        car=float((weights * car).sum()), weights=weights, value=value, gain=float(gains.sum()), gains=gains, se=error,
        gain_se=error * value, dof=int(dof.min()), correlation=r_sum / pairs, common_days=common, unavailable=why,
    )  # fmt: skip
