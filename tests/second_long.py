"""Calendar-time portfolios and RATS written a second time, in plain loops over dictionaries, with statsmodels to regress.

It builds on `second`, which reads prices and puts a listing beside its benchmark; it knows nothing of the package under test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import second
import statsmodels.api as sm


@dataclass(frozen=True)
class Rule:
    monthly: bool
    hold: tuple[int, int] | None
    months: int | None
    min_firms: int
    lags: int | None


@dataclass
class Listing:
    """One listing: its returns and its benchmark's by period, and its growth by session."""

    sessions: list[str]
    cells: dict[str, tuple[float, tuple[float, ...]]]
    grown: list[float]  # at the close before each session


def month(day: str) -> str:
    return day[:7]


def months_after(day: str, n: int) -> set[str]:
    year, number = int(day[:4]), int(day[5:7])
    return {f"{year + (number - 1 + i) // 12}-{(number - 1 + i) % 12 + 1:02d}" for i in range(1, n + 1)}


def listing(prices: second.Prices, symbol: str, design: second.Design, monthly: bool) -> Listing:
    sessions, points = second.pairs_of(prices, symbol, design)
    simple = [None if p is None else tuple(math.expm1(v) if design.log else v for v in (p[0], *p[1])) for p in points]
    grown = [1.0]
    for p in simple:
        grown.append(grown[-1] * (1 + (0.0 if p is None else p[0])))
    if not monthly:
        return Listing(sessions, {d: (p[0], p[1:]) for d, p in zip(sessions, simple, strict=True) if p}, grown)
    known = [i for i, p in enumerate(simple) if p is not None]
    cells = {}
    for one in sorted({month(d) for d in sessions}):
        inside = [p for i, p in enumerate(simple) if month(sessions[i]) == one and known and i <= known[-1]]
        if inside and all(p is not None for p in inside):
            compounded = [math.prod(1 + p[j] for p in inside) - 1 for j in range(len(inside[0]))]
            cells[one] = (compounded[0], tuple(compounded[1:]))
    return Listing(sessions, cells, grown)


def periods_held(event: second.Event, one: Listing, rule: Rule) -> list[str]:
    at = next((i for i, d in enumerate(one.sessions) if d >= event.day), len(one.sessions))
    if rule.hold is not None:
        places = [at + d for d in range(rule.hold[0], rule.hold[1] + 1)]
        return [one.sessions[p] for p in places if 0 <= p < len(one.sessions)]
    wanted = months_after(one.sessions[at], rule.months or 0)
    every = sorted({month(d) for d in one.sessions}) if rule.monthly else one.sessions
    return [p for p in every if month(p) in wanted]


def worth(event: second.Event, one: Listing, value: float, period: str) -> float:
    """The value at the close before day 0 moved on to the start of the period."""
    day0 = next(i for i, d in enumerate(one.sessions) if d >= event.day)
    start = next(i for i, d in enumerate(one.sessions) if d.startswith(period))
    return value * one.grown[start] / one.grown[day0]


def portfolio(
    events: Sequence[second.Event],
    prices: second.Prices,
    design: second.Design,
    rule: Rule,
    values: dict[str, float] | None,
) -> tuple[dict[str, tuple[float, tuple[float, ...], int]], int]:
    """Period -> (return, regressors, firms), and how many periods have some firms and too few."""
    held: dict[str, dict[str, tuple[second.Event, Listing]]] = {}
    for event in sorted(events, key=lambda e: (e.day, e.event_id)):
        one = listing(prices, event.symbol, design, rule.monthly)
        for period in periods_held(event, one, rule):
            if period in one.cells:
                held.setdefault(period, {})[event.symbol] = (event, one)  # the latest event stands
    made, left_out = {}, 0
    for period, firms in sorted(held.items()):
        rows = []
        for event, one in firms.values():
            weight = 1.0 if values is None else worth(event, one, values[event.event_id], period)
            rows.append((weight, one.cells[period]))
        if len(rows) < rule.min_firms:
            left_out += 1
            continue
        total = math.fsum(w for w, _ in rows)
        mean = math.fsum(w * cell[0] for w, cell in rows) / total
        others = tuple(math.fsum(w * cell[1][j] for w, cell in rows) / total for j in range(len(rows[0][1][1])))
        made[period] = (mean, others, len(rows))
    return made, left_out


def regression(made: dict[str, tuple[float, tuple[float, ...], int]], rule: Rule, weighted: bool):
    """(classical, Newey-West) results of statsmodels."""
    y = np.array([r for r, _, _ in made.values()])
    x = np.array([[1.0, *f] for _, f, _ in made.values()])
    lags = int(4 * (len(y) / 100) ** (2 / 9)) if rule.lags is None else rule.lags
    model = sm.WLS(y, x, weights=[n for _, _, n in made.values()]) if weighted else sm.OLS(y, x)
    robust = model.fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True)
    return model.fit(), robust, lags


def rats(events: Sequence[second.Event], prices: second.Prices, design: second.Design, rule: Rule):
    """Relative period -> (n, intercept, its error) by one regression across events each."""
    rows: dict[int, list[tuple[float, tuple[float, ...]]]] = {}
    for event in events:
        one = listing(prices, event.symbol, design, rule.monthly)
        at = next((i for i, d in enumerate(one.sessions) if d >= event.day), len(one.sessions))
        for period in periods_held(event, one, rule):
            if period in one.cells:
                if rule.monthly:
                    day0 = one.sessions[at]
                    after = 12 * (int(period[:4]) - int(day0[:4])) + int(period[5:7]) - int(day0[5:7])
                else:
                    after = one.sessions.index(period) - at
                rows.setdefault(after, []).append(one.cells[period])
    made = {}
    for after, cells in sorted(rows.items()):
        x = np.array([[1.0, *f] for _, f in cells])
        if len(cells) <= x.shape[1]:
            made[after] = None
            continue
        fit = sm.OLS(np.array([r for r, _ in cells]), x).fit()
        made[after] = (len(cells), float(fit.params[0]), float(fit.bse[0]), float(fit.pvalues[0]))
    return made
