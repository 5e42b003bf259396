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
    study has one; regressors: (K, P); NaN where there is no return. start: (P,) the first session of each period. grown:
    (S,) what one unit of money put in before the first session has grown to at the close before each session, over the
    sessions with a return; gaps: (S,) how many sessions before it have none.
    """

    codes: Ints
    returns: Floats
    regressors: Floats
    start: Ints
    grown: Floats
    gaps: Ints

    def growth(self, since: Ints, periods: Ints) -> Floats:
        """(n,) the growth from the close before session ``since`` to the start of each period; NaN across a session without a
        return, over which it is not known, and after a loss of everything."""
        until, base = self.start[periods], self.grown[since]
        known = (self.gaps[until] == self.gaps[since]) & (base > 0)
        return np.where(known, self.grown[until] / np.where(known, base, 1.0), np.nan)


def period_returns(line: Line, monthly: bool, log_returns: bool) -> PeriodReturns:
    """The returns of a line by session, or compounded by calendar month.

    A month has a return if every one of its sessions has; a listing that ends within a month leaves on its last day,
    its return and its regressors are compounded up to there. prod(1 + x) - 1 for returns and regressors alike, excess
    returns as they are. Log returns become simple ones first: a portfolio earns the mean of simple returns.
    """
    total, values = _simple(line) if log_returns else (line.returns, _stacked(line))
    known = np.isfinite(total)
    grown = np.cumprod(1 + np.where(known, total, 0.0))
    before, gaps = np.concatenate([[1.0], grown[:-1]]), np.cumsum(~known) - ~known
    days = line.dates.astype("datetime64[D]")
    if not monthly:
        codes = days.astype(np.int64)
        return PeriodReturns(codes, values[0], values[1:], np.arange(len(codes)), before, gaps)
    months = days.astype("datetime64[M]").astype(np.int64)
    codes, first = np.unique(months, return_index=True)
    known = np.flatnonzero(np.isfinite(values[0]))
    last = int(known[-1]) if len(known) else -1
    factors = 1 + values
    factors[:, last + 1 :] = 1.0
    compounded = np.multiply.reduceat(factors, first, axis=1) - 1 if len(first) else factors
    compounded[:, codes > (months[last] if last >= 0 else -np.inf)] = np.nan
    return PeriodReturns(codes, compounded[0], compounded[1:], first, before, gaps)


def _stacked(line: Line) -> Floats:
    """(1 + K, S) the line's returns in excess of the risk-free rate, and its regressors."""
    return np.concatenate([(line.returns - line.riskfree)[None], line.regressors])


def _simple(line: Line) -> tuple[Floats, Floats]:
    """Simple returns (S,) of a line of log returns, and `_stacked` in simple returns: exp(r) - exp(r_f) is R - R_f."""
    total, riskfree, regressors = np.expm1(line.returns), np.expm1(line.riskfree), np.expm1(line.regressors)
    if line.benchmark:  # the first regressor, in excess of the rate as well
        regressors[0] = np.expm1(line.regressors[0] + line.riskfree) - riskfree
    return total, np.concatenate([(total - riskfree)[None], regressors])


@dataclass(frozen=True)
class Holdings:
    """The H (listing, period) cells of one set of events that have a return, and the events behind them.

    codes, lines, firms: (H,) period, line of the panel, firm; returns: (H,); regressors: (K, H); values: (H,) market value
    at the start of the period, NaN where it is not known. n: events with a return in their holding period.
    """

    codes: Ints
    lines: Ints
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
    for as long as it lasts, a delisted firm for good. Across a gap the value is not known, so weights by value do without
    the listing until its next event.
    """
    nobody = np.empty(0, np.int64)
    none = np.empty(0)  # an event set that lost all its events holds nothing
    parts: list[tuple[Ints, Ints, Ints, Floats, Floats, Floats]] = [
        (nobody, nobody, nobody, none, np.empty((panel.regressors.shape[1], 0)), none)
    ]
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
        worth = values[event] * own.growth(panel.position[event], cells)
        parts.append(
            (own.codes[cells], np.full(len(cells), one), firms[event], own.returns[cells], own.regressors[:, cells], worth)
        )  # fmt: skip
    codes, lines, whose, returns, regressors, worth = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    return Holdings(codes, lines, whose, returns, regressors, worth, n)
