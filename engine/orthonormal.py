"""Columns made orthonormal one after the other, for every least-squares fit of several regressors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def orthonormal(columns: Floats, ahead: Floats, dependent: float) -> tuple[Floats, Floats, Floats]:
    """Gram-Schmidt, twice, on the K columns of N fits at once: X = Q R, and the same steps on further rows.

    columns: (N, K, M). ahead: (N, K, L) the columns in rows that are forecast. dependent: a column of whose squared length
    the columns before it leave no larger share than this is a combination of them.
    Returns Q (N, K, M), R (N, K, K) upper triangular, and B (N, K, L) with V = I + B'B for the rows ahead; where a column is
    dependent Q is zero, and the diagonal of R and B are NaN. Sums run over the contiguous axis, so that neither a library
    of linear algebra nor the batch changes a digit. Giraud, Langou, Rozloznik & van den Eshof (2005): twice is enough.
    """
    unit, basis = columns.copy(), ahead.copy()
    n, k, _ = columns.shape
    upper = np.zeros((n, k, k))
    for j in range(k):
        left, beyond = columns[:, j], ahead[:, j]
        before = _sum(left * left)
        for _ in range(2):
            for i in range(j):
                share = _sum(unit[:, i] * left)
                upper[:, i, j] += share
                left = left - share[:, None] * unit[:, i]
                beyond = beyond - share[:, None] * basis[:, i]
        size = _sum(left * left)
        own = size > dependent * before
        length = np.sqrt(np.where(own, size, np.nan))
        upper[:, j, j] = length
        unit[:, j] = np.where(own[:, None], left / length[:, None], 0.0)
        basis[:, j] = beyond / length[:, None]
    return unit, upper, basis


def back_substituted(upper: Floats, right: Floats) -> Floats:
    """Solve R b = r for every event; upper: (N, k, k), right: (N, k)."""
    solved = right.copy()
    for j in reversed(range(right.shape[1])):
        for i in range(j + 1, right.shape[1]):
            solved[:, j] -= upper[:, j, i] * solved[:, i]
        solved[:, j] /= upper[:, j, j]
    return solved


def _sum(rows: Floats) -> Floats:
    return np.asarray(np.ascontiguousarray(rows).sum(axis=-1))
