"""Means and spreads of abnormal returns by group, part by part: joined in the order of the parts, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.abnormal import Averages
from engine.ties import above

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """Of N rows of L values by column: how many are there (L,), their mean, and the sum of squared deviations from it.

    positive: (L,) how many are above zero. running: the same of the sums from the first column on.
    """

    n: Ints
    mean: Floats
    squares: Floats
    positive: Ints
    running: tuple[Ints, Floats, Floats]

    def joined(self, other: Moments) -> Moments:
        """Both samples as one. Chan, Golub & LeVeque (1983), eq. 1.5."""
        mine, its = (self.n, self.mean, self.squares), (other.n, other.mean, other.squares)
        return Moments(*_joined(mine, its), self.positive + other.positive, _joined(self.running, other.running))

    def averages(self) -> Averages:
        """AAR and CAAR, as `abnormal.average` makes them from all rows at once."""
        n, aar = self.n, np.where(self.n > 0, self.mean, np.nan)
        share = np.where(n > 0, self.positive / np.maximum(n, 1), np.nan)
        return Averages(n, aar, np.cumsum(aar), _error(n, self.squares), _error(*self.running[::2]), share)


def moments_of(ar: Floats, groups: npt.NDArray[np.int32], compiled: bool) -> dict[int, Moments]:
    """The moments (L,) of each group of (N, L) abnormal returns. groups: (C, N), -1 for none; a group stands in one row.

    compiled: whether they are summed by `fused_moments`.
    """
    if compiled:
        return _compiled(ar, groups)
    running = np.cumsum(ar, axis=1)
    made = {}
    for column in groups:
        for group in np.flatnonzero(np.bincount(column[column >= 0])).tolist():
            members = np.flatnonzero(column == group)
            rows = ar[members] if len(members) < len(ar) else ar
            sums = running[members] if len(members) < len(ar) else running
            made[group] = Moments(
                *_of(rows), np.where(np.isfinite(rows), above(rows, 0.0), False).sum(axis=0), _of(sums)
            )
    return made


def _compiled(ar: Floats, groups: npt.NDArray[np.int32]) -> dict[int, Moments]:
    from engine.scale.fused_moments import moments

    made = {}
    for column in groups:
        held = np.flatnonzero(np.bincount(column[column >= 0]))
        room = len(held), ar.shape[1]
        n, positive, run_n = np.zeros((3, *room), np.int64)
        mean, squares, run_mean, run_squares = np.zeros((4, *room))
        places = np.where(column >= 0, np.searchsorted(held, column), -1)
        moments(ar, places, n, mean, squares, positive, run_n, run_mean, run_squares)
        for g, group in enumerate(held.tolist()):
            made[group] = Moments(n[g], mean[g], squares[g], positive[g], (run_n[g], run_mean[g], run_squares[g]))
    return made


def _of(rows: Floats) -> tuple[Ints, Floats, Floats]:
    present = np.isfinite(rows)
    n = present.sum(axis=0)
    mean = np.where(present, rows, 0.0).sum(axis=0) / np.maximum(n, 1)
    return n, mean, (np.where(present, rows - mean, 0.0) ** 2).sum(axis=0)


def _joined(a: tuple[Ints, Floats, Floats], b: tuple[Ints, Floats, Floats]) -> tuple[Ints, Floats, Floats]:
    n = a[0] + b[0]
    apart, share = b[1] - a[1], b[0] / np.maximum(n, 1)
    return n, a[1] + apart * share, a[2] + b[2] + apart * apart * a[0] * share


def _error(n: Ints, squares: Floats) -> Floats:
    """sd / sqrt(n), ddof 1; NaN below two."""
    return np.asarray(np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1)), np.nan))
