"""Lines that a few wild days do not turn: least absolute deviations, Huber, Theil-Sen.

They have no least-squares covariance, so a CAR has no standard error, and what needs one is unavailable. sigma is the
residuals' spread, sqrt(RSS / (M - 2)). LAD and Huber are searched for many events at once, each event stopping on its own:
at thousands of pseudo-dates statsmodels' QuantReg and RLM, which the tests hold them against, take ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.models.along import along
from engine.models.fits import COVARIANCE, NormalFits
from engine.models.linear import market
from engine.models.moments import Bools, Ints, benchmark_of, counted, deviations, total

Floats = npt.NDArray[np.float64]
NONE = "the model has no least-squares covariance, so a CAR has no standard error"
WIDENINGS, NARROWINGS = 60, 52  # of the interval that holds the slope: 2^-52 is 2e-16
GRAIN = (
    1e-9  # sigmas that a residual is a multiple of: days that the line goes through, or has at one distance, are tied
)
TURN = 1.345  # scales at which Huber's squares become absolute values
MAD = 0.6744897501960817  # median of |z|, z standard normal
STEPS, CLOSE = 2000, 1e-11  # of the reweighting: the most, and the change in spreads of the residuals that ends it


def lad(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Least absolute deviations: a + b R_mt that minimises sum |R_t - a - b R_mt|, the median regression.

    For a given b the best a is a median of R_t - b R_mt, and what is left is convex in b: halving by the sign of its slope. Where
    several b or a are best, their middle. Koenker & Bassett (1978), at the median. No V.
    """
    y, x, ols, present = _standardised(returns, regressors, event_regressors)
    usable = ols.degenerate == ""
    slope, lost = np.full(len(y), np.nan), np.zeros(len(y), bool)
    slope[usable], lost[usable] = _least_deviations(y[usable], x[usable], present[usable], ols.n_obs[usable])
    level = _medians(y - slope[:, None] * x, present, ols.n_obs)
    return _robust(returns, regressors, event_regressors, ols, level, slope, lost)


def huber(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Huber's M-estimator: squares up to 1.345 scales, absolute values beyond; the scale is the median |residual| / 0.6745.

    Huber (1964), by reweighted least squares from the least-squares line, the scale estimated again at each step. No V.
    """
    y, x, ols, present = _standardised(returns, regressors, event_regressors)
    active = ols.degenerate == ""
    level, slope, lost = np.where(active, 0.0, np.nan), _slope(y, x), active.copy()
    for _ in range(STEPS):
        if not active.any():
            break
        rows = np.flatnonzero(active)
        a, b = _reweighted(y[rows], x[rows], present[rows], ols.n_obs[rows], level[rows], slope[rows])
        change = np.maximum(np.abs(a - level[rows]), np.abs(b - slope[rows]))
        level[rows], slope[rows] = a, b
        lost[rows] = ~(change < CLOSE)
        active[rows] = change >= CLOSE
    return _robust(returns, regressors, event_regressors, ols, level, slope, lost)


def theil_sen(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """Theil-Sen: b = the median slope of all pairs of days, a = the median of R_t - b R_mt.

    Theil (1950); Sen (1968). By scipy. No V.
    """
    from scipy import stats

    y, x, ols, present = _standardised(returns, regressors, event_regressors)
    slope = np.full(len(y), np.nan)
    for i in np.flatnonzero(ols.degenerate == ""):
        slope[i] = stats.theilslopes(y[i, present[i]], x[i, present[i]]).slope
    level = _medians(y - slope[:, None] * x, present, ols.n_obs)
    return _robust(returns, regressors, event_regressors, ols, level, slope, np.zeros(len(y), bool))


def _standardised(
    returns: Floats, regressors: Floats, event_regressors: Floats
) -> tuple[Floats, Floats, NormalFits, Bools]:
    """Returns over their spread about the least-squares line and the benchmark over its own, both centred, zero in missing
    rows; that line's fits; and the rows that count."""
    ols, benchmark = market(returns, regressors, event_regressors), benchmark_of(regressors)
    present = np.isfinite(returns) & np.isfinite(benchmark)
    missing = counted(present)[1]
    _, dy, _, _ = deviations(returns, missing, ols.n_obs)
    _, dx, _, _ = deviations(benchmark, missing, ols.n_obs)
    unit = _unit(dx, ols)
    usable = ols.degenerate == ""
    return dy / np.where(usable, ols.sigma, 1.0)[:, None], dx / unit[:, None], ols, present


def _unit(dx: Floats, ols: NormalFits) -> Floats:
    """The benchmark's spread, 1 where there is no fit."""
    spread = np.sqrt(total(dx * dx) / np.maximum(ols.n_obs, 1))
    return np.where(ols.degenerate == "", spread, 1.0)


def _robust(
    returns: Floats, regressors: Floats, event_regressors: Floats, ols: NormalFits, level: Floats, slope: Floats, lost: Bools
) -> NormalFits:  # fmt: skip
    """The fits of a line in standardised returns, `_standardised`.

    A line through the days without a trade expects nothing on the next one, so that its abnormal return ties with theirs.
    """
    benchmark = benchmark_of(regressors)
    missing = counted(np.isfinite(returns) & np.isfinite(benchmark))[1]
    _, dx, _, _ = deviations(benchmark, missing, ols.n_obs)
    usable = ols.degenerate == ""
    above = np.where(usable, level, np.nan) * ols.sigma
    beta = np.where(usable, slope, np.nan) * ols.sigma / _unit(dx, ols)
    made = along(returns, regressors, event_regressors, ols, beta, above, {"not_converged": lost})
    without = np.full(made.forecast_basis.shape, np.nan)
    grain = GRAIN * np.where(made.sigma > 0, made.sigma, np.nan)[:, None]
    return replace(
        made,
        residuals=np.round(made.residuals / grain) * grain,
        expected=np.where(np.abs(made.expected) <= grain, 0.0, made.expected),
        forecast_basis=without,
        lacks={**made.lacks, COVARIANCE: NONE},
    )


def _slope(y: Floats, x: Floats) -> Floats:
    """Of the least-squares line, NaN where x does not vary."""
    sxx = total(x * x)
    return total(x * y) / np.where(sxx > 0, sxx, np.nan)


def _medians(values: Floats, present: Bools, n: Ints) -> Floats:
    """Median of each row over the rows present, the middle of two where their number is even."""
    ordered = np.sort(np.where(present, values, np.inf), axis=1)
    middle = np.maximum(n - 1, 0)
    low = np.take_along_axis(ordered, (middle // 2)[:, None], axis=1)[:, 0]
    high = np.take_along_axis(ordered, (np.maximum(n, 1) // 2)[:, None], axis=1)[:, 0]
    return np.asarray((low + high) / 2)


def _least_deviations(y: Floats, x: Floats, present: Bools, n: Ints) -> tuple[Floats, Bools]:
    """The slope that leaves the least sum of absolute deviations from a median, the middle of them where several do, and where no
    interval was found to hold it.

    The sum has the slope -sum sign(e_t) x_t, which takes few values and jumps between them: it parts the line into what falls,
    what is level and what rises without a comparison of sums that only rounding parts.
    """
    level = GRAIN * total(np.abs(x))

    def rise(b: Floats) -> Floats:
        residuals = y - b[:, None] * x
        apart = np.where(present, residuals - _medians(residuals, present, n)[:, None], 0.0)
        signs, at = np.sign(apart), present & (apart == 0)
        centre = total(np.where(at, x, 0.0)) / np.maximum(at.sum(axis=1), 1)
        return -total(signs * (x - centre[:, None]))

    centre = _slope(y, x)
    reach, open_ = np.ones(len(y)), np.ones(len(y), bool)
    for _ in range(WIDENINGS):
        open_ = (rise(centre - reach) >= -level) | (rise(centre + reach) <= level)
        if not open_.any():
            break
        reach = np.where(open_, 2 * reach, reach)
    falling = _last(lambda b: rise(b) < -level, centre - reach, centre + reach)
    not_rising = _last(lambda b: rise(b) <= level, centre - reach, centre + reach)
    return (falling + not_rising) / 2, open_


def _last(holds: Callable[[Floats], Bools], low: Floats, high: Floats) -> Floats:
    """Where what holds at ``low`` and not at ``high`` ends, by halving."""
    for _ in range(NARROWINGS):
        middle = (low + high) / 2
        there = holds(middle)
        low, high = np.where(there, middle, low), np.where(there, high, middle)
    return (low + high) / 2


def _reweighted(y: Floats, x: Floats, present: Bools, n: Ints, level: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """One step of Huber's reweighting; NaN where half of the residuals or more are zero but for rounding: there is no scale."""
    residuals = np.abs(y - level[:, None] - slope[:, None] * x)
    scale = _medians(residuals, present, n) / MAD
    bound = TURN * np.where(scale > GRAIN, scale, np.nan)
    weights = np.where(present, np.minimum(1.0, bound[:, None] / np.maximum(residuals, bound[:, None])), 0.0)
    sum_w = total(weights)
    x_mean, y_mean = total(weights * x) / sum_w, total(weights * y) / sum_w
    dx = x - x_mean[:, None]
    b = total(weights * dx * (y - y_mean[:, None])) / total(weights * dx * dx)
    return y_mean - b * x_mean, b
