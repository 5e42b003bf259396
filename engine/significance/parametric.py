"""Parametric tests of a group's mean CAR.

N events, L days in the window, SCAR = CAR / se(CAR) with the full forecast-error covariance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.significance.inversion import inverted, of_standardised_mean, of_weighted_sum
from engine.significance.sample import (
    CarSample,
    Significance,
    interval,
    noise,
    normal_p,
    quantile_of,
    t_p,
    unavailable,
    with_interval,
)
from engine.ties import NEAR

Floats = npt.NDArray[np.float64]

ZERO_MEAN = "the mean CAR is zero"
ZERO_MEAN_STANDARDISED = "the mean standardised CAR is zero"
SYMMETRIC = 1e-8  # below this skewness the cubic is a line to the last digit
INFINITE_VARIANCE = "an event has 2 degrees of freedom or fewer: the variance of its SCAR is infinite"
SAME_WITHOUT_ONE = "without one of the events the standardised CARs do not vary"


def cross_sectional_t(sample: CarSample) -> Significance:
    """t = sqrt(N) mean(CAR) / sd(CAR), ddof 1; t(N - 1).

    Brown & Warner (1980), appendix A.3; MacKinlay (1997), eq. 15 with the cross-sectional variance.
    """
    answer = _t_of_mean(sample, "cross_sectional_t", sample.car, ZERO_MEAN, scale=1.0)
    se = standard_error(sample.car)
    ci = interval(answer.estimate, se, sample.alpha, sample.n - 1)
    return answer if answer.unavailable else replace(answer, se=se, ci=ci)


def skewness_adjusted_t(sample: CarSample) -> Significance:
    """sqrt(N) (S + g S^2/3 + g^2 S^3/27 + g/(6N)), S = mean/sd, g the unbiased skewness of the CARs; N(0,1).

    Hall (1992), eq. T1.
    """
    name, n = "skewness_adjusted_t", sample.n
    if n < 3:
        return unavailable(sample, name, f"needs at least 3 events for a skewness, has {n}", ZERO_MEAN)
    sd = float(sample.car.std(ddof=1))
    if not sd > noise(sample.car):
        return unavailable(sample, name, "the CARs do not vary", ZERO_MEAN)
    mean = float(sample.car.mean())
    s, g = mean / sd, skewness(sample.car)
    statistic = np.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n))
    q = quantile_of(sample.alpha)
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN, n, mean, float(statistic), "normal",
        normal_p(statistic, sample.alternative), se=sd / np.sqrt(n),
        ci=(mean - sd * from_hall(q, g, n), mean - sd * from_hall(-q, g, n)), note=f"skewness {g:.3f}",
    )  # fmt: skip


def skewness(values: Floats) -> float:
    """G1 = sqrt(N (N - 1))/(N - 2) m3 / m2^1.5 of (N,) values, unbiased for normal ones; N at least 3. Joanes & Gill (1998)."""
    n, centred = len(values), values - values.mean()
    m2, m3 = float((centred**2).mean()), float((centred**3).mean())
    return float(np.sqrt(n * (n - 1)) / (n - 2) * m3 / m2**1.5)


def from_hall(statistic: float, skewness: float, n: int) -> float:
    """The S = mean/sd that has this skewness-adjusted t: Hall's transform is ((1 + gS/3)^3 - 1)/g + g/(6N) in units of sqrt N.

    Hall (1992), section 4, the inverse of the cubic.
    """
    rest = statistic / np.sqrt(n) - skewness / (6 * n)
    if abs(skewness) < SYMMETRIC:
        return float(rest)
    return float(3 / skewness * (np.cbrt(1 + skewness * rest) - 1))


def crude_dependence_t(sample: CarSample) -> Significance:
    """mean CAR / (sqrt(L) sd of the estimation-window mean AR, demeaned, ddof 1); t(days - 1).

    Brown & Warner (1985), eq. 5-7 (crude dependence adjustment): the spread of the average abnormal return over time
    carries the cross-correlation of the events that share relative days.
    """
    present = np.isfinite(sample.residuals)
    per_day = present.sum(axis=0)
    used = per_day > 0
    average = np.where(present, sample.residuals, 0.0).sum(axis=0)[used] / per_day[used]
    return crude_of_average(sample, average, noise(sample.residuals))


def crude_of_average(sample: CarSample, average: Floats, least: float) -> Significance:
    """`crude_dependence_t` from the mean residual of each estimation day. least: the spread that rounding alone leaves."""
    name, days = "crude_dependence_t", len(average)
    if days < 2:
        return unavailable(sample, name, f"needs at least 2 estimation days, has {days}", ZERO_MEAN)
    se = float(np.sqrt(len(sample.window)) * average.std(ddof=1))
    if not se > least:
        return unavailable(sample, name, "the estimation-window mean does not vary", ZERO_MEAN)
    mean = float(sample.car.mean())
    statistic = mean / se
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN, sample.n, mean, statistic, f"t({days - 1})",
        float(t_p(statistic, days - 1, sample.alternative)), se=se,
        ci=interval(mean, se, sample.alpha, days - 1),
    )  # fmt: skip


def patell(sample: CarSample) -> Significance:
    """sum SCAR / sqrt(sum nu/(nu - 2)), nu each event's own degrees of freedom; N(0,1).

    Patell (1976), eq. 6-11, with the full covariance of the window in SCAR. Independent events, no event-induced
    variance.
    """
    if (sample.dof <= 2).any():
        return unavailable(sample, "patell", INFINITE_VARIANCE, ZERO_MEAN_STANDARDISED)
    variance = (sample.dof / (sample.dof - 2)).sum()
    statistic = float(sample.scar.sum() / np.sqrt(variance))
    q = quantile_of(sample.alpha)
    ends = of_weighted_sum(sample.scar, sample.car_se, float(1 / np.sqrt(variance)), q)
    answer = Significance(
        "patell", sample.group, sample.window, ZERO_MEAN_STANDARDISED, sample.n, float(sample.car.mean()), statistic,
        "normal", normal_p(statistic, sample.alternative),
    )  # fmt: skip
    return with_interval(answer, ends, q)


def bmp(sample: CarSample) -> Significance:
    """sqrt(N) mean(SCAR) / sd(SCAR), ddof 1; t(N - 1). Robust to event-induced variance, not to cross-correlation.

    Boehmer, Musumeci & Poulsen (1991), eq. 6.
    """
    return t_of_scars(sample, "bmp", 0.0)


def kolari_pynnonen(sample: CarSample) -> Significance:
    """bmp sqrt((1 - r)/(1 + (N - 1) r)), r the mean residual correlation of all pairs, at least 0; t(N - 1).

    Kolari & Pynnonen (2010), eq. 8. Meant for events that share a date: on different dates r counts pairs whose event
    days never meet, and the test hardly rejects.
    """
    r = max(mean_residual_correlation(sample.residuals, sample.residual_days), 0.0)
    return t_of_scars(sample, "kolari_pynnonen", r, f"mean r = {r:.4f}")


def standard_error(values: Floats) -> float:
    """sd / sqrt(N), ddof 1."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def t_of_scars(sample: CarSample, name: str, r: float, note: str = "") -> Significance:
    """sqrt(N) mean(SCAR) / sd(SCAR) sqrt((1 - r)/(1 + (N - 1) r)); t(N - 1), r the mean correlation of the events."""
    scale = float(np.sqrt(max(1 - r, 0.0) / (1 + (sample.n - 1) * r)))
    answer = _t_of_mean(sample, name, sample.scar, ZERO_MEAN_STANDARDISED, scale, note)
    if answer.unavailable:
        return answer
    q = quantile_of(sample.alpha, sample.n - 1)
    ends = of_standardised_mean(sample.scar, sample.car_se, scale, q)
    return with_interval(answer, ends, q)


def jackknife(sample: CarSample) -> Significance:
    """sqrt(N) mean(P) / sd(P), P_i = N q - (N - 1) q_(i) the pseudo-values of q = mean(SCAR) / sd(SCAR); t(N - 1).

    q_(i) is q without event i, every sd with ddof 1. Giaccotto & Sfiridis (1996): the standardised mean with a standard
    error that does not rest on normality. Independent events.
    """
    name, n, null = "jackknife", sample.n, ZERO_MEAN_STANDARDISED
    if n < 3:
        return unavailable(sample, name, f"needs at least 3 events to leave one out, has {n}", null)
    pseudo = _pseudo_means(sample.scar)
    if pseudo is None:
        return unavailable(sample, name, SAME_WITHOUT_ONE, null)
    answer = t_of_pseudo_values(sample, name, null, pseudo)
    if answer.unavailable:
        return answer

    def statistic(tau: float) -> float:
        apart = _pseudo_means(sample.scar - tau / sample.car_se)
        return float("nan") if apart is None else float(np.sqrt(n) * apart.mean() / apart.std(ddof=1))

    q = quantile_of(sample.alpha, n - 1)
    return with_interval(answer, inverted(statistic, q, answer.estimate, standard_error(sample.car)), q)


def _pseudo_means(values: Floats) -> Floats | None:
    """The pseudo-values of mean / sd of N > 2 values; None where without one of them there is no sd."""
    n = len(values)
    variances = variances_without(values)
    if variances is None:
        return None
    mean, sd = values.mean(), values.std(ddof=1)
    without = (n * mean - values) / (n - 1) / (sd * np.sqrt(variances))
    return np.asarray(n * mean / sd - (n - 1) * without)


def t_of_pseudo_values(sample: CarSample, name: str, null: str, pseudo: Floats, note: str = "") -> Significance:
    """sqrt(N) mean / sd of the (N,) pseudo-values of a jackknife; t(N - 1). Tukey (1958)."""
    n, spread = sample.n, float(pseudo.std(ddof=1))
    if not spread > noise(pseudo):
        return unavailable(sample, name, "the pseudo-values do not vary", null)
    statistic = float(np.sqrt(n) * pseudo.mean() / spread)
    return Significance(
        name, sample.group, sample.window, null, n, float(sample.car.mean()), statistic, f"t({n - 1})",
        float(t_p(statistic, n - 1, sample.alternative)), note=note,
    )  # fmt: skip


def variances_without(values: Floats) -> Floats | None:
    """The variance of N > 2 values without each of them, over the variance of all; None where one is zero."""
    n, sd = len(values), float(values.std(ddof=1))
    if not sd > noise(values):
        return None
    squares = n - 1 - ((values - values.mean()) / sd) ** 2 * n / (n - 1)
    return squares / (n - 2) if (squares > 1e-12 * n).all() else None


def mean_residual_correlation(residuals: Floats, days: npt.NDArray[np.int64]) -> float:
    """Mean over all pairs of events of the Pearson correlation of their residuals on the days that both have.

    residuals, days: (N, R), NaN where a residual is missing. Pairs with fewer than 3 common days, or without spread on
    them, count as 0. Kolari & Pynnonen (2010), section 1.
    """
    n = len(residuals)
    if n < 2:
        return 0.0
    present = np.isfinite(residuals)
    calendar = np.unique(days[present])
    grid = np.full((n, len(calendar)), np.nan)
    rows = np.broadcast_to(np.arange(n)[:, None], days.shape)
    grid[rows[present], np.searchsorted(calendar, days[present])] = residuals[present]
    known = np.isfinite(grid)
    if known.all():
        return _mean_correlation_of_whole(grid)
    first = np.where(known.any(axis=1), known.argmax(axis=1), 0)
    last = np.where(known.any(axis=1), len(calendar) - known[:, ::-1].argmax(axis=1), 0)
    total = 0.0
    for i in range(n - 1):
        others = i + 1 + np.flatnonzero((first[i + 1 :] < last[i]) & (last[i + 1 :] > first[i]))
        span = slice(first[i], last[i])
        total += correlations(grid[i, span], grid[others, span]).sum()
    return float(total / (n * (n - 1) / 2))


def _mean_correlation_of_whole(rows: Floats) -> float:
    """The mean over all pairs where every row (N, D) has every day: with z the rows less their means at length 1, the sum over
    all pairs is half of |sum z|^2 less the number of z."""
    n, days = rows.shape
    apart = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt((apart * apart).sum(axis=1))
    usable = length > NEAR if days >= 3 else np.zeros(n, bool)
    total = (apart[usable] / length[usable, None]).sum(axis=0)
    return float(((total * total).sum() - usable.sum()) / (n * (n - 1)))


def correlations(one: Floats, others: Floats) -> Floats:
    """Pearson correlation of one series (D,) with each of (P, D) on the days both have; 0 below 3 common days."""
    both = np.isfinite(one) & np.isfinite(others)
    n = both.sum(axis=1)
    count = np.maximum(n, 1)
    a = np.where(both, one, 0.0)
    b = np.where(both, others, 0.0)
    da = np.where(both, a - (a.sum(axis=1) / count)[:, None], 0.0)
    db = np.where(both, b - (b.sum(axis=1) / count)[:, None], 0.0)
    squares = (da * da).sum(axis=1), (db * db).sum(axis=1)
    spread = np.sqrt(squares[0] * squares[1])
    usable = (n >= 3) & (np.minimum(*squares) > NEAR**2)
    return np.asarray(np.where(usable, (da * db).sum(axis=1) / np.where(usable, spread, 1.0), 0.0))


def _t_of_mean(sample: CarSample, name: str, values: Floats, null: str, scale: float, note: str = "") -> Significance:
    """sqrt(N) mean / sd of ``values``, ddof 1, times ``scale``; t(N - 1)."""
    n = sample.n
    sd = float(values.std(ddof=1))
    if not sd > noise(values):
        return unavailable(sample, name, "the values do not vary across events", null)
    statistic = float(np.sqrt(n) * values.mean() / sd * scale)
    return Significance(
        name, sample.group, sample.window, null, n, float(sample.car.mean()), statistic, f"t({n - 1})",
        float(t_p(statistic, n - 1, sample.alternative)), note=note,
    )  # fmt: skip
