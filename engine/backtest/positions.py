"""Positions: every signal and leg traded on its tape, and the capital that they make from session to session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.backtest.signals import Book, Signal
from engine.backtest.tape import Tape, tape_of
from engine.backtest.trading import BP, YEAR, Fills, Orders, path, trade
from engine.inputs import Study
from engine.sessions import Days
from engine.spec.design import Backtest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Position:
    """One signal and leg. side: of the leg. fills, i: where it stands among the fills of its line and leg, None where it is not
    traded. weight: its value at the entry over the capital. capacity: in the listing's currency, NaN where it is not known."""

    signal: Signal
    leg: str
    side: float
    reason: str
    fills: Fills | None = None
    i: int = -1
    weight: float = 0.0
    capacity: float = float("nan")

    @property
    def entered(self) -> bool:
        return self.fills is not None and self.fills.entry[self.i] >= 0

    @property
    def closed(self) -> bool:
        return self.fills is not None and self.fills.exit[self.i] >= 0

    def number(self, name: str) -> float:
        """A number of the fills, NaN where there is none."""
        return float(getattr(self.fills, name)[self.i]) if self.fills is not None else float("nan")


@dataclass(frozen=True)
class Equity:
    """The capital on T sessions, that of the first session 1 before its profits. All in shares of the first capital.

    profits: after costs. costs: of trading and borrowing. positions: held over the night. gross, net: value of listings and
    hedges held, without and with their sides.
    """

    dates: Days
    profits: Floats
    costs: Floats
    positions: Ints
    gross: Floats
    net: Floats


def tapes_of(study: Study, book: Book) -> list[Tape]:
    """A tape for every line of the book."""
    exchanges = dict(zip(study.announcements.table["symbol"], study.exchanges, strict=True))
    bridged = study.spec.prices.missing == "trade_to_trade"
    return [tape_of(one, exchanges[one.symbol] or "", study.market, book.hedged, bridged) for one in book.lines]


def positions_of_book(book: Book, tapes: Sequence[Tape], rule: Backtest) -> list[Position]:
    """Every signal and leg, in the order of the calendar and of the legs."""
    made: dict[tuple[int, str], Position] = {}
    on_line: dict[int, list[int]] = {}
    for r, signal in enumerate(book.signals):
        if not signal.reason:
            on_line.setdefault(signal.line, []).append(r)
    for name, leg in rule.named_legs.items():
        turn = 1.0 if leg.side == "expected" else -1.0
        for k, rows in on_line.items():
            tape = tapes[k]
            chosen = [book.signals[r] for r in rows]
            orders = Orders(
                first=np.array([s.first for s in chosen], np.int64),
                at_open=np.array([s.at_open for s in chosen], bool),
                side=np.array([turn * s.side for s in chosen]),
                beta=np.array([s.beta for s in chosen]),
            )
            fills = trade(tape, orders, rule, leg)
            for i, r in enumerate(rows):
                capacity = float(rule.participation * tape.traded[fills.entry[i]]) if fills.entry[i] >= 0 else np.nan
                weight = rule.size * _filled(rule, capacity) if fills.entry[i] >= 0 else 0.0
                made[r, name] = Position(
                    book.signals[r], name, float(orders.side[i]), str(fills.reason[i]), fills, i, weight, capacity
                )
    return [
        made.get((r, name)) or Position(s, name, 0.0, s.reason)
        for r, s in enumerate(book.signals)
        for name in rule.named_legs
    ]


def _filled(rule: Backtest, capacity: float) -> float:
    """The share of a full position that the traded value allows; all of it where that or the notional is not known."""
    if rule.notional is None or not np.isfinite(capacity):
        return 1.0
    return min(1.0, capacity / rule.notional)


def equity_of(positions: Sequence[Position], tapes: Sequence[Tape], rule: Backtest) -> Equity | None:
    """The capital from the first entry to the last exit on every session of the lines traded; None without a position.

    A position is a fixed share of the first capital, and its profits are not reinvested. It is marked at the closes, one whose
    exit is not known to the end of its prices. Costs fall on the days of the trades, borrowing on the days it lasts.
    """
    held = [p for p in positions if p.entered]
    if not held:
        return None
    spans = [_span(p, tapes[p.signal.line]) for p in held]
    first = min(tapes[p.signal.line].dates[a] for p, (a, _) in zip(held, spans, strict=True))
    last = max(tapes[p.signal.line].dates[b] for p, (_, b) in zip(held, spans, strict=True))
    days = np.unique(np.concatenate([tapes[k].dates for k in sorted({p.signal.line for p in held})]))
    days = days[(days >= first) & (days <= last)]
    profits, costs, gross, net = (np.zeros(len(days)) for _ in range(4))
    count = np.zeros(len(days), np.int64)
    for p, (a, b) in zip(held, spans, strict=True):
        tape = tapes[p.signal.line]
        at = np.searchsorted(days, tape.dates[a : b + 1])
        made, paid, listing, hedge = _daily(p, tape, a, b, rule)
        profits[at] += p.weight * (made - paid)
        costs[at] += p.weight * paid
        span = np.arange(at[0], at[-1] + (not p.closed))  # held over the night of these sessions
        latest = np.searchsorted(at, span, side="right") - 1
        count[span] += 1
        gross[span] += p.weight * (listing + hedge)[latest]
        net[span] += p.weight * p.side * (listing - np.sign(p.signal.beta) * hedge)[latest]
    return Equity(days, profits, costs, count, gross, net)


def _span(p: Position, tape: Tape) -> tuple[int, int]:
    """The first session of a position, and its last, or the last with a price on the scale of its entry."""
    assert p.fills is not None
    a = int(p.fills.entry[p.i])
    known = np.isfinite(tape.close) & (tape.piece == tape.piece[a])
    return a, int(p.fills.exit[p.i]) if p.closed else max(a, int(np.flatnonzero(known)[-1]))


def _daily(p: Position, tape: Tape, a: int, b: int, rule: Backtest) -> tuple[Floats, Floats, Floats, Floats]:
    """(b - a + 1,) profit before costs, costs, and the values of listing and hedge of a position on its sessions."""
    assert p.fills is not None
    so_far, listing, hedge = path(tape, a, b, bool(p.fills.at_open[p.i]), p.side, p.signal.beta)
    made = np.diff(so_far, prepend=0.0)
    paid = np.zeros(len(made))
    paid[0] += BP * rule.cost_bp * (1 + abs(p.signal.beta))
    if p.closed:
        paid[-1] += BP * rule.cost_bp * (listing[-1] + hedge[-1])
    if p.side < 0:
        numbers: Floats = tape.dates[a : b + 1].astype(np.float64)
        paid += BP * rule.borrow_bp * np.diff(numbers, prepend=numbers[0]) / YEAR
    return made, paid, listing, hedge
