"""Mean residual correlations of many samples at once: every pair of events whose estimation windows share days.

Events of one calendar on one day with complete histories form a block, whose correlations add up to (|sum z|^2 - n)/2 with
z their residuals, demeaned and of unit length; the other pairs are looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Placed:
    """Where the residuals of D samples of N events lie in time.

    residuals: (D, N, R), NaN where missing. first: (D, N) the position of column 0 on the event's calendar. calendar: (N,) the
    number of that. common: (C, S) the position of each session of a calendar among the days of all.
    """

    residuals: Floats
    first: Ints
    calendar: Ints
    common: Ints


@dataclass(frozen=True)
class Correlations:
    """Of D samples: blocks: (D,) sums within blocks. draw, one, other, value: (P,) the pairs outside them."""

    n: int
    blocks: Floats
    draw: Ints
    one: Ints
    other: Ints
    value: Floats

    def mean(self) -> Floats:
        """(D,) the mean over all pairs of events, at least 0 (`parametric.mean_residual_correlation`)."""
        return self._mean(self.value)

    def mean_shared(self, window_days: Ints) -> Floats:
        """(D,) the same times the share of (D, N, L) window days in common (`dependence.mean_shared_correlation`)."""
        from engine.significance.batch.compiled import days_in_common

        same = np.zeros(len(self.draw))
        days_in_common(window_days, self.draw, self.one, self.other, same)
        return self._mean(self.value * same / window_days.shape[2])

    def _mean(self, values: Floats) -> Floats:
        total = self.blocks + np.bincount(self.draw, weights=values, minlength=len(self.blocks))
        return np.maximum(total / max(self.n * (self.n - 1) / 2, 1), 0.0)


def correlations(placed: Placed, spans: tuple[Ints, Ints]) -> Correlations:
    """The correlations of all pairs whose spans meet.

    spans: (D, N) the first and the last day number of each event's estimation window; or of its windows, where only
    pairs with common window days count.
    """
    from engine.significance.batch.compiled import correlate, lay, meeting, within_blocks

    n, rows = placed.residuals.shape[1:]
    start, end = (
        placed.common[placed.calendar, np.clip(at, 0, placed.common.shape[1] - 1)]
        for at in (placed.first, placed.first + rows - 1)
    )
    values, there = np.zeros((2, *start.shape, int((end - start).max()) + 1))
    lay(placed.residuals, placed.first, placed.calendar, placed.common, start, values, there)
    block = _blocks(placed)
    none = np.empty(0, np.int64)
    pairs = np.empty((3, meeting(*spans, block, none, none, none)), np.int64)
    meeting(*spans, block, *pairs)
    draw, one, other = pairs
    value, blocks = np.zeros(len(draw)), np.zeros(len(values))
    correlate(values, there, start, draw, one, other, value)
    within_blocks(values, block, blocks)
    return Correlations(n, blocks, draw, one, other, value)


def _blocks(placed: Placed) -> Ints:
    """(D, N) which block each event is in, numbered over all samples; -1 for one with missing days or alone."""
    known = np.isfinite(placed.residuals)
    count, start = known.sum(axis=2), known.argmax(axis=2)
    end = known.shape[2] - known[:, :, ::-1].argmax(axis=2)
    whole = (count == end - start) & (count >= 3)
    draw = np.broadcast_to(np.arange(len(known))[:, None], count.shape)
    calendar = np.broadcast_to(placed.calendar, count.shape)
    key = np.zeros(count.shape, np.int64)  # one number for all five: whole rows sort a hundred times slower
    for part in (draw, calendar, placed.first - placed.first.min(), start, end):
        key = key * (int(part.max()) + 1) + part
    _, label, size = np.unique(key, return_inverse=True, return_counts=True)
    complete = np.bincount(label.ravel(), weights=(~whole).ravel(), minlength=len(size)) == 0
    return np.where((size[label] > 1) & complete[label], label, -1)
