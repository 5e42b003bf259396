"""The null of a backtest: the same rule at pseudo-dates of its listings, the hedge estimated anew at each.

Pairs of one event or one day move together (`engine.placebo`). A pseudo-position begins as far from its day 0 as the real one
does, keeps its side and pays the same costs; it touches no real event window of its listing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.backtest.positions import Position
from engine.backtest.signals import Book, Signal
from engine.backtest.tape import Tape
from engine.backtest.trading import Orders, trade
from engine.inputs import Study
from engine.lines import Line
from engine.measured import model_options
from engine.models import Model, model_of
from engine.placebo import CHUNK, Placebo, joint_draws, kind_of, windows_around
from engine.sessions import Days, Window
from engine.spec.design import Backtest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """How a signal is traded, whatever its date: the leg, its side, and the first moment relative to day 0."""

    leg: str
    side: float
    offset: int
    at_open: bool


@dataclass(frozen=True)
class PseudoTrades:
    """What the closed positions earn at B joint draws of pseudo-dates.

    means: (B,) the mean net return for every leg and ``all``. left: (P,) the days on which the real positions are left, in the
    order of time; profits: (P, B) of each in shares of the first capital. Without entries, and P = 0, where a cluster has no
    pseudo-date at which all of its positions can be traded.
    """

    means: dict[str, Floats]
    left: Days
    profits: Floats

    def band(self, days: Days, shares: Sequence[float]) -> Floats:
        """(len(shares), T) quantiles of the capital on each day, each profit booked on the day the real position is left; NaN
        without pseudo-trades."""
        found = np.full((len(shares), len(days)), np.nan if not len(self.left) else 1.0)
        capital, done = np.ones(self.profits.shape[1]), 0
        for t in np.searchsorted(days, np.unique(self.left)):
            until = int(np.searchsorted(self.left, days[t], side="right"))
            for profit in self.profits[done:until]:
                capital = capital + profit
            done = until
            found[:, t:] = np.quantile(capital, shares)[:, None]
        return found


def pseudo_trades(
    study: Study, book: Book, tapes: Sequence[Tape], rule: Backtest, positions: Sequence[Position],
    real: Mapping[str, Days], draws: int, rng: np.random.Generator,
) -> PseudoTrades:  # fmt: skip
    """The same rule at joint draws of pseudo-dates. real: the event days of each symbol."""
    assert book.panel is not None
    traded = [s for s in book.signals if not s.reason]
    ways = sorted({way for s in traded for way in _ways(s, rule)}, key=lambda w: (w.leg, w.side, w.offset, w.at_open))
    tables = {
        kind: _table(study, book, tapes[kind[0]], kind, real, rule, ways)
        for kind in sorted({kind_of(book.panel, i) for i in range(len(traded))})
    }
    drawn = joint_draws(book.panel, tables, (), draws, rng)
    row_of = {(s.event_id, s.symbol): i for i, s in enumerate(traded)}
    column_of = [{way.leg: ways.index(way) for way in _ways(s, rule)} for s in traded]
    closed = [p for p in positions if p.closed]
    rows = [row_of[p.signal.event_id, p.signal.symbol] for p in closed]
    earned = [_earned(drawn, i, column_of[i][p.leg], draws) for i, p in zip(rows, closed, strict=True)]
    found, total = {}, np.zeros(draws)
    for leg in rule.named_legs:
        own = sorted((i, k) for k, (i, p) in enumerate(zip(rows, closed, strict=True)) if p.leg == leg)
        summed = np.zeros(draws)
        for _, k in own:
            summed += earned[k]
        found[leg] = summed / max(len(own), 1)
        total = total + summed
    means = {"all": total / max(len(closed), 1), **found}
    left = np.array(
        [tapes[p.signal.line].dates[p.fills.exit[p.i]] for p in closed if p.fills is not None], "datetime64[D]"
    )
    order = np.argsort(left, kind="stable") if np.isfinite(total).all() else np.empty(0, np.int64)
    profits = np.array([closed[k].weight * earned[k] for k in order]).reshape(len(order), draws)
    return PseudoTrades({name: m for name, m in means.items() if np.isfinite(m).all()}, left[order], profits)


def _earned(drawn: Placebo, i: int, column: int, draws: int) -> Floats:
    """(B,) what a pair earns at its cluster's pseudo-date; NaN where it has none."""
    table = drawn.events[i][:, column]
    return table[drawn.draws[drawn.cluster[i]]] if len(table) else np.full(draws, np.nan)


def _ways(signal: Signal, rule: Backtest) -> list[Way]:
    """How a signal is traded in each leg."""
    turned = {name: signal.side if leg.side == "expected" else -signal.side for name, leg in rule.named_legs.items()}
    return [Way(name, side, signal.first - signal.position, signal.at_open) for name, side in turned.items()]


def _table(
    study: Study, book: Book, tape: Tape, kind: tuple[int, int, int], real: Mapping[str, Days], rule: Backtest,
    ways: Sequence[Way],
) -> Floats:  # fmt: skip
    """(S, ways) the net return of each way with day 0 at each session of a line, NaN where it is not feasible."""
    line, own = book.lines[kind[0]], Window(*kind[1:])
    s = len(line.dates)
    longest = max(leg.delay + leg.hold + 1 for leg in rule.named_legs.values())
    apart = max(longest, len(study.spec.event_window))
    days = np.searchsorted(line.dates, real[line.symbol])
    free = (np.abs(np.arange(s)[:, None] - days) >= apart).all(axis=1)
    beta = _betas(study, line, own, book.coefficient) if book.hedged else np.zeros(s)
    table = np.full((s, len(ways)), np.nan)
    for w, way in enumerate(ways):
        first = np.arange(s) + way.offset
        at = np.flatnonzero(free & (first >= 0) & (first < s) & np.isfinite(beta))
        n = len(at)
        orders = Orders(first[at], np.full(n, way.at_open), np.full(n, way.side), beta[at])
        table[at, w] = trade(tape, orders, rule, rule.named_legs[way.leg]).net
    return table


def _betas(study: Study, line: Line, own: Window, coefficient: int) -> Floats:
    """(S,) the hedge with day 0 at each session; NaN where the estimation window is too short."""
    spec = study.spec
    known = np.concatenate([[0], np.cumsum(np.isfinite(line.returns))])
    at = np.arange(len(line.dates))
    n_obs = known[np.clip(at + own.end + 1, 0, len(at))] - known[np.clip(at + own.start, 0, len(at))]
    at = at[n_obs >= spec.model.min_estimation_days]
    betas = np.full(len(line.dates), np.nan)
    if coefficient < 0:
        betas[at] = 1.0
        return betas
    model: Model = model_of(spec.model.name, model_options(study), spec.prices.missing == "trade_to_trade")
    parts = (windows_around(line.returns - line.riskfree, own), windows_around(line.regressors, own))
    ahead = windows_around(line.regressors, spec.event_window)
    for begin in range(0, len(at), CHUNK):
        part = at[begin : begin + CHUNK]
        fits = model(*(np.ascontiguousarray(v[part]) for v in (*parts, ahead)))
        betas[part] = np.where(fits.degenerate == "", fits.coefficients[:, coefficient], np.nan)
    return betas
