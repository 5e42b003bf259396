"""Ranks of rows in which some values move: only pairs of values that may change their order are compared again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.ties import at_least, at_most, below

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BLOCK = 256  # rows that are looked at together: they stay in the processor's cache


@dataclass(frozen=True)
class Moving:
    """N rows of D ranked values, of which L may move within bounds, and the P pairs of one that moves and one that does not
    whose order that may change.

    low, high: (N, L) the bounds. among: (N, L) the rank of each that moves among those that do not, 0.5 less than if it were one
    of them. value, day: (P,) the one that does not move and its column; seat: (P,) the other, into N L; twice: (P,) how often
    the first is below the other as ranked, 1 for equal, else 0 or 2; slope: (P,) of its row.
    """

    low: Floats
    high: Floats
    among: Floats
    days: int
    value: Floats
    day: Ints
    seat: Ints
    twice: npt.NDArray[np.int8]
    slope: Floats

    def covers(self, new: Floats) -> bool:
        """Whether new (N, L) values are within the bounds; NaN, for none, is."""
        return not ((new < self.low) | (new > self.high)).any()

    def ranks(self, new: Floats) -> tuple[Floats, Floats]:
        """By how much sum_i slope_i rank_it moves (D,) where nothing else does, and the ranks (N, L) of the new values."""
        moved = _twice(self.value, new.ravel()[self.seat]) - self.twice
        lifted = np.asarray(np.bincount(self.day, self.slope * moved, self.days) * -0.5)
        own = self.among + 0.5 * np.bincount(self.seat, moved, new.size).reshape(new.shape)
        return lifted, own + among_themselves(new)


def moving(values: Floats, ranks: Floats, columns: slice, slope: Floats, low: Floats, high: Floats) -> Moving:
    """values, ranks: (N, D), NaN where there is none; low, high: (N, L) bounds of ``columns``, which holds theirs now."""
    width, now = values.shape[1], values[:, columns]
    length = now.shape[1]
    cells, seats = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for begin in range(0, len(values), BLOCK):
        block = slice(begin, begin + BLOCK)
        rows = values[block]
        for k in range(length):
            near = at_least(rows, low[block, k, None])
            near &= at_most(rows, high[block, k, None])
            near[:, columns] = False
            cells.append(np.flatnonzero(near) + begin * width)
            seats.append((cells[-1] // width) * length + k)
    cell, seat = np.concatenate(cells), np.concatenate(seats)
    value = values.ravel()[cell]
    return Moving(
        low, high, ranks[:, columns] - among_themselves(now), width, value, cell % width, seat,
        _twice(value, now.ravel()[seat]), slope[seat // length],
    )  # fmt: skip


def among_themselves(values: Floats) -> Floats:
    """(N, L) mid-ranks less 1/2 within rows of a few values."""
    each, other = values[:, None, :], values[:, :, None]
    return np.asarray(0.5 * (below(each, other).sum(axis=2) + at_most(each, other).sum(axis=2)))


def _twice(value: Floats, other: Floats) -> npt.NDArray[np.int8]:
    lower, upto = below(value, other), at_most(value, other)
    return np.asarray(lower.view(np.int8) + upto.view(np.int8))
