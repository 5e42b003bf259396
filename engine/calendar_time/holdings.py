"""Returns of each listing by day or calendar month, and which events are held when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.lines import Line
from engine.panel import EventPanel
from engine.spec.design import CalendarTime

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PeriodReturns:
    """One listing over P periods, always in simple returns.

    codes: (P,) the day number, or the month number since 1970. returns: (P,) in excess of the risk-free rate where the
    study has one; regressors: (K, P); NaN where there is no return. worth: (P,) what one unit of money put in before the
    first session has grown to at the start of the period; at_session: (S,) at the close before each session.
    """

    codes: Ints
    returns: Floats
    regressors: Floats
    worth: Floats
    at_session: Floats


def period_returns(line: Line, monthly: bool, log_returns: bool) -> PeriodReturns:
    """The returns of a line by session, or compounded by calendar month.

    A month has a return if every one of its sessions has; a listing that ends within a month leaves on its last day,
    its return and its regressors are compounded up to there. prod(1 + x) - 1 for returns and regressors alike, excess
    returns as they are. Log returns become simple ones first: a portfolio earns the mean of simple returns.
    """
    excess, total = line.returns - line.riskfree, line.returns
    values = np.concatenate([excess[None], line.regressors])
    if log_returns:
        values, total = np.expm1(values), np.expm1(total)
    grown = np.cumprod(1 + np.where(np.isfinite(total), total, 0.0))
    before = np.concatenate([[1.0], grown[:-1]])
    days = line.dates.astype("datetime64[D]")
    if not monthly:
        codes = days.astype(np.int64)
        return PeriodReturns(codes, values[0], values[1:], before, before)
    months = days.astype("datetime64[M]").astype(np.int64)
    codes, first = np.unique(months, return_index=True)
    known = np.flatnonzero(np.isfinite(values[0]))
    last = int(known[-1]) if len(known) else -1
    factors = 1 + values
    factors[:, last + 1 :] = 1.0
    compounded = np.multiply.reduceat(factors, first, axis=1) - 1 if len(first) else factors
    compounded[:, codes > (months[last] if last >= 0 else -np.inf)] = np.nan
    return PeriodReturns(codes, compounded[0], compounded[1:], before[first], before)


@dataclass(frozen=True)
class Holdings:
    """The H (listing, period) cells of one set of events that have a return, and the events behind them.

    codes, firms: (H,); returns: (H,); regressors: (K, H); values: (H,) market value at the start of the period, NaN
    where it is not known. n: events with a return in their holding period.
    """

    codes: Ints
    firms: Ints
    returns: Floats
    regressors: Floats
    values: Floats
    n: int


def held_span(panel: EventPanel, i: int, series: PeriodReturns, rule: CalendarTime) -> tuple[int, int]:
    """The periods [first, last) of event ``i`` in its series: relative sessions, or the months after its month."""
    at = int(panel.position[i])
    if rule.hold is not None:
        first, last = at + rule.hold[0], at + rule.hold[1] + 1
        return max(first, 0), max(min(last, len(series.codes)), 0)
    month = int(panel.pairs[i].event_day.astype("datetime64[M]").astype(np.int64))
    months = series.codes
    if rule.frequency == "daily":
        months = series.codes.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    bounds = np.searchsorted(months, [month + 1, month + 1 + (rule.months or 0)])
    return int(bounds[0]), int(bounds[1])


def hold(
    panel: EventPanel, series: Sequence[PeriodReturns], rule: CalendarTime, members: Ints, firms: Ints, values: Floats
) -> Holdings:
    """Who is held when: a listing once a period, however many of its events overlap; its latest event sets its value.

    series: of each line of the panel. firms, values: (N,) code of the firm, and market value at the close before day 0,
    which then moves with the listing's total return. A cell without a return is not held: a gap leaves the portfolio
    for as long as it lasts, a delisted firm for good.
    """
    parts: list[tuple[Ints, Ints, Floats, Floats, Floats]] = []
    n = 0
    for one in np.unique(panel.line[members]):
        own = series[one]
        inside = sorted(members[panel.line[members] == one], key=lambda i: (panel.position[i], panel.pairs[i].event_id))
        latest = np.full(len(own.codes), -1)
        known = np.isfinite(own.returns)
        for i in inside:
            first, last = held_span(panel, i, own, rule)
            latest[first:last] = i
            n += bool(known[first:last].any())
        cells = np.flatnonzero((latest >= 0) & known)
        event = latest[cells]
        base = own.at_session[panel.position[event]]
        growth = own.worth[cells] / np.where(base > 0, base, np.nan)
        parts.append(
            (own.codes[cells], firms[event], own.returns[cells], own.regressors[:, cells],
             values[event] * growth)
        )  # fmt: skip
    codes, whose, returns, regressors, worth = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    return Holdings(codes, whose, returns, regressors, worth, n)
