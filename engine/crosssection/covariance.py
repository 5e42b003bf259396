"""Standard errors of a cross-section by how the errors of its events hang together: `COVARIANCES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.crosssection.benchmark import pre_event_slopes
from engine.crosssection.fitting import Fitted
from engine.orthonormal import orthonormal
from engine.significance.sample import empirical_p
from engine.ties import SHARE, at_least

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEW_CLUSTERS = 30
NOTHING = 1e-12  # of the classical variance: less is what rounding leaves where those of dates and firms cancel
ALONE = 1e-9  # of a direction's squared length left without a cluster: less is nothing


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
    least = NOTHING * np.asarray(fitted.fit.bse) ** 2
    reasons = ["" if above else "the clusters leave no positive variance" for above in variance > least]
    for name, code in codes.items():
        alone = determined_by_one(fitted, code)
        reasons = [f"one of the {name} alone determines it" if a else r for a, r in zip(alone, reasons, strict=True)]
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    few = ": few clusters, the p-values may be too small" if fewest < FEW_CLUSTERS else ""
    shared = f"; {_one_date(fitted)}" if "dates" not in codes and _one_date(fitted) else ""
    se = np.sqrt(np.where(variance > 0, variance, np.nan)) / fitted.scale
    return Spread(se, fewest - 1, reasons, fewest, said + few + shared)


def determined_by_one(fitted: Fitted, code: Ints) -> npt.NDArray[np.bool_]:
    """(k,) whether a term's coefficient cannot be estimated without one of the clusters.

    With X = QR, Q_g'Q_g has an eigenvalue 1 where cluster g alone holds the direction v; the coefficients R^-1 v of
    that direction are lost with it, and the residuals of g say nothing of their errors.
    """
    rows = np.ascontiguousarray(np.asarray(fitted.fit.model.wexog).T)
    unit, upper, _ = orthonormal(rows[None], np.zeros((1, len(rows), 0)), 0.0)
    q, r = unit[0].T, upper[0]
    suspects = np.flatnonzero(np.bincount(code, weights=(q**2).sum(axis=1)) > 1 - ALONE)  # no more than k
    alone = np.zeros(len(rows), bool)
    size = np.sqrt((np.linalg.inv(r) ** 2).sum(axis=1))
    for cluster in suspects:
        own = q[code == cluster]
        values, vectors = np.linalg.eigh(own.T @ own)
        lost = np.abs(np.linalg.solve(r, vectors[:, values > 1 - ALONE]))
        alone |= (lost > np.sqrt(ALONE) * size[:, None]).any(axis=1)
    return alone


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
    own = np.abs(fitted.estimate)
    beyond = at_least(np.abs(slopes), own, SHARE * own).sum(axis=0)
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
