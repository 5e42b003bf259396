"""`engine.significance.parametric`, `dependence`, `clustered` and `variance` for many samples at once.

The formulas and their sources stand with the functions of the same names there; a test holds every number against them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.batch.sample import Answers, Batch, Floats, Ints, of_normal, of_t, once, unlike_zero

Bools = npt.NDArray[np.bool_]


def cross_sectional_t(batch: Batch) -> Answers:
    return of_t(np.sqrt(batch.n) * batch.means / _sd(batch), batch.n - 1)


def skewness_adjusted_t(batch: Batch) -> Answers:
    n, means = batch.n, batch.means
    if n < 3:
        return of_normal(np.full(means.shape, np.nan))
    apart = batch.apart
    variance = (apart**2).mean(axis=2)
    g = (apart**3).mean(axis=2) / variance**1.5 * np.sqrt(n * (n - 1)) / (n - 2)
    s = means / _sd(batch)
    return of_normal(np.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n)))


def crude_dependence_t(batch: Batch) -> Answers:
    spread, days = once(batch.common, "spread of the mean", lambda: _spread_of_the_mean(batch))
    return of_t(batch.means / (np.sqrt(len(batch.window)) * spread), days - 1)


def patell(batch: Batch) -> Answers:
    return of_normal(_patell(batch))


def adjusted_patell(batch: Batch) -> Answers:
    return of_normal(_patell(batch) / np.sqrt(1 + (batch.n - 1) * batch.r))


def bmp(batch: Batch) -> Answers:
    return of_t(_t_of_scars(batch), batch.n - 1)


def kolari_pynnonen(batch: Batch) -> Answers:
    return of_t(_t_of_scars(batch) * _narrower(batch.r, batch.n), batch.n - 1)


def kolari_pape_pynnonen(batch: Batch) -> Answers:
    return of_t(_t_of_scars(batch) * _narrower(batch.shared_r, batch.n), batch.n - 1)


def jackknife(batch: Batch) -> Answers:
    n, scars = batch.n, batch.scars
    if n < 3:
        return of_t(np.full(scars.shape[:2], np.nan), 1)
    mean, sd, variances = _without(scars)
    without = (n * mean[..., None] - scars) / (n - 1) / (sd[..., None] * np.sqrt(variances))
    return of_t(_t_of_mean((n * mean / sd)[..., None] - (n - 1) * without), n - 1)


def variance_bmp(batch: Batch) -> Answers:
    n = batch.n
    if n < 3:
        return of_t(np.full(batch.scars.shape[:2], np.nan), 1)
    infinite = (batch.dof <= 2).any(axis=1)
    scaled = batch.scars * np.sqrt(np.maximum(batch.dof - 2, 1) / batch.dof)
    ratio = scaled.var(axis=2, ddof=1)
    pseudo = np.log(ratio)[..., None] - (n - 1) * np.log(_without(scaled)[2])
    return of_t(np.where(infinite, np.nan, _t_of_mean(pseudo)), n - 1)


def clustered_t_date(batch: Batch) -> Answers:
    same = batch.dates[:, :, None] == batch.dates[:, None, :]
    return _clustered(batch, _variance(batch, same), _groups(same))


def clustered_t_firm(batch: Batch) -> Answers:
    same = _same_firm(batch)
    return _clustered(batch, _variance(batch, same), _groups(same))


def clustered_t_both(batch: Batch) -> Answers:
    date, firm = batch.dates[:, :, None] == batch.dates[:, None, :], _same_firm(batch)
    variance = _variance(batch, date) + _variance(batch, firm) - _variance(batch, date & firm)
    return _clustered(batch, variance, np.minimum(_groups(date), _groups(firm)))


def hac_t(batch: Batch) -> Answers:
    same = batch.dates[:, :, None] == batch.dates[:, None, :]
    weights = np.zeros(same.shape)
    for day in range(len(batch.window)):
        one = batch.window_days[:, :, day]
        weights += (one[:, :, None, None] == batch.window_days[:, None]).any(axis=3)
    groups = _groups(same)
    variance = _factor(groups) * _quadratic(batch, weights) / len(batch.window) / batch.n**2
    return _clustered(batch, variance, groups)


def _t_of_mean(values: Floats) -> Floats:
    """sqrt(N) mean / sd over the last axis, ddof 1; NaN where the values do not vary."""
    sd = unlike_zero(values.std(axis=-1, ddof=1), np.abs(values).max(axis=-1))
    return np.asarray(np.sqrt(values.shape[-1]) * values.mean(axis=-1) / sd)


def _t_of_scars(batch: Batch) -> Floats:
    return batch.once("t of scars", lambda: _t_of_mean(batch.scars))


def _sd(batch: Batch) -> Floats:
    """(K, D) the sd of the CARs, on which a constant effect has no bearing but for what rounding can leave of it."""
    sd = batch.once("sd", lambda: (batch.car[None] if batch.push is None else batch.cars).std(axis=2, ddof=1))
    return unlike_zero(sd, np.abs(batch.car).max(axis=1) + np.abs(batch.taus[:, None]))


def _spread_of_the_mean(batch: Batch) -> tuple[Floats, Ints]:
    """(D,) the sd over the estimation days of the mean residual, ddof 1, and how many days there are."""
    residuals, present = batch.residuals, batch.present
    per_day = present.sum(axis=1)
    used = per_day > 0
    days = used.sum(axis=1)
    known = np.where(present, residuals, 0.0)
    average = known.sum(axis=1) / np.maximum(per_day, 1)
    centre = average.sum(axis=1) / np.maximum(days, 1)
    squares = (np.where(used, average - centre[:, None], 0.0) ** 2).sum(axis=1)
    spread = np.where(days > 1, np.sqrt(squares / np.maximum(days - 1, 1)), np.nan)
    return unlike_zero(spread, np.maximum(known.max(axis=(1, 2)), -known.min(axis=(1, 2)))), days


def _narrower(r: Floats, n: int) -> Floats:
    return np.asarray(np.sqrt(np.maximum(1 - r, 0.0) / (1 + (n - 1) * r)))


def _patell(batch: Batch) -> Floats:
    infinite = (batch.dof <= 2).any(axis=1)
    variance = (batch.dof / np.maximum(batch.dof - 2, 1)).sum(axis=1)
    return np.asarray(np.where(infinite, np.nan, batch.scars.sum(axis=2) / np.sqrt(variance)))


def _without(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and sd of N > 2 values, and the variance without each over that of all (`parametric.variances_without`)."""
    n, mean = values.shape[-1], values.mean(axis=-1)
    sd = unlike_zero(values.std(axis=-1, ddof=1), np.abs(values).max(axis=-1))
    squares = n - 1 - ((values - mean[..., None]) / sd[..., None]) ** 2 * n / (n - 1)
    known = (squares > 1e-12 * n).all(axis=-1, keepdims=True)
    return mean, sd, np.asarray(np.where(known, squares / (n - 2), np.nan))


def _same_firm(batch: Batch) -> Bools:
    same = batch.firms[:, None] == batch.firms
    return np.broadcast_to(same, (len(batch.car), *same.shape))


def _groups(same: Bools) -> Floats:
    """(D,) how many clusters there are: each event counts for one over the size of its own."""
    return np.asarray(np.rint((1.0 / same.sum(axis=2)).sum(axis=1)))


def _factor(groups: Floats) -> Floats:
    return np.asarray(groups / np.maximum(groups - 1, 1))


def _quadratic(batch: Batch, weights: Floats | Bools) -> Floats:
    """(K, D) e' W e, e the CARs less their mean; (1, D) where effects have no bearing on them."""
    error = batch.apart
    return np.asarray(((error[:, :, None, :] * weights).sum(axis=3) * error).sum(axis=2))


def _variance(batch: Batch, same: Bools) -> Floats:
    return np.asarray(_factor(_groups(same)) * _quadratic(batch, same) / batch.n**2)


def _clustered(batch: Batch, variance: Floats, fewest: Floats) -> Answers:
    se = unlike_zero(np.sqrt(np.maximum(variance, 0.0)), np.abs(batch.car).max(axis=1))
    statistic = batch.means / np.where(fewest > 1, se, np.nan)
    return of_t(statistic, np.maximum(fewest - 1, 1).astype(np.int64))
