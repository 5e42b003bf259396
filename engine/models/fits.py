"""What every model hands on: coefficients, residual spread, and what the forecast-error covariance needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# What a fit may lack, and with it the tests that need it.
COVARIANCE, REFIT, PSEUDO_DATES = "covariance", "refit", "pseudo_dates"


@dataclass(frozen=True)
class NormalFits:
    """The fitted expected-return model of N events with C coefficients, R estimation rows and L event rows.

    names: the coefficient names, as in ``fits.csv``.
    coefficients: (N, C).
    n_obs: (N,) non-missing estimation rows M. dof: (N,) M - k for k regressors, or M - 1 where k = 0.
    sigma: (N,) sqrt(RSS / dof), in units of return, or what the model says in its place.
    r2: (N,) share of variance explained, NaN for models that estimate nothing.
    residuals: (N, R) estimation-window abnormal returns, NaN where missing.
    expected: (N, L) expected return of each event row.
    forecast_basis: (N, L, B) with V = I + B B', the forecast-error covariance over sigma^2; NaN where there is none.
    degenerate: (N,) "" or why the fit cannot be used.
    lacks: what the model does not give, and why: `COVARIANCE` of the forecast, a `REFIT` by least squares, fits at
        `PSEUDO_DATES`. Tests that need it are unavailable.
    spans: (N, L) sessions that the return of each event row covers, NaN without one; None where that is one session for all.
    """

    names: tuple[str, ...]
    coefficients: Floats
    n_obs: npt.NDArray[np.int64]
    dof: npt.NDArray[np.int64]
    sigma: Floats
    r2: Floats
    residuals: Floats
    expected: Floats
    forecast_basis: Floats
    degenerate: npt.NDArray[np.str_]
    lacks: Mapping[str, str] = field(default_factory=dict)
    spans: Floats | None = None

    def take(self, chosen: npt.NDArray[np.int64]) -> NormalFits:
        """The fits of the chosen events, in that order."""
        return NormalFits(
            self.names,
            self.coefficients[chosen],
            self.n_obs[chosen],
            self.dof[chosen],
            self.sigma[chosen],
            self.r2[chosen],
            self.residuals[chosen],
            self.expected[chosen],
            self.forecast_basis[chosen],
            self.degenerate[chosen],
            self.lacks,
            None if self.spans is None else self.spans[chosen],
        )


def assemble(parts: Sequence[tuple[npt.NDArray[np.int64] | slice, slice, NormalFits]], n: int, rows: int) -> NormalFits:
    """Join batches of events into one set of fits; residuals go to their own columns of ``rows``, NaN elsewhere."""
    first = parts[0][2]
    event_rows = first.expected.shape[1]
    joined = NormalFits(
        names=first.names,
        coefficients=np.empty((n, len(first.names))),
        n_obs=np.empty(n, np.int64),
        dof=np.empty(n, np.int64),
        sigma=np.empty(n),
        r2=np.empty(n),
        residuals=np.full((n, rows), np.nan),
        expected=np.empty((n, event_rows)),
        forecast_basis=np.empty((n, event_rows, first.forecast_basis.shape[2])),
        degenerate=np.empty(n, first.degenerate.dtype),
        lacks=first.lacks,
        spans=None if first.spans is None else np.empty((n, event_rows)),
    )
    for chosen, columns, fitted in parts:
        for name in ("coefficients", "n_obs", "dof", "sigma", "r2", "expected", "forecast_basis", "degenerate"):
            getattr(joined, name)[chosen] = getattr(fitted, name)
        joined.residuals[chosen, columns] = fitted.residuals
        if joined.spans is not None:
            joined.spans[chosen] = fitted.spans
    return joined
