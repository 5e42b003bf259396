"""The moments of very many rows by group, compiled; imported late."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

from engine.ties import NEAR


@numba.njit(nogil=True, cache=True, error_model="numpy")
def moments(ar, places, n, mean, squares, positive, run_n, run_mean, run_squares):
    """The sums of `moments.Moments`, (G, L) each and zero before, of (N, L) returns. places: (N,) of the groups, or -1."""
    events, length = ar.shape
    for e in range(events):
        g, run = places[e], 0.0
        if g < 0:
            continue
        for t in range(length):
            value = ar[e, t]
            run += value
            if np.isfinite(value):
                n[g, t] += 1
                mean[g, t] += value
                positive[g, t] += value > NEAR
            if np.isfinite(run):
                run_n[g, t] += 1
                run_mean[g, t] += run
    for g in range(n.shape[0]):
        for t in range(length):
            mean[g, t] /= max(n[g, t], 1)
            run_mean[g, t] /= max(run_n[g, t], 1)
    for e in range(events):
        g, run = places[e], 0.0
        if g < 0:
            continue
        for t in range(length):
            value = ar[e, t]
            run += value
            if np.isfinite(value):
                squares[g, t] += (value - mean[g, t]) ** 2
            if np.isfinite(run):
                run_squares[g, t] += (run - run_mean[g, t]) ** 2
