"""One least-squares fit with classical and Newey-West standard errors, without a library of linear algebra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.orthonormal import orthonormal

Floats = npt.NDArray[np.float64]
MOST_LAGS = 3  # periods to a lag: with fewer the weighted autocovariances leave a variance that is far too small
DEPENDENT = 1e-12  # of a regressor's squared length; less left by the others is rounding
NOISE = 1e-10  # of the largest return: residuals no larger than this are rounding


@dataclass(frozen=True)
class Fit:
    """A constant and K regressors over T rows.

    estimate, se, se_hac: (K + 1,) the constant first; se classical, se_hac Newey-West. residuals: (T,) unweighted.
    lags: those used. unavailable: "" or the reason; all numbers are then NaN.
    """

    estimate: Floats
    se: Floats
    se_hac: Floats
    residuals: Floats
    dof: int
    lags: int
    unavailable: str = ""


def automatic_lags(rows: int) -> int:
    """floor(4 (T/100)^(2/9)); Newey & West (1994), as it is commonly used with the Bartlett kernel."""
    return int(4 * (rows / 100) ** (2 / 9)) if rows else 0


def least_squares(explained: Floats, regressors: Floats, weights: Floats, lags: int | None = 0) -> Fit:
    """min sum_t w_t (y_t - a - b'x_t)^2.

    explained: (T,); regressors: (K, T); weights: (T,). lags: of Newey & West (1987), None for `automatic_lags`.
    Classical: s^2 (X'WX)^-1, s^2 = sum w e^2/(T - k). HAC: T/(T - k) (X'WX)^-1 S (X'WX)^-1, S = sum_l (1 - l/(q + 1))
    (G_l + G_l'), G_l = sum_t h_t h_(t-l)', h_t = w_t e_t x_t, the term of l = 0 once; q = 0 is White's.
    """
    rows, k = len(explained), len(regressors) + 1
    used = min(automatic_lags(rows) if lags is None else lags, max(rows - 1, 0))
    if lags is not None and MOST_LAGS * lags > rows:
        return _nothing(
            k, rows, used, f"{lags} lags of Newey and West need at least {MOST_LAGS * lags} periods, has {rows}"
        )
    if rows <= k:
        return _nothing(k, rows, used, f"needs more than {k} rows for {k} coefficients, has {rows}")
    root = np.sqrt(weights)
    columns = np.concatenate([np.ones((1, rows)), regressors]) * root
    y = explained * root
    unit, upper, _ = (part[0] for part in orthonormal(columns[None], np.zeros((1, k, 0)), DEPENDENT))
    if np.isnan(upper).any():
        return _nothing(k, rows, used, "a regressor does not vary, or is a combination of the others")
    left = y
    shares = np.empty(k)
    for j in range(k):
        shares[j] = (unit[j] * y).sum()
        left = left - shares[j] * unit[j]
    rss = float((left * left).sum())
    if not rss > rows * (NOISE * float(np.abs(y).max())) ** 2:
        return _nothing(k, rows, used, "the fit has no residual, so there is no variance")
    inverse = _inverted(upper)
    scores = unit * left
    middle = scores_covariance(scores, used)
    hac = _weighted(inverse, middle) * (rows / (rows - k))
    classical = (inverse * inverse).sum(axis=1) * (rss / (rows - k))
    estimate = (inverse * shares).sum(axis=1)
    return Fit(estimate, np.sqrt(classical), np.sqrt(np.maximum(hac, 0.0)), left / root, rows - k, used)


def scores_covariance(scores: Floats, lags: int) -> Floats:
    """(k, k) S of (k, T) scores with Bartlett weights up to ``lags``; Newey & West (1987), eq. 5."""
    k, rows = scores.shape
    total = np.empty((k, k))
    for i in range(k):
        for j in range(k):
            total[i, j] = (scores[i] * scores[j]).sum()
            for lag in range(1, lags + 1):
                both = (scores[i, lag:] * scores[j, : rows - lag]).sum() + (
                    scores[j, lag:] * scores[i, : rows - lag]
                ).sum()
                total[i, j] += (1 - lag / (lags + 1)) * both
    return total


def _inverted(upper: Floats) -> Floats:
    """The inverse of an upper triangular (k, k)."""
    k = len(upper)
    inverse = np.eye(k)
    for i in reversed(range(k)):
        for j in range(i + 1, k):
            inverse[i] -= upper[i, j] * inverse[j]
        inverse[i] /= upper[i, i]
    return inverse


def _weighted(inverse: Floats, middle: Floats) -> Floats:
    """The diagonal of A S A'."""
    return np.asarray((inverse[:, :, None] * middle[None] * inverse[:, None, :]).sum(axis=(1, 2)))


def _nothing(k: int, rows: int, lags: int, reason: str) -> Fit:
    nothing = np.full(k, np.nan)
    return Fit(nothing, nothing, nothing, np.full(rows, np.nan), 0, lags, reason)
