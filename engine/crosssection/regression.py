"""The regression of CARs on attributes of their events, with the covariance that fits how their errors hang together.

car_i = x_i'b + e_i by least squares, or weighted by 1 / se_i^2, the inverse of the CAR's forecast variance. statsmodels
fits; what it needs to know about clusters, and whether an answer means anything, is settled here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.crosssection.benchmark import PreEvent, pre_event_slopes
from engine.crosssection.design import Design, dependent_columns
from engine.orthonormal import orthonormal
from engine.significance.sample import empirical_p, interval, t_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEW_CLUSTERS = 30
ALONE = 1e-9  # of a direction's squared length left without a cluster: less is nothing


@dataclass(frozen=True)
class CrossSample:
    """N events that are complete in one window. car, car_se: (N,); dates: (N,) day number of day 0; firms: (N,) a code.

    weighted: whether events count by 1 / car_se^2. pre_event: for the benchmarked tests, None if none is asked for.
    """

    car: Floats
    car_se: Floats
    dates: Ints
    firms: Ints
    weighted: bool
    alpha: float
    pre_event: PreEvent | None = None


@dataclass(frozen=True)
class Fitted:
    """A least-squares fit of n events on k terms.

    sample: the n events used. fit: statsmodels' result, the columns scaled to length sqrt(n); scale: (k,) what each was
    divided by. estimate: (k,) the coefficients. slopes: (k, n) the weights of the CARs in each coefficient.
    """

    sample: CrossSample
    names: tuple[str, ...]
    fit: Any
    scale: Floats
    estimate: Floats
    slopes: Floats


@dataclass(frozen=True)
class Spread:
    """What a covariance makes of k coefficients. se: (k,); dof: of Student t, 0 for a distribution in ``distribution``.

    p_value: (k,) where it is not Student's. clusters: 0 without. unavailable: (k,) "" or why there is no answer.
    """

    se: Floats
    dof: int
    unavailable: list[str]
    clusters: int = 0
    note: str = ""
    distribution: str = ""
    p_value: Floats | None = None


@dataclass(frozen=True)
class Coefficients:
    """The answers for one specification, window and covariance: (k,) arrays by term, or why there are none.

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


def fit_cars(sample: CrossSample, design: Design, used: Ints) -> Fitted:
    """Least squares over the events ``used``, weighted where the sample says so."""
    from statsmodels.regression.linear_model import WLS

    weights = 1 / sample.car_se[used] ** 2 if sample.weighted else np.ones(len(used))
    rows = design.matrix[used]
    scale = np.sqrt(np.ascontiguousarray(rows.T**2 * weights).mean(axis=1))  # columns of any unit are of one size
    fit = WLS(sample.car[used], rows / scale, weights=weights).fit()
    slopes = fit.model.pinv_wexog * np.sqrt(weights) / scale[:, None]
    kept = CrossSample(
        sample.car[used], sample.car_se[used], sample.dates[used], sample.firms[used], sample.weighted, sample.alpha,
        sample.pre_event.take(used) if sample.pre_event is not None else None,
    )  # fmt: skip
    return Fitted(kept, design.names, fit, scale, np.asarray(fit.params) / scale, slopes)


def classical(fitted: Fitted) -> Spread:
    """s^2 (X'X)^-1, t(n - k): errors independent, of one variance. Greene (2018), ch. 4."""
    k = len(fitted.names)
    return Spread(np.asarray(fitted.fit.bse) / fitted.scale, int(fitted.fit.df_resid), [""] * k, note=_one_date(fitted))


def hc1(fitted: Fitted) -> Spread:
    """n/(n - k) (X'X)^-1 [sum e_i^2 x_i x_i'] (X'X)^-1, t(n - k): errors independent, of any variance.

    White (1980), with the factor of MacKinnon & White (1985). A term that one event alone determines has no answer: its
    residual is zero.
    """
    return _heteroskedastic(fitted, "HC1")


def hc3(fitted: Fitted) -> Spread:
    """`hc1` with e_i / (1 - h_i) for e_i, h_i the leverage, and no factor: near the jackknife, safer in small samples.

    MacKinnon & White (1985); Long & Ervin (2000).
    """
    return _heteroskedastic(fitted, "HC3")


def _heteroskedastic(fitted: Fitted, kind: str) -> Spread:
    alone = determined_by_one(fitted, np.arange(len(fitted.sample.car)))
    reasons = ["one event alone determines it, so there is no variance" if a else "" for a in alone]
    if kind == "HC3" and alone.any():
        reasons = ["an event has leverage 1: its residual cannot be scaled"] * len(reasons)
        return Spread(np.full(len(reasons), np.nan), int(fitted.fit.df_resid), reasons)
    se = np.asarray(fitted.fit.get_robustcov_results(cov_type=kind, use_t=True).bse) / fitted.scale
    return Spread(se, int(fitted.fit.df_resid), reasons, note=_one_date(fitted))


def clustered_date(fitted: Fitted) -> Spread:
    """G/(G - 1) (n - 1)/(n - k) (X'X)^-1 [sum_g s_g s_g'] (X'X)^-1, s_g = sum_{i in g} e_i x_i over date g; t(G - 1).

    Liang & Zeger (1986), with the factors of Cameron & Miller (2015). Events of one date may depend on each other in any
    way. A term that one date alone determines has no answer.
    """
    return _clustered(fitted, {"dates": fitted.sample.dates})


def clustered_firm(fitted: Fitted) -> Spread:
    """`clustered_date` with the firms as clusters. Liang & Zeger (1986)."""
    return _clustered(fitted, {"firms": fitted.sample.firms})


def clustered_both(fitted: Fitted) -> Spread:
    """Date + firm - (date and firm), each with its own factors; t(fewer of both clusters - 1).

    Cameron, Gelbach & Miller (2011); Thompson (2011). A variance that is not positive has no answer.
    """
    return _clustered(fitted, {"dates": fitted.sample.dates, "firms": fitted.sample.firms})


def _clustered(fitted: Fitted, clusters: dict[str, Ints]) -> Spread:
    codes = {what: np.unique(labels, return_inverse=True)[1] for what, labels in clusters.items()}
    counts = {what: int(code.max()) + 1 for what, code in codes.items()}
    what, fewest = min(counts.items(), key=lambda item: item[1])
    k = len(fitted.names)
    if fewest < 2:
        reason = f"needs at least 2 {what} for clusters, has {fewest}"
        return Spread(np.full(k, np.nan), fewest - 1, [reason] * k, fewest)
    groups = np.stack(list(codes.values()), axis=1)
    robust = fitted.fit.get_robustcov_results(
        cov_type="cluster", groups=groups if len(codes) > 1 else groups[:, 0], use_t=True
    )
    variance = np.diag(np.atleast_2d(robust.cov_params()))
    reasons = ["" if v > 0 else "the clusters leave no positive variance" for v in variance]
    for name, code in codes.items():
        alone = determined_by_one(fitted, code)
        reasons = [f"one of the {name} alone determines it" if a else r for a, r in zip(alone, reasons, strict=True)]
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    few = ": few clusters, the p-values may be too small" if fewest < FEW_CLUSTERS else ""
    se = np.sqrt(np.where(variance > 0, variance, np.nan)) / fitted.scale
    return Spread(se, fewest - 1, reasons, fewest, said + few)


def determined_by_one(fitted: Fitted, code: Ints) -> npt.NDArray[np.bool_]:
    """(k,) whether a term's coefficient cannot be estimated without one of the clusters.

    With X = QR, Q_g'Q_g has an eigenvalue 1 where cluster g alone holds the direction v; the coefficients R^-1 v of
    that direction are lost with it, and the residuals of g say nothing of their errors.
    """
    rows = np.ascontiguousarray(np.asarray(fitted.fit.model.wexog).T)
    unit, upper, _ = orthonormal(rows[None], np.zeros((1, len(rows), 0)), 0.0)
    q, r, k = unit[0].T, upper[0], len(rows)
    held = np.zeros((int(code.max()) + 1, k, k))
    np.add.at(held, code, q[:, :, None] * q[:, None, :])
    values, vectors = np.linalg.eigh(held)
    directions = vectors.transpose(0, 2, 1)[values > 1 - ALONE]
    if not len(directions):
        return np.zeros(k, bool)
    lost = np.abs(np.linalg.solve(r, directions.T))
    size = np.sqrt((np.linalg.inv(r) ** 2).sum(axis=1))[:, None]
    return np.asarray((lost > np.sqrt(ALONE) * size).any(axis=1))


def benchmarked_t(fitted: Fitted) -> Spread:
    """The slope over the root mean square of the same slope on M pre-event windows, t(M); for events of one date.

    Each coefficient is a portfolio of the CARs, sum_i w_i CAR_i with w = (X'X)^-1 X', so its error is how that portfolio
    moves in windows without the event, whatever the correlation of the errors across firms. Null: the portfolio moves
    as before. Sefcik & Thompson (1986); Cohn, Johnson, Liu & Wardlaw, Past is prologue, for the comparison with
    pre-event slopes. The windows are those of `pre_event_slopes`; the slopes are independent normal for t(M).
    """
    slopes, reason = pre_event_slopes(fitted.sample.pre_event, fitted.slopes, fitted.sample.dates)
    k = len(fitted.names)
    if reason:
        return Spread(np.full(k, np.nan), 0, [reason] * k)
    se = np.sqrt(np.ascontiguousarray(slopes.T**2).mean(axis=1))
    return Spread(se, slopes.shape[0], [""] * k, note=f"{slopes.shape[0]} pre-event windows")


def benchmarked_rank(fitted: Fitted) -> Spread:
    """p = (1 + b) / (1 + M), b the pre-event slopes of `benchmarked_t` at least as large in absolute value.

    Cohn, Johnson, Liu & Wardlaw, Past is prologue; the rule of Davison & Hinkley (1997), eq. 4.11. No normality.
    """
    spread = benchmarked_t(fitted)
    if spread.unavailable[0]:
        return spread
    slopes, _ = pre_event_slopes(fitted.sample.pre_event, fitted.slopes, fitted.sample.dates)
    beyond = (np.abs(slopes) >= np.abs(fitted.estimate)).sum(axis=0)
    p = empirical_p(beyond, beyond, beyond, len(slopes), "two-sided")
    return Spread(
        spread.se, 0, spread.unavailable, note=spread.note, distribution=f"rank among {len(slopes)}", p_value=p
    )


def _one_date(fitted: Fitted) -> str:
    if len(np.unique(fitted.sample.dates)) == 1:
        return "all events share one date: errors that move together are taken as independent"
    return ""


COVARIANCES: dict[str, Callable[[Fitted], Spread]] = {
    "classical": classical,
    "HC1": hc1,
    "HC3": hc3,
    "clustered_date": clustered_date,
    "clustered_firm": clustered_firm,
    "clustered_both": clustered_both,
    "benchmarked_t": benchmarked_t,
    "benchmarked_rank": benchmarked_rank,
}
BENCHMARKED = frozenset({"benchmarked_t", "benchmarked_rank"})


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
        spread.distribution or f"t({spread.dof})", len(fitted.sample.car), lost, r_squared(fitted), spread.clusters,
        note, tuple(spread.unavailable),
    )  # fmt: skip


def r_squared(fitted: Fitted) -> float:
    """1 - RSS / TSS of the weighted problem, TSS about the weighted mean if the terms hold a constant, else about zero."""
    return float(fitted.fit.rsquared)


def _nothing(covariance: str, n: int, lost: int, reason: str, said: str) -> Coefficients:
    nan = np.full(1, np.nan)
    return Coefficients(
        covariance, ("",), nan, nan, nan, nan, nan, nan, "", n, lost, float("nan"), 0, said, (reason,)
    )  # fmt: skip
