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
    history: int = 60
    min_history: int = 36


@dataclass
class Listing:
    """One listing: its returns and its benchmark's by period, and by session, None without one."""

    sessions: list[str]
    cells: dict[str, tuple[float, tuple[float, ...]]]
    simple: list[tuple[float, ...] | None]


def month(day: str) -> str:
    return day[:7]


def months_after(day: str, n: int) -> set[str]:
    year, number = int(day[:4]), int(day[5:7])
    return {f"{year + (number - 1 + i) // 12}-{(number - 1 + i) % 12 + 1:02d}" for i in range(1, n + 1)}


def listing(prices: second.Prices, symbol: str, design: second.Design, monthly: bool) -> Listing:
    sessions, points = second.pairs_of(prices, symbol, design)
    simple = [None if p is None else tuple(math.expm1(v) if design.log else v for v in (p[0], *p[1])) for p in points]
    if not monthly:
        return Listing(sessions, {d: (p[0], p[1:]) for d, p in zip(sessions, simple, strict=True) if p}, simple)
    known = [i for i, p in enumerate(simple) if p is not None]
    cells = {}
    for one in sorted({month(d) for d in sessions}):
        # the first session only carries the first return
        inside = [p for i, p in enumerate(simple) if i and month(sessions[i]) == one and known and i <= known[-1]]
        if inside and all(p is not None for p in inside):
            compounded = [math.prod(1 + p[j] for p in inside) - 1 for j in range(len(inside[0]))]
            cells[one] = (compounded[0], tuple(compounded[1:]))
    return Listing(sessions, cells, simple)


def periods_held(event: second.Event, one: Listing, rule: Rule) -> list[str]:
    at = next((i for i, d in enumerate(one.sessions) if d >= event.day), len(one.sessions))
    if rule.hold is not None:
        places = [at + d for d in range(rule.hold[0], rule.hold[1] + 1)]
        return [one.sessions[p] for p in places if 0 <= p < len(one.sessions)]
    wanted = months_after(one.sessions[at], rule.months or 0)
    every = sorted({month(d) for d in one.sessions}) if rule.monthly else one.sessions
    return [p for p in every if month(p) in wanted]


def worth(event: second.Event, one: Listing, value: float, period: str) -> float | None:
    """The value at the close before day 0 moved on, or back, to the start of the period; None across a missing return."""
    day0 = next(i for i, d in enumerate(one.sessions) if d >= event.day)
    start = next(i for i, d in enumerate(one.sessions) if d.startswith(period))
    between = one.simple[min(day0, start) : max(day0, start)]
    if any(p is None for p in between):
        return None
    growth = math.prod(1 + p[0] for p in between)
    return value * growth if start >= day0 else value / growth


def portfolio(
    events: Sequence[second.Event],
    prices: second.Prices,
    design: second.Design,
    rule: Rule,
    values: dict[str, float] | None,
) -> tuple[dict[str, tuple[float, tuple[float, ...], int, list[tuple[float, Listing]]]], int]:
    """Period -> (return, regressors, firms, what is held by weight), and how many periods have some firms and too few."""
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
            if weight is not None:
                rows.append((weight, one))
        if not rows:
            continue
        if len(rows) < rule.min_firms:
            left_out += 1
            continue
        made[period] = (*mean_of(rows, period), len(rows), rows)
    return made, left_out


def mean_of(rows: list[tuple[float, Listing]], period: str) -> tuple[float, tuple[float, ...]]:
    """The weighted mean of returns and regressors of what is held."""
    cells = [(w, one.cells[period]) for w, one in rows]
    total = math.fsum(w for w, _ in cells)
    others = range(len(cells[0][1][1]))
    return (
        math.fsum(w * cell[0] for w, cell in cells) / total,
        tuple(math.fsum(w * cell[1][j] for w, cell in cells) / total for j in others),
    )


def standardised(made: dict[str, tuple[float, tuple[float, ...], int, list[tuple[float, Listing]]]], rule: Rule):
    """Period -> its abnormal return over its own error by a regression on the past of what is held; None without a past."""
    listings = {id(one): one for _, _, _, rows in made.values() for _, one in rows}.values()
    axis = sorted({month(d) if rule.monthly else d for one in listings for d in one.sessions})
    found = {}
    for period, (value, factors, _, rows) in made.items():
        at = axis.index(period)
        before = [p for p in axis[max(at - rule.history, 0) : at] if all(p in one.cells for _, one in rows)]
        past = [mean_of(rows, p) for p in before]
        found[period] = None
        if len(past) >= rule.min_history:
            x = np.array([[1.0, *f] for _, f in past])
            fit = sm.OLS(np.array([r for r, _ in past]), x).fit()
            ahead = np.array([0.0, *factors])
            error = float(np.sqrt(fit.scale + ahead @ fit.cov_params() @ ahead))
            found[period] = (value - float(ahead @ fit.params)) / error
    return found


def regression(made: dict[str, tuple[float, tuple[float, ...], int, list]], rule: Rule, weighted: bool):
    """(classical, Newey-West) results of statsmodels."""
    y = np.array([r for r, _, _, _ in made.values()])
    x = np.array([[1.0, *f] for _, f, _, _ in made.values()])
    lags = int(4 * (len(y) / 100) ** (2 / 9)) if rule.lags is None else rule.lags
    model = sm.WLS(y, x, weights=[n for _, _, n, _ in made.values()]) if weighted else sm.OLS(y, x)
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
    first, last = rule.hold or ((1, rule.months) if rule.monthly else (min(rows), max(rows)))
    for after in range(first, last + 1):
        cells = rows.get(after, [])
        if not cells:
            made[after] = None
            continue
        x = np.array([[1.0, *f] for _, f in cells])
        if len(cells) <= x.shape[1]:
            made[after] = None
            continue
        fit = sm.OLS(np.array([r for r, _ in cells]), x).fit()
        made[after] = (len(cells), float(fit.params[0]), float(fit.bse[0]), float(fit.pvalues[0]))
    return made
