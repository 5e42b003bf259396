"""How much the events of a study depend on each other on the days that they share, and tests that allow for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

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
    if sample.shared_r is not None:
        r = max(sample.shared_r(), 0.0)
    else:
        r = max(mean_shared_correlation(sample.residuals, sample.residual_days, sample.window_days), 0.0)
    return t_of_scars(sample, "kolari_pape_pynnonen", r, f"mean r = {r:.4f} on shared days")


def mean_shared_correlation(residuals: Floats, residual_days: Ints, window_days: Ints) -> float:
    """Mean over all pairs of events of r_ij times the share of calendar days that their windows have in common.

    residuals, residual_days: (N, R) estimation-window abnormal returns, NaN where missing, and their day numbers.
    window_days: (N, L) day numbers of each event's window, increasing. r_ij is Pearson's on the estimation days both
    have, 0 below 3 of them or without spread. Kolari, Pape & Pynnonen (2018), eq. 6; on one date it is the mean r.
    """
    every = np.arange(len(residuals))
    return Related(residuals, residual_days, window_days, every).mean(every)


@dataclass(frozen=True)
class Related:
    """The pairs of N events with window days in common, found once for every part of the events that a test looks at.

    residuals, residual_days, window_days: as in `mean_shared_correlation`; inside: the events that any part may hold.
    """

    residuals: Floats
    residual_days: Ints
    window_days: Ints
    inside: Ints

    def mean(self, members: Ints) -> float:
        """`mean_shared_correlation` of some of the events inside."""
        one, other, value = self._pairs
        looked_at = np.zeros(len(self.residuals), bool)
        looked_at[members] = True
        n = len(members)
        return float(value[looked_at[one] & looked_at[other]].sum() / max(n * (n - 1) / 2, 1))

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints, Floats]:
        """The two events of every pair whose windows meet, and r_ij times the share of days in common."""
        length = self.window_days.shape[1]
        order = self.inside[np.argsort(self.window_days[self.inside, 0], kind="stable")]
        residuals, days = self.residuals[order], self.window_days[order]
        present = np.isfinite(residuals)
        calendar, place = np.unique(self.residual_days[order][present], return_inverse=True)
        grid, row = np.full((len(order), len(calendar)), np.nan), np.nonzero(present)[0]
        grid[row, place] = residuals[present]
        first, last = np.full(len(order), len(calendar)), np.zeros(len(order), np.int64)
        np.minimum.at(first, row, place)
        np.maximum.at(last, row, place + 1)
        end = np.searchsorted(days[:, 0], days[:, -1], side="right")
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for i in range(len(order)):
            meet, near = slice(i + 1, end[i]), slice(first[i], last[i])  # its own days lie there, and mostly fill it
            if end[i] > i + 1:
                own = np.isfinite(grid[i, near])
                at = np.minimum(np.searchsorted(days[i], days[meet]), length - 1)
                share = (days[i][at] == days[meet]).sum(axis=1) / length
                value = share * correlations(grid[i, near][own], grid[meet, near][:, own])
                found.append((np.full(len(value), order[i]), order[meet], value))
        one, other, value = (np.concatenate(part) for part in zip(*found, strict=True))
        return one, other, value
