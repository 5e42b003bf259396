"""Calendar-time portfolios of firms after an event, and their abnormal return by one regression over all periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.calendar_time.holdings import Holdings
from engine.calendar_time.least_squares import Fit, least_squares
from engine.significance.sample import interval, t_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Portfolio:
    """One portfolio over T periods of real time, in order.

    codes: (T,) day or month numbers. returns: (T,); regressors: (K, T) the members' own, weighted as they are; firms:
    (T,) how many. left_out: periods with some firms and fewer than the fewest wanted. lines, shares: T arrays, the lines of
    the panel that are held in each period and their shares in the portfolio, which sum to 1.
    """

    codes: Ints
    returns: Floats
    regressors: Floats
    firms: Ints
    left_out: int
    lines: Sequence[Ints]
    shares: Sequence[Floats]


@dataclass(frozen=True)
class Alpha:
    """One row of ``calendar_time.csv``: a coefficient of one portfolio's regression.

    n: events held. se classical, se_hac Newey-West; t, p_value, ci from se_hac. n_periods, mean_firms: of the regression;
    periods_left_out: with fewer than the fewest firms. unavailable: "" or the reason; the numbers are then NaN.
    no_history: periods that a standardised mean does without (`engine.calendar_time.standardised`).
    """

    group: str
    weighting: str
    regression: str
    term: str
    n: int
    estimate: float
    se: float
    se_hac: float
    t: float
    distribution: str
    p_value: float
    ci_low: float
    ci_high: float
    n_periods: int
    mean_firms: float
    periods_left_out: int
    lags: int | None
    unavailable: str
    no_history: int | None = None


def portfolio(held: Holdings, by_value: bool, min_firms: int) -> Portfolio:
    """The return of the firms held in each period of real time, a firm counted once.

    The listings of a firm enter with equal weights; firms with equal weights, or by the mean market value of their
    listings. Fama (1998); Jaffe (1974), Mandelker (1974) for portfolios in calendar time.
    """
    chosen = np.flatnonzero(held.values > 0) if by_value else np.arange(len(held.codes))
    order = chosen[np.lexsort((held.firms[chosen], held.codes[chosen]))]
    codes, firms = held.codes[order], held.firms[order]
    cells = np.concatenate([held.returns[None], held.regressors])[:, order]
    values = held.values[order] if by_value else np.ones(len(order))
    if not len(order):
        return Portfolio(codes, cells[0], cells[1:], firms, 0, (), ())
    first = np.flatnonzero(np.concatenate([[True], (np.diff(codes) != 0) | (np.diff(firms) != 0)]))
    listings = np.diff(np.append(first, len(codes)))
    of_firm, weight = np.add.reduceat(cells, first, axis=1) / listings, np.add.reduceat(values, first) / listings
    codes = codes[first]
    begin = np.flatnonzero(np.concatenate([[True], np.diff(codes) != 0]))
    count = np.diff(np.append(begin, len(codes)))
    total = np.add.reduceat(weight, begin)
    mean = np.add.reduceat(of_firm * weight, begin, axis=1) / total
    kept = count >= min_firms
    share = np.repeat(weight / np.repeat(total, count) / listings, listings)
    lines, shares = (np.split(v, first[begin][1:]) for v in (held.lines[order], share))
    return Portfolio(
        codes[begin][kept], mean[0, kept], mean[1:, kept], count[kept], int((~kept).sum()),
        [v for v, k in zip(lines, kept, strict=True) if k], [v for v, k in zip(shares, kept, strict=True) if k],
    )  # fmt: skip


def abnormal_return(made: Portfolio, lags: int | None, by_firms: bool) -> Fit:
    """alpha and betas of R_pt = alpha + sum_j beta_j F_jt + e_t over the periods kept, neighbours or not.

    by_firms: least squares with weights n_t, since the mean of n_t firms has a variance of about 1/n_t.
    Fama (1998); Mitchell & Stafford (2000) on the weights.
    """
    weights = made.firms.astype(np.float64) if by_firms else np.ones(len(made.codes))
    return least_squares(made.returns, made.regressors, weights, lags)


def alphas(
    about: tuple[str, str, str], names: tuple[str, ...], n: int, made: Portfolio, fit: Fit, min_firms: int,
    alternative: str, alpha: float,
) -> list[Alpha]:  # fmt: skip
    """The rows of one regression: ``alternative`` is about the alpha, the p-values of betas are two-sided.

    about: group, weighting, regression. names: of the regressors.
    """
    rows = []
    reason = fit.unavailable
    if reason and len(made.codes) <= len(names) + 1:
        reason = f"{reason}: periods with at least {min_firms} firms; {made.left_out} have fewer"
    for j, term in enumerate(("alpha", *(f"beta_{name}" for name in names))):
        t, p, ci, distribution = float("nan"), float("nan"), (float("nan"), float("nan")), ""
        if not reason and fit.se_hac[j] > 0:
            t, distribution = float(fit.estimate[j] / fit.se_hac[j]), f"t({fit.dof})"
            p = float(t_p(t, fit.dof, alternative if term == "alpha" else "two-sided"))
            ci = interval(float(fit.estimate[j]), float(fit.se_hac[j]), alpha, fit.dof)
        rows.append(
            Alpha(
                *about, term, n, float(fit.estimate[j]), float(fit.se[j]), float(fit.se_hac[j]), t, distribution, p, *ci,
                len(made.codes), float(made.firms.mean()) if len(made.firms) else float("nan"), made.left_out, fit.lags,
                reason or ("" if distribution else "the Newey-West variance is zero"),
            )
        )  # fmt: skip
    return rows
