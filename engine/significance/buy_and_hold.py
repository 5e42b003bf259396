"""Tests of a group's mean buy-and-hold abnormal return (BHAR), for long windows.

A BHAR is bounded below by -1 less the expected growth and not above: over a year it is skewed to the right, and a plain t
rejects too often on the left and too seldom on the right. Events whose windows overlap in calendar time share their
returns; none of these tests allows for that, a calendar-time portfolio does. The estimate of each answer stays the mean
CAR; se and ci are of the mean BHAR, which stands in the note with its skewness.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.inversion import NOWHERE, Ends
from engine.significance.parametric import from_hall
from engine.significance.sample import CarSample, Significance, interval, noise, normal_p, quantile_of, t_p, unavailable
from engine.ties import SHARE, at_least, at_most, tie_of

Floats = npt.NDArray[np.float64]

ZERO_MEAN_BHAR = "the mean BHAR is zero"
SAME = "the BHARs do not vary"
FEWEST = 5  # events: of fewer, a resample of one value alone is no rarity
SMALLEST = 10  # resample, where the sample has as many: the skewness of fewer is a matter of chance
CELLS = 1 << 20  # numbers drawn at once


def bhar_t(sample: CarSample) -> Significance:
    """t = sqrt(N) mean(BHAR) / sd(BHAR), ddof 1; t(N - 1). Independent events, BHARs without skewness.

    Barber & Lyon (1997).
    """
    name, n, values = "bhar_t", sample.n, sample.bhar
    if not varies(values):
        return unavailable(sample, name, SAME, ZERO_MEAN_BHAR)
    statistic = float(np.sqrt(n) * values.mean() / values.std(ddof=1))
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN_BHAR, n, float(sample.car.mean()), statistic, f"t({n - 1})",
        float(t_p(statistic, n - 1, sample.alternative)), se=_error(values),
        ci=interval(float(values.mean()), _error(values), sample.alpha, n - 1), note=_note(values),
    )  # fmt: skip


def bhar_skewness_t(sample: CarSample) -> Significance:
    """t_sa = sqrt(N) (S + g S^2/3 + g^2 S^3/27 + g/(6N)), S = mean/sd, g the unbiased skewness of the BHARs; N(0,1).

    Hall (1992), eq. T1, as `skewness_adjusted_t` on CARs. Lyon, Barber & Tsai (1999), eq. 5, is Johnson's (1978), without the
    cubic term: it falls again where g S < -3/2, and gives a large mean the wrong sign. Independent events.
    """
    name, n, values = "bhar_skewness_t", sample.n, sample.bhar
    if n < 3:
        return unavailable(sample, name, f"needs at least 3 events for a skewness, has {n}", ZERO_MEAN_BHAR)
    if not varies(values):
        return unavailable(sample, name, SAME, ZERO_MEAN_BHAR)
    statistic, q = float(_skewness_adjusted(values[None], 0.0, 0.0)[0]), quantile_of(sample.alpha)
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN_BHAR, n, float(sample.car.mean()), statistic, "normal",
        normal_p(statistic, sample.alternative), se=_error(values), ci=_means_between(values, -q, q), note=_note(values),
    )  # fmt: skip


def bhar_bootstrap(sample: CarSample) -> Significance:
    """t_sa of `bhar_skewness_t` among its values in B resamples of N/4 BHARs, drawn with replacement.

    Draw: t_sa* of the resample with the sample's mean taken from its mean, so that the null holds. p = (1 + b)/(1 + B), b
    the draws at or beyond t_sa on one side; two-sided twice the smaller of both sides, since the draws are skewed. At
    least 10 are drawn, or all N where there are fewer. Independent events.
    Lyon, Barber & Tsai (1999), who draw 50 of 200, with Hall's (1992) t_sa.
    """
    name, n, plan, values = "bhar_bootstrap", sample.n, sample.resampling, sample.bhar
    if plan is None:
        return unavailable(sample, name, "no seed is known", ZERO_MEAN_BHAR)
    if n < FEWEST:
        return unavailable(sample, name, f"needs at least {FEWEST} events to resample, has {n}", ZERO_MEAN_BHAR)
    if not varies(values):
        return unavailable(sample, name, SAME, ZERO_MEAN_BHAR)
    size, floor = max(n // 4, min(n, SMALLEST)), noise(1 + np.abs(values))
    statistic, mean = float(_skewness_adjusted(values[None], 0.0, floor)[0]), float(values.mean())
    rng, most = plan.generator(name), max(CELLS // size, 1)
    portions = [min(most, plan.draws - begin) for begin in range(0, plan.draws, most)]
    drawn = np.concatenate(
        [_skewness_adjusted(values[rng.integers(0, n, (rows, size))], mean, floor) for rows in portions]
    )
    tie = tie_of(statistic)
    lower, upper = (
        (1 + int(side.sum())) / (1 + plan.draws)
        for side in (at_most(drawn, statistic, tie), at_least(drawn, statistic, tie))
    )
    p = {"less": lower, "greater": upper, "two-sided": min(1.0, 2 * min(lower, upper))}[sample.alternative]
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN_BHAR, n, float(sample.car.mean()), statistic,
        f"{name}({plan.draws})", p, se=_error(values), ci=_interval(values, drawn, sample.alpha),
        note=f"{_note(values)}; resamples of {size}",
    )  # fmt: skip


def _interval(values: Floats, drawn: Floats, alpha: float) -> Ends:
    """The mean BHARs that the two-sided test at alpha does not reject; NaN at an end that the draws do not bound."""
    last = int(np.floor(alpha / 2 * (1 + len(drawn)) + SHARE))
    if last < 1:
        return NOWHERE
    ordered = np.sort(drawn)
    return _means_between(values, float(ordered[last - 1]), float(ordered[-last]))


def _means_between(values: Floats, low: float, high: float) -> Ends:
    """The centres at which t_sa of the values is ``high`` and ``low``: Hall's transform rises with the mean."""
    n, mean, sd = len(values), float(values.mean()), float(values.std(ddof=1))
    g = float(skewness(values - mean, sd))
    ends = (mean - sd * from_hall(end, g, n) if np.isfinite(end) else float("nan") for end in (high, low))
    return next(ends), next(ends)


def varies(values: Floats) -> bool:
    """Whether BHARs differ by more than rounding; they are differences of numbers near 1."""
    return bool(values.std(ddof=1) > noise(1 + np.abs(values)))


def _skewness_adjusted(values: Floats, centre: float, floor: float) -> Floats:
    """(B,) t_sa of B samples (B, M), ``centre`` taken from each mean; without spread infinite, 0 where the mean is 0 too."""
    n = values.shape[1]
    mean = values.sum(axis=1) / n
    apart = values - mean[:, None]
    sd = np.sqrt((apart * apart).sum(axis=1) / (n - 1))
    flat = sd <= floor
    spread = np.where(flat, 1.0, sd)
    s, g = (mean - centre) / spread, skewness(apart, spread)
    without = np.where(np.abs(mean - centre) > floor, np.copysign(np.inf, mean - centre), 0.0)
    return np.asarray(np.where(flat, without, np.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n))))


def skewness(apart: Floats, sd: Floats | float) -> Floats:
    """The unbiased skewness N/((N - 1)(N - 2)) sum (d/sd)^3 of deviations d from the mean (..., N), N > 2, sd with ddof 1."""
    n = apart.shape[-1]
    return np.asarray((apart * apart * apart).sum(axis=-1) / sd**3 * (n / ((n - 1) * (n - 2))))


def _error(values: Floats) -> float:
    """The cross-sectional standard error of the mean BHAR."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _note(values: Floats) -> str:
    """The mean BHAR with its standard error, and the skewness, in words."""
    said = f"mean BHAR {_rounded(100 * values.mean())} %, s.e. {_rounded(100 * _error(values))} %"
    if len(values) < 3:
        return said
    return f"{said}, skewness {_rounded(skewness(values - values.mean(), values.std(ddof=1)))}"


def _rounded(value: Floats | float) -> str:
    """Two decimals, and no minus before zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"
