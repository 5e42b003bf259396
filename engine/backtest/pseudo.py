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


def placebo_means(
    study: Study, book: Book, tapes: Sequence[Tape], rule: Backtest, positions: Sequence[Position],
    real: Mapping[str, Days], draws: int, rng: np.random.Generator,
) -> dict[str, Floats]:  # fmt: skip
    """(B,) the mean net return of the closed positions at joint draws of pseudo-dates, for every leg and ``all``.

    real: the event days of each symbol. Empty where a cluster has no pseudo-date at which all of its positions can be traded.
    """
    assert book.panel is not None
    traded = [s for s in book.signals if not s.reason]
    ways = sorted({way for s in traded for way in _ways(s, rule)}, key=lambda w: (w.leg, w.side, w.offset, w.at_open))
    tables = {
        kind: _table(study, book, tapes[kind[0]], kind, real, rule, ways)
        for kind in sorted({kind_of(book.panel, i) for i in range(len(traded))})
    }
    drawn = joint_draws(book.panel, tables, (), draws, rng)
    closed = {(p.signal.event_id, p.signal.symbol, p.leg) for p in positions if p.closed}
    found, total, n = {}, np.zeros(draws), 0
    for leg in rule.named_legs:
        members = [i for i, s in enumerate(traded) if (s.event_id, s.symbol, leg) in closed]
        columns = [ways.index(next(w for w in _ways(traded[i], rule) if w.leg == leg)) for i in members]
        summed = _summed(drawn, members, columns, draws)
        found[leg] = summed / max(len(members), 1)
        total, n = total + summed, n + len(members)
    return {name: means for name, means in {"all": total / max(n, 1), **found}.items() if np.isfinite(means).all()}


def _summed(drawn: Placebo, members: Sequence[int], columns: Sequence[int], draws: int) -> Floats:
    """(B,) the sum over pairs of what each earns at its cluster's pseudo-date; NaN where one has none."""
    total = np.zeros(draws)
    for i, column in zip(members, columns, strict=True):
        earned = drawn.events[i][:, column]
        total += earned[drawn.draws[drawn.cluster[i]]] if len(earned) else np.nan
    return total


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
