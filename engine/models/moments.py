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
    "not_converged": "the search for the model's coefficients did not end",
    "no_unconditional_sigma": "the variance equation has no unconditional sigma, or one a hundred times off the residuals'",
}


def benchmark_of(regressors: Floats) -> Floats:
    """The benchmark: the first regressor, (N, R) contiguous."""
    return np.ascontiguousarray(regressors[:, 0])


def total(rows: Floats) -> Floats:
    """Sums over the last axis."""
    return np.asarray(np.ascontiguousarray(rows).sum(axis=-1))


def how_many(present: Bools) -> Ints:
    """(N,) how many of each row are there, eight at a time."""
    return np.asarray(np.bitwise_count(np.packbits(present, axis=-1)).sum(axis=-1, dtype=np.int64))


def at_least_one(n: Ints) -> Floats:
    """Counts to divide by."""
    return np.maximum(n, 1).astype(np.float64)


def over(sums: Floats, dof: Ints) -> Floats:
    """sums / dof, NaN where there is no degree of freedom."""
    return sums / np.where(dof > 0, dof, np.nan)


def deviations(values: Floats, present: Bools, n: Ints) -> tuple[Floats, Floats, Floats]:
    """Mean over the present rows; deviations from it, zero in the missing rows; and the sum of squared deviations
    that rounding alone can leave in a constant series."""
    complete = bool(present.all())  # as most batches are: the same numbers with fewer passes over the rows
    kept = values if complete else np.where(present, values, 0.0)
    mean = total(kept) / at_least_one(n)
    noise = (4 * EPS) ** 2 * total(kept * kept)
    deviation = kept - mean[:, None]
    if not complete:
        deviation *= present
    return mean, deviation, noise


def reasons(dof: Ints, **cases: Bools) -> npt.NDArray[np.str_]:
    """The first case that holds for each event, "" for none; too few rows comes before all."""
    found = np.full(len(dof), "", dtype="U24")
    for reason, holds in reversed(cases.items()):
        found[holds] = reason
    found[dof < 1] = "no_degrees_of_freedom"
    return found
