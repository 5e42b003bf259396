"""A straight line that least squares did not draw: its residuals, its spread, and the market model's V."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from engine.models.fits import REFIT, NormalFits
from engine.models.moments import EPS, Bools, benchmark_of, counted, deviations, over, reasons, total

Floats = npt.NDArray[np.float64]


def along(
    returns: Floats,
    regressors: Floats,
    event_regressors: Floats,
    ols: NormalFits,
    slope: Floats,
    above: Floats,
    refused: Mapping[str, Bools],
) -> NormalFits:
    """The fits of R_it = a + b R_mt + e_it with b = ``slope`` and a = mean(R) - b mean(R_m) + ``above``, (N,) each.

    ols: the market model of the same events, whose rows, degrees of freedom M - 2 and V stay. sigma^2 = RSS of this line
    / (M - 2). refused: reason -> the events whose line cannot be used.
    """
    benchmark, event_benchmark = benchmark_of(regressors), benchmark_of(event_regressors)
    present = np.isfinite(returns) & np.isfinite(benchmark)
    missing = counted(present)[1]
    x_mean, dx, _, _ = deviations(benchmark, missing, ols.n_obs)
    y_mean, dy, syy, _ = deviations(returns, missing, ols.n_obs)
    residuals = np.where(present, dy - slope[:, None] * dx - above[:, None], np.nan)
    rss = total(np.where(present, residuals, 0.0) ** 2)
    s2 = over(rss, ols.dof)
    exact = ~(s2 > EPS * syy)
    degenerate = np.where(ols.degenerate == "", reasons(ols.dof, **refused, exact_fit=exact), ols.degenerate)
    return NormalFits(
        names=ols.names,
        coefficients=np.stack([y_mean + above - slope * x_mean, slope], axis=1),
        n_obs=ols.n_obs,
        dof=ols.dof,
        sigma=np.sqrt(s2),
        r2=1 - rss / np.where(syy > 0, syy, np.nan),
        residuals=residuals,
        expected=(y_mean + above)[:, None] + slope[:, None] * (event_benchmark - x_mean[:, None]),
        forecast_basis=ols.forecast_basis,
        degenerate=degenerate,
        lacks={REFIT: "fits again by least squares, as this model does not"},
    )
