"""The regression of CARs on attributes of their events, with the covariance that fits how their errors hang together.

car_i = x_i'b + e_i by least squares, or weighted by 1 / se_i^2, the inverse of the CAR's forecast variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.crosssection.covariance import COVARIANCES, Spread
from engine.crosssection.design import Design, dependent_columns
from engine.crosssection.fitting import CrossSample, Fitted, fit_cars
from engine.significance.sample import interval, t_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Coefficients:
    """The answers for one specification, window and covariance: (k,) arrays by term, or why there are none.

    r2: 1 - RSS / TSS of the weighted problem, TSS about the weighted mean where the terms hold a constant, else about 0.
    t = estimate / se; p_value, ci_low, ci_high two-sided from ``distribution``. n: events used, lost: events without a
    value of an attribute. unavailable: one a term; ``names`` is ("",) where there is no regression at all.
    """

    covariance: str
    names: tuple[str, ...]
    estimate: Floats
    se: Floats
    t: Floats
    p_value: Floats
    ci_low: Floats
    ci_high: Floats
    distribution: str
    n: int
    lost: int
    r2: float
    clusters: int
    note: str
    unavailable: tuple[str, ...]


def regress(sample: CrossSample, design: Design, covariances: list[str]) -> list[Coefficients]:
    """One answer for each of ``covariances`` (`COVARIANCES`); every event that is not complete has left with a count."""
    used = np.flatnonzero(design.complete)
    lost = sum(design.lost.values())
    said = "; ".join(f"{count} without {column}" for column, count in design.lost.items())
    reason = _reason(sample, design, used)
    if reason:
        return [_nothing(c, len(used), lost, reason, said) for c in covariances]
    fitted = fit_cars(sample, design, used)
    if not np.sqrt((fitted.fit.wresid**2).mean()) > 1e-12 * np.sqrt((fitted.fit.model.wendog**2).mean()):
        return [_nothing(c, len(used), lost, "the terms fit the CARs without residual", said) for c in covariances]
    return [_coefficients(c, fitted, COVARIANCES[c](fitted), lost, said) for c in covariances]


def _reason(sample: CrossSample, design: Design, used: Ints) -> str:
    """Why there is no regression, "" if there is."""
    n, k = len(used), len(design.names)
    if n <= k:
        return f"needs more events than terms, has {n} for {k}"
    collinear = dependent_columns(design)
    if collinear:
        return f"{', '.join(collinear)}: a combination of the terms before, so its effect cannot be told apart"
    if sample.weighted and not (np.isfinite(sample.car_se[used]).all() and (sample.car_se[used] > 0).all()):
        return "an event has no forecast variance to weight it by"
    return ""


def _coefficients(covariance: str, fitted: Fitted, spread: Spread, lost: int, said: str) -> Coefficients:
    estimate = fitted.estimate
    silent = np.array([bool(reason) for reason in spread.unavailable])
    se = np.where(silent, np.nan, spread.se)
    if spread.p_value is not None:
        p, low, high = spread.p_value, np.full(len(se), np.nan), np.full(len(se), np.nan)
    else:
        p = t_p(estimate / se, max(spread.dof, 1), "two-sided")
        bounds = [interval(b, s, fitted.sample.alpha, max(spread.dof, 1)) for b, s in zip(estimate, se, strict=True)]
        low, high = np.array(bounds).T
    note = "; ".join(part for part in (spread.note, said) if part)
    return Coefficients(
        covariance, fitted.names, estimate, se, estimate / se, np.where(silent, np.nan, p), low, high,
        spread.distribution or f"t({spread.dof})", len(fitted.sample.car), lost, float(fitted.fit.rsquared), spread.clusters,
        note, tuple(spread.unavailable),
    )  # fmt: skip


def _nothing(covariance: str, n: int, lost: int, reason: str, said: str) -> Coefficients:
    nan = np.full(1, np.nan)
    return Coefficients(
        covariance, ("",), nan, nan, nan, nan, nan, nan, "", n, lost, float("nan"), 0, said, (reason,)
    )  # fmt: skip
