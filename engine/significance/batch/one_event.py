"""Tests of one event for many samples at once; statistic and p are (K, D, N).

The formulas and their sources stand with `engine.significance.single_event` and `resampling.event_permutation`.
"""

from __future__ import annotations

import numpy as np

from engine.significance.batch.rank import sorted_residuals
from engine.significance.batch.sample import Answers, Batch, Floats, of_t
from engine.significance.sample import empirical_p


def forecast_error_t(batch: Batch) -> Answers:
    return of_t(batch.scars, batch.dof)


def sq(batch: Batch) -> Answers:
    """No answer for a window of several days."""
    if len(batch.window) > 1:
        return Answers(np.full(batch.cars.shape, np.nan), lambda alternative: np.full(batch.cars.shape, np.nan))
    from engine.significance.batch.compiled import places

    rows = sorted_residuals(batch)
    known = rows.known
    ar = batch.moved
    less, up_to = np.empty(ar.shape, np.int64), np.empty(ar.shape, np.int64)
    places(rows.values, known, ar, False, less)
    places(rows.values, known, ar, True, up_to)

    def p(alternative: str) -> Floats:
        above = known - less
        one = empirical_p(up_to, above, np.minimum(up_to, above), known, alternative)
        return np.asarray(np.minimum(2 * one, 1.0)) if alternative == "two-sided" else one

    return Answers(np.asarray(1.0 + less, dtype=np.float64), p)


def own_permutation(batch: Batch) -> Answers:
    """Each event's CAR among those at its own pseudo-dates."""
    cars = batch.cars

    def p(alternative: str) -> Floats:
        each = [own.p(cars[:, :, i], alternative) for i, own in enumerate(batch.own)]
        return np.stack(each, axis=2)

    return Answers(cars, p)
