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
    number of that. counterparts: (C, C, S) the position on a second calendar of each session of a first, -1 for none.
    """

    residuals: Floats
    first: Ints
    calendar: Ints
    counterparts: Ints


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
        if not len(self.draw):
            return self._mean(self.value)
        a, b = window_days[self.draw, self.one], window_days[self.draw, self.other]
        share = np.zeros(len(a))
        for day in a.T:
            share += (day[:, None] == b).any(axis=1)
        return self._mean(self.value * share / window_days.shape[2])

    def _mean(self, values: Floats) -> Floats:
        total = self.blocks + np.bincount(self.draw, weights=values, minlength=len(self.blocks))
        return np.maximum(total / max(self.n * (self.n - 1) / 2, 1), 0.0)


def correlations(placed: Placed, spans: tuple[Ints, Ints]) -> Correlations:
    """The correlations of all pairs whose spans meet.

    spans: (D, N) the first and the last day number of each event's estimation window; or of its event window, where only
    pairs with common window days count.
    """
    from engine.significance.batch.compiled import correlate, meeting

    n = placed.residuals.shape[1]
    block = _blocks(placed)
    none = np.empty(0, np.int64)
    pairs = np.empty((3, meeting(*spans, block, none, none, none)), np.int64)
    meeting(*spans, block, *pairs)
    draw, one, other = pairs
    value = np.zeros(len(draw))
    correlate(placed.residuals, placed.first, placed.counterparts, placed.calendar, draw, one, other, value)
    return Correlations(n, _block_sums(placed.residuals, block), draw, one, other, value)


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


def _block_sums(residuals: Floats, block: Ints) -> Floats:
    """(D,) the sum of the correlations of all pairs within a block; a series without spread has none."""
    found = np.zeros(len(residuals))
    draw, event = np.nonzero(block >= 0)
    if not len(draw):
        return found
    order = np.argsort(block[draw, event], kind="stable")
    draw, event = draw[order], event[order]
    rows = residuals[draw, event]
    known = np.isfinite(rows)
    centred = np.where(known, rows - (np.where(known, rows, 0.0).sum(axis=1) / known.sum(axis=1))[:, None], 0.0)
    length = np.sqrt((centred**2).sum(axis=1))
    unit = centred / np.where(length > 0, length, 1.0)[:, None]
    starts = np.flatnonzero(np.diff(block[draw, event], prepend=-1))
    together = (np.add.reduceat(unit, starts, axis=0) ** 2).sum(axis=1)
    alone = np.add.reduceat((length > 0).astype(np.float64), starts)
    np.add.at(found, draw[starts], (together - alone) / 2)
    return found
