"""Sums, means and deviations over each event's own rows, and why a fit cannot be used.

Sums run over the contiguous axis, so an event's numbers do not depend on the batch it is in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
EPS = float(np.finfo(np.float64).eps)
# Of the root mean square of a series: a smaller spread is none. A return made of two prices is rounded by 1e-16 at any size, so
# that equal returns of 1e-5 differ by 1e-11 of themselves, and which of them do is up to the processor.
NOISE = 1e-10
# Why a fit cannot be used, in words.
DEGENERATE = {
    "constant_returns": "the listing's returns do not vary",
    "constant_benchmark": "the benchmark's returns do not vary, so there is no beta",
    "constant_factor": "the benchmark or a factor does not vary, so it has no beta",
    "collinear_factors": "one of benchmark and factors is a combination of the others, so their betas cannot be told apart",
    "exact_fit": "the model fits without residual, so there is no variance to test against",
    "no_degrees_of_freedom": "too few for the model's coefficients",
    "too_few_neighbours": "too few of them have the benchmark's days before and after for the corrected beta",
    "collinear_neighbours": "the benchmark's days before and after are combinations of each other",
    "undefined_beta": "the benchmark's days undo each other (1 + 2 rho = 0), so the corrected beta is not defined",
    "too_few_for_variance": "too few for the variance equation",
    "not_converged": "the search for the model's coefficients did not end at the best fit",
    "no_unconditional_sigma": "the variance equation has no unconditional sigma, or one a hundred times off the residuals'",
}


def benchmark_of(regressors: Floats) -> Floats:
    """The benchmark: the first regressor, (N, R) contiguous."""
    return np.ascontiguousarray(regressors[:, 0])


def total(rows: Floats) -> Floats:
    """Sums over the last axis."""
    return np.asarray(np.ascontiguousarray(rows).sum(axis=-1))


def at_least_one(n: Ints) -> Floats:
    """Counts to divide by."""
    return np.maximum(n, 1).astype(np.float64)


def over(sums: Floats, dof: Ints) -> Floats:
    """sums / dof, NaN where there is no degree of freedom."""
    return sums / np.where(dof > 0, dof, np.nan)


def counted(present: Bools) -> tuple[Ints, Ints]:
    """(N,) how many rows of (N, R) are present; and the places of the others, one event's rows after another's.

    Few are missing: what is done to those alone costs nothing.
    """
    n, rows = present.shape
    missing = np.flatnonzero(~present)
    return rows - np.bincount(missing // max(rows, 1), minlength=n), missing


def put(rows: Floats, missing: Ints, value: float) -> None:
    """Set the missing rows, places as of `counted`, of contiguous (N, R)."""
    rows.reshape(-1)[missing] = value


def deviations(values: Floats, missing: Ints, n: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean over the n rows that are not missing (`counted`); deviations from it, zero in the missing rows; the sum of their
    squares; and what of that rounding alone can leave in a constant series, with a margin."""
    deviation = np.array(values, np.float64, order="C")
    put(deviation, missing, 0.0)
    mean = total(deviation) / at_least_one(n)
    deviation -= mean[:, None]
    put(deviation, missing, 0.0)
    squares = total(deviation * deviation)
    return mean, deviation, squares, NOISE**2 * (squares + n * mean * mean)


def reasons(dof: Ints, **cases: Bools) -> npt.NDArray[np.str_]:
    """The first case that holds for each event, "" for none; too few rows comes before all."""
    found = np.full(len(dof), "", dtype="U24")
    for reason, holds in reversed(cases.items()):
        found[holds] = reason
    found[dof < 1] = "no_degrees_of_freedom"
    return found
