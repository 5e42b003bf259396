"""How much the events of a study depend on each other: their residual correlation on the days that they share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.parametric import correlations

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
