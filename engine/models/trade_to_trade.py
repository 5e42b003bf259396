"""Trade-to-trade returns: linear models of returns that run over as many sessions as passed between two prices.

r_n = ln(P_t / P_s) over n sessions, f_n the sums of the factors' log returns over the same. r_n = alpha n + sum_j beta_j f_nj + e
with Var e = n sigma^2, hence least squares of r_n/sqrt(n) on sqrt(n) and f_n/sqrt(n). sigma is that of one session, a residual is
e/sqrt(n), and over the rows of a window Var(AR) = sigma^2 (n + x'(X'X)^-1 x), x = (n, f_n). Maynes & Rumsey (1993), eq. 4-6;
Dyckman, Philbrick & Stephan (1984) on the alternatives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from engine.models.fits import REFIT, NormalFits
from engine.models.moments import EPS, NOISE, over, reasons, total
from engine.orthonormal import back_substituted, orthonormal

Floats = npt.NDArray[np.float64]
DEPENDENT = 1e-12  # of a column's squared length left by the columns before it: less is rounding


def bridged_fit(
    returns: Floats, regressors: Floats, event_regressors: Floats, constant: bool, slopes: bool, benchmark: bool
) -> NormalFits:
    """One of `BRIDGED`: with alpha, with betas, or with the benchmark as it is.

    returns: (N, R); regressors: (N, 1 + K, R) and (N, 1 + K, L), first the sessions n that each return covers, then
    benchmark and factors over the same sessions; NaN on a session without a price.
    """
    spans, event_spans = regressors[:, 0], event_regressors[:, 0]
    used = regressors[:, 1:] if slopes else regressors[:, 1 : 1 + benchmark]
    ahead = event_regressors[:, 1:] if slopes else event_regressors[:, 1 : 1 + benchmark]
    present = np.isfinite(returns) & np.isfinite(spans) & np.isfinite(used).all(axis=1)
    root = np.where(present, np.sqrt(np.where(present, spans, 1.0)), 1.0)
    y = np.where(present, (returns if slopes or not benchmark else returns - used[:, 0]) / root, 0.0)
    scaled = np.where(present[:, None], used / root[:, None], 0.0)
    days = np.where(present, root, 0.0)[:, None]
    columns = np.concatenate([days, scaled], axis=1) if slopes else days
    rows = np.concatenate([event_spans[:, None], ahead], axis=1) if slopes else event_spans[:, None]
    unit, upper, basis = orthonormal(columns, rows, DEPENDENT)
    shares = np.stack([total(unit[:, j] * y) for j in range(columns.shape[1])], axis=1)
    left, first = y, None
    for j in range(columns.shape[1]):
        left = left - shares[:, j, None] * unit[:, j]
        first = left if first is None else first
    k = columns.shape[1] if constant else 0
    n = present.sum(axis=1)
    rss, around, size = total(left * left), total(first * first) if first is not None else total(y * y), total(y * y)
    dof = n - max(k, 1)
    s2 = over(rss, dof)
    expected = ahead[:, 0].copy() if not constant and benchmark else np.zeros(event_spans.shape)
    for j in range(k):
        expected = expected + shares[:, j, None] * basis[:, j]
    names = ("alpha", *(f"beta_{j}" for j in range(k - 1))) if k else ()
    return NormalFits(
        names=names,
        coefficients=back_substituted(upper, shares)[:, :k],
        n_obs=n,
        dof=dof,
        sigma=np.sqrt(s2),
        r2=1 - rss / np.where(around > 0, around, np.nan) if k else np.full(len(n), np.nan),
        residuals=np.where(present, left if constant else y, np.nan),
        expected=np.where(np.isfinite(event_spans), expected, np.nan),
        forecast_basis=basis.transpose(0, 2, 1)[:, :, :k],
        degenerate=reasons(
            dof,
            constant_returns=around <= NOISE**2 * size,
            collinear_factors=np.asarray(np.isnan(upper).any(axis=(1, 2))),
            exact_fit=~(s2 > EPS * size),
        ),
        lacks={REFIT: "fits again on returns of one session, and some of these run over several"},
        spans=event_spans,
    )


BRIDGED: dict[str, Callable[[Floats, Floats, Floats], NormalFits]] = {
    "market": partial(bridged_fit, constant=True, slopes=True, benchmark=True),
    "factor": partial(bridged_fit, constant=True, slopes=True, benchmark=True),
    "mean_adjusted": partial(bridged_fit, constant=True, slopes=False, benchmark=False),
    "market_adjusted": partial(bridged_fit, constant=False, slopes=False, benchmark=True),
    "matched": partial(bridged_fit, constant=False, slopes=False, benchmark=True),
    "raw": partial(bridged_fit, constant=False, slopes=False, benchmark=False),
}
