"""Tests of one event for many samples at once; statistic and p are (K, D, N).

The formulas and their sources stand with `engine.significance.single_event` and `resampling.event_permutation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.orthonormal import orthonormal
from engine.significance.batch.rank import sorted_residuals
from engine.significance.batch.sample import Answers, Batch, Floats, Ints, of_t
from engine.significance.regression import DEPENDENT
from engine.significance.sample import NOISE, empirical_p
from engine.ties import NEAR, at_least, at_most, below


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


AT_ONCE = 256  # events fitted again at once


@dataclass(frozen=True)
class Blocks:
    """Events with equally many estimation days, fitted again: where they are, (B,) of D N, and the (B, M + L) sums of their null
    residuals over every block of L days, the window's last but L - 1; unit: what an effect of 1 adds; size: (B,) the largest
    value but that of the day with the effect, day: (B,) that one."""

    at: Ints
    sums: Floats
    unit: Floats
    size: Floats
    day: Floats


def conformal(batch: Batch) -> Answers:
    """Refitted once for all effects: what an effect adds to a block sum is a multiple of what 1 adds."""
    shape, length = (len(batch.taus), *batch.car.shape), len(batch.window)
    known = batch.known.ravel()
    groups = [np.flatnonzero(known == m) for m in np.unique(known)]
    parts = [_blocks(batch, at[b : b + AT_ONCE]) for at in groups for b in range(0, len(at), AT_ONCE)]

    def each(measure: Callable[[Floats, Floats, Floats], Floats]) -> Floats:
        """A number of the block sums, the window's own and the tie, for every effect and event."""
        found = np.empty((len(batch.taus), known.size))
        for part in parts:
            for k, tau in enumerate(batch.taus):
                sums = part.sums + tau * part.unit
                tie = length * np.maximum(NOISE * np.maximum(part.size, np.abs(part.day + tau)), NEAR)
                found[k, part.at] = measure(sums, sums[:, -length, None], tie[:, None])
        return found.reshape(shape)

    extreme: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
        "greater": lambda sums, own, tie: at_least(sums, own, tie).mean(axis=1),
        "less": lambda sums, own, tie: at_most(sums, own, tie).mean(axis=1),
        "two-sided": lambda sums, own, tie: at_least(np.abs(sums), np.abs(own), tie).mean(axis=1),
    }
    rank = each(lambda sums, own, tie: 1.0 + below(sums, own, tie).sum(axis=1))
    return Answers(rank, lambda alternative: each(extreme[alternative]))


def _blocks(batch: Batch, at: Ints) -> Blocks:
    """Fit some events again, all with equally many estimation days."""
    assert batch.rows is not None
    assert batch.event_rows is not None
    draw, event = np.unravel_index(at, batch.car.shape)
    length, window = len(batch.window), batch.columns
    days = np.nonzero(batch.present[draw, event])[1].reshape(len(at), -1)
    there = np.take_along_axis(batch.residuals[draw, event], days, axis=1)
    values = np.concatenate([there, batch.ar[draw, event, window]], axis=1)
    rows = np.take_along_axis(batch.rows[draw, event], days[:, None], axis=2)
    design = np.concatenate([rows, batch.event_rows[draw, event][:, :, window]], axis=2)
    unit = orthonormal(design, design[:, :, :0], DEPENDENT)[0]
    effect, column = np.zeros(values.shape), days.shape[1] + batch.on - batch.window.start
    effect[:, column] = 1.0
    others = np.abs(np.delete(values, column, axis=1)).max(axis=1)
    return Blocks(
        at, _block_sums(_left(values, unit), length), _block_sums(_left(effect, unit), length), others, values[:, column]
    )  # fmt: skip


def _left(values: Floats, unit: Floats) -> Floats:
    """(B, T) what (B, C, T) orthonormal columns leave."""
    for j in range(unit.shape[1]):
        values = values - (unit[:, j] * values).sum(axis=1)[:, None] * unit[:, j]
    return values


def _block_sums(values: Floats, length: int) -> Floats:
    """(B, T) the sum of each block of ``length`` values, the first of them following the last."""
    around = np.concatenate([values, values[:, : length - 1]], axis=1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(around, length, axis=1).sum(axis=2))
