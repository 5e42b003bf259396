"""The standardised abnormal return of a calendar-time portfolio: each period by the spread of the firms held in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.calendar_time.holdings import PeriodReturns
from engine.calendar_time.least_squares import DEPENDENT, NOISE
from engine.calendar_time.portfolio import Alpha, Portfolio
from engine.orthonormal import orthonormal
from engine.significance.sample import interval, t_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NAME, TERM = "jaffe_mandelker", "standardised_mean"
FEWEST = 2  # periods, for a standard deviation


def standardised(made: Portfolio, series: Sequence[PeriodReturns], history: int, min_history: int) -> Floats:
    """(T,) z_t = (R_pt - b_t'F_t) / (s_t sqrt(1 + F_t'(S_FF)^-1 F_t)) of each period of a portfolio, NaN without a history.

    b_t, s_t: of the regression, with a constant, of the portfolio as it is held in t, same firms and same shares, on its
    regressors over the ``history`` periods before t; S_FF: the sums of squares and products of these about their means. A
    period counts if every firm has a return in it; with fewer than ``min_history`` t has none. The periods are those of the
    listings held. The constant is left out of the forecast, so that what the firms earned before stays abnormal.
    Jaffe (1974), section 3; Mandelker (1974), section 4: the portfolio of each month standardised by its own past.
    """
    used = np.unique(np.concatenate([np.empty(0, np.int64), *made.lines])).astype(np.int64)
    table, axis = _panel(series, used, 1 + len(made.regressors))
    found = np.full(len(made.codes), np.nan)
    for t, (code, lines, share) in enumerate(zip(made.codes, made.lines, made.shares, strict=True)):
        at = int(np.searchsorted(axis, code))
        past = table[:, max(at - history, 0) : at, np.searchsorted(used, lines)]
        before = np.ascontiguousarray(past * share).sum(axis=2)
        before = before[:, np.isfinite(before).all(axis=0)]
        if before.shape[1] >= max(min_history, len(before) + 1):
            found[t] = _forecast_error(before, made.returns[t], made.regressors[:, t])
    return found


def _panel(series: Sequence[PeriodReturns], used: Ints, width: int) -> tuple[Floats, Ints]:
    """(1 + K, P, F) returns and regressors of the lines ``used`` on the union of their periods (P,), NaN where none."""
    axis = np.unique(np.concatenate([np.empty(0, np.int64), *(series[one].codes for one in used)]))
    table = np.full((width, len(axis), len(used)), np.nan)
    for column, one in enumerate(used):
        rows = np.searchsorted(axis, series[one].codes)
        table[:, rows, column] = np.concatenate([series[one].returns[None], series[one].regressors])
    return table, axis


def _forecast_error(before: Floats, value: float, regressors: Floats) -> float:
    """One z: before (1 + K, M) holds the portfolio's past; NaN where a regressor or the residual does not vary."""
    y, k = before[0], len(before)
    columns = np.concatenate([np.ones((1, len(y))), before[1:]])
    ahead = np.concatenate([[0.0], regressors])[:, None]
    unit, _, basis = (part[0] for part in orthonormal(columns[None], ahead[None], DEPENDENT))
    left, expected = y, 0.0
    for j in range(k):
        share = (unit[j] * y).sum()
        left, expected = left - share * unit[j], expected + share * basis[j, 0]
    rss = float((left * left).sum())
    if not rss > len(y) * (NOISE * float(np.abs(y).max())) ** 2:
        return float("nan")
    spread = np.sqrt(rss / (len(y) - k) * (1 + (basis * basis).sum()))
    return float((value - expected) / spread)


def standardised_mean(
    group: str, weighting: str, n: int, made: Portfolio, z: Floats, min_history: int, alternative: str, alpha: float
) -> Alpha:
    """Mean of z_t over the T periods with one, t = mean / (sd / sqrt(T)): t(T - 1). Jaffe (1974); Mandelker (1974).

    The estimate counts standard deviations of a period's abnormal return, so that it has no size in per cent.
    """
    kept = np.isfinite(z)
    values, rows = z[kept], int(kept.sum())
    without, nothing = len(z) - rows, float("nan")
    mean = se = t = p = nothing
    reason, ci, distribution = "", (nothing, nothing), ""
    if rows >= FEWEST:
        mean, se = float(values.mean()), float(values.std(ddof=1) / np.sqrt(rows))
    if rows < FEWEST:
        reason = (
            f"needs {FEWEST} periods whose firms have {min_history} returns before it in common, has {rows} of {len(z)}"
        )
    elif not se > NOISE * float(np.abs(values).max()):
        reason = "the standardised abnormal returns do not vary"
    else:
        t, distribution = mean / se, f"t({rows - 1})"
        p, ci = float(t_p(t, rows - 1, alternative)), interval(mean, se, alpha, rows - 1)
    firms = float(made.firms[kept].mean()) if rows else nothing
    return Alpha(
        group, weighting, NAME, TERM, n, mean, se, nothing, t, distribution, p, *ci, rows, firms, made.left_out, None, reason,
        without,
    )  # fmt: skip
