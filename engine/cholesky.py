"""Symmetric positive definite systems without a library of linear algebra: sums run in one order on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.orthonormal import back_substituted

Floats = npt.NDArray[np.float64]


def cholesky(matrices: Floats, dependent: float) -> Floats:
    """L (N, k, k) lower triangular with L L' = A, for N matrices A at once, column by column.

    matrices: (N, k, k) symmetric. dependent: a column of whose diagonal the columns before it leave no larger share than
    this is a combination of them; its diagonal of L, and what comes after, is NaN. Golub & Van Loan (2013), section 4.2.
    """
    n, k, _ = matrices.shape
    lower = np.zeros((n, k, k))
    for j in range(k):
        left = matrices[:, j:, j] - (lower[:, j:, :j] * lower[:, j : j + 1, :j]).sum(axis=2)
        own = left[:, 0] > dependent * matrices[:, j, j]
        lower[:, j:, j] = left / np.sqrt(np.where(own, left[:, 0], np.nan))[:, None]
    return lower


def forward_substituted(lower: Floats, right: Floats) -> Floats:
    """Solve L x = r for every system; lower: (N, k, k), right: (N, k)."""
    solved = right.copy()
    for j in range(right.shape[1]):
        solved[:, j] -= (lower[:, j, :j] * solved[:, :j]).sum(axis=1)
        solved[:, j] /= lower[:, j, j]
    return solved


def solve(matrices: Floats, right: Floats, dependent: float) -> Floats:
    """x (N, k) with A x = r, by `cholesky`; NaN where a column of A is a combination of the others."""
    lower = cholesky(matrices, dependent)
    return back_substituted(np.swapaxes(lower, 1, 2), forward_substituted(lower, right))
