"""A user's own model: what a function of theirs expects and leaves of one event's returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from engine.models.fits import COVARIANCE, REFIT, NormalFits
from engine.models.moments import counted, deviations, over, reasons

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
FEWEST = 3  # estimation rows below which the function is not called
NONE = "a model of the user's own states no forecast covariance, so a CAR has no standard error"


def custom(returns: Floats, regressors: Floats, event_regressors: Floats, *, function: Function) -> NormalFits:
    """A user's function: (expected, residuals) = function(returns, regressors, event_regressors), for each event by itself.

    returns: (M,) the estimation rows that hold a return and all regressors, oldest first, gaps closed. regressors: (K, M)
    benchmark and factors of those rows. event_regressors: (K, D) of the event-window days on which they are known.
    expected: (D,); residuals: (M,) the estimation-window abnormal returns. sigma^2 = var(residuals, ddof 1), dof = M - 1, no
    V. The design follows MacKinlay (1997), section 4, where any model of the normal return can stand.
    """
    present = np.asarray(np.isfinite(returns) & np.isfinite(regressors).all(axis=1))
    known = np.asarray(np.isfinite(event_regressors).all(axis=1))
    n, missing = counted(present)
    residuals = np.full(returns.shape, np.nan)
    expected = np.full(known.shape, np.nan)
    for i in np.flatnonzero(n >= FEWEST).tolist():
        there, ahead = present[i], known[i]
        expected[i, ahead], residuals[i, there] = function(
            returns[i, there].copy(), regressors[i][:, there].copy(), event_regressors[i][:, ahead].copy()
        )
    without = counted(np.isfinite(residuals))[1]
    ss, noise = deviations(residuals, without, n)[2], deviations(returns, missing, n)[3]
    events, length = returns.shape[0], event_regressors.shape[2]
    return NormalFits(
        names=(),
        coefficients=np.empty((events, 0)),
        n_obs=n,
        dof=n - 1,
        sigma=np.sqrt(over(ss, n - 1)),
        r2=np.full(events, np.nan),
        residuals=residuals,
        expected=expected,
        forecast_basis=np.full((events, length, 1), np.nan),
        degenerate=reasons(np.where(n >= FEWEST, n - 1, 0), exact_fit=ss <= noise),
        lacks={COVARIANCE: NONE, REFIT: "fits again by least squares, as a model of the user's own does not"},
    )
