"""How much the events of a study depend on each other on the days that they share, and tests that allow for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.significance.parametric import correlations, mean_residual_correlation, patell, t_of_scars
from engine.significance.sample import CarSample, Significance, interval, normal_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def adjusted_patell(sample: CarSample) -> Significance:
    """patell / sqrt(1 + (N - 1) r), r the mean residual correlation of all pairs, at least 0; N(0,1).

    Kolari & Pynnonen (2010). Allows for the correlation of events on one date, not for event-induced variance.
    """
    r = max(mean_residual_correlation(sample.residuals, sample.residual_days), 0.0)
    answer = replace(patell(sample), name="adjusted_patell")
    if answer.unavailable:
        return answer
    wider = float(np.sqrt(1 + (sample.n - 1) * r))
    statistic, se = answer.statistic / wider, answer.se * wider
    ends = interval(sum(answer.ci) / 2, se, sample.alpha)
    p = normal_p(statistic, sample.alternative)
    return replace(answer, statistic=statistic, p_value=p, se=se, ci=ends, note=f"mean r = {r:.4f}")


def kolari_pape_pynnonen(sample: CarSample) -> Significance:
    """bmp sqrt((1 - r)/(1 + (N - 1) r)), r the mean of r_ij times the share of common days, at least 0; t(N - 1).

    Kolari, Pape & Pynnonen (2018), eq. 6: `mean_shared_correlation` over the calendar days of the CAR windows. For
    events on different dates; on one date it is kolari_pynnonen.
    """
    r = max(mean_shared_correlation(sample.residuals, sample.residual_days, sample.window_days), 0.0)
    return t_of_scars(sample, "kolari_pape_pynnonen", r, f"mean r = {r:.4f} on shared days")


def mean_shared_correlation(residuals: Floats, residual_days: Ints, window_days: Ints) -> float:
    """Mean over all pairs of events of r_ij times the share of calendar days that their windows have in common.

    residuals, residual_days: (N, R) estimation-window abnormal returns, NaN where missing, and their day numbers.
    window_days: (N, L) day numbers of each event's window, increasing. r_ij is Pearson's on the estimation days both
    have, 0 below 3 of them or without spread. Kolari, Pape & Pynnonen (2018), eq. 6; on one date it is the mean r.
    """
    n, length = window_days.shape
    present = np.isfinite(residuals)
    calendar = np.unique(residual_days[present])
    grid = np.full((n, len(calendar)), np.nan)
    rows = np.broadcast_to(np.arange(n)[:, None], residuals.shape)
    grid[rows[present], np.searchsorted(calendar, residual_days[present])] = residuals[present]
    order = np.argsort(window_days[:, 0], kind="stable")
    first = window_days[order, 0]
    total = 0.0
    for place, i in enumerate(order):
        meet = order[place + 1 : np.searchsorted(first, window_days[i, -1], side="right")]
        if len(meet):
            share = np.isin(window_days[meet], window_days[i]).sum(axis=1) / length
            own = np.isfinite(grid[i])
            total += float((share * correlations(grid[i, own], grid[meet][:, own])).sum())
    return float(total / max(n * (n - 1) / 2, 1))
