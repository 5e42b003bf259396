"""Long horizons in calendar time: portfolios of the firms that had an event lately, and RATS.

The dependence of events that overlap is in the portfolio's own variance over real time, so it needs no formula. The
regressors are the study's: its benchmark, with the model ``factor`` the factors too, none without a benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.calendar_time.holdings import hold, period_returns
from engine.calendar_time.portfolio import Alpha, abnormal_return, alphas, portfolio
from engine.calendar_time.rats import RatsRow, rats
from engine.calendar_time.standardised import standardised, standardised_mean
from engine.panel import EventPanel
from engine.spec.design import CalendarTime

__all__ = ["Alpha", "InCalendarTime", "PortfolioRow", "RatsRow", "in_calendar_time"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PortfolioRow:
    """One row of ``portfolios.csv``: one portfolio in one period, by its first day; abnormal = alpha + residual; standardised:
    by the past of the firms held in it, NaN without one."""

    group: str
    weighting: str
    period: np.datetime64
    firms: int
    actual: float
    abnormal: float
    standardised: float


@dataclass(frozen=True)
class InCalendarTime:
    """The rows of ``calendar_time``, ``portfolios`` and ``rats``."""

    alphas: Sequence[Alpha]
    portfolios: Sequence[PortfolioRow]
    rats: Sequence[RatsRow]


def in_calendar_time(
    panel: EventPanel, rule: CalendarTime, names: tuple[str, ...], groups: Sequence[tuple[str, Ints]], firms: Ints,
    values: Floats, log_returns: bool, alternative: str, alpha: float,
) -> InCalendarTime:  # fmt: skip
    """Every group's portfolios with their alphas, and its RATS where they are asked for.

    names: of the regressors. groups: name and members, positions in the panel. firms, values: (N,) code of the firm and
    market value of each pair.
    """
    series = [period_returns(line, rule.frequency == "monthly", log_returns) for line in panel.lines]
    found, rows, across = [], [], []
    for group, members in groups:
        held = hold(panel, series, rule, members, firms, values)
        for weighting in rule.weights:
            made = portfolio(held, weighting == "value", rule.min_firms)
            z = standardised(made, series, rule.history, rule.min_history)
            for regression in ("ols", "wls"):
                fit = abnormal_return(made, rule.lags, regression == "wls")
                about = (group, weighting, regression)
                found += alphas(about, names, held.n, made, fit, rule.min_firms, alternative, alpha)
                if regression == "ols":
                    abnormal = fit.estimate[0] + fit.residuals
                    days = first_days(made.codes, rule.frequency == "monthly")
                    cells = (made.firms, made.returns, abnormal, z)
                    whole = zip(days, *(c.tolist() for c in cells), strict=True)
                    rows += [PortfolioRow(group, weighting, *one) for one in whole]
            found.append(standardised_mean(group, weighting, held.n, made, z, rule.min_history, alternative, alpha))
        if rule.rats:
            across += rats(group, panel, series, rule, members, alternative)
    return InCalendarTime(found, rows, across)


def first_days(codes: Ints, monthly: bool) -> npt.NDArray[np.datetime64]:
    """The first day of each period."""
    return codes.astype("datetime64[M]" if monthly else "datetime64[D]").astype("datetime64[D]")
